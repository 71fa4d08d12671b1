// SPDX-License-Identifier: Apache-2.0
// Bounds by hand, of machines whose numbers are round.
#include "profile/bounds.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sluice/cells/gru_kin.h"
#include "sluice/cells/lstm_kin.h"
#include "sluice/custom_recurrent.h"
#include "sluice/layers.h"
#include "sluice/recurrent.h"

namespace sluice {
namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

// So fast but for what a test sets that nothing else takes time.
MachineLimits fast_machine() {
  MachineLimits machine;
  machine.flops = machine.sigmoid_per_second = machine.tanh_per_second = kNoLimit;
  machine.levels = {{"memory", 0, kNoLimit}};
  return machine;
}

MachineLimits reading_machine(double bytes_per_second) {
  MachineLimits machine = fast_machine();
  machine.levels = {{"memory", 0, bytes_per_second}};
  return machine;
}

StateDict<float> zeros(const std::vector<ParameterInfo>& parameters) {
  StateDict<float> weights;
  for (const ParameterInfo& info : parameters) weights.set(info.name, Tensor<float>(info.shape));
  return weights;
}

LSTM<float> lstm(const LSTMOptions& options) {
  std::vector<ParameterInfo> parameters;
  const std::size_t directions = options.bidirectional ? 2 : 1;
  const std::size_t state = options.proj_size > 0 ? options.proj_size : options.hidden_size;
  for (std::size_t layer = 0; layer < options.num_layers; ++layer) {
    for (std::size_t d = 0; d < directions; ++d) {
      const std::string suffix = "_l" + std::to_string(layer) + (d == 1 ? "_reverse" : "");
      const std::size_t gates = 4 * options.hidden_size;
      parameters.push_back(
          {"weight_ih" + suffix, {gates, layer == 0 ? options.input_size : directions * state}});
      parameters.push_back({"weight_hh" + suffix, {gates, state}});
      parameters.push_back({"bias_ih" + suffix, {gates}});
      parameters.push_back({"bias_hh" + suffix, {gates}});
      if (options.proj_size > 0) parameters.push_back({"weight_hr" + suffix, {state, options.hidden_size}});
    }
  }
  return LSTM<float>(options, zeros(parameters));
}

LSTM<float> small_lstm() { return lstm({.input_size = 4, .hidden_size = 8}); }

Recurrent<float> layer_of(const CustomCell& cell) {
  std::vector<ParameterInfo> parameters = cell.parameters();
  for (ParameterInfo& info : parameters) info.name += "_l0";
  return Recurrent<float>({.cell = cell}, zeros(parameters));
}

TEST(BoundRates, EachCacheGivesWhatItHolds) {
  MachineLimits machine = fast_machine();
  machine.levels = {{"L1", 1000, 1e9}, {"L2", 10000, 1e8}, {"memory", 0, 1e7}};
  const BoundRates one = bound_rates(machine, 4);
  EXPECT_DOUBLE_EQ(one.read(500).seconds, 500e-9);
  EXPECT_EQ(one.read(500).from, "L1");
  EXPECT_DOUBLE_EQ(one.read(6000).seconds, 1000e-9 + 5000e-8);
  EXPECT_EQ(one.read(6000).from, "L2");
  EXPECT_DOUBLE_EQ(one.read(20000).seconds, 1000e-9 + 9000e-7);  // what L2 holds comes meanwhile
  EXPECT_DOUBLE_EQ(one.read(11500).seconds, 1000e-9 + 10000e-8);
  EXPECT_EQ(one.read(20000).from, "memory");
  EXPECT_TRUE(one.read(20000).is_from_memory);
  EXPECT_FALSE(one.read(6000).is_from_memory);
  machine.threads = 2;  // each has its own
  EXPECT_DOUBLE_EQ(bound_rates(machine, 4).read(20000).seconds, 2000e-9 + 18000e-8);
}

TEST(BoundRates, DoublesTakeTwiceTheTime) {
  MachineLimits machine = fast_machine();
  machine.flops = 100;
  machine.sigmoid_per_second = 10;
  machine.tanh_per_second = 8;
  const BoundRates rates = bound_rates(machine, 8);
  EXPECT_EQ(rates.flops_per_second, 50);
  EXPECT_EQ(rates.sigmoid_per_second, 5);
  EXPECT_EQ(rates.tanh_per_second, 4);
  EXPECT_EQ(rates.element_bytes, 8U);
}

TEST(RecurrentBound, OfArithmeticIsFlopsByThePeak) {
  MachineLimits machine = fast_machine();
  machine.flops = 1e6;
  const ModuleBound bound = module_bound<float>(small_lstm(), {10, 3, 4}, machine);
  EXPECT_EQ(bound.bound.flops, 2 * 10 * 3 * (4 * 8 * (4 + 8)));
  EXPECT_DOUBLE_EQ(bound.bound.seconds, bound.bound.flops * 1e-6);
  EXPECT_EQ(bound.bound.by, "multiply-adds");
  EXPECT_EQ(bound.next.steps, 10U);
  EXPECT_EQ(bound.next.batch, 3U);
  EXPECT_EQ(bound.next.input_size, 8U);
}

TEST(RecurrentBound, OfReadingTakesWOnceACallAndUOnceAStep) {
  const ModuleBound bound = module_bound<float>(small_lstm(), {10, 3, 4}, reading_machine(1e6));
  const double w = 4 * 8 * 4 * 4, u = 4 * 8 * 8 * 4, x = 3 * 4 * 4, states = 3 * (8 + 8) * 4;
  EXPECT_DOUBLE_EQ(bound.bound.seconds, 1e-6 * (w + 10 * x + 10 * (u + states)));
  EXPECT_DOUBLE_EQ(bound.bound.bytes, w + 10 * x + 10 * (u + 2 * states));
  EXPECT_EQ(bound.bound.by, "memory");
}

TEST(RecurrentBound, OfOneStepReadsAllAtOnce) {
  MachineLimits machine = reading_machine(1e6);
  const double all = 4 * 8 * (4 + 8) * 4 + 3 * 4 * 4 + 3 * (8 + 8) * 4;
  machine.levels.insert(machine.levels.begin(), {"L1", 1100, 1e9});  // U and the states alone would fit
  EXPECT_DOUBLE_EQ(module_bound<float>(small_lstm(), {1, 3, 4}, machine).bound.seconds, (all - 1100) * 1e-6);
}

TEST(RecurrentBound, OfGatesIsTheirStandAloneSpeed) {
  MachineLimits machine = fast_machine();
  machine.sigmoid_per_second = 1000;
  machine.tanh_per_second = 500;
  const ModuleBound bound = module_bound<float>(small_lstm(), {10, 3, 4}, machine);
  EXPECT_DOUBLE_EQ(bound.bound.seconds, 10 * 3 * (3 * 8 / 1000.0 + 2 * 8 / 500.0));
  EXPECT_EQ(bound.bound.by, "gates");
  EXPECT_EQ(bound.activations, 10 * 3 * 5 * 8);
}

// A machine of 1 weight a second of arithmetic for one row; reading takes what the test says.
BoundRates made_up_rates(const std::map<double, double>& seconds_by_weights, const std::string& from) {
  return {.flops_per_second = 2,
          .read =
              [=](double bytes) {
                return BoundRates::Reading{seconds_by_weights.at(bytes / 4), from, from == "memory"};
              },
          .sigmoid_per_second = kNoLimit,
          .tanh_per_second = kNoLimit};
}

// W is computed for longer than it is read, U the other way round: then a step that does both at once can be
// faster than one after the other.
TEST(RecurrentBound, IsTheLesserOfInAdvanceAndInStep) {
  const CellWork work{.input_weights = 100, .recurrent_weights = 30};
  const auto seconds = [&](double both) {
    const BoundRates rates = made_up_rates({{100, 10}, {30, 50}, {130, both}}, "L3");
    return recurrent_bound({&work, 1}, {10, 1, 0}, 1, rates).bound.seconds;
  };
  EXPECT_DOUBLE_EQ(seconds(60), 10 * 130);
  EXPECT_DOUBLE_EQ(seconds(200), 1000 + 10 * 50);
}

TEST(RecurrentBound, PartsAreAddedUpButOnThreadsMayReadFromMemoryMeanwhile) {
  const std::vector<CellWork> works{{.layer = 0, .recurrent_weights = 100},
                                    {.layer = 1, .recurrent_weights = 30}};
  const auto bound = [&](int threads, const std::string& from) {
    return recurrent_bound(works, {2, 1, 0}, threads, made_up_rates({{0, 0}, {100, 1}, {30, 60}}, from));
  };
  const ModuleBound alone = bound(1, "memory");
  EXPECT_DOUBLE_EQ(alone.bound.seconds, 2 * (100 + 60));
  EXPECT_EQ(alone.bound.by, "multiply-adds");
  ASSERT_EQ(alone.cells.size(), 2U);
  EXPECT_DOUBLE_EQ(alone.cells[0].bound.seconds, 200);
  EXPECT_DOUBLE_EQ(alone.cells[1].bound.seconds, 120);
  EXPECT_EQ(alone.cells[1].bound.by, "memory");
  EXPECT_EQ(alone.cells[1].layer, 1U);
  EXPECT_DOUBLE_EQ(bound(2, "L3").bound.seconds, 2 * (100 + 60));
  EXPECT_DOUBLE_EQ(bound(2, "memory").bound.seconds, 2 * (100 + 30));
  EXPECT_EQ(bound(2, "memory").bound.by, "multiply-adds");
}

TEST(CellWorks, OfAStackInBothDirectionsWithProjection) {
  const std::vector<CellWork> works = cell_works<float>(
      lstm({.input_size = 5, .hidden_size = 8, .num_layers = 2, .bidirectional = true, .proj_size = 3}));
  ASSERT_EQ(works.size(), 4U);
  EXPECT_EQ(works[0].input_weights, 4 * 8 * 5);
  EXPECT_EQ(works[0].recurrent_weights, 4 * 8 * 3 + 8 * 3);
  EXPECT_EQ(works[0].states, 3 + 8);
  EXPECT_EQ(works[1].direction, 1U);
  EXPECT_EQ(works[2].layer, 1U);
  EXPECT_EQ(works[2].input_size, 6U);
  EXPECT_EQ(works[3].input_weights, 4 * 8 * 6);
}

// What a cell's author stated must count as much as what the library counts, and as the same cell built in.
TEST(CellWorks, OfCustomCellsAreThoseOfTheBuiltIn) {
  const std::vector<CellWork> works = cell_works<float>(layer_of(cells::lstm(4, 8)));
  const CellWork built_in = cell_works<float>(small_lstm())[0];
  ASSERT_EQ(works.size(), 1U);
  EXPECT_EQ(works[0].input_size, 4U);
  EXPECT_EQ(works[0].input_weights, built_in.input_weights);
  EXPECT_EQ(works[0].recurrent_weights, built_in.recurrent_weights);
  EXPECT_EQ(works[0].states, built_in.states);
  EXPECT_EQ(works[0].sigmoids, built_in.sigmoids);
  EXPECT_EQ(works[0].tanhs, built_in.tanhs);
  for (const CustomCell& cell :
       {cells::lstmp(4, 8, 3), cells::gru_reset_before(4, 8), cells::peephole_lstm(4, 8)}) {
    const Recurrent<float> layer = layer_of(cell);
    const CellWork work = cell_works<float>(layer)[0];
    EXPECT_EQ(2 * (work.input_weights + work.recurrent_weights), layer.flops_per_step(4));
  }
}

TEST(CellWorks, OfGruAndRnn) {
  const CellWork gru =
      cell_works<float>(GRU<float>({.input_size = 4, .hidden_size = 8}, zeros({{"weight_ih_l0", {24, 4}},
                                                                               {"weight_hh_l0", {24, 8}},
                                                                               {"bias_ih_l0", {24}},
                                                                               {"bias_hh_l0", {24}}})))[0];
  EXPECT_EQ(gru.input_weights, 3 * 8 * 4);
  EXPECT_EQ(gru.recurrent_weights, 3 * 8 * 8);
  EXPECT_EQ(gru.states, 8);
  EXPECT_EQ(gru.sigmoids, 2 * 8);
  EXPECT_EQ(gru.tanhs, 8);
  for (const Nonlinearity nonlinearity : {Nonlinearity::kTanh, Nonlinearity::kRelu}) {
    const CellWork rnn = cell_works<float>(RNN<float>(
        {.input_size = 4, .hidden_size = 8, .nonlinearity = nonlinearity}, zeros({{"weight_ih_l0", {8, 4}},
                                                                                  {"weight_hh_l0", {8, 8}},
                                                                                  {"bias_ih_l0", {8}},
                                                                                  {"bias_hh_l0", {8}}})))[0];
    EXPECT_EQ(rnn.recurrent_weights, 64);
    EXPECT_EQ(rnn.tanhs, nonlinearity == Nonlinearity::kTanh ? 8 : 0);
  }
}

TEST(RecurrentBound, StepsPastARowsLengthAreNoWork) {
  MachineLimits machine = fast_machine();
  machine.flops = 1e6;
  const double weights = 4 * 8 * (4 + 8);
  const ModuleBound ragged = module_bound<float>(small_lstm(), {200, 4, 4, {100, 7, 0, 13}}, machine);
  EXPECT_EQ(ragged.bound.flops, 2 * 120 * weights);
  EXPECT_DOUBLE_EQ(ragged.bound.seconds, 2e-6 * 120 * weights);
  EXPECT_EQ(ragged.activations, 120 * 5 * 8);
  // Rows by themselves are no more: weights are read for each of the 100 steps of the longest.
  machine = reading_machine(1e6);
  const double w = 4 * 8 * 4 * 4, u = 4 * 8 * 8 * 4;
  EXPECT_DOUBLE_EQ(module_bound<float>(small_lstm(), {200, 4, 4, {100, 7, 0, 13}}, machine).bound.seconds,
                   1e-6 * (w + 100 * u + 120 * (4 + 8 + 8) * 4));
  const ModuleBound none = module_bound<float>(small_lstm(), {200, 2, 4, {0, 0}}, machine);
  EXPECT_EQ(none.bound.seconds, 0);
  EXPECT_EQ(none.bound.flops, 0);
}

TEST(ModuleBound, RowsKeepTheirLengthsFromModuleToModule) {
  const MachineLimits machine = reading_machine(1);
  const BoundCall call{.steps = 10, .batch = 3, .input_size = 4, .lengths = {10, 2, 5}};
  const Conv1d<float> conv({.in_channels = 4, .out_channels = 2, .kernel_size = 3, .stride = 2},
                           zeros({{"weight", {2, 4, 3}}, {"bias", {2}}}));
  const ModuleBound convolved = module_bound<float>(conv, call, machine);
  EXPECT_EQ(convolved.next.lengths, (std::vector<std::int64_t>{4, 0, 2}));
  EXPECT_EQ(convolved.bound.flops, 2 * 6 * (2 * 4 * 3));
  const Linear<float> linear({2, 6}, zeros({{"weight", {6, 2}}, {"bias", {6}}}));
  EXPECT_EQ(module_bound<float>(linear, convolved.next, machine).bound.flops, 2 * 6 * 2 * 6);
  const ModuleBound last = module_bound<float>(LastStep<float>(), convolved.next, machine);
  EXPECT_EQ(last.next.row_steps(), 3U);
}

TEST(ModuleBound, OfASweep) {
  const MachineLimits machine = reading_machine(1);
  const BoundCall call{.steps = 10, .batch = 3, .input_size = 4};
  const Linear<float> linear({4, 6}, zeros({{"weight", {6, 4}}, {"bias", {6}}}));
  const ModuleBound wide = module_bound<float>(linear, call, machine);
  EXPECT_EQ(wide.bound.flops, 2 * 30 * 4 * 6);
  EXPECT_EQ(wide.bound.bytes, 4 * (30 + 30 * 4 + 30 * 6));
  EXPECT_EQ(wide.bound.seconds, 4 * 30 * 6);  // writing is more than reading
  EXPECT_EQ(wide.next.input_size, 6U);

  const Conv1d<float> conv({.in_channels = 4, .out_channels = 2, .kernel_size = 3, .stride = 2},
                           zeros({{"weight", {2, 4, 3}}, {"bias", {2}}}));
  const ModuleBound convolved = module_bound<float>(conv, call, machine);
  EXPECT_EQ(convolved.next.steps, 4U);
  EXPECT_EQ(convolved.bound.flops, 2 * 4 * 3 * (2 * 4 * 3));
  EXPECT_EQ(convolved.bound.seconds, 4 * (26 + 10 * 3 * 4));

  const Conv1d<float> sparse({.in_channels = 4, .out_channels = 2, .kernel_size = 1, .stride = 2},
                             zeros({{"weight", {2, 4, 1}}, {"bias", {2}}}));
  EXPECT_EQ(module_bound<float>(sparse, call, machine).bound.seconds, 4 * (10 + 5 * 3 * 4));

  const Embedding<float> table({100, 7}, zeros({{"weight", {100, 7}}}));
  EXPECT_EQ(module_bound<float>(table, {10, 3, 1}, machine).bound.seconds, 4 * 30 * 7);
  EXPECT_EQ(module_bound<float>(LastStep<float>(), call, machine).bound.seconds, 4 * 3 * 4);
  EXPECT_EQ(module_bound<float>(LastStep<float>(), call, machine).next.steps, 1U);
  EXPECT_EQ(module_bound<float>(MeanOverTime<float>(), call, machine).bound.flops, 30 * 4);
  const LayerNorm<float> norm({.normalized_shape = 4}, zeros({{"weight", {4}}, {"bias", {4}}}));
  EXPECT_EQ(module_bound<float>(norm, call, machine).bound.seconds, 4 * (8 + 120));
}

TEST(ModuleBound, OfActivationsIsTheirStandAloneSpeed) {
  MachineLimits machine = fast_machine();
  machine.sigmoid_per_second = 10;
  machine.tanh_per_second = 5;
  const auto seconds = [&](const char* type) {
    return module_bound<float>(Activation<float>(type), {10, 3, 4}, machine).bound.seconds;
  };
  EXPECT_EQ(seconds("Sigmoid"), 12);
  EXPECT_EQ(seconds("SiLU"), 12);
  EXPECT_EQ(seconds("Tanh"), 24);
  EXPECT_EQ(seconds("ReLU"), 0);
}

TEST(ModuleBound, OfModulesInARowIsTheirSum) {
  Sequential<float> modules;
  modules.add(Linear<float>({4, 6}, zeros({{"weight", {6, 4}}, {"bias", {6}}})));
  modules.add(Activation<float>("Tanh"));
  modules.add(LastStep<float>());
  MachineLimits machine = reading_machine(1);
  machine.tanh_per_second = 0.1;
  const ModuleBound sum = module_bound<float>(modules, {10, 3, 4}, machine);
  EXPECT_EQ(sum.bound.seconds, 4 * 30 * 6 + 30 * 6 / 0.1 + 4 * 3 * 6);
  EXPECT_EQ(sum.bound.by, "gates");
  EXPECT_EQ(sum.activations, 30 * 6);
  EXPECT_EQ(sum.next.steps, 1U);
  EXPECT_EQ(sum.next.input_size, 6U);
}

}  // namespace
}  // namespace sluice
