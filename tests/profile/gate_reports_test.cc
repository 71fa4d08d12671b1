// SPDX-License-Identifier: Apache-2.0
// Reports on gates against plain loops over the activations that the cells' equations give, and with problems
// planted that they must name.
#include "profile/gate_reports.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "profile/gate_counts.h"
#include "reference/gate_activations.h"
#include "sluice/custom_recurrent.h"
#include "sluice/layers.h"
#include "support/count_allocations.h"
#include "support/recurrent_cases.h"

namespace sluice {
namespace {

using reference::plain_cell;
using reference::PlainCell;
using reference::PlainGate;
using reference::sigmoid_of;
using test::options_of;

// Large enough that gates reach both ends.
template <class T>
StateDict<T> random_weights(const std::vector<ParameterInfo>& infos, double scale,
                            const std::string& prefix = "") {
  StateDict<T> weights;
  for (std::size_t i = 0; i < infos.size(); ++i) {
    const Tensor<double> drawn = random_tensor<double>(infos[i].shape, -scale, scale, 10 + i);
    Tensor<T> value(infos[i].shape);
    for (std::size_t k = 0; k < drawn.size(); ++k) value.data()[k] = static_cast<T>(drawn.data()[k]);
    weights.set(prefix + infos[i].name, std::move(value));
  }
  return weights;
}

template <class T>
std::unique_ptr<Module<T>> make_module(const RecurrentOptions& o, const StateDict<T>& weights) {
  if (o.kind == CellKind::kLstm) {
    return std::make_unique<LSTM<T>>(LSTMOptions{.input_size = o.input_size,
                                                 .hidden_size = o.hidden_size,
                                                 .num_layers = o.num_layers,
                                                 .bidirectional = o.is_bidirectional,
                                                 .proj_size = o.proj_size},
                                     weights);
  }
  if (o.kind == CellKind::kRnnTanh || o.kind == CellKind::kRnnRelu) {
    return std::make_unique<RNN<T>>(
        RNNOptions{.input_size = o.input_size,
                   .hidden_size = o.hidden_size,
                   .num_layers = o.num_layers,
                   .nonlinearity = o.kind == CellKind::kRnnTanh ? Nonlinearity::kTanh : Nonlinearity::kRelu,
                   .bidirectional = o.is_bidirectional},
        weights);
  }
  return std::make_unique<GRU<T>>(
      GRUOptions{.input_size = o.input_size,
                 .hidden_size = o.hidden_size,
                 .num_layers = o.num_layers,
                 .bidirectional = o.is_bidirectional,
                 .reset = o.kind == CellKind::kGru ? GRUReset::kAfter : GRUReset::kBefore},
      weights);
}

// What a report must say, counted one activation at a time.
void expect_report(const GateReport& got, const PlainGate& want, const std::vector<std::int64_t>& lengths) {
  SCOPED_TRACE(got.module + " " + std::to_string(got.layer) + " " + std::to_string(got.direction) + " " +
               want.name);
  EXPECT_EQ(got.gate, want.name);
  EXPECT_EQ(got.is_tanh, want.is_tanh);
  const Tensor<double>& values = want.values;
  const std::size_t units = values.dim(2);
  std::uint64_t activations = 0, shut = 0, open = 0;
  std::vector<std::uint64_t> histogram(20);
  double sum = 0, derivative = 0;
  std::size_t longest = 0;
  for (std::size_t row = 0; row < lengths.size(); ++row) {
    longest = std::max(longest, static_cast<std::size_t>(lengths[row]));
    for (std::size_t t = 0; t < static_cast<std::size_t>(lengths[row]); ++t) {
      for (std::size_t unit = 0; unit < units; ++unit) {
        const double y = values(t, row, unit);
        ++activations;
        shut += y < (want.is_tanh ? -0.99 : 0.01) ? 1 : 0;
        open += y > 0.99 ? 1 : 0;
        sum += y;
        derivative += want.is_tanh ? 1 - y * y : y * (1 - y);
        std::size_t bin = 19;
        while (bin > 0 &&
               y < (want.is_tanh ? -1 + static_cast<double>(bin) / 10 : static_cast<double>(bin) / 20)) {
          --bin;
        }
        ++histogram[bin];
      }
    }
  }
  EXPECT_EQ(got.activations, activations);
  EXPECT_EQ(got.shut, shut);
  EXPECT_EQ(got.open, open);
  EXPECT_EQ(got.histogram, histogram);
  const auto n = static_cast<double>(activations), of_unit = n / static_cast<double>(units);
  // The same sums of a few 10000 numbers of at most 1 in another order.
  EXPECT_NEAR(got.mean, sum / n, 1e-12);
  EXPECT_NEAR(got.mean_derivative, derivative / n, 1e-12);
  const bool is_memory = want.name == "forget" || want.name == "update" || want.name == "f";
  EXPECT_NEAR(got.memory_steps, is_memory ? 1 / (1 - sum / n) : 0, 1e-9 * std::abs(got.memory_steps));

  ASSERT_EQ(got.unit_mean.size(), units);
  std::vector<std::size_t> dead, stuck;
  for (std::size_t unit = 0; unit < units; ++unit) {
    double mean = 0, square = 0, low = 0, high = 0;
    for (const bool is_second : {false, true}) {
      for (std::size_t row = 0; row < lengths.size(); ++row) {
        for (std::size_t t = 0; t < static_cast<std::size_t>(lengths[row]); ++t) {
          const double y = values(t, row, unit);
          if (is_second) {
            square += (y - mean) * (y - mean) / of_unit;
          } else {
            mean += y / of_unit;
            low += y < (want.is_tanh ? -0.99 : 0.01) ? 1 : 0;
            high += y > 0.99 ? 1 : 0;
          }
        }
      }
    }
    // Rounded to float.
    EXPECT_NEAR(got.unit_mean[unit], mean, 1e-7) << unit;
    EXPECT_NEAR(got.unit_deviation[unit], std::sqrt(square), 1e-7) << unit;
    EXPECT_EQ(got.unit_shut[unit], static_cast<float>(low / of_unit)) << unit;
    EXPECT_EQ(got.unit_open[unit], static_cast<float>(high / of_unit)) << unit;
    if (low == of_unit || (want.is_tanh && high == of_unit)) {
      dead.push_back(unit);
    } else if (std::sqrt(square) < 0.001) {
      stuck.push_back(unit);
    }
  }
  EXPECT_EQ(got.dead_units, dead);
  EXPECT_EQ(got.stuck_units, stuck);

  const std::size_t lines = std::min<std::size_t>(units, 128), columns = std::min<std::size_t>(longest, 128);
  ASSERT_EQ(got.heat.shape().to_string(), Shape({lines, columns}).to_string());
  Tensor<double> sums({lines, columns}), counts({lines, columns});
  for (std::size_t row = 0; row < lengths.size(); ++row) {
    for (std::size_t t = 0; t < static_cast<std::size_t>(lengths[row]); ++t) {
      for (std::size_t unit = 0; unit < units; ++unit) {
        sums(unit * lines / units, t * columns / longest) += values(t, row, unit);
        ++counts(unit * lines / units, t * columns / longest);
      }
    }
  }
  for (std::size_t i = 0; i < sums.size(); ++i) {
    ASSERT_NEAR(got.heat.data()[i], sums.data()[i] / counts.data()[i], 1e-7) << i;
  }
}

void expect_reports(const RecurrentOptions& options, Tensor<double> x,
                    const std::vector<std::int64_t>& lengths, double scale) {
  SCOPED_TRACE(test::describe(options));
  const StateDict<double> weights = random_weights<double>(test::parameters_of(options), scale);
  const auto module = make_module(options, weights);
  const std::vector<GateReport> got = gate_reports<double>(*module, {x.view(), lengths});
  std::size_t n = 0;
  for (std::size_t layer = 0; layer < options.num_layers; ++layer) {
    Tensor<double> above({x.dim(0), x.dim(1), options.directions() * options.state_size()});
    for (std::size_t direction = 0; direction < options.directions(); ++direction) {
      const std::string suffix = "_l" + std::to_string(layer) + (direction == 1 ? "_reverse" : "");
      const PlainCell cell = plain_cell(options, weights, suffix, x, lengths, direction == 1);
      for (const PlainGate& gate : cell.gates) {
        ASSERT_LT(n, got.size());
        EXPECT_EQ(got[n].layer, layer);
        EXPECT_EQ(got[n].direction, direction);
        expect_report(got[n++], gate, lengths);
      }
      for (std::size_t t = 0; t < x.dim(0); ++t) {
        for (std::size_t b = 0; b < x.dim(1); ++b) {
          std::copy_n(&cell.output(t, b, 0), options.state_size(),
                      &above(t, b, direction * options.state_size()));
        }
      }
    }
    x = std::move(above);
  }
  EXPECT_EQ(n, got.size());
}

TEST(GateReports, AreThoseOfAPlainLoop) {
  const std::vector<std::int64_t> lengths{5, 9, 0, 3};
  for (const std::size_t units : {7, 8, 19}) {
    for (RecurrentOptions options :
         {options_of(CellKind::kLstm, 3, units, 2, true), options_of(CellKind::kGru, 3, units, 2, true),
          options_of(CellKind::kGruBefore, 3, units, 2, true),
          options_of(CellKind::kRnnTanh, 3, units, 2, true),
          options_of(CellKind::kLstm, 3, units, 1, false, 4)}) {
      expect_reports(options, random_tensor<double>({9, 4, 3}, -2, 2, 1), lengths, 2);
    }
  }
}

TEST(GateReports, HeatMapsOfManyUnitsAndStepsAreBroughtDown) {
  expect_reports(options_of(CellKind::kLstm, 3, 150), random_tensor<double>({200, 2, 3}, -2, 2, 1),
                 {170, 150}, 0.5);
}

TEST(GateReports, RectifiedUnitsHaveNoGates) {
  const RecurrentOptions options = options_of(CellKind::kRnnRelu, 3, 5);
  const auto rnn = make_module(options, random_weights<double>(test::parameters_of(options), 1));
  const Tensor<double> x({4, 2, 3});
  EXPECT_TRUE(gate_reports<double>(*rnn, {x.view()}).empty());
}

// f forgets; the candidate is a tanh; and the second state is a sigmoid of its own.
CustomCell forgetful_cell() {
  CellBuilder cell("Forgetful");
  const CellValue x = cell.input(3), h = cell.state("h", 6), s = cell.state("s", 4);
  const CellValue f = sigmoid(cell.matrix("w_f", 6, x) + cell.matrix("u_f", 6, h) + cell.vector("b_f", 6));
  const CellValue candidate = tanh(cell.matrix("w_c", 6, x) + cell.matrix("u_c", 6, s));
  cell.next(h, f.named("f") * h + (1 - f) * candidate.named("candidate"));
  cell.next(s, sigmoid(cell.matrix("w_s", 4, x) + cell.matrix("u_s", 4, s)));
  return cell.build(h);
}

TEST(GateReports, CustomCellsGatesHaveTheirAuthorsNames) {
  const RecurrentLayerOptions options{.cell = forgetful_cell(), .bidirectional = true};
  std::vector<ParameterInfo> infos;
  for (const char* suffix : {"_l0", "_l0_reverse"}) {
    for (ParameterInfo info : options.cell.parameters()) {
      info.name += suffix;
      infos.push_back(info);
    }
  }
  const StateDict<double> weights = random_weights<double>(infos, 2);
  const Recurrent<double> layer(options, weights);
  const std::vector<std::int64_t> lengths{4, 7, 1};
  const Tensor<double> x = random_tensor<double>({7, 3, 3}, -2, 2, 1);
  const std::vector<GateReport> got = gate_reports<double>(layer, {x.view(), lengths});
  ASSERT_EQ(got.size(), 6u);
  for (const bool is_reverse : {false, true}) {
    const std::string suffix = is_reverse ? "_l0_reverse" : "_l0";
    const auto product = [&](const char* name, std::size_t row, const double* in) {
      const TensorView<const double> w = weights.at(name + suffix);
      double sum = 0;
      for (std::size_t k = 0; k < w.dim(1); ++k) sum += w(row, k) * in[k];
      return sum;
    };
    PlainGate f{"f", false, Tensor<double>({7, 3, 6})},
        candidate{"candidate", true, Tensor<double>({7, 3, 6})},
        s_gate{"s", false, Tensor<double>({7, 3, 4})};
    for (std::size_t row = 0; row < 3; ++row) {
      std::vector<double> h(6), s(4);
      const auto length = static_cast<std::size_t>(lengths[row]);
      for (std::size_t step = 0; step < length; ++step) {
        const std::size_t t = is_reverse ? length - 1 - step : step;
        const double* const in = &x(t, row, 0);
        const std::vector<double> old_h = h, old_s = s;
        for (std::size_t i = 0; i < 6; ++i) {
          const double forget = sigmoid_of(product("w_f", i, in) + product("u_f", i, old_h.data()) +
                                           weights.at("b_f" + suffix)(i));
          const double fresh = std::tanh(product("w_c", i, in) + product("u_c", i, old_s.data()));
          f.values(t, row, i) = forget;
          candidate.values(t, row, i) = fresh;
          h[i] = forget * old_h[i] + (1 - forget) * fresh;
        }
        for (std::size_t i = 0; i < 4; ++i) {
          s[i] = sigmoid_of(product("w_s", i, in) + product("u_s", i, old_s.data()));
          s_gate.values(t, row, i) = s[i];
        }
      }
    }
    std::size_t found = 0;
    for (const GateReport& report : got) {
      EXPECT_EQ(report.module, "Recurrent");
      if (report.direction != (is_reverse ? 1u : 0u)) continue;
      for (const PlainGate* gate : {&f, &candidate, &s_gate}) {
        if (report.gate != gate->name) continue;
        expect_report(report, *gate, lengths);
        ++found;
      }
    }
    EXPECT_EQ(found, 3u);
  }
}

// A plain RNN restated: its one tanh is the new state and the output.
TEST(GateReports, ACustomCellsNewStateIsReadFromItsOutput) {
  CellBuilder cell("Plain");
  const CellValue x = cell.input(3), h = cell.state("h", 5);
  const CellValue h_new = tanh(cell.matrix("weight_ih", 5, x) + cell.vector("bias_ih", 5) +
                               cell.matrix("weight_hh", 5, h) + cell.vector("bias_hh", 5));
  cell.next(h, h_new);
  const CustomCell custom = cell.build(h_new);
  const RecurrentOptions options = options_of(CellKind::kRnnTanh, 3, 5, 1, true);
  const StateDict<double> weights = random_weights<double>(test::parameters_of(options), 2);
  const Recurrent<double> layer({.cell = custom, .bidirectional = true}, weights);
  const std::vector<std::int64_t> lengths{4, 7, 1};
  const Tensor<double> in = random_tensor<double>({7, 3, 3}, -2, 2, 1);
  const std::vector<GateReport> got = gate_reports<double>(layer, {in.view(), lengths});
  ASSERT_EQ(got.size(), 2u);
  for (const bool is_reverse : {false, true}) {
    PlainGate want =
        plain_cell(options, weights, is_reverse ? "_l0_reverse" : "_l0", in, lengths, is_reverse).gates[0];
    want.name = "h";
    expect_report(got[is_reverse ? 1 : 0], want, lengths);
  }
}

void expect_same(const GateReport& got, const GateReport& want) {
  EXPECT_EQ(got.module, want.module);
  EXPECT_EQ(got.gate, want.gate);
  EXPECT_EQ(got.activations, want.activations);
  EXPECT_EQ(got.shut, want.shut);
  EXPECT_EQ(got.open, want.open);
  EXPECT_EQ(got.mean, want.mean);
  EXPECT_EQ(got.mean_derivative, want.mean_derivative);
  EXPECT_EQ(got.memory_steps, want.memory_steps);
  EXPECT_EQ(got.histogram, want.histogram);
  EXPECT_EQ(got.unit_mean, want.unit_mean);
  EXPECT_EQ(got.unit_deviation, want.unit_deviation);
  EXPECT_EQ(got.unit_shut, want.unit_shut);
  EXPECT_EQ(got.unit_open, want.unit_open);
  EXPECT_EQ(got.dead_units, want.dead_units);
  EXPECT_EQ(got.stuck_units, want.stuck_units);
  expect_same_bits<float>(got.heat.span(), want.heat.span());
}
void expect_same(const std::vector<GateReport>& got, const std::vector<GateReport>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) expect_same(got[i], want[i]);
}

TEST(GateReports, AnyNumberOfThreadsAndAnyMemoryGivesTheSameNumbers) {
  const std::vector<std::int64_t> lengths{13, 3, 5, 0, 7, 1, 2, 6, 6, 4, 7};
  const Tensor<float> x = random_tensor<float>({13, 11, 40}, -1, 1, 1);
  for (const bool is_bidirectional : {false, true}) {
    for (const RecurrentOptions& options : test::every_kind(40, 70, 2, is_bidirectional)) {
      SCOPED_TRACE(test::describe(options));
      const auto module = make_module(options, random_weights<float>(test::parameters_of(options), 0.3));
      const std::vector<GateReport> want = gate_reports<float>(*module, {x.view(), lengths}, 1);
      for (const int threads : {2, 3}) {
        expect_same(gate_reports<float>(*module, {x.view(), lengths}, threads), want);
      }
      // All rows and steps; three rows or so; four steps or so of one row; one step.
      for (const std::size_t bytes : {100'000, 30'000, 1}) {
        expect_same(gate_reports<float>(*module, {x.view(), lengths}, 2, bytes), want);
      }
    }
  }
}

TEST(GateReports, PartsTakeNoMoreMemoryThanTheyMay) {
  constexpr std::size_t kSteps = 50, kRows = 40;
  for (const bool is_bidirectional : {false, true}) {
    for (const RecurrentOptions& options : test::every_kind(5, 33, 2, is_bidirectional)) {
      SCOPED_TRACE(test::describe(options));
      const RecurrentNet<float> net = test::random_net<float>(options);
      const auto bytes_of = [&](std::size_t rows, std::size_t steps) {
        RecurrentRecord<float> record;
        const Tensor<float> x({steps, rows, 5});
        net.forward(x.view(), {}, SequenceLayout::kTimeFirst, nullptr, {}, &record);
        // Initial states are of no step.
        return record.bytes() - (record.h0.size() + record.c0.size()) * sizeof(float);
      };
      const std::size_t row = bytes_of(1, kSteps);
      for (const std::size_t rows : {1, 7, 39, 40}) {
        for (const std::size_t bytes : {rows * row, (rows + 1) * row - 1}) {
          const RecordedPart part = recorded_part(net, kSteps, kRows, bytes);
          EXPECT_EQ(part.rows, rows);
          EXPECT_EQ(part.steps, kSteps);
          EXPECT_LE(bytes_of(part.rows, part.steps), bytes);
        }
      }
      EXPECT_EQ(recorded_part(net, kSteps, kRows, kKeptBytes).rows, kRows);
      const RecordedPart part = recorded_part(net, kSteps, kRows, row - 1);
      EXPECT_EQ(part.rows, 1u);
      EXPECT_EQ(part.steps, is_bidirectional ? kSteps : kSteps - 1);
      EXPECT_EQ(recorded_part(net, kSteps, kRows, 1).steps, is_bidirectional ? kSteps : 1);
    }
  }
}

// The most memory that the process had since the last call, in bytes; 0 where Linux does not say.
std::size_t peak_memory() {
  std::size_t peak = 0;
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word == "VmHWM:" && status >> peak) break;
  }
  std::ofstream("/proc/self/clear_refs") << 5;
  return peak * 1024;
}

