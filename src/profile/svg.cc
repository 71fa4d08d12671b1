// SPDX-License-Identifier: Apache-2.0
#include "profile/svg.h"

#include <algorithm>
#include <cstdio>
#include <iomanip>

namespace sluice {

std::string text_of(const char* format, double value) {
  char text[40];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string xml_text(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '&') {
      escaped += "&amp;";
    } else if (c == '<') {
      escaped += "&lt;";
    } else if (c == '>') {
      escaped += "&gt;";
    } else if (c == '"') {
      escaped += "&quot;";
    } else {
      escaped += static_cast<unsigned char>(c) < ' ' || c == '\x7f' ? ' ' : c;
    }
  }
  return escaped;
}

std::vector<double> Axis::linear_ticks(double least) const {
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
std::vector<double> Axis::log_ticks() const {
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

SvgElements::SvgElements() { out_ << std::fixed << std::setprecision(1); }

void SvgElements::text(double x, double y, std::string_view attributes, std::string_view content) {
  out_ << "  <text x=\"" << x << "\" y=\"" << y << "\" " << attributes << '>' << xml_text(content)
       << "</text>\n";
}

void SvgElements::line(std::string_view kind, double x1, double y1, double x2, double y2) {
  out_ << "  <line class=\"" << kind << "\" x1=\"" << x1 << "\" y1=\"" << y1 << "\" x2=\"" << x2 << "\" y2=\""
       << y2 << "\"/>\n";
}

}  // namespace sluice
