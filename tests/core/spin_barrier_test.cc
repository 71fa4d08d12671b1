// SPDX-License-Identifier: Apache-2.0
#include "core/spin_barrier.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace sluice
