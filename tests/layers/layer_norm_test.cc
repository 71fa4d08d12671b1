// SPDX-License-Identifier: Apache-2.0
#include "reference/layer_norm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sluice/error.h"
#include "sluice/layers.h"
#include "support/expect_same_bits.h"
#include "support/module_promises.h"
#include "support/random.h"

namespace sluice {
namespace {

template <class T>
StateDict<T> norm_weights(std::size_t n) {
  StateDict<T> weights;
  weights.set("weight", random_tensor<T>({n}, -1, 1, 21));
  weights.set("bias", random_tensor<T>({n}, -1, 1, 22));
  return weights;
}

// All is computed in double and rounded once to T. With u = 2^-53, the mean of n values errs by at most
// n u max|x|; that, scaled and weighted, is the error of a value; the variance's relative error is
// about (n + 3) u more, half of it after the square root; then five roundings.
template <class T>
void expect_layer_norm(std::size_t n, bool affine, bool bias, double offset) {
  SCOPED_TRACE(n);
  const StateDict<T> weights = norm_weights<T>(n);
  const LayerNorm<T> norm({n, 1e-5, affine, bias}, weights);
  Tensor<T> x = random_tensor<T>({3, n}, -1, 1, n);
  for (T& v : x.span()) v += static_cast<T>(offset);
  const Tensor<T> y = norm.forward(x);
  ASSERT_EQ(y.shape(), x.shape());
  const double u = 0x1p-53;
  const double round_to_t = static_cast<double>(std::numeric_limits<T>::epsilon()) / 2;
  for (std::size_t r = 0; r < 3; ++r) {
    const reference::Normalized want = reference::layer_norm<T>(x.view().select(0, r), 1e-5);
    for (std::size_t i = 0; i < n; ++i) {
      const auto w = static_cast<double>(affine ? weights.at("weight")(i) : T{1});
      const auto b = static_cast<double>(affine && bias ? weights.at("bias")(i) : T{0});
      const double value = static_cast<double>(want.values[i]) * w + b;
      const double steps = static_cast<double>(n) + 8;
      const double before = std::abs(w) * (std::abs(static_cast<double>(want.values[i])) +
                                           static_cast<double>(want.scale) * (std::abs(offset) + 1));
      const double bound = steps * u * (before + std::abs(b)) + round_to_t * std::abs(value) * 1.001;
      ASSERT_LE(std::abs(static_cast<double>(y(r, i)) - value), bound) << "row " << r << ", " << i;
    }
  }
}

TEST(LayerNorm, MatchesThePaperAtEverySize) {
  for (const std::size_t n : {1, 2, 7, 8, 9, 15, 16, 17, 67, 1024}) {
    expect_layer_norm<float>(n, true, true, 0);
    expect_layer_norm<double>(n, true, true, 0);
    expect_layer_norm<float>(n, true, false, 0);
    expect_layer_norm<double>(n, false, true, 0);
  }
}

// The mean of squares less the square of the mean would lose all digits here.
TEST(LayerNorm, KeepsItsAccuracyFarFromZero) {
  expect_layer_norm<float>(64, true, true, 4096);
  expect_layer_norm<double>(64, true, true, 1e6);
}

TEST(LayerNorm, AConstantRowGivesTheBias) {
  const StateDict<float> weights = norm_weights<float>(12);
  const LayerNorm<float> norm({12}, weights);
  Tensor<float> x({1, 12});
  for (float& v : x.span()) v = 3.25f;
  const Tensor<float> y = norm.forward(x);
  for (std::size_t i = 0; i < 12; ++i) EXPECT_EQ(y(0, i), weights.at("bias")(i));
}

TEST(LayerNorm, ANaNStaysInItsRow) {
  const LayerNorm<float> norm({12}, norm_weights<float>(12));
  Tensor<float> x = random_tensor<float>({3, 12}, -1, 1, 1);
  const Tensor<float> clean = norm.forward(x);
  x(1, 5) = std::nanf("");
  const Tensor<float> y = norm.forward(x);
  for (std::size_t i = 0; i < 12; ++i) EXPECT_TRUE(std::isnan(y(1, i)));
  expect_same_bits<float>(y.view().select(0, 0), clean.view().select(0, 0));
  expect_same_bits<float>(y.view().select(0, 2), clean.view().select(0, 2));
}

TEST(LayerNorm, KeepsThePromisesOfAModule) {
  const LayerNorm<float> norm({35}, norm_weights<float>(35));
  test::expect_module_promises<float>(norm, random_tensor<float>({5, 33, 35}, -1, 1, 1));
  test::expect_threads_agree<float>(norm, random_tensor<float>({101, 33, 35}, -1, 1, 1));
  const LayerNorm<double> plain({.normalized_shape = 16, .elementwise_affine = false}, {});
  test::expect_module_promises<double>(plain, random_tensor<double>({5, 3, 16}, -1, 1, 1));
}

TEST(LayerNorm, TakesStridedInputAndNoRows) {
  const LayerNorm<float> norm({6}, norm_weights<float>(6));
  const Tensor<float> x = random_tensor<float>({6, 4, 5}, -1, 1, 1);
  const TensorView<const float> strided = x.view().transpose(0, 2);  // [5, 4, 6]
  expect_same_bits<float>(norm.forward(strided), norm.forward(Tensor<float>(strided)).view());
  EXPECT_EQ(norm.forward(Tensor<float>({0, 6})).shape(), Shape({0, 6}));
}

TEST(LayerNorm, NamesItsParametersAndErrors) {
  const StateDict<float> weights = norm_weights<float>(6);
  const LayerNorm<float> norm({6}, weights);
  ASSERT_EQ(norm.parameters().size(), 2u);
  EXPECT_EQ(norm.parameters()[1].name, "bias");
  EXPECT_TRUE(
      LayerNorm<float>({.normalized_shape = 6, .elementwise_affine = false}, weights).parameters().empty());
  using test::message_of;
  EXPECT_EQ(message_of<ShapeError>([&] {
              norm.forward(Tensor<float>({2, 5}));
            }),
            "LayerNorm::forward: x is [2, 5], expected [..., 6]");
  EXPECT_EQ(message_of<ShapeError>([&] { norm.output_size(5); }),
            "LayerNorm: the input has 5 features, expected 6");
  EXPECT_EQ(message_of<Error>([&] { LayerNorm<float>({0}, weights); }),
            "LayerNorm: normalized_shape is 0, expected at least 1");
  EXPECT_EQ(message_of<Error>([&] {
              LayerNorm<float>({6, std::nan("")}, weights);
            }),
            "LayerNorm: eps is nan, expected at least 0");
}

}  // namespace
}  // namespace sluice
