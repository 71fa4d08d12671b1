// SPDX-License-Identifier: Apache-2.0
// The way back through every module: against central differences in double, and what a tape promises.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "sluice/layers.h"
#include "sluice/parameters.h"
#include "sluice/random.h"
#include "sluice/tape.h"
#include "support/central_difference.h"
#include "support/expect_same_bits.h"
#include "support/random.h"

namespace sluice {
namespace {

using Doubles = Tensor<double>;

// Uniform in +-0.5, so that gates and slopes differ.
template <class T>
Parameters<T> random_parameters(const std::vector<ParameterInfo>& infos) {
  Parameters<T> parameters(infos);
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    const Tensor<T> drawn = random_tensor<T>(parameters.shape(i), -0.5, 0.5, 10 + i);
    std::copy_n(drawn.data(), drawn.size(), parameters.value(i).data());
  }
  return parameters;
}

// A module that is made from a dictionary, with parameters of its own.
template <class T, class Make>
struct Trained {
  Parameters<T> parameters;
  decltype(std::declval<Make>()(std::declval<const StateDict<T>&>())) module;
};
template <class T, class Make>
Trained<T, Make> make_trained(const std::vector<ParameterInfo>& infos, const Make& make) {
  Parameters<T> parameters = random_parameters<T>(infos);
  auto module = make(parameters.state_dict());
  return {std::move(parameters), std::move(module)};
}

double dot(const Doubles& a, const Doubles& b, std::span<const std::int64_t> lengths) {
  double sum = 0;
  for (std::size_t t = 0; t < a.dim(0); ++t) {
    for (std::size_t r = 0; r < a.dim(1); ++r) {
      if (!lengths.empty() && t >= static_cast<std::size_t>(lengths[r])) continue;
      for (std::size_t f = 0; f < a.dim(2); ++f) sum += a(t, r, f) * b(t, r, f);
    }
  }
  return sum;
}

void expect_near(double got, double want, double scale, const std::string& what) {
  ASSERT_NEAR(got, want, 1e-7 * (1 + scale)) << what;
}

// d loss / d value of every element of `values` and what `grads` says of it.
template <class Loss>
void expect_differences(TensorView<double> values, TensorView<const double> grads, const std::string& what,
                        const Loss& loss) {
  double largest = 0;
  for (std::size_t i = 0; i < values.size(); ++i) largest = std::max(largest, std::abs(grads.data()[i]));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double difference = test::central_difference(values.data()[i], loss);
    expect_near(grads.data()[i], difference, largest, what + " element " + std::to_string(i));
  }
}

// The loss is linear in the output, over the valid steps.
void expect_gradients(Module<double>& module, Parameters<double>& parameters, Doubles x,
                      std::vector<std::int64_t> lengths, bool has_input_gradient = true) {
  SCOPED_TRACE(std::string(module.type()) + (lengths.empty() ? "" : " ragged"));
  const auto run = [&] {
    module.load(parameters.state_dict());
    return module.run({x.view(), lengths}, {});
  };
  const SequenceOutput<double> plain = run();
  Doubles factors = random_tensor<double>(plain.y.shape(), -1, 1, 5);
  Tape tape;
  const SequenceOutput<double> out = module.record({x.view(), lengths}, tape, {});
  expect_same_bits<double>(out.y.view(), plain.y.view());
  EXPECT_GT(tape.size(), 0u);
  parameters.zero_grad();
  const Doubles grad_x = module.backward(factors.view(), tape, parameters, {});
  EXPECT_EQ(tape.size(), 0u);
  const auto loss = [&] {
    const SequenceOutput<double> now = run();
    return dot(now.y, factors, now.lengths);
  };
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    expect_differences(parameters.value(i), parameters.grad(i), parameters.name(i), loss);
  }
  if (!has_input_gradient) {
    EXPECT_TRUE(grad_x.is_null());
    return;
  }
  ASSERT_EQ(grad_x.shape().to_string(), x.shape().to_string());
  expect_differences(x.view(), grad_x.view(), "x", loss);
}

const std::vector<std::int64_t> kRagged{3, 5, 0, 1};

void expect_gradients_of(Module<double>& module, Parameters<double>& parameters, std::size_t features) {
  for (const std::vector<std::int64_t>& lengths : {std::vector<std::int64_t>{}, kRagged}) {
    expect_gradients(module, parameters, random_tensor<double>({5, 4, features}, -2, 2, 3), lengths);
  }
}

