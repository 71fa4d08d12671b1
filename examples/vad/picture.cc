// SPDX-License-Identifier: Apache-2.0
#include "vad/picture.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>

namespace vad {
namespace {

constexpr double kWidth = 1200, kLeft = 58, kRight = 20, kPlot = kWidth - kLeft - kRight;
constexpr double kTop = 78;     // title and legend
constexpr double kPanel = 200;  // the plot of one row
constexpr double kInset = 6;    // so that a probability of 1 stays clear of the frame
constexpr double kRow = 262;    // the plot, its axis, and the gap to the next row
constexpr double kRowSeconds = 60;

// Plain colours first, so that a viewer that knows no media queries shows the light picture.
constexpr const char* kStyle = R"(<style>
text { font: 13px system-ui, "DejaVu Sans", sans-serif; fill: #24292f }
.title { font-size: 17px; font-weight: 600 }
.small { font-size: 11px; fill: #57606a }
.page { fill: #ffffff }
.frame { fill: none; stroke: #8c959f }
.grid { stroke: #d8dee4 }
.source { stroke: #8c959f; stroke-dasharray: 2 3 }
.wave { fill: #a8b1bb }
.speech { fill: #2da44e; fill-opacity: 0.22 }
.edge { stroke: #1a7f37 }
.probability { fill: none; stroke: #0550ae; stroke-width: 1.5; stroke-linejoin: round }
.threshold { stroke: #bc4c00; stroke-dasharray: 6 4 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.small { fill: #9da7b1 }
.page { fill: #0d1117 }
.frame { stroke: #6e7681 }
.grid { stroke: #262c36 }
.source { stroke: #6e7681 }
.wave { fill: #59626d }
.speech { fill: #3fb950; fill-opacity: 0.28 }
.edge { stroke: #3fb950 }
.probability { stroke: #79c0ff }
.threshold { stroke: #ffa657 }
}
</style>
)";

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (static_cast<unsigned char>(c) >= 0x20) {  // XML has no control characters
      out += c;
    }
  }
  return out;
}

/// Seconds between the marks of an axis: at most 15 marks.
double tick_step(double span) {
  for (const double step : {0.1, 0.2, 0.5, 1.0, 2.0, 5.0}) {
    if (span / step <= 15) return step;
  }
  return 10;
}

/// 3 s, 0.4 s, or 12:30 where the recording has more than one row.
std::string time_label(double seconds, double step, bool minutes) {
  std::ostringstream out;
  if (minutes) {
    const long s = std::lround(seconds);
    out << s / 60 << ':' << std::setw(2) << std::setfill('0') << s % 60;
  } else {
    out << std::fixed << std::setprecision(step < 1 ? 1 : 0) << seconds;
  }
  return out.str();
}

/// One row of the picture: the seconds [begin, begin + span), its plot's upper edge at `top`.
struct Row {
  const Picture& picture;
  std::ostringstream& svg;
  double begin, span, top;

  double end() const { return std::min(begin + span, picture.seconds); }
  double x(double seconds) const { return kLeft + (seconds - begin) / span * kPlot; }
  double y(double probability) const { return top + kInset + (1 - probability) * (kPanel - 2 * kInset); }

  void draw(float loudest) const {
    draw_axes();
    draw_segments();
    draw_wave(loudest);
    draw_probability();
    draw_sources();
    svg << "<rect class=\"frame\" x=\"" << kLeft << "\" y=\"" << top << "\" width=\"" << kPlot
        << "\" height=\"" << kPanel << "\"/>\n";
  }

  void line(const char* kind, double x1, double y1, double x2, double y2) const {
    svg << "<line class=\"" << kind << "\" x1=\"" << x1 << "\" y1=\"" << y1 << "\" x2=\"" << x2 << "\" y2=\""
        << y2 << "\"/>\n";
  }

  void draw_axes() const {
    for (const double p : {0.0, 0.25, 0.5, 0.75, 1.0}) {
      line("grid", kLeft, y(p), kLeft + kPlot, y(p));
      svg << "<text class=\"small\" text-anchor=\"end\" x=\"" << kLeft - 7 << "\" y=\"" << y(p) + 4 << "\">"
          << std::setprecision(2) << p << std::setprecision(1) << "</text>\n";
    }
    const bool minutes = picture.seconds > kRowSeconds;
    const double step = tick_step(span);
    const auto first = static_cast<long>(std::ceil(begin / step - 1e-6));
    for (long i = first; static_cast<double>(i) * step <= begin + span + 1e-6; ++i) {
      const double t = static_cast<double>(i) * step;
      line("grid", x(t), top, x(t), top + kPanel);
      svg << "<text class=\"small\" text-anchor=\"middle\" x=\"" << x(t) << "\" y=\"" << top + kPanel + 16
          << "\">" << time_label(t, step, minutes) << "</text>\n";
    }
    svg << "<text class=\"small\" text-anchor=\"middle\" x=\"" << kLeft + kPlot / 2 << "\" y=\""
        << top + kPanel + 34 << "\">" << (minutes ? "time (min:s)" : "time (s)") << "</text>\n"
        << "<text class=\"small\" text-anchor=\"middle\" transform=\"translate(16 " << y(0.5)
        << ") rotate(-90)\">speech probability</text>\n";
  }

  /// One column of the waveform a pixel, scaled so that the loudest sample of all fills the plot.
  void draw_wave(float loudest) const {
    const double scale = loudest > 0 ? 0.48 / loudest : 0;
    const auto columns = static_cast<std::size_t>(std::ceil((end() - begin) / span * kPlot));
    std::ostringstream lower;
    lower << std::fixed << std::setprecision(1);
    std::vector<std::string> back;
    svg << "<path class=\"wave\" d=\"M" << x(begin) << ' ' << y(0.5);
    for (std::size_t column = 0; column < columns; ++column) {
      const double from = begin + static_cast<double>(column) * span / kPlot, to = from + span / kPlot;
      const auto first = static_cast<std::size_t>(from / picture.peak_seconds);
      const auto last = std::min(picture.peaks.size(),
                                 std::max(first + 1, static_cast<std::size_t>(to / picture.peak_seconds)));
      if (first >= last) break;
      Peak peak = picture.peaks[first];
      for (std::size_t i = first; i < last; ++i) {
        peak.low = std::min(peak.low, picture.peaks[i].low);
        peak.high = std::max(peak.high, picture.peaks[i].high);
      }
      svg << 'L' << x(from) << ' ' << y(0.5 + scale * peak.high) - 0.3;
      lower.str("");
      lower << 'L' << x(from) << ' ' << y(0.5 + scale * peak.low) + 0.3;
      back.push_back(lower.str());
    }
    for (auto it = back.rbegin(); it != back.rend(); ++it) svg << *it;
    svg << "Z\"/>\n";
  }

  void draw_segments() const {
    for (const Segment& segment : picture.segments) {
      const double from = static_cast<double>(segment.begin) / picture.sample_rate;
      const double to = static_cast<double>(segment.end) / picture.sample_rate;
      if (to <= begin || from >= end()) continue;
      const double x1 = x(std::max(from, begin)), x2 = x(std::min(to, end()));
      svg << "<rect class=\"speech\" x=\"" << x1 << "\" y=\"" << top << "\" width=\"" << x2 - x1
          << "\" height=\"" << kPanel << "\"><title>" << std::setprecision(2) << from << " - " << to
          << std::setprecision(1) << " s</title></rect>\n";
      if (from >= begin) line("edge", x1, top, x1, top + kPanel);
      if (to <= end()) line("edge", x2, top, x2, top + kPanel);
    }
  }

  void draw_probability() const {
    line("threshold", kLeft, y(picture.threshold), kLeft + kPlot, y(picture.threshold));
    svg << "<polyline class=\"probability\" points=\"";
    for (std::size_t i = 0; i < picture.probabilities.size(); ++i) {
      const double middle = (static_cast<double>(i) + 0.5) * picture.window_seconds;
      if (middle < begin || middle > begin + span) continue;
      svg << x(middle) << ',' << y(picture.probabilities[i]) << ' ';
    }
    svg << "\"/>\n";
  }

  /// Where one recording ends and the next begins, if there are several; the names that have room.
  void draw_sources() const {
    constexpr double kCharacter = 6.5;  // about the width of one
    const auto& sources = picture.sources;
    if (sources.size() < 2) return;
    for (std::size_t i = 0; i < sources.size(); ++i) {
      const double from = sources[i].begin;
      if (from < begin || from >= end()) continue;
      if (from > begin) line("source", x(from), top - 14, x(from), top + kPanel);
      const double to = i + 1 < sources.size() ? std::min(sources[i + 1].begin, begin + span) : begin + span;
      if (x(to) - x(from) < kCharacter * static_cast<double>(sources[i].name.size()) + 6) continue;
      svg << "<text class=\"small\" x=\"" << x(from) + 4 << "\" y=\"" << top - 5 << "\">"
          << escaped(sources[i].name) << "</text>\n";
    }
  }
};

void draw_legend(std::ostringstream& svg) {
  constexpr double y = 22;
  double x = kWidth - kRight - 460;
  const auto box = [&](const char* kind) {
    svg << "<rect class=\"" << kind << "\" x=\"" << x << "\" y=\"" << y - 6
        << "\" width=\"22\" height=\"13\"/>";
  };
  const auto stroke = [&](const char* kind) {
    svg << "<line class=\"" << kind << "\" x1=\"" << x << "\" y1=\"" << y << "\" x2=\"" << x + 22
        << "\" y2=\"" << y << "\"/>";
  };
  const auto label = [&](const char* text, double width) {
    svg << "<text x=\"" << x + 29 << "\" y=\"" << y + 5 << "\">" << text << "</text>\n";
    x += width;
  };
  box("wave");
  label("waveform", 114);
  stroke("probability");
  label("probability", 122);
  stroke("threshold");
  label("threshold", 114);
  box("speech");
  label("speech found", 0);
}

}  // namespace

std::string to_svg(const Picture& picture) {
  const auto rows = static_cast<std::size_t>(std::max(1.0, std::ceil(picture.seconds / kRowSeconds - 1e-9)));
  const double span = rows > 1 ? kRowSeconds : std::max(picture.seconds, 1e-3);
  const double height = kTop + static_cast<double>(rows) * kRow - 18;
  float loudest = 0;
  for (const Peak& peak : picture.peaks) loudest = std::max({loudest, peak.high, -peak.low});
  double speech = 0;
  for (const Segment& s : picture.segments) speech += static_cast<double>(s.end - s.begin);

  std::ostringstream svg;
  svg << std::fixed << std::setprecision(0);
  svg << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << kWidth << ' ' << height
      << "\" width=\"" << kWidth << "\" height=\"" << height << "\" role=\"img\">\n"
      << std::setprecision(1) << "<title>Speech found in a recording</title>\n"
      << kStyle << "<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n";
  svg << "<text class=\"title\" x=\"" << kLeft << "\" y=\"28\">" << picture.segments.size()
      << (picture.segments.size() == 1 ? " segment" : " segments")
      << " of speech: " << speech / picture.sample_rate << " s of " << picture.seconds << " s</text>\n";
  if (picture.sources.size() == 1) {
    svg << "<text class=\"small\" x=\"" << kLeft << "\" y=\"48\">" << escaped(picture.sources[0].name)
        << "</text>\n";
  }
  draw_legend(svg);
  for (std::size_t row = 0; row < rows; ++row) {
    Row{picture, svg, static_cast<double>(row) * kRowSeconds, span, kTop + static_cast<double>(row) * kRow}
        .draw(loudest);
  }
  svg << "</svg>\n";
  return svg.str();
}

}  // namespace vad
