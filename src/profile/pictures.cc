// SPDX-License-Identifier: Apache-2.0
#include "profile/pictures.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "profile/figures.h"
#include "profile/svg.h"

namespace sluice {

const char* const kPictureStyle = R"(
svg text { font: 11px -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; fill: #59636e }
svg .name { fill: #1f2328 }
.grid { stroke: #d0d7de; stroke-width: 0.6 } .axis { stroke: #8c959f }
.roof { stroke: #1f2328; stroke-width: 1.6; fill: none } .slope { stroke: #8c959f; stroke-width: 1 }
.lead { stroke: #8c959f; stroke-width: 0.6; fill: none }
.dot { fill: #0072b2; stroke: #ffffff } .curve { fill: none; stroke: #0072b2; stroke-width: 1.8 }
.bar { fill: #0072b2 } .rest { fill: #eaeef2 }
.input { fill: #0072b2 } .recurrent { fill: #d55e00 } .gates { fill: #009e73 } .waiting { fill: #b0609a }
.other { fill: #8c959f }
@media (prefers-color-scheme: dark) {
  svg text { fill: #9198a1 }
  svg .name { fill: #e6edf3 }
  .grid { stroke: #30363d } .axis { stroke: #6e7681 }
  .roof { stroke: #e6edf3 } .slope { stroke: #6e7681 } .lead { stroke: #6e7681 }
  .dot { fill: #56b4e9; stroke: #0d1117 } .curve { stroke: #56b4e9 }
  .bar { fill: #56b4e9 } .rest { fill: #21262d }
  .input { fill: #56b4e9 } .recurrent { fill: #e8853d } .gates { fill: #2fbf94 } .waiting { fill: #d58fc0 }
  .other { fill: #7d8590 }
}
)";

namespace {

// Cividis (Nunez, Anderton and Renslow, 2018) for 0 to 1, and blue to brown for -1 to 1, in as many steps.
constexpr const char* kSigmoidColours[] = {"#00224e", "#0f3370", "#35456c", "#52596d", "#6b6c71",
                                           "#838079", "#9e9575", "#bcac6c", "#dcc85a", "#fee838"};
constexpr const char* kTanhColours[] = {"#174a8b", "#3f73ae", "#759ccb", "#adc6e2", "#dde5ee",
                                        "#f0e6da", "#ecc79f", "#dd9c5e", "#c26f25", "#8a4300"};
constexpr std::size_t kColours = std::size(kSigmoidColours);

// Beyond these, numbers could leave the range of double on their way to the page.
constexpr double kHuge = 1e100, kTiny = 1e-100;
bool can_be_drawn(double value) { return value > kTiny && value < kHuge; }

constexpr std::size_t kMostLabels = 14;  // beside the roofline
constexpr std::size_t kMostBars = 32;
constexpr double kLetter = 6.2;  // the mean width of a letter of 11 pixels

double width_of(const std::string& text) { return kLetter * static_cast<double>(text.size()); }

// Parts differ at their ends: "rnn l0", "rnn l0 reverse".
std::string shortened(const std::string& text, double width) {
  const auto fits = static_cast<std::size_t>(std::max(width / kLetter, 4.0));
  return text.size() <= fits ? text : ".." + text.substr(text.size() - fits + 2);
}

// An <svg> element; `title` and `description` are for those who do not see it.
std::string picture(double width, double height, const std::string& title, const std::string& description,
                    const SvgElements& content) {
  SvgElements svg;
  svg << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << width << ' ' << height << "\" width=\""
      << width << "\" height=\"" << height << "\" role=\"img\">\n  <title>" << xml_text(title)
      << "</title>\n  <desc>" << xml_text(description) << "</desc>\n"
      << content.string() << "</svg>\n";
  return svg.string();
}

struct Dot {
  std::string name;
  double x, y;  // operations a byte, operations a second
  double share;
};

std::vector<Dot> roofline_dots(const ProfileReport& report) {
  std::vector<Dot> dots;
  for_each_part(report.parts, [&](const PartReport& part, std::size_t) {
    if (!can_be_drawn(part.bound.flops / part.bound.bytes)) return;
    if (!can_be_drawn(part.bound.flops / part.seconds_min)) return;
    dots.push_back({part.name, part.bound.flops / part.bound.bytes, part.bound.flops / part.seconds_min,
                    part.share_of_bound});
  });
  // Those that do most have a name; all have a row in the table.
  std::stable_sort(dots.begin(), dots.end(), [](const Dot& a, const Dot& b) { return a.y > b.y; });
  if (dots.size() > kMostLabels) dots.resize(kMostLabels);
  return dots;
}

// Moves places down, then up, until they are `apart` and end at `last` or before. They are sorted.
void spread(std::vector<double>& places, double first, double last, double apart) {
  double least = first;
  for (double& place : places) {
    place = std::max(place, least);
    least = place + apart;
  }
  double most = last;
  for (std::size_t i = places.size(); i-- > 0;) {
    places[i] = std::min(places[i], most);
    most = places[i] - apart;
  }
}

// The plot's place and what it spans.
struct Roofline {
  double left, right, top, bottom;
  double low_x, high_x, low_y, high_y;
  Axis x{low_x, high_x, left, right, true};
  Axis y{low_y, high_y, bottom, top, true};
};

Roofline roofline_of(const MachineLimits& machine, const std::vector<Dot>& dots, double width,
                     double height) {
  const bool is_narrow = width < 500;
  double low_x = HUGE_VAL, high_x = 0, low_y = machine.flops;
  for (const Dot& dot : dots) {
    low_x = std::min(low_x, dot.x);
    high_x = std::max(high_x, dot.x);
    low_y = std::min(low_y, dot.y);
  }
  for (const MachineLimits::Level& level : machine.levels) {
    if (!can_be_drawn(level.bytes_per_second)) continue;
    low_x = std::min(low_x, machine.flops / level.bytes_per_second);
    high_x = std::max(high_x, machine.flops / level.bytes_per_second);
  }
  return {is_narrow ? 40.0 : 52.0,
          width - (is_narrow ? 104 : 150),
          30,
          height - 44,
          low_x / 4,
          high_x * 3,
          low_y / 4,
          machine.flops * 2};
}

constexpr double kLabelFrom = 24;  // along a line, so that its name does not touch the axis

// Bandwidths as lines up to the peak, named along the line where there is room.
void draw_roofs(const MachineLimits& machine, const Roofline& plot, SvgElements& svg) {
  const auto& [left, right, top, bottom, low_x, high_x, low_y, high_y, x, y] = plot;
  const double angle = std::atan2(y(10) - y(1), x(10) - x(1));
  double named_at = -HUGE_VAL;  // where the line that was named last reaches the peak
  double ridge = HUGE_VAL;
  for (const MachineLimits::Level& level : machine.levels) {
    if (!can_be_drawn(level.bytes_per_second)) continue;
    const double reaches = machine.flops / level.bytes_per_second;
    ridge = std::min(ridge, reaches);
    const double from = std::max(low_x, low_y / level.bytes_per_second);
    const double begins = y(from * level.bytes_per_second);
    if (from >= reaches) continue;
    svg.line("slope", x(from), begins, x(reaches), y(machine.flops));
    // The distance between the lines, square to them.
    if (std::abs((x(reaches) - named_at) * std::sin(angle)) < 12) continue;
    named_at = x(reaches);
    const std::string name = level.name + " " + rate_text(level.bytes_per_second, "B/s");
    const double length = std::hypot(x(reaches) - x(from), begins - y(machine.flops));
    if (length < width_of(name) + kLabelFrom) continue;
    svg << "  <text transform=\"translate(" << x(from) + kLabelFrom * std::cos(angle) + 4 * std::sin(angle)
        << ' ' << begins + kLabelFrom * std::sin(angle) - 4 * std::cos(angle) << ") rotate("
        << angle * 180 / M_PI << ")\">" << xml_text(name) << "</text>\n";
  }
  svg.line("roof", x(std::min(std::max(ridge, low_x), high_x)), y(machine.flops), right, y(machine.flops));
  svg.text(right, y(machine.flops) - 6, kAnchorEnd, rate_text(machine.flops, "FLOP/s"));
}

// Powers of ten, with what lies between them where there are few.
std::vector<double> roofline_ticks(const Axis& axis, double low, double high) {
  std::vector<double> ticks = axis.ticks();
  if (high / low > 300) {
    std::erase_if(ticks, [](double tick) { return std::abs(std::remainder(std::log10(tick), 1)) > 1e-6; });
  }
  return ticks;
}

void draw_axes(const Roofline& plot, bool is_narrow, SvgElements& svg) {
  for (const double tick : roofline_ticks(plot.x, plot.low_x, plot.high_x)) {
    svg.line("grid", plot.x(tick), plot.top, plot.x(tick), plot.bottom);
    svg.text(plot.x(tick), plot.bottom + 16, kAnchorMiddle, text_of("%.10g", tick));
  }
  for (const double tick : roofline_ticks(plot.y, plot.low_y, plot.high_y)) {
    svg.line("grid", plot.left, plot.y(tick), plot.right, plot.y(tick));
    svg.text(plot.left - 6, plot.y(tick) + 4, kAnchorEnd, text_of("%.10g", tick / 1e9));
  }
  svg.line("axis", plot.left, plot.top, plot.left, plot.bottom);
  svg.line("axis", plot.left, plot.bottom, plot.right, plot.bottom);
  svg.text(is_narrow ? 4 : 12, 14, kAnchorStart, "GFLOP/s");
  svg.text(plot.right, plot.bottom + 34, kAnchorEnd, "operations a byte");
}

}  // namespace

std::string roofline_picture(const ProfileReport& report, double width) {
  const std::vector<Dot> dots = roofline_dots(report);
  if (!can_be_drawn(report.machine.flops) || dots.empty()) return "";
  const double height = width < 500 ? 320 : 360;
  MachineLimits machine = report.machine;
  machine.flops *= share_of_limits(report);
  const Roofline plot = roofline_of(machine, dots, width, height);
  SvgElements svg;
  draw_axes(plot, width < 500, svg);
  draw_roofs(machine, plot, svg);
  std::vector<double> places;
  places.reserve(dots.size());
  for (const Dot& dot : dots) places.push_back(plot.y(dot.y));
  spread(places, plot.top + 14, plot.bottom - 4, 17);
  const auto share_of = [](const Dot& dot) { return dot.share > 0 ? percent_text(dot.share) : ""; };
  // Beside the plot, or, where one of them is too long, numbers there and the names below.
  const double right = plot.right + 12;
  const bool is_numbered = std::any_of(dots.begin(), dots.end(), [&](const Dot& dot) {
    return right + width_of(dot.name + " " + share_of(dot)) > width;
  });
  std::string description;
  for (std::size_t i = 0; i < dots.size(); ++i) {
    const double x = plot.x(dots[i].x), y = plot.y(dots[i].y);
    svg << "  <polyline class=\"lead\" points=\"" << x << ',' << y << ' ' << plot.right + 4 << ','
        << places[i] << ' ' << plot.right + 8 << ',' << places[i] << "\"/>\n";
  }
  double bottom = height;
  for (std::size_t i = 0; i < dots.size(); ++i) {
    const std::string number = std::to_string(i + 1);
    svg << "  <circle class=\"dot\" cx=\"" << plot.x(dots[i].x) << "\" cy=\"" << plot.y(dots[i].y)
        << "\" r=\"4.5\"/>\n";
    svg.text(right, places[i] + 4, "class=\"name\"",
             (is_numbered ? number + ":" : dots[i].name) + " " + share_of(dots[i]));
    if (is_numbered) {
      svg.text(plot.left, bottom + 8, "class=\"name\"",
               number + ": " + shortened(dots[i].name, width - plot.left - kLetter * 4));
      bottom += 17;
    }
    description += dots[i].name + ": " + rate_text(dots[i].y, "FLOP/s") + " at " +
                   text_of("%.3g", dots[i].x) + " operations a byte, " + share_of(dots[i]) +
                   " of its bound. ";
  }
  return picture(width, bottom, "Roofline: how near each part is to the machine's limits", description, svg);
}

std::string roofline_svg(const ProfileReport& report) {
  std::string svg = roofline_picture(report, 760);
  if (svg.empty()) return svg;
  const std::size_t at = svg.find("  <title>");
  return svg.insert(at,
                    std::string("  <style>") + kPictureStyle +
                        ".paper { fill: #ffffff } @media (prefers-color-scheme: dark) { .paper { fill: "
                        "#0d1117 } }</style>\n  <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n");
}

std::string phases_picture(const ProfileReport& report, double width) {
  struct Bar {
    std::string name;
    PhaseSeconds phases;
    double seconds, indent;
  };
  std::vector<Bar> bars;
  double longest = 0;
  for_each_part(report.parts, [&](const PartReport& part, std::size_t depth) {
    double sum = 0;
    for (const double seconds : part.phases) sum += seconds;
    longest = std::max(longest, sum);
    if (bars.size() < kMostBars)
      bars.push_back({part.name, part.phases, sum, static_cast<double>(depth) * 12});
  });
  if (!(longest > 0)) return "";
  SvgElements svg;
  std::string description;
  double at = 4;  // the legend
  for (std::size_t i = 0; i < kPhases; ++i) {
    const std::string name(phase_name(static_cast<Phase>(i)));
    svg << "  <rect class=\"" << name << "\" x=\"" << at
        << "\" y=\"4\" width=\"10\" height=\"10\" rx=\"2\"/>\n";
    svg.text(at + 14, 13, kAnchorStart, name);
    at += 26 + width_of(name);
  }
  double top = 26;
  for (const Bar& bar : bars) {
    const std::string time =
        seconds_text(bar.seconds) + ", " + percent_text(bar.seconds / report.seconds_median);
    const double room = width - bar.indent - width_of(time) - 16;
    svg.text(bar.indent + 4, top + 11, "class=\"name\"", shortened(bar.name, room));
    svg.text(width - 4, top + 11, kAnchorEnd, time);
    const double scale = (width - 8 - bar.indent) / longest;
    svg << "  <rect class=\"rest\" x=\"" << bar.indent + 4 << "\" y=\"" << top + 16 << "\" width=\""
        << scale * longest << "\" height=\"10\" rx=\"2\"/>\n";
    description += bar.name + ":";
    double x = bar.indent + 4;
    for (std::size_t i = 0; i < kPhases; ++i) {
      if (!(bar.phases[i] > 0)) continue;
      const std::string name(phase_name(static_cast<Phase>(i)));
      svg << "  <rect class=\"" << name << "\" x=\"" << x << "\" y=\"" << top + 16 << "\" width=\""
          << scale * bar.phases[i] << "\" height=\"10\"><title>" << name + " " + seconds_text(bar.phases[i])
          << "</title></rect>\n";
      x += scale * bar.phases[i];
      description += " " + name + " " + seconds_text(bar.phases[i]);
    }
    description += ". ";
    top += 36;
  }
  return picture(width, top, "Time of each part by phase", description, svg);
}

namespace {

// Part of a trace: what lies within, some of it over the ends, and the threads of the whole.
struct TimeWindow {
  double begin = 0, end = 0;
  std::vector<TraceSpan> spans;
  std::vector<std::size_t> threads;
};

// As early as may be, so that each thread has half of its share of `most` spans; one thread may be far ahead
// of another that waited for a processor.
TimeWindow time_window(std::vector<TraceSpan> spans, std::size_t most) {
  std::stable_sort(spans.begin(), spans.end(),
                   [](const TraceSpan& a, const TraceSpan& b) { return a.begin < b.begin; });
  std::map<std::size_t, std::size_t> counts;  // by thread
  for (const TraceSpan& span : spans) counts[span.thread] = 0;
  TimeWindow window;
  for (const auto& [thread, count] : counts) window.threads.push_back(thread);
  std::size_t first = 0, best = 0;
  for (std::size_t last = 0; last < spans.size(); ++last) {
    ++counts[spans[last].thread];
    if (last + 1 < std::min(most, spans.size())) continue;
    if (last >= most) --counts[spans[last - most].thread];
    std::size_t fewest = most;
    for (const auto& [thread, count] : counts) fewest = std::min(fewest, count);
    if (fewest <= best) continue;
    best = fewest;
    first = last + 1 - std::min(most, spans.size());
    if (best >= most / (2 * counts.size())) break;
  }
  if (spans.empty()) return window;
  window.begin = spans[first].begin;
  for (const TraceSpan& span : spans) window.end = std::max(window.end, span.begin + span.seconds);
  if (spans.size() - first > most) window.end = spans[first + most].begin;
  std::erase_if(spans, [&](const TraceSpan& span) {
    return span.begin >= window.end || span.begin + span.seconds <= window.begin;
  });
  window.spans = std::move(spans);
  return window;
}

}  // namespace

std::string timeline_picture(const ProfileReport& report, double width) {
  // More would be thinner than a pixel.
  const TimeWindow window = time_window(report.trace, width < 500 ? 150 : 400);
  if (!(window.end > window.begin)) return "";
  const double left = 58, right = width - 12, row = 24, top = 8;
  const double bottom = top + row * static_cast<double>(window.threads.size());
  const double unit = window.end - window.begin < 1e-3 ? 1e6 : 1e3;
  const Axis x(0, (window.end - window.begin) * unit, left, right, false);
  SvgElements svg;
  for (const double tick : x.ticks((window.end - window.begin) * unit * 70 / (right - left))) {
    svg.line("grid", x(tick), top, x(tick), bottom);
    svg.text(x(tick), bottom + 16, kAnchorMiddle, text_of("%.10g", tick));
  }
  svg.text(right, bottom + 32, kAnchorEnd, unit == 1e6 ? "microseconds" : "milliseconds");
  for (std::size_t i = 0; i < window.threads.size(); ++i) {
    svg.text(left - 6, top + row * static_cast<double>(i) + 15, kAnchorEnd,
             "thread " + std::to_string(window.threads[i]));
  }
  for (const TraceSpan& span : window.spans) {
    const auto at =
        std::lower_bound(window.threads.begin(), window.threads.end(), span.thread) - window.threads.begin();
    std::string kind = "other";
    for (std::size_t i = 0; i < kPhases; ++i) {
      const std::string_view phase = phase_name(static_cast<Phase>(i));
      if (span.name.ends_with(phase)) kind = phase;
    }
    const double begin = x((std::max(span.begin, window.begin) - window.begin) * unit);
    const double end = x((std::min(span.begin + span.seconds, window.end) - window.begin) * unit);
    svg << "  <rect class=\"" << kind << "\" x=\"" << begin << "\" y=\""
        << top + row * static_cast<double>(at) + 2 << "\" width=\"" << std::max(end - begin - 0.3, 0.4)
        << "\" height=\"" << row - 4 << "\"><title>"
        << xml_text(span.name + ", step " + std::to_string(span.step) + ": " + seconds_text(span.seconds))
        << "</title></rect>\n";
  }
  return picture(width, bottom + 38, "Steps as they went, one row a thread",
                 "Spans of time by phase: " + std::to_string(window.spans.size()) + " of them, in " +
                     seconds_text(window.end - window.begin) + ".",
                 svg);
}

std::string gradients_picture(const ProfileReport& report, double width) {
  double least = HUGE_VAL, most = 0;
  for (const double norm : report.gradient_norms) {
    if (!can_be_drawn(norm)) continue;
    least = std::min(least, norm);
    most = std::max(most, norm);
  }
  if (least > most) return "";
  const double left = 52, right = width - 12, top = 24, bottom = 200;
  const auto steps = static_cast<double>(report.gradient_norms.size());
  const Axis x(0, std::max(steps - 1, 1.0), left, right, false);
  const Axis y(least / 1.5, most * 1.5, bottom, top, true);
  SvgElements svg;
  for (const double tick : x.ticks(std::max(1.0, steps * 40 / width))) {
    svg.line("grid", x(tick), top, x(tick), bottom);
    svg.text(x(tick), bottom + 16, kAnchorMiddle, text_of("%.0f", tick));
  }
  for (const double tick : y.ticks()) {
    svg.line("grid", left, y(tick), right, y(tick));
    svg.text(left - 6, y(tick) + 4, kAnchorEnd, text_of("%.3g", tick));
  }
  svg.line("axis", left, top, left, bottom);
  svg.line("axis", left, bottom, right, bottom);
  svg.text(4, 12, kAnchorStart, "norm of the gradient of h");
  svg.text(right, bottom + 32, kAnchorEnd, "time step");
  svg << "  <polyline class=\"curve\" points=\"";
  for (std::size_t t = 0; t < report.gradient_norms.size(); ++t) {
    const double norm = report.gradient_norms[t];
    if (norm >= least && norm <= most) svg << x(static_cast<double>(t)) << ',' << y(norm) << ' ';
  }
  svg << "\"/>\n";
  return picture(width, bottom + 38, "How far back gradients reach",
                 "From " + text_of("%.3g", least) + " to " + text_of("%.3g", most) + " over " +
                     std::to_string(report.gradient_norms.size()) + " time steps.",
                 svg);
}

std::string histogram_picture(const GateReport& gate) {
  if (gate.histogram.empty()) return "";
  const double width = 200, bottom = 66;
  const auto most = static_cast<double>(
      std::max<std::uint64_t>(1, *std::max_element(gate.histogram.begin(), gate.histogram.end())));
  const double bin = (width - 8) / static_cast<double>(gate.histogram.size());
  SvgElements svg;
  for (std::size_t i = 0; i < gate.histogram.size(); ++i) {
    if (gate.histogram[i] == 0) continue;
    // What is there at all is seen.
    const double height = std::max(60 * static_cast<double>(gate.histogram[i]) / most, 0.6);
    svg << "  <rect class=\"bar\" x=\"" << 4 + bin * static_cast<double>(i) + 0.5 << "\" y=\""
        << bottom - height << "\" width=\"" << bin - 1 << "\" height=\"" << height << "\"/>\n";
  }
  svg.line("axis", 4, bottom, width - 4, bottom);
  svg.text(4, bottom + 13, kAnchorStart, gate.is_tanh ? "-1" : "0");
  svg.text(width / 2, bottom + 13, kAnchorMiddle, gate.is_tanh ? "0" : "0.5");
  svg.text(width - 4, bottom + 13, kAnchorEnd, "1");
  return picture(width, bottom + 18, "Histogram of " + gate_name(gate),
                 std::to_string(gate.activations) + " activations, mean " + text_of("%.3f", gate.mean), svg);
}

std::string heat_picture(const GateReport& gate, std::size_t most_cells) {
  if (gate.heat.rank() != 2 || gate.heat.size() == 0) return "";
  const std::size_t units = gate.heat.dim(0), times = gate.heat.dim(1);
  // So many cells are one here.
  std::size_t together = 1;
  while ((units + together - 1) / together * ((times + together - 1) / together) > most_cells) ++together;
  const std::size_t rows = (units + together - 1) / together, columns = (times + together - 1) / together;

  const auto colour = [&](std::size_t row, std::size_t column) -> std::size_t {
    double sum = 0;
    std::size_t count = 0;
    for (std::size_t u = row * together; u < std::min((row + 1) * together, units); ++u) {
      for (std::size_t t = column * together; t < std::min((column + 1) * together, times); ++t) {
        sum += static_cast<double>(gate.heat(u, t));
        ++count;
      }
    }
    const double mean = sum / static_cast<double>(count);
    const double place = gate.is_tanh ? (mean + 1) / 2 : mean;
    if (!(place > 0)) return 0;  // NaN too
    return static_cast<std::size_t>(std::min(place * kColours, kColours - 1.0));
  };
  // A path a colour; cells of one colour side by side are one rectangle.
  std::vector<std::string> paths(kColours);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t column = 0; column < columns;) {
      const std::size_t kind = colour(row, column);
      const std::size_t begin = column;
      while (column < columns && colour(row, column) == kind) ++column;
      const std::string length = std::to_string(column - begin);
      std::string& path = paths[kind];
      path.append("M").append(std::to_string(begin)).append(" ").append(std::to_string(row));
      path.append("h").append(length).append("v1h-").append(length).append("z");
    }
  }
  SvgElements svg;
  svg << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << columns << ' ' << rows
      << "\" preserveAspectRatio=\"none\" shape-rendering=\"crispEdges\" role=\"img\">\n  <title>"
      << xml_text("Heat map of " + gate_name(gate)) << "</title>\n  <desc>" << units << " units by " << times
      << " times</desc>\n";
  for (std::size_t i = 0; i < kColours; ++i) {
    if (paths[i].empty()) continue;
    svg << "  <path fill=\"" << (gate.is_tanh ? kTanhColours : kSigmoidColours)[i] << "\" d=\"" << paths[i]
        << "\"/>\n";
  }
  svg << "</svg>\n";
  return svg.string();
}

std::string heat_scale(bool is_tanh) {
  SvgElements svg;
  for (std::size_t i = 0; i < kColours; ++i) {
    svg << "  <rect fill=\"" << (is_tanh ? kTanhColours : kSigmoidColours)[i] << "\" x=\""
        << 20 + 12 * static_cast<double>(i) << "\" y=\"3\" width=\"12\" height=\"10\"/>\n";
  }
  svg.text(15, 12, kAnchorEnd, is_tanh ? "-1" : "0");
  svg.text(26 + 12 * static_cast<double>(kColours), 12, kAnchorStart, "1");
  return picture(40 + 12 * static_cast<double>(kColours), 16,
                 is_tanh ? "Colours of tanhs" : "Colours of sigmoids", "From the least value to the largest",
                 svg);
}

}  // namespace sluice
