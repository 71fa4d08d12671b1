// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "sluice/recurrent.h"
#include "support/recurrent_cases.h"

namespace sluice {
namespace {

using test::expect_matches_reference;
using test::message_of;
using test::options_of;
using test::random_weights;

// ONNX Runtime 10069, tensorflow 24600: one form taken for the other.
TEST(GruForward, MatchesTheReferenceInBothResetFormsAtTheEdges) {
  for (const CellKind kind : {CellKind::kGru, CellKind::kGruBefore}) {
    for (const std::size_t hidden : {1, 15, 16, 17, 33, 65}) {
      for (const std::size_t input : {1, 16, 33}) {
        expect_matches_reference<float>(options_of(kind, input, hidden), 3, 4);
        expect_matches_reference<double>(options_of(kind, input, hidden), 3, 4);
      }
    }
    for (std::size_t batch = 0; batch <= 13; ++batch) {
      expect_matches_reference<float>(options_of(kind, 5, 19), 4, batch);
    }
  }
}

TEST(GruForward, MatchesTheReferenceWithEveryOption) {
  for (const CellKind kind : {CellKind::kGru, CellKind::kGruBefore}) {
    for (const std::size_t layers : {1, 2, 3}) {
      for (const bool both_ways : {false, true}) {
        for (const bool bias : {false, true}) {
          expect_matches_reference<float>(options_of(kind, 7, 18, layers, both_ways, 0, bias), 5, 3);
          expect_matches_reference<double>(options_of(kind, 7, 18, layers, both_ways, 0, bias), 5, 3);
        }
      }
    }
  }
}

// ONNX Runtime 4628: wrong for large sizes with mixed signs.
TEST(GruForward, StaysAccurateOverAHundredStepsOfALargeState) {
  for (const CellKind kind : {CellKind::kGru, CellKind::kGruBefore}) {
    expect_matches_reference<float>(options_of(kind, 64, 256), 100, 1);
    expect_matches_reference<double>(options_of(kind, 64, 256), 100, 1);
  }
}

TEST(GruForward, TheTwoResetFormsDiffer) {
  const auto weights = random_weights<float>(options_of(CellKind::kGru, 4, 8));
  const Tensor<float> x = random_tensor<float>({6, 2, 4}, -1, 1, 3);
  const auto after = GRU<float>({.input_size = 4, .hidden_size = 8}, weights).forward(x);
  const auto before =
      GRU<float>({.input_size = 4, .hidden_size = 8, .reset = GRUReset::kBefore}, weights).forward(x);
  EXPECT_GT(std::abs(after.output(5, 1, 3) - before.output(5, 1, 3)), 1e-3f);
}

TEST(GruForward, RefusesACellState) {
  const auto weights = random_weights<float>(options_of(CellKind::kGru, 4, 8));
  const GRU<float> gru({.input_size = 4, .hidden_size = 8}, weights);
  const Tensor<float> x({2, 1, 4}), c0({1, 1, 8});
  RecurrentInput<float> in;
  in.c0 = c0;
  EXPECT_EQ(message_of<Error>([&] { (void)gru.forward(x, in); }),
            "GRU::forward: c0 is given, but only an LSTM has a cell state");
  in = {};
  in.cell_sequence = true;
  EXPECT_EQ(message_of<Error>([&] { (void)gru.forward(x, in); }),
            "GRU::forward: cell_sequence is set, but only an LSTM has a cell state");
}

// candle 2542: the shapes of the states.
TEST(GruForward, ShapesAreAsDocumented) {
  const auto options = options_of(CellKind::kGru, 4, 5, 3, true);
  const GRU<float> gru(
      {.input_size = 4, .hidden_size = 5, .num_layers = 3, .batch_first = true, .bidirectional = true},
      random_weights<float>(options));
  const auto out = gru.forward(Tensor<float>({2, 7, 4}));
  EXPECT_EQ(out.output.shape(), (Shape{2, 7, 10}));
  EXPECT_EQ(out.h_n.shape(), (Shape{6, 2, 5}));
  EXPECT_TRUE(out.c_n.is_null());
  EXPECT_TRUE(out.c_sequence.is_null());
  // 3 gates x 5 units x (inputs + 5), two directions; layers with 4, 10 and 10 inputs.
  EXPECT_EQ(gru.flops_per_step(4), 2.0 * 2 * 15 * ((4 + 5) + 2 * (10 + 5)));
  EXPECT_EQ(message_of<ShapeError>([&] {
              (void)gru.forward(Tensor<float>({2, 7, 5}));
            }),
            "GRU::forward: x is [2, 7, 5], expected [B, T, 4] or [T, 4]");
}

}  // namespace
}  // namespace sluice
