// SPDX-License-Identifier: Apache-2.0
// A profile of a model that a program runs by hand: of cells, convolutions, gates and functions of its own.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "sluice/cells.h"
#include "sluice/module.h"
#include "sluice/profile.h"

namespace sluice {

/// What a run has a part do, for its bound (at the speed of float32); what is 0 does not bound it.
struct PartWork {
  double flops = 0;  ///< multiplications and additions
  double bytes = 0;  ///< that are read, parameters included
  double sigmoids = 0, tanhs = 0;
};

/// Cuts a program's own runs into parts, and counts their time into a Profiler:
///
///   PartTimer timer(profiler);
///   const std::size_t conv = timer.add_part(conv_, length, 1), lstm = timer.add_part(lstm_cell_, 1);
///   ...
///   timer.begin_run();
///   conv_.forward_channels_last(...);
///   timer.end_part(conv);
///   lstm_cell_.step(...);
///   timer.end_part(lstm);
///   timer.end_run();
///
/// In ProfileTimes each part is a module; a cell's time is told by phase. begin_run(), end_part() and
/// end_run() take no memory, lock or system call, and some 10 ns each. One thread at a time; any may read the
/// Profiler. What runs between them may not count into the same Profiler. The Profiler, and the modules and
/// cells that were added, must outlive it.
class PartTimer {
 public:
  explicit PartTimer(Profiler& profiler);
  ~PartTimer();
  PartTimer(const PartTimer&) = delete;
  PartTimer& operator=(const PartTimer&) = delete;

  /// A part that comes next in reports, and its number for end_part(). Takes memory. Of a module: its run
  /// over `batch` rows of `steps` steps of `input_size` features; a cell takes one step of `batch` rows;
  /// anything else has a name, and may say what it does.
  template <class T>
  std::size_t add_part(const Module<T>& module, std::size_t steps, std::size_t batch, std::size_t input_size);
  template <class T>
  std::size_t add_part(const RNNCellBase<T>& cell, std::size_t batch);
  std::size_t add_part(const std::string& name, const PartWork& work = {});

  void begin_run() noexcept;
  /// All that has passed since the last end_part(), or begin_run(), was this part's. A part may come several
  /// times in a run, or not at all.
  void end_part(std::size_t part) noexcept;
  void end_run() noexcept;

  struct State;  ///< the library's own
  State& state() noexcept { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

/// As profile_model(), of a model that `run` runs once when called, with one begin_run() and end_run() of
/// `timer`. No gates are reported: where they are is not known. options.lengths count for nothing. Resets the
/// Profiler. Throws Error where `run` ends no run of the timer's.
ProfileReport profile_parts(PartTimer& timer, const std::function<void()>& run,
                            const MeasureOptions& options = {});

}  // namespace sluice
