// SPDX-License-Identifier: Apache-2.0
// Training with states that go in and come out: recorded calls of layers in every layout, and loops of cells.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "layers/recurrent_tape.h"
#include "sluice/cells.h"
#include "support/central_difference.h"
#include "support/recurrent_cases.h"

namespace sluice {
namespace {

using test::message_of;
using test::options_of;

template <class T>
Parameters<T> random_parameters(std::vector<ParameterInfo> infos) {
  Parameters<T> parameters(std::move(infos));
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    const Tensor<T> drawn = random_tensor<T>(parameters.shape(i), -0.5, 0.5, 10 + i);
    std::copy_n(drawn.data(), drawn.size(), parameters.value(i).data());
  }
  return parameters;
}

template <class T>
Parameters<T> parameters_of(CellKind kind, std::size_t input_size, std::size_t hidden_size,
                            std::size_t num_layers = 1, bool is_bidirectional = false) {
  return random_parameters<T>(
      test::parameters_of(options_of(kind, input_size, hidden_size, num_layers, is_bidirectional)));
}

// Of a cell's names.
template <class T>
Parameters<T> cell_parameters(CellKind kind, std::size_t input_size, std::size_t hidden_size) {
  RecurrentOptions options = options_of(kind, input_size, hidden_size);
  options.names = ParameterNames::kCell;
  return random_parameters<T>(test::parameters_of(options));
}

double dot(const Tensor<double>& a, const Tensor<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a.data()[i] * b.data()[i];
  return sum;
}

template <class Loss>
void expect_differences(TensorView<double> values, TensorView<const double> grads, const std::string& what,
                        const Loss& loss) {
  ASSERT_EQ(values.shape().to_string(), grads.shape().to_string()) << what;
  double largest = 0;
  for (std::size_t i = 0; i < values.size(); ++i) largest = std::max(largest, std::abs(grads.data()[i]));
  EXPECT_GT(largest, 0) << what;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double difference = test::central_difference(values.data()[i], loss);
    ASSERT_NEAR(grads.data()[i], difference, 1e-7 * (1 + largest)) << what << " " << i;
  }
}

// --- layers ---

// The loss is linear in all that a call gives. `x` may be of any layout.
template <class Layer>
void expect_gradients(Layer& layer, Parameters<double>& parameters, Tensor<double> x, Tensor<double> h0,
                      Tensor<double> c0, const std::vector<std::int64_t>& lengths) {
  SCOPED_TRACE(x.shape().to_string());
  const RecurrentInput<double> in{
      .h0 = h0, .c0 = c0, .lengths = lengths, .cell_sequence = !c0.is_null(), .threads = 1};
  const auto forward = [&] {
    layer.load(parameters.state_dict());
    return layer.forward(x, in);
  };
  const RecurrentOutput<double> plain = forward();
  const auto factors = [](const Tensor<double>& of, std::uint64_t seed) {
    return of.is_null() ? Tensor<double>() : random_tensor<double>(of.shape(), -1, 1, seed);
  };
  const Tensor<double> output = factors(plain.output, 1), h_n = factors(plain.h_n, 2),
                       c_n = factors(plain.c_n, 3), c_sequence = factors(plain.c_sequence, 4);
  const auto loss = [&] {
    const RecurrentOutput<double> out = forward();
    return dot(out.output, output) + dot(out.h_n, h_n) + dot(out.c_n, c_n) + dot(out.c_sequence, c_sequence);
  };
  Tape tape;
  const RecurrentOutput<double> out = layer.record(x, in, tape);
  expect_same_bits<double>(out.output.view(), plain.output.view());
  expect_same_bits<double>(out.h_n.view(), plain.h_n.view());
  parameters.zero_grad();
  const RecurrentInputGradients<double> grads =
      layer.backward({.output = output, .h_n = h_n, .c_n = c_n, .c_sequence = c_sequence}, tape, parameters);
  EXPECT_EQ(tape.size(), 0u);
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    expect_differences(parameters.value(i), parameters.grad(i), parameters.name(i), loss);
  }
  expect_differences(x.view(), grads.x.view(), "x", loss);
  expect_differences(h0.view(), grads.h0.view(), "h0", loss);
  if (!c0.is_null()) expect_differences(c0.view(), grads.c0.view(), "c0", loss);
}

