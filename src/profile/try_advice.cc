// SPDX-License-Identifier: Apache-2.0
#include "profile/try_advice.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <string>
#include <utility>

#include "core/threads.h"
#include "profile/figures.h"
#include "profile/measure.h"
#include "profile/svg.h"
#include "sluice/tensor.h"

namespace sluice {
namespace {

// By so much a change must be faster before it is advice, since runs differ by a few percent.
constexpr double kWorthIt = 1.05;

double least_of(const Trial& trial) { return *std::min_element(trial.seconds.begin(), trial.seconds.end()); }

double median_of(const Trial& trial) {
  std::vector<double> sorted = trial.seconds;
  std::sort(sorted.begin(), sorted.end());
  return (sorted[(sorted.size() - 1) / 2] + sorted[sorted.size() / 2]) / 2;
}

std::string named(int threads) { return threads == 1 ? "one thread" : std::to_string(threads) + " threads"; }

// How many times as long `slow` takes as `fast`.
std::string times_as_long(const Trial& slow, const Trial& fast) {
  return text_of("%.2f", least_of(slow) / least_of(fast)) + " times as long";
}

// What stands behind a figure where the machine did other things too.
std::string doubt(const Trial& slow, const Trial& fast) {
  const auto is_steady = [](const Trial& trial) { return !is_unsteady(least_of(trial), median_of(trial)); };
  if (is_steady(slow) && is_steady(fast)) return "";
  return " (unsteady: by the medians " + text_of("%.2f", median_of(slow) / median_of(fast)) + " times)";
}

// Each row stands twice.
template <class T>
Tensor<T> twice_the_rows(TensorView<const T> x) {
  const std::size_t rows = x.dim(1);
  Tensor<T> twice({x.dim(0), 2 * rows, x.dim(2)});
  for (std::size_t t = 0; t < x.dim(0); ++t) {
    for (std::size_t b = 0; b < 2 * rows; ++b) std::copy_n(&x(t, b % rows, 0), x.dim(2), &twice(t, b, 0));
  }
  return twice;
}

}  // namespace

std::vector<int> threads_to_try(int own, int most) {
  std::vector<int> all{own};
  for (int threads = 1; threads < most; threads *= 2) {
    if (threads != own) all.push_back(threads);
  }
  if (most != own) all.push_back(most);
  return all;
}

std::vector<std::vector<double>> seconds_in_turns(std::span<const std::function<void()>> runs,
                                                  std::size_t repeat) {
  const auto seconds_of = [](const std::function<void()>& run, std::size_t times) {
    const auto begin = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < times; ++i) run();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    return took.count() / static_cast<double>(times);
  };
  std::vector<std::size_t> times;
  for (const std::function<void()>& run : runs) {
    run();
    times.push_back(runs_at_once(seconds_of(run, 1)));
  }
  std::vector<std::vector<double>> seconds(runs.size());
  for (std::size_t round = 0; round < repeat; ++round) {
    for (std::size_t i = 0; i < runs.size(); ++i) {
      runs[i]();
      seconds[i].push_back(seconds_of(runs[i], times[i]));
    }
  }
  return seconds;
}

const Trial& fastest_of(std::span<const Trial> trials) {
  const Trial* fastest = &trials[0];
  for (const Trial& trial : trials.subspan(1)) {
    const bool is_faster =
        kWorthIt * least_of(trial) < least_of(*fastest) && median_of(trial) < median_of(*fastest);
    if (is_faster) fastest = &trial;
  }
  return *fastest;
}

std::optional<Advice> threads_advice(const ProfileReport& report, std::span<const Trial> trials) {
  const Trial& own = trials[0];
  const Trial& fastest = fastest_of(trials);
  if (&fastest == &own) return std::nullopt;
  return Advice{.where = report.model,
                .what = "use " + named(fastest.threads),
                .figure = named(own.threads) + (own.threads == 1 ? " takes " : " take ") +
                          times_as_long(own, fastest) + " as " + named(fastest.threads) + doubt(own, fastest),
                .is_measured = true};
}

std::optional<Advice> rows_advice(const ProfileReport& report, const Trial& once, const Trial& twice) {
  const double gain = 2 * least_of(once) / least_of(twice);
  if (gain <= kWorthIt || median_of(twice) >= 2 * median_of(once)) return std::nullopt;
  return Advice{.where = report.model,
                .what = "run more rows at once",
                .figure = "twice the rows take " + times_as_long(twice, once) + " on " + named(once.threads) +
                          doubt(twice, once) + ": " + text_of("%.2f", gain) + " times as many rows a second",
                .is_measured = true};
}

template <class T>
void try_advice(ProfileReport& report, const Module<T>& module, const Sequence<T>& in) {
  std::erase_if(report.advice, [](const Advice& advice) {
    return advice.what == "use one thread" || advice.what == "run more rows at once";
  });
  const auto run_of = [&](const Sequence<T>& data, int threads) {
    return [&module, &data, threads] { static_cast<void>(module.run(data, {.threads = threads})); };
  };
  const int most = most_threads(std::numeric_limits<int>::max());
  std::vector<Trial> trials;
  std::vector<std::function<void()>> runs;
  for (const int threads : threads_to_try(report.threads, most)) {
    trials.push_back({threads, {}});
    runs.emplace_back(run_of(in, threads));
  }
  std::vector<std::vector<double>> seconds = seconds_in_turns(runs, report.repeat);
  for (std::size_t i = 0; i < trials.size(); ++i) trials[i].seconds = std::move(seconds[i]);

  const Tensor<T> rows = twice_the_rows(in.x);
  std::vector<std::int64_t> lengths(in.lengths.begin(), in.lengths.end());
  lengths.insert(lengths.end(), in.lengths.begin(), in.lengths.end());
  const Sequence<T> doubled{rows.view(), lengths};
  const int threads = fastest_of(trials).threads;
  seconds = seconds_in_turns(
      std::vector<std::function<void()>>{run_of(in, threads), run_of(doubled, threads)}, report.repeat);

  std::vector<Advice> measured;
  for (std::optional<Advice> advice :
       {threads_advice(report, trials), rows_advice(report, {threads, seconds[0]}, {threads, seconds[1]})}) {
    if (advice) measured.push_back(*std::move(advice));
  }
  report.advice.insert(report.advice.begin(), measured.begin(), measured.end());
}

template void try_advice(ProfileReport&, const Module<float>&, const Sequence<float>&);
template void try_advice(ProfileReport&, const Module<double>&, const Sequence<double>&);

}  // namespace sluice
