// SPDX-License-Identifier: Apache-2.0
// What a Profiler counts into, and the clocks that count.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "sluice/module.h"
#include "sluice/profile.h"

namespace sluice {

/// The cheapest clock that there is: the processor's counter of time, which takes a third of steady_clock's
/// time to read.
inline std::uint64_t now_ticks() noexcept {
#if defined(__x86_64__)
  return __rdtsc();
#elif defined(__aarch64__)
  std::uint64_t ticks;
  asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#else
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}
/// Measured against steady_clock at the first call, which takes a millisecond.
double seconds_per_tick() noexcept;

/// Adds to a counter that one thread at a time writes and any reads.
inline void bump(std::atomic<std::uint64_t>& counter, std::uint64_t by) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

/// One thread's part of one direction of one layer.
struct alignas(64) CellCounter {
  CellCounter(std::size_t of_layer, std::size_t of_direction, std::size_t of_thread) noexcept
      : layer(of_layer), direction(of_direction), thread(of_thread) {}
  void add(Phase phase, std::uint64_t n) noexcept { bump(ticks[static_cast<std::size_t>(phase)], n); }

  std::size_t layer, direction, thread;
  std::atomic<std::uint64_t> steps{0}, activations{0};
  std::array<std::atomic<std::uint64_t>, kPhases> ticks{};
};

/// The time of a cell's elementwise part, measured; of a cell with so many multiply-adds, since another may
/// come to stand at the same address.
struct GateTicks {
  double a_row = 0;
  double multiply_adds = 0;
};

struct ModuleCounter {
  ModuleCounter(Profiler::State& of, const void* at, std::string_view of_type, std::string its_prefix)
      : state(of), module(at), type(of_type), prefix(std::move(its_prefix)) {}

  Profiler::State& state;
  const void* module;
  std::string type, prefix;
  bool is_always_listed = false;  // also without time
  std::atomic<std::uint64_t> ticks{0};
  std::atomic<std::uint64_t> thread_ticks{0};  // of all threads that a call had
  std::deque<CellCounter> cells;
  /// Of the call under way: what each thread has counted into its cells.
  std::vector<std::uint64_t> call_ticks;
  /// By cell (layer and direction) and the bit width of the number of rows.
  std::map<std::pair<std::size_t, std::size_t>, GateTicks> gates;
};

struct Profiler::State {
  /// What the trace keeps. Written by one thread, then said to be done.
  struct Span {
    const ModuleCounter* module = nullptr;
    const CellCounter* cell = nullptr;  // or null: the whole module
    Phase phase = Phase::kOther;
    std::size_t step = 0;
    std::uint64_t begin = 0, ticks = 0;
    std::atomic<bool> is_done{false};
  };

  /// The counter of a module, or null. Only the thread that counts may call this and what follows.
  ModuleCounter* find(const void* module, std::string_view type) noexcept;
  ModuleCounter& add_module(const void* module, std::string_view type, std::string prefix);
  CellCounter& cell(ModuleCounter& module, std::size_t layer, std::size_t direction, std::size_t thread);
  /// A module's part of a call, or of `weight` steps of a stream, is over. What its threads have not counted
  /// is overhead of the call's own, and waiting of the others.
  void finish(ModuleCounter& module, std::uint64_t begin, std::uint64_t elapsed,
              std::uint64_t weight = 1) noexcept;

  bool has_trace() const noexcept { return max_spans > 0; }
  void keep_span(const ModuleCounter& module, const CellCounter* cell, Phase phase, std::size_t step,
                 std::uint64_t begin, std::uint64_t ticks) noexcept;

  /// A stream's step begins: whether it is timed. Short ones are in part, and then stand for all since the
  /// one before that was: two looks at the clock would be 5 % of a step of 400 ns. Which ones is drawn, since
  /// work may come in turns (a convolution with a stride).
  bool begin_step() noexcept {
    const std::uint64_t step = stream_steps.load(std::memory_order_relaxed) + 1;
    stream_steps.store(step, std::memory_order_relaxed);
    if (step < next_timed) return false;
    weight = step - last_timed;
    last_timed = step;
    step_begin = now_ticks();
    return true;
  }
  void end_step(std::uint64_t end) noexcept;

  // Taken where lists grow, and to read them from another thread.
  mutable std::mutex mutex;
  std::deque<ModuleCounter> modules;
  std::atomic<std::uint64_t> calls{0}, stream_steps{0}, counted_steps{0}, ticks{0};

  // Of the thread that counts.
  bool is_running = false;           // a call is under way, or a stream is being attached
  ModuleCounter* current = nullptr;  // the module of it
  std::uint64_t excluded = 0;        // ticks that were the profiler's own
  std::uint64_t weight = 0;          // of the step that is timed, or 0
  std::uint64_t next_timed = 1, last_timed = 0, step_begin = 0;
  std::uint64_t random = 1;  // how far it is to the next step that is timed

  std::unique_ptr<Span[]> spans;
  std::size_t max_spans = 0;
  std::atomic<std::size_t> next_span{0};
  std::uint64_t trace_begin = 0;
};

/// Times a call, from its making to its end, unless it is part of one that is timed already. Nothing where
/// there is no profiler.
class RunClock {
 public:
  explicit RunClock(Profiler* profiler) noexcept;
  ~RunClock();
  RunClock(const RunClock&) = delete;
  RunClock& operator=(const RunClock&) = delete;

 private:
  Profiler::State* state_ = nullptr;
  std::uint64_t excluded_ = 0, begin_ = 0;
};

/// "rnn" of "rnn.weight_ih_l0".
std::string prefix_of(const std::vector<ParameterInfo>& parameters);

/// The counter of a module, made at first sight.
template <class M>
ModuleCounter& counter_of(Profiler::State& state, const M& module, std::string_view type) {
  ModuleCounter* const counter = state.find(&module, type);
  return counter != nullptr ? *counter : state.add_module(&module, type, prefix_of(module.parameters()));
}

/// Times a module's part of a call likewise: the outermost one counts.
class ModuleClock {
 public:
  template <class M>
  ModuleClock(Profiler* profiler, const M& module, std::string_view type) {
    if (profiler == nullptr) return;
    counter_ = profiler->state().current;
    if (counter_ != nullptr) return;
    counter_ = &counter_of(profiler->state(), module, type);
    begin();
  }
  ~ModuleClock();
  ModuleClock(const ModuleClock&) = delete;
  ModuleClock& operator=(const ModuleClock&) = delete;

  /// Where the module counts, or null.
  ModuleCounter* counter() const noexcept { return counter_; }

 private:
  void begin() noexcept;

  ModuleCounter* counter_ = nullptr;
  bool is_outermost_ = false;
  std::uint64_t excluded_ = 0, begin_ = 0;
};

}  // namespace sluice
