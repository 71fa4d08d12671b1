// SPDX-License-Identifier: Apache-2.0
// Recurrent layers over whole sequences, one step at a time, and in training. Inputs are made outside the
// loop; everything is warm.
//   us/step   time of a step, all layers and directions
//   GFLOP/s   multiplications and additions of the products
//   of_peak   share of the fused multiply-adds that as many threads can do
//   of_read   with few rows: share of the speed at which as many threads read the weights that every step
//             must read. A sequence makes the input part of many steps at once, so there they are the
//             recurrent weights of a layer; a step of a stream reads all.
//   of_bound  sequences: share of the least time (src/profile/bounds.h), gates left out: that of the input
//             part, whose weights are read once a call, and that of the recurrent part, whose weights are
//             read once a step, each the larger of reading and multiplying; or both in each step.
//   tape      training: bytes that a recorded run keeps for its way back
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "benchmarks.h"
#include "inputs.h"
#include "machine.h"
#include "measure.h"
#include "openmp_threads.h"
#include "profile/bounds.h"
#include "sluice/cells/lstm_kin.h"
#include "sluice/custom_recurrent.h"
#include "sluice/loss.h"
#include "sluice/optim.h"
#include "sluice/parameters.h"
#include "sluice/recurrent.h"
#include "sluice/tape.h"

