// SPDX-License-Identifier: Apache-2.0
// Times of a piece of work, and the middle one of them.
#pragma once

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

}  // namespace sluice::bench
