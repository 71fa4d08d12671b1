// SPDX-License-Identifier: Apache-2.0
#include "profile/advice.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "profile/gate_advice.h"

namespace sluice {
namespace {

// Rows up to which more of them cost a step little: it waits for its weights.
constexpr std::size_t kFewRows = 8;
// Share of the bound from which on little is left to gain but by less work.
constexpr double kNearBound = 0.6;
// Share of a run of one step.
constexpr double kMuchOverhead = 0.3;
// Mean length of rows by that of the longest.
constexpr double kRagged = 0.6;

[[gnu::format(printf, 1, 2)]] std::string print(const char* format, ...) {
  char text[240];
  std::va_list values;
  va_start(values, format);
  std::vsnprintf(text, sizeof(text), format, values);
  va_end(values);
  return text;
}

bool is_recurrent(const PartReport& part) { return !part.parts.empty(); }

bool waits_for_weights(const PartReport& part) {
  const std::string& by = part.bound.by;
  return !by.empty() && by != "multiply-adds" && by != "gates";
}

std::optional<Advice> more_rows(const ProfileReport& report, const PartReport& part) {
  if (!is_recurrent(part) || report.batch >= kFewRows) return std::nullopt;
  const std::string rows = print("%zu %s: ", report.batch, report.batch == 1 ? "row" : "rows");
  if (waits_for_weights(part)) {
    return Advice{
        .where = part.name,
        .what = "run more rows at once",
        .figure = rows + print("%.1f operations for each byte read, and reading from %s takes "
                               "longer than the arithmetic",
                               part.bound.flops / std::max(part.bound.bytes, 1.0), part.bound.by.c_str())};
  }
  // 0: rows without steps have no bound.
  if (part.share_of_bound == 0 || part.share_of_bound >= kNearBound) return std::nullopt;
  return Advice{.where = part.name,
                .what = "run more rows at once",
                .figure = rows + print("%.0f %% of the bound, since each step waits for the one before, and "
                                       "other rows would not",
                                       100 * part.share_of_bound)};
}

std::optional<Advice> narrower_weights(const ProfileReport& report, const PartReport& part) {
  if (!is_recurrent(part) || !waits_for_weights(part) || part.share_of_bound < kNearBound) {
    return std::nullopt;
  }
  const bool is_double = report.dtype == "float64";
  return Advice{.where = part.name,
                .what = is_double
                            ? "run it in float32"
                            : "make its weights fewer: a smaller hidden_size, or a projection (proj_size)",
                .figure = print("%.0f %% of the speed at which %s gives the weights",
                                100 * part.share_of_bound, part.bound.by.c_str())};
}

// What threads do besides waiting is what one would have to do, or less.
std::optional<Advice> fewer_threads(const PartReport& part) {
  const double all = std::accumulate(part.phases.begin(), part.phases.end(), 0.0);
  const double waiting = part.phases[static_cast<std::size_t>(Phase::kWaiting)];
  const double at_work = static_cast<double>(part.threads) * (all - waiting);
  if (part.threads <= 1 || at_work >= all) return std::nullopt;
  return Advice{
      .where = part.name,
      .what = "use one thread",
      .figure = print("%zu threads wait for each other %.0f %% of their time: what they do meanwhile "
                      "would take one of them %.2f times as long",
                      part.threads, 100 * waiting / all, at_work / all)};
}

std::optional<Advice> streams(const ProfileReport& report) {
  if (report.steps != 1 || report.input_size == 0) return std::nullopt;
  double other = 0;
  for (const PartReport& part : report.parts) {
    if (is_recurrent(part)) other += part.phases[static_cast<std::size_t>(Phase::kOther)];
  }
  if (other <= kMuchOverhead * report.seconds_median) return std::nullopt;
  return Advice{.where = report.model,
                .what = "run single steps through a Stream, which keeps states and memory between them",
                .figure = print("%.0f %% of a run of one step is neither products nor gates",
                                100 * other / report.seconds_median)};
}

std::optional<Advice> rows_of_like_length(const ProfileReport& report) {
  if (report.batch == 1 || report.longest == 0) return std::nullopt;
  const double mean =
      report.valid_share * static_cast<double>(report.steps) / static_cast<double>(report.longest);
  if (mean >= kRagged) return std::nullopt;
  return Advice{.where = report.model,
                .what = "put rows of like length into one batch",
                .figure = print("%zu rows have %.0f %% of the longest one's steps on average", report.batch,
                                100 * mean)};
}

}  // namespace

std::vector<Advice> advice_for(const ProfileReport& report) {
  std::vector<Advice> all;
  const auto add = [&](std::optional<Advice> one) {
    if (one) all.push_back(*std::move(one));
  };
  add(rows_of_like_length(report));
  add(streams(report));
  for (const PartReport& part : report.parts) {
    add(more_rows(report, part));
    add(narrower_weights(report, part));
    add(fewer_threads(part));
  }
  for (const GateReport& gate : report.gates) {
    for (Advice& one : gate_advice(gate)) {
      if (report.is_random_data) one.figure += " (of data drawn at random)";
      all.push_back(std::move(one));
    }
  }
  return all;
}

}  // namespace sluice