TEST(Backward, Linear) {
  for (const bool bias : {true, false}) {
    for (const std::size_t out : {1, 3, 17}) {
      LinearOptions options{.in_features = 5, .out_features = out, .bias = bias};
      std::vector<ParameterInfo> infos{{"l.weight", {out, 5}}};
      if (bias) infos.push_back({"l.bias", {out}});
      auto made = make_trained<double>(
          infos, [&](const StateDict<double>& weights) { return Linear<double>(options, weights, "l."); });
      expect_gradients_of(made.module, made.parameters, 5);
    }
  }
}

TEST(Backward, LayerNorm) {
  for (const bool affine : {true, false}) {
    const LayerNormOptions options{.normalized_shape = 6, .elementwise_affine = affine};
    std::vector<ParameterInfo> infos;
    if (affine) infos = {{"weight", {6}}, {"bias", {6}}};
    auto made = make_trained<double>(
        infos, [&](const StateDict<double>& weights) { return LayerNorm<double>(options, weights); });
    expect_gradients_of(made.module, made.parameters, 6);
  }
}

TEST(Backward, Conv1d) {
  for (Conv1dOptions options :
       {Conv1dOptions{.kernel_size = 3}, Conv1dOptions{.kernel_size = 2, .stride = 2, .padding = 1},
        Conv1dOptions{.kernel_size = 3, .padding = 2, .dilation = 2, .groups = 2},
        Conv1dOptions{.kernel_size = 2, .groups = 4, .bias = false}}) {
    SCOPED_TRACE("kernel " + std::to_string(options.kernel_size) + " groups " +
                 std::to_string(options.groups));
    options.in_channels = 4;
    options.out_channels = 8;
    std::vector<ParameterInfo> infos{{"c.weight", {8, 4 / options.groups, options.kernel_size}}};
    if (options.bias) infos.push_back({"c.bias", {8}});
    auto made = make_trained<double>(
        infos, [&](const StateDict<double>& weights) { return Conv1d<double>(options, weights, "c."); });
    expect_gradients_of(made.module, made.parameters, 4);
  }
}

TEST(Backward, EveryActivation) {
  for (const char* name :
       {"Sigmoid", "Tanh", "ReLU", "SiLU", "LogSigmoid", "Hardsigmoid", "HardSigmoidONNX", "Softmax"}) {
    SCOPED_TRACE(name);
    Activation<double> module{std::string_view(name)};
    Parameters<double> none;
    expect_gradients_of(module, none, 7);
  }
}

TEST(Backward, LastStepAndMeanOverTime) {
  LastStep<double> last;
  MeanOverTime<double> mean;
  Parameters<double> none;
  expect_gradients_of(last, none, 3);
  expect_gradients_of(mean, none, 3);
}

TEST(Backward, Embedding) {
  auto made = make_trained<double>({{"weight", {6, 3}}}, [](const StateDict<double>& weights) {
    return Embedding<double>({.num_embeddings = 6, .embedding_dim = 3}, weights);
  });
  Doubles indices({5, 4, 1});
  for (std::size_t i = 0; i < indices.size(); ++i) indices.data()[i] = static_cast<double>(i * 5 % 6);
  for (const std::vector<std::int64_t>& lengths : {std::vector<std::int64_t>{}, kRagged}) {
    expect_gradients(made.module, made.parameters, indices, lengths, /*has_input_gradient=*/false);
  }
}

TEST(Backward, RecurrentLayers) {
  const auto infos = [](std::size_t gates, std::size_t directions) {
    std::vector<ParameterInfo> all;
    for (std::size_t d = 0; d < directions; ++d) {
      const std::string suffix = d == 1 ? "_l0_reverse" : "_l0";
      all.push_back({"weight_ih" + suffix, {gates * 3, 2}});
      all.push_back({"weight_hh" + suffix, {gates * 3, 3}});
      all.push_back({"bias_ih" + suffix, {gates * 3}});
      all.push_back({"bias_hh" + suffix, {gates * 3}});
    }
    return all;
  };
  auto lstm = make_trained<double>(infos(4, 2), [](const StateDict<double>& weights) {
    return LSTM<double>({.input_size = 2, .hidden_size = 3, .bidirectional = true}, weights);
  });
  expect_gradients_of(lstm.module, lstm.parameters, 2);
  auto gru = make_trained<double>(infos(3, 1), [](const StateDict<double>& weights) {
    return GRU<double>({.input_size = 2, .hidden_size = 3}, weights);
  });
  expect_gradients_of(gru.module, gru.parameters, 2);
  auto rnn = make_trained<double>(infos(1, 1), [](const StateDict<double>& weights) {
    return RNN<double>({.input_size = 2, .hidden_size = 3}, weights);
  });
  expect_gradients_of(rnn.module, rnn.parameters, 2);
}

