// SPDX-License-Identifier: Apache-2.0
// Recorded runs in windows of a sequence, and the state that goes from one to the next.
#include "sluice/carried_state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "sluice/error.h"
#include "sluice/layers.h"
#include "sluice/parameters.h"
#include "support/expect_same_bits.h"
#include "support/random.h"

namespace sluice {
namespace {

constexpr std::size_t kSteps = 11, kRows = 4, kInput = 3, kHidden = 7;

// The module with weights of its own.
template <class M, class Options>
M make(const Options& options, const std::string& prefix) {
  StateDict<float> weights;
  weights.make_missing([](const std::string& name, const Shape& shape) {
    return random_tensor<float>(shape, -0.5, 0.5, name.size() + shape.size());
  });
  return M(options, weights, prefix);
}

// Every kind of layer, and what may stand around them.
Sequential<float> stack() {
  Sequential<float> inner;
  inner.add(make<GRU<float>>(GRUOptions{.input_size = 4, .hidden_size = 5, .num_layers = 2}, "gru."))
      .add(Activation<float>("Tanh"))
      .add(make<RNN<float>>(RNNOptions{.input_size = 5, .hidden_size = kHidden}, "rnn."));
  Sequential<float> model;
  model
      .add(make<LSTM<float>>(
          LSTMOptions{.input_size = kInput, .hidden_size = kHidden, .num_layers = 2, .proj_size = 4},
          "lstm."))
      .add(std::move(inner))
      .add(make<GRU<float>>(GRUOptions{.input_size = kHidden, .hidden_size = 6, .reset = GRUReset::kBefore},
                            "before."))
      .add(
          make<Conv1d<float>>(Conv1dOptions{.in_channels = 6, .out_channels = 3, .kernel_size = 1}, "conv."));
  return model;
}

// The lengths that are left of those from step `first` on.
std::vector<std::int64_t> lengths_from(const std::vector<std::int64_t>& lengths, std::size_t first,
                                       std::size_t count) {
  std::vector<std::int64_t> left;
  for (const std::int64_t length : lengths) {
    left.push_back(std::clamp<std::int64_t>(length - static_cast<std::int64_t>(first), 0,
                                            static_cast<std::int64_t>(count)));
  }
  return left;
}

TEST(CarriedState, WindowByWindowGivesTheBitsOfTheWhole) {
  const Sequential<float> model = stack();
  const Tensor<float> x = random_tensor<float>({kSteps, kRows, kInput}, -2, 2, 1);
  for (const std::vector<std::int64_t>& lengths :
       {std::vector<std::int64_t>{}, std::vector<std::int64_t>{5, 11, 0, 3}}) {
    const Tensor<float> want = model.run({x.view(), lengths}, {}).y;
    for (const std::size_t window : {1, 2, 4, 10, 11, 20}) {
      SCOPED_TRACE(std::to_string(window) + (lengths.empty() ? "" : " ragged"));
      CarriedState carried;
      Tape tape;
      for (std::size_t first = 0; first < kSteps; first += window) {
        const std::size_t count = std::min(window, kSteps - first);
        const std::vector<std::int64_t> left = lengths_from(lengths, first, count);
        const auto out = model.record({x.view().narrow(0, first, count), left}, tape, {.carried = &carried});
        expect_same_bits<float>(out.y.view(), want.view().narrow(0, first, count));
      }
    }
  }
}

TEST(CarriedState, HoldsTheLastStatesByName) {
  const auto lstm =
      make<LSTM<float>>(LSTMOptions{.input_size = kInput, .hidden_size = kHidden, .num_layers = 2}, "a.");
  const Tensor<float> x = random_tensor<float>({kSteps, kRows, kInput}, -2, 2, 1);
  const std::vector<std::int64_t> lengths{5, 11, 0, 3};
  CarriedState carried;
  EXPECT_TRUE(carried.at<float>("a.h").is_null());
  const Tensor<float> h0 = random_tensor<float>({2, kRows, kHidden}, -1, 1, 2);
  carried.at<float>("a.h") = h0;
  Tape tape;
  lstm.record({x.view(), lengths}, tape, {.carried = &carried});
  const RecurrentOutput<float> want = lstm.forward(x, {.h0 = h0.view(), .lengths = lengths});
  expect_same_bits<float>(carried.at<float>("a.h").view(), want.h_n.view());
  expect_same_bits<float>(carried.at<float>("a.c").view(), want.c_n.view());
  // A row without a step keeps what it had.
  expect_same_bits<float>(carried.at<float>("a.h").view().select(1, 2), h0.view().select(1, 2));

  EXPECT_THROW(carried.at<double>("a.h"), Error);
  carried.clear();
  EXPECT_TRUE(carried.at<float>("a.h").is_null());
}

// Another way to say what a window's gradients are: those of a run that begins with the state as its initial
// one. Rows that have ended add nothing, whatever stands there.
TEST(CarriedState, GradientsAreThoseOfTheWindowAlone) {
  const auto gru =
      make<GRU<float>>(GRUOptions{.input_size = kInput, .hidden_size = kHidden, .num_layers = 2}, "g.");
  const Tensor<float> x = random_tensor<float>({4, kRows, kInput}, -2, 2, 1);
  const Tensor<float> h0 = random_tensor<float>({2, kRows, kHidden}, -1, 1, 2);
  const Tensor<float> grad = random_tensor<float>({4, kRows, kHidden}, -1, 1, 3);
  const auto gradients = [&](const std::vector<std::size_t>& rows, const std::vector<std::int64_t>& lengths) {
    const auto chosen = [&](const Tensor<float>& all) {
      Tensor<float> some({all.dim(0), rows.size(), all.dim(2)});
      for (std::size_t t = 0; t < all.dim(0); ++t) {
        for (std::size_t b = 0; b < rows.size(); ++b) {
          for (std::size_t f = 0; f < all.dim(2); ++f) some(t, b, f) = all(t, rows[b], f);
        }
      }
      return some;
    };
    Parameters<float> parameters(gru.parameters());
    StateDict<float> weights;
    weights.make_missing([](const std::string& name, const Shape& shape) {
      return random_tensor<float>(shape, -0.5, 0.5, name.size() + shape.size());
    });
    for (const ParameterInfo& info : gru.parameters()) weights.at(info.name, info.shape);
    parameters.load(weights);
    CarriedState carried;
    carried.at<float>("g.h") = chosen(h0);
    Tape tape;
    const Tensor<float> some_x = chosen(x);
    gru.record({some_x.view(), lengths}, tape, {.carried = &carried});
    gru.backward(chosen(grad).view(), tape, parameters, {});
    return Tensor<float>(Shape{parameters.grads().size()}, parameters.grads());
  };
  const Tensor<float> want = gradients({0, 2}, {4, 1});
  EXPECT_GT(*std::max_element(want.span().begin(), want.span().end()), 0.0f);
  expect_same_bits<float>(gradients({0, 1, 2, 3}, {4, 0, 1, 0}).view(), want.view());
  const Tensor<float> none = gradients({1, 3}, {0, 0});
  for (const float value : none.span()) EXPECT_EQ(value, 0.0f);
}

TEST(CarriedState, AFailedRunLeavesItAsItWas) {
  Sequential<float> model;
  model.add(make<GRU<float>>(GRUOptions{.input_size = kInput, .hidden_size = kHidden}, "g."))
      .add(make<LSTM<float>>(LSTMOptions{.input_size = kHidden, .hidden_size = 5}, "l."));
  const Tensor<float> x = random_tensor<float>({kSteps, kRows, kInput}, -2, 2, 1);
  CarriedState carried;
  Tape tape;
  model.record({x.view(), {}}, tape, {.carried = &carried});
  const Tensor<float> before = carried.at<float>("g.h");
  carried.at<float>("l.c") = Tensor<float>({1, kRows + 1, 5});
  EXPECT_THROW(model.record({x.view(), {}}, tape, {.carried = &carried}), ShapeError);
  expect_same_bits<float>(carried.at<float>("g.h").view(), before.view());
}

template <class M>
void expect_refused(M module, const std::string& part) {
  Sequential<float> model;
  model.add(std::move(module));
  const Tensor<float> x = random_tensor<float>({kSteps, kRows, kInput}, -2, 2, 1);
  CarriedState carried;
  Tape tape;
  EXPECT_NO_THROW(model.record({x.view(), {}}, tape, {}));
  tape.clear();
  try {
    model.record({x.view(), {}}, tape, {.carried = &carried});
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("window by window"), std::string::npos) << error.what();
  }
  EXPECT_EQ(tape.size(), 0u);
}

TEST(CarriedState, ModulesThatNeedMoreThanAWindowAreRefused) {
  expect_refused(make<LSTM<float>>(
                     LSTMOptions{.input_size = kInput, .hidden_size = kHidden, .bidirectional = true}, "a."),
                 "module 0 (LSTM): LSTM::record: ");
  const Conv1dOptions plain{.in_channels = kInput, .out_channels = 2, .kernel_size = 1};
  Conv1dOptions wide = plain, strided = plain, padded = plain;
  wide.kernel_size = 3;
  strided.stride = 2;
  padded.padding = 1;
  for (const Conv1dOptions& options : {wide, strided, padded}) {
    expect_refused(make<Conv1d<float>>(options, "c."), "Conv1d::record: ");
  }
  expect_refused(LastStep<float>(), "LastStep::record: ");
  expect_refused(MeanOverTime<float>(), "MeanOverTime::record: ");
}

}  // namespace
}  // namespace sluice
