// SPDX-License-Identifier: Apache-2.0
// Dispatch unit: sums over rows.
#include "kernels/row_sums.h"

#include <algorithm>

#include "kernels/target.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/row_sums.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t kPartialSums = 8;

template <class D>
HWY_INLINE hn::Vec<D> LoadDoubles(D d, const double* p) {
  return hn::LoadU(d, p);
}
template <class D>
HWY_INLINE hn::Vec<D> LoadDoubles(D d, const float* p) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<float, D>(), p));
}

// term(v) of a vector, and of a number.
template <typename T, class VectorTerm, class Term>
double SumOf(const T* x, std::size_t n, const VectorTerm& vector_term, const Term& term) {
  constexpr hn::CappedTag<double, kPartialSums> d;
  constexpr std::size_t kLanes = std::min<std::size_t>(kPartialSums, HWY_LANES(double));
  constexpr std::size_t kVectors = kPartialSums / kLanes;
  hn::Vec<decltype(d)> sums[kVectors];
  for (std::size_t j = 0; j < kVectors; ++j) sums[j] = hn::Zero(d);
  std::size_t i = 0;
  for (; i + kPartialSums <= n; i += kPartialSums) {
#pragma GCC unroll 8
    for (std::size_t j = 0; j < kVectors; ++j) {
      sums[j] = hn::Add(sums[j], vector_term(d, LoadDoubles(d, x + i + j * kLanes)));
    }
  }
  HWY_ALIGN double partial[kPartialSums];
  for (std::size_t j = 0; j < kVectors; ++j) hn::Store(sums[j], d, partial + j * kLanes);
  for (; i < n; ++i) partial[i % kPartialSums] += term(static_cast<double>(x[i]));
  for (std::size_t half = kPartialSums / 2; half > 0; half /= 2) {
    for (std::size_t j = 0; j < half; ++j) partial[j] += partial[j + half];
  }
  return partial[0];
}

template <typename T>
double Sum(const T* x, std::size_t n) {
  return SumOf(
      x, n, [](auto, auto v) HWY_ATTR { return v; }, [](double v) { return v; });
}

template <typename T>
double SquareSum(const T* x, std::size_t n, double mean) {
  return SumOf(
      x, n,
      [mean](auto d, auto v) HWY_ATTR {
        const auto difference = hn::Sub(v, hn::Set(d, mean));
        return hn::Mul(difference, difference);
      },
      [mean](double v) { return (v - mean) * (v - mean); });
}

template <typename T>
const RowSums<T>* Table() {
  static const RowSums<T> table{.sum = &Sum<T>, .square_sum = &SquareSum<T>};
  return &table;
}
const RowSums<float>* RowSumsF32() { return Table<float>(); }
const RowSums<double>* RowSumsF64() { return Table<double>(); }

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice::kernels {
HWY_EXPORT(RowSumsF32);
HWY_EXPORT(RowSumsF64);
template <>
const RowSums<float>& row_sums<float>() {
  apply_target_choice();
  return *HWY_DYNAMIC_DISPATCH(RowSumsF32)();
}
template <>
const RowSums<double>& row_sums<double>() {
  apply_target_choice();
  return *HWY_DYNAMIC_DISPATCH(RowSumsF64)();
}
}  // namespace sluice::kernels
#endif