namespace sluice::bench {
namespace {

using Cell = RecurrentCase::Cell;
using Work = RecurrentCase::Work;

// Rows up to which a step waits for its weights rather than for arithmetic.
constexpr std::size_t kFewRows = 8;

// Calls use(layer) with the layer of that shape.
template <class Use>
void with_layer(const RecurrentCase& shape, const Use& use) {
  const auto weights = [&](std::size_t gates) {
    return random_weights(gates, shape.input_size, shape.hidden_size, shape.layers, shape.directions,
                          shape.proj_size);
  };
  const auto fill = [&](auto options) {
    options.input_size = shape.input_size;
    options.hidden_size = shape.hidden_size;
    options.num_layers = shape.layers;
    options.bidirectional = shape.directions == 2;
    return options;
  };
  switch (shape.cell) {
    case Cell::kLstm: {
      LSTMOptions options = fill(LSTMOptions{});
      options.proj_size = shape.proj_size;
      return use(LSTM<float>(options, weights(4)));
    }
    case Cell::kGru:
      return use(GRU<float>(fill(GRUOptions{}), weights(3)));
    case Cell::kRnn:
      return use(RNN<float>(fill(RNNOptions{}), weights(1)));
    case Cell::kRestatedLstm:
      return use(Recurrent<float>({.cell = cells::lstm(shape.input_size, shape.hidden_size),
                                   .num_layers = shape.layers,
                                   .bidirectional = shape.directions == 2},
                                  weights(4)));
  }
}

// What a layer's forward() takes beside x.
template <class Layer>
using InputOf =
    std::conditional_t<std::is_same_v<Layer, Recurrent<float>>, CustomInput<float>, RecurrentInput<float>>;

// Bytes of the matrices whose names begin with one of `prefixes`.
template <class Layer>
double matrix_bytes(const Layer& layer, std::initializer_list<std::string_view> prefixes) {
  double bytes = 0;
  for (const ParameterInfo& info : layer.parameters()) {
    for (const std::string_view prefix : prefixes) {
      if (info.name.starts_with(prefix)) bytes += static_cast<double>(info.shape.size() * sizeof(float));
    }
  }
  return bytes;
}

void report(benchmark::State& state, double ns_a_step, double flops_a_step, int threads) {
  state.counters["us/step"] = ns_a_step * 1e-3;
  state.counters["GFLOP/s"] = flops_a_step / ns_a_step;
  state.counters["of_peak"] = flops_a_step / ns_a_step / multiply_add_rate(threads);
}

// What bounds take, measured for just the sizes that they ask for. Gates count for nothing.
BoundRates measured_rates(int threads) {
  constexpr double kNsPerSecond = 1e9, kNoLimit = std::numeric_limits<double>::infinity();
  BoundRates rates{.flops_per_second = multiply_add_rate(threads) * kNsPerSecond,
                   .read = {},
                   .sigmoid_per_second = kNoLimit,
                   .tanh_per_second = kNoLimit};
  rates.read = [threads, known = std::map<std::size_t, double>()](double bytes) mutable {
    const auto size = static_cast<std::size_t>(bytes);
    const auto [at, is_new] = known.try_emplace(size);
    if (is_new) at->second = read_rate(size, threads) * kNsPerSecond;
    return BoundRates::Reading{bytes / at->second, "reading", false};
  };
  return rates;
}

template <class Layer>
void run_forward(benchmark::State& state, const RecurrentCase& shape, const Layer& layer) {
  const Tensor<float> x = random_tensor<float>({shape.steps, shape.batch, shape.input_size}, -1, 1);
  InputOf<Layer> in;
  in.threads = shape.threads;
  const double ns = median_ns(state, [&] { benchmark::DoNotOptimize(layer.forward(x, in).output.data()); }) /
                    static_cast<double>(shape.steps);
  report(state, ns, static_cast<double>(shape.batch) * layer.flops_per_step(shape.input_size), shape.threads);
  const ModuleBound bound = recurrent_bound(cell_works(layer), {shape.steps, shape.batch, shape.input_size},
                                            shape.threads, measured_rates(shape.threads));
  state.counters["of_bound"] = bound.bound.seconds * 1e9 / static_cast<double>(shape.steps) / ns;
  if (shape.batch <= kFewRows) {
    const double bytes = matrix_bytes(layer, {"weight_hh", "weight_hr"});
    const double each = bytes / static_cast<double>(shape.layers * shape.directions);
    state.counters["of_read"] = bytes / read_rate(static_cast<std::size_t>(each), shape.threads) / ns;
  }
}

template <class Layer>
void run_step(benchmark::State& state, const RecurrentCase& shape, const Layer& layer) {
  const Tensor<float> x = random_tensor<float>({shape.batch, shape.input_size}, -1, 1);
  const auto stepper = layer.stepper(shape.batch, shape.input_size);
  const double ns = median_ns(state, [&] { benchmark::DoNotOptimize(stepper->step(x.data())); });
  report(state, ns, static_cast<double>(shape.batch) * layer.flops_per_step(shape.input_size), 1);
  if (shape.batch <= kFewRows) {
    const double all = matrix_bytes(layer, {"weight_"});
    state.counters["of_read"] = all / ns / read_rate(static_cast<std::size_t>(all), 1);
  }
}

// Forward, backward and the gradients of weights; then for kTrain that of the input, too, for kTrainStep all
// else of a step: the loss and its gradient, Adam, and packing the weights that it moved.
template <class Layer>
void run_training(benchmark::State& state, const RecurrentCase& shape, Layer& layer) {
  const OpenMPThreads all(shape.threads);  // packing takes as many as OpenMP has
  const bool is_whole = shape.work == Work::kTrainStep;
  const std::size_t outputs = layer.output_size(shape.input_size);
  const Tensor<float> x = random_tensor<float>({shape.steps, shape.batch, shape.input_size}, -1, 1);
  const Tensor<float> target = random_tensor<float>({shape.steps, shape.batch, outputs}, -1, 1, 2);
  Parameters<float> parameters(layer.parameters());
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    const Tensor<float> value =
        random_tensor<float>(parameters.shape(i), -0.05F, 0.05F, static_cast<std::uint32_t>(i + 1));
    std::copy_n(value.data(), value.size(), parameters.value(i).data());
  }
  layer.load(parameters.state_dict());
  Adam<float> adam(parameters);
  const MSELoss<float> loss;
  Tape tape;
  const BackwardOptions backward{.wants_input = !is_whole, .threads = shape.threads};
  const auto train = [&] {
    const auto y = layer.record({x.view()}, tape, {.threads = shape.threads}).y;
    if (!is_whole) {
      benchmark::DoNotOptimize(layer.backward(target, tape, parameters, backward).data());
      return;
    }
    const auto out = loss(y, target, {.with_grad = true, .threads = shape.threads});
    parameters.zero_grad({.threads = shape.threads});
    layer.backward(out.grad, tape, parameters, backward);
    adam.step(parameters, {.threads = shape.threads});
    layer.load(parameters.state_dict());
  };
  const double ns = median_ns(state, train) / static_cast<double>(shape.steps);
  // The way back has two products for each of the way forward: one makes the gradient of the weights, one
  // that of what they were multiplied with.
  double flops = 3 * layer.flops_per_step(shape.input_size);
  if (is_whole) flops -= 2 * matrix_bytes(layer, {"weight_ih_l0"}) / sizeof(float);
  report(state, ns, static_cast<double>(shape.batch) * flops, shape.threads);
  const auto y = layer.record({x.view()}, tape, {.threads = shape.threads}).y;
  state.counters["tape"] = benchmark::Counter(static_cast<double>(tape.bytes()),
                                              benchmark::Counter::kDefaults, benchmark::Counter::kIs1024);
}

// Rows of 10 to T steps, in no order.
template <class Layer>
void run_ragged(benchmark::State& state, const RecurrentCase& shape, const Layer& layer) {
  const Tensor<float> x = random_tensor<float>({shape.steps, shape.batch, shape.input_size}, -1, 1);
  std::vector<std::int64_t> lengths(shape.batch);
  double steps = 0;
  for (std::size_t i = 0; i < shape.batch; ++i) {
    const std::size_t rank = i * 7 % shape.batch;
    const std::size_t length = 10 + (shape.steps - 10) * rank / (shape.batch - 1);
    lengths[i] = static_cast<std::int64_t>(length);
    steps += static_cast<double>(length);
  }
  InputOf<Layer> in;
  in.lengths = lengths;
  in.threads = shape.threads;
  const double ns = median_ns(state, [&] { benchmark::DoNotOptimize(layer.forward(x, in).output.data()); });
  const auto longest = static_cast<double>(shape.steps);
  report(state, ns / longest, steps * layer.flops_per_step(shape.input_size) / longest, shape.threads);
}

void register_ragged(Cell cell) {
  for (const int threads : {1, 2}) {
    const RecurrentCase shape{
        .cell = cell, .steps = 500, .batch = 32, .input_size = 256, .hidden_size = 256, .threads = threads};
    std::string name = to_name(shape);
    name.replace(name.find("Forward"), std::string_view("Forward").size(), "Ragged");
    benchmark::RegisterBenchmark(name.c_str(), [shape](benchmark::State& state) {
      with_layer(shape, [&](const auto& layer) { run_ragged(state, shape, layer); });
    })->Unit(benchmark::kMicrosecond);
  }
}

void register_on_both(RecurrentCase shape) {
  for (const int threads : {1, 2}) {
    shape.threads = threads;
    register_case(shape);
  }
}

}  // namespace

