// SPDX-License-Identifier: Apache-2.0
#include "core/profiler.h"

#include <algorithm>
#include <cmath>

namespace sluice {
namespace {

// Shorter steps of a stream are timed one in 16: the next after 1 to 31.
constexpr double kShortStep = 5e-6;
constexpr std::uint64_t kMostStepsBetween = 31;

std::string cell_name(const ModuleCounter& module, const CellCounter* cell) {
  std::string name = module.prefix.empty() ? module.type : module.prefix;
  if (cell == nullptr) return name;
  return name + " l" + std::to_string(cell->layer) + (cell->direction == 1 ? " reverse" : "");
}

}  // namespace

double seconds_per_tick() noexcept {
  static const double seconds = [] {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    const std::uint64_t begin = now_ticks();
    // Two looks at a clock err by 100 ns at most: 1e-4 of this.
    while (Clock::now() - start < std::chrono::milliseconds(1)) continue;
    const std::uint64_t ticks = now_ticks() - begin;
    return std::chrono::duration<double>(Clock::now() - start).count() / static_cast<double>(ticks);
  }();
  return seconds;
}

std::string_view phase_name(Phase phase) noexcept {
  switch (phase) {
    case Phase::kInput:
      return "input";
    case Phase::kRecurrent:
      return "recurrent";
    case Phase::kGates:
      return "gates";
    case Phase::kWaiting:
      return "waiting";
    case Phase::kOther:
      break;
  }
  return "other";
}

std::string prefix_of(const std::vector<ParameterInfo>& parameters) {
  if (parameters.empty()) return {};
  const std::string& name = parameters.front().name;
  const std::size_t dot = name.rfind('.');
  return dot == std::string::npos ? std::string() : name.substr(0, dot);
}

ModuleCounter* Profiler::State::find(const void* module, std::string_view type) noexcept {
  for (ModuleCounter& counter : modules) {
    if (counter.module == module && counter.type == type) return &counter;
  }
  return nullptr;
}

ModuleCounter& Profiler::State::add_module(const void* module, std::string_view type, std::string prefix) {
  const std::lock_guard lock(mutex);
  return modules.emplace_back(*this, module, type, std::move(prefix));
}

CellCounter& Profiler::State::cell(ModuleCounter& module, std::size_t layer, std::size_t direction,
                                   std::size_t thread) {
  for (CellCounter& cell : module.cells) {
    if (cell.layer == layer && cell.direction == direction && cell.thread == thread) return cell;
  }
  const std::lock_guard lock(mutex);
  return module.cells.emplace_back(layer, direction, thread);
}

void Profiler::State::finish(ModuleCounter& module, std::uint64_t begin, std::uint64_t elapsed,
                             std::uint64_t of_weight) noexcept {
  // At least one, as read() leaves out modules without time: a clock may be too coarse for a small one.
  const std::uint64_t weighted = std::max<std::uint64_t>(elapsed * of_weight, 1);
  bump(module.ticks, weighted);
  bump(module.thread_ticks, weighted * std::max<std::size_t>(module.call_ticks.size(), 1));
  if (module.call_ticks.empty() && has_trace()) {
    keep_span(module, nullptr, Phase::kOther, 0, begin, elapsed);
  }
  for (std::size_t thread = 0; thread < module.call_ticks.size(); ++thread) {
    const std::uint64_t rest = elapsed - std::min(elapsed, module.call_ticks[thread]);
    for (CellCounter& cell : module.cells) {
      if (cell.thread != thread) continue;
      cell.add(thread == 0 ? Phase::kOther : Phase::kWaiting, rest * of_weight);
      break;
    }
  }
}

void Profiler::State::keep_span(const ModuleCounter& module, const CellCounter* cell, Phase phase,
                                std::size_t step, std::uint64_t begin, std::uint64_t span_ticks) noexcept {
  // So that the counter cannot run over.
  if (next_span.load(std::memory_order_relaxed) >= max_spans) return;
  const std::size_t i = next_span.fetch_add(1, std::memory_order_relaxed);
  if (i >= max_spans) return;
  Span& span = spans[i];
  span.module = &module;
  span.cell = cell;
  span.phase = phase;
  span.step = step;
  span.begin = begin;
  span.ticks = span_ticks;
  span.is_done.store(true, std::memory_order_release);
}

void Profiler::State::end_step(std::uint64_t end) noexcept {
  const std::uint64_t took = end - step_begin;
  bump(ticks, took * weight);
  bump(counted_steps, weight);
  const bool is_short = static_cast<double>(took) * seconds_per_tick() < kShortStep && !has_trace();
  // A linear congruential generator (Knuth's MMIX), of which the high bits are good.
  random = random * 6364136223846793005U + 1442695040888963407U;
  next_timed = last_timed + (is_short ? 1 + (random >> 33) % kMostStepsBetween : 1);
  weight = 0;
}

Profiler::Profiler() : state_(std::make_unique<State>()) {
  seconds_per_tick();  // not in the first step
}
Profiler::~Profiler() = default;

ProfileTimes Profiler::read() const {
  const State& state = *state_;
  const auto value = [](const std::atomic<std::uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  ProfileTimes times;
  const std::uint64_t calls = value(state.calls);
  const std::uint64_t counted = calls + value(state.counted_steps);
  times.runs = calls + value(state.stream_steps);
  // Steps of a stream since the last that was timed are taken to be like those before.
  const double all = counted == 0 ? 1 : static_cast<double>(times.runs) / static_cast<double>(counted);
  const auto whole = [&](const std::atomic<std::uint64_t>& counter) {
    return static_cast<std::uint64_t>(std::llround(all * static_cast<double>(value(counter))));
  };
  const auto seconds = [&](const std::atomic<std::uint64_t>& counter) {
    return all * static_cast<double>(value(counter)) * seconds_per_tick();
  };
  times.seconds = seconds(state.ticks);
  const std::lock_guard lock(state.mutex);
  for (const ModuleCounter& module : state.modules) {
    ModuleTimes of{.type = module.type,
                   .prefix = module.prefix,
                   .seconds = seconds(module.ticks),
                   .thread_seconds = seconds(module.thread_ticks),
                   .cells{}};
    for (const CellCounter& cell : module.cells) {
      CellTimes one{.layer = cell.layer,
                    .direction = cell.direction,
                    .thread = cell.thread,
                    .steps = whole(cell.steps),
                    .activations = whole(cell.activations)};
      bool has_any = one.steps > 0;
      for (std::size_t phase = 0; phase < kPhases; ++phase) {
        one.seconds[phase] = seconds(cell.ticks[phase]);
        has_any = has_any || one.seconds[phase] > 0;
      }
      if (has_any) of.cells.push_back(one);
    }
    if (module.is_always_listed || of.seconds > 0 || !of.cells.empty())
      times.modules.push_back(std::move(of));
  }
  return times;
}

void Profiler::reset() noexcept {
  State& state = *state_;
  const auto clear = [](std::atomic<std::uint64_t>& counter) { counter.store(0, std::memory_order_relaxed); };
  for (auto* counter : {&state.calls, &state.stream_steps, &state.counted_steps, &state.ticks}) {
    clear(*counter);
  }
  state.next_timed = 1;
  state.last_timed = 0;
  for (ModuleCounter& module : state.modules) {
    clear(module.ticks);
    clear(module.thread_ticks);
    for (CellCounter& cell : module.cells) {
      clear(cell.steps);
      clear(cell.activations);
      for (auto& phase : cell.ticks) clear(phase);
    }
  }
}

void Profiler::enable_trace(std::size_t max_spans) {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  state.spans = max_spans == 0 ? nullptr : std::make_unique<State::Span[]>(max_spans);
  state.max_spans = max_spans;
  state.next_span.store(0, std::memory_order_relaxed);
  state.next_timed = 1;
  state.trace_begin = now_ticks();
}

std::vector<TraceSpan> Profiler::trace() const {
  const State& state = *state_;
  const std::lock_guard lock(state.mutex);
  std::vector<TraceSpan> trace;
  const std::size_t count = std::min(state.next_span.load(std::memory_order_relaxed), state.max_spans);
  for (std::size_t i = 0; i < count; ++i) {
    const State::Span& span = state.spans[i];
    if (!span.is_done.load(std::memory_order_acquire)) continue;
    std::string name = cell_name(*span.module, span.cell);
    if (span.cell != nullptr) name.append(" ").append(phase_name(span.phase));
    trace.push_back({.name = std::move(name),
                     .thread = span.cell == nullptr ? 0 : span.cell->thread,
                     .begin = static_cast<double>(span.begin - state.trace_begin) * seconds_per_tick(),
                     .seconds = static_cast<double>(span.ticks) * seconds_per_tick(),
                     .step = span.step});
  }
  return trace;
}

RunClock::RunClock(Profiler* profiler) noexcept {
  if (profiler == nullptr || profiler->state().is_running) return;
  state_ = &profiler->state();
  state_->is_running = true;
  excluded_ = state_->excluded;
  begin_ = now_ticks();
}

RunClock::~RunClock() {
  if (state_ == nullptr) return;
  bump(state_->ticks, now_ticks() - begin_ - (state_->excluded - excluded_));
  bump(state_->calls, 1);
  state_->is_running = false;
}

void ModuleClock::begin() noexcept {
  is_outermost_ = true;
  counter_->state.current = counter_;
  counter_->call_ticks.clear();
  excluded_ = counter_->state.excluded;
  begin_ = now_ticks();
}

ModuleClock::~ModuleClock() {
  if (!is_outermost_) return;
  Profiler::State& state = counter_->state;
  state.finish(*counter_, begin_, now_ticks() - begin_ - (state.excluded - excluded_));
  state.current = nullptr;
}

}  // namespace sluice
