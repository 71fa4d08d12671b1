// SPDX-License-Identifier: Apache-2.0
// The machine's own limits, measured on the spot: the one way in which profiles and benchmarks do it. Each
// call measures anew, the best of many short runs, so that a program that came between spoils some, not all.
#pragma once

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <memory>

namespace sluice {

struct FreeFloats {
  void operator()(float* p) const noexcept { std::free(p); }
};
using FloatArray = std::unique_ptr<float[], FreeFloats>;

/// n floats, zeros, in as few pages as the system gives: a limit should not wait for page tables. Written by
/// the calling thread, so that they lie near it.
FloatArray make_float_array(std::size_t n);

/// The shortest of `runs` times of body() on `threads` threads at once, in ns. make_body() is called first,
/// on each thread: what a thread works on is its own.
template <class MakeBody>
double best_ns(int runs, int threads, const MakeBody& make_body) {
  double best = 1e30;
#pragma omp parallel num_threads(threads)
  {
    const auto body = make_body();
    for (int i = 0; i < runs; ++i) {
#pragma omp barrier
      const auto start = std::chrono::steady_clock::now();
      body();
#pragma omp barrier
      const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
#pragma omp master
      best = std::min(best, took.count());
    }
  }
  return best;
}

/// Passes over `bytes` bytes for about half a millisecond, so that the clock and the barriers cost nothing.
std::size_t passes_over(std::size_t bytes) noexcept;

/// Many runs, spread over some 20 ms.
int runs_for(std::size_t bytes) noexcept;

/// Threads beyond the number of processors count for nothing, as in the library.
int usable_threads(int threads) noexcept;

/// float32 operations a ns of fused multiply-adds in registers on `threads` threads at once.
double measure_multiply_add_rate(int threads);

/// Bytes a ns that `threads` threads read of `bytes` bytes, each its own share again and again and all at
/// once, from whatever cache holds them. Of several arrays the middle one, since luck in where an array lies
/// counts where it is about as large as a cache.
double measure_read_rate(std::size_t bytes, int threads);

/// Elements a ns of sigmoid and of tanh, float32, on `threads` threads, each over an array in its first
/// cache.
double measure_sigmoid_rate(int threads);
double measure_tanh_rate(int threads);

}  // namespace sluice
