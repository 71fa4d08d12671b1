// SPDX-License-Identifier: Apache-2.0
// The bounds of a measured report.
#pragma once

#include <functional>
#include <vector>

#include "profile/bounds.h"
#include "sluice/module.h"
#include "sluice/profile.h"

namespace sluice {

/// The bounds of a report's parts, in their order, on a machine.
using PartBounds = std::function<std::vector<ModuleBound>(const MachineLimits&)>;

/// Gives a measured report its machine, and the bound of each part and of the whole.
void set_bounds(ProfileReport& report, const PartBounds& bounds, const MachineLimits& machine);
/// On this machine as machine_limits(report.threads, fresh) knows it; measured once more where a part was
/// faster than that allows.
void set_bounds_here(ProfileReport& report, const PartBounds& bounds, bool fresh);

/// Those of measure_runs(module, x, ...) with lengths or none, which the module must outlive.
template <class T>
PartBounds bounds_of(const Module<T>& module, const Sequence<T>& in);

}  // namespace sluice
