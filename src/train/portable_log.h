// SPDX-License-Identifier: Apache-2.0
// The logarithm by plain IEEE operations alone: the same bits with every C library, whose own logarithms
// differ in the last place.
#pragma once

#include <cmath>
#include <limits>

namespace sluice {

/// log(a / b) = 2 atanh((a - b) / (a + b)) for s = (a - b) / (a + b) with |s| <= 0.172: of the series
/// 2 s (1 + s^2 / 3 + s^4 / 5 + ...) the first terms, up to s^22 / 23. What is left out is below
/// 0.172^24 / 25, 2^-65 of the result.
struct AtanhSeries {
  double first;  // 2 s
  double rest;   // all further terms

  explicit AtanhSeries(double s) noexcept : first(2 * s) {
    const double z = s * s;
    double sum = 0;
    for (int k = 23; k > 1; k -= 2) sum = sum * z + 1.0 / k;
    rest = first * (z * sum);
  }
};

/// log(x) for finite x >= 0: 3 ULP (s has two roundings and the sum one and a half). 0 gives -infinity, NaN
/// gives NaN.
inline double portable_log(double x) noexcept {
  if (x == 0) return -std::numeric_limits<double>::infinity();
  constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;
  // ln 2 in two parts (fdlibm's): the first ends with 21 zeros, so that its product with an exponent is
  // exact.
  constexpr double kLn2High = 0x1.62e42feep-1;
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  int exponent = 0;
  double m = std::frexp(x, &exponent);  // in [1/2, 1)
  if (m < kSqrtHalf) {
    m *= 2;
    --exponent;
  }
  const AtanhSeries series((m - 1) / (m + 1));  // m - 1 is exact
  const double e = exponent;
  return e * kLn2High + (series.first + (series.rest + e * kLn2Low));
}

/// log(1 - x) for x in [0, 1]: 4 ULP, small x included.
inline double portable_log_of_rest(double x) noexcept {
  // Beyond, 1 - x loses at most half a place of a number whose logarithm is at least 0.28.
  if (!(x < 0.25)) return portable_log(1 - x);
  const AtanhSeries series(x / (x - 2));
  return series.first + series.rest;
}

}  // namespace sluice
