// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "reference/linear.h"
#include "sluice/error.h"
#include "sluice/layers.h"
#include "support/expect_same_bits.h"
#include "support/module_promises.h"
#include "support/random.h"

namespace sluice {
namespace {

template <class T>
StateDict<T> linear_weights(std::size_t in, std::size_t out, const std::string& prefix = "") {
  StateDict<T> weights;
  weights.set(prefix + "weight", random_tensor<T>({out, in}, -1, 1, in * 1000 + out));
  weights.set(prefix + "bias", random_tensor<T>({out}, -1, 1, in * 1000 + out + 1));
  return weights;
}

template <class T>
void expect_linear(std::size_t in, std::size_t out, std::size_t rows, bool bias) {
  SCOPED_TRACE(Shape({in, out, rows}).to_string());
  const StateDict<T> weights = linear_weights<T>(in, out);
  const Linear<T> linear({in, out, bias}, weights);
  const Tensor<T> x = random_tensor<T>({rows, in}, -1, 1, 7);
  const Tensor<T> y = linear.forward(x);
  ASSERT_EQ(y.shape(), Shape({rows, out}));
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t o = 0; o < out; ++o) {
      reference::expect_sum(
          y(r, o),
          reference::linear<T>(weights.at("weight"), bias ? weights.at("bias") : TensorView<const T>(),
                               x.view().select(0, r), o),
          in + 1);
    }
  }
}

TEST(Linear, MatchesTheFormulaAtEverySize) {
  for (const std::size_t in : {1, 15, 16, 17, 67}) {
    for (const std::size_t out : {1, 2, 7, 8, 15, 16, 17, 64, 65, 131}) {
      for (const std::size_t rows : {0, 1, 2, 6, 7, 13, 97}) {
        expect_linear<float>(in, out, rows, true);
        expect_linear<double>(in, out, rows, rows % 2 == 0);
      }
    }
  }
}

TEST(Linear, TakesAnyRankAndStrides) {
  const StateDict<double> weights = linear_weights<double>(5, 3);
  const Linear<double> linear({5, 3}, weights);
  const Tensor<double> x = random_tensor<double>({5, 4, 2, 6}, -1, 1, 3);
  const TensorView<const double> strided = x.view().transpose(0, 3).narrow(1, 1, 2);  // [6, 2, 2, 5]
  const Tensor<double> y = linear.forward(strided);
  ASSERT_EQ(y.shape(), Shape({6, 2, 2, 3}));
  expect_same_bits<double>(y, linear.forward(Tensor<double>(strided)).view());
  expect_same_bits<double>(linear.forward(strided.select(0, 1).select(0, 0).select(0, 1)),
                           y.view().select(0, 1).select(0, 0).select(0, 1));
}

TEST(Linear, AllocationFreeFormHasTheSameBits) {
  const Linear<float> linear({33, 19}, linear_weights<float>(33, 19));
  const Tensor<float> x = random_tensor<float>({11, 33}, -1, 1, 5);
  Tensor<float> y({11, 19});
  const std::size_t calls = test::heap_calls_during([&] { linear.forward(11, x.data(), y.data()); });
  EXPECT_EQ(calls, 0u);
  expect_same_bits<float>(y, linear.forward(x).view());
}

TEST(Linear, KeepsThePromisesOfAModule) {
  const Linear<float> linear({40, 35}, linear_weights<float>(40, 35));
  test::expect_module_promises<float>(linear, random_tensor<float>({5, 33, 40}, -1, 1, 1));
  const Linear<double> large({96, 96}, linear_weights<double>(96, 96));
  test::expect_threads_agree<double>(large, random_tensor<double>({31, 33, 96}, -1, 1, 2));
}

TEST(Linear, RunsOverATransposedSequence) {
  const Linear<float> linear({6, 4}, linear_weights<float>(6, 4));
  const Tensor<float> batch_first = random_tensor<float>({3, 7, 6}, -1, 1, 1);
  const std::vector<std::int64_t> lengths{7, 0, 3};
  const SequenceOutput<float> out = linear.run({batch_first.view().transpose(0, 1), lengths}, {});
  EXPECT_EQ(out.lengths, lengths);
  expect_same_bits<float>(out.y.view().transpose(0, 1), linear.forward(batch_first).view());
}

TEST(Linear, NamesItsParametersAndSizes) {
  const Linear<float> linear({6, 4}, linear_weights<float>(6, 4, "head."), "head.");
  ASSERT_EQ(linear.parameters().size(), 2u);
  EXPECT_EQ(linear.parameters()[0].name, "head.weight");
  EXPECT_EQ(linear.parameters()[0].shape, Shape({4, 6}));
  EXPECT_EQ(linear.parameters()[1].name, "head.bias");
  EXPECT_EQ(linear.output_size(6), 4u);
  EXPECT_EQ(linear.flops_per_step(6), 48.0);
  EXPECT_EQ(linear.type(), "Linear");
}

TEST(Linear, ErrorsNameWhatWasExpectedAndWhatCame) {
  const StateDict<float> weights = linear_weights<float>(6, 4);
  const Linear<float> linear({6, 4}, weights);
  const Tensor<float> x({2, 3, 5});
  using test::message_of;
  EXPECT_EQ(message_of<ShapeError>([&] { linear.forward(x); }),
            "Linear::forward: x is [2, 3, 5], expected [..., 6]");
  EXPECT_EQ(message_of<ShapeError>([&] { linear.forward(TensorView<const float>()); }),
            "Linear::forward: x is [], expected [..., 6]");
  EXPECT_EQ(message_of<ShapeError>([&] { linear.run({x.view()}, {}); }),
            "Linear::run: x is [2, 3, 5], expected [T, B, 6]");
  const Tensor<float> sequence({5, 2, 6});
  const std::vector<std::int64_t> too_long{5, 6};
  EXPECT_EQ(message_of<ShapeError>([&] {
              linear.run({sequence.view(), too_long}, {});
            }),
            "Linear::run: lengths[1] is 6, expected 0 to 5");
  const std::vector<std::int64_t> negative{-1, 5};
  EXPECT_EQ(message_of<ShapeError>([&] {
              linear.run({sequence.view(), negative}, {});
            }),
            "Linear::run: lengths[0] is -1, expected 0 to 5");
  const std::vector<std::int64_t> too_many{1, 2, 3};
  EXPECT_EQ(message_of<ShapeError>([&] {
              linear.run({sequence.view(), too_many}, {});
            }),
            "Linear::run: lengths is [3], expected [2]");
  EXPECT_EQ(message_of<ShapeError>([&] { linear.stepper(1, 5); }),
            "Linear: the input has 5 features, expected 6");
  EXPECT_EQ(message_of<ShapeError>([&] {
              Linear<float>({6, 5}, weights);
            }),
            "tensor 'weight' is [4, 6], expected [5, 6]");
  EXPECT_EQ(message_of<Error>([&] {
              Linear<float>({0, 5}, weights);
            }),
            "Linear: in_features is 0 and out_features is 5, expected at least 1");
}

}  // namespace
}  // namespace sluice
