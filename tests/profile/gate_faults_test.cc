// SPDX-License-Identifier: Apache-2.0
// Problems planted in gates, which reports must name.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "profile/gate_reports.h"
#include "sluice/error.h"
#include "sluice/layers.h"
#include "sluice/profile.h"
#include "support/plain_gates.h"
#include "support/recurrent_cases.h"

namespace sluice {
namespace {

using test::make_module;
using test::options_of;
using test::scaled_weights;

// Half of the forget gates saturated, units of the input and the output gate that are never open, one that
// never moves, and candidates that are always 1 or -1.
TEST(GateReports, PlantedProblemsAreFound) {
  constexpr std::size_t kUnits = 20;
  const RecurrentOptions options = options_of(CellKind::kLstm, 3, kUnits);
  StateDict<float> weights = scaled_weights<float>(test::parameters_of(options), 0.3);
  Tensor<float> bias(weights.at("bias_ih_l0")), w(weights.at("weight_ih_l0")), u(weights.at("weight_hh_l0"));
  for (std::size_t unit = 0; unit < 10; ++unit) bias(kUnits + unit) = unit < 5 ? 20 : -20;
  bias(7) = -20;
  bias(3 * kUnits + 12) = -20;
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
  // A unit that forgets everything works, and one that forgets nothing has a long memory.
  EXPECT_EQ(got[1].dead_units, Units{});
  EXPECT_EQ(got[1].stuck_units, (Units{5, 6, 7, 8, 9}));
  EXPECT_EQ(got[1].shut, got[1].activations / 4);
  EXPECT_EQ(got[1].open, got[1].activations / 4);
  EXPECT_EQ(got[1].unit_open[4], 1);
  EXPECT_EQ(got[2].dead_units, Units{});
  EXPECT_EQ(got[2].stuck_units, (Units{17, 18}));
  EXPECT_EQ(got[2].unit_open[17], 1);
  EXPECT_EQ(got[2].unit_shut[18], 1);
  EXPECT_EQ(got[3].dead_units, Units{12});
  EXPECT_EQ(got[3].stuck_units, Units{11});
  EXPECT_EQ(got[3].unit_deviation[11], 0);
}

// A network all of whose weights are 0, so that gates are what their biases make of them: `units` for each
// gate, in PyTorch's order.
std::unique_ptr<Module<double>> of_biases(CellKind kind, const std::vector<std::vector<double>>& biases) {
  const std::size_t units = biases[0].size();
  const RecurrentOptions options = options_of(kind, 3, units);
  StateDict<double> weights = scaled_weights<double>(test::parameters_of(options), 0);
  Tensor<double> bias({biases.size() * units});
  for (std::size_t i = 0; i < bias.size(); ++i) bias(i) = biases[i / units][i % units];
  weights.set("bias_ih_l0", bias);
  return make_module(options, weights);
}

// h' = (1 - z) n + z h: a unit with z at 1 never leaves 0; one with z at 0 works; one with z = 0.998 is slow,
// and moves by up to 0.15 in the 60 steps.
TEST(GateReports, AnUpdateGateThatIsAlwaysOpenMakesUnitsDead) {
  using Units = std::vector<std::size_t>;
  const auto gru = of_biases(CellKind::kGru, {{0, 0, 0}, {20, -20, 6}, {1, 1, 1}});
  const Tensor<double> x({60, 1, 3});
  const GateReport z = gate_reports<double>(*gru, {x.view()})[1];
  EXPECT_EQ(z.gate, "update");
  EXPECT_EQ(z.unit_open, (std::vector<float>{1, 0, 1}));
  EXPECT_EQ(z.dead_units, Units{0});
  EXPECT_EQ(z.stuck_units, Units{1});
}

// i = 0.0025 lets up to 0.15 into c in the 60 steps.
TEST(GateReports, AnInputGateThatLetsALittleInIsNotDead) {
  using Units = std::vector<std::size_t>;
  const auto lstm = of_biases(CellKind::kLstm, {{-20, -6}, {6, 6}, {1, 1}, {0, 0}});
  const Tensor<double> x({60, 1, 3});
  const GateReport i = gate_reports<double>(*lstm, {x.view()})[0];
  EXPECT_EQ(i.unit_shut, (std::vector<float>{1, 1}));
  EXPECT_EQ(i.dead_units, Units{0});
  EXPECT_EQ(i.stuck_units, Units{1});
}

TEST(GateReports, FewActivationsCallNoUnitDeadOrStuck) {
  const auto lstm = of_biases(CellKind::kLstm, {{-20, 0}, {-20, 0}, {20, 0}, {-20, 0}});
  const Tensor<double> x({8, 4, 3});
  for (const GateReport& gate : gate_reports<double>(*lstm, {x.view().narrow(0, 0, 1)})) {
    EXPECT_TRUE(gate.dead_units.empty());
    EXPECT_TRUE(gate.stuck_units.empty());
  }
  const std::vector<std::int64_t> lengths{8, 8, 8, 7};
  for (const GateReport& gate : gate_reports<double>(*lstm, {x.view(), lengths})) {
    EXPECT_EQ(gate.activations, 2u * 31u);
    EXPECT_TRUE(gate.dead_units.empty());
    EXPECT_TRUE(gate.stuck_units.empty());
  }
  for (const GateReport& gate : gate_reports<double>(*lstm, {x.view()})) {
    EXPECT_EQ(gate.dead_units.size() + gate.stuck_units.size(), 2u);
  }
}

TEST(GateReports, MemoryIsToldOfUnits) {
  const Tensor<double> x({40, 1, 3});
  std::vector<double> zeros(32), half(32);
  for (std::size_t unit = 16; unit < 32; ++unit) half[unit] = 50;
  const GateReport mixed =
      gate_reports<double>(*of_biases(CellKind::kLstm, {zeros, half, zeros, zeros}), {x.view()})[1];
  EXPECT_EQ(mixed.gate, "forget");
  EXPECT_EQ(mixed.memory_steps, 4);
  EXPECT_EQ(mixed.memory_low, 2);
  EXPECT_EQ(mixed.memory_median, 2);
  EXPECT_EQ(mixed.memory_high, 1e6);

  // 1 / (1 - sigmoid(b)) is 1 + e^b: from 2 to 11 steps, in no order.
  std::vector<double> biases;
  for (const double steps : {7, 2, 11, 4, 3, 10, 5, 9, 6, 8}) biases.push_back(std::log(steps - 1));
  const std::vector<double> none(10);
  const GateReport ten =
      gate_reports<double>(*of_biases(CellKind::kLstm, {none, biases, none, none}), {x.view()})[1];
  EXPECT_NEAR(ten.memory_low, 2, 1e-12);
  EXPECT_NEAR(ten.memory_median, 6, 1e-12);
  EXPECT_NEAR(ten.memory_high, 10, 1e-12);
  EXPECT_EQ(gate_reports<double>(*of_biases(CellKind::kLstm, {none, biases, none, none}), {x.view()})[0]
                .memory_high,
            0);
}

TEST(GateReports, AGateThatForgetsNothingHasALongMemoryButNoInfiniteOne) {
  const RecurrentOptions options = options_of(CellKind::kGru, 3, 5);
  StateDict<float> weights = scaled_weights<float>(test::parameters_of(options), 0.3);
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
  const auto module = make_module(options, scaled_weights<float>(test::parameters_of(options), 0.3));
  EXPECT_EQ(message_of(*module, Tensor<float>({2, 2, 4})), "LSTM: the input has 4 features, expected 3");
  EXPECT_EQ(message_of(*module, Tensor<float>({2, 3})), "gate_reports: x is [2, 3], expected [T, B, F]");
}

// The only note, as the table has it, and how many gates are left.
std::string note_of(const Module<float>& module, const Sequence<float>& in, std::size_t gates,
                    std::size_t kept_bytes = kKeptBytes) {
  std::vector<Advice> notes;
  EXPECT_EQ(gate_reports<float>(module, in, 2, kept_bytes, &notes).size(), gates);
  EXPECT_LE(notes.size(), 1U);
  return notes.empty() ? "" : notes[0].where + ": " + notes[0].what + ": " + notes[0].figure;
}

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
const char* const kLook = ": look for NaN in its input and its weights: ";
const char* const kLeftOut = "; gates that are NaN are left out";

TEST(GateNan, IsToldWhereItBegins) {
  const RecurrentOptions options = options_of(CellKind::kLstm, 3, 20, 2);
  const auto lstm = make_module(options, scaled_weights<float>(test::parameters_of(options), 0.3));
  Tensor<float> x({5, 3, 3});
  EXPECT_EQ(note_of(*lstm, {x.view()}, 8), "");
  x(4, 1, 0) = x(3, 2, 2) = kNan;
  for (const std::size_t bytes : {kKeptBytes, std::size_t{4000}, std::size_t{1}}) {
    EXPECT_EQ(note_of(*lstm, {x.view()}, 0, bytes),
              std::string("LSTM l0") + kLook + "activations of gate input are NaN from step 4 of row 1 on" +
                  kLeftOut);
  }
  const std::vector<std::int64_t> lengths{5, 4, 5};
  EXPECT_EQ(note_of(*lstm, {x.view(), lengths}, 0),
            std::string("LSTM l0") + kLook + "activations of gate input are NaN from step 3 of row 2 on" +
                kLeftOut);
}

// One unit alone, in the second block of lanes on any machine; the way back begins at a row's last step.
TEST(GateNan, OfTheWayBackBeginsAtTheEnd) {
  const RecurrentOptions options = options_of(CellKind::kGru, 3, 70, 1, true);
  StateDict<float> weights = scaled_weights<float>(test::parameters_of(options), 0.3);
  Tensor<float> bias(weights.at("bias_ih_l0_reverse"));
  bias(70 + 66) = kNan;
  weights.set("bias_ih_l0_reverse", bias);
  const std::vector<std::int64_t> lengths{0, 3, 5};
  EXPECT_EQ(note_of(*make_module(options, weights), {Tensor<float>({5, 3, 3}), lengths}, 0),
            std::string("GRU l0 reverse") + kLook +
                "activations of gate update are NaN from step 2 of row 1 back" + kLeftOut);
}

TEST(GateNan, IsSeenInTheOutputsOfModulesWithoutGates) {
  const RecurrentOptions options = options_of(CellKind::kRnnRelu, 3, 5);
  const auto rnn = make_module(options, scaled_weights<float>(test::parameters_of(options), 0.3));
  Tensor<float> x({5, 2, 3});
  EXPECT_EQ(note_of(*rnn, {x.view()}, 0), "");
  x(2, 1, 0) = kNan;
  EXPECT_EQ(note_of(*rnn, {x.view()}, 0),
            std::string("RNN") + kLook + "outputs are NaN from step 2 of row 1 on" + kLeftOut);
}

TEST(GateNan, IsToldOfTheFirstModuleThatHasIt) {
  const RecurrentOptions options = options_of(CellKind::kGru, 3, 5);
  StateDict<float> weights = scaled_weights<float>(test::parameters_of(options), 0.3);
  const auto model_of = [&](float in_gru, float in_head) {
    Sequential<float> model;
    Tensor<float> bias(weights.at("bias_hh_l0"));
    bias(6) = in_gru;
    StateDict<float> all;
    for (const ParameterInfo& info : test::parameters_of(options))
      all.set("enc." + info.name, Tensor<float>(weights.at(info.name)));
    all.set("enc.bias_hh_l0", bias);
    Tensor<float> weight({2, 5});
    weight(1, 1) = in_head;
    all.set("head.weight", weight);
    all.set("head.bias", Tensor<float>({2}));
    model.add(GRU<float>({.input_size = 3, .hidden_size = 5}, all, "enc."));
    model.add(Linear<float>({.in_features = 5, .out_features = 2}, all, "head."));
    return model;
  };
  const Tensor<float> x({4, 2, 3});
  EXPECT_EQ(note_of(model_of(0, kNan), {x.view()}, 3),
            std::string("head") + kLook + "outputs are NaN from step 0 of row 0 on" + kLeftOut);
  EXPECT_EQ(note_of(model_of(kNan, kNan), {x.view()}, 0),
            std::string("enc l0") + kLook + "activations of gate update are NaN from step 0 of row 0 on" +
                kLeftOut);
}

TEST(GateNan, LeavesTheTimes) {
  const RecurrentOptions options = options_of(CellKind::kLstm, 3, 5);
  const auto lstm = make_module(options, scaled_weights<float>(test::parameters_of(options), 0.3));
  Tensor<float> x({4, 2, 3});
  x(0, 0, 0) = kNan;
  const ProfileReport report =
      profile_model<float>(*lstm, x.view(), {.repeat = 1, .threads = 1, .counts_hardware = false});
  EXPECT_GT(report.seconds_min, 0);
  EXPECT_TRUE(report.gates.empty());
  ASSERT_FALSE(report.advice.empty());
  EXPECT_EQ(report.advice[0].where, "LSTM l0");
}

}  // namespace
}  // namespace sluice
