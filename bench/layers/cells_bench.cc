// SPDX-License-Identifier: Apache-2.0
// One call of a cell: LSTMCell's step, which takes no memory, and the forward calls that return new tensors.
// The counters are those of recurrent_bench.cc; a call reads all weights.
#include "sluice/cells.h"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <string>

#include "benchmarks.h"
#include "inputs.h"
#include "machine.h"
#include "measure.h"

namespace sluice::bench {
namespace {

// A cell's parameters have the names of a layer's without `_l0`.
StateDict<float> cell_weights(std::size_t gates, std::size_t H) {
  StateDict<float> weights;
  const StateDict<float> layer = random_weights(gates, H, H, 1, 1);
  for (const std::string& name : layer.names()) {
    weights.set(name.substr(0, name.size() - 3), Tensor<float>(layer.at(name)));
  }
  return weights;
}

template <class Body>
void run(benchmark::State& state, std::size_t gates, std::size_t B, std::size_t H, const Body& body) {
  const double ns = median_ns(state, body);
  const std::size_t weights = 2 * gates * H * H;
  const std::size_t bytes = weights * sizeof(float);
  const double flops = 2.0 * static_cast<double>(weights * B);
  state.counters["us/step"] = ns * 1e-3;
  state.counters["GFLOP/s"] = flops / ns;
  state.counters["of_peak"] = flops / ns / multiply_add_rate(1);
  if (B == 1) state.counters["of_read"] = static_cast<double>(bytes) / ns / read_rate(bytes, 1);
}

void run_lstm(benchmark::State& state, std::size_t B, std::size_t H) {
  const LSTMCell<float> cell({.input_size = H, .hidden_size = H}, cell_weights(4, H));
  const Tensor<float> x = random_tensor<float>({B, H}, -1, 1);
  Tensor<float> h({B, H}), h_out({B, H}), c({B, H});
  run(state, 4, B, H, [&] { cell.step(B, x.data(), h.data(), c.data(), h_out.data(), c.data()); });
}

template <class Cell>
void run_forward(benchmark::State& state, std::size_t gates, std::size_t B, std::size_t H) {
  const Cell cell({.input_size = H, .hidden_size = H}, cell_weights(gates, H));
  const Tensor<float> x = random_tensor<float>({B, H}, -1, 1), h({B, H});
  run(state, gates, B, H, [&] { benchmark::DoNotOptimize(cell.forward(x, h).data()); });
}

template <class Run>
void add(const std::string& name, const Run& run) {
  for (const std::size_t H : {64, 256}) {
    for (const std::size_t B : {1, 64}) {
      const std::string full = name + "/B:" + std::to_string(B) + "/H:" + std::to_string(H);
      benchmark::RegisterBenchmark(full.c_str(), [=](benchmark::State& state) {
        run(state, B, H);
      })->Unit(benchmark::kMicrosecond);
    }
  }
}

}  // namespace

void register_cells() {
  using State = benchmark::State;
  add("LstmCell", [](State& state, std::size_t B, std::size_t H) { run_lstm(state, B, H); });
  add("GruCell",
      [](State& state, std::size_t B, std::size_t H) { run_forward<GRUCell<float>>(state, 3, B, H); });
  add("RnnCell",
      [](State& state, std::size_t B, std::size_t H) { run_forward<RNNCell<float>>(state, 1, B, H); });
}

}  // namespace sluice::bench
