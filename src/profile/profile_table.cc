// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <string_view>

#include "profile/figures.h"
#include "profile/svg.h"
#include "sluice/profile.h"

namespace sluice {
namespace {

std::string styled(std::string_view text, const char* style, bool with_color) {
  return with_color ? std::string(style) + std::string(text) + "\x1b[0m" : std::string(text);
}

constexpr const char* kBold = "\x1b[1m";

std::string machine_text(const ProfileReport& report) {
  const MachineLimits& machine = report.machine;
  if (machine.flops <= 0) return "";
  std::string text = "  this machine, " + machine.target + ", " +
                     counted(static_cast<std::size_t>(machine.threads), "thread") + ": " +
                     rate_text(share_of_limits(report) * machine.flops, "FLOP/s");
  for (const MachineLimits::Level& level : machine.levels) {
    text += ", " + plain_text(level.name) + " " + rate_text(level.bytes_per_second, "B/s");
  }
  return text + "\n";
}

std::string hardware_text(const ProfileReport& report) {
  const HardwareCounts& counts = report.hardware;
  if (!counts.is_there) {
    return counts.why_not.empty() ? "" : "  no hardware counters: " + plain_text(counts.why_not) + "\n";
  }
  return std::string("  ") + rate_text(counts.cycles, " cycles") + ", " +
         rate_text(counts.instructions, " instructions") + " (" +
         text_of("%.2f", counts.cycles > 0 ? counts.instructions / counts.cycles : 0) + " a cycle), " +
         rate_text(counts.cache_misses, " cache misses") + " a run\n";
}

std::string parts_text(const ProfileReport& report) {
  Columns columns;
  columns.add({"part", "type", "min", "median", "of all", "input", "recurrent", "gates", "waiting", "other",
               "bound", "by", "share"});
  for_each_part(report.parts, [&](const PartReport& part, std::size_t depth) {
    std::vector<std::string> row{std::string(2 * depth, ' ') + plain_text(part.name), plain_text(part.type),
                                 seconds_text(part.seconds_min), seconds_text(part.seconds_median),
                                 percent_text(part.seconds_median / report.seconds_median)};
    for (const double seconds : part.phases) row.push_back(seconds > 0 ? seconds_text(seconds) : "-");
    const bool is_bounded = part.bound.seconds > 0;
    row.push_back(is_bounded ? seconds_text(part.bound.seconds) : "-");
    row.push_back(is_bounded ? plain_text(part.bound.by) : "-");
    row.push_back(is_bounded ? percent_text(part.share_of_bound) : "-");
    columns.add(std::move(row));
  });
  return columns.text(2);
}

std::string throughput_text(const ProfileReport& report) {
  Columns columns;
  columns.add({"activations", "a second", "time each", "a cycle"});
  bool has_any = false;
  for_each_part(report.parts, [&](const PartReport& part, std::size_t depth) {
    if (part.gates_per_second <= 0) return;
    has_any = true;
    columns.add({std::string(2 * depth, ' ') + plain_text(part.name), rate_text(part.gates_per_second, ""),
                 text_of("%.3f ns", part.ns_per_gate), text_of("%.2f", part.elements_per_cycle)});
  });
  if (!has_any) return "";
  // On as many threads and in the same type, to stand beside them.
  const std::size_t threads = threads_taken(report);
  const auto alone = [&](const std::string& name, double per_second) {
    if (per_second <= 0) return;
    per_second *= share_of_limits(report) * static_cast<double>(threads) / report.machine.threads;
    columns.add({name + " by itself, " + counted(threads, "thread"), rate_text(per_second, ""),
                 text_of("%.3f ns", 1e9 / per_second), ""});
  };
  alone("sigmoid", report.machine.sigmoid_per_second);
  alone("tanh", report.machine.tanh_per_second);
  return std::string("\n") + columns.text(2);
}

// A character a bin, the fuller the darker.
std::string histogram_text(const std::vector<std::uint64_t>& histogram) {
  constexpr std::string_view kShades = " .:-=+*#%@";
  const std::uint64_t most = histogram.empty() ? 0 : *std::max_element(histogram.begin(), histogram.end());
  std::string text = "|";
  for (const std::uint64_t count : histogram) {
    const double share = most == 0 ? 0 : static_cast<double>(count) / static_cast<double>(most);
    // What is there at all is seen.
    text += count == 0 ? ' ' : kShades[1 + static_cast<std::size_t>(share * 8.999)];
  }
  return text + "|";
}

std::string gates_text(const ProfileReport& report) {
  if (report.gates.empty()) return "";
  Columns columns;
  columns.add(
      {"gate", "shut", "open", "mean", "slope", "memory", "dead", "stuck", "values, least to largest"});
  for (const GateReport& gate : report.gates) {
    const double all = std::max(1.0, static_cast<double>(gate.activations));
    columns.add({plain_text(gate_name(gate)), percent_text(static_cast<double>(gate.shut) / all),
                 percent_text(static_cast<double>(gate.open) / all), text_of("%.3f", gate.mean),
                 text_of("%.3f", gate.mean_derivative), memory_text(gate),
                 std::to_string(gate.dead_units.size()), std::to_string(gate.stuck_units.size()),
                 histogram_text(gate.histogram)});
  }
  return columns.text(2);
}

}  // namespace

std::string profile_table(const ProfileReport& report, bool with_color) {
  const auto title = [&](const std::string& text) { return styled(text, kBold, with_color); };
  std::string text = title(plain_text(report.model)) + ": " + conditions_text(report) + "\n  " +
                     seconds_text(report.seconds_min) + " a run (median " +
                     seconds_text(report.seconds_median) + ")";
  if (report.steps > 1) {
    text += ", " + seconds_text(report.seconds_min / static_cast<double>(report.steps)) + " a step";
  }
  if (report.load_seconds > 0) text += "; loaded in " + seconds_text(report.load_seconds);
  text += '\n';
  if (const std::string unsteady = unsteady_text(report); !unsteady.empty()) {
    text += "  " + styled(unsteady, kBold, with_color) + "\n";
  }
  if (report.bound.seconds > 0) {
    text += std::string("  ") + percent_text(report.share_of_bound) + " of the bound, " +
            seconds_text(report.bound.seconds) + " by " + plain_text(report.bound.by) + "\n";
  }
  text += machine_text(report) + hardware_text(report) + "\n" + title("Where the time goes") + "\n" +
          parts_text(report) + throughput_text(report);
  if (!report.gates.empty()) {
    text += '\n';
    text += title(report.is_random_data ? "What the gates do, on data drawn at random" : "What the gates do");
    text += '\n' + gates_text(report);
  }
  if (!report.advice.empty()) {
    text += '\n';
    text += title("What would help") + '\n';
  }
  for (const Advice& advice : report.advice) {
    text += "  " + plain_text(advice.where) + ": " + plain_text(advice.what) + ": " +
            plain_text(advice.figure) + (advice.is_measured ? " (measured)" : "") + "\n";
  }
  return text;
}

}  // namespace sluice
