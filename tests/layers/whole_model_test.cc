// SPDX-License-Identifier: Apache-2.0
// Models of all kinds of modules at once: what each promises, the whole must keep.
#include <gtest/gtest.h>

#include <limits>

#include "sluice/layers.h"
#include "sluice/recurrent.h"
#include "sluice/stream.h"
#include "support/expect_same_bits.h"
#include "support/module_promises.h"
#include "support/random.h"

namespace sluice {
namespace {

// Values small enough that gates do not saturate over a test's steps.
void set_random(StateDict<float>& weights, const std::string& name, const Shape& shape) {
  weights.set(name, random_tensor<float>(shape, -0.4, 0.4, shape.size() + name.size()));
}

void set_gates(StateDict<float>& weights, const std::string& prefix, std::size_t gates, std::size_t in,
               std::size_t hidden) {
  set_random(weights, prefix + "weight_ih_l0", {gates * hidden, in});
  set_random(weights, prefix + "weight_hh_l0", {gates * hidden, hidden});
  set_random(weights, prefix + "bias_ih_l0", {gates * hidden});
  set_random(weights, prefix + "bias_hh_l0", {gates * hidden});
}

StateDict<float> all_weights() {
  StateDict<float> weights;
  set_random(weights, "emb.weight", {96, 12});
  set_random(weights, "conv.weight", {20, 12, 3});
  set_random(weights, "conv.bias", {20});
  set_gates(weights, "lstm.", 4, 20, 33);
  set_gates(weights, "gru.", 3, 33, 17);
  set_gates(weights, "rnn.", 1, 17, 9);
  set_random(weights, "head.weight", {5, 9});
  set_random(weights, "head.bias", {5});
  return weights;
}

// Embedding, Conv1d, LSTM, LayerNorm, GRU, then one value, then an RNN over that one value and a head.
Sequential<float> model() {
  const StateDict<float> weights = all_weights();
  Sequential<float> all;
  all.add(Embedding<float>({96, 12}, weights, "emb."))
      .add(Conv1d<float>({.in_channels = 12, .out_channels = 20, .kernel_size = 3, .dilation = 2}, weights,
                         "conv."))
      .add(LSTM<float>({.input_size = 20, .hidden_size = 33}, weights, "lstm."))
      .add(LayerNorm<float>({.normalized_shape = 33, .elementwise_affine = false}, weights))
      .add(GRU<float>({.input_size = 33, .hidden_size = 17}, weights, "gru."))
      .add(LastStep<float>())
      .add(RNN<float>({.input_size = 17, .hidden_size = 9}, weights, "rnn."))
      .add(Linear<float>({9, 5}, weights, "head."))
      .add(Activation<float>("Softmax"));
  return all;
}

Tensor<float> indices(std::size_t steps, std::size_t batch) {
  Tensor<float> x({steps, batch, 1});
  Random random(9);
  for (float& v : x.span()) v = static_cast<float>(random.below(96));
  return x;
}

TEST(WholeModel, KeepsThePromisesOfAModule) {
  const Sequential<float> network = model();
  EXPECT_EQ(network.output_size(1), 5u);
  const Tensor<float> x = indices(11, 33);
  test::expect_step_equals_run<float>(network, x);
  test::expect_rows_independent<float>(network, x);
  test::expect_threads_agree<float>(network, x);
  test::expect_step_takes_no_memory<float>(network, x);
  test::expect_reset_is_fresh<float>(network, x);
}

// The state of an RNN that stands behind the end of the sequence must not go on from step to step.
TEST(WholeModel, EveryStepIsTheValueOfTheSequenceSoFar) {
  const Sequential<float> network = model();
  const Tensor<float> x = indices(9, 2);
  Stream<float> stream(network, 2, 1);
  for (std::size_t t = 0; t < 9; ++t) {
    const TensorView<const float> y = stream.step(x.data() + t * 2);
    ASSERT_EQ(static_cast<bool>(y), t >= 4);  // the convolution spans five steps
    if (!y) continue;
    const Tensor<float> want = network.run({x.view().narrow(0, 0, t + 1)}, {}).y;
    expect_same_bits<float>(y, want.view().select(0, 0));
  }
}

TEST(WholeModel, ARowOfVariableLengthIsThatRowAlone) {
  const Sequential<float> network = model();
  Tensor<float> x = indices(11, 4);
  const std::vector<std::int64_t> lengths{11, 5, 8, 10};
  for (std::size_t b = 0; b < 4; ++b) {
    for (auto t = static_cast<std::size_t>(lengths[b]); t < 11; ++t) {
      x(t, b, 0) = std::numeric_limits<float>::quiet_NaN();
    }
  }
  const Tensor<float> y = network.run({x.view(), lengths}, {}).y;
  for (std::size_t b = 0; b < 4; ++b) {
    SCOPED_TRACE(b);
    const auto length = static_cast<std::size_t>(lengths[b]);
    const Tensor<float> alone = network.run({x.view().narrow(1, b, 1).narrow(0, 0, length)}, {}).y;
    expect_same_bits<float>(y.view().narrow(1, b, 1), alone.view());
  }
}

}  // namespace
}  // namespace sluice
