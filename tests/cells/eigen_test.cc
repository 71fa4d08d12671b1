// SPDX-License-Identifier: Apache-2.0
#include "sluice/eigen.h"

#include <gtest/gtest.h>

#include "support/expect_same_bits.h"
#include "support/random.h"

namespace sluice {
namespace {

template <class T>
class EigenTest : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(EigenTest, Types);

template <class T>
using ColumnMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;

template <class M>
M numbers(Eigen::Index rows, Eigen::Index cols, std::uint64_t seed) {
  Random random(seed);
  M m(rows, cols);
  for (Eigen::Index i = 0; i < rows; ++i)
    for (Eigen::Index j = 0; j < cols; ++j) m(i, j) = static_cast<typename M::Scalar>(random.uniform(-4, 4));
  return m;
}

template <class A, class B>
void expect_equal(const A& got, const B& want) {
  ASSERT_EQ(got.rows(), want.rows());
  ASSERT_EQ(got.cols(), want.cols());
  for (Eigen::Index i = 0; i < got.rows(); ++i)
    for (Eigen::Index j = 0; j < got.cols(); ++j) expect_same_bits(got(i, j), want(i, j));
}

TYPED_TEST(EigenTest, ViewsSeeTheSameElements) {
  using T = TypeParam;
  ColumnMatrix<T> columns = numbers<ColumnMatrix<T>>(5, 7, 1);
  RowMatrix<T> rows = columns;
  const auto check = [](const auto& view, const auto& m) {
    ASSERT_EQ(view.shape(), (Shape{static_cast<std::size_t>(m.rows()), static_cast<std::size_t>(m.cols())}));
    for (Eigen::Index i = 0; i < m.rows(); ++i)
      for (Eigen::Index j = 0; j < m.cols(); ++j) EXPECT_EQ(&view(i, j), &m.coeffRef(i, j));
  };
  check(as_view(columns), columns);
  check(as_view(rows), rows);
  auto block = columns.block(1, 2, 3, 4);
  check(as_view(block), block);
  check(as_view(columns.block(1, 2, 3, 4)), block);
  Eigen::Matrix<T, Eigen::Dynamic, 1> vector(6);
  EXPECT_EQ(as_view(vector).shape(), Shape{6});
  EXPECT_EQ(as_view(rows.col(2)).stride(0), 7);
  const ColumnMatrix<T>& constant = columns;
  static_assert(std::is_same_v<decltype(as_view(constant)), TensorView<const T>>);
}

TYPED_TEST(EigenTest, TensorsAreSeenAsMaps) {
  using T = TypeParam;
  Tensor<T> tensor = random_tensor<T>({3, 4}, -1, 1, 2);
  auto map = as_matrix(tensor);
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 4; ++j) EXPECT_EQ(&map(i, j), &tensor(i, j));
  auto transposed = as_matrix(tensor.view().transpose(0, 1));
  EXPECT_EQ(&transposed(3, 1), &tensor(1, 3));
  map.setZero();
  expect_same_bits(tensor(2, 3), T(0));
  EXPECT_EQ(&as_vector(tensor.view().select(1, 2))(1), &tensor(1, 2));
  EXPECT_THROW(as_vector(tensor), ShapeError);
  EXPECT_THROW(as_matrix(tensor.view().select(0, 0)), ShapeError);
}

TYPED_TEST(EigenTest, SigmoidOfMatricesBlocksAndExpressions) {
  using T = TypeParam;
  const ColumnMatrix<T> m = numbers<ColumnMatrix<T>>(9, 11, 3);
  const auto scalar = [](T x) { return sigmoid(x); };
  expect_equal(sigmoid(m), m.unaryExpr(scalar));
  expect_equal(sigmoid(m.block(2, 3, 4, 5)), m.block(2, 3, 4, 5).unaryExpr(scalar));
  const ColumnMatrix<T> sum = m + m.reverse();
  expect_equal(sigmoid(m + m.reverse()), sum.unaryExpr(scalar));
  const RowMatrix<T> rows = m;
  expect_equal(sigmoid(rows), m.unaryExpr(scalar));
  const Eigen::Matrix<T, 3, 1> fixed(1, 2, 3);
  expect_equal(sigmoid(fixed), fixed.unaryExpr(scalar));
  const Eigen::Array<T, Eigen::Dynamic, Eigen::Dynamic> array = m.array();
  expect_equal(sigmoid(array), m.unaryExpr(scalar));
  expect_equal(sigmoid(ColumnMatrix<T>(0, 4)), ColumnMatrix<T>(0, 4));
  expect_equal(tanh(m), as_matrix(tanh(Tensor<T>(as_view(m)))));
  ColumnMatrix<T> in_place = m;
  sigmoid(as_view(std::as_const(in_place)), as_view(in_place));
  expect_equal(in_place, m.unaryExpr(scalar));
}

// Each storage order, blocks and expressions give the bits of the tensors' call.
TYPED_TEST(EigenTest, GatesOfEveryStorageOrder) {
  using T = TypeParam;
  const Eigen::Index B = 3, H = 5;
  const RowMatrix<T> pre = numbers<RowMatrix<T>>(B, 4 * H, 4), c = numbers<RowMatrix<T>>(B, H, 5);
  Tensor<T> h_want({3, 5}), c_want({3, 5});
  lstm_gates(as_view(pre), as_view(c), h_want, c_want);

  RowMatrix<T> h_rows(B, H), c_rows = c;
  lstm_gates(pre, c_rows, h_rows, c_rows);
  expect_equal(h_rows, as_matrix(h_want));
  expect_equal(c_rows, as_matrix(c_want));

  ColumnMatrix<T> h_columns, c_columns = c;
  lstm_gates(ColumnMatrix<T>(pre), c_columns, h_columns, c_columns);
  expect_equal(h_columns, as_matrix(h_want));
  expect_equal(c_columns, as_matrix(c_want));

  RowMatrix<T> wide = RowMatrix<T>::Zero(B, 3 * H);
  lstm_gates(pre + RowMatrix<T>::Zero(B, 4 * H), c, wide.middleCols(H, H), wide.rightCols(H));
  expect_equal(wide.middleCols(H, H), as_matrix(h_want));
  expect_equal(wide.rightCols(H), as_matrix(c_want));
  EXPECT_TRUE(wide.leftCols(H).isZero());
  EXPECT_THROW(lstm_gates(pre.leftCols(3 * H), c, h_rows, c_rows), ShapeError);
}

TYPED_TEST(EigenTest, GruAndHighwayGates) {
  using T = TypeParam;
  const RowMatrix<T> pre_x = numbers<RowMatrix<T>>(3, 15, 6), pre_h = numbers<RowMatrix<T>>(3, 15, 7);
  const RowMatrix<T> h = numbers<RowMatrix<T>>(3, 5, 8);
  Tensor<T> want({3, 5});
  gru_gates(as_view(pre_x), as_view(pre_h), as_view(h), want);
  ColumnMatrix<T> got = h;
  gru_gates(pre_x, ColumnMatrix<T>(pre_h), got, got);
  expect_equal(got, as_matrix(want));

  const RowMatrix<T> pre = pre_x.leftCols(5), candidate = pre_h.leftCols(5);
  highway_gate(as_view(pre), as_view(candidate), as_view(h), want);
  highway_gate(pre, pre_h.leftCols(5), h, got);
  expect_equal(got, as_matrix(want));
}

}  // namespace
}  // namespace sluice
