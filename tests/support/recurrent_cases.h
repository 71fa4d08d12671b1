// SPDX-License-Identifier: Apache-2.0
// Recurrent networks of every kind, with random weights, for the tests of the layers, cells and steppers.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "layers/recurrent_net.h"
#include "reference/recurrent.h"
#include "sluice/error.h"
#include "support/expect_same_bits.h"
#include "support/module_promises.h"
#include "support/random.h"

namespace sluice::test {

/// As PyTorch starts its parameters: uniform within 1 / sqrt(hidden_size).
template <class T>
StateDict<T> random_weights(const std::vector<ParameterInfo>& parameters, std::size_t hidden_size,
                            std::uint64_t seed) {
  StateDict<T> weights;
  const double scale = 1 / std::sqrt(static_cast<double>(hidden_size));
  for (const ParameterInfo& info : parameters) {
    // Drawn as float32 numbers, so that float and double networks are the same network.
    const Tensor<float> drawn = random_tensor<float>(info.shape, -1, 1, seed++);
    Tensor<T> value(info.shape);
    for (std::size_t i = 0; i < value.size(); ++i) {
      value.data()[i] = static_cast<T>(static_cast<float>(scale * drawn.data()[i]));
    }
    weights.set(info.name, std::move(value));
  }
  return weights;
}

inline reference::Cell reference_cell(CellKind kind) {
  switch (kind) {
    case CellKind::kLstm:
      return reference::Cell::kLstm;
    case CellKind::kGru:
      return reference::Cell::kGruAfter;
    case CellKind::kGruBefore:
      return reference::Cell::kGruBefore;
    case CellKind::kRnnTanh:
      return reference::Cell::kRnnTanh;
    case CellKind::kRnnRelu:
      return reference::Cell::kRnnRelu;
    case CellKind::kCustom:
      break;
  }
  return reference::Cell::kLstm;
}

/// What a layer of these options is called with by name, as the constructors list it.
inline std::vector<ParameterInfo> parameters_of(const RecurrentOptions& options) {
  std::vector<ParameterInfo> all;
  const std::size_t rows = gate_count(options.kind) * options.hidden_size;
  for (std::size_t layer = 0; layer < options.num_layers; ++layer) {
    for (std::size_t direction = 0; direction < options.directions(); ++direction) {
      std::string suffix = "_l" + std::to_string(layer) + (direction == 1 ? "_reverse" : "");
      if (options.names == ParameterNames::kCell) suffix.clear();
      all.push_back({"weight_ih" + suffix, Shape({rows, options.layer_input_size(layer)})});
      all.push_back({"weight_hh" + suffix, Shape({rows, options.state_size()})});
      if (options.has_bias) {
        all.push_back({"bias_ih" + suffix, Shape({rows})});
        all.push_back({"bias_hh" + suffix, Shape({rows})});
      }
      if (options.proj_size > 0) {
        all.push_back({"weight_hr" + suffix, Shape({options.proj_size, options.hidden_size})});
      }
    }
  }
  return all;
}

template <class T>
StateDict<T> random_weights(const RecurrentOptions& options, std::uint64_t seed = 1) {
  return random_weights<T>(parameters_of(options), options.hidden_size, seed);
}

template <class T>
RecurrentNet<T> random_net(const RecurrentOptions& options, std::uint64_t seed = 1) {
  return RecurrentNet<T>(options, random_weights<T>(options, seed), "");
}

inline RecurrentOptions options_of(CellKind kind, std::size_t input_size, std::size_t hidden_size,
                                   std::size_t num_layers = 1, bool is_bidirectional = false,
                                   std::size_t proj_size = 0, bool has_bias = true) {
  RecurrentOptions options;
  options.type = "Net";
  options.kind = kind;
  options.input_size = input_size;
  options.hidden_size = hidden_size;
  options.num_layers = num_layers;
  options.is_bidirectional = is_bidirectional;
  options.proj_size = proj_size;
  options.has_bias = has_bias;
  return options;
}

/// One of each kind of cell.
inline std::vector<RecurrentOptions> every_kind(std::size_t input_size, std::size_t hidden_size,
                                                std::size_t num_layers = 1, bool is_bidirectional = false) {
  std::vector<RecurrentOptions> all;
  for (const CellKind kind :
       {CellKind::kLstm, CellKind::kGru, CellKind::kGruBefore, CellKind::kRnnTanh, CellKind::kRnnRelu}) {
    all.push_back(options_of(kind, input_size, hidden_size, num_layers, is_bidirectional));
  }
  if (hidden_size > 1) {
    all.push_back(options_of(CellKind::kLstm, input_size, hidden_size, num_layers, is_bidirectional,
                             (hidden_size + 1) / 2));
  }
  return all;
}

inline std::string describe(const RecurrentOptions& o) {
  return "kind " + std::to_string(static_cast<int>(o.kind)) + " I " + std::to_string(o.input_size) + " H " +
         std::to_string(o.hidden_size) + " P " + std::to_string(o.proj_size) + " L " +
         std::to_string(o.num_layers) + (o.is_bidirectional ? " both ways" : "") +
         (o.has_bias ? "" : " without bias");
}

/// Everything that a call may be given, for [T, B, I].
template <class T>
struct RandomCall {
  Tensor<T> x;
  Tensor<T> h0;
  Tensor<T> c0;  // null unless LSTM
  std::vector<std::int64_t> lengths;

