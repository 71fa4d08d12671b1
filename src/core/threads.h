// SPDX-License-Identifier: Apache-2.0
// How many threads a call may use, and the one way in which work is shared among them.
#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstddef>

namespace sluice {

/// Says, while it lives, that a call uses `count` threads. Calls from several threads of the program's share
/// the processors that way: teams of two that both want two processors would wait for each other's time
/// slices.
class BusyThreads {
 public:
  explicit BusyThreads(std::size_t count) noexcept : count_(static_cast<int>(count)) {
    counter().fetch_add(count_, std::memory_order_relaxed);
  }
  ~BusyThreads() { counter().fetch_sub(count_, std::memory_order_relaxed); }
  BusyThreads(const BusyThreads&) = delete;
  BusyThreads& operator=(const BusyThreads&) = delete;

  /// Of all calls that are under way.
  static int total() noexcept { return counter().load(std::memory_order_relaxed); }

 private:
  static std::atomic<int>& counter() noexcept {
    static std::atomic<int> total{0};
    return total;
  }

  int count_;
};

/// Threads that a call may use: at most `requested` (0: what OpenMP would take, OMP_NUM_THREADS), never more
/// than there are processors that no other call uses, and one inside somebody else's parallel region, so that
/// teams never nest.
inline int thread_limit(int requested) noexcept {
  if (requested == 1 || omp_in_parallel()) return 1;  // a call for one thread asks OpenMP nothing
  const int most =
      std::min(requested > 0 ? requested : omp_get_max_threads(), omp_get_num_procs() - BusyThreads::total());
  return std::max(most, 1);
}

/// The part of parallel_ranges that enters OpenMP. Apart and never inlined: clang asks its OpenMP for the
/// thread's number where a function with a parallel region begins, and the first such call takes memory.
template <class Body>
[[gnu::noinline]] void run_ranges_in_team(std::size_t n, std::size_t ranges, const Body& body) {
  const BusyThreads busy(ranges);
#pragma omp parallel for schedule(static, 1) num_threads(static_cast <int>(ranges))
  for (std::size_t i = 0; i < ranges; ++i) body(n * i / ranges, n * (i + 1) / ranges);
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
