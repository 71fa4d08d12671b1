// SPDX-License-Identifier: Apache-2.0
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
StateDict<T> table(std::size_t count, std::size_t dim) {
  StateDict<T> weights;
  weights.set("weight", random_tensor<T>({count, dim}, -1, 1, count));
  return weights;
}

// Indices 0 .. count-1 in some order, as [T, B, 1].
template <class T>
Tensor<T> indices(std::size_t steps, std::size_t batch, std::size_t count) {
  Tensor<T> x({steps, batch, 1});
  for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<T>((i * 7 + 3) % count);
  return x;
}

TEST(Embedding, GivesTheRowsOfTheTable) {
  const StateDict<float> weights = table<float>(5, 3);
  const Embedding<float> embedding({5, 3}, weights);
  const Tensor<std::int64_t> index({2, 3}, {4, 0, 1, 1, 2, 3});
  const Tensor<float> y = embedding.forward(index);
  ASSERT_EQ(y.shape(), Shape({2, 3, 3}));
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      for (std::size_t f = 0; f < 3; ++f) {
        EXPECT_EQ(y(i, j, f), weights.at("weight")(static_cast<std::size_t>(index(i, j)), f));
      }
    }
  }
  const TensorView<const std::int64_t> transposed = index.view().transpose(0, 1);
  expect_same_bits<float>(embedding.forward(transposed), y.view().transpose(0, 1));
  EXPECT_EQ(embedding.forward(Tensor<std::int64_t>({0, 3})).shape(), Shape({0, 3, 3}));
}

TEST(Embedding, RunsOverWholeNumbersOfTheElementType) {
  const StateDict<double> weights = table<double>(11, 4);
  const Embedding<double> embedding({11, 4}, weights);
  const Tensor<double> x = indices<double>(6, 5, 11);
  const Tensor<double> y = embedding.run({x.view()}, {}).y;
  for (std::size_t t = 0; t < 6; ++t) {
    for (std::size_t b = 0; b < 5; ++b) {
      EXPECT_EQ(y(t, b, 2), weights.at("weight")(static_cast<std::size_t>(x(t, b, 0)), 2));
    }
  }
}

TEST(Embedding, KeepsThePromisesOfAModule) {
  const Embedding<float> embedding({96, 17}, table<float>(96, 17));
  test::expect_module_promises<float>(embedding, indices<float>(5, 33, 96));
}

TEST(Embedding, PaddingPastALengthNeedNotBeAnIndex) {
  const Embedding<float> embedding({5, 3}, table<float>(5, 3));
  const Tensor<float> x({2, 2, 1}, {4, 1, -1, 2});
  const std::vector<std::int64_t> lengths{1, 2};
  const SequenceOutput<float> out = embedding.run({x.view(), lengths}, {});
  EXPECT_EQ(out.lengths, lengths);
  EXPECT_EQ(out.y(1, 0, 0), 0.0f);
  EXPECT_NE(out.y(1, 1, 0), 0.0f);
}

TEST(Embedding, AStepGivesNaNForWhatIsNoIndex) {
  const Embedding<float> embedding({5, 3}, table<float>(5, 3));
  const auto stepper = embedding.stepper(6, 1);
  const Tensor<float> x({6}, {5, -1, 1.5f, std::nanf(""), INFINITY, 4});
  const float* y = stepper->step(x.data());
  for (std::size_t i = 0; i < 15; ++i) EXPECT_TRUE(std::isnan(y[i]));
  for (std::size_t i = 15; i < 18; ++i) EXPECT_FALSE(std::isnan(y[i]));
}

TEST(Embedding, ErrorsNameTheIndexAndItsPlace) {
  const StateDict<float> weights = table<float>(5, 3);
  const Embedding<float> embedding({5, 3}, weights);
  using test::message_of;
  EXPECT_EQ(message_of<Error>([&] {
              embedding.forward(Tensor<std::int64_t>({2, 2}, {0, 1, 5, 2}));
            }),
            "Embedding::forward: index 2 of indices [2, 2] is 5, expected a whole number in [0, 5)");
  EXPECT_EQ(message_of<Error>([&] { embedding.forward(Tensor<std::int64_t>({1}, {-1})); }),
            "Embedding::forward: index 0 of indices [1] is -1, expected a whole number in [0, 5)");
  EXPECT_EQ(message_of<Error>([&] {
              embedding.run({Tensor<float>({2, 1, 1}, {1, 1.5f}).view()}, {});
            }),
            "Embedding::run: x[1, 0] is 1.500000, expected a whole number in [0, 5)");
  EXPECT_EQ(message_of<Error>([&] {
              embedding.run({Tensor<float>({1, 1, 1}, {5}).view()}, {});
            }),
            "Embedding::run: x[0, 0] is 5, expected a whole number in [0, 5)");
  EXPECT_EQ(message_of<ShapeError>([&] {
              embedding.run({Tensor<float>({1, 1, 2}).view()}, {});
            }),
            "Embedding::run: x is [1, 1, 2], expected [T, B, 1]");
  EXPECT_EQ(message_of<ShapeError>([&] { embedding.output_size(2); }),
            "Embedding: the input has 2 features, expected 1");
  EXPECT_EQ(
      message_of<Error>([&] {
        Embedding<float>({(1 << 24) + 1, 1}, weights);
      }),
      "Embedding: num_embeddings is 16777217, expected at most 16777216, the whole numbers that are exact "
      "in a float");
}

}  // namespace
}  // namespace sluice