  RandomCall(const RecurrentOptions& options, std::size_t steps, std::size_t batch, std::uint64_t seed = 100)
      : x(random_tensor<T>({steps, batch, options.input_size}, -1, 1, seed)),
        h0(random_tensor<T>({options.num_layers * options.directions(), batch, options.state_size()}, -1, 1,
                            seed + 1)) {
    if (options.kind == CellKind::kLstm) {
      c0 = random_tensor<T>({options.num_layers * options.directions(), batch, options.hidden_size}, -1, 1,
                            seed + 2);
    }
    // In no order, with the longest and the shortest that there are.
    Random random(seed);
    for (std::size_t b = 0; b < batch; ++b) {
      const std::size_t length = b == 0 ? steps : b == 3 ? 0 : random.below(steps + 1);
      lengths.push_back(static_cast<std::int64_t>(length));
    }
  }

  RecurrentInput<T> input(bool with_lengths = true) const {
    RecurrentInput<T> in;
    in.h0 = h0;
    in.c0 = c0;
    in.cell_sequence = !c0.is_null();
    if (with_lengths) in.lengths = lengths;
    return in;
  }
};

template <class T>
void expect_same_output(const RecurrentOutput<T>& got, const RecurrentOutput<T>& want) {
  {
    SCOPED_TRACE("output");
    expect_same_bits<T>(got.output.view(), want.output.view());
  }
  {
    SCOPED_TRACE("h_n");
    expect_same_bits<T>(got.h_n.view(), want.h_n.view());
  }
  ASSERT_EQ(got.c_n.is_null(), want.c_n.is_null());
  ASSERT_EQ(got.c_sequence.is_null(), want.c_sequence.is_null());
  {
    SCOPED_TRACE("c_n");
    if (want.c_n.size() > 0) expect_same_bits<T>(got.c_n.view(), want.c_n.view());
  }
  {
    SCOPED_TRACE("c_sequence");
    if (want.c_sequence.size() > 0) expect_same_bits<T>(got.c_sequence.view(), want.c_sequence.view());
  }
}

/// Issue's bounds: relative to the largest value, for up to 100 steps of sizes up to 256. A step rounds each
/// gate's chain of K + 1 fused multiply-adds, with random signs about sqrt(K) u / 2, and the contraction of
/// the gates keeps what it hands on from growing.
template <class T>
inline constexpr double kTolerance = 3e-6;
template <>
inline constexpr double kTolerance<double> = 1e-12;

/// `least` is a size that the rounding errors are relative to at least.
template <class T>
void expect_close(const Tensor<T>& got, const Tensor<double>& want, const char* what, double least = 0) {
  ASSERT_EQ(got.shape().to_string(), want.shape().to_string()) << what;
  double largest = least;
  for (const double v : want.span()) largest = std::max(largest, std::abs(v));
  for (std::size_t i = 0; i < want.size(); ++i) {
    ASSERT_NEAR(static_cast<double>(got.data()[i]), want.data()[i], kTolerance<T> * largest)
        << what << " element " << i;
  }
}

/// A network against the reference with everything given and with nothing given.
template <class T>
void expect_matches_reference(const RecurrentOptions& options, std::size_t steps, std::size_t batch) {
  SCOPED_TRACE(describe(options) + " T " + std::to_string(steps) + " B " + std::to_string(batch));
  const StateDict<T> weights = random_weights<T>(options);
  const RecurrentNet<T> net(options, weights, "");
  const reference::Network same{.cell = reference_cell(options.kind),
                                .input_size = options.input_size,
                                .hidden_size = options.hidden_size,
                                .num_layers = options.num_layers,
                                .bias = options.has_bias,
                                .bidirectional = options.is_bidirectional,
                                .proj_size = options.proj_size};
  const RandomCall<T> call(options, steps, batch);
  RecurrentInput<T> bare;
  bare.cell_sequence = options.kind == CellKind::kLstm;
  // A ReLU passes on a sum that cancelled, with the rounding of its terms, which are about 1 in size here.
  const double least = options.kind == CellKind::kRnnRelu ? 1 : 0;
  for (const RecurrentInput<T>& in : {bare, call.input(false), call.input(true)}) {
    const RecurrentOutput<T> got = net.forward(call.x, in, SequenceLayout::kTimeFirst);
    const RecurrentOutput<double> want = reference::run<T>(same, weights, call.x.view(), in);
    expect_close(got.output, want.output, "output", least);
    expect_close(got.h_n, want.h_n, "h_n", least);
    if (options.kind != CellKind::kLstm) continue;
    expect_close(got.c_n, want.c_n, "c_n");
    expect_close(got.c_sequence, want.c_sequence, "c_sequence");
  }
}

}  // namespace sluice::test
