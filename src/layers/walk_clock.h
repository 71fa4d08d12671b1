// SPDX-License-Identifier: Apache-2.0
// Where a thread's time goes while it walks through a layer, for a Profiler.
//
// Kernels make products, gates and states in one go, so no clock can stand between them. What is timed is
// whole steps, some at a time; what they would take without their products is measured apart, once for a cell
// and about so many rows (split_step), and the rest is the products', shared between input and state by their
// multiply-adds. Of what stands around the kernels, the moving on of pointers counts to the steps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/profiler.h"
#include "layers/packed_cell.h"
#include "layers/unit_share.h"

namespace sluice {

/// One thread's counter of a cell, and how to share out the time of its steps.
struct CellSplit {
  CellCounter* counter = nullptr;
  double gate_ticks = 0;        // of a row's step, all units
  double input_share = 0;       // of the products in a step
  std::size_t activations = 0;  // of a row's step, all units

  /// `ticks` of `steps` steps, of `rows` rows together, of this share of the units.
  struct Steps {
    std::uint64_t steps = 0, rows = 0, ticks = 0;
    std::uint64_t mixing = 0;  // of the ticks, surely elementwise
  };
  /// Returns the ticks by phase; `weight`: so many times.
  std::array<std::uint64_t, kPhases> add(const Steps& taken, UnitShare share,
                                         std::uint64_t weight = 1) const noexcept;
};

/// Measures, at first sight of the cell with about so many rows: time that counts as the profiler's own.
template <class T>
CellSplit split_step(ModuleCounter& module, const PackedCell<T>& cell, std::size_t layer,
                     std::size_t direction, std::size_t thread, std::size_t input_size, std::size_t rows,
                     bool is_ahead);

/// Of one worker of a call. Every tick from begin_worker() to end_worker() goes to a cell.
class WalkClock {
 public:
  WalkClock() = default;  // off
  WalkClock(ModuleCounter* module, std::size_t thread) noexcept : module_(module), thread_(thread) {}
  bool is_on() const noexcept { return module_ != nullptr; }

  void begin_worker() noexcept;
  void end_worker() noexcept;
  /// The directions that go on together from here on, and the share of their units.
  void begin_walk(std::span<const CellSplit> cells, UnitShare share) noexcept;
  void set_share(UnitShare share) noexcept;

  /// What has passed since the last lap belongs to `phase`; of the direction `index` alone, or of all.
  void lap(Phase phase) noexcept;
  void lap(Phase phase, std::size_t index) noexcept;

  /// A step of `rows` rows is over.
  void count_step(std::size_t rows) noexcept {
    if (steps_ > 0 && times_meetings()) ++timed_steps_;
    ++steps_;
    rows_ += rows;
    if (steps_ == kStepsOfLap || has_trace_) end_steps();
  }
  /// The steps since the last lap.
  void end_steps() noexcept;
  /// Whether this step's meetings are to be timed: the first one's after a lap, which may be longer, and
  /// those of some others, which stand for the rest; of long steps all.
  bool times_meetings() const noexcept {
    return steps_ == 0 || times_all_ || steps_ % kTimedMeetings == kTimedMeetings / 2;
  }
  void met(std::uint64_t ticks) noexcept { (steps_ == 0 ? first_meetings_ : meetings_) += ticks; }
  void mixed(std::uint64_t ticks) noexcept { mixing_ += ticks; }

 private:
  static constexpr std::size_t kStepsOfLap = 32;
  static constexpr std::size_t kTimedMeetings = 8;

  void add(std::size_t index, Phase phase, std::uint64_t begin, std::uint64_t ticks) noexcept;

  ModuleCounter* module_ = nullptr;
  std::size_t thread_ = 0;
  std::span<const CellSplit> cells_;
  UnitShare share_;
  bool has_trace_ = false, times_all_ = false;
  std::uint64_t begin_ = 0, last_ = 0;
  std::uint64_t steps_ = 0, rows_ = 0, timed_steps_ = 0;
  std::uint64_t first_meetings_ = 0, meetings_ = 0, mixing_ = 0;
  std::size_t step_ = 0;  // of the walk
};

}  // namespace sluice
