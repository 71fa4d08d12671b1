// SPDX-License-Identifier: Apache-2.0
#include "machine.h"

#include <omp.h>

#include <algorithm>
#include <chrono>

#include "kernels/machine_peak.h"
#include "sluice/tensor.h"

namespace sluice::bench {
namespace {

template <class Body>
double best_ns(int runs, const Body& body) {
  double best = 1e30;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count());
  }
  return best;
}

}  // namespace

double multiply_add_rate(int threads) {
  const kernels::MachinePeak& peak = kernels::machine_peak();
  double operations = 0;
  const double ns = best_ns(20, [&] {
    double sum = 0;
#pragma omp parallel num_threads(threads) reduction(+ : sum)
    sum += peak.multiply_add(100'000);
    operations = sum;
  });
  return operations / ns;
}

double read_rate(std::size_t bytes) {
  const kernels::MachinePeak& peak = kernels::machine_peak();
  const Tensor<float> data({bytes / sizeof(float)});
  // Passes for about a millisecond, so that the clock costs nothing.
  const std::size_t passes =
      std::max<std::size_t>((std::size_t{100} << 20) / std::max<std::size_t>(bytes, 1), 1);
  volatile float sink = 0;
  const double ns = best_ns(20, [&] {
    for (std::size_t i = 0; i < passes; ++i) sink = sink + peak.read(data.data(), data.size());
  });
  return static_cast<double>(data.size() * sizeof(float) * passes) / ns;
}

}  // namespace sluice::bench
