// SPDX-License-Identifier: Apache-2.0
#include "layers/walk_clock.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace sluice {
namespace {

// Meetings of longer steps are all timed.
constexpr double kLongStep = 5e-6;

// Ticks of a row's step without its products, all units, in buffers of its own: the least of some tries, so
// that what else the machine does is not in it.
template <class T>
double measure_gates(const PackedCell<T>& cell, std::size_t input_size, std::size_t rows) {
  constexpr int kTries = 5;
  constexpr double kSecondsOfTry = 20e-6;
  const Tensor<T> x({rows, input_size}), h({rows, cell.state_size()}), c({rows, cell.c_size()});
  Tensor<T> h_out({rows, cell.state_size()}), c_out({rows, cell.c_size()});
  Tensor<T> scratch({rows, cell.scratch_size()});
  StepRows<T> steps(cell, rows);
  for (std::size_t r = 0; r < rows; ++r) {
    kernels::Row<T> row;
    row.x = x.data() + r * x.dim(1);
    row.h = h.data() + r * h.dim(1);
    row.h_out = h_out.data() + r * h.dim(1);
    if (cell.c_size() > 0) {
      row.c = c.data() + r * c.dim(1);
      row.c_out = c_out.data() + r * c.dim(1);
    }
    steps.place(r, row, scratch.data() + r * scratch.dim(1));
  }
  const auto ticks_of = [&](std::uint64_t times) {
    const std::uint64_t begin = now_ticks();
    for (std::uint64_t i = 0; i < times; ++i) {
      for (std::size_t stage = 0; stage < cell.stages(); ++stage) cell.step_elementwise(stage, steps, rows);
    }
    return static_cast<double>(now_ticks() - begin);
  };
  ticks_of(2);  // into the caches
  const double one = std::max(ticks_of(1), 1.0);
  const auto times =
      static_cast<std::uint64_t>(std::clamp(kSecondsOfTry / seconds_per_tick() / one, 1.0, 1000.0));
  double least = std::numeric_limits<double>::max();
  for (int i = 0; i < kTries; ++i) least = std::min(least, ticks_of(times) / static_cast<double>(times));
  return least / static_cast<double>(rows);
}

}  // namespace

std::array<std::uint64_t, kPhases> CellSplit::add(const Steps& taken, UnitShare share,
                                                  std::uint64_t weight) const noexcept {
  const double gates = static_cast<double>(taken.rows) * gate_ticks / static_cast<double>(share.count) +
                       static_cast<double>(taken.mixing);
  const auto all = static_cast<double>(taken.ticks);
  const auto of_gates = static_cast<std::uint64_t>(std::min(gates, all));
  const auto of_input = static_cast<std::uint64_t>((all - static_cast<double>(of_gates)) * input_share);
  std::array<std::uint64_t, kPhases> ticks{};
  ticks[static_cast<std::size_t>(Phase::kGates)] = of_gates;
  ticks[static_cast<std::size_t>(Phase::kInput)] = of_input;
  ticks[static_cast<std::size_t>(Phase::kRecurrent)] = taken.ticks - of_gates - of_input;
  for (const Phase phase : {Phase::kInput, Phase::kRecurrent, Phase::kGates}) {
    counter->add(phase, ticks[static_cast<std::size_t>(phase)] * weight);
  }
  bump(counter->steps, taken.steps * weight);
  const std::uint64_t done = taken.rows * activations * weight;
  bump(counter->activations, done * (share.index + 1) / share.count - done * share.index / share.count);
  return ticks;
}

template <class T>
CellSplit split_step(ModuleCounter& module, const PackedCell<T>& cell, std::size_t layer,
                     std::size_t direction, std::size_t thread, std::size_t input_size, std::size_t rows,
                     bool is_ahead) {
  const std::uint64_t begin = now_ticks();
  GateTicks& gates = module.gates[{2 * layer + direction, std::bit_width(rows)}];
  if (rows > 0 && (gates.a_row == 0 || gates.multiply_adds != cell.multiply_adds())) {
    gates = {.a_row = measure_gates(cell, input_size, rows), .multiply_adds = cell.multiply_adds()};
  }
  const CellSplit split{.counter = &module.state.cell(module, layer, direction, thread),
                        .gate_ticks = gates.a_row,
                        .input_share = cell.input_share(is_ahead),
                        .activations = cell.activations()};
  module.state.excluded += now_ticks() - begin;
  return split;
}

void WalkClock::begin_worker() noexcept {
  has_trace_ = module_->state.has_trace();
  begin_ = last_ = now_ticks();
}

void WalkClock::end_worker() noexcept { module_->call_ticks[thread_] += last_ - begin_; }

void WalkClock::begin_walk(std::span<const CellSplit> cells, UnitShare share) noexcept {
  cells_ = cells;
  share_ = share;
  times_all_ = false;
  step_ = 0;
}

void WalkClock::set_share(UnitShare share) noexcept {
  end_steps();
  share_ = share;
}

void WalkClock::add(std::size_t index, Phase phase, std::uint64_t begin, std::uint64_t ticks) noexcept {
  cells_[index].counter->add(phase, ticks);
  if (has_trace_ && phase != Phase::kOther && ticks > 0) {
    module_->state.keep_span(*module_, cells_[index].counter, phase, step_, begin, ticks);
  }
}

void WalkClock::lap(Phase phase) noexcept {
  std::uint64_t begin = last_;
  last_ = now_ticks();
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    const std::uint64_t part = (last_ - begin) / (cells_.size() - i);
    add(i, phase, begin, part);
    begin += part;
  }
}

void WalkClock::lap(Phase phase, std::size_t index) noexcept {
  const std::uint64_t begin = last_;
  last_ = now_ticks();
  add(index, phase, begin, last_ - begin);
}

void WalkClock::end_steps() noexcept {
  if (steps_ == 0) return;
  std::uint64_t begin = last_;
  last_ = now_ticks();
  const std::uint64_t others = timed_steps_ == 0 ? 0 : meetings_ * (steps_ - 1) / timed_steps_;
  const std::uint64_t waiting = std::min(first_meetings_ + others, last_ - begin);
  const std::uint64_t work = last_ - begin - waiting;
  times_all_ = static_cast<double>(work) * seconds_per_tick() > kLongStep * static_cast<double>(steps_);
  const std::uint64_t work_end = begin + work;
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    const std::uint64_t end = begin + (work_end - begin) / (cells_.size() - i);
    const CellSplit::Steps taken{
        .steps = steps_, .rows = rows_, .ticks = end - begin, .mixing = mixing_ / cells_.size()};
    const std::array<std::uint64_t, kPhases> ticks = cells_[i].add(taken, share_);
    for (std::size_t phase = 0; has_trace_ && phase < kPhases; ++phase) {
      if (ticks[phase] == 0) continue;
      module_->state.keep_span(*module_, cells_[i].counter, static_cast<Phase>(phase), step_, begin,
                               ticks[phase]);
      begin += ticks[phase];
    }
    begin = end;
  }
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    const std::uint64_t part = (last_ - begin) / (cells_.size() - i);
    add(i, Phase::kWaiting, begin, part);
    begin += part;
  }
  step_ += steps_;
  steps_ = rows_ = timed_steps_ = 0;
  first_meetings_ = meetings_ = mixing_ = 0;
}

template CellSplit split_step(ModuleCounter&, const PackedCell<float>&, std::size_t, std::size_t, std::size_t,
                              std::size_t, std::size_t, bool);
template CellSplit split_step(ModuleCounter&, const PackedCell<double>&, std::size_t, std::size_t,
                              std::size_t, std::size_t, std::size_t, bool);

}  // namespace sluice
