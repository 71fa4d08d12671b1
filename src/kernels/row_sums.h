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
};

/// The table of the active target (sluice/target.h).
template <class T>
const RowSums<T>& row_sums();
template <>
const RowSums<float>& row_sums<float>();
template <>
const RowSums<double>& row_sums<double>();

template <class T>
double row_mean(const T* x, std::size_t n) {
  return row_sums<T>().sum(x, n) / static_cast<double>(n);
}
/// The mean square about the mean, so that nothing is lost where the mean is large.
template <class T>
double row_variance(const T* x, std::size_t n, double mean) {
  return row_sums<T>().square_sum(x, n, mean) / static_cast<double>(n);
}

}  // namespace sluice::kernels
