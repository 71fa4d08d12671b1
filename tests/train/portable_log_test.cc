// SPDX-License-Identifier: Apache-2.0
#include "train/portable_log.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/expect_ulp.h"
#include "support/random.h"

namespace sluice {
namespace {

// The C library's in long double, 64 bits or more of precision, is the truth here. (Where long double is
// double, as with some compilers, it adds its own half ULP.)
TEST(PortableLog, IsWithinThreeUlp) {
  Random random(1);
  for (int i = 0; i < 200000; ++i) {
    const double wide = std::ldexp(random.uniform(0.5, 1), static_cast<int>(random.below(2045)) - 1020);
    const double near_one = random.uniform(0.6, 1.6);
    for (const double x : {wide, near_one, 1 + (near_one - 1) * 1e-9}) {
      expect_ulp(portable_log(x), std::log(static_cast<long double>(x)), 3);
    }
  }
}

TEST(PortableLog, OfTheRestIsWithinThreeUlp) {
  Random random(2);
  for (int i = 0; i < 200000; ++i) {
    const double x = random.uniform(0, 1);
    for (const double v : {x, x * 1e-3, x * 1e-20, 1 - x * 1e-9, std::ldexp(x, -1040)}) {
      expect_ulp(portable_log_of_rest(v, 1 - v), std::log1p(-static_cast<long double>(v)), 3);
    }
  }
}

TEST(PortableLog, KnowsTheEnds) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(portable_log(1), 0);
  EXPECT_EQ(portable_log_of_rest(0, 1), 0);
  for (const double x : {std::numeric_limits<double>::min(), std::numeric_limits<double>::max()}) {
    expect_ulp(portable_log(x), std::log(static_cast<long double>(x)), 3);
  }
  EXPECT_TRUE(std::isnan(portable_log(kNan)));
  EXPECT_TRUE(std::isnan(portable_log_of_rest(kNan, kNan)));
}

}  // namespace
}  // namespace sluice
