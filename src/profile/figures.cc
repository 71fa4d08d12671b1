// SPDX-License-Identifier: Apache-2.0
#include "profile/figures.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "profile/svg.h"

namespace sluice {
namespace {

// Where nothing else runs the median is 10 to 15 % above the least.
constexpr double kUnsteady = 1.3;

// Three digits: "1.23", "12.3", "123".
std::string three_digits(double value) {
  const double size = std::abs(value);
  return text_of(size < 9.995 ? "%.2f" : size < 99.95 ? "%.1f" : "%.0f", value);
}

}  // namespace

std::string seconds_text(double seconds) {
  if (!std::isfinite(seconds)) return "-";
  if (seconds < 0.9995e-6) return three_digits(seconds * 1e9) + " ns";
  if (seconds < 0.9995e-3) return three_digits(seconds * 1e6) + " us";
  if (seconds < 0.9995) return three_digits(seconds * 1e3) + " ms";
  return three_digits(seconds) + " s";
}

std::string rate_text(double per_second, std::string_view of) {
  if (!std::isfinite(per_second) || per_second <= 0) return "-";
  const char* prefix = "";
  for (const char* larger : {"k", "M", "G", "T"}) {
    if (per_second < 999.5) break;
    per_second /= 1000;
    prefix = larger;
  }
  return three_digits(per_second) + " " + prefix + std::string(of);
}

std::string percent_text(double share) {
  if (!std::isfinite(share)) return "-";
  return text_of("%.1f %%", 100 * share);
}

std::string bytes_text(double bytes) {
  if (bytes < 1024) return text_of("%.0f B", bytes);
  const char* unit = "KiB";
  bytes /= 1024;
  for (const char* larger : {"MiB", "GiB", "TiB"}) {
    if (bytes < 1024) break;
    bytes /= 1024;
    unit = larger;
  }
  return text_of("%.4g ", bytes) + unit;
}

std::string plain_text(std::string_view text) {
  std::string plain(text);
  for (char& c : plain) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  }
  return plain;
}

void for_each_part(const std::vector<PartReport>& parts,
                   const std::function<void(const PartReport&, std::size_t depth)>& visit) {
  for (const PartReport& part : parts) {
    visit(part, 0);
    if (part.parts.size() < 2) continue;
    for_each_part(part.parts, [&](const PartReport& inner, std::size_t depth) { visit(inner, depth + 1); });
  }
}

std::string memory_text(const GateReport& gate) {
  if (gate.memory_median <= 0) return gate.memory_steps > 0 ? text_of("%.3g steps", gate.memory_steps) : "-";
  return text_of("%.3g steps (", gate.memory_median) + text_of("%.3g to ", gate.memory_low) +
         text_of("%.3g)", gate.memory_high);
}

std::string counted(std::size_t n, std::string_view what) {
  return std::to_string(n) + " " + std::string(what) + (n == 1 ? "" : "s");
}

std::size_t threads_taken(const ProfileReport& report) {
  std::size_t most = 0;
  for (const PartReport& part : report.parts) most = std::max(most, part.threads);
  return most > 0 ? most : static_cast<std::size_t>(report.threads);
}

double share_of_limits(const ProfileReport& report) { return report.dtype == "float64" ? 0.5 : 1; }

std::string conditions_text(const ProfileReport& report) {
  std::string text = report.dtype + ", ";
  if (report.input_size > 0) {
    text += counted(report.steps, "step") + " of " + counted(report.batch, "row") + " of " +
            counted(report.input_size, "feature") + ", ";
  }
  const auto threads = static_cast<std::size_t>(report.threads);
  const std::size_t taken = threads_taken(report);
  if (taken < threads) text += std::to_string(taken) + " of ";
  text += counted(threads, "thread");
  if (taken < threads) text += " in recurrent layers";
  return text + ", " + counted(report.repeat, "run");
}

bool is_unsteady(double least, double median) { return least > 0 && median > kUnsteady * least; }

std::string unsteady_text(const ProfileReport& report) {
  if (!is_unsteady(report.seconds_min, report.seconds_median)) return "";
  return "unsteady: the median run took " + text_of("%.1f", report.seconds_median / report.seconds_min) +
         " times the least; other programs may be running";
}

std::string gate_name(const GateReport& gate) {
  return gate.module + " l" + std::to_string(gate.layer) + (gate.direction == 1 ? " reverse " : " ") +
         gate.gate;
}

std::string Columns::text(std::size_t indent) const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line(indent, ' ');
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - row[i].size(), ' ');
      line += i == 0 ? row[i] + space : "  " + space + row[i];
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace sluice
