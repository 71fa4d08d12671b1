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

TEST(LstmForward, MatchesTheReferenceAtTheEdgesOfVectorsAndTiles) {
  for (const std::size_t hidden : {1, 15, 16, 17, 33}) {
    for (const std::size_t input : {1, 15, 16, 17, 33}) {
      expect_matches_reference<float>(options_of(CellKind::kLstm, input, hidden), 3, 4);
      expect_matches_reference<double>(options_of(CellKind::kLstm, input, hidden), 3, 4);
    }
  }
  for (std::size_t batch = 0; batch <= 13; ++batch) {
    expect_matches_reference<float>(options_of(CellKind::kLstm, 5, 19), 4, batch);
  }
}

TEST(LstmForward, MatchesTheReferenceWithEveryOption) {
  for (const std::size_t layers : {1, 2, 3}) {
    for (const bool both_ways : {false, true}) {
      for (const std::size_t projection : {0, 1, 9}) {
        for (const bool bias : {false, true}) {
          const auto options = options_of(CellKind::kLstm, 7, 18, layers, both_ways, projection, bias);
          expect_matches_reference<float>(options, 5, 3);
          expect_matches_reference<double>(options, 5, 3);
        }
      }
    }
  }
}

TEST(LstmForward, StaysAccurateOverAHundredSteps) {
  expect_matches_reference<float>(options_of(CellKind::kLstm, 64, 256), 100, 2);
  expect_matches_reference<double>(options_of(CellKind::kLstm, 64, 256), 100, 2);
}

// PyTorch 31423: users want c of every step, not the last one only.
TEST(LstmForward, GivesEveryCellState) {
  const auto options = options_of(CellKind::kLstm, 4, 6, 2, true);
  const LSTM<float> lstm({.input_size = 4, .hidden_size = 6, .num_layers = 2, .bidirectional = true},
                         random_weights<float>(options));
  const Tensor<float> x = random_tensor<float>({5, 2, 4}, -1, 1, 3);
  const auto without = lstm.forward(x);
  RecurrentInput<float> in;
  in.cell_sequence = true;
  const auto with = lstm.forward(x, in);
  EXPECT_TRUE(without.c_sequence.is_null());
  ASSERT_EQ(with.c_sequence.shape(), (Shape{5, 2, 12}));
  expect_same_bits<float>(with.output.view(), without.output.view());
  expect_same_bits<float>(with.c_n.view(), without.c_n.view());
  // The last layer's final states are the ends of its sequence: the forward half's last, the other's first.
  const auto c = with.c_sequence.view();
  expect_same_bits<float>(with.c_n.view().select(0, 2), c.select(0, 4).narrow(1, 0, 6));
  expect_same_bits<float>(with.c_n.view().select(0, 3), c.select(0, 0).narrow(1, 6, 6));
}

// icefall 621, sherpa 136: projections.
TEST(LstmForward, ProjectionShrinksTheStateOnly) {
  const auto options = options_of(CellKind::kLstm, 4, 8, 2, true, 3);
  const LSTM<float> lstm(
      {.input_size = 4, .hidden_size = 8, .num_layers = 2, .bidirectional = true, .proj_size = 3},
      random_weights<float>(options));
  const auto out = lstm.forward(Tensor<float>({7, 5, 4}));
  EXPECT_EQ(out.output.shape(), (Shape{7, 5, 6}));
  EXPECT_EQ(out.h_n.shape(), (Shape{4, 5, 3}));
  EXPECT_EQ(out.c_n.shape(), (Shape{4, 5, 8}));
  EXPECT_EQ(lstm.output_size(4), 6u);
  // 2 directions x (4 gates x 8 units x (inputs + 3) + 3 x 8), layers with 4 and 6 inputs.
  EXPECT_EQ(lstm.flops_per_step(4), 2.0 * 2 * ((32 * (4 + 3) + 24) + (32 * (6 + 3) + 24)));
  const auto parameters = lstm.parameters();
  ASSERT_EQ(parameters.size(), 20u);
  EXPECT_EQ(parameters[4].name, "weight_hr_l0");
  EXPECT_EQ(parameters[19].name, "weight_hr_l1_reverse");
  EXPECT_EQ(parameters[19].shape, (Shape{3, 8}));
}

TEST(LstmForward, TakesParametersUnderAPrefix) {
  const auto options = options_of(CellKind::kLstm, 2, 3);
  StateDict<float> weights;
  for (const auto& info : test::parameters_of(options))
    weights.set("rnn." + info.name, Tensor<float>(info.shape));
  const LSTM<float> lstm({.input_size = 2, .hidden_size = 3}, weights, "rnn.");
  EXPECT_EQ(lstm.parameters()[1].name, "rnn.weight_hh_l0");
}

