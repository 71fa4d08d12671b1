// SPDX-License-Identifier: Apache-2.0
// How measured limits are kept from one process to the next.
#pragma once

#include <filesystem>
#include <functional>

#include "sluice/profile.h"

namespace sluice {

/// `empty` has its target, threads and the names and sizes of its levels. Gives it with the rates that a file
/// in `folder` has for just those, this processor and this library; otherwise, or if `fresh`, what
/// measure(empty) gives, which goes into the file. An empty `folder`, and one that cannot be written, hold
/// none.
MachineLimits cached_limits(const std::filesystem::path& folder, const MachineLimits& empty, bool fresh,
                            const std::function<MachineLimits(MachineLimits)>& measure);

/// Measures once more, since something was faster than `low` allows: the better of both, kept for the next
/// time. Other programs make limits lower, nothing makes them higher than they are.
MachineLimits raised_limits(const MachineLimits& low);

}  // namespace sluice
