// SPDX-License-Identifier: Apache-2.0
// A sum with what is needed to bound the error of another way to add it up.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <limits>

namespace sluice::reference {

/// bias + sum of products, in double, and the sum of the terms' absolute values.
struct Sum {
  double value = 0;
  double magnitude = 0;

  void add(double term) {
    value += term;
    magnitude += std::abs(term);
  }
};

/// The standard bound of a sum of n terms in any order, with each product rounded or not: n u / (1 - n u)
/// times the sum of absolute values (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., 3.1).
/// Twice that, since for double the reference rounds too; and one more u for the rounding of the result.
template <class T>
void expect_sum(T got, const Sum& want, std::size_t terms) {
  const double u = static_cast<double>(std::numeric_limits<T>::epsilon()) / 2;
  const double bound = 2.0 * static_cast<double>(terms + 1) * u * want.magnitude;
  ASSERT_LE(std::abs(static_cast<double>(got) - want.value), bound * 1.001)
      << "got " << got << ", expected " << want.value;
}

}  // namespace sluice::reference
