// SPDX-License-Identifier: Apache-2.0
// The fused gates as a user calls them (gates.h), on one thread: with the activated gates kept, as a backward
// pass needs them, and without.
//   activations/ns  sigmoids and tanhs
//   of_copy         share of the speed of a copy (a copied byte is one read and one written). In cache
//                   arithmetic is the limit.
#include "sluice/gates.h"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <string>

#include "benchmarks.h"
#include "inputs.h"
#include "machine.h"
#include "measure.h"
#include "openmp_threads.h"

namespace sluice::bench {
namespace {

// `activations` and `floats` (read or written) are those of a unit.
template <class Body>
void run(benchmark::State& state, std::size_t units, double activations, std::size_t floats,
         const Body& body) {
  const OpenMPThreads one(1);
  const double ns = median_ns(state, body);
  const std::size_t bytes_copied = units * floats * sizeof(float) / 2;
  state.counters["activations/ns"] = static_cast<double>(units) * activations / ns;
  state.counters["of_copy"] = static_cast<double>(bytes_copied) / ns / copy_rate(bytes_copied, 1);
}

void run_lstm(benchmark::State& state, std::size_t batch, std::size_t hidden, bool keeps_gates) {
  const Tensor<float> pre = random_tensor<float>({batch, 4 * hidden}, -6, 6);
  const Tensor<float> c = random_tensor<float>({batch, hidden}, -1, 1, 2);
  Tensor<float> h_out({batch, hidden}), c_out({batch, hidden}), kept;
  if (keeps_gates) kept = Tensor<float>({batch, 4 * hidden});
  run(state, batch * hidden, 5, keeps_gates ? 11 : 7, [&] { lstm_gates(pre, c, h_out, c_out, kept); });
}

void run_gru(benchmark::State& state, std::size_t batch, std::size_t hidden, bool keeps_gates) {
  const Tensor<float> pre_x = random_tensor<float>({batch, 3 * hidden}, -6, 6);
  const Tensor<float> pre_h = random_tensor<float>({batch, 3 * hidden}, -6, 6, 2);
  const Tensor<float> h = random_tensor<float>({batch, hidden}, -1, 1, 3);
  Tensor<float> h_out({batch, hidden}), kept;
  if (keeps_gates) kept = Tensor<float>({batch, 3 * hidden});
  run(state, batch * hidden, 3, keeps_gates ? 11 : 8, [&] { gru_gates(pre_x, pre_h, h, h_out, kept); });
}

void run_highway(benchmark::State& state, std::size_t batch, std::size_t hidden) {
  const Tensor<float> pre = random_tensor<float>({batch, hidden}, -6, 6);
  const Tensor<float> candidate = random_tensor<float>({batch, hidden}, -1, 1, 2);
  const Tensor<float> x = random_tensor<float>({batch, hidden}, -1, 1, 3);
  Tensor<float> y({batch, hidden});
  run(state, batch * hidden, 1, 4, [&] { highway_gate(pre, candidate, x, y); });
}

template <class Run>
void add(const std::string& name, const Run& run) {
  struct Size {
    std::size_t batch, hidden;
  };
  for (const Size& size : {Size{1, 64}, Size{1, 1024}, Size{64, 1024}}) {
    const std::string full = name + "/B:" + std::to_string(size.batch) + "/H:" + std::to_string(size.hidden);
    benchmark::RegisterBenchmark(full.c_str(),
                                 [=](benchmark::State& state) { run(state, size.batch, size.hidden); });
  }
}

}  // namespace

void register_gates() {
  using State = benchmark::State;
  add("LstmGates",
      [](State& state, std::size_t batch, std::size_t hidden) { run_lstm(state, batch, hidden, false); });
  add("LstmGatesKept",
      [](State& state, std::size_t batch, std::size_t hidden) { run_lstm(state, batch, hidden, true); });
  add("GruGates",
      [](State& state, std::size_t batch, std::size_t hidden) { run_gru(state, batch, hidden, false); });
  add("GruGatesKept",
      [](State& state, std::size_t batch, std::size_t hidden) { run_gru(state, batch, hidden, true); });
  add("HighwayGate",
      [](State& state, std::size_t batch, std::size_t hidden) { run_highway(state, batch, hidden); });
}

}  // namespace sluice::bench
