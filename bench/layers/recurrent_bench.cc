// SPDX-License-Identifier: Apache-2.0
// Recurrent layers over whole sequences and one step at a time. GFLOP/s counts multiplications and additions
// of the products. Inputs are made outside the loop; everything is warm.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

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

void report(benchmark::State& state, double steps, double flops) {
  state.counters["GFLOP/s"] = benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["us/step"] = benchmark::Counter(
      steps * 1e-6, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
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
  for (auto _ : state) benchmark::DoNotOptimize(layer.forward(x, in).output.data());
  const auto steps = static_cast<double>(size(0));
  report(state, steps, steps * static_cast<double>(size(1)) * layer.flops_per_step(size(2)));
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"T", "B", "I", "H", "L", "D", "threads"})->UseRealTime()->Unit(benchmark::kMicrosecond);
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
  for (auto _ : state) benchmark::DoNotOptimize(stepper->step(x.data()));
  report(state, 1, static_cast<double>(size(0)) * lstm.flops_per_step(size(1)));
}
BENCHMARK(LstmStep)
    ->ArgNames({"B", "I", "H", "L"})
    ->Args({1, 16, 16, 1})
    ->Args({1, 64, 64, 1})
    ->Args({1, 64, 64, 3})
    ->Args({8, 64, 64, 1})
    ->Args({1, 256, 256, 1});

}  // namespace
}  // namespace sluice
