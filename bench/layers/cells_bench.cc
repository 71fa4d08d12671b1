// SPDX-License-Identifier: Apache-2.0
// One call of a cell, on one thread: LSTMCell's step, which takes no memory, and the forward calls that
// return new tensors. The counters are those of recurrent_bench.cc; a call reads all weights.
#include "sluice/cells.h"

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

// A cell's parameters have the names of a layer's without `_l0`.
StateDict<float> cell_weights(std::size_t gates, std::size_t hidden) {
  StateDict<float> weights;
  const StateDict<float> layer = random_weights(gates, hidden, hidden, 1, 1);
  for (const std::string& name : layer.names()) {
    weights.set(name.substr(0, name.size() - 3), Tensor<float>(layer.at(name)));
  }
  return weights;
}

template <class Body>
void run(benchmark::State& state, std::size_t gates, std::size_t batch, std::size_t hidden,
         const Body& body) {
  const OpenMPThreads one(1);
  const double ns = median_ns(state, body);
  const std::size_t weights = 2 * gates * hidden * hidden;
  const std::size_t bytes = weights * sizeof(float);
  const double flops = 2.0 * static_cast<double>(weights * batch);
  state.counters["us/step"] = ns * 1e-3;
  state.counters["GFLOP/s"] = flops / ns;
  state.counters["of_peak"] = flops / ns / multiply_add_rate(1);
  if (batch == 1) state.counters["of_read"] = static_cast<double>(bytes) / ns / read_rate(bytes, 1);
}

void run_lstm(benchmark::State& state, std::size_t batch, std::size_t hidden) {
  const LSTMCell<float> cell({.input_size = hidden, .hidden_size = hidden}, cell_weights(4, hidden));
  const Tensor<float> x = random_tensor<float>({batch, hidden}, -1, 1);
  Tensor<float> h({batch, hidden}), h_out({batch, hidden}), c({batch, hidden});
  run(state, 4, batch, hidden,
      [&] { cell.step(batch, x.data(), h.data(), c.data(), h_out.data(), c.data()); });
}

template <class Cell>
void run_forward(benchmark::State& state, std::size_t gates, std::size_t batch, std::size_t hidden) {
  const Cell cell({.input_size = hidden, .hidden_size = hidden}, cell_weights(gates, hidden));
  const Tensor<float> x = random_tensor<float>({batch, hidden}, -1, 1), h({batch, hidden});
  run(state, gates, batch, hidden, [&] { benchmark::DoNotOptimize(cell.forward(x, h).data()); });
}

template <class Run>
void add(const std::string& name, const Run& run) {
  for (const std::size_t hidden : {64, 256}) {
    for (const std::size_t batch : {1, 64}) {
      const std::string size = std::to_string(hidden);
      const std::string full = name + "/B:" + std::to_string(batch) + "/I:" + size + "/H:" + size;
      benchmark::RegisterBenchmark(full.c_str(), [=](benchmark::State& state) {
        run(state, batch, hidden);
      })->Unit(benchmark::kMicrosecond);
    }
  }
}

}  // namespace

void register_cells() {
  using State = benchmark::State;
  add("LstmCell",
      [](State& state, std::size_t batch, std::size_t hidden) { run_lstm(state, batch, hidden); });
  add("GruCell", [](State& state, std::size_t batch, std::size_t hidden) {
    run_forward<GRUCell<float>>(state, 3, batch, hidden);
  });
  add("RnnCell", [](State& state, std::size_t batch, std::size_t hidden) {
    run_forward<RNNCell<float>>(state, 1, batch, hidden);
  });
}

}  // namespace sluice::bench
