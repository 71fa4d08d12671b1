// SPDX-License-Identifier: Apache-2.0
// What pictures in SVG are made of: axes, text, lines.
#pragma once

#include <cmath>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

/// A number by printf's format.
std::string text_of(const char* format, double value);

/// Text as it stands between tags or in a quoted attribute of XML and HTML. Control characters become spaces.
std::string xml_text(std::string_view text);

/// Values to places on the page.
class Axis {
 public:
  /// `low` < `high`; on a logarithmic scale both are above 0.
  Axis(double low, double high, double start, double end, bool is_log)
      : low_(scaled(low, is_log)), high_(scaled(high, is_log)), start_(start), end_(end), is_log_(is_log) {}

  double operator()(double value) const {
    return start_ + (scaled(value, is_log_) - low_) / (high_ - low_) * (end_ - start_);
  }

  bool is_log() const { return is_log_; }

  /// Round numbers within the axis, 1 to about 10 of them, `least` apart or more.
  std::vector<double> ticks(double least = 0) const { return is_log_ ? log_ticks() : linear_ticks(least); }

 private:
  static double scaled(double value, bool is_log) { return is_log ? std::log10(value) : value; }

  std::vector<double> linear_ticks(double least) const;
  std::vector<double> log_ticks() const;

  double low_, high_;
  double start_, end_;
  bool is_log_;
};

/// The elements of a picture, one a line; places with one digit after the point.
class SvgElements {
 public:
  SvgElements();

  /// `attributes` as they stand in the tag; `content` is escaped here.
  void text(double x, double y, std::string_view attributes, std::string_view content);
  void line(std::string_view kind, double x1, double y1, double x2, double y2);
  /// Anything else, such as `svg << "<circle cx=\"" << x << ...`.
  template <class Value>
  SvgElements& operator<<(const Value& value) {
    out_ << value;
    return *this;
  }
  std::string string() const { return out_.str(); }

 private:
  std::ostringstream out_;
};

inline constexpr const char* kAnchorStart = "text-anchor=\"start\"";
inline constexpr const char* kAnchorMiddle = "text-anchor=\"middle\"";
inline constexpr const char* kAnchorEnd = "text-anchor=\"end\"";

}  // namespace sluice
