// SPDX-License-Identifier: Apache-2.0
// Dispatch unit: transposition. Blocks of 4 x 4 floats or 2 x 2 doubles in vectors of 128 bits, which every
// vector target has; wider ones would wait for the same shuffles.
#include "kernels/transpose.h"

#include <algorithm>

#include "kernels/target.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/transpose.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
void TransposeElements(const T* from, std::ptrdiff_t from_stride, T* to, std::ptrdiff_t to_stride,
                       std::size_t rows, std::size_t columns) {
  for (std::size_t r = 0; r < rows; ++r, from += from_stride) {
    T* target = to + r;
    for (std::size_t c = 0; c < columns; ++c, target += to_stride) *target = from[c];
  }
}

#if HWY_TARGET == HWY_SCALAR
template <typename T>
void TransposeTile(const T* from, std::ptrdiff_t from_stride, T* to, std::ptrdiff_t to_stride,
                   std::size_t rows, std::size_t columns) {
  TransposeElements(from, from_stride, to, to_stride, rows, columns);
}
#else
inline void TransposeBlock(const float* from, std::ptrdiff_t from_stride, float* to,
                           std::ptrdiff_t to_stride) {
  const hn::FixedTag<float, 4> d;
  const auto r0 = hn::LoadU(d, from);
  const auto r1 = hn::LoadU(d, from + from_stride);
  const auto r2 = hn::LoadU(d, from + 2 * from_stride);
  const auto r3 = hn::LoadU(d, from + 3 * from_stride);
  const auto even_low = hn::InterleaveLower(d, r0, r2);  // r0[0] r2[0] r0[1] r2[1]
  const auto odd_low = hn::InterleaveLower(d, r1, r3);
  const auto even_high = hn::InterleaveUpper(d, r0, r2);  // r0[2] r2[2] r0[3] r2[3]
  const auto odd_high = hn::InterleaveUpper(d, r1, r3);
  hn::StoreU(hn::InterleaveLower(d, even_low, odd_low), d, to);
  hn::StoreU(hn::InterleaveUpper(d, even_low, odd_low), d, to + to_stride);
  hn::StoreU(hn::InterleaveLower(d, even_high, odd_high), d, to + 2 * to_stride);
  hn::StoreU(hn::InterleaveUpper(d, even_high, odd_high), d, to + 3 * to_stride);
}

inline void TransposeBlock(const double* from, std::ptrdiff_t from_stride, double* to,
                           std::ptrdiff_t to_stride) {
  const hn::FixedTag<double, 2> d;
  const auto r0 = hn::LoadU(d, from);
  const auto r1 = hn::LoadU(d, from + from_stride);
  hn::StoreU(hn::InterleaveLower(d, r0, r1), d, to);
  hn::StoreU(hn::InterleaveUpper(d, r0, r1), d, to + to_stride);
}

template <typename T>
void TransposeTile(const T* from, std::ptrdiff_t from_stride, T* to, std::ptrdiff_t to_stride,
                   std::size_t rows, std::size_t columns) {
  constexpr std::size_t kSide = 16 / sizeof(T);
  const std::size_t whole_columns = columns - columns % kSide;
  std::size_t r = 0;
  for (; r + kSide <= rows;
       r += kSide, from += static_cast<std::ptrdiff_t>(kSide) * from_stride, to += kSide) {
    T* target = to;
    for (std::size_t c = 0; c < whole_columns; c += kSide) {
      TransposeBlock(from + c, from_stride, target, to_stride);
      target += static_cast<std::ptrdiff_t>(kSide) * to_stride;
    }
    TransposeElements(from + whole_columns, from_stride, target, to_stride, kSide, columns - whole_columns);
  }
  TransposeElements(from, from_stride, to, to_stride, rows - r, columns);
}
#endif

// In tiles of whole cache lines on both sides: with strides of a power of two, longer runs of lines would
// push each other out of the cache before they are full.
template <typename T>
void TransposeMatrix(const T* from, std::ptrdiff_t from_stride, T* to, std::ptrdiff_t to_stride,
                     std::size_t rows, std::size_t columns) {
  constexpr std::size_t kSide = 64 / sizeof(T);
  for (std::size_t r = 0; r < rows; r += kSide) {
    for (std::size_t c = 0; c < columns; c += kSide) {
      TransposeTile(from + static_cast<std::ptrdiff_t>(r) * from_stride + c, from_stride,
                    to + static_cast<std::ptrdiff_t>(c) * to_stride + r, to_stride, std::min(kSide, rows - r),
                    std::min(kSide, columns - c));
    }
  }
}

Transpose<float> TransposeF32() { return &TransposeMatrix<float>; }
Transpose<double> TransposeF64() { return &TransposeMatrix<double>; }

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice::kernels {
HWY_EXPORT(TransposeF32);
HWY_EXPORT(TransposeF64);
template <>
Transpose<float> transpose_kernel<float>() {
  apply_target_choice();
  return HWY_DYNAMIC_DISPATCH(TransposeF32)();
}
template <>
Transpose<double> transpose_kernel<double>() {
  apply_target_choice();
  return HWY_DYNAMIC_DISPATCH(TransposeF64)();
}
}  // namespace sluice::kernels
#endif
