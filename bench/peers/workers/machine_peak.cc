// SPDX-License-Identifier: Apache-2.0
// machine-peak THREADS: prints the rate of fused multiply-adds in GFLOP/s on so many threads, the best within
// 20 ms.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "machine.h"

int main(int, char** argv) {
  const int threads = std::atoi(argv[1]);
  const auto begin = std::chrono::steady_clock::now();
  double best = 0;
  while (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(20)) {
    best = std::max(best, sluice::bench::multiply_add_rate(threads));
  }
  std::printf("%.1f\n", best);
}
