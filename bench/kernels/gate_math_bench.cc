// SPDX-License-Identifier: Apache-2.0
// The elementwise kernels by themselves, on one thread and in L1, beside Eigen's and a copy. Inputs are
// uniform in [-10, 10], or down to where one in twelve has a subnormal result and takes the slower path.
// SLUICE_TARGET chooses the instruction set.
#include "kernels/gate_math.h"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstring>
#include <string>

#include "benchmarks.h"
#include "inputs.h"
#include "measure.h"
#include "peers/eigen_logistic.h"

namespace sluice::bench {
namespace {

constexpr std::size_t kInCache = 4096;

template <class T, class Function>
void add(const std::string& name, Function function, T low = -10) {
  const std::string type = sizeof(T) == 4 ? "float" : "double";
  const std::string full = "Kernel" + name + "/type:" + type + "/n:" + std::to_string(kInCache);
  benchmark::RegisterBenchmark(full.c_str(), [=](benchmark::State& state) {
    const Tensor<T> x = random_tensor<T>({kInCache}, low, 10);
    Tensor<T> y({kInCache});
    const double ns = median_ns(state, [&] { function(x.data(), y.data(), kInCache); });
    state.counters["elements/ns"] = static_cast<double>(kInCache) / ns;
  });
}

template <class T>
void add_all() {
  const kernels::GateMath<T>& math = kernels::gate_math<T>();
  add<T>("Copy", [](const T* x, T* y, std::size_t n) { std::memcpy(y, x, n * sizeof(T)); });
  add<T>("Sigmoid", math.sigmoid);
  add<T>("SigmoidSomeSubnormal", math.sigmoid, sizeof(T) == 4 ? -95 : -745);
  add<T>("EigenLogistic", [](const T* x, T* y, std::size_t n) { peers::eigen_logistic(x, y, n); });
  add<T>("Tanh", math.tanh);
  add<T>("EigenTanh", [](const T* x, T* y, std::size_t n) { peers::eigen_tanh(x, y, n); });
  add<T>("LogSigmoid", math.log_sigmoid);
}

}  // namespace

void register_gate_math() {
  add_all<float>();
  add_all<double>();
}

}  // namespace sluice::bench
