// SPDX-License-Identifier: Apache-2.0
// What would help, by plain rules: each with the figure that leads to it.
#pragma once

#include <vector>

#include "sluice/profile.h"

namespace sluice {

/// From the times, bounds and gates of a report; its own `advice` counts for nothing. None for a model with
/// nothing amiss.
std::vector<Advice> advice_for(const ProfileReport& report);

}  // namespace sluice