template <class T>
struct WholeModel {
  Parameters<T> parameters = random_parameters<T>({{"emb.weight", {9, 4}},
                                                   {"rnn.weight_ih_l0", {24, 4}},
                                                   {"rnn.weight_hh_l0", {24, 6}},
                                                   {"rnn.bias_ih_l0", {24}},
                                                   {"rnn.bias_hh_l0", {24}},
                                                   {"norm.weight", {6}},
                                                   {"norm.bias", {6}},
                                                   {"head.weight", {2, 6}},
                                                   {"head.bias", {2}}});
  Sequential<T> model;
  Tensor<T> indices{Shape({5, 4, 1})};

  WholeModel() {
    const StateDict<T> weights = parameters.state_dict();
    Sequential<T> body;
    body.add(LSTM<T>({.input_size = 4, .hidden_size = 6}, weights, "rnn."));
    body.add(LayerNorm<T>({.normalized_shape = 6}, weights, "norm."));
    model.add(Embedding<T>({.num_embeddings = 9, .embedding_dim = 4}, weights, "emb."))
        .add(std::move(body))
        .add(MeanOverTime<T>())
        .add(Linear<T>({.in_features = 6, .out_features = 2}, weights, "head."))
        .add(Activation<T>(ActivationKind::kSigmoid));
    for (std::size_t i = 0; i < indices.size(); ++i) indices.data()[i] = static_cast<T>(i * 7 % 9);
  }
};

TEST(Backward, AWholeModel) {
  WholeModel<double> whole;
  expect_gradients(whole.model, whole.parameters, whole.indices, kRagged, false);
}

// Two runs on one tape come back in the opposite order, and their gradients add up.
TEST(Backward, ATapeHoldsSeveralRuns) {
  WholeModel<double> whole;
  Doubles other = whole.indices;
  for (double& index : other.span()) index = 8 - index;
  const Doubles ones = random_tensor<double>({1, 4, 2}, -1, 1, 8);
  const auto gradient = [&](const std::vector<const Doubles*>& runs) {
    Tape tape;
    whole.parameters.zero_grad();
    for (const Doubles* x : runs) whole.model.record({x->view(), {}}, tape, {});
    EXPECT_GT(tape.bytes(), 0u);
    for (std::size_t i = 0; i < runs.size(); ++i)
      whole.model.backward(ones.view(), tape, whole.parameters, {.wants_input = false});
    EXPECT_EQ(tape.size(), 0u);
    return std::vector<double>(whole.parameters.grads().begin(), whole.parameters.grads().end());
  };
  const std::vector<double> first = gradient({&whole.indices}), second = gradient({&other});
  const std::vector<double> both = gradient({&whole.indices, &other});
  for (std::size_t i = 0; i < both.size(); ++i) ASSERT_NEAR(both[i], first[i] + second[i], 1e-13);
}

TEST(Backward, FrozenParametersGetNothingAndCostNoWayBack) {
  WholeModel<double> whole;
  const Doubles grad = random_tensor<double>({1, 4, 2}, -1, 1, 8);
  Tape tape;
  whole.model.record({whole.indices.view(), {}}, tape, {});
  whole.model.backward(grad.view(), tape, whole.parameters, {.wants_input = false});
  const std::vector<double> all(whole.parameters.grads().begin(), whole.parameters.grads().end());
  for (const ParameterInfo& info : whole.parameters.infos()) {
    if (!info.name.starts_with("head.")) whole.parameters.freeze(info.name);
  }
  whole.parameters.zero_grad();
  whole.model.record({whole.indices.view(), {}}, tape, {});
  whole.model.backward(grad.view(), tape, whole.parameters, {.wants_input = false});
  EXPECT_EQ(tape.size(), 0u);
  for (std::size_t i = 0; i < whole.parameters.count(); ++i) {
    const bool is_frozen = whole.parameters.is_frozen(i);
    for (std::size_t e = 0; e < whole.parameters.shape(i).size(); ++e) {
      ASSERT_EQ(whole.parameters.grad(i).data()[e], is_frozen ? 0.0 : all[whole.parameters.offset(i) + e]);
    }
  }
}

TEST(Backward, ThreadsChangeNoBit) {
  WholeModel<float> whole;
  const Tensor<float> grad = random_tensor<float>({1, 4, 2}, -1, 1, 8);
  std::vector<float> want;
  for (const int threads : {1, 2, 5}) {
    Tape tape;
    whole.parameters.zero_grad();
    whole.model.record({whole.indices.view(), kRagged}, tape, {.threads = threads});
    whole.model.backward(grad.view(), tape, whole.parameters, {.wants_input = false, .threads = threads});
    const std::vector<float> got(whole.parameters.grads().begin(), whole.parameters.grads().end());
    if (want.empty()) want = got;
    ASSERT_EQ(got, want);
  }
}