TEST(GateReports, ManyRowsTakeTheMemoryOfAFew) {
  const RecurrentOptions options = options_of(CellKind::kLstm, 4, 64);
  const auto module = make_module(options, random_weights<float>(test::parameters_of(options), 0.3));
  const Tensor<float> x = random_tensor<float>({100, 400, 4}, -1, 1, 1);
  gate_reports<float>(*module, {x.view().narrow(1, 0, 1)}, 1);
  peak_memory();
  const std::size_t before = peak_memory();
  if (before == 0 || !test::can_count_allocations()) GTEST_SKIP() << "another system, or a sanitizer's heap";
  gate_reports<float>(*module, {x.view()}, 1, std::size_t{1} << 20);
  // The output is 10 MB; a record of all rows would be 61.
  EXPECT_LT(peak_memory() - before, std::size_t{20'000'000});
}

// Half of the forget gates saturated, a unit of the input gate that is never open, one that never moves, and
// a candidate that is always 1.
TEST(GateReports, PlantedProblemsAreFound) {
  constexpr std::size_t kUnits = 20;
  const RecurrentOptions options = options_of(CellKind::kLstm, 3, kUnits);
  StateDict<float> weights = random_weights<float>(test::parameters_of(options), 0.3);
  Tensor<float> bias(weights.at("bias_ih_l0")), w(weights.at("weight_ih_l0")), u(weights.at("weight_hh_l0"));
  for (std::size_t unit = 0; unit < 10; ++unit) bias(kUnits + unit) = unit < 5 ? 20 : -20;
  bias(7) = -20;
  bias(2 * kUnits + 17) = 20;
  bias(2 * kUnits + 18) = -20;
  for (std::size_t k = 0; k < 3; ++k) w(3 * kUnits + 11, k) = 0;
  for (std::size_t k = 0; k < kUnits; ++k) u(3 * kUnits + 11, k) = 0;
  weights.set("bias_ih_l0", bias);
  weights.set("weight_ih_l0", w);
  weights.set("weight_hh_l0", u);
  const auto module = make_module(options, weights);
  const Tensor<float> x = random_tensor<float>({30, 4, 3}, -1, 1, 1);
  using Units = std::vector<std::size_t>;
  const std::vector<GateReport> got = gate_reports<float>(*module, {x.view()});
  ASSERT_EQ(got.size(), 4u);
  EXPECT_EQ(got[0].dead_units, Units{7});
  EXPECT_EQ(got[0].stuck_units, Units{});
  EXPECT_EQ(got[1].dead_units, (Units{5, 6, 7, 8, 9}));
  EXPECT_EQ(got[1].stuck_units, (Units{0, 1, 2, 3, 4}));  // always open
  EXPECT_EQ(got[1].shut, got[1].activations / 4);
  EXPECT_EQ(got[1].open, got[1].activations / 4);
  EXPECT_EQ(got[1].unit_open[4], 1);
  EXPECT_EQ(got[2].dead_units, (Units{17, 18}));
  EXPECT_EQ(got[2].stuck_units, Units{});
  EXPECT_EQ(got[3].dead_units, Units{});
  EXPECT_EQ(got[3].stuck_units, Units{11});
  EXPECT_EQ(got[3].unit_deviation[11], 0);
}

