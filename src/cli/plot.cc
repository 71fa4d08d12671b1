// SPDX-License-Identifier: Apache-2.0
#include "cli/plot.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "profile/svg.h"

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
  SvgElements svg;
  svg << R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 440" width="760" height="440" )"
      << R"(role="img" aria-label="Training: loss over epochs">)" << '\n'
      << kStyle << R"(  <rect class="paper" x="0.5" y="0.5" width="759" height="439" rx="6"/>)" << '\n';
  const auto dot = [&](std::size_t colour, double at_x, double at_y) {
    svg << "  <circle class=\"c" << colour << "\" cx=\"" << at_x << "\" cy=\"" << at_y << "\" r=\"3\"/>\n";
  };
  svg.text(kLeft, 26, "class=\"title\"", "Training");
  for (const double tick : x.ticks(1)) {
    if (tick < 1 || tick > last) continue;
    svg.line("grid", x(tick), kTop, x(tick), bottom);
    svg.text(x(tick), bottom + 18, kAnchorMiddle, text_of("%.0f", tick));
  }
  for (const double tick : y.ticks()) {
    svg.line("grid", kLeft, y(tick), kWidth - kRight, y(tick));
    svg.text(kLeft - 8, y(tick) + 4, kAnchorEnd, text_of("%.10g", tick));
  }
  svg.line("axis", kLeft, kTop, kLeft, bottom);
  svg.line("axis", kLeft, bottom, kWidth - kRight, bottom);
  svg.text(kWidth - kRight, bottom + 40, kAnchorEnd, "epoch");
  svg.text(kLeft, kTop - 12, kAnchorStart, y.is_log() ? "loss, logarithmic" : "loss");
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
    svg.text(at + 10, 26, kAnchorStart, curves[i].label);
  }
  svg << "</svg>\n";
  return svg.string();
}

}  // namespace sluice::cli
