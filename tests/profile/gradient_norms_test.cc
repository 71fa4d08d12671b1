// SPDX-License-Identifier: Apache-2.0
// The gradient's norm by time step.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "profile/gate_reports.h"
#include "sluice/layers.h"
#include "sluice/random.h"
#include "sluice/tape.h"
#include "support/plain_gates.h"
#include "support/recurrent_cases.h"

namespace sluice {
namespace {

using test::make_module;
using test::options_of;
using test::scaled_weights;

// Without recurrent weights each step's output is its own: the gradient of sum y^2 that reaches it is 2 y.
TEST(GradientNorms, OfIndependentStepsAreThoseOfTheirOutputs) {
  const RecurrentOptions options = options_of(CellKind::kRnnTanh, 3, 5, 1, true);
  StateDict<double> weights = scaled_weights<double>(test::parameters_of(options), 1);
  for (const char* name : {"weight_hh_l0", "weight_hh_l0_reverse"}) weights.set(name, Tensor<double>({5, 5}));
  const auto module = make_module(options, weights);
  const Tensor<double> x = random_tensor<double>({6, 3, 3}, -1, 1, 1);
  const std::vector<std::int64_t> lengths{5, 2, 4};
  const Tensor<double> y = module->run({x.view(), lengths}, {}).y;
  const std::vector<double> got = gradient_norms<double>(*module, weights, {x.view(), lengths});
  const std::vector<double> ten_times =
      gradient_norms<double>(*module, weights, {x.view(), lengths}, [](const SequenceOutput<double>& out) {
        Tensor<double> grad(out.y);
        for (double& value : grad.span()) value *= 20;
        return grad;
      });
  ASSERT_EQ(got.size(), 6u);
  for (std::size_t t = 0; t < 6; ++t) {
    double squares = 0;
    for (std::size_t row = 0; row < 3; ++row) {
      for (std::size_t i = 0; i < 10; ++i) squares += 4 * y(t, row, i) * y(t, row, i);
    }
    EXPECT_NEAR(got[t], std::sqrt(squares), 1e-14 * std::sqrt(squares)) << t;
    EXPECT_NEAR(ten_times[t], 10 * std::sqrt(squares), 1e-13 * std::sqrt(squares)) << t;
  }
  EXPECT_EQ(got[5], 0);
}

TEST(GradientNorms, AreOfTheLastRecurrentLayerAtAnyNumberOfThreads) {
  const RecurrentOptions first = options_of(CellKind::kGru, 3, 4),
                         second = options_of(CellKind::kLstm, 4, 5, 2);
  StateDict<float> weights = scaled_weights<float>(test::parameters_of(second), 0.5);
  for (const ParameterInfo& info : test::parameters_of(first)) {
    weights.set("enc." + info.name, random_tensor<float>(info.shape, -0.5, 0.5, 3));
  }
  Sequential<float> model;
  model.add(GRU<float>({.input_size = 3, .hidden_size = 4}, weights, "enc."));
  model.add(Dropout<float>({.p = 0.2}));
  model.add(LSTM<float>({.input_size = 4, .hidden_size = 5, .num_layers = 2}, weights));
  const Tensor<float> x = random_tensor<float>({6, 9, 3}, -1, 1, 1);
  const std::vector<double> want =
      gradient_norms<float>(model, weights, {x.view()}, square_sum_gradient<float>, 1);
  ASSERT_EQ(want.size(), 6u);
  // Nothing comes from later steps to the last one.
  RandomSource random;
  Tape tape;
  const Tensor<float> y = model.record({x.view()}, tape, {.random = &random}).y;
  double squares = 0;
  for (std::size_t i = 0; i < 45; ++i) squares += 4 * std::pow(y.data()[5 * 45 + i], 2.0);
  EXPECT_NEAR(want[5], std::sqrt(squares), 1e-6 * std::sqrt(squares));
  for (const int threads : {2, 3}) {
    EXPECT_EQ(gradient_norms<float>(model, weights, {x.view()}, square_sum_gradient<float>, threads), want);
  }
  Sequential<float> none;
  none.add(Dropout<float>({.p = 0.2}));
  EXPECT_TRUE(gradient_norms<float>(none, {}, {x.view()}).empty());
}

}  // namespace
}  // namespace sluice
