// SPDX-License-Identifier: Apache-2.0
// Distance in units of the last place.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace sluice {

/// |got - want| in units of the spacing of T's numbers at `want`, subnormal numbers included; 0 for equal
/// values and for two NaN, infinity where only one of them is a number.
template <class T>
double ulp_distance(T got, long double want) {
  if (std::isnan(got) || std::isnan(want)) {
    return std::isnan(got) && std::isnan(want) ? 0 : std::numeric_limits<double>::infinity();
  }
  if (static_cast<long double>(got) == want) return 0;
  if (std::isinf(got) || std::isinf(want)) return std::numeric_limits<double>::infinity();
  using Limits = std::numeric_limits<T>;
  const int exponent = want == 0 ? Limits::min_exponent : std::ilogb(want) + 1;
  const int spacing = std::max(exponent, Limits::min_exponent) - Limits::digits;
  return static_cast<double>(std::fabs(std::ldexp(static_cast<long double>(got) - want, -spacing)));
}

/// Fails unless `got` is within `most` ULP of `want`.
template <class T>
void expect_ulp(T got, long double want, double most) {
  EXPECT_LE(ulp_distance(got, want), most)
      << "got " << static_cast<long double>(got) << ", expected " << want;
}

}  // namespace sluice
