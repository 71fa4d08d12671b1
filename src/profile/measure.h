// SPDX-License-Identifier: Apache-2.0
// Runs a model again and again, and reads the profiler in between.
#pragma once

#include <functional>

#include "sluice/profile.h"

namespace sluice {

/// Fills in times, parts, threads, hardware counters and the trace of `run`, which counts into `profiler`.
/// Throws Error.
void measure(ProfileReport& report, Profiler& profiler, const std::function<void()>& run,
             const MeasureOptions& options);

template <class T>
constexpr const char* dtype_name() noexcept {
  return sizeof(T) == sizeof(float) ? "float32" : "float64";
}

}  // namespace sluice
