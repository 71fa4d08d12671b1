// SPDX-License-Identifier: Apache-2.0
// How many threads a call may use, and the one way in which work is shared among them.
#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/starved_teams.h"

namespace sluice {

/// Says, while it lives, that a call uses `count` threads. Calls from several threads of the program's share
/// the processors that way: teams of two that both want two processors would wait for each other's time
/// slices.
class BusyThreads {
 public:
  explicit BusyThreads(std::size_t count) noexcept : here_(kCall + static_cast<std::int64_t>(count)) {
    const std::int64_t calls = (state().fetch_add(here_, std::memory_order_relaxed) + here_) / kCall;
    if (calls > 1) note_meeting(calls);
  }
  ~BusyThreads() { state().fetch_sub(here_, std::memory_order_relaxed); }
  BusyThreads(const BusyThreads&) = delete;
  BusyThreads& operator=(const BusyThreads&) = delete;

  /// Of all calls that are under way.
  static int total() noexcept { return static_cast<int>(state().load(std::memory_order_relaxed) % kCall); }
  /// The most calls that were under way at once in the last 20 ms or so; at least 1. One that begins while
  /// the others happen to be between two calls had better leave them their processors.
  static int callers() noexcept {
    const std::int64_t calls = met().load(std::memory_order_relaxed);
    if (calls <= 1) return 1;
    if (steady_now_ns() - met_at().load(std::memory_order_relaxed) < kMemoryNs)
      return static_cast<int>(calls);
    met().store(1, std::memory_order_relaxed);
    return 1;
  }

 private:
  static constexpr std::int64_t kCall = std::int64_t{1} << 32;
  static constexpr std::int64_t kMemoryNs = 20'000'000;

  static void note_meeting(std::int64_t calls) noexcept {
    if (calls < callers()) return;
    met().store(calls, std::memory_order_relaxed);
    met_at().store(steady_now_ns(), std::memory_order_relaxed);
  }
  // kCall for each call, and its threads.
  static std::atomic<std::int64_t>& state() noexcept {
    static std::atomic<std::int64_t> state{0};
    return state;
  }
  static std::atomic<std::int64_t>& met() noexcept {
    static std::atomic<std::int64_t> calls{1};
    return calls;
  }
  static std::atomic<std::int64_t>& met_at() noexcept {
    static std::atomic<std::int64_t> at{0};
    return at;
  }

  std::int64_t here_;
};

/// What a call asks for: `requested` (0: what OpenMP would take, OMP_NUM_THREADS).
inline int threads_asked_for(int requested) noexcept {
  return requested > 0 ? requested : omp_get_max_threads();
}

/// Threads that a call may have at most: what it asks for, and no more than there are processors.
inline int most_threads(int requested) noexcept {
  return std::max(std::min(threads_asked_for(requested), omp_get_num_procs()), 1);
}

/// Threads that a call may use now: of most_threads(requested) never more than there are processors that no
/// other call uses, nor than its share of them where calls have met of late; one where teams have waited in
/// vain of late, and one inside somebody else's parallel region, so that teams never nest.
inline int thread_limit(int requested) noexcept {
  if (requested == 1) return 1;  // a call for one thread asks OpenMP nothing
  if (omp_in_parallel() || StarvedTeams::are_to_be_feared()) return 1;
  const int processors = omp_get_num_procs();  // once: GNU's OpenMP makes a system call of it
  const int most = std::min(
      {threads_asked_for(requested), processors - BusyThreads::total(), processors / BusyThreads::callers()});
  return std::max(most, 1);
}

/// The part of parallel_ranges that enters OpenMP. Apart and never inlined: clang asks its OpenMP for the
/// thread's number where a function with a parallel region begins, and the first such call takes memory.
template <class Body>
[[gnu::noinline]] void run_ranges_in_team(std::size_t n, std::size_t ranges, const Body& body) {
  const BusyThreads busy(ranges);
  TeamWatch watch(ranges);
#pragma omp parallel for schedule(static, 1) num_threads(static_cast <int>(ranges))
  for (std::size_t i = 0; i < ranges; ++i) {
    body(n * i / ranges, n * (i + 1) / ranges);
    watch.end_thread();
  }
  const std::int64_t took = watch.time_in_vain();
  if (took > 0) StarvedTeams::add(took);
}

/// Calls body(begin, end) over [0, n) in contiguous ranges, one a thread, each of at least `grain` items.
/// With one range the caller's thread does it all, and OpenMP is not entered. `body` must not throw.
template <class Body>
void parallel_ranges(std::size_t n, std::size_t grain, int threads, const Body& body) {
  // A small job does not even ask how many processors there are: GNU's OpenMP makes a system call of that.
  std::size_t ranges = n / std::max<std::size_t>(grain, 1);
  if (ranges > 1) ranges = std::min(ranges, static_cast<std::size_t>(thread_limit(threads)));
  if (ranges > 1) {
    run_ranges_in_team(n, ranges, body);
  } else if (n > 0) {
    body(std::size_t{0}, n);
  }
}

}  // namespace sluice
