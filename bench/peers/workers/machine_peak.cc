// SPDX-License-Identifier: Apache-2.0
// Prints the machine's rate of fused multiply-adds in GFLOP/s, on 1, 2 ... all its processors: {"1": 228,
// ...}.
#include <omp.h>

#include <cstdio>

#include "machine.h"

int main() {
  const int processors = omp_get_num_procs();
  for (int threads = 1; threads <= processors; threads *= 2) {
    std::printf("%s\"%d\": %.1f", threads == 1 ? "{" : ", ", threads,
                sluice::bench::multiply_add_rate(threads));
  }
  std::puts("}");
}
