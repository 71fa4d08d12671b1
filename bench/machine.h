// SPDX-License-Identifier: Apache-2.0
// The machine's limits, measured on the spot: benchmarks state their speed as a share of them.
#pragma once

#include <cstddef>

namespace sluice::bench {

/// float32 operations a ns of fused multiply-adds in registers on `threads` threads at once: the best of
/// several short runs.
double multiply_add_rate(int threads);

/// Bytes a ns that one core reads of `bytes` bytes again and again, from whatever cache holds them: the best
/// of several runs.
double read_rate(std::size_t bytes);

}  // namespace sluice::bench
