// SPDX-License-Identifier: Apache-2.0
// Sums over a row whose bits depend on the numbers alone.
#pragma once

#include <cstddef>

namespace sluice::kernels {

/// In double: element i goes to partial sum i mod 8, and these are added pairwise. One order for every
/// instruction set, and eight chains that do not wait for each other.
template <class T>
struct RowSums {
  double (*sum)(const T* x, std::size_t n);
  double (*square_sum)(const T* x, std::size_t n, double mean);  ///< of (x - mean)^2

  double mean(const T* x, std::size_t n) const { return sum(x, n) / static_cast<double>(n); }
  /// The mean square about the mean, so that nothing is lost where the mean is large.
  double variance(const T* x, std::size_t n, double mean) const {
    return square_sum(x, n, mean) / static_cast<double>(n);
  }
};

/// The table of the active target (sluice/target.h). Keep it; do not look it up in a loop.
template <class T>
const RowSums<T>& row_sums();
template <>
const RowSums<float>& row_sums<float>();
template <>
const RowSums<double>& row_sums<double>();

}  // namespace sluice::kernels
