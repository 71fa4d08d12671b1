// SPDX-License-Identifier: Apache-2.0
// How a benchmark is timed: the median of samples, each long enough for the clock.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "median.h"

namespace sluice::bench {

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
