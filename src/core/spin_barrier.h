// SPDX-License-Identifier: Apache-2.0
// A barrier for threads that meet every few microseconds.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

namespace sluice {

/// Threads that call `wait` go on when `size` of them have; what each wrote before, all see after. Waits by
/// spinning, since the others come within a microsecond or so; after a bounded spin it yields the processor,
/// so that more threads than processors, or a thread put to sleep, cost time but cannot hang.
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
    // About 50 us: longer than a step that is split among threads, shorter than a time slice.
    constexpr int kSpins = 2000;
    for (int i = 0; i < kSpins; ++i) {
      if (round_.load(std::memory_order_acquire) != round) return;
      pause();
    }
    while (round_.load(std::memory_order_acquire) == round) std::this_thread::yield();
  }

 private:
  static void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  // Apart, so that arriving threads do not disturb those that watch the round.
  alignas(64) std::atomic<std::uint32_t> arrived_{0};
  alignas(64) std::atomic<std::uint32_t> round_{0};
  std::uint32_t size_;
};

}  // namespace sluice
