// SPDX-License-Identifier: Apache-2.0
#include "core/threads.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
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
void forget_other_calls() {
  std::this_thread::sleep_for(std::chrono::milliseconds(40));
  StarvedTeams::forget();
}

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

// What depends on time, once in many tries: this thread may be put to sleep at any place.
template <class Body>
bool happens(const Body& body) {
  for (int i = 0; i < 50; ++i) {
    if (body()) return true;
  }
  return false;
}

std::chrono::steady_clock::duration fear_of(std::int64_t took_ns) {
  const auto start = std::chrono::steady_clock::now();
  StarvedTeams::add(took_ns);
  while (StarvedTeams::are_to_be_feared()) continue;
  return std::chrono::steady_clock::now() - start;
}

TEST(StarvedTeams, KeepCallsOnTheirThreadsForAsLongAsTheLossWas) {
  forget_other_calls();
  const int processors = thread_limit(1000);
  if (processors < 2) GTEST_SKIP() << "one processor";
  EXPECT_TRUE(happens([&] {
    StarvedTeams::forget();
    StarvedTeams::add(5'000'000);
    return thread_limit(1000) == 1;
  }));
  forget_other_calls();
  EXPECT_EQ(thread_limit(1000), processors);
  EXPECT_GE(fear_of(5'000'000), std::chrono::milliseconds(5));
}

TEST(StarvedTeams, ThatFollowEachOtherCountTwiceAsLong) {
  EXPECT_TRUE(happens([] {
    StarvedTeams::forget();
    fear_of(10'000'000);
    return fear_of(1'000'000) >= std::chrono::milliseconds(20) &&
           fear_of(1'000'000) >= std::chrono::milliseconds(40);
  }));
  StarvedTeams::forget();
}

TEST(TeamWatch, WaitsInVainWhereOneWouldHaveBeenFaster) {
  EXPECT_TRUE(have_waited_in_vain(2, 60, 100));
  EXPECT_FALSE(have_waited_in_vain(2, 40, 100));
  EXPECT_TRUE(have_waited_in_vain(4, 230, 100));
  EXPECT_FALSE(have_waited_in_vain(4, 220, 100));
  EXPECT_FALSE(have_waited_in_vain(1, 100, 100));
  const auto sleep = [] { std::this_thread::sleep_for(std::chrono::milliseconds(5)); };
  TeamWatch starved(2);
  starved.end_thread();
  sleep();
  starved.end_thread();
  EXPECT_GE(starved.time_in_vain(), 5'000'000);
  EXPECT_TRUE(happens([&] {
    TeamWatch meeting(2);
    sleep();
    meeting.add_waiting(5'000'000);  // of which this thread was at work
    meeting.end_thread();
    meeting.end_thread();
    return meeting.time_in_vain() > 0;
  }));
  EXPECT_TRUE(happens([&] {
    TeamWatch even(2);
    sleep();
    even.end_thread();
    even.end_thread();
    return even.time_in_vain() == 0;
  }));
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
