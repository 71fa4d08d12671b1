// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "sluice/recurrent.h"
#include "support/recurrent_cases.h"

namespace sluice {
namespace {

using test::expect_matches_reference;
using test::options_of;
using test::random_weights;

TEST(RnnForward, MatchesTheReferenceAtTheEdges) {
  for (const CellKind kind : {CellKind::kRnnTanh, CellKind::kRnnRelu}) {
    // A block of a plain matrix is up to four vectors.
    for (const std::size_t hidden : {1, 15, 16, 17, 33, 63, 64, 65, 130}) {
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

TEST(RnnForward, MatchesTheReferenceWithEveryOption) {
  for (const CellKind kind : {CellKind::kRnnTanh, CellKind::kRnnRelu}) {
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

TEST(RnnForward, StaysAccurateOverAHundredSteps) {
  expect_matches_reference<float>(options_of(CellKind::kRnnTanh, 64, 256), 100, 1);
  expect_matches_reference<double>(options_of(CellKind::kRnnTanh, 64, 256), 100, 1);
}

TEST(RnnForward, ReluGivesNoNegative) {
  const auto weights = random_weights<float>(options_of(CellKind::kRnnRelu, 4, 20));
  const RNN<float> rnn({.input_size = 4, .hidden_size = 20, .nonlinearity = Nonlinearity::kRelu}, weights);
  const auto out = rnn.forward(random_tensor<float>({9, 3, 4}, -1, 1, 7));
  for (const float v : out.output.span()) EXPECT_GE(v, 0.0f);
}

}  // namespace
}  // namespace sluice
