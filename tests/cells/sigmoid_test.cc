// SPDX-License-Identifier: Apache-2.0
#include "sluice/sigmoid.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <array>
#include <string>
#include <vector>

#include "reference/gate_math.h"
#include "sluice/error.h"
#include "support/expect_same_bits.h"
#include "support/expect_ulp.h"
#include "support/for_each_target.h"
#include "support/random.h"

namespace sluice {
namespace {

template <class T>
class SigmoidTest : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(SigmoidTest, Types);

TYPED_TEST(SigmoidTest, KnownValues) {
  using T = TypeParam;
  const std::array<T, 5> x{-2, -1, 0, 1, 2};
  // 1 / (1 + exp(-x)) to 17 digits.
  const std::array<double, 5> want{0.11920292202211756, 0.26894142136999512, 0.5, 0.73105857863000488,
                                   0.88079707797788244};
  std::array<T, 5> y;
  sigmoid(std::span<const T>(x), std::span<T>(y));
  for (std::size_t i = 0; i < 5; ++i) expect_ulp(y[i], want[i], 1.5);
  expect_same_bits(y[2], T(0.5));
}

TYPED_TEST(SigmoidTest, FunctionFormModuleAndScalarGiveTheSameBits) {
  using T = TypeParam;
  const Tensor<T> x = random_tensor<T>({3, 5, 7}, -110, 30, 1);
  const Tensor<T> y = sigmoid(x);
  expect_same_bits(functional::sigmoid(x), y);
  expect_same_bits(Sigmoid()(x), y);
  expect_same_bits(Sigmoid().forward(x), y);
  for (std::size_t i = 0; i < x.size(); ++i) expect_same_bits(sigmoid(x.data()[i]), y.data()[i]);
}

TYPED_TEST(SigmoidTest, AnyShapeInTheSameShapeOut) {
  using T = TypeParam;
  for (const Shape& shape : {Shape{}, Shape{0}, Shape{1}, Shape{3, 0, 2}, Shape{2, 1, 3, 1, 2, 2, 1, 2}}) {
    const Tensor<T> x = random_tensor<T>(shape, -5, 5, 2);
    const Tensor<T> y = sigmoid(x);
    EXPECT_EQ(y.shape(), shape);
    for (std::size_t i = 0; i < x.size(); ++i) expect_same_bits(y.data()[i], sigmoid(x.data()[i]));
  }
}

// x and y with all kinds of strides against the element-by-element answer.
template <class T>
void expect_mapped(TensorView<const T> x, TensorView<T> y) {
  const Tensor<T> before(x);
  sigmoid(x, y);
  const Tensor<T> after{TensorView<const T>(y)};
  for (std::size_t i = 0; i < before.size(); ++i)
    expect_same_bits(after.data()[i], sigmoid(before.data()[i]));
}

TYPED_TEST(SigmoidTest, StridedViewsInPlaceOrNot) {
  using T = TypeParam;
  const Tensor<T> x = random_tensor<T>({6, 700, 4}, -20, 20, 3);
  Tensor<T> y({6, 700, 4});
  expect_mapped<T>(x.view(), y.view());
  expect_mapped<T>(x.view().transpose(0, 2), y.view().transpose(0, 2));
  Tensor<T> other({4, 700, 6});
  expect_mapped<T>(x.view().transpose(0, 2), other.view());
  expect_mapped<T>(x.view().narrow(1, 3, 300), y.view().narrow(1, 50, 300));
  expect_mapped<T>(x.view().select(2, 1), y.view().select(2, 3));
  expect_mapped<T>(x.view().select(1, 1), y.view().select(1, 699));
  Tensor<T> z = x;
  expect_mapped<T>(z.view().select(2, 1), z.view().select(2, 1));
  expect_mapped<T>(z.view().transpose(0, 1), z.view().transpose(0, 1));
}

TYPED_TEST(SigmoidTest, ReadsViewsWithZeroAndNegativeStrides) {
  using T = TypeParam;
  const std::vector<T> values{1, 2, 3, 4};
  Tensor<T> y({3, 4});
  const std::ptrdiff_t broadcast[] = {0, 1};
  expect_mapped<T>({values.data(), {3, 4}, broadcast}, y.view());
  const std::ptrdiff_t backwards[] = {-1};
  expect_mapped<T>({values.data() + 3, {4}, backwards}, y.view().select(0, 0));
}

TYPED_TEST(SigmoidTest, WritesNothingBetweenTheElementsOfAView) {
  using T = TypeParam;
  std::vector<T> y(40, T(7));
  const std::vector<T> x(10, T(0));
  const std::ptrdiff_t strides[] = {4};
  sigmoid(TensorView<const T>(x.data(), {10}), TensorView<T>(y.data(), {10}, strides));
  for (std::size_t i = 0; i < y.size(); ++i) expect_same_bits(y[i], i % 4 == 0 ? T(0.5) : T(7));
}

TYPED_TEST(SigmoidTest, ThreadsDoNotChangeABit) {
  using T = TypeParam;
  const std::size_t n = 1000003;  // a prime, large enough for every thread to have work
  const Tensor<T> x = random_tensor<T>({n}, -100, 100, 4);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const Tensor<T> want = sigmoid(x);
  omp_set_num_threads(4);
  const Tensor<T> got = sigmoid(x);
  omp_set_num_threads(threads);
  expect_same_bits(got, want);
}

TYPED_TEST(SigmoidTest, EveryTargetAnswers) {
  using T = TypeParam;
  const Tensor<T> x = random_tensor<T>({257}, -30, 30, 5);
  for_each_target([&](const std::string&) {
    const Tensor<T> y = sigmoid(x);
    for (std::size_t i = 0; i < x.size(); ++i) expect_ulp(y.data()[i], reference::sigmoid(x.data()[i]), 2);
  });
}

TYPED_TEST(SigmoidTest, OtherShapesAreRefusedByName) {
  using T = TypeParam;
  const Tensor<T> x({2, 3});
  Tensor<T> y({3, 2});
  try {
    sigmoid(x.view(), y.view());
    FAIL() << "no error";
  } catch (const ShapeError& error) {
    EXPECT_STREQ(error.what(), "sigmoid: y is [3, 2], expected [2, 3]");
  }
  std::vector<T> a(3), b(4);
  EXPECT_THROW(sigmoid(std::span<const T>(a), std::span<T>(b)), ShapeError);
  EXPECT_THROW(sigmoid(TensorView<const T>(), y.view()), ShapeError);
  EXPECT_THROW(sigmoid(Tensor<T>()), ShapeError);
}

TYPED_TEST(SigmoidTest, BackwardIsGradientTimesYTimesOneMinusY) {
  using T = TypeParam;
  const Tensor<T> x = random_tensor<T>({4, 9}, -6, 6, 6), g = random_tensor<T>({4, 9}, -2, 2, 7);
  const Tensor<T> y = sigmoid(x);
  const Tensor<T> gradient = sigmoid_backward(y, g);
  EXPECT_EQ(gradient.shape(), x.shape());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const long double saved = y.data()[i];
    expect_ulp(gradient.data()[i], g.data()[i] * saved * (1 - saved),
               3);  // three roundings and that of 1 - y
  }
  std::vector<T> in_place(g.span().begin(), g.span().end());
  sigmoid_backward(y.span(), std::span<const T>(in_place), std::span<T>(in_place));
  expect_same_bits<T>(in_place, gradient.span());
  const auto transposed = sigmoid_backward(y.view().transpose(0, 1), g.view().transpose(0, 1));
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t j = 0; j < 9; ++j) expect_same_bits(transposed(j, i), gradient(i, j));
  expect_same_bits(Sigmoid().backward(y, g), gradient);
  expect_same_bits(functional::sigmoid_backward(y, g), gradient);
  EXPECT_THROW(sigmoid_backward(y, Tensor<T>({9, 4})), ShapeError);
}

// The slope of sigmoid itself, by central differences in double.
TEST(SigmoidBackward, AgreesWithFiniteDifferences) {
  const double step =
      1e-5;  // error step^2 / 6 * |third derivative| <= 2.1e-12, and 1e-16 / step from rounding
  for (const double x : {-7.0, -2.0, -0.3, 0.0, 0.5, 3.0}) {
    const double y = sigmoid(x), g = 1;
    double gradient;
    sigmoid_backward(std::span<const double>(&y, 1), std::span<const double>(&g, 1),
                     std::span<double>(&gradient, 1));
    EXPECT_NEAR(gradient, (sigmoid(x + step) - sigmoid(x - step)) / (2 * step), 2e-11) << x;
  }
}

}  // namespace
}  // namespace sluice
