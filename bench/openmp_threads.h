// SPDX-License-Identifier: Apache-2.0
// For calls that have no argument for threads and take as many as OpenMP would.
#pragma once

#include <omp.h>

namespace sluice::bench {

/// OpenMP gives the calling thread `threads` threads for as long as this lives.
class OpenMPThreads {
 public:
  explicit OpenMPThreads(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ~OpenMPThreads() { omp_set_num_threads(before_); }
  OpenMPThreads(const OpenMPThreads&) = delete;
  OpenMPThreads& operator=(const OpenMPThreads&) = delete;

 private:
  int before_;
};

}  // namespace sluice::bench
