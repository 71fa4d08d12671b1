// SPDX-License-Identifier: Apache-2.0
// What a report must say of gates whose activations are known.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "reference/gate_activations.h"
#include "sluice/layers.h"
#include "sluice/profile.h"
#include "support/recurrent_cases.h"

namespace sluice::test {

// Large enough that gates reach both ends.
template <class T>
StateDict<T> scaled_weights(const std::vector<ParameterInfo>& infos, double scale,
                            const std::string& prefix = "") {
  StateDict<T> weights;
  for (std::size_t i = 0; i < infos.size(); ++i) {
    const Tensor<double> drawn = random_tensor<double>(infos[i].shape, -scale, scale, 10 + i);
    Tensor<T> value(infos[i].shape);
    for (std::size_t k = 0; k < drawn.size(); ++k) value.data()[k] = static_cast<T>(drawn.data()[k]);
    weights.set(prefix + infos[i].name, std::move(value));
  }
  return weights;
}

template <class T>
std::unique_ptr<Module<T>> make_module(const RecurrentOptions& o, const StateDict<T>& weights) {
  if (o.kind == CellKind::kLstm) {
    return std::make_unique<LSTM<T>>(LSTMOptions{.input_size = o.input_size,
                                                 .hidden_size = o.hidden_size,
                                                 .num_layers = o.num_layers,
                                                 .bidirectional = o.is_bidirectional,
                                                 .proj_size = o.proj_size},
                                     weights);
  }
  if (o.kind == CellKind::kRnnTanh || o.kind == CellKind::kRnnRelu) {
    return std::make_unique<RNN<T>>(
        RNNOptions{.input_size = o.input_size,
                   .hidden_size = o.hidden_size,
                   .num_layers = o.num_layers,
                   .nonlinearity = o.kind == CellKind::kRnnTanh ? Nonlinearity::kTanh : Nonlinearity::kRelu,
                   .bidirectional = o.is_bidirectional},
        weights);
  }
  return std::make_unique<GRU<T>>(
      GRUOptions{.input_size = o.input_size,
                 .hidden_size = o.hidden_size,
                 .num_layers = o.num_layers,
                 .bidirectional = o.is_bidirectional,
                 .reset = o.kind == CellKind::kGru ? GRUReset::kAfter : GRUReset::kBefore},
      weights);
}

// What a report must say, counted one activation at a time.
inline void expect_report(const GateReport& got, const reference::PlainGate& want,
                          const std::vector<std::int64_t>& lengths) {
  SCOPED_TRACE(got.module + " " + std::to_string(got.layer) + " " + std::to_string(got.direction) + " " +
               want.name);
  EXPECT_EQ(got.gate, want.name);
  EXPECT_EQ(got.is_tanh, want.is_tanh);
  const Tensor<double>& values = want.values;
  const std::size_t units = values.dim(2);
  std::uint64_t activations = 0, shut = 0, open = 0;
  std::vector<std::uint64_t> histogram(20);
  double sum = 0, derivative = 0;
  std::size_t longest = 0;
  for (std::size_t row = 0; row < lengths.size(); ++row) {
    longest = std::max(longest, static_cast<std::size_t>(lengths[row]));
    for (std::size_t t = 0; t < static_cast<std::size_t>(lengths[row]); ++t) {
      for (std::size_t unit = 0; unit < units; ++unit) {
        const double y = values(t, row, unit);
        ++activations;
        shut += y < (want.is_tanh ? -0.99 : 0.01) ? 1 : 0;
        open += y > 0.99 ? 1 : 0;
        sum += y;
        derivative += want.is_tanh ? 1 - y * y : y * (1 - y);
        std::size_t bin = 19;
        while (bin > 0 &&
               y < (want.is_tanh ? -1 + static_cast<double>(bin) / 10 : static_cast<double>(bin) / 20)) {
          --bin;
        }
        ++histogram[bin];
      }
    }
  }
  EXPECT_EQ(got.activations, activations);
  EXPECT_EQ(got.shut, shut);
  EXPECT_EQ(got.open, open);
  EXPECT_EQ(got.histogram, histogram);
  const auto n = static_cast<double>(activations), of_unit = n / static_cast<double>(units);
  // The same sums of a few 10000 numbers of at most 1 in another order.
  EXPECT_NEAR(got.mean, sum / n, 1e-12);
  EXPECT_NEAR(got.mean_derivative, derivative / n, 1e-12);
  const bool is_memory = want.name == "forget" || want.name == "update";
  EXPECT_NEAR(got.memory_steps, is_memory ? 1 / (1 - sum / n) : 0, 1e-9 * std::abs(got.memory_steps));

  ASSERT_EQ(got.unit_mean.size(), units);
  std::vector<std::size_t> dead, stuck;
  for (std::size_t unit = 0; unit < units; ++unit) {
    double mean = 0, square = 0, low = 0, high = 0;
    for (const bool is_second : {false, true}) {
      for (std::size_t row = 0; row < lengths.size(); ++row) {
        for (std::size_t t = 0; t < static_cast<std::size_t>(lengths[row]); ++t) {
          const double y = values(t, row, unit);
          if (is_second) {
            square += (y - mean) * (y - mean) / of_unit;
          } else {
            mean += y / of_unit;
            low += y < (want.is_tanh ? -0.99 : 0.01) ? 1 : 0;
            high += y > 0.99 ? 1 : 0;
          }
        }
      }
    }
    // Rounded to float.
    EXPECT_NEAR(got.unit_mean[unit], mean, 1e-7) << unit;
    EXPECT_NEAR(got.unit_deviation[unit], std::sqrt(square), 1e-7) << unit;
    EXPECT_EQ(got.unit_shut[unit], static_cast<float>(low / of_unit)) << unit;
    EXPECT_EQ(got.unit_open[unit], static_cast<float>(high / of_unit)) << unit;
    const bool is_shut = low == of_unit, is_open = high == of_unit;
    const auto steps = static_cast<double>(longest);
    if (of_unit < 32) continue;
    if (is_shut && (want.name == "output" || (want.name == "input" && steps * mean < 0.01))) {
      dead.push_back(unit);
    } else if (is_open && want.name == "update" && steps * (1 - mean) < 0.01) {
      dead.push_back(unit);
    } else if (!(is_memory && is_open) && (is_shut || is_open || std::sqrt(square) < 0.001)) {
      stuck.push_back(unit);
    }
  }
  EXPECT_EQ(got.dead_units, dead);
  EXPECT_EQ(got.stuck_units, stuck);

  const std::size_t lines = std::min<std::size_t>(units, 128), columns = std::min<std::size_t>(longest, 128);
  ASSERT_EQ(got.heat.shape().to_string(), Shape({lines, columns}).to_string());
  Tensor<double> sums({lines, columns}), counts({lines, columns});
  for (std::size_t row = 0; row < lengths.size(); ++row) {
    for (std::size_t t = 0; t < static_cast<std::size_t>(lengths[row]); ++t) {
      for (std::size_t unit = 0; unit < units; ++unit) {
        sums(unit * lines / units, t * columns / longest) += values(t, row, unit);
        ++counts(unit * lines / units, t * columns / longest);
      }
    }
  }
  for (std::size_t i = 0; i < sums.size(); ++i) {
    ASSERT_NEAR(got.heat.data()[i], sums.data()[i] / counts.data()[i], 1e-7) << i;
  }
}

inline void expect_same(const GateReport& got, const GateReport& want) {
  EXPECT_EQ(got.module, want.module);
  EXPECT_EQ(got.gate, want.gate);
  EXPECT_EQ(got.activations, want.activations);
  EXPECT_EQ(got.shut, want.shut);
  EXPECT_EQ(got.open, want.open);
  EXPECT_EQ(got.mean, want.mean);
  EXPECT_EQ(got.mean_derivative, want.mean_derivative);
  EXPECT_EQ(got.kept_shut, want.kept_shut);
  EXPECT_EQ(got.kept_open, want.kept_open);
  EXPECT_EQ(got.memory_steps, want.memory_steps);
  EXPECT_EQ(got.memory_low, want.memory_low);
  EXPECT_EQ(got.memory_median, want.memory_median);
  EXPECT_EQ(got.memory_high, want.memory_high);
  EXPECT_EQ(got.histogram, want.histogram);
  EXPECT_EQ(got.unit_mean, want.unit_mean);
  EXPECT_EQ(got.unit_deviation, want.unit_deviation);
  EXPECT_EQ(got.unit_shut, want.unit_shut);
  EXPECT_EQ(got.unit_open, want.unit_open);
  EXPECT_EQ(got.dead_units, want.dead_units);
  EXPECT_EQ(got.stuck_units, want.stuck_units);
  expect_same_bits<float>(got.heat.span(), want.heat.span());
}
inline void expect_same(const std::vector<GateReport>& got, const std::vector<GateReport>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) expect_same(got[i], want[i]);
}

}  // namespace sluice::test
