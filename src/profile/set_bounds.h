// SPDX-License-Identifier: Apache-2.0
// The bounds of a measured report.
#pragma once

#include "sluice/module.h"
#include "sluice/profile.h"

namespace sluice {

/// Gives a report of measure_runs(module, ...) its machine, and the bound of each part and of the whole.
/// Where rows have lengths (valid_share below 1) it is that of steps with the mean number of rows, which is
/// no more than that of the steps themselves.
template <class T>
void set_bounds(ProfileReport& report, const Module<T>& module, const MachineLimits& machine);

}  // namespace sluice
