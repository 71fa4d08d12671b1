// SPDX-License-Identifier: Apache-2.0
// One thing amiss at a time.
#include "profile/advice.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

#include "sluice/profile.h"
#include "support/healthy_gate.h"

namespace sluice {
namespace {

using test::healthy_gate;

constexpr auto kWaitingIndex = static_cast<std::size_t>(Phase::kWaiting);

ProfileReport healthy_report() {
  ProfileReport report;
  report.model = "model.safetensors";
  report.dtype = "float32";
  report.steps = report.longest = 100;
  report.batch = 32;
  report.input_size = 16;
  report.threads = 2;
  PartReport part;
  part.name = "rnn";
  part.type = "LSTM";
  part.threads = 2;
  part.phases = {0.3, 0.4, 0.2, 0.1, 0.0};
  part.bound = {.flops = 1e9, .bytes = 1e7, .seconds = 0.8, .by = "multiply-adds"};
  part.share_of_bound = 0.8;
  part.parts.push_back(part);
  part.parts[0].name = "rnn l0";
  PartReport head = part;
  head.name = "head";
  head.type = "Linear";
  head.parts.clear();
  head.bound.by = "L2";
  report.parts = {part, head};
  report.gates = {healthy_gate("i"), healthy_gate("f")};
  report.gates[1].kept_open = 1;
  report.gates[1].memory_steps = 2.5;
  return report;
}

// The only advice that there is.
Advice only(const ProfileReport& report) {
  const std::vector<Advice> all = advice_for(report);
  EXPECT_EQ(all.size(), 1U);
  return all.empty() ? Advice{} : all[0];
}

void expect_advice(const ProfileReport& report, const std::string& where, const std::string& what,
                   const std::string& figure) {
  const Advice advice = only(report);
  EXPECT_EQ(advice.where, where);
  EXPECT_NE(advice.what.find(what), std::string::npos) << advice.what;
  EXPECT_EQ(advice.figure, figure);
  EXPECT_FALSE(advice.is_measured);
}

TEST(Advice, NoneForAHealthyModel) { EXPECT_TRUE(advice_for(healthy_report()).empty()); }

TEST(Advice, MoreRowsWhereFewWaitForWeights) {
  ProfileReport report = healthy_report();
  report.batch = 1;
  report.parts[0].bound = {.flops = 5e6, .bytes = 1e7, .seconds = 1, .by = "L3"};
  report.parts[0].share_of_bound = 0.5;
  expect_advice(
      report, "rnn", "more rows",
      "1 row: 0.5 operations for each byte read, and reading from L3 takes longer than the arithmetic");
  report.batch = 8;
  EXPECT_TRUE(advice_for(report).empty());
  report.batch = 1;
  report.parts[0].bound.by = "gates";
  expect_advice(
      report, "rnn", "more rows",
      "1 row: 50 % of the bound, since each step waits for the one before, and other rows would not");
  report.parts[0].share_of_bound = 0.7;
  EXPECT_TRUE(advice_for(report).empty());
  report.parts[0].bound = {};  // no row has a step
  report.parts[0].share_of_bound = 0;
  EXPECT_TRUE(advice_for(report).empty());
}

TEST(Advice, FewerBytesWhereTheyAreReadAsFastAsCanBe) {
  ProfileReport report = healthy_report();
  report.parts[0].bound.by = "memory";
  expect_advice(report, "rnn", "proj_size", "80 % of the speed at which memory gives the weights");
  report.dtype = "float64";
  expect_advice(report, "rnn", "float32", "80 % of the speed at which memory gives the weights");
  report.parts[0].share_of_bound = 0.5;
  EXPECT_TRUE(advice_for(report).empty());
}

TEST(Advice, OneThreadWhereTwoWaitMoreThanOneWouldWork) {
  ProfileReport report = healthy_report();
  report.parts[0].phases[kWaitingIndex] = 0.8;  // 0.9 at work: two share what takes one 1.8 of 1.7
  EXPECT_TRUE(advice_for(report).empty());
  report.parts[0].phases[kWaitingIndex] = 1.35;
  expect_advice(
      report, "rnn", "one thread",
      "2 threads wait for each other 60 % of their time: what they do meanwhile would take one of them "
      "0.80 times as long");
  report.threads = 8;  // of which it took two
  EXPECT_EQ(only(report).figure.substr(0, 9), "2 threads");
  report.parts[0].threads = 3;
  EXPECT_TRUE(advice_for(report).empty());
  report.parts[0].threads = 1;
  EXPECT_TRUE(advice_for(report).empty());
}

TEST(Advice, AStreamWhereSingleStepsAreMostlyOverhead) {
  ProfileReport report = healthy_report();
  report.steps = report.longest = 1;
  report.seconds_median = 1;
  EXPECT_TRUE(advice_for(report).empty());
  report.parts[0].phases[static_cast<std::size_t>(Phase::kOther)] = 0.4;
  expect_advice(report, "model.safetensors", "Stream",
                "40 % of a run of one step is neither products nor gates");
  report.input_size = 0;  // parts of a program
  EXPECT_TRUE(advice_for(report).empty());
}

TEST(Advice, RowsOfLikeLengthWhereTheyDiffer) {
  ProfileReport report = healthy_report();
  report.valid_share = 0.41;
  expect_advice(report, "model.safetensors", "like length",
                "32 rows have 41 % of the longest one's steps on average");
  report.longest = 50;  // all are padded, and 82 % as long as the longest
  EXPECT_TRUE(advice_for(report).empty());
}

TEST(Advice, LayerNormalisationWhereAGateIsSaturated) {
  ProfileReport report = healthy_report();
  report.gates[0].shut = 250;
  report.gates[0].open = 250;
  report.gates[0].mean_derivative = 0.02;
  expect_advice(report, "rnn l0", "layer normalisation before gate i",
                "50 % of activations of i are below 0.01 or above 0.99: gradients pass by 0.020 on average");
  report.is_random_data = true;
  EXPECT_NE(only(report).figure.find("(of data drawn at random)"), std::string::npos);
}

}  // namespace
}  // namespace sluice
