// SPDX-License-Identifier: Apache-2.0
#include "sluice/activations.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "reference/gate_math.h"
#include "sluice/error.h"
#include "support/expect_same_bits.h"
#include "support/expect_ulp.h"
#include "support/random.h"

namespace sluice {
namespace {

template <class T>
class ActivationsTest : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(ActivationsTest, Types);

// Spans, views and new tensors of one function have equal bits, which are near the reference.
template <class T, class Function>
void expect_function(const Function& function, long double (*want)(long double)) {
  const Tensor<T> x = random_tensor<T>({5, 41}, -8, 8, 1);
  const Tensor<T> y = function(x);
  for (std::size_t i = 0; i < x.size(); ++i) expect_ulp(y.data()[i], want(x.data()[i]), 2.5);
  Tensor<T> by_view({5, 41}), by_span({5, 41});
  function(x.view(), by_view.view());
  function(x.span(), by_span.span());
  expect_same_bits(by_view, y);
  expect_same_bits(by_span, y);
  Tensor<T> in_place = x;
  function(in_place.view().transpose(0, 1), in_place.view().transpose(0, 1));
  expect_same_bits(in_place, y);
  Tensor<T> wrong({41, 5});
  EXPECT_THROW(function(x.view(), wrong.view()), ShapeError);
}

TYPED_TEST(ActivationsTest, EachIsItsFunction) {
  using T = TypeParam;
  // The casts choose between const and mutable views, as a caller's own types do.
  const auto run = [](auto call, long double (*want)(long double)) { expect_function<T>(call, want); };
  run([](const auto&... a) { return tanh(std::as_const(a)...); }, &reference::tanh);
  run([](const auto&... a) { return log_sigmoid(std::as_const(a)...); }, &reference::log_sigmoid);
  run([](const auto&... a) { return hard_sigmoid(std::as_const(a)...); }, &reference::hard_sigmoid);
  run([](const auto&... a) { return hard_sigmoid_onnx(std::as_const(a)...); }, &reference::hard_sigmoid_onnx);
  run([](const auto&... a) { return silu(std::as_const(a)...); }, &reference::silu);
  run([](const auto&... a) { return relu(std::as_const(a)...); }, &reference::relu);
}

TYPED_TEST(ActivationsTest, TheTwoHardSigmoidsDiffer) {
  using T = TypeParam;
  const Tensor<T> x({1}, {T(1)});
  expect_ulp(hard_sigmoid(x)(0), 2.0L / 3, 1);
  expect_ulp(hard_sigmoid_onnx(x)(0), 0.7L, 1);
}

TYPED_TEST(ActivationsTest, TanhBackwardIsGradientTimesOneMinusYSquared) {
  using T = TypeParam;
  const std::vector<T> x = random_vector<T>(53, -3, 3, 2), g = random_vector<T>(53, -2, 2, 3);
  std::vector<T> y(53), gradient(53);
  tanh(std::span<const T>(x), std::span<T>(y));
  tanh_backward(std::span<const T>(y), std::span<const T>(g), std::span<T>(gradient));
  for (std::size_t i = 0; i < y.size(); ++i) {
    const long double saved = y[i];
    expect_ulp(gradient[i], g[i] * (1 - saved) * (1 + saved), 4);  // four roundings
  }
  EXPECT_THROW(tanh_backward(std::span<const T>(y), std::span<const T>(g).first(3), std::span<T>(gradient)),
               ShapeError);
}

TYPED_TEST(ActivationsTest, SoftmaxGoesOverTheLastDimensionOfAnyView) {
  using T = TypeParam;
  const Tensor<T> x = random_tensor<T>({4, 3, 19}, -4, 4, 4);
  const Tensor<T> y = softmax(x);
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      long double sum = 0;
      for (std::size_t k = 0; k < 19; ++k) sum += std::exp(static_cast<long double>(x(i, j, k)));
      // Differences up to 8 are rounded by 8 ULP of the result; exp, sum (19 / 16 + 4) and division add 7.
      for (std::size_t k = 0; k < 19; ++k)
        expect_ulp(y(i, j, k), std::exp(static_cast<long double>(x(i, j, k))) / sum, 15);
    }
  }
  Tensor<T> z({4, 3, 19});
  softmax(x.view().transpose(0, 1), z.view().transpose(0, 1).narrow(0, 0, 3).transpose(0, 1).transpose(0, 1));
  expect_same_bits(z, y);
  Tensor<T> strided({3, 19, 4});  // rows of the last dimension with stride 4
  const Tensor<T> moved(x.view().transpose(0, 1));
  softmax(moved.view(), strided.view().transpose(1, 2));
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t j = 0; j < 3; ++j)
      for (std::size_t k = 0; k < 19; ++k) expect_same_bits(strided(j, k, i), y(i, j, k));
}

TYPED_TEST(ActivationsTest, SoftmaxOfOneElementAndOfNone) {
  using T = TypeParam;
  expect_same_bits(softmax(Tensor<T>(Shape{}, {T(3)}))(), T(1));
  EXPECT_EQ(softmax(Tensor<T>({3, 0})).shape(), (Shape{3, 0}));
  EXPECT_EQ(softmax(Tensor<T>({0, 3})).shape(), (Shape{0, 3}));
}

}  // namespace
}  // namespace sluice
