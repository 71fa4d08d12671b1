// SPDX-License-Identifier: Apache-2.0
// Sigmoid and tanh as a user calls them, from arrays that lie in L1 to arrays that lie in memory.
//   elements/ns  outputs
//   of_copy      share of the speed of a copy by as many threads (a copied byte is one read and one
//                written), in place: within one array. In cache arithmetic is the limit.
#include "sluice/activations.h"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "benchmarks.h"
#include "inputs.h"
#include "machine.h"
#include "measure.h"
#include "openmp_threads.h"
#include "sluice/sigmoid.h"

namespace sluice::bench {
namespace {

constexpr std::size_t kInL1 = 1'000;
constexpr std::size_t kInL2 = 100'000;
constexpr std::size_t kInMemory = 30'000'000;

// `bytes_copied` is half of all that is read or written.
void report(benchmark::State& state, double ns, std::size_t n, double bytes_copied, double copy_rate) {
  state.counters["elements/ns"] = static_cast<double>(n) / ns;
  state.counters["of_copy"] = bytes_copied / ns / copy_rate;
}

// Names, and calls run(state, n, threads), for each size; only the largest is worth a second thread.
template <class Run>
void add_sizes(const std::string& name, const Run& run) {
  struct Size {
    std::size_t n;
    int threads;
  };
  for (const Size& size : {Size{kInL1, 1}, Size{kInL2, 1}, Size{kInMemory, 1}, Size{kInMemory, 2}}) {
    const std::string full =
        name + "/n:" + std::to_string(size.n) + "/threads:" + std::to_string(size.threads);
    benchmark::RegisterBenchmark(full.c_str(), [=](benchmark::State& state) {
      const OpenMPThreads threads(size.threads);
      run(state, size.n, size.threads);
    })->Unit(benchmark::kMicrosecond);
  }
}

template <class Function>
void add_forward(const std::string& name, const Function& function) {
  add_sizes(name, [=](benchmark::State& state, std::size_t n, int threads) {
    const Tensor<float> x = random_tensor<float>({n}, -10, 10);
    Tensor<float> y({n});
    const double ns = median_ns(state, [&] { function(x.span(), y.span()); });
    const std::size_t bytes = n * sizeof(float);
    report(state, ns, n, static_cast<double>(bytes), copy_rate(bytes, threads));
  });
  // Over and over on the same array: the values come to rest, and cost the same.
  add_sizes(name + "InPlace", [=](benchmark::State& state, std::size_t n, int threads) {
    Tensor<float> x = random_tensor<float>({n}, -10, 10);
    const double ns = median_ns(state, [&] { function(std::as_const(x).span(), x.span()); });
    const std::size_t bytes = n * sizeof(float);
    report(state, ns, n, static_cast<double>(bytes), copy_in_place_rate(bytes, threads));
  });
}

template <class Function>
void add_backward(const std::string& name, const Function& function) {
  add_sizes(name, [=](benchmark::State& state, std::size_t n, int threads) {
    const Tensor<float> y = random_tensor<float>({n}, 0, 1);
    const Tensor<float> grad_y = random_tensor<float>({n}, -1, 1, 2);
    Tensor<float> grad_x({n});
    const double ns = median_ns(state, [&] { function(y.span(), grad_y.span(), grad_x.span()); });
    const std::size_t bytes = n * 3 * sizeof(float) / 2;  // two arrays read, one written
    report(state, ns, n, static_cast<double>(bytes), copy_rate(bytes, threads));
  });
}

using In = std::span<const float>;
using Out = std::span<float>;

}  // namespace

void register_activations() {
  add_forward("Sigmoid", [](In x, Out y) { sigmoid(x, y); });
  add_forward("Tanh", [](In x, Out y) { tanh(x, y); });
  add_backward("SigmoidBackward", [](In y, In grad_y, Out grad_x) { sigmoid_backward(y, grad_y, grad_x); });
  add_backward("TanhBackward", [](In y, In grad_y, Out grad_x) { tanh_backward(y, grad_y, grad_x); });
}

}  // namespace sluice::bench
