// SPDX-License-Identifier: Apache-2.0
// Loops that reach the machine's own limits, to state a kernel's speed as a share of them.
#pragma once

#include <cstddef>

namespace sluice::kernels {

struct MachinePeak {
  const char* target;
  /// Independent chains of fused multiply-adds in registers; returns the float32 operations done.
  double (*multiply_add)(std::size_t iterations);
  /// Reads n floats `passes` times, in order, from a 64-byte-aligned array, with enough chains not to wait
  /// for the additions; returns the sum of all that was read.
  float (*read)(const float* data, std::size_t n, std::size_t passes);
};

/// The table of the active target.
const MachinePeak& machine_peak();

}  // namespace sluice::kernels
