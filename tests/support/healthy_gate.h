// SPDX-License-Identifier: Apache-2.0
// A gate of a report with nothing amiss.
#pragma once

#include <string>

#include "sluice/profile.h"

namespace sluice::test {

inline GateReport healthy_gate(const std::string& name) {
  GateReport gate;
  gate.module = "rnn";
  gate.gate = name;
  gate.activations = 1000;
  gate.shut = 20;
  gate.open = 100;
  gate.mean = 0.6;
  gate.mean_derivative = 0.17;
  gate.unit_mean.assign(8, 0.6F);
  return gate;
}

}  // namespace sluice::test
