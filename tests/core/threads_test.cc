// SPDX-License-Identifier: Apache-2.0
#include "core/threads.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace sluice {
namespace {

TEST(ThreadLimit, IsAtLeastOneAndAtMostTheProcessors) {
  for (const int requested : {0, 1, 2, 1000}) {
    EXPECT_GE(thread_limit(requested), 1);
    EXPECT_LE(thread_limit(requested), omp_get_num_procs());
  }
  EXPECT_EQ(thread_limit(1), 1);
}

// Longer than calls that met are remembered.
void forget_other_calls() { std::this_thread::sleep_for(std::chrono::milliseconds(40)); }

TEST(ThreadLimit, LeavesProcessorsToOtherCalls) {
  forget_other_calls();
  const int processors = thread_limit(1000);
  if (processors < 2) GTEST_SKIP() << "one processor";
  const BusyThreads other(1);
  EXPECT_EQ(thread_limit(1000), processors - 1);
  const BusyThreads many(1000);
  EXPECT_EQ(thread_limit(1000), 1);
}

TEST(ThreadLimit, IsAShareOfTheProcessorsWhereCallsHaveMetOfLate) {
  forget_other_calls();
  const int processors = thread_limit(1000);
  if (processors < 2) GTEST_SKIP() << "one processor";
  // More than once, since this thread may be put to sleep for longer than calls are remembered.
  int limit = processors;
  for (int attempt = 0; attempt < 50 && limit == processors; ++attempt) {
    {
      const BusyThreads first(1);
      const BusyThreads second(1);
    }
    limit = thread_limit(1000);
  }
  EXPECT_EQ(limit, processors / 2);
  EXPECT_EQ(BusyThreads::total(), 0);
  forget_other_calls();
  EXPECT_EQ(BusyThreads::callers(), 1);
  EXPECT_EQ(thread_limit(1000), processors);
}

TEST(ThreadLimit, IsOneInSomebodysParallelRegion) {
#pragma omp parallel num_threads(2)
  {
    if (omp_get_num_threads() == 2) {
      EXPECT_EQ(thread_limit(0), 1);
    }
  }
}

TEST(ParallelRanges, CountAsBusyWhileTheyRun) {
  forget_other_calls();
  if (thread_limit(2) < 2) GTEST_SKIP() << "one processor";
  int most = 0;
  parallel_ranges(2, 1, 2, [&](std::size_t begin, std::size_t) {
    if (begin == 0) most = BusyThreads::total();
  });
  EXPECT_EQ(most, 2);
  EXPECT_EQ(BusyThreads::total(), 0);
}

}  // namespace
}  // namespace sluice
