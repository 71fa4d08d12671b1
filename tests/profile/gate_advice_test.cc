// SPDX-License-Identifier: Apache-2.0
// One thing amiss with a gate at a time.
#include "profile/gate_advice.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "support/healthy_gate.h"

namespace sluice {
namespace {

using test::healthy_gate;

GateReport healthy_forget_gate() {
  GateReport gate = healthy_gate("f");
  gate.kept_open = 1;
  gate.memory_steps = 2.5;
  gate.memory_median = 2.4;
  return gate;
}

// The only advice that there is.
void expect_advice(const GateReport& gate, const std::string& where, const std::string& what,
                   const std::string& figure) {
  const std::vector<Advice> all = gate_advice(gate);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].where, where);
  EXPECT_NE(all[0].what.find(what), std::string::npos) << all[0].what;
  EXPECT_EQ(all[0].figure, figure);
  EXPECT_FALSE(all[0].is_measured);
}

TEST(GateAdvice, NoneForHealthyGates) {
  EXPECT_TRUE(gate_advice(healthy_gate("i")).empty());
  EXPECT_TRUE(gate_advice(healthy_forget_gate()).empty());
}

TEST(GateAdvice, ABiasThatKeepsWhereAGateForgets) {
  GateReport gate = healthy_forget_gate();
  gate.shut = 500;
  gate.memory_median = 1.25;
  gate.direction = 1;
  expect_advice(gate, "rnn l0 reverse", "raise the bias of gate f",
                "50 % of its activations are below 0.01: half of its units remember at most 1.2 steps");
  std::swap(gate.kept_shut, gate.kept_open);
  std::swap(gate.shut, gate.open);
  expect_advice(gate, "rnn l0 reverse", "lower the bias of gate f",
                "50 % of its activations are above 0.99: half of its units remember at most 1.2 steps");
}

TEST(GateAdvice, TheReluFamilyWhereTanhIsSaturated) {
  GateReport gate = healthy_gate("g");
  gate.is_tanh = true;
  gate.open = 400;
  gate.mean_derivative = 0.05;
  expect_advice(gate, "rnn l0", "ReLU family",
                "42 % of activations of g are below -0.99 or above 0.99: gradients pass by 0.050 on average");
}

GateReport with_ends(GateReport gate, const std::vector<std::size_t>& shut,
                     const std::vector<std::size_t>& open) {
  gate.unit_shut.assign(8, 0);
  gate.unit_open.assign(8, 0);
  for (const std::size_t unit : shut) gate.unit_shut[unit] = 1;
  for (const std::size_t unit : open) gate.unit_open[unit] = 1;
  return gate;
}

TEST(GateAdvice, DeadUnitsMayBeLeftOut) {
  GateReport gate = with_ends(healthy_gate("i"), {3}, {});
  gate.dead_units = {3};
  expect_advice(gate, "rnn l0", "leave out the units", "1 of 8 units are always below 0.01: 3");
  gate = with_ends(healthy_forget_gate(), {}, {4, 5});
  gate.dead_units = {4, 5};
  expect_advice(gate, "rnn l0", "leave out the units", "2 of 8 units are always above 0.99: 4, 5");
}

TEST(GateAdvice, WhereAGateIsAConstantABiasCouldReplaceIt) {
  GateReport gate = with_ends(healthy_gate("r"), {}, {});
  gate.stuck_units = {0, 1, 2, 4, 5, 7};
  expect_advice(gate, "rnn l0", "gate r is a constant in some units, which a bias could replace",
                "6 of 8 units deviate by less than 0.001: 0, 1, 2, 4, 5, ...");
  gate = with_ends(healthy_gate("r"), {1, 2}, {4});
  gate.stuck_units = {1, 2, 4, 6};
  expect_advice(
      gate, "rnn l0", "a bias could replace",
      "2 of 8 units are always below 0.01: 1, 2; 1 of 8 units are always above 0.99: 4; 1 of 8 units "
      "deviate by less than 0.001: 6");
  gate.is_tanh = true;
  expect_advice(
      gate, "rnn l0", "a bias could replace",
      "2 of 8 units are always below -0.99: 1, 2; 1 of 8 units are always above 0.99: 4; 1 of 8 units "
      "deviate by less than 0.001: 6");
}

TEST(GateAdvice, AGateThatAlwaysForgetsIsAUnitWithoutMemory) {
  GateReport gate = with_ends(healthy_forget_gate(), {1}, {});
  gate.stuck_units = {1};
  expect_advice(gate, "rnn l0", "a bias could replace",
                "1 of 8 units are always below 0.01 and remember nothing: 1");
  gate = with_ends(healthy_forget_gate(), {}, {1});
  std::swap(gate.kept_shut, gate.kept_open);
  gate.stuck_units = {1};
  expect_advice(gate, "rnn l0", "a bias could replace",
                "1 of 8 units are always above 0.99 and remember nothing: 1");
}

TEST(GateAdvice, NoneAgainstALongMemory) {
  GateReport gate = healthy_forget_gate();
  gate.open = 900;
  gate.mean_derivative = 0.01;
  EXPECT_TRUE(gate_advice(gate).empty());
  std::swap(gate.kept_shut, gate.kept_open);
  std::swap(gate.shut, gate.open);
  EXPECT_TRUE(gate_advice(gate).empty());
}

}  // namespace
}  // namespace sluice
