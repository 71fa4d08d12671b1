// SPDX-License-Identifier: Apache-2.0
// How a benchmark is timed: the median of samples, each long enough for the clock.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace sluice::bench {

/// Time of body() in ns.
template <class Body>
double time_ns(const Body& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
  return took.count();
}

/// The middle one of samples, at least one.
inline double median(std::vector<double> samples) {
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

/// Median time of body() in ns, of `count` samples; a first call, which warms the caches, does not count.
template <class Body>
double median_ns(const Body& body, std::size_t count) {
  body();
  std::vector<double> samples(count);
  for (double& sample : samples) sample = time_ns(body);
  return median(samples);
}

/// Median time of body() in ns, one sample an iteration of `state` and five at least. A short body is called
/// several times a sample. The first calls do not count.
template <class Body>
double median_ns(benchmark::State& state, const Body& body) {
  constexpr double kSampleNs = 5000;
  constexpr std::size_t kSamples = 5;
  body();
  const auto calls = static_cast<benchmark::IterationCount>(std::max(kSampleNs / time_ns(body), 1.0));
  const auto sample = [&] {
    const double ns = time_ns([&] {
      for (benchmark::IterationCount i = 0; i < calls; ++i) {
        body();
        benchmark::ClobberMemory();
      }
    });
    return ns / static_cast<double>(calls);
  };
  std::vector<double> samples;
  while (state.KeepRunningBatch(calls)) samples.push_back(sample());
  while (samples.size() < kSamples) samples.push_back(sample());
  return median(samples);
}

}  // namespace sluice::bench
