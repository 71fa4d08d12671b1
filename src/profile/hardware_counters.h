// SPDX-License-Identifier: Apache-2.0
// Counters of the processor around a piece of work.
#pragma once

#include <functional>

#include "sluice/profile.h"

namespace sluice {

/// Counts what the threads that the program has now do in user mode while `work` runs.
HardwareCounts count_hardware(const std::function<void()>& work);

/// Cycles a second of the processor that runs this now: a chain of additions, each of which takes one.
double cycles_per_second();

}  // namespace sluice