TEST(GateReports, AGateThatForgetsNothingHasALongMemoryButNoInfiniteOne) {
  const RecurrentOptions options = options_of(CellKind::kGru, 3, 5);
  StateDict<float> weights = random_weights<float>(test::parameters_of(options), 0.3);
  Tensor<float> bias(weights.at("bias_ih_l0"));
  for (std::size_t unit = 0; unit < 5; ++unit) bias(5 + unit) = 50;
  weights.set("bias_ih_l0", bias);
  const Tensor<float> x = random_tensor<float>({6, 2, 3}, -1, 1, 1);
  const std::vector<GateReport> got = gate_reports<float>(*make_module(options, weights), {x.view()});
  EXPECT_EQ(got[1].gate, "update");
  EXPECT_EQ(got[1].mean, 1);
  EXPECT_EQ(got[1].mean_derivative, 0);
  EXPECT_EQ(got[1].memory_steps, 1e6);
  EXPECT_EQ(got[0].memory_steps, 0);
}

// A whole model: modules in its order, and what drops or zones out in training does not here.
TEST(GateReports, AModelRunsAsItDoesWithoutTraining) {
  const Tensor<float> x = random_tensor<float>({6, 3, 3}, -1, 1, 1);
  const std::vector<std::int64_t> lengths{6, 2, 5};
  const auto reports = [&](double p) {
    Sequential<float> model, inner;
    const RecurrentOptions first = options_of(CellKind::kGru, 3, 4, 2, true),
                           second = options_of(CellKind::kLstm, 8, 5);
    inner.add(
        GRU<float>({.input_size = 3, .hidden_size = 4, .num_layers = 2, .bidirectional = true, .dropout = p},
                   random_weights<float>(test::parameters_of(first), 1, "enc."), "enc."));
    inner.add(Dropout<float>({.p = p}));
    model.add(std::move(inner));
    model.add(LSTM<float>({.input_size = 8, .hidden_size = 5},
                          random_weights<float>(test::parameters_of(second), 1)));
    model.add(LastStep<float>());
    return gate_reports<float>(model, {x.view(), lengths});
  };
  const std::vector<GateReport> got = reports(0.5);
  std::string order;
  for (const GateReport& report : got) {
    if (report.gate != "reset" && report.gate != "input") continue;
    order += report.module + std::to_string(report.layer) + std::to_string(report.direction) + " ";
    EXPECT_EQ(report.activations, 13u * (report.module == "enc" ? 4 : 5));
  }
  EXPECT_EQ(order, "enc00 enc01 enc10 enc11 LSTM00 ");
  expect_same(got, reports(0));
}