// In [T, B, I], in [B, T, I] and as one row, [T, I].
template <template <class> class Layer, class Options>
void expect_gradients_in_every_layout(CellKind kind, Options options) {
  options.input_size = 2;
  options.hidden_size = 3;
  options.num_layers = 2;
  options.bidirectional = true;
  Parameters<double> parameters = parameters_of<double>(kind, 2, 3, 2, true);
  const auto state = [&](const Shape& shape, std::uint64_t seed) {
    return random_tensor<double>(shape, -1, 1, seed);
  };
  const bool has_c = kind == CellKind::kLstm;
  for (const bool batch_first : {false, true}) {
    options.batch_first = batch_first;
    Layer<double> layer(options, parameters.state_dict());
    const Shape shape = batch_first ? Shape{3, 4, 2} : Shape{4, 3, 2};
    expect_gradients(layer, parameters, state(shape, 5), state({4, 3, 3}, 6),
                     has_c ? state({4, 3, 3}, 7) : Tensor<double>(), {3, 4, 1});
    expect_gradients(layer, parameters, state({4, 2}, 5), state({4, 3}, 6),
                     has_c ? state({4, 3}, 7) : Tensor<double>(), {});
  }
}

TEST(RecurrentCall, StatesAndEveryCellStateTrainInEveryLayout) {
  expect_gradients_in_every_layout<LSTM>(CellKind::kLstm, LSTMOptions());
  expect_gradients_in_every_layout<GRU>(CellKind::kGru, GRUOptions());
  expect_gradients_in_every_layout<GRU>(CellKind::kGruBefore, GRUOptions{.reset = GRUReset::kBefore});
  expect_gradients_in_every_layout<RNN>(CellKind::kRnnTanh, RNNOptions());
}

// A sequence in two calls, the states of one given to the other, is the sequence in one.
TEST(RecurrentCall, TwoHalvesOfASequenceAreTheWhole) {
  Parameters<double> parameters = parameters_of<double>(CellKind::kLstm, 3, 5);
  const LSTM<double> lstm({.input_size = 3, .hidden_size = 5}, parameters.state_dict());
  const Tensor<double> x = random_tensor<double>({6, 2, 3}, -1, 1, 1),
                       g = random_tensor<double>({6, 2, 5}, -1, 1, 2);
  Tape tape;
  lstm.record({x.view()}, tape, {});
  const Tensor<double> want = lstm.backward(g, tape, parameters, {});
  const std::vector<double> want_grads(parameters.grads().begin(), parameters.grads().end());
  parameters.zero_grad();
  const auto half = [](const Tensor<double>& all, std::size_t i) { return all.view().narrow(0, 3 * i, 3); };
  const auto first = lstm.record(half(x, 0), {}, tape);
  lstm.record(half(x, 1), {.h0 = first.h_n, .c0 = first.c_n}, tape);
  const auto later = lstm.backward({.output = half(g, 1)}, tape, parameters);
  const auto earlier =
      lstm.backward({.output = half(g, 0), .h_n = later.h0, .c_n = later.c0}, tape, parameters);
  const auto near = [](double got, double wanted) {
    EXPECT_NEAR(got, wanted, 1e-14);
  };  // sums in another order
  for (std::size_t i = 0; i < want.size() / 2; ++i) {
    near(earlier.x.data()[i], want.data()[i]);
    near(later.x.data()[i], want.data()[want.size() / 2 + i]);
  }
  for (std::size_t i = 0; i < want_grads.size(); ++i) near(parameters.grads()[i], want_grads[i]);
}

TEST(RecurrentCall, TheInputsGradientIsMadeOnlyIfWanted) {
  Parameters<float> parameters = parameters_of<float>(CellKind::kGru, 3, 5);
  const GRU<float> gru({.input_size = 3, .hidden_size = 5}, parameters.state_dict());
  Tape tape;
  const Tensor<float> x = random_tensor<float>({4, 2, 3}, -1, 1, 1);
  const auto out = gru.record(x, {}, tape);
  const auto grads = gru.backward({.output = out.output}, tape, parameters, {.wants_input = false});
  EXPECT_TRUE(grads.x.is_null());
  EXPECT_EQ(grads.h0.shape(), (Shape{1, 2, 5}));
  EXPECT_TRUE(grads.c0.is_null());
}

