// SPDX-License-Identifier: Apache-2.0
// Numbers for tests: the same on every machine and with every standard library, unlike std's distributions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sluice/tensor.h"

namespace sluice {

/// SplitMix64 (Steele, Lea and Flood 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t bits() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  /// Uniform in [low, high).
  double uniform(double low, double high) {
    return low + (high - low) * (static_cast<double>(bits() >> 11) * 0x1p-53);
  }
  /// Uniform in [0, n).
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(bits() % n); }

 private:
  std::uint64_t state_;
};

template <class T>
std::vector<T> random_vector(std::size_t n, double low, double high, std::uint64_t seed) {
  Random random(seed);
  std::vector<T> values(n);
  for (T& v : values) v = static_cast<T>(random.uniform(low, high));
  return values;
}

template <class T>
Tensor<T> random_tensor(const Shape& shape, double low, double high, std::uint64_t seed) {
  return Tensor<T>(shape, random_vector<T>(shape.size(), low, high, seed));
}

}  // namespace sluice
