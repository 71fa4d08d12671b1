// SPDX-License-Identifier: Apache-2.0
// A profile made up: two layers of an LSTM between a Linear and another, on two threads, with all that a
// report can have.
#pragma once

#include <cmath>
#include <string>

#include "sluice/profile.h"
#include "support/random.h"

namespace sluice::testing {

inline PartReport sample_part(const std::string& name, const std::string& type, PhaseSeconds phases,
                              Bound bound) {
  PartReport part;
  part.name = name;
  part.type = type;
  part.phases = phases;
  for (const double seconds : phases) part.seconds_median += seconds;
  part.seconds_min = part.seconds_median * 0.96;
  part.bound = std::move(bound);
  part.share_of_bound = part.bound.seconds / part.seconds_min;
  return part;
}

/// A gate of 24 units over 96 steps; `bias` moves it towards open or shut.
inline GateReport sample_gate(std::size_t layer, const std::string& name, bool is_tanh, double bias) {
  constexpr std::size_t kUnits = 24, kTimes = 96, kRows = 4;
  GateReport gate;
  gate.module = "rnn";
  gate.layer = layer;
  gate.gate = name;
  gate.is_tanh = is_tanh;
  gate.activations = kUnits * kTimes * kRows;
  gate.histogram.assign(20, 0);
  gate.heat = Tensor<float>({kUnits, kTimes});
  double sum = 0, slopes = 0;
  for (std::size_t u = 0; u < kUnits; ++u) {
    double unit_sum = 0, unit_squares = 0;
    std::size_t unit_shut = 0, unit_open = 0;
    for (std::size_t t = 0; t < kTimes; ++t) {
      const double x =
          bias + 3 * std::sin(0.11 * static_cast<double>(t) * (1 + 0.08 * static_cast<double>(u)) +
                              static_cast<double>(7 * layer + u));
      const double y = u == 5 ? (is_tanh ? -1 : 0) : is_tanh ? std::tanh(x) : 1 / (1 + std::exp(-x));
      gate.heat(u, t) = static_cast<float>(y);
      unit_sum += y;
      unit_squares += y * y;
      unit_shut += y < (is_tanh ? -0.99 : 0.01) ? 1 : 0;
      unit_open += y > 0.99 ? 1 : 0;
      slopes += is_tanh ? 1 - y * y : y * (1 - y);
      const double place = is_tanh ? (y + 1) / 2 : y;
      gate.histogram[static_cast<std::size_t>(std::min(place * 20, 19.0))] += kRows;
    }
    const double mean = unit_sum / kTimes;
    sum += unit_sum;
    gate.shut += kRows * unit_shut;
    gate.open += kRows * unit_open;
    gate.unit_mean.push_back(static_cast<float>(mean));
    gate.unit_deviation.push_back(
        static_cast<float>(std::sqrt(std::max(0.0, unit_squares / kTimes - mean * mean))));
    gate.unit_shut.push_back(static_cast<float>(unit_shut) / kTimes);
    gate.unit_open.push_back(static_cast<float>(unit_open) / kTimes);
  }
  gate.mean = sum / (kUnits * kTimes);
  gate.mean_derivative = slopes / (kUnits * kTimes);
  if (name == "forget") {
    gate.kept_open = 1;
    gate.memory_steps = 1 / (1 - gate.mean);
    gate.memory_low = 0.6 * gate.memory_steps;
    gate.memory_median = 0.9 * gate.memory_steps;
    gate.memory_high = 3 * gate.memory_steps;
  }
  gate.dead_units = {5};
  if (name == "cell") gate.stuck_units = {2, 19};
  return gate;
}

inline ProfileReport sample_profile() {
  ProfileReport report;
  report.model = "speech.safetensors";
  report.dtype = "float32";
  report.steps = report.longest = 96;
  report.batch = 4;
  report.input_size = 40;
  report.threads = 2;
  report.repeat = 30;
  report.load_seconds = 0.0123;
  report.machine = {
      "avx512", 2,
      452e9,    {{"L1", 32768, 790e9}, {"L2", 1048576, 360e9}, {"L3", 16777216, 165e9}, {"memory", 0, 38e9}},
      4.2e9,    3.9e9};
  report.hardware.why_not = "perf_event_paranoid is 3";

  report.parts.push_back(
      sample_part("front", "Linear", {0, 0, 0, 0, 61e-6}, {7.9e6, 2.1e5, 17.5e-6, "multiply-adds"}));
  PartReport rnn = sample_part("rnn", "LSTM", {210e-6, 905e-6, 118e-6, 146e-6, 21e-6},
                               {404e6, 71e6, 894e-6, "multiply-adds"});
  rnn.gates_per_second = 331e6;
  rnn.ns_per_gate = 3.02;
  rnn.elements_per_cycle = 0.09;
  rnn.parts.push_back(sample_part("rnn l0", "LSTM", {92e-6, 452e-6, 58e-6, 71e-6, 10e-6},
                                  {192e6, 34e6, 425e-6, "multiply-adds"}));
  rnn.parts.push_back(sample_part("rnn l1", "LSTM", {118e-6, 453e-6, 60e-6, 75e-6, 11e-6},
                                  {212e6, 37e6, 469e-6, "multiply-adds"}));
  rnn.threads = rnn.parts[0].threads = rnn.parts[1].threads = 2;
  report.parts.push_back(std::move(rnn));
  report.parts.push_back(
      sample_part("head", "Linear", {0, 0, 0, 0, 12.5e-6}, {0.59e6, 1.4e5, 1.3e-6, "multiply-adds"}));
  report.parts.push_back(sample_part("Softmax", "Softmax", {0, 0, 0, 0, 3.1e-6}, {}));
  for (const PartReport& part : report.parts) report.seconds_median += part.seconds_median;
  report.seconds_min = report.seconds_median * 0.96;
  report.bound = {412.5e6, 71.4e6, 913e-6, "multiply-adds"};
  report.share_of_bound = report.bound.seconds / report.seconds_min;

  for (const std::size_t layer : {0u, 1u}) {
    report.gates.push_back(sample_gate(layer, "input", false, -1));
    report.gates.push_back(sample_gate(layer, "forget", false, layer == 0 ? 1 : 4.5));
    report.gates.push_back(sample_gate(layer, "cell", true, 0));
    report.gates.push_back(sample_gate(layer, "output", false, 0.3));
  }
  report.gradient_norms.resize(96);
  for (std::size_t t = 0; t < 96; ++t) {
    report.gradient_norms[t] = std::pow(10, -4 + 4 * static_cast<double>(t) / 95);
  }
  report.advice = {{"rnn", "use one thread", "two threads take 1.31 times as long as one", true},
                   {"rnn", "batch more rows", "4 rows fill 4 of 6 rows of a tile", false},
                   {"rnn l1 forget", "look at its bias",
                    "62.4 % of its activations are above 0.99, and y (1 - y) is 0.031 in the mean", false}};
  constexpr const char* kPhaseNames[] = {"input", "recurrent", "gates", "waiting"};
  constexpr double kTakes[] = {0.9e-6, 4.7e-6, 0.6e-6, 0.4e-6};
  for (const std::size_t thread : {0u, 1u}) {
    double at = 0;
    for (std::size_t step = 0; step < 12; ++step) {
      for (std::size_t i = 0; i < 4; ++i) {
        const double seconds =
            kTakes[i] * (thread == 1 && i == 1 ? 0.9 : 1) + (thread == 1 && i == 3 ? 0.47e-6 : 0);
        report.trace.push_back({std::string("rnn l0 ") + kPhaseNames[i], thread, at, seconds, step});
        at += seconds;
      }
    }
  }
  return report;
}

}  // namespace sluice::testing
