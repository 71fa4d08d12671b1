// SPDX-License-Identifier: Apache-2.0
// Where other programs want the processors too: a thread of a team that has none holds up all the others for
// a time slice, which is longer than most calls.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace sluice {

inline std::int64_t steady_now_ns() noexcept {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Whether `size` threads that were at it for `elapsed` ns, and of those waited `waited` for each other, all
/// together, would have done better as one. With one of n starved, the n - 1 others wait for a share f of the
/// time, and one alone needs n (1 - f) of it.
inline bool have_waited_in_vain(std::size_t size, std::int64_t waited, std::int64_t elapsed) noexcept {
  if (size < 2) return false;
  const auto n = static_cast<double>(size);
  return static_cast<double>(waited) > static_cast<double>(elapsed) * (n - 1) * (1 - 1 / n);
}

/// Remembers teams that waited in vain. After one, calls stay on their callers' threads for as long as it
/// took; for twice as long as the last time where that has hardly passed, up to 640 ms. So next to a busy
/// program a time slice is lost now and then and not at each call, and where a processor was away but once no
/// more than that.
class StarvedTeams {
 public:
  static bool are_to_be_feared() noexcept {
    const std::int64_t end = until().load(std::memory_order_relaxed);
    return end != 0 && steady_now_ns() < end;
  }
  static void add(std::int64_t took_ns) noexcept {
    const std::int64_t now = steady_now_ns(), end = until().load(std::memory_order_relaxed);
    if (now < end) return;  // that of a call beside this one
    const std::int64_t last = pause().load(std::memory_order_relaxed);
    const std::int64_t again = end != 0 && now - took_ns - end < last ? 2 * last : 0;
    const std::int64_t next = std::min(std::max(took_ns, again), kMostNs);
    pause().store(next, std::memory_order_relaxed);
    until().store(now + next, std::memory_order_relaxed);
  }
  static void forget() noexcept { until().store(0, std::memory_order_relaxed); }

 private:
  static constexpr std::int64_t kMostNs = 640'000'000;

  static std::atomic<std::int64_t>& until() noexcept {
    static std::atomic<std::int64_t> ns{0};
    return ns;
  }
  static std::atomic<std::int64_t>& pause() noexcept {
    static std::atomic<std::int64_t> ns{0};
    return ns;
  }
};

/// How long the threads of one call's team wait for each other, from its making on.
class TeamWatch {
 public:
  explicit TeamWatch(std::size_t size) noexcept : size_(size) {}

  /// By a thread that waited so long while it was at work, and by each when it is done.
  void add_waiting(std::int64_t ns) noexcept { waited_.fetch_add(ns, std::memory_order_relaxed); }
  void end_thread() noexcept { ends_.fetch_add(steady_now_ns() - start_, std::memory_order_relaxed); }

  /// When all are done: how long it took in ns if they waited in vain, otherwise 0.
  std::int64_t time_in_vain() const noexcept {
    const std::int64_t elapsed = steady_now_ns() - start_;
    const std::int64_t at_end =
        static_cast<std::int64_t>(size_) * elapsed - ends_.load(std::memory_order_relaxed);
    const std::int64_t waited = waited_.load(std::memory_order_relaxed) + at_end;
    return waited > kPatienceNs && have_waited_in_vain(size_, waited, elapsed) ? elapsed : 0;
  }

 private:
  // More than it takes to wake a thread, less than a time slice.
  static constexpr std::int64_t kPatienceNs = 1'000'000;

  std::size_t size_;
  std::int64_t start_ = steady_now_ns();
  std::atomic<std::int64_t> waited_{0}, ends_{0};
};

}  // namespace sluice