TEST(Backward, AnotherModulesRunIsRefused) {
  WholeModel<double> whole;
  Activation<double> relu(ActivationKind::kRelu);
  Tape tape;
  const Doubles x({2, 1, 3}), grad({1, 4, 2});
  EXPECT_THROW(whole.model.backward(grad.view(), tape, whole.parameters, {}), Error);
  relu.record({x.view(), {}}, tape, {});
  EXPECT_THROW(whole.model.backward(grad.view(), tape, whole.parameters, {}), Error);
}

#ifdef __linux__
// The memory of one step serves the next, with the same gradients, and goes when steps become smaller.
TEST(Backward, ATapeKeepsTheMemoryOfAStepForTheNext) {
  Parameters<float> parameters = random_parameters<float>({{"weight_ih_l0", {256, 32}},
                                                           {"weight_hh_l0", {256, 64}},
                                                           {"bias_ih_l0", {256}},
                                                           {"bias_hh_l0", {256}}});
  const LSTM<float> lstm({.input_size = 32, .hidden_size = 64}, parameters.state_dict());
  const auto step = [&](Tape& tape, std::size_t steps) {
    const Tensor<float> x = random_tensor<float>({steps, 64, 32}, -1, 1, 3);
    const Tensor<float> grad = random_tensor<float>({steps, 64, 64}, -1, 1, 4);
    parameters.zero_grad();
    const auto out = lstm.record({x.view(), {}}, tape, {});
    lstm.backward(grad.view(), tape, parameters, {});
    return std::vector<float>(parameters.grads().begin(), parameters.grads().end());
  };
  Tape tape, fresh;
  const std::vector<float> want = step(fresh, 100);
  ASSERT_EQ(step(tape, 100), want);
  const std::size_t spare = tape.spare_bytes();
  EXPECT_GT(spare, std::size_t{4} << 20);
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(step(tape, 100), want);
    EXPECT_LE(tape.spare_bytes(), spare + (std::size_t{8} << 20));
  }
  Tape moved = std::move(tape);
  ASSERT_EQ(step(moved, 100), want);
  for (int i = 0; i < 3; ++i) step(moved, 1);
  EXPECT_EQ(moved.spare_bytes(), 0u);
}
#endif

// A run that fails at a later module leaves the tape as it was.
TEST(Backward, AFailedRunLeavesTheTape) {
  WholeModel<double> whole;
  Doubles bad = whole.indices;
  bad.data()[3] = 99;
  Tape tape;
  whole.model.record({whole.indices.view(), {}}, tape, {});
  const std::size_t size = tape.size();
  EXPECT_THROW(whole.model.record({bad.view(), {}}, tape, {}), Error);
  EXPECT_EQ(tape.size(), size);
}

// A model's gradients by a record that keeps all and by one that keeps little.
TEST(Backward, RecomputingThroughAModelGivesTheSameBitsFromFewerBytes) {
  const LSTMOptions lstm{.input_size = 5, .hidden_size = 12, .num_layers = 2, .dropout = 0.3};
  const GRUOptions gru{.input_size = 12, .hidden_size = 7, .bidirectional = true};
  StateDict<float> shapes;
  shapes.make_missing([](const std::string&, const Shape& shape) { return Tensor<float>(shape); });
  Sequential<float> model;
  model.add(LSTM<float>(lstm, shapes, "a."))
      .add(Dropout<float>({.p = 0.2, .variational = true}))
      .add(GRU<float>(gru, shapes, "b."));
  Parameters<float> parameters = random_parameters<float>(model.parameters());
  model.load(parameters.state_dict());
  const Tensor<float> x = random_tensor<float>({9, 4, 5}, -1, 1, 3);
  std::vector<std::int64_t> lengths{9, 2, 5, 0};
  std::vector<Tensor<float>> grads, grads_x;
  std::vector<std::size_t> bytes;
  for (const bool recompute : {false, true}) {
    RandomSource random{.seed = 6};
    Tape tape;
    const Tensor<float> y =
        model.record({x.view(), lengths}, tape, {.random = &random, .recompute = recompute}).y;
    EXPECT_EQ(random.next, 2u);
    bytes.push_back(tape.bytes());
    parameters.zero_grad();
    grads_x.push_back(model.backward(y.view(), tape, parameters, {}));
    Tensor<float>& all = grads.emplace_back(Shape{parameters.grads().size()});
    std::copy_n(parameters.grads().data(), all.size(), all.data());
  }
  expect_same_bits<float>(grads[1].view(), grads[0].view());
  expect_same_bits<float>(grads_x[1].view(), grads_x[0].view());
  EXPECT_LT(2 * bytes[1], bytes[0]);
}

}  // namespace
}  // namespace sluice
