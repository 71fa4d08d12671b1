// SPDX-License-Identifier: Apache-2.0
// The logarithm by plain IEEE operations alone: the same bits with every C library, whose own logarithms
// differ in the last place. Without a branch, so that compilers make vectors of a loop over it.
#pragma once

#include <bit>
#include <cstdint>

namespace sluice {

/// log(m 2^exponent), given s = (m - 1) / (m + 1) with |s| <= 0.172: log(m) is 2 atanh(s), of whose series
/// 2 s (1 + s^2 / 3 + s^4 / 5 + ...) the terms up to s^22 / 23 are taken. What is left out is below
/// 0.172^24 / 25, 2^-65 of the result.
inline double log_of_parts(double s, double exponent) noexcept {
  // ln 2 in two parts (fdlibm's): the first ends with 21 zeros, so that its product with an exponent is
  // exact.
  constexpr double kLn2High = 0x1.62e42feep-1;
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  const double z = s * s;
  double sum = 1.0 / 23;
  sum = sum * z + 1.0 / 21;
  sum = sum * z + 1.0 / 19;
  sum = sum * z + 1.0 / 17;
  sum = sum * z + 1.0 / 15;
  sum = sum * z + 1.0 / 13;
  sum = sum * z + 1.0 / 11;
  sum = sum * z + 1.0 / 9;
  sum = sum * z + 1.0 / 7;
  sum = sum * z + 1.0 / 5;
  sum = sum * z + 1.0 / 3;
  const double first = 2 * s;
  return exponent * kLn2High + (first + (first * (z * sum) + exponent * kLn2Low));
}

/// A normal x = m 2^exponent with m in [sqrt(1/2), sqrt(2)).
struct LogParts {
  double m, exponent;

  explicit LogParts(double x) noexcept {
    constexpr auto kSqrtHalf = std::bit_cast<std::uint64_t>(0x1.6a09e667f3bcdp-1);
    constexpr auto kOne = std::bit_cast<std::uint64_t>(1.0);
    constexpr double kTwo52 = 0x1p52;
    // Moved so that the exponent's field changes at sqrt(1/2) times a power of two. It becomes a double as
    // the low bits of 2^52.
    const std::uint64_t bits = std::bit_cast<std::uint64_t>(x) + (kOne - kSqrtHalf);
    exponent = std::bit_cast<double>(std::bit_cast<std::uint64_t>(kTwo52) | bits >> 52) - (kTwo52 + 1023);
    m = std::bit_cast<double>((bits & 0x000F'FFFF'FFFF'FFFF) + kSqrtHalf);
  }
};

/// log(x) for normal x > 0: 3 ULP (s has two roundings and the sum one and a half). NaN gives NaN.
inline double portable_log(double x) noexcept {
  const LogParts parts(x);
  return log_of_parts((parts.m - 1) / (parts.m + 1), parts.exponent) + (x - x);  // NaN stays one
}

/// log(1 - x) for x in [0, 1), given rest = 1 - x as it is rounded: 3 ULP, small x included, since what the
/// rounding lost is exact. NaN gives NaN.
inline double portable_log_of_rest(double x, double rest) noexcept {
  return portable_log(rest) + ((1 - rest) - x) / rest;
}

}  // namespace sluice
