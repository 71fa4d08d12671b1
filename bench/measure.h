// SPDX-License-Identifier: Apache-2.0
// How a benchmark is timed: the median of samples, each long enough for the clock.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace sluice::bench {

/// Median time of a call of body() in ns: of one sample an iteration of `state`, and of five at least. A
/// short body is called several times a sample. The first calls, which warm the caches, do not count.
template <class Body>
double median_ns(benchmark::State& state, const Body& body) {
  const auto time_ns = [&](benchmark::IterationCount calls) {
    const auto start = std::chrono::steady_clock::now();
    for (benchmark::IterationCount i = 0; i < calls; ++i) {
      body();
      benchmark::ClobberMemory();
    }
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    return took.count() / static_cast<double>(calls);
  };
  body();
  constexpr double kSampleNs = 5000;
  constexpr std::size_t kSamples = 5;
  const auto calls = static_cast<benchmark::IterationCount>(std::max(kSampleNs / time_ns(1), 1.0));
  std::vector<double> samples;
  while (state.KeepRunningBatch(calls)) samples.push_back(time_ns(calls));
  while (samples.size() < kSamples) samples.push_back(time_ns(calls));
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

}  // namespace sluice::bench
