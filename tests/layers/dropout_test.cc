// SPDX-License-Identifier: Apache-2.0
// What drops out: which elements, how many, and that nobody but record() knows of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "layers/dropout_mask.h"
#include "sluice/layers.h"
#include "sluice/parameters.h"
#include "sluice/random.h"
#include "support/module_promises.h"
#include "support/recurrent_cases.h"

namespace sluice {
namespace {

using test::expect_equal_bits;
using test::message_of;
using test::uniform_tensor;

template <class T>
Tensor<T> ones(const Shape& shape) {
  Tensor<T> all(shape);
  std::fill_n(all.data(), all.size(), T{1});
  return all;
}

template <class T>
Tensor<T> factors(const DropoutMask& mask, const Shape& shape, int threads = 1) {
  Tensor<T> made = ones<T>(shape);
  mask.apply(made, threads);
  return made;
}

bool differ(const Tensor<float>& a, const Tensor<float>& b) {
  return !std::equal(a.span().begin(), a.span().end(), b.span().begin(), b.span().end());
}

double share_of_zeros(const Tensor<double>& values) {
  std::size_t zeros = 0;
  for (const double value : values.span()) zeros += value == 0 ? 1 : 0;
  return static_cast<double>(zeros) / static_cast<double>(values.size());
}

// The header's own words: element i is dropped where word i of the stream is below p 2^32.
TEST(DropoutMask, IsMadeOfTheStreamsWords) {
  const RandomStream random(5, 7 + (std::uint64_t{3} << 33));
  for (const double p : {0.25, 0.5, 0.9}) {
    for (const Shape& shape : {Shape{1, 1, 1}, Shape{3, 5, 7}, Shape{40, 3, 41}}) {
      const Tensor<double> mask = factors<double>(DropoutMask(p, false, random), shape);
      for (std::size_t i = 0; i < mask.size(); ++i) {
        const std::uint64_t bits = random.bits(i / 2);
        const auto word = static_cast<std::uint32_t>(i % 2 == 0 ? bits : bits >> 32);
        ASSERT_EQ(mask.data()[i], word < p * 0x1p32 ? 0 : 1 / (1 - p)) << i;
      }
    }
  }
}

TEST(DropoutMask, OfFloatIsTheOneOfDouble) {
  const DropoutMask mask(0.5, false, RandomStream(1, 2));
  const Tensor<float> narrow = factors<float>(mask, {9, 4, 33});
  const Tensor<double> wide = factors<double>(mask, {9, 4, 33});
  for (std::size_t i = 0; i < wide.size(); ++i) ASSERT_EQ(narrow.data()[i], wide.data()[i]);
}

TEST(DropoutMask, VariationalIsTheSameAtEachStep) {
  const RandomStream random(5, 7);
  const Shape step{1, 6, 50};  // more than a chunk
  const Tensor<double> once = factors<double>(DropoutMask(0.4, false, random), step);
  const Tensor<double> all = factors<double>(DropoutMask(0.4, true, random), {5, 6, 50});
  for (std::size_t t = 0; t < 5; ++t) {
    expect_equal_bits<double>(all.view().narrow(0, t, 1), once.view());
  }
}

TEST(DropoutMask, AnyNumberOfThreadsGivesTheSameBits) {
  for (const bool is_variational : {false, true}) {
    const DropoutMask mask(0.3, is_variational, RandomStream(5, 7));
    const Shape shape = is_variational ? Shape{2, 300, 401} : Shape{100, 30, 67};
    const Tensor<float> want = factors<float>(mask, shape);
    for (const int threads : {2, 3})
      expect_equal_bits<float>(factors<float>(mask, shape, threads).view(), want.view());
  }
}

TEST(DropoutMask, DropsItsShareAndKeepsTheMean) {
  const Shape shape{100, 100, 100};
  for (const double p : {0.01, 0.3, 0.5, 0.95}) {
    const Tensor<double> mask = factors<double>(DropoutMask(p, false, RandomStream(11, 0)), shape);
    // Five standard deviations of a million draws.
    const double bound = 5 * std::sqrt(p * (1 - p) / 1e6);
    EXPECT_NEAR(share_of_zeros(mask), p, bound);
    double sum = 0;
    for (const double factor : mask.span()) sum += factor;
    EXPECT_NEAR(sum / 1e6, 1, bound / (1 - p));
    // And neighbours know nothing of each other.
    double both = 0;
    for (std::size_t i = 1; i < mask.size(); ++i)
      both += mask.data()[i] == 0 && mask.data()[i - 1] == 0 ? 1 : 0;
    EXPECT_NEAR(both / 1e6, p * p, 5 * std::sqrt(p * p * (1 - p * p) / 1e6) + bound * p);
  }
}

TEST(Dropout, OnlyRecordKnowsOfIt) {
  const Dropout<float> dropout({.p = 0.5});
  const Tensor<float> x = uniform_tensor<float>({6, 3, 5}, 1);
  expect_equal_bits<float>(dropout.run({x.view()}, {}).y.view(), x.view());
  test::expect_module_promises<float>(dropout, x);
  RandomSource random{.seed = 3};
  Tape tape;
  const Tensor<float> y = dropout.record({x.view()}, tape, {.random = &random}).y;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (y.data()[i] == 0) continue;
    ASSERT_EQ(y.data()[i], 2 * x.data()[i]);
  }
  EXPECT_EQ(tape.bytes(), 0u);
}

TEST(Dropout, EachRunTakesAStreamAndAStateSetBackGivesTheSame) {
  const Dropout<float> dropout({.p = 0.5});
  const Tensor<float> x = ones<float>({8, 3, 5});
  RandomSource random{.seed = 3, .next = 4};
  Tape tape;
  const Tensor<float> first = dropout.record({x.view()}, tape, {.random = &random}).y;
  EXPECT_EQ(random.next, 5u);
  const Tensor<float> second = dropout.record({x.view()}, tape, {.random = &random}).y;
  EXPECT_TRUE(differ(first, second));
  RandomSource again{.seed = 3, .next = 4};
  expect_equal_bits<float>(dropout.record({x.view()}, tape, {.random = &again}).y.view(), first.view());
  RandomSource other{.seed = 4, .next = 4};
  EXPECT_TRUE(differ(dropout.record({x.view()}, tape, {.random = &other}).y, first));
}

TEST(Dropout, TheWayBackHasTheSameMask) {
  const std::vector<std::int64_t> lengths{5, 2, 0};
  for (const bool is_variational : {false, true}) {
    const Dropout<double> dropout({.p = 0.4, .variational = is_variational});
    RandomSource random{.seed = 3};
    Tape tape;
    const Tensor<double> mask =
        dropout.record({ones<double>({5, 3, 7}).view(), lengths}, tape, {.random = &random}).y;
    const Tensor<double> grad = uniform_tensor<double>({5, 3, 7}, 2);
    Parameters<double> none{std::vector<ParameterInfo>()};
    const Tensor<double> grad_x = dropout.backward(grad, tape, none, {});
    for (std::size_t t = 0; t < 5; ++t) {
      for (std::size_t b = 0; b < 3; ++b) {
        const bool is_valid = t < static_cast<std::size_t>(lengths[b]);
        for (std::size_t f = 0; f < 7; ++f)
          ASSERT_EQ(grad_x(t, b, f), is_valid ? grad(t, b, f) * mask(t, b, f) : 0);
      }
    }
  }
}

TEST(Dropout, OfZeroIsNoneAndOfOneIsNothing) {
  const Tensor<double> x = uniform_tensor<double>({6, 3, 5}, 1);
  Tape tape;
  expect_equal_bits<double>(Dropout<double>({.p = 0}).record({x.view()}, tape, {}).y.view(), x.view());
  RandomSource random;
  const Tensor<double> y = Dropout<double>({.p = 1}).record({x.view()}, tape, {.random = &random}).y;
  EXPECT_EQ(share_of_zeros(y), 1);
}

TEST(Dropout, RefusesWhatMakesNoSense) {
  EXPECT_EQ(message_of<Error>([] { Dropout<float>({.p = 1.5}); }), "Dropout: p is 1.500000, expected 0 to 1");
  EXPECT_EQ(message_of<Error>([] { Dropout<float>({.p = NAN}); }), "Dropout: p is nan, expected 0 to 1");
  EXPECT_EQ(message_of<Error>([] {
              LSTM<float>({.input_size = 1, .hidden_size = 1, .dropout = -0.5}, StateDict<float>());
            }),
            "LSTM: dropout is -0.500000, expected 0 to 1");
}

TEST(Dropout, WithoutASourceIsRefused) {
  const Tensor<float> x = ones<float>({4, 2, 3});
  Tape tape;
  EXPECT_EQ(message_of<Error>([&] { Dropout<float>().record({x.view()}, tape, {}); }),
            "Dropout::record: it drops out or zones out, but RecordOptions::random is null; expected a "
            "RandomSource");
  const auto lstm = [&](std::size_t layers) {
    RecurrentOptions sizes = test::options_of(CellKind::kLstm, 3, 4, layers);
    return LSTM<float>({.input_size = 3, .hidden_size = 4, .num_layers = layers, .dropout = 0.5},
                       test::random_weights<float>(sizes));
  };
  EXPECT_EQ(
      message_of<Error>([&] { lstm(2).record({x.view()}, tape, {}); }),
      "LSTM::record: it drops out or zones out, but RecordOptions::random is null; expected a RandomSource");
  EXPECT_EQ(tape.size(), 0u);
  // There is nothing between the layers of one.
  EXPECT_NO_THROW(lstm(1).record({x.view()}, tape, {}));
}

TEST(Dropout, BetweenLayersTakesAStreamAMask) {
  const Tensor<float> x = uniform_tensor<float>({4, 2, 3}, 1);
  const LSTM<float> lstm({.input_size = 3, .hidden_size = 40, .num_layers = 3, .dropout = 0.5},
                         test::random_weights<float>(test::options_of(CellKind::kLstm, 3, 40, 3)));
  RandomSource random{.seed = 1, .next = 9};
  Tape tape;
  const Tensor<float> y = lstm.record({x.view()}, tape, {.random = &random}).y;
  EXPECT_EQ(random.next, 11u);
  EXPECT_TRUE(differ(y, lstm.record({x.view()}, tape, {.random = &random}).y));
  EXPECT_TRUE(differ(y, lstm.run({x.view()}, {}).y));
  RandomSource unmoved{.seed = 1, .next = 9};
  EXPECT_THROW(lstm.record({ones<float>({4, 2, 2}).view()}, tape, {.random = &unmoved}), ShapeError);
  EXPECT_EQ(unmoved.next, 9u);
  expect_equal_bits<float>(lstm.record({x.view()}, tape, {.random = &unmoved}).y.view(), y.view());
}

TEST(Dropout, InASequentialIsSteppedOverWhereItRuns) {
  const Tensor<float> x = uniform_tensor<float>({5, 2, 3}, 1);
  StateDict<float> weights;
  weights.set("weight", uniform_tensor<float>({4, 3}, 2));
  Sequential<float> plain, dropping, nothing;
  plain.add(Linear<float>({.in_features = 3, .out_features = 4, .bias = false}, weights));
  dropping.add(Dropout<float>())
      .add(Linear<float>({.in_features = 3, .out_features = 4, .bias = false}, weights))
      .add(Dropout<float>());
  nothing.add(Dropout<float>());
  expect_equal_bits<float>(dropping.run({x.view()}, {}).y.view(), plain.run({x.view()}, {}).y.view());
  expect_equal_bits<float>(nothing.run({x.view()}, {}).y.view(), x.view());
  test::expect_module_promises<float>(dropping, x);
  test::expect_module_promises<float>(nothing, x);
}

TEST(Dropout, ARunThatFailsGivesItsStreamsBack) {
  StateDict<float> weights;
  weights.set("weight", uniform_tensor<float>({4, 3}, 2));
  Sequential<float> model;
  model.add(Dropout<float>()).add(Embedding<float>({.num_embeddings = 4, .embedding_dim = 3}, weights));
  RandomSource random{.seed = 1, .next = 2};
  Tape tape;
  Tensor<float> x({4, 2, 1});
  std::fill_n(x.data(), x.size(), 9.0F);
  EXPECT_THROW(model.record({x.view()}, tape, {.random = &random}), Error);
  EXPECT_EQ(random.next, 2u);
  EXPECT_EQ(tape.size(), 0u);
}

}  // namespace
}  // namespace sluice
