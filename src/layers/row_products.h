// SPDX-License-Identifier: Apache-2.0
// Products summed over the rows of a batch: the gradients of weights.
#pragma once

#include <cstddef>

namespace sluice {

/// sums[m, n] += sum over k of a[m, k] b[k, n], k in order, one chain of fused multiply-adds that goes on
/// where the sums stand: the same bits at any number of threads, and however the k are cut into calls.
///   a     [m_count, k_count]  rows `a_stride` apart
///   b     [k_count, n_count]  contiguous; n_count is a multiple of the vector length of the packed kernels
///   sums  [m_count, n_count]  contiguous, aligned to a vector
/// At most `threads` threads (0: OpenMP's number).
template <class T>
void add_row_products(const T* a, std::size_t a_stride, std::size_t m_count, const T* b, std::size_t k_count,
                      T* sums, std::size_t n_count, int threads);

extern template void add_row_products(const float*, std::size_t, std::size_t, const float*, std::size_t,
                                      float*, std::size_t, int);
extern template void add_row_products(const double*, std::size_t, std::size_t, const double*, std::size_t,
                                      double*, std::size_t, int);

}  // namespace sluice
