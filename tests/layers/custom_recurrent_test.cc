// SPDX-License-Identifier: Apache-2.0
// Layers of cells of one's own: the built-in cells restated, and the promises of bits, memory and messages
// for the library of cells.
#include "sluice/custom_recurrent.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "sluice/cells/elementwise_kin.h"
#include "sluice/cells/gru_kin.h"
#include "sluice/cells/highway_kin.h"
#include "sluice/cells/lem.h"
#include "sluice/cells/lstm_kin.h"
#include "sluice/gate_statistics.h"
#include "sluice/recurrent.h"
#include "support/for_each_target.h"
#include "support/module_promises.h"
#include "support/recurrent_cases.h"

namespace sluice {
namespace {

// States that products read and that others replace in turn, a product of a single number, and a state of its
// own size: what the library's cells do not have.
CustomCell odd_cell(std::size_t input, std::size_t hidden) {
  CellBuilder cell("Odd");
  const CellValue x = cell.input(input), a = cell.state("a", hidden), b = cell.state("b", hidden),
                  m = cell.state("m", 3);
  const CellValue level = sigmoid(cell.matrix("w_level", 1, m) + cell.vector("b_level", 1));
  const CellValue mixed =
      tanh(cell.matrix("w_x", hidden, x) + cell.matrix("w_a", hidden, a) + cell.matrix("w_b", hidden, b));
  const CellValue after = cell.matrix("w_m", hidden, m) + cell.matrix("w_a2", hidden, mixed * a);
  cell.next(a, b);
  cell.next(b, level * mixed + (1 - level) * max(a, after));
  cell.next(m, tanh(cell.matrix("w_down", 3, mixed)));
  return cell.build(mixed * after - slice(cell.matrix("w_both", 2 * hidden, x), 1, hidden));
}

struct NamedCell {
  std::string name;
  CustomCell cell;
};
// Of `input` features where a cell's input may differ from its output.
std::vector<NamedCell> every_cell(std::size_t input, std::size_t hidden) {
  return {{"lstm", cells::lstm(input, hidden)},
          {"lstmp", cells::lstmp(input, hidden, hidden / 2 + 1)},
          {"peephole_lstm", cells::peephole_lstm(input, hidden)},
          {"layer_norm_lstm", cells::layer_norm_lstm(input, hidden)},
          {"slstm", cells::slstm(input, hidden)},
          {"gru", cells::gru(input, hidden)},
          {"gru_reset_before", cells::gru_reset_before(input, hidden)},
          {"li_gru", cells::li_gru(input, hidden)},
          {"sru", cells::sru(hidden, 1.5)},
          {"indrnn", cells::indrnn(input, hidden)},
          {"highway", cells::highway(hidden)},
          {"recurrent_highway", cells::recurrent_highway(input, hidden, 2)},
          {"lem", cells::lem(input, hidden, 0.5)},
          {"odd", odd_cell(input, hidden)}};
}

template <class T>
StateDict<T> random_weights(const RecurrentLayerOptions& options, std::uint64_t seed = 1) {
  StateDict<T> zeros;
  const std::size_t D = options.bidirectional ? 2 : 1;
  std::vector<ParameterInfo> all;
  for (std::size_t layer = 0; layer < options.num_layers; ++layer) {
    const CustomCell cell =
        layer == 0 ? options.cell : options.cell.with_input_size(D * options.cell.output_size());
    for (std::size_t direction = 0; direction < D; ++direction) {
      for (ParameterInfo info : cell.parameters()) {
        info.name += "_l" + std::to_string(layer) + (direction == 1 ? "_reverse" : "");
        all.push_back(info);
      }
    }
  }
  return test::random_weights<T>(all, options.cell.output_size(), seed);
}

template <class T>
Parameters<T> parameters_of(const Module<T>& module, const StateDict<T>& weights) {
  Parameters<T> parameters(module.parameters());
  for (const ParameterInfo& info : module.parameters()) {
    const Tensor<T> values(weights.at(info.name));
    std::copy_n(values.data(), values.size(), parameters.value(info.name).data());
  }
  return parameters;
}

// A call with everything, and its way back.
template <class T>
struct Both {
  CustomOutput<T> out;
  CustomInputGradients<T> inputs;
  std::vector<Tensor<T>> parameters;
};
template <class T>
struct Call {
  Tensor<T> x, grad;
  std::vector<Tensor<T>> states, of_states;
  std::vector<std::int64_t> lengths;

