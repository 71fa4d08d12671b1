// SPDX-License-Identifier: Apache-2.0
// How threads wait for each other that meet every few microseconds.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

namespace sluice {

/// Returns when is_done() does. Waits by spinning, since the others come within a microsecond or so; after a
/// bounded spin it yields the processor, so that more threads than processors, or a thread put to sleep, cost
/// time but cannot hang.
template <class Done>
void spin_until(const Done& is_done) noexcept {
  // About 50 us: longer than a step that is split among threads, shorter than a time slice.
  constexpr int kSpins = 2000;
  for (int i = 0; i < kSpins; ++i) {
    if (is_done()) return;
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
  while (!is_done()) std::this_thread::yield();
}

/// Threads that call `wait` go on when `size` of them have; what each wrote before, all see after.
class SpinBarrier {
 public:
  explicit SpinBarrier(std::size_t size = 1) noexcept : size_(static_cast<std::uint32_t>(size)) {}

  void wait() noexcept {
    if (size_ == 1) return;
    const std::uint32_t round = round_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      return;
    }
    spin_until([&] { return round_.load(std::memory_order_acquire) != round; });
  }

 private:
  // Apart, so that arriving threads do not disturb those that watch the round.
  alignas(64) std::atomic<std::uint32_t> arrived_{0};
  alignas(64) std::atomic<std::uint32_t> round_{0};
  std::uint32_t size_;
};

/// Counts what one thread has done, for those that need it: what it wrote before `set(n)`, they see after
/// `wait_for(n)`.
class alignas(64) SpinCounter {
 public:
  void set(std::size_t count) noexcept { count_.store(count, std::memory_order_release); }
  void wait_for(std::size_t count) const noexcept {
    spin_until([&] { return count_.load(std::memory_order_acquire) >= count; });
  }

 private:
  std::atomic<std::size_t> count_{0};
};

}  // namespace sluice