TEST(RecurrentCall, SaysWhatIsWrong) {
  Parameters<float> parameters = parameters_of<float>(CellKind::kLstm, 3, 5);
  const LSTM<float> lstm({.input_size = 3, .hidden_size = 5, .batch_first = true}, parameters.state_dict());
  const Tensor<float> x({2, 4, 3}), output({2, 4, 5}), transposed({4, 2, 5}), state({1, 3, 5});
  const auto refusal = [&](const RecurrentOutputGradients<float>& grads) {
    Tape tape;
    lstm.record(x, {}, tape);
    return message_of<Error>([&] { lstm.backward(grads, tape, parameters); });
  };
  EXPECT_EQ(refusal({.output = transposed}), "LSTM::backward: output is [4, 2, 5], expected [2, 4, 5]");
  EXPECT_EQ(refusal({.c_n = state}), "LSTM::backward: c_n is [1, 3, 5], expected [1, 2, 5]");
  EXPECT_EQ(refusal({.c_sequence = state}), "LSTM::backward: c_sequence is [1, 3, 5], expected [2, 4, 5]");
  Parameters<float> of_gru = parameters_of<float>(CellKind::kGru, 3, 5);
  const GRU<float> gru({.input_size = 3, .hidden_size = 5}, of_gru.state_dict());
  Tape tape;
  gru.record(x, {}, tape);
  EXPECT_EQ(message_of<Error>([&] { gru.backward({.c_n = state}, tape, of_gru); }),
            "GRU::backward: a gradient of c is given, but only an LSTM has a cell state");
  EXPECT_EQ(message_of<Error>([&] {
              LSTM<float>({.input_size = 3, .hidden_size = 5, .num_layers = 2, .is_cell = true},
                          of_gru.state_dict());
            }),
            "LSTMCell: a cell has one layer, one direction and no projection");
}

// --- cells ---

LSTMState<double> record(const LSTMCell<double>& cell, TensorView<const double> x, const LSTMState<double>& s,
                         Tape& tape) {
  return cell.record(x, s.h, s.c, tape);
}
template <class Cell>
LSTMState<double> record(const Cell& cell, TensorView<const double> x, const LSTMState<double>& s,
                         Tape& tape) {
  return {cell.record(x, s.h, tape), {}};
}
CellGradients<double> backward(const LSTMCell<double>& cell, const LSTMState<double>& grads, Tape& tape,
                               Parameters<double>& parameters) {
  return cell.backward(grads.h, grads.c, tape, parameters);
}
template <class Cell>
CellGradients<double> backward(const Cell& cell, const LSTMState<double>& grads, Tape& tape,
                               Parameters<double>& parameters) {
  return cell.backward(grads.h, tape, parameters);
}

// The loss is the sum of all h_t * factors[t], and of the last c * itself again.
template <class Cell>
void expect_cell_gradients(Cell cell, Parameters<double> parameters, const Shape& x_shape, const Shape& state,
                           bool has_c) {
  constexpr std::size_t kSteps = 3;
  std::vector<Tensor<double>> x, factors;
  for (std::size_t t = 0; t < kSteps; ++t) {
    x.push_back(random_tensor<double>(x_shape, -1, 1, t));
    factors.push_back(random_tensor<double>(state, -1, 1, 10 + t));
  }
  LSTMState<double> first{random_tensor<double>(state, -1, 1, 20), {}};
  if (has_c) first.c = random_tensor<double>(state, -1, 1, 21);
  Tape tape;
  const auto run = [&] {
    cell.load(parameters.state_dict());
    tape.clear();
    std::vector<LSTMState<double>> states{first};
    for (std::size_t t = 0; t < kSteps; ++t) states.push_back(record(cell, x[t], states.back(), tape));
    return states;
  };
  const auto loss = [&] {
    const auto states = run();
    double sum = dot(states.back().c, states.back().c);
    for (std::size_t t = 0; t < kSteps; ++t) sum += dot(states[t + 1].h, factors[t]);
    return sum;
  };
  const auto states = run();
  parameters.zero_grad();
  std::vector<CellGradients<double>> grads(kSteps);
  LSTMState<double> later{Tensor<double>(state), {}};
  if (has_c) {
    later.c = states.back().c;
    for (double& value : later.c.span()) value *= 2;
  }
  for (std::size_t t = kSteps; t-- > 0;) {
    for (std::size_t i = 0; i < later.h.size(); ++i) later.h.data()[i] += factors[t].data()[i];
    grads[t] = backward(cell, later, tape, parameters);
    later = {grads[t].h, grads[t].c};
  }
  EXPECT_EQ(tape.size(), 0u);
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    expect_differences(parameters.value(i), parameters.grad(i), parameters.name(i), loss);
  }
  for (std::size_t t = 0; t < kSteps; ++t) expect_differences(x[t].view(), grads[t].x.view(), "x", loss);
  expect_differences(first.h.view(), later.h.view(), "h", loss);
  if (has_c) expect_differences(first.c.view(), later.c.view(), "c", loss);
}

