// SPDX-License-Identifier: Apache-2.0
// What would help a gate, by plain rules: each with the figure that leads to it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "sluice/profile.h"

namespace sluice {

std::vector<Advice> gate_advice(const GateReport& gate);

/// "rnn l0 reverse", as the parts are called.
std::string gate_place(const std::string& module, std::size_t layer, std::size_t direction);

}  // namespace sluice