void register_case(const RecurrentCase& shape) {
  benchmark::RegisterBenchmark(to_name(shape).c_str(), [shape](benchmark::State& state) {
    with_layer(shape, [&](auto layer) {
      switch (shape.work) {
        case Work::kForward:
          return run_forward(state, shape, layer);
        case Work::kStep:
          return run_step(state, shape, layer);
        case Work::kTrain:
        case Work::kTrainStep:
          return run_training(state, shape, layer);
      }
    });
  })->Unit(benchmark::kMicrosecond);
}

void register_recurrent() {
  // The shapes at which engines are compared (bench/peers), LSTM and GRU.
  struct Size {
    std::size_t hidden, steps, batch;
  };
  for (const Cell cell : {Cell::kLstm, Cell::kGru}) {
    for (const Size& s :
         {Size{64, 100, 1}, Size{128, 100, 1}, Size{256, 100, 1}, Size{512, 100, 1}, Size{1792, 50, 1},
          Size{256, 100, 2}, Size{256, 100, 3}, Size{256, 100, 5}, Size{256, 150, 64}, Size{512, 25, 16},
          Size{512, 25, 32}, Size{1024, 25, 16}, Size{1024, 25, 64}, Size{2048, 25, 64}}) {
      register_on_both({.cell = cell,
                        .steps = s.steps,
                        .batch = s.batch,
                        .input_size = s.hidden,
                        .hidden_size = s.hidden});
    }
    register_on_both({.cell = cell,
                      .steps = 100,
                      .batch = 16,
                      .input_size = 256,
                      .hidden_size = 256,
                      .layers = 2,
                      .directions = 2});
    for (const Work work : {Work::kTrain, Work::kTrainStep}) {
      for (const Size& s : {Size{256, 100, 1}, Size{256, 150, 64}, Size{512, 25, 32}, Size{1024, 25, 64}}) {
        register_on_both({.cell = cell,
                          .work = work,
                          .steps = s.steps,
                          .batch = s.batch,
                          .input_size = s.hidden,
                          .hidden_size = s.hidden});
      }
    }
    // oneDNN's issue 837.
    for (const auto& [steps, input] : {std::pair{63, 24}, {31, 48}, {15, 96}}) {
      register_on_both({.cell = cell,
                        .steps = static_cast<std::size_t>(steps),
                        .input_size = static_cast<std::size_t>(input),
                        .hidden_size = 32,
                        .directions = 2});
    }
    // A stack: layers side by side on threads.
    for (const std::size_t batch : {1, 4}) {
      register_on_both(
          {.cell = cell, .steps = 100, .batch = batch, .input_size = 256, .hidden_size = 256, .layers = 2});
    }
  }
  for (const Size& s : {Size{256, 100, 1}, Size{256, 150, 64}, Size{512, 25, 32}}) {
    for (const Work work : {Work::kForward, Work::kTrain}) {
      register_on_both({.cell = Cell::kRestatedLstm,
                        .work = work,
                        .steps = s.steps,
                        .batch = s.batch,
                        .input_size = s.hidden,
                        .hidden_size = s.hidden});
    }
  }
  for (const std::size_t batch : {1, 32}) {
    register_on_both(
        {.cell = Cell::kRnn, .steps = 100, .batch = batch, .input_size = 256, .hidden_size = 256});
    register_on_both({.cell = Cell::kLstm,
                      .steps = 100,
                      .batch = batch,
                      .input_size = 512,
                      .hidden_size = 512,
                      .proj_size = 128});
  }
  for (const Cell cell : {Cell::kLstm, Cell::kGru}) {
    register_ragged(cell);
    for (const std::size_t hidden : {16, 64, 128, 256}) {
      for (const std::size_t batch : {1, 8, 64}) {
        register_case(
            {.cell = cell, .work = Work::kStep, .batch = batch, .input_size = hidden, .hidden_size = hidden});
      }
    }
    register_case({.cell = cell, .work = Work::kStep, .input_size = 64, .hidden_size = 64, .layers = 3});
  }
}

}  // namespace sluice::bench
