// SPDX-License-Identifier: Apache-2.0
// The machine's limits, measured on the spot (src/profile/machine_rates.h): benchmarks state their speed as a
// share of them. Each call measures anew and gives the best that this process has seen: a bound must not
// suffer from a program that came between. Threads beyond the number of processors count for nothing.
#pragma once

#include <cstddef>

namespace sluice::bench {

/// float32 operations a ns of fused multiply-adds in registers on `threads` threads at once.
double multiply_add_rate(int threads);

/// Bytes a ns that `threads` threads read of `bytes` bytes, each its own share again and again and all at
/// once, from whatever cache holds them. Of several arrays the middle one, since luck in where an array lies
/// counts where it is about as large as a cache.
double read_rate(std::size_t bytes, int threads);

/// Bytes a ns that `threads` threads copy, of `bytes` bytes from one array to another, each its own share
/// again and again and all at once.
double copy_rate(std::size_t bytes, int threads);

/// The same within one array: every byte is read and written.
double copy_in_place_rate(std::size_t bytes, int threads);

}  // namespace sluice::bench
