// SPDX-License-Identifier: Apache-2.0
// Equality of floating-point arrays to the bit: -0 differs from 0; all NaN are alike.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "sluice/tensor.h"

namespace sluice {

template <class T>
auto bits_of(T value) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  return std::bit_cast<Bits>(value);
}

template <class T>
bool same_bits(T a, T b) {
  return bits_of(a) == bits_of(b) || (std::isnan(a) && std::isnan(b));
}

/// Fails at the first element that differs, with its place.
template <class T>
void expect_same_bits(std::span<const T> got, std::span<const T> want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_TRUE(same_bits(got[i], want[i]))
        << "element " << i << " of " << got.size() << ": got " << got[i] << ", expected " << want[i]
        << ", bits " << std::hex << bits_of(got[i]) << " and " << bits_of(want[i]);
  }
}

template <class T>
void expect_same_bits(const std::vector<T>& got, const std::vector<T>& want) {
  expect_same_bits(std::span<const T>(got), std::span<const T>(want));
}

/// Shapes must agree too.
template <class T>
void expect_same_bits(const Tensor<T>& got, const Tensor<T>& want) {
  ASSERT_EQ(got.shape().to_string(), want.shape().to_string());
  expect_same_bits(got.span(), want.span());
}

/// The same of views with any strides.
template <class T>
void expect_same_bits(TensorView<const T> got, TensorView<const T> want) {
  expect_same_bits(Tensor<T>(got), Tensor<T>(want));
}

inline void expect_same_bits(float got, float want) {
  EXPECT_TRUE(same_bits(got, want)) << "got " << got << ", expected " << want;
}
inline void expect_same_bits(double got, double want) {
  EXPECT_TRUE(same_bits(got, want)) << "got " << got << ", expected " << want;
}

}  // namespace sluice
