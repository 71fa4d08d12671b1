// SPDX-License-Identifier: Apache-2.0
// Several threads of the caller's at once. LstmForwardHosts: all call one model, and each call may take
// `threads` threads; LstmModels: a hundred small models, shared out.
//   calls/s  of all together
//   of_best  LstmForwardHosts: beside the best that the machine does, one caller with all processors or a
//            caller a processor with one thread each, measured just before
//   of_peak, of_read, of_bound  LstmModels: as in recurrent_bench.cc; each thread reads a model of its own
#include <benchmark/benchmark.h>
#include <omp.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "benchmarks.h"
#include "host_threads.h"
#include "inputs.h"
#include "machine.h"
#include "measure.h"
#include "sluice/recurrent.h"

namespace sluice::bench {
namespace {

struct Size {
  std::size_t steps, batch, hidden;
};

LSTM<float> make_lstm(std::size_t hidden) {
  return {LSTMOptions{.input_size = hidden, .hidden_size = hidden}, random_weights(4, hidden, hidden, 1, 1)};
}

// Some calls of one model by each of `hosts`.
class Callers {
 public:
  Callers(const Size& size, std::size_t hosts, int threads)
      : lstm_(make_lstm(size.hidden)),
        x_(random_tensor<float>({size.steps, size.batch, size.hidden}, -1, 1)),
        hosts_(hosts) {
    in_.threads = threads;
    count_ = hosts * kCalls;
  }

  void run() {
    hosts_.run([&](std::size_t) {
      for (std::size_t i = 0; i < kCalls; ++i) benchmark::DoNotOptimize(lstm_.forward(x_, in_).output.data());
    });
  }

  double calls_a_second(double run_ns) const { return static_cast<double>(count_) / run_ns * 1e9; }

 private:
  static constexpr std::size_t kCalls = 8;
  LSTM<float> lstm_;
  Tensor<float> x_;
  RecurrentInput<float> in_;
  HostThreads hosts_;
  std::size_t count_ = 0;
};

double calls_a_second(const Size& size, std::size_t hosts, int threads) {
  Callers callers(size, hosts, threads);
  return callers.calls_a_second(median_ns([&] { callers.run(); }, 11));
}

void run_hosts(benchmark::State& state, const Size& size, std::size_t hosts, int threads) {
  const int processors = omp_get_num_procs();
  const double best = std::max(calls_a_second(size, 1, processors),
                               calls_a_second(size, static_cast<std::size_t>(processors), 1));
  Callers callers(size, hosts, threads);
  const double rate = callers.calls_a_second(median_ns(state, [&] { callers.run(); }));
  state.counters["calls/s"] = rate;
  state.counters["of_best"] = rate / best;
}

void run_models(benchmark::State& state, const Size& size, std::size_t count, std::size_t hosts) {
  std::vector<LSTM<float>> models;
  for (std::size_t i = 0; i < count; ++i) models.push_back(make_lstm(size.hidden));
  const Tensor<float> x = random_tensor<float>({size.steps, size.batch, size.hidden}, -1, 1);
  RecurrentInput<float> in;
  in.threads = 1;
  HostThreads threads(hosts);
  const double ns = median_ns(state, [&] {
    threads.run([&](std::size_t first) {
      for (std::size_t i = first; i < count; i += hosts) {
        benchmark::DoNotOptimize(models[i].forward(x, in).output.data());
      }
    });
  });
  const double steps = static_cast<double>(count * size.steps);
  const std::size_t recurrent_bytes = 4 * size.hidden * size.hidden * sizeof(float);
  const double flops = 2 * static_cast<double>(4 * size.hidden * size.hidden * size.batch);  // of one product
  const double peak = multiply_add_rate(static_cast<int>(hosts));
  const double read_ns =
      static_cast<double>(recurrent_bytes) / read_rate(recurrent_bytes * hosts, static_cast<int>(hosts));
  state.counters["calls/s"] = static_cast<double>(count) / ns * 1e9;
  state.counters["us/step"] = ns / steps * 1e-3;
  state.counters["GFLOP/s"] = 2 * flops * steps / ns;
  state.counters["of_peak"] = 2 * flops * steps / ns / peak;
  state.counters["of_read"] = read_ns * steps / ns;
  state.counters["of_bound"] = (read_ns + flops / peak) * steps / ns;
}

std::string name_of(const std::string& name, const Size& size) {
  const std::string hidden = std::to_string(size.hidden);
  return name + "/T:" + std::to_string(size.steps) + "/B:" + std::to_string(size.batch) + "/I:" + hidden +
         "/H:" + hidden;
}

}  // namespace

void register_host_threads() {
  for (const Size& size : {Size{100, 1, 256}, Size{25, 16, 256}}) {
    for (const std::size_t hosts : {1, 2, 4}) {
      for (const int threads : {1, 2, 8}) {
        const std::string name = name_of("LstmForwardHosts", size) + "/hosts:" + std::to_string(hosts) +
                                 "/threads:" + std::to_string(threads);
        benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
          run_hosts(state, size, hosts, threads);
        })->Unit(benchmark::kMillisecond);
      }
    }
  }
  constexpr std::size_t kModels = 100;
  constexpr Size kSmall{100, 1, 64};
  for (const std::size_t hosts : {1, 2}) {
    const std::string name = name_of("LstmModels", kSmall) + "/models:" + std::to_string(kModels) +
                             "/hosts:" + std::to_string(hosts);
    benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
      run_models(state, kSmall, kModels, hosts);
    })->Unit(benchmark::kMillisecond);
  }
}

}  // namespace sluice::bench
