// SPDX-License-Identifier: Apache-2.0
// What would help a gate, by plain rules: each with the figure that leads to it.
#pragma once

#include <vector>

#include "sluice/profile.h"

namespace sluice {

std::vector<Advice> gate_advice(const GateReport& gate);

}  // namespace sluice
