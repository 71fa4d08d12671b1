// SPDX-License-Identifier: Apache-2.0
#include "cli/plot.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iomanip>
#include <sstream>
#include <utility>
#include <vector>

namespace sluice::cli {
namespace {

constexpr double kWidth = 760, kHeight = 440, kLeft = 84, kRight = 24, kTop = 64, kBottom = 56;
// Beyond these, numbers could leave the range of double on their way to the page.
constexpr double kHuge = 1e200, kTiny = 1e-200;
// So many points may have a dot each before they run together.
constexpr std::size_t kMostDots = 40;

constexpr const char* kStyle = R"(  <style>
    .paper { fill: #ffffff; stroke: #d0d7de }
    text { font: 12px -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; fill: #59636e }
    .title { font-size: 15px; font-weight: 600; fill: #1f2328 }
    .grid { stroke: #d0d7de; stroke-width: 0.6 } .axis { stroke: #8c959f }
    polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round }
    .c0 { stroke: #2a6fb0; color: #2a6fb0 } .c1 { stroke: #b4551d; color: #b4551d }
    circle { fill: currentColor; stroke: none }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117; stroke: #30363d }
      text { fill: #9198a1 }
      .title { fill: #e6edf3 }
      .grid { stroke: #30363d } .axis { stroke: #6e7681 }
      .c0 { stroke: #5b9fe0; color: #5b9fe0 } .c1 { stroke: #e08a4f; color: #e08a4f }
    }
  </style>
)";

struct Curve {
  const char* label;
  std::vector<std::pair<double, double>> points;  // epoch, loss
};

std::string text_of(const char* format, double value) {
  char text[40];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// Values to places on the page.
class Axis {
 public:
  // `low` < `high`; on a logarithmic scale both are above 0.
  Axis(double low, double high, double start, double end, bool is_log)
      : low_(scaled(low, is_log)), high_(scaled(high, is_log)), start_(start), end_(end), is_log_(is_log) {}

  double operator()(double value) const {
    return start_ + (scaled(value, is_log_) - low_) / (high_ - low_) * (end_ - start_);
  }

  bool is_log() const { return is_log_; }

  // Round numbers within the axis, 1 to about 10 of them, `least` apart or more.
  std::vector<double> ticks(double least = 0) const { return is_log_ ? log_ticks() : linear_ticks(least); }

 private:
  static double scaled(double value, bool is_log) { return is_log ? std::log10(value) : value; }

  std::vector<double> linear_ticks(double least) const {
    const double wanted = std::max((high_ - low_) / 8, least);
    const double power = std::pow(10, std::floor(std::log10(wanted)));
    double step = 10 * power;
    for (const double factor : {5.0, 2.0, 1.0}) {
      if (factor * power >= wanted * (1 - 1e-9)) step = factor * power;
    }
    std::vector<double> ticks;
    const auto first = std::lround(std::ceil(low_ / step - 1e-9));
    for (long i = first; static_cast<double>(i) * step <= high_ + 1e-9 * step; ++i) {
      ticks.push_back(static_cast<double>(i) * step);
    }
    return ticks;
  }

  // 1, 2, 5 times the powers of ten; only powers, or some of them, where that is too many.
  std::vector<double> log_ticks() const {
    const long first = std::lround(std::floor(low_)), last = std::lround(std::floor(high_));
    const long apart = 1 + (last - first) / 10;
    std::vector<double> ticks;
    for (long power = first; power <= last; power += apart) {
      for (const double factor : {1.0, 2.0, 5.0}) {
        const double at = static_cast<double>(power) + std::log10(factor);
        const bool is_wanted = factor == 1 || last - first < 4;
        if (is_wanted && at >= low_ && at <= high_) ticks.push_back(std::pow(10, power) * factor);
      }
    }
    return ticks;
  }

  double low_, high_;
  double start_, end_;
  bool is_log_;
};

Axis loss_axis(const std::vector<Curve>& curves) {
  double least = HUGE_VAL, most = -HUGE_VAL;
  for (const Curve& curve : curves) {
    for (const auto& point : curve.points) {
      least = std::min(least, point.second);
      most = std::max(most, point.second);
    }
  }
  if (least > most) least = most = 0;  // nothing to show
  if (least > kTiny && most > 10 * least) {
    const double room = std::pow(10, 0.04 * (std::log10(most) - std::log10(least)));
    return {least / room, most * room, kHeight - kBottom, kTop, true};
  }
  // Losses that are equal, or nearly so, stand in the middle.
  double room = std::max(0.04 * (most - least), 1e-3 * std::max(std::abs(least), std::abs(most)));
  if (room < kTiny) room = 1;
  return {least - room, most + room, kHeight - kBottom, kTop, false};
}

}  // namespace

std::string plot_losses(std::span<const Epoch> epochs) {
  std::vector<Curve> curves{{"loss", {}}, {"validation loss", {}}};
  for (std::size_t i = 0; i < epochs.size(); ++i) {
    const auto add = [&](Curve& curve, double loss) {
      if (std::abs(loss) < kHuge) curve.points.emplace_back(static_cast<double>(i + 1), loss);
    };
    add(curves[0], epochs[i].loss);
    if (epochs[i].validation_loss) add(curves[1], *epochs[i].validation_loss);
  }
  if (curves[1].points.empty()) curves.pop_back();

  const auto last = static_cast<double>(std::max<std::size_t>(epochs.size(), 1));
  // One epoch stands in the middle.
  const Axis x(last > 1 ? 1 : 0, last > 1 ? last : 2, kLeft, kWidth - kRight, false);
  const Axis y = loss_axis(curves);
  const double bottom = kHeight - kBottom;
  std::ostringstream svg;
  svg << std::fixed << std::setprecision(1)  // of places
      << R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 440" width="760" height="440" )"
      << R"(role="img" aria-label="Training: loss over epochs">)" << '\n'
      << kStyle << R"(  <rect class="paper" x="0.5" y="0.5" width="759" height="439" rx="6"/>)" << '\n';
  const auto text = [&](double at_x, double at_y, const char* attribute, const std::string& content) {
    svg << "  <text x=\"" << at_x << "\" y=\"" << at_y << "\" " << attribute << '>' << content << "</text>\n";
  };
  const auto line = [&](const char* kind, double x1, double y1, double x2, double y2) {
    svg << "  <line class=\"" << kind << "\" x1=\"" << x1 << "\" y1=\"" << y1 << "\" x2=\"" << x2
        << "\" y2=\"" << y2 << "\"/>\n";
  };
  const auto dot = [&](std::size_t colour, double at_x, double at_y) {
    svg << "  <circle class=\"c" << colour << "\" cx=\"" << at_x << "\" cy=\"" << at_y << "\" r=\"3\"/>\n";
  };
  const char* const from_left = "text-anchor=\"start\"";
  const char* const from_right = "text-anchor=\"end\"";
  text(kLeft, 26, "class=\"title\"", "Training");
  for (const double tick : x.ticks(1)) {
    if (tick < 1 || tick > last) continue;
    line("grid", x(tick), kTop, x(tick), bottom);
    text(x(tick), bottom + 18, "text-anchor=\"middle\"", text_of("%.0f", tick));
  }
  for (const double tick : y.ticks()) {
    line("grid", kLeft, y(tick), kWidth - kRight, y(tick));
    text(kLeft - 8, y(tick) + 4, from_right, text_of("%.10g", tick));
  }
  line("axis", kLeft, kTop, kLeft, bottom);
  line("axis", kLeft, bottom, kWidth - kRight, bottom);
  text(kWidth - kRight, bottom + 40, from_right, "epoch");
  text(kLeft, kTop - 12, from_left, y.is_log() ? "loss, logarithmic" : "loss");
  for (std::size_t i = 0; i < curves.size(); ++i) {
    svg << "  <polyline class=\"c" << i << "\" points=\"";
    const char* between = "";
    for (const auto& [epoch, loss] : curves[i].points) {
      svg << between << x(epoch) << ',' << y(loss);
      between = " ";
    }
    svg << "\"/>\n";
    for (const auto& [epoch, loss] : curves[i].points) {
      if (epochs.size() <= kMostDots) dot(i, x(epoch), y(loss));
    }
    // The legend, from the right.
    const double at = kWidth - kRight - 110 * static_cast<double>(curves.size() - i);
    dot(i, at, 22);
    text(at + 10, 26, from_left, curves[i].label);
  }
  svg << "</svg>\n";
  return svg.str();
}

}  // namespace sluice::cli
