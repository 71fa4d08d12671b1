// SPDX-License-Identifier: Apache-2.0
#include "kernels/row_sums.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "support/for_each_target.h"
#include "support/random.h"

namespace sluice::kernels {
namespace {

// The order that the header states, number by number.
template <class Term>
double in_order(std::size_t n, const Term& term) {
  std::array<double, 8> sums{};
  for (std::size_t i = 0; i < n; ++i) sums[i % 8] += term(i);
  for (std::size_t half = 4; half > 0; half /= 2) {
    for (std::size_t j = 0; j < half; ++j) sums[j] += sums[j + half];
  }
  return sums[0];
}

template <class T>
void expect_order() {
  for (const std::size_t n : {0, 1, 7, 8, 9, 15, 16, 17, 100, 513}) {
    const Tensor<T> x = random_tensor<T>({n + 1}, -1, 3, n);
    const double mean = 0.7;
    const double sum = in_order(n, [&](std::size_t i) { return static_cast<double>(x(i)); });
    const double squares = in_order(n, [&](std::size_t i) {
      const double difference = static_cast<double>(x(i)) - mean;
      return difference * difference;
    });
    for_each_target([&](const std::string& target) {
      EXPECT_EQ(row_sums<T>().sum(x.data(), n), sum) << target << " " << n;
      EXPECT_EQ(row_sums<T>().square_sum(x.data(), n, mean), squares) << target << " " << n;
    });
  }
}

TEST(RowSums, HaveOneOrderOnEveryInstructionSet) {
  expect_order<float>();
  expect_order<double>();
}

}  // namespace
}  // namespace sluice::kernels
