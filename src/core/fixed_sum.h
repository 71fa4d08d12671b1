// SPDX-License-Identifier: Apache-2.0
// Sums whose bits depend on the numbers alone.
#pragma once

#include <array>
#include <cstddef>

namespace sluice {

/// The sum of term(x[i]) in double: element i goes to partial sum i mod 8, and these are added pairwise. One
/// order for every instruction set, and eight chains that do not wait for each other.
template <class T, class Term>
double fixed_sum(const T* x, std::size_t n, const Term& term) noexcept {
  constexpr std::size_t kPartialSums = 8;
  std::array<double, kPartialSums> sums{};
  std::size_t i = 0;
  for (; i + kPartialSums <= n; i += kPartialSums) {
    for (std::size_t j = 0; j < kPartialSums; ++j) sums[j] += term(static_cast<double>(x[i + j]));
  }
  for (; i < n; ++i) sums[i % kPartialSums] += term(static_cast<double>(x[i]));
  for (std::size_t half = kPartialSums / 2; half > 0; half /= 2) {
    for (std::size_t j = 0; j < half; ++j) sums[j] += sums[j + half];
  }
  return sums[0];
}

}  // namespace sluice
