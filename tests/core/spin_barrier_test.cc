// SPDX-License-Identifier: Apache-2.0
#include "core/spin_barrier.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <thread>
#include <vector>

namespace sluice {
namespace {

TEST(SpinBarrier, OneThreadDoesNotWait) {
  SpinBarrier barrier(1);
  for (int i = 0; i < 3; ++i) barrier.wait();
}

// More threads than most machines have to spare, so that the yielding path runs too. Plain ints: each thread
// writes its own before a meeting and reads its neighbour's after it.
TEST(SpinBarrier, AfterAMeetingAllSeeWhatEachWroteBefore) {
  constexpr std::size_t kThreads = 5;
  constexpr int kRounds = 300;
  SpinBarrier barrier(kThreads);
  std::vector<int> written(kThreads, -1);
  std::vector<int> wrong(kThreads, 0);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < kRounds; ++round) {
        written[i] = round;
        barrier.wait();
        if (written[(i + 1) % kThreads] != round) ++wrong[i];
        barrier.wait();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(kThreads, 0));
}

// Steps that each of `count` threads did, the last one sleeping in each of its own until the team parts.
std::vector<std::size_t> steps_done(StepTeam& team, std::size_t count, std::size_t steps, bool sleeps) {
  std::vector<std::size_t> done(count, 0);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      bool is_alone = false;
      for (std::size_t step = 0; step < steps; ++step) {
        if (!is_alone && !team.is_together(step)) {
          if (i != 0) return;
          is_alone = true;
        }
        if (sleeps && i + 1 == count) std::this_thread::sleep_for(std::chrono::milliseconds(2));
        ++done[i];
        if (!is_alone) team.meet(step, i == 0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return done;
}

TEST(StepTeam, PartsWhereItWaitsMoreThanItWorks) {
  StepTeam team(2, true);
  const std::vector<std::size_t> done = steps_done(team, 2, 50, true);
  EXPECT_EQ(done[0], 50U);
  EXPECT_GE(done[1], 1U);
  EXPECT_LT(done[1], 50U);
  EXPECT_FALSE(team.is_together(50));
}

TEST(StepTeam, StaysTogetherWhereItMayNotPart) {
  StepTeam team(2, false);
  EXPECT_EQ(steps_done(team, 2, 10, true), std::vector<std::size_t>(2, 10));
  EXPECT_TRUE(team.is_together(10));
}

// All leave after the same step, whichever of them is late.
TEST(StepTeam, AllLeaveAfterTheSameStep) {
  StepTeam team(3, true);
  const std::vector<std::size_t> done = steps_done(team, 3, 100, true);
  EXPECT_EQ(done[0], 100U);
  EXPECT_LT(done[1], 100U);
  EXPECT_EQ(done[2], done[1]);
}

}  // namespace
}  // namespace sluice
