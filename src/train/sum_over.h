// SPDX-License-Identifier: Apache-2.0
// Sums whose bits depend on the numbers alone.
#pragma once

#include <array>
#include <cstddef>
#include <functional>

namespace sluice {

/// The sum of term(i) over [0, n), or what `fold` makes of two in place of a sum: element i goes to partial
/// result i mod 8, chains that do not wait for each other, and these are folded pairwise. One order for every
/// instruction set.
template <class Term, class Fold = std::plus<>>
double sum_over(std::size_t n, const Term& term, const Fold& fold = {}) noexcept {
  constexpr std::size_t kParts = 8;
  std::array<double, kParts> parts{};
  std::size_t i = 0;
  for (; i + kParts <= n; i += kParts) {
    for (std::size_t j = 0; j < kParts; ++j) parts[j] = fold(parts[j], term(i + j));
  }
  for (; i < n; ++i) parts[i % kParts] = fold(parts[i % kParts], term(i));
  for (std::size_t half = kParts / 2; half > 0; half /= 2) {
    for (std::size_t j = 0; j < half; ++j) parts[j] = fold(parts[j], parts[j + half]);
  }
  return parts[0];
}

}  // namespace sluice