TEST(GateReports, NoStepsGiveEmptyReports) {
  const RecurrentOptions options = options_of(CellKind::kLstm, 3, 5);
  const auto module = make_module(options, random_weights<float>(test::parameters_of(options), 0.3));
  const Tensor<float> x({2, 2, 3});
  const std::vector<std::int64_t> lengths{0, 0};
  for (const std::vector<GateReport>& got : {gate_reports<float>(*module, {x.view(), lengths}),
                                             gate_reports<float>(*module, {x.view().narrow(1, 0, 0)}),
                                             gate_reports<float>(*module, {x.view().narrow(0, 0, 0)})}) {
    ASSERT_EQ(got.size(), 4u);
    EXPECT_EQ(got[1].activations, 0u);
    EXPECT_EQ(got[1].memory_steps, 0);
    EXPECT_EQ(got[1].unit_mean, std::vector<float>(5));
    EXPECT_TRUE(got[1].dead_units.empty());
    EXPECT_TRUE(got[1].heat.is_null());
  }
}

std::string message_of(const Module<float>& module, TensorView<const float> x) {
  try {
    gate_reports<float>(module, {x});
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(GateReports, BadInputIsNamed) {
  const RecurrentOptions options = options_of(CellKind::kLstm, 3, 5);
  const auto module = make_module(options, random_weights<float>(test::parameters_of(options), 0.3));
  Tensor<float> x({2, 2, 3});
  x(1, 0, 2) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(message_of(*module, x),
            "gate_reports: 5 of 20 activations of LSTM layer 0, gate input, are NaN, expected numbers: the "
            "input or the weights have NaNs");
  EXPECT_EQ(message_of(*module, Tensor<float>({2, 2, 4})), "LSTM: the input has 4 features, expected 3");
  EXPECT_EQ(message_of(*module, Tensor<float>({2, 3})), "gate_reports: x is [2, 3], expected [T, B, F]");
}

// Without recurrent weights each step's output is its own: the gradient of sum y^2 that reaches it is 2 y.
TEST(GradientNorms, OfIndependentStepsAreThoseOfTheirOutputs) {
  const RecurrentOptions options = options_of(CellKind::kRnnTanh, 3, 5, 1, true);
  StateDict<double> weights = random_weights<double>(test::parameters_of(options), 1);
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
  StateDict<float> weights = random_weights<float>(test::parameters_of(second), 0.5);
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
