// SPDX-License-Identifier: Apache-2.0
#include "profile/try_advice.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "sluice/layers.h"
#include "support/random.h"

namespace sluice {
namespace {

ProfileReport report_of(int threads) {
  ProfileReport report;
  report.model = "m";
  report.threads = threads;
  report.repeat = 3;
  return report;
}

std::string figure_of(const std::optional<Advice>& advice) {
  if (!advice) return "";
  EXPECT_EQ(advice->where, "m");
  EXPECT_TRUE(advice->is_measured);
  return advice->what + ": " + advice->figure;
}

TEST(TryAdvice, TriesPowersOfTwoAndTheMachinesOwnNumber) {
  EXPECT_EQ(threads_to_try(1, 1), (std::vector<int>{1}));
  EXPECT_EQ(threads_to_try(2, 2), (std::vector<int>{2, 1}));
  EXPECT_EQ(threads_to_try(1, 6), (std::vector<int>{1, 2, 4, 6}));
  EXPECT_EQ(threads_to_try(12, 12), (std::vector<int>{12, 1, 2, 4, 8}));
  EXPECT_EQ(threads_to_try(3, 8), (std::vector<int>{3, 1, 2, 4, 8}));
}

TEST(TryAdvice, MeasuresInTurns) {
  std::string order;
  const auto run = [&](char name) {
    return [&order, name] {
      if (order.empty() || order.back() != name) order += name;
    };
  };
  const std::vector<std::function<void()>> runs{run('a'), run('b'), run('c')};
  const auto seconds = seconds_in_turns(runs, 2);
  EXPECT_EQ(order, "abcabcabc");  // the first of them to see how long they take
  ASSERT_EQ(seconds.size(), 3u);
  for (const std::vector<double>& rounds : seconds) EXPECT_EQ(rounds.size(), 2u);
}

TEST(TryAdvice, NamesTheNumberOfThreadsThatIsFaster) {
  const ProfileReport report = report_of(2);
  const std::vector<Trial> faster{{2, {1.31, 1.4, 1.5}}, {1, {1.1, 1.0, 1.05}}, {4, {0.96, 1.0, 1.1}}};
  EXPECT_EQ(figure_of(threads_advice(report, faster)),
            "use one thread: 2 threads take 1.31 times as long as one thread");
  EXPECT_EQ(fastest_of(faster).threads, 1);  // 4 threads gain less than runs differ by
  const std::vector<Trial> same{{2, {1.04, 1.1, 1.1}}, {1, {1.0, 1.1, 1.1}}};
  EXPECT_EQ(figure_of(threads_advice(report, same)), "");
  EXPECT_EQ(fastest_of(same).threads, 2);
  EXPECT_EQ(figure_of(threads_advice(report_of(1), std::vector<Trial>{{1, {3, 3}}, {6, {1, 1}}})),
            "use 6 threads: one thread takes 3.00 times as long as 6 threads");
}

TEST(TryAdvice, SaysNothingThatMediansContradict) {
  EXPECT_FALSE(threads_advice(report_of(2), std::vector<Trial>{{2, {2, 3, 3}}, {1, {1, 4, 4}}}));
  EXPECT_FALSE(rows_advice(report_of(1), {1, {1, 1, 1}}, {1, {1, 2, 2}}));
}

TEST(TryAdvice, MarksWhatAnUnsteadyMachineSays) {
  EXPECT_EQ(figure_of(threads_advice(report_of(2), std::vector<Trial>{{2, {8, 9, 9}}, {1, {1, 3, 4}}})),
            "use one thread: 2 threads take 8.00 times as long as one thread (unsteady: by the medians 3.00 "
            "times)");
}

TEST(TryAdvice, SaysHowManyMoreRowsASecond) {
  EXPECT_EQ(figure_of(rows_advice(report_of(1), {1, {1, 1.1, 1.2}}, {1, {1.25, 1.3, 1.3}})),
            "run more rows at once: twice the rows take 1.25 times as long on one thread: 1.60 times as many "
            "rows a second");
  EXPECT_FALSE(rows_advice(report_of(1), {1, {1, 1}}, {1, {2, 2}}));
}

TEST(TryAdvice, TakesThePlaceOfWhatWasNotMeasured) {
  StateDict<float> weights;
  weights.set("weight_ih_l0", random_tensor<float>({16, 3}, -1, 1, 1));
  weights.set("weight_hh_l0", random_tensor<float>({16, 4}, -1, 1, 2));
  const LSTM<float> lstm({.input_size = 3, .hidden_size = 4, .bias = false}, weights);
  const Tensor<float> x = random_tensor<float>({5, 2, 3}, -1, 1, 3);
  const std::vector<std::int64_t> lengths{5, 3};
  ProfileReport report = report_of(1);
  report.advice = {{"rnn", "use one thread", "", false},
                   {"rnn", "keep me", "", false},
                   {"rnn", "run more rows at once", "", false}};
  try_advice<float>(report, lstm, {x.view(), lengths});
  ASSERT_FALSE(report.advice.empty());
  EXPECT_EQ(report.advice.back().what, "keep me");
  report.advice.pop_back();
  for (const Advice& advice : report.advice) EXPECT_TRUE(advice.is_measured) << advice.what;
}

}  // namespace
}  // namespace sluice