TEST(CellBackward, EveryCellInALoopEqualsCentralDifferences) {
  const CellOptions options{.input_size = 2, .hidden_size = 3};
  // A batch, and one row without it.
  for (const auto& [x, state] : {std::pair<Shape, Shape>{{4, 2}, {4, 3}}, {{2}, {3}}}) {
    const auto expect = [&, &x = x, &state = state](CellKind kind, const auto& make, bool has_c) {
      Parameters<double> parameters = cell_parameters<double>(kind, 2, 3);
      auto cell = make(parameters.state_dict());
      expect_cell_gradients(std::move(cell), std::move(parameters), x, state, has_c);
    };
    using Weights = const StateDict<double>&;
    expect(
        CellKind::kLstm, [&](Weights w) { return LSTMCell<double>(options, w); }, true);
    expect(
        CellKind::kGru, [&](Weights w) { return GRUCell<double>(options, w); }, false);
    expect(
        CellKind::kGruBefore, [&](Weights w) { return GRUCell<double>(options, w, "", GRUReset::kBefore); },
        false);
    expect(
        CellKind::kRnnTanh, [&](Weights w) { return RNNCell<double>(options, w); }, false);
  }
}

TEST(CellBackward, WithoutStatesAndGradientsThoseAreZero) {
  Parameters<float> parameters = cell_parameters<float>(CellKind::kLstm, 3, 5);
  const LSTMCell<float> cell({.input_size = 3, .hidden_size = 5}, parameters.state_dict());
  const Tensor<float> x = random_tensor<float>({2, 3}, -1, 1, 1), g = random_tensor<float>({2, 5}, -1, 1, 2),
                      zeros({2, 5});
  Tape tape;
  cell.record(x, {}, {}, tape);
  const auto got = cell.backward(g, {}, tape, parameters);
  cell.record(x, zeros, zeros, tape);
  const auto want = cell.backward(g, zeros, tape, parameters);
  expect_same_bits<float>(got.x.view(), want.x.view());
  expect_same_bits<float>(got.h.view(), want.h.view());
  expect_same_bits<float>(got.c.view(), want.c.view());
}

// Two cells in a loop: their steps must come off the tape in the reverse order.
TEST(CellBackward, RefusesTheStepOfAnother) {
  Parameters<float> parameters = cell_parameters<float>(CellKind::kGru, 3, 3);
  const GRUCell<float> lower({.input_size = 3, .hidden_size = 3}, parameters.state_dict());
  const GRUCell<float> upper({.input_size = 3, .hidden_size = 3}, parameters.state_dict());
  const Tensor<float> x = random_tensor<float>({2, 3}, -1, 1, 1), wrong({2, 4});
  Tape tape;
  const Tensor<float> h = lower.record(x, {}, tape);
  upper.record(h, {}, tape);
  EXPECT_EQ(message_of<Error>([&] { lower.backward(h, tape, parameters); }),
            "Tape: the run recorded last is not one of this module");
  EXPECT_EQ(tape.size(), 2u);
  upper.backward(h, tape, parameters);
  EXPECT_EQ(message_of<ShapeError>([&] { lower.backward(wrong, tape, parameters); }),
            "GRUCell::backward: grad_h is [2, 4], expected [2, 3]");
  EXPECT_EQ(message_of<ShapeError>([&] { lower.record(wrong, {}, tape); }),
            "GRUCell::record: x is [2, 4], expected [B, 3] or [3]");
}

}  // namespace
}  // namespace sluice
