// SPDX-License-Identifier: Apache-2.0
// Runs a model again and again, and reads the profiler in between.
#pragma once

#include <cstddef>
#include <functional>

#include "sluice/profile.h"

namespace sluice {

/// Fills in times, parts, threads, hardware counters and the trace of `run`, which counts into `profiler`.
/// Throws Error.
void measure(ProfileReport& report, Profiler& profiler, const std::function<void()>& run,
             const MeasureOptions& options);

/// How many runs make one measurement: short ones a millisecond of them, so that the clock and what stands
/// between measurements are little of it.
std::size_t runs_at_once(double seconds_of_run) noexcept;

template <class T>
constexpr const char* dtype_name() noexcept {
  return sizeof(T) == sizeof(float) ? "float32" : "float64";
}

}  // namespace sluice