TEST(LstmForward, AllShapesOfACall) {
  const auto options = options_of(CellKind::kLstm, 4, 5);
  const LSTM<float> lstm({.input_size = 4, .hidden_size = 5}, random_weights<float>(options));
  const auto no_steps = lstm.forward(Tensor<float>({0, 3, 4}));
  EXPECT_EQ(no_steps.output.shape(), (Shape{0, 3, 5}));
  EXPECT_EQ(no_steps.h_n.shape(), (Shape{1, 3, 5}));
  const auto no_rows = lstm.forward(Tensor<float>({6, 0, 4}));
  EXPECT_EQ(no_rows.output.shape(), (Shape{6, 0, 5}));
  EXPECT_EQ(no_rows.c_n.shape(), (Shape{1, 0, 5}));
  const auto unbatched = lstm.forward(Tensor<float>({6, 4}));
  EXPECT_EQ(unbatched.output.shape(), (Shape{6, 5}));
  EXPECT_EQ(unbatched.c_n.shape(), (Shape{1, 5}));
}

TEST(LstmForward, SaysWhatIsWrong) {
  const auto options = options_of(CellKind::kLstm, 64, 32);
  const LSTM<float> lstm({.input_size = 64, .hidden_size = 32}, random_weights<float>(options));
  const Tensor<float> x({10, 4, 64});
  const auto message = [&](const RecurrentInput<float>& in) {
    return message_of<Error>([&] { (void)lstm.forward(x, in); });
  };
  EXPECT_EQ(message_of<ShapeError>([&] {
              (void)lstm.forward(Tensor<float>({10, 4, 63}));
            }),
            "LSTM::forward: x is [10, 4, 63], expected [T, B, 64] or [T, 64]");
  EXPECT_EQ(message_of<ShapeError>([&] { (void)lstm.forward(Tensor<float>({64})); }),
            "LSTM::forward: x is [64], expected [T, B, 64] or [T, 64]");
  EXPECT_EQ(message_of<ShapeError>([&] { (void)lstm.forward({}); }),
            "LSTM::forward: x is [], expected [T, B, 64] or [T, 64]");
  const Tensor<float> wrong({1, 5, 32});
  RecurrentInput<float> in;
  in.h0 = wrong;
  EXPECT_EQ(message(in), "LSTM::forward: h0 is [1, 5, 32], expected [1, 4, 32]");
  in = {};
  in.c0 = wrong;
  EXPECT_EQ(message(in), "LSTM::forward: c0 is [1, 5, 32], expected [1, 4, 32]");
  in = {};
  const std::vector<std::int64_t> too_many(5, 1), too_long{1, 2, 11, 3}, negative{1, 2, 3, -1};
  in.lengths = too_many;
  EXPECT_EQ(message(in), "LSTM::forward: lengths has 5 entries, expected one for each of 4 rows");
  in.lengths = too_long;
  EXPECT_EQ(message(in), "LSTM::forward: lengths[2] is 11, expected 0 to 10");
  in.lengths = negative;
  EXPECT_EQ(message(in), "LSTM::forward: lengths[3] is -1, expected 0 to 10");
  in = {};
  in.threads = -1;
  EXPECT_EQ(message(in), "LSTM::forward: threads is -1, expected 0 or more");
  EXPECT_EQ(message_of<ShapeError>([&] { (void)lstm.output_size(63); }),
            "LSTM: the input has 63 features, expected 64");
  EXPECT_EQ(message_of<ShapeError>([&] {
              (void)lstm.run({Tensor<float>({3, 64}).view()}, {});
            }),
            "LSTM::run: x is [3, 64], expected [T, B, 64]");
}

TEST(LstmConstructor, SaysWhatIsWrong) {
  const auto weights = random_weights<float>(options_of(CellKind::kLstm, 4, 8));
  const auto message = [&](const LSTMOptions& options) {
    return message_of<Error>([&] { LSTM<float>(options, weights); });
  };
  EXPECT_EQ(message({.input_size = 0, .hidden_size = 8}), "LSTM: input_size is 0, expected at least 1");
  EXPECT_EQ(message({.input_size = 4, .hidden_size = 0}), "LSTM: hidden_size is 0, expected at least 1");
  EXPECT_EQ(message({.input_size = 4, .hidden_size = 8, .num_layers = 0}),
            "LSTM: num_layers is 0, expected at least 1");
  EXPECT_EQ(message({.input_size = 4, .hidden_size = 8, .proj_size = 8}),
            "LSTM: proj_size is 8, expected less than hidden_size 8");
  EXPECT_EQ(message({.input_size = 5, .hidden_size = 8}),
            "tensor 'weight_ih_l0' is [32, 4], expected [32, 5]");
  EXPECT_EQ(message({.input_size = 4, .hidden_size = 8, .num_layers = 2}),
            "no tensor named 'weight_ih_l1'; there are 4: 'bias_hh_l0', 'bias_ih_l0', 'weight_hh_l0', "
            "'weight_ih_l0'");
  // A size whose bytes overflow is an error, not a small allocation (oneDNN 848).
  EXPECT_NE(message({.input_size = 4, .hidden_size = std::size_t{1} << 62}), "nothing was thrown");
}

}  // namespace
}  // namespace sluice
