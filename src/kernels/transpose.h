// SPDX-License-Identifier: Apache-2.0
// Matrices turned around, for layers whose data comes with its channels first.
#pragma once

#include <cstddef>

namespace sluice::kernels {

/// to[c * to_stride + r] = from[r * from_stride + c] for r < rows, c < columns. No overlap.
template <class T>
using Transpose = void (*)(const T* from, std::ptrdiff_t from_stride, T* to, std::ptrdiff_t to_stride,
                           std::size_t rows, std::size_t columns);

/// The function of the active target (sluice/target.h). Keep it; do not look it up in a loop.
template <class T>
Transpose<T> transpose_kernel();
template <>
Transpose<float> transpose_kernel<float>();
template <>
Transpose<double> transpose_kernel<double>();

}  // namespace sluice::kernels
