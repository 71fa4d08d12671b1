// SPDX-License-Identifier: Apache-2.0
// How threads wait for each other that meet every few microseconds.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <thread>

#include "core/starved_teams.h"

namespace sluice {

/// Returns when is_done() does. Waits by spinning, since the others come within a microsecond or so; after a
/// bounded spin it yields the processor, so that more threads than processors, or a thread put to sleep, cost
/// time but cannot hang. Returns how long it waited that way, in ns: 0 where spinning was enough.
template <class Done>
std::int64_t spin_until(const Done& is_done) noexcept {
  // About 50 us: longer than a step that is split among threads, shorter than a time slice.
  constexpr int kSpins = 2000;
  for (int i = 0; i < kSpins; ++i) {
    if (is_done()) return 0;
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
  const std::int64_t start = steady_now_ns();
  while (!is_done()) std::this_thread::yield();
  return steady_now_ns() - start;
}

/// Threads that call `wait` go on when `size` of them have; what each wrote before, all see after.
class SpinBarrier {
 public:
  explicit SpinBarrier(std::size_t size = 1) noexcept : size_(static_cast<std::uint32_t>(size)) {}

  /// Returns what spin_until does.
  std::int64_t wait() noexcept {
    if (size_ == 1) return 0;
    const std::uint32_t round = round_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      return 0;
    }
    return spin_until([&] { return round_.load(std::memory_order_acquire) != round; });
  }

 private:
  // Apart, so that arriving threads do not disturb those that watch the round.
  alignas(64) std::atomic<std::uint32_t> arrived_{0};
  alignas(64) std::atomic<std::uint32_t> round_{0};
  std::uint32_t size_;
};

/// Threads that do each of many steps together and meet after it, perhaps more than once. A team of them can
/// part: where they wait for time slices rather than for each other's work, because others want the
/// processors too, the first goes on alone.
class StepTeam {
 public:
  StepTeam(std::size_t size, bool can_part) noexcept
      : barrier_(size), size_(size), can_part_(can_part && size > 1) {}

  /// At the beginning of step `step`, counted from 0: false once the first does the rest alone. The same
  /// answer for all of them.
  bool is_together(std::size_t step) const noexcept {
    return step < alone_from_.load(std::memory_order_relaxed);
  }

  /// In or at the end of step `step`.
  void meet(std::size_t step, bool is_first) noexcept {
    // Said before the meeting, the others know it when they begin the next step.
    if (is_first && can_part_ && waited_ns() > kPatienceNs &&
        have_waited_in_vain(size_, waited_ns(), steady_now_ns() - start_)) {
      alone_from_.store(step + 1, std::memory_order_relaxed);
    }
    const std::int64_t waited = barrier_.wait();
    if (waited > 0) waited_ns_.fetch_add(waited, std::memory_order_relaxed);
  }

  /// All of them together, beyond a bounded spin.
  std::int64_t waited_ns() const noexcept { return waited_ns_.load(std::memory_order_relaxed); }

 private:
  // More than an uneven split costs, less than a time slice.
  static constexpr std::int64_t kPatienceNs = 200'000;

  SpinBarrier barrier_;
  std::size_t size_;
  bool can_part_;
  std::int64_t start_ = steady_now_ns();
  std::atomic<std::int64_t> waited_ns_{0};
  std::atomic<std::size_t> alone_from_{std::numeric_limits<std::size_t>::max()};
};

/// Counts what one thread has done, for those that need it: what it wrote before `set(n)`, they see after
/// `wait_for(n)`.
class alignas(64) SpinCounter {
 public:
  void set(std::size_t count) noexcept { count_.store(count, std::memory_order_release); }
  /// Returns what spin_until does.
  std::int64_t wait_for(std::size_t count) const noexcept {
    return spin_until([&] { return count_.load(std::memory_order_acquire) >= count; });
  }

 private:
  std::atomic<std::size_t> count_{0};
};

}  // namespace sluice