  Call(const RecurrentLayerOptions& options, std::size_t steps, std::size_t batch)
      : x(random_tensor<T>({steps, batch, options.cell.input_size()}, -1, 1, 7)) {
    const std::size_t D = options.bidirectional ? 2 : 1;
    grad = random_tensor<T>({steps, batch, D * options.cell.output_size()}, -1, 1, 8);
    for (const CustomCell::State& state : options.cell.states()) {
      const Shape shape{options.num_layers * D, batch, state.size};
      states.push_back(random_tensor<T>(shape, T{0.1}, 1, 9 + states.size()));
      of_states.push_back(random_tensor<T>(shape, -1, 1, 90 + states.size()));
    }
    for (std::size_t b = 0; b < batch; ++b) {
      lengths.push_back(static_cast<std::int64_t>(b == 1 ? 0 : steps - b * 5 % steps));
    }
  }
  CustomInput<T> input(bool is_ragged, int threads) const {
    CustomInput<T> in;
    in.threads = threads;
    if (is_ragged) in.lengths = lengths;
    for (const Tensor<T>& state : states) in.states.push_back(state.view());
    return in;
  }
  Both<T> run(const Recurrent<T>& layers, Parameters<T>& parameters, bool is_ragged, int threads,
              bool recompute = false) const {
    Both<T> both;
    Tape tape;
    RecordOptions options;
    options.recompute = recompute;
    both.out = layers.record(x, input(is_ragged, threads), tape, options);
    CustomOutputGradients<T> grads;
    grads.output = grad.view();
    for (const Tensor<T>& of : of_states) grads.states.push_back(of.view());
    parameters.zero_grad();
    both.inputs = layers.backward(grads, tape, parameters, {.threads = threads});
    for (const ParameterInfo& info : layers.parameters()) {
      both.parameters.emplace_back(TensorView<const T>(parameters.grad(info.name)));
    }
    return both;
  }
};
template <class T>
void expect_same(const std::vector<Tensor<T>>& got, const std::vector<Tensor<T>>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) expect_same_bits<T>(got[i].view(), want[i].view());
}
template <class T>
void expect_same(const Both<T>& got, const Both<T>& want) {
  expect_same_bits<T>(got.out.output.view(), want.out.output.view());
  expect_same(got.out.states, want.out.states);
  expect_same_bits<T>(got.inputs.x.view(), want.inputs.x.view());
  expect_same(got.inputs.states, want.inputs.states);
  expect_same(got.parameters, want.parameters);
}

// --- the built-in cells, restated ---

template <class T>
void expect_near(TensorView<const T> got, TensorView<const T> want, const std::string& what) {
  const Tensor<T> a(got), b(want);
  ASSERT_EQ(a.shape(), b.shape()) << what;
  double largest = 0;
  for (const T v : b.span()) largest = std::max(largest, std::abs(static_cast<double>(v)));
  const double tolerance = (sizeof(T) == 4 ? 1e-6 : 1e-12) * largest;
  for (std::size_t i = 0; i < a.size(); ++i)
    ASSERT_NEAR(a.data()[i], b.data()[i], tolerance) << what << " " << i;
}

template <class T, class Net, class Options>
void expect_restated(const CustomCell& cell, Options options, std::size_t layers, bool both_ways) {
  options.input_size = cell.input_size();
  options.hidden_size = cell.output_size();
  options.num_layers = layers;
  options.bidirectional = both_ways;
  RecurrentLayerOptions restated{.cell = cell};
  restated.num_layers = layers;
  restated.bidirectional = both_ways;
  const StateDict<T> weights = random_weights<T>(restated);
  const Net net(options, weights);
  const Recurrent<T> own(restated, weights);
  Parameters<T> parameters = parameters_of<T>(net, weights), own_parameters = parameters_of<T>(own, weights);
  const Call<T> call(restated, 9, 7);
  const bool has_c = cell.states().size() > 1;
  for (const bool is_ragged : {false, true}) {
    const Both<T> got = call.run(own, own_parameters, is_ragged, 2);
    RecurrentInput<T> in;
    in.h0 = call.states[0].view();
    if (has_c) in.c0 = call.states[1].view();
    if (is_ragged) in.lengths = call.lengths;
    Tape tape;
    const RecurrentOutput<T> want = net.record(call.x, in, tape);
    expect_same_bits<T>(got.out.output.view(), want.output.view());
    expect_same_bits<T>(got.out.states[0].view(), want.h_n.view());
    if (has_c) expect_same_bits<T>(got.out.states[1].view(), want.c_n.view());
    parameters.zero_grad();
    RecurrentOutputGradients<T> grads{.output = call.grad.view(), .h_n = call.of_states[0].view()};
    if (has_c) grads.c_n = call.of_states[1].view();
    const RecurrentInputGradients<T> inputs = net.backward(grads, tape, parameters);
    expect_near<T>(got.inputs.x.view(), inputs.x.view(), "x");
    expect_near<T>(got.inputs.states[0].view(), inputs.h0.view(), "h0");
    if (has_c) expect_near<T>(got.inputs.states[1].view(), inputs.c0.view(), "c0");
    std::size_t p = 0;
    for (const ParameterInfo& info : own.parameters()) {
      expect_near<T>(got.parameters[p++].view(), TensorView<const T>(parameters.grad(info.name)), info.name);
    }
  }
}

template <class T>
class CustomRecurrent : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(CustomRecurrent, Types);

TYPED_TEST(CustomRecurrent, BuiltInCellsRestatedHaveTheirBits) {
  using T = TypeParam;
  for (const std::size_t hidden : {1, 15, 16, 17, 33, 70}) {
    SCOPED_TRACE(hidden);
    GRUOptions before;
    before.reset = GRUReset::kBefore;
    expect_restated<T, LSTM<T>>(cells::lstm(6, hidden), LSTMOptions{}, 2, true);
    expect_restated<T, GRU<T>>(cells::gru(6, hidden), GRUOptions{}, 2, true);
    expect_restated<T, GRU<T>>(cells::gru_reset_before(6, hidden), before, 2, true);
  }
}

// --- the promises, for every cell ---

TYPED_TEST(CustomRecurrent, AnyNumberOfThreadsGivesTheSameBits) {
  using T = TypeParam;
  for (const auto& [name, cell] : every_cell(11, 37)) {
    SCOPED_TRACE(name);
    RecurrentLayerOptions options{.cell = cell};
    options.bidirectional = true;
    const StateDict<T> weights = random_weights<T>(options);
    const Recurrent<T> layers(options, weights);
    Parameters<T> parameters = parameters_of<T>(layers, weights);
    const Call<T> call(options, 40, 19);
    for (const bool is_ragged : {false, true}) {
      const Both<T> want = call.run(layers, parameters, is_ragged, 1);
      for (const int threads : {2, 3, 8}) expect_same(call.run(layers, parameters, is_ragged, threads), want);
      expect_same_bits<T>(layers.forward(call.x, call.input(is_ragged, 2)).output.view(),
                          want.out.output.view());
      expect_same(call.run(layers, parameters, is_ragged, 2, /*recompute=*/true), want);
    }
  }
}

// All plans that a team of up to six threads can have: units shared, layers side by side, input parts in
// advance.
TYPED_TEST(CustomRecurrent, EveryPlanGivesTheBitsOfOneThread) {
  using T = TypeParam;
  for (const auto& [name, cell] : every_cell(11, 37)) {
    SCOPED_TRACE(name);
    const std::size_t layers = cell.input_size() == cell.output_size() || cell.name() == "Highway" ? 1 : 3;
    RecurrentLayerOptions layer_options{.cell = cell};
    layer_options.num_layers = layers;
    const CustomCell above = cell.with_input_size(layers > 1 ? cell.output_size() : cell.input_size());
    const RecurrentOptions options{.type = "Recurrent",
                                   .kind = CellKind::kCustom,
                                   .input_size = cell.input_size(),
                                   .hidden_size = cell.output_size(),
                                   .num_layers = layers,
                                   .forms = std::make_shared<const std::array<CellForm, 2>>(
                                       std::array<CellForm, 2>{CellForm(cell), CellForm(above)})};
    const RecurrentNet<T> net(options, random_weights<T>(layer_options), "");
    for (const std::size_t batch : {1, 5}) {
      const Tensor<T> x = random_tensor<T>({8, batch, cell.input_size()}, -1, 1, 3);
      const RecurrentPlan alone;
      const auto want = net.forward(x, {}, SequenceLayout::kTimeFirst, &alone);
      for (std::size_t group = 1; group <= layers; ++group) {
        for (std::size_t rows = 1; rows <= 2; ++rows) {
          for (std::size_t units = 1; units <= 3; ++units) {
            for (const std::size_t ahead : {0, 3}) {
              const RecurrentPlan plan{1, group, rows, units, ahead};
              SCOPED_TRACE(testing::Message() << batch << " rows; plan " << group << " x " << rows << " x "
                                              << units << ", ahead " << ahead);
              test::expect_same_output(net.forward(x, {}, SequenceLayout::kTimeFirst, &plan), want);
            }
          }
        }
      }
    }
  }
}

TYPED_TEST(CustomRecurrent, OneRowAloneHasItsBits) {
  using T = TypeParam;
  for (const auto& [name, cell] : every_cell(5, 19)) {
    SCOPED_TRACE(name);
    const RecurrentLayerOptions options{.cell = cell};
    const Recurrent<T> layers(options, random_weights<T>(options));
    const Call<T> call(options, 6, 9);
    const CustomOutput<T> all = layers.forward(call.x, call.input(true, 1));
    for (const std::size_t row : {0, 1, 4, 8}) {
      const auto length = static_cast<std::size_t>(call.lengths[row]);
      CustomInput<T> in;
      for (const Tensor<T>& state : call.states) in.states.push_back(state.view().narrow(1, row, 1));
      const CustomOutput<T> alone = layers.forward(call.x.view().narrow(1, row, 1).narrow(0, 0, length), in);
      const auto here = all.output.view().narrow(1, row, 1);
      expect_same_bits<T>(alone.output.view(), here.narrow(0, 0, length));
      for (std::size_t s = 0; s < alone.states.size(); ++s) {
        expect_same_bits<T>(alone.states[s].view(), all.states[s].view().narrow(1, row, 1));
      }
    }
  }
}

TYPED_TEST(CustomRecurrent, EveryInstructionSetWithFmaGivesTheSame) {
  using T = TypeParam;
  for (const auto& [name, cell] : every_cell(5, 19)) {
    SCOPED_TRACE(name);
    const RecurrentLayerOptions options{.cell = cell};
    const StateDict<T> weights = random_weights<T>(options);
    const Call<T> call(options, 6, 9);
    Tensor<T> want;
    for_each_target([&](const std::string&) {
      if (!target_has_fma()) return;
      const Recurrent<T> layers(options, weights);
      Tensor<T> got = layers.forward(call.x, call.input(true, 1)).output;
      if (want.is_null()) want = got;
      expect_same_bits<T>(got.view(), want.view());
    });
  }
}

// Steps have the bits of whole sequences, take no memory and make no system call.
TYPED_TEST(CustomRecurrent, KeepsEveryPromiseOfAModule) {
  using T = TypeParam;
  for (const auto& [name, cell] : every_cell(5, 19)) {
    SCOPED_TRACE(name);
    const RecurrentLayerOptions options{.cell = cell};
    const Recurrent<T> layers(options, random_weights<T>(options));
    test::expect_module_promises<T>(layers, random_tensor<T>({7, 3, cell.input_size()}, -1, 1, 2));
  }
}

// Several chunks of steps against rows alone.
TEST(CustomRecurrent, ChunksOfStepsComeToWhatRowsAloneComeTo) {
  constexpr std::size_t kSteps = 150, kRows = 16;
  for (const auto& [name, cell] : every_cell(5, 33)) {
    SCOPED_TRACE(name);
    const RecurrentLayerOptions options{.cell = cell};
    const StateDict<double> weights = random_weights<double>(options);
    const Recurrent<double> layers(options, weights);
    Parameters<double> parameters = parameters_of<double>(layers, weights);
    const Call<double> call(options, kSteps, kRows);
    const Both<double> all = call.run(layers, parameters, false, 2);
    std::vector<Tensor<double>> sums;
    for (const Tensor<double>& grad : all.parameters) sums.emplace_back(grad.shape());
    for (std::size_t b = 0; b < kRows; ++b) {
      Call<double> own(options, kSteps, 1);
      own.x = Tensor<double>(call.x.view().narrow(1, b, 1));
      own.grad = Tensor<double>(call.grad.view().narrow(1, b, 1));
      for (std::size_t s = 0; s < own.states.size(); ++s) {
        own.states[s] = Tensor<double>(call.states[s].view().narrow(1, b, 1));
        own.of_states[s] = Tensor<double>(call.of_states[s].view().narrow(1, b, 1));
      }
      const Both<double> alone = own.run(layers, parameters, false, 1);
      expect_same_bits<double>(alone.inputs.x.view(), all.inputs.x.view().narrow(1, b, 1));
      for (std::size_t p = 0; p < sums.size(); ++p) {
        for (std::size_t i = 0; i < sums[p].size(); ++i) sums[p].data()[i] += alone.parameters[p].data()[i];
      }
    }
    for (std::size_t p = 0; p < sums.size(); ++p) {
      for (std::size_t i = 0; i < sums[p].size(); ++i) {
        const double want = sums[p].data()[i];
        ASSERT_NEAR(all.parameters[p].data()[i], want, 1e-11 * (1 + std::abs(want))) << p << ", " << i;
      }
    }
  }
}

// The states and the output in one step, and what the odd cell's gradients come to.
TEST(CustomRecurrent, GradientsEqualCentralDifferences) {
  for (const std::size_t hidden : {1, 9}) {
    RecurrentLayerOptions options{.cell = odd_cell(4, hidden)};
    options.num_layers = 2;
    options.bidirectional = true;
    StateDict<double> weights = random_weights<double>(options);
    Recurrent<double> layers(options, weights);
    Parameters<double> parameters = parameters_of<double>(layers, weights);
    Call<double> call(options, 4, 3);
    const Both<double> both = call.run(layers, parameters, true, 1);
    const auto loss = [&] {
      const CustomOutput<double> out = layers.forward(call.x, call.input(true, 1));
      double sum = 0;
      const auto add = [&](const Tensor<double>& a, const Tensor<double>& b) {
        for (std::size_t i = 0; i < a.size(); ++i) sum += a.data()[i] * b.data()[i];
      };
      add(out.output, call.grad);
      for (std::size_t s = 0; s < out.states.size(); ++s) add(out.states[s], call.of_states[s]);
      return sum;
    };
    const auto expect = [&](double& value, double gradient, const std::string& what, const auto& changed) {
      constexpr double kStep = 1e-5;
      const double before = value;
      value = before + kStep;
      changed();
      const double above = loss();
      value = before - kStep;
      changed();
      const double below = loss();
      value = before;
      changed();
      ASSERT_NEAR(gradient, (above - below) / (2 * kStep), 1e-7 * (1 + std::abs(gradient))) << what;
    };
    for (std::size_t i = 0; i < call.x.size(); ++i) {
      expect(call.x.data()[i], both.inputs.x.data()[i], "x", [] {});
    }
    for (std::size_t s = 0; s < call.states.size(); ++s) {
      for (std::size_t i = 0; i < call.states[s].size(); ++i) {
        expect(call.states[s].data()[i], both.inputs.states[s].data()[i], "state " + std::to_string(s),
               [] {});
      }
    }
    std::size_t p = 0;
    for (const ParameterInfo& info : layers.parameters()) {
      Tensor<double> values(weights.at(info.name));
      for (std::size_t i = 0; i < values.size(); ++i) {
        expect(values.data()[i], both.parameters[p].data()[i], info.name, [&] {
          weights.set(info.name, values);
          layers.load(weights);
        });
      }
      ++p;
    }
  }
}

TEST(CustomRecurrent, MatricesArePackedOnceForRunsThatAreRecordedAndThoseThatAreNot) {
  const CellForm form(cells::gru(5, 19));
  std::vector<Tensor<float>> values;
  std::vector<TensorView<const float>> parameters;
  for (const ParameterInfo& info : form.lowered.parameters) values.emplace_back(info.shape);
  for (const Tensor<float>& value : values) parameters.push_back(value.view());
  const PackedCell<float> cell(form, parameters);
  const kernels::CellStage<float>&plain = cell.program().part(0, 0),
        &recording = cell.recording_program().part(0, 0);
  ASSERT_EQ(plain.product_count, recording.product_count);
  ASSERT_GT(plain.product_count, 0U);
  for (std::size_t p = 0; p < plain.product_count; ++p) {
    EXPECT_EQ(plain.products[p].matrix.weights, recording.products[p].matrix.weights);
  }
}

TEST(CustomRecurrent, GateStatisticsCountWhatAuthorsNamed) {
  CellBuilder builder("Gated");
  const CellValue x = builder.input(3), h = builder.state("h", 5);
  const CellValue f = sigmoid(builder.matrix("w", 5, x) + builder.vector("b", 5)).named("forget");
  const CellValue h_new = f * h + (1 - f) * tanh(builder.matrix("u", 5, x).named("candidate"));
  builder.next(h, h_new);
  const RecurrentLayerOptions options{.cell = builder.build(h_new)};
  StateDict<float> weights = random_weights<float>(options);
  Tensor<float> b({5});
  b(0) = -40;
  b(1) = 40;
  b(2) = 40;
  weights.set("b_l0", b);
  const Recurrent<float> layers(options, weights);
  Parameters<float> parameters = parameters_of<float>(layers, weights);
  const Tensor<float> x_values = random_tensor<float>({6, 2, 3}, -1, 1, 4);
  Tape tape;
  const Tensor<float> y = layers.record({x_values.view()}, tape, {}).y;
  GateStatistics statistics;
  BackwardOptions how;
  how.statistics = &statistics;
  layers.backward(y.view(), tape, parameters, how);
  ASSERT_EQ(statistics.layers.size(), 1U);
  const RecurrentStatistics& layer = statistics.layers[0];
  ASSERT_EQ(layer.gates.size(), 2U);
  EXPECT_EQ(layer.gates[0].gate, "forget");
  EXPECT_EQ(layer.gates[0].activations, 60U);
  EXPECT_EQ(layer.gates[0].low, 12U);
  EXPECT_EQ(layer.gates[0].high, 24U);
  EXPECT_EQ(layer.gates[1].gate, "candidate");
  ASSERT_EQ(layer.gradients.size(), 6U);
  // Of the last step: y itself.
  double squares = 0;
  for (std::size_t i = 0; i < 10; ++i) squares += std::pow(static_cast<double>(y.data()[50 + i]), 2);
  EXPECT_NEAR(layer.gradients[5].mean(), std::sqrt(squares), 1e-6);
}

TEST(CustomRecurrent, RefusesWhatDoesNotFit) {
  const RecurrentLayerOptions options{.cell = cells::lstm(3, 4)};
  const StateDict<float> weights = random_weights<float>(options);
  const Recurrent<float> layers(options, weights);
  const Tensor<float> x({5, 2, 3}), wrong({5, 2, 4}), state({1, 3, 4});
  EXPECT_EQ(test::message_of<ShapeError>([&] { layers.forward(wrong); }),
            "Recurrent::forward: x is [5, 2, 4], expected [T, B, 3] or [T, 3]");
  CustomInput<float> in;
  in.states = {state.view(), {}};
  EXPECT_EQ(test::message_of<ShapeError>([&] { layers.forward(x, in); }),
            "Recurrent::forward: h is [1, 3, 4], expected [1, 2, 4]");
  in.states = {state.view()};
  EXPECT_EQ(test::message_of<Error>([&] { layers.forward(x, in); }),
            "Recurrent::forward: states has 1 entries, expected one for each of 2 states");
  StateDict<float> less = random_weights<float>(options);
  less.set("weight_ih_l0", Tensor<float>({16, 4}));
  EXPECT_NE(test::message_of<ShapeError>([&] { Recurrent<float>(options, less); }).find("weight_ih_l0"),
            std::string::npos);
}

}  // namespace
}  // namespace sluice
