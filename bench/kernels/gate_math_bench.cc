// SPDX-License-Identifier: Apache-2.0
// Elements a second of the elementwise functions on one thread, beside Eigen's and a copy: in L1 (4096
// elements in, as many out) and in DRAM (64 Mi elements). Inputs are uniform in [-10, 10], or in [-95, 10],
// where one in twelve has a subnormal result and takes the slower path. SLUICE_TARGET chooses the instruction
// set.
#include <benchmark/benchmark.h>

#include <cstring>
#include <random>

#include "kernels/gate_math.h"
#include "peers/eigen_logistic.h"
#include "sluice/sigmoid.h"
#include "sluice/tensor.h"

namespace sluice {
namespace {

constexpr std::int64_t kInCache = 4096;
constexpr std::int64_t kInMemory = std::int64_t{1} << 26;

template <class T>
Tensor<T> inputs(std::size_t n, T low, T high) {
  std::mt19937 generator(1);
  std::uniform_real_distribution<T> uniform(low, high);
  Tensor<T> x({n});
  for (T& value : x.span()) value = uniform(generator);
  return x;
}

template <class T, class Function>
void measure(benchmark::State& state, Function function, T low = -10, T high = 10) {
  const auto n = static_cast<std::size_t>(state.range(0));
  const Tensor<T> x = inputs<T>(n, low, high);
  Tensor<T> y({n});
  for (auto _ : state) {
    function(x.data(), y.data(), n);
    benchmark::DoNotOptimize(y.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.SetBytesProcessed(state.iterations() * state.range(0) * static_cast<std::int64_t>(2 * sizeof(T)));
}

template <class T>
void copy(const T* x, T* y, std::size_t n) {
  std::memcpy(y, x, n * sizeof(T));
}

template <class T>
void Sigmoid(benchmark::State& state) {
  measure<T>(state, kernels::gate_math<T>().sigmoid);
}
template <class T>
void SigmoidSomeSubnormal(benchmark::State& state) {
  measure<T>(state, kernels::gate_math<T>().sigmoid, sizeof(T) == 4 ? -95 : -745, 10);
}
template <class T>
void Tanh(benchmark::State& state) {
  measure<T>(state, kernels::gate_math<T>().tanh);
}
template <class T>
void LogSigmoid(benchmark::State& state) {
  measure<T>(state, kernels::gate_math<T>().log_sigmoid);
}
template <class T>
void EigenLogistic(benchmark::State& state) {
  measure<T>(state, [](const T* x, T* y, std::size_t n) { peers::eigen_logistic(x, y, n); });
}
template <class T>
void EigenTanh(benchmark::State& state) {
  measure<T>(state, [](const T* x, T* y, std::size_t n) { peers::eigen_tanh(x, y, n); });
}
template <class T>
void Copy(benchmark::State& state) {
  measure<T>(state, &copy<T>);
}

void both_sizes(benchmark::internal::Benchmark* bench) { bench->ArgName("n")->Arg(kInCache)->Arg(kInMemory); }

BENCHMARK_TEMPLATE(Copy, float)->Apply(both_sizes);
BENCHMARK_TEMPLATE(Sigmoid, float)->Apply(both_sizes);
BENCHMARK_TEMPLATE(SigmoidSomeSubnormal, float)->Apply(both_sizes);
BENCHMARK_TEMPLATE(EigenLogistic, float)->Apply(both_sizes);
BENCHMARK_TEMPLATE(Tanh, float)->Apply(both_sizes);
BENCHMARK_TEMPLATE(EigenTanh, float)->Apply(both_sizes);
BENCHMARK_TEMPLATE(LogSigmoid, float)->Apply(both_sizes);
BENCHMARK_TEMPLATE(Sigmoid, double)->ArgName("n")->Arg(kInCache);
BENCHMARK_TEMPLATE(EigenLogistic, double)->ArgName("n")->Arg(kInCache);
BENCHMARK_TEMPLATE(Tanh, double)->ArgName("n")->Arg(kInCache);
BENCHMARK_TEMPLATE(EigenTanh, double)->ArgName("n")->Arg(kInCache);

// One LSTM step's elementwise half: five activations a unit.
void LstmGates(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0));
  const Tensor<float> pre = inputs<float>(4 * n, -6, 6);
  Tensor<float> c = inputs<float>(n, -1, 1), h({n});
  for (auto _ : state) {
    kernels::gate_math<float>().lstm_gates(pre.data(), c.data(), h.data(), c.data(), nullptr, n);
    benchmark::DoNotOptimize(h.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0) * 5);
}
BENCHMARK(LstmGates)->ArgName("H")->Arg(64)->Arg(1024);

// The public call, which may share the work among threads: where two become faster than one
// (kElementsPerThread).
void PublicSigmoid(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0));
  const Tensor<float> x = inputs<float>(n, -10, 10);
  Tensor<float> y({n});
  for (auto _ : state) {
    sigmoid(x.view(), y.view());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(PublicSigmoid)->ArgName("n")->RangeMultiplier(2)->Range(1 << 14, 1 << 22)->UseRealTime();

}  // namespace
}  // namespace sluice
