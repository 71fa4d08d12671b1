// SPDX-License-Identifier: Apache-2.0
// The fused gates as a user calls them (gates.h), on one thread: with the activated gates kept, as a backward
// pass needs them, and without.
//   activations/ns  sigmoids and tanhs
//   of_copy         share of the speed at which as many bytes as are read are copied. In cache arithmetic is
//   the
//                   limit.
#include "sluice/gates.h"

#include <benchmark/benchmark.h>
#include <omp.h>

#include <cstddef>
#include <string>

#include "benchmarks.h"
#include "inputs.h"
#include "machine.h"
#include "measure.h"

namespace sluice::bench {
namespace {

// Calls body() on one thread; `activations` and `floats_read` are those of a unit.
template <class Body>
void run(benchmark::State& state, std::size_t units, double activations, std::size_t floats_read,
         const Body& body) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const double ns = median_ns(state, body);
  omp_set_num_threads(before);
  const std::size_t bytes = units * floats_read * sizeof(float);
  state.counters["activations/ns"] = static_cast<double>(units) * activations / ns;
  state.counters["of_copy"] = static_cast<double>(bytes) / ns / copy_rate(bytes, 1);
}

void run_lstm(benchmark::State& state, std::size_t B, std::size_t H, bool keeps_gates) {
  const Tensor<float> pre = random_tensor<float>({B, 4 * H}, -6, 6);
  const Tensor<float> c = random_tensor<float>({B, H}, -1, 1, 2);
  Tensor<float> h_out({B, H}), c_out({B, H}), kept;
  if (keeps_gates) kept = Tensor<float>({B, 4 * H});
  run(state, B * H, 5, 5, [&] { lstm_gates(pre, c, h_out, c_out, kept); });
}

void run_gru(benchmark::State& state, std::size_t B, std::size_t H, bool keeps_gates) {
  const Tensor<float> pre_x = random_tensor<float>({B, 3 * H}, -6, 6);
  const Tensor<float> pre_h = random_tensor<float>({B, 3 * H}, -6, 6, 2);
  const Tensor<float> h = random_tensor<float>({B, H}, -1, 1, 3);
  Tensor<float> h_out({B, H}), kept;
  if (keeps_gates) kept = Tensor<float>({B, 3 * H});
  run(state, B * H, 3, 7, [&] { gru_gates(pre_x, pre_h, h, h_out, kept); });
}

void run_highway(benchmark::State& state, std::size_t B, std::size_t H) {
  const Tensor<float> pre = random_tensor<float>({B, H}, -6, 6);
  const Tensor<float> candidate = random_tensor<float>({B, H}, -1, 1, 2);
  const Tensor<float> x = random_tensor<float>({B, H}, -1, 1, 3);
  Tensor<float> y({B, H});
  run(state, B * H, 1, 3, [&] { highway_gate(pre, candidate, x, y); });
}

template <class Run>
void add(const std::string& name, const Run& run) {
  struct Size {
    std::size_t B, H;
  };
  for (const Size& size : {Size{1, 64}, Size{1, 1024}, Size{64, 1024}}) {
    const std::string full = name + "/B:" + std::to_string(size.B) + "/H:" + std::to_string(size.H);
    benchmark::RegisterBenchmark(full.c_str(), [=](benchmark::State& state) { run(state, size.B, size.H); });
  }
}

}  // namespace

void register_gates() {
  using State = benchmark::State;
  add("LstmGates", [](State& state, std::size_t B, std::size_t H) { run_lstm(state, B, H, false); });
  add("LstmGatesKept", [](State& state, std::size_t B, std::size_t H) { run_lstm(state, B, H, true); });
  add("GruGates", [](State& state, std::size_t B, std::size_t H) { run_gru(state, B, H, false); });
  add("GruGatesKept", [](State& state, std::size_t B, std::size_t H) { run_gru(state, B, H, true); });
  add("HighwayGate", [](State& state, std::size_t B, std::size_t H) { run_highway(state, B, H); });
}

}  // namespace sluice::bench
