// SPDX-License-Identifier: Apache-2.0
// Recurrent layers over whole sequences and one step at a time. GFLOP/s counts multiplications and additions
// of the products. Inputs are made outside the loop; everything is warm. The bounds are measured in the same
// run, just before: `of_peak` is the share of the fused multiply-adds that as many threads can do; `of_read`,
// for one row on one thread, the share of the speed at which as many bytes as its weights have are read.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "machine.h"
#include "sluice/cells.h"
#include "sluice/recurrent.h"

namespace sluice {
namespace {

Tensor<float> random_tensor(const Shape& shape, std::uint64_t seed, float scale) {
  std::mt19937_64 generator(seed);
  std::uniform_real_distribution<float> uniform(-scale, scale);
  Tensor<float> values(shape);
  for (float& v : values.span()) v = uniform(generator);
  return values;
}

StateDict<float> random_weights(std::size_t gates, std::size_t input_size, std::size_t hidden_size,
                                std::size_t layers, bool bidirectional) {
  StateDict<float> weights;
  for (std::size_t layer = 0; layer < layers; ++layer) {
    for (const char* direction : {"", "_reverse"}) {
      const std::size_t in = layer == 0 ? input_size : hidden_size * (bidirectional ? 2 : 1);
      const std::string suffix = "_l" + std::to_string(layer) + direction;
      weights.set("weight_ih" + suffix, random_tensor({gates * hidden_size, in}, 1, 0.05F));
      weights.set("weight_hh" + suffix, random_tensor({gates * hidden_size, hidden_size}, 2, 0.05F));
      weights.set("bias_ih" + suffix, random_tensor({gates * hidden_size}, 3, 0.05F));
      weights.set("bias_hh" + suffix, random_tensor({gates * hidden_size}, 4, 0.05F));
    }
  }
  return weights;
}

// Times `body` an iteration of `state`, and reports the median.
template <class Body>
void measure(benchmark::State& state, double steps, double flops, double weight_bytes, int threads,
             const Body& body) {
  const double peak = bench::multiply_add_rate(threads);
  const double read = threads == 1 ? bench::read_rate(static_cast<std::size_t>(weight_bytes)) : 0;
  body();  // warm
  std::vector<double> ns;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    ns.push_back(took.count());
    state.SetIterationTime(took.count() * 1e-9);
  }
  std::nth_element(ns.begin(), ns.begin() + static_cast<std::ptrdiff_t>(ns.size() / 2), ns.end());
  const double median = ns[ns.size() / 2];
  state.counters["us/step"] = median / steps * 1e-3;
  state.counters["GFLOP/s"] = flops / median;
  state.counters["of_peak"] = flops / median / peak;
  if (read > 0) state.counters["of_read"] = weight_bytes * steps / median / read;
}

// Bytes of weights that a step of one row sweeps: the parameters.
template <class Layer>
double weight_bytes(const Layer& layer) {
  double bytes = 0;
  for (const ParameterInfo& info : layer.parameters()) {
    if (info.shape.rank() == 2) bytes += static_cast<double>(info.shape.size() * sizeof(float));
  }
  return bytes;
}

// T, B, I, H, layers, directions, threads
template <class Layer, class Options, std::size_t kGates>
void forward(benchmark::State& state) {
  const auto size = [&](int i) { return static_cast<std::size_t>(state.range(i)); };
  Options options;
  options.input_size = size(2);
  options.hidden_size = size(3);
  options.num_layers = size(4);
  options.bidirectional = size(5) == 2;
  const Layer layer(options, random_weights(kGates, size(2), size(3), size(4), options.bidirectional));
  const Tensor<float> x = random_tensor({size(0), size(1), size(2)}, 5, 1.0F);
  RecurrentInput<float> in;
  in.threads = static_cast<int>(state.range(6));
  const auto steps = static_cast<double>(size(0));
  measure(state, steps, steps * static_cast<double>(size(1)) * layer.flops_per_step(size(2)),
          weight_bytes(layer), in.threads,
          [&] { benchmark::DoNotOptimize(layer.forward(x, in).output.data()); });
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"T", "B", "I", "H", "L", "D", "threads"})->UseManualTime()->Unit(benchmark::kMicrosecond);
  const std::vector<std::vector<std::int64_t>> all{
      {25, 32, 512, 512, 1, 1}, {25, 64, 1024, 1024, 1, 1}, {150, 64, 256, 256, 1, 1}, {100, 1, 64, 64, 1, 1},
      {100, 1, 256, 256, 1, 1}, {100, 1, 512, 512, 1, 1},   {63, 1, 24, 32, 1, 2},     {31, 1, 48, 32, 1, 2},
      {15, 1, 96, 32, 1, 2},    {100, 1, 128, 128, 1, 2},   {100, 4, 256, 256, 2, 1},
  };
  for (std::vector<std::int64_t> shape : all) {
    for (const std::int64_t threads : {1, 2}) {
      shape.resize(6);
      shape.push_back(threads);
      bench->Args(shape);
    }
  }
}

void LstmForward(benchmark::State& state) { forward<LSTM<float>, LSTMOptions, 4>(state); }
void GruForward(benchmark::State& state) { forward<GRU<float>, GRUOptions, 3>(state); }
BENCHMARK(LstmForward)->Apply(shapes);
BENCHMARK(GruForward)->Apply(shapes);

// B, I, H, layers: one time step of a stepper, on the calling thread.
void LstmStep(benchmark::State& state) {
  const auto size = [&](int i) { return static_cast<std::size_t>(state.range(i)); };
  const LSTM<float> lstm({.input_size = size(1), .hidden_size = size(2), .num_layers = size(3)},
                         random_weights(4, size(1), size(2), size(3), false));
  const auto stepper = lstm.stepper(size(0), size(1));
  const Tensor<float> x = random_tensor({size(0), size(1)}, 5, 1.0F);
  // A hundred steps an iteration: a step may be shorter than the clock is fine.
  measure(state, 100, 100 * static_cast<double>(size(0)) * lstm.flops_per_step(size(1)), weight_bytes(lstm),
          1, [&] {
            for (int i = 0; i < 100; ++i) benchmark::DoNotOptimize(stepper->step(x.data()));
          });
}
BENCHMARK(LstmStep)
    ->ArgNames({"B", "I", "H", "L"})
    ->UseManualTime()
    ->Args({1, 16, 16, 1})
    ->Args({1, 64, 64, 1})
    ->Args({1, 64, 64, 3})
    ->Args({8, 64, 64, 1})
    ->Args({1, 256, 256, 1});

}  // namespace
}  // namespace sluice
