// SPDX-License-Identifier: Apache-2.0
#include "kernels/transpose.h"

#include <gtest/gtest.h>

#include <vector>

#include "support/for_each_target.h"

namespace sluice::kernels {
namespace {

// Rows lie further apart than they are long, and what is between them must stay.
template <class T>
void expect_transposed(std::size_t rows, std::size_t columns) {
  SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(columns));
  const std::size_t from_stride = columns + 3;
  const std::size_t to_stride = rows + 5;
  std::vector<T> from(rows * from_stride + 1);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<T>(i + 1);
  std::vector<T> to(columns * to_stride + 1, T{-1});
  transpose_kernel<T>()(from.data() + 1, static_cast<std::ptrdiff_t>(from_stride), to.data() + 1,
                        static_cast<std::ptrdiff_t>(to_stride), rows, columns);
  std::vector<T> want(columns * to_stride + 1, T{-1});
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) want[1 + c * to_stride + r] = from[1 + r * from_stride + c];
  }
  ASSERT_EQ(to, want);
}

TEST(Transpose, MovesEveryElementAtEverySizeAndNoOther) {
  for_each_target([](const std::string&) {
    for (const std::size_t rows : {0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 31}) {
      for (const std::size_t columns : {0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 31}) {
        expect_transposed<float>(rows, columns);
        expect_transposed<double>(rows, columns);
      }
    }
  });
}

}  // namespace
}  // namespace sluice::kernels
