// SPDX-License-Identifier: Apache-2.0
// What the gates of LSTM, GRU and RNN are at each step, from the equations alone.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "layers/recurrent_net.h"
#include "sluice/state_dict.h"
#include "sluice/tensor.h"

namespace sluice::reference {

inline double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

// One gate's activations, [T, B, units]; what stands past a row's length is not there.
struct PlainGate {
  std::string name;
  bool is_tanh;
  Tensor<double> values;
};
struct PlainCell {
  std::vector<PlainGate> gates;
  Tensor<double> output;  // [T, B, H_out]
};

inline PlainCell plain_cell(const RecurrentOptions& o, const StateDict<double>& weights,
                            const std::string& suffix, const Tensor<double>& x,
                            const std::vector<std::int64_t>& lengths, bool is_reverse) {
  const std::size_t H = o.hidden_size, steps = x.dim(0), batch = x.dim(1);
  const auto dot = [](TensorView<const double> w, std::size_t row, const double* in) {
    double sum = 0;
    for (std::size_t k = 0; k < w.dim(1); ++k) sum += w(row, k) * in[k];
    return sum;
  };
  const auto w = weights.at("weight_ih" + suffix), u = weights.at("weight_hh" + suffix);
  const auto b = weights.at("bias_ih" + suffix), c = weights.at("bias_hh" + suffix);
  PlainCell cell;
  cell.output = Tensor<double>({steps, batch, o.state_size()});
  const auto add = [&](const char* name, bool is_tanh) {
    cell.gates.push_back({name, is_tanh, Tensor<double>({steps, batch, H})});
  };
  if (o.kind == CellKind::kLstm) {
    add("input", false);
    add("forget", false);
    add("cell", true);
    add("output", false);
  } else if (o.kind == CellKind::kRnnTanh) {
    add("hidden", true);
  } else {
    add("reset", false);
    add("update", false);
    add("new", true);
  }
  for (std::size_t row = 0; row < batch; ++row) {
    std::vector<double> h(o.state_size()), state(H);
    const auto length = static_cast<std::size_t>(lengths[row]);
    for (std::size_t step = 0; step < length; ++step) {
      const std::size_t t = is_reverse ? length - 1 - step : step;
      const auto of_x = [&](std::size_t r) { return dot(w, r, &x(t, row, 0)) + b(r); };
      const auto pre = [&](std::size_t r) { return of_x(r) + dot(u, r, h.data()) + c(r); };
      std::vector<double> next(H), reset_h(H);
      for (std::size_t i = 0; i < H && o.kind == CellKind::kGruBefore; ++i) {
        reset_h[i] = sigmoid_of(pre(i)) * h[i];
      }
      for (std::size_t i = 0; i < H; ++i) {
        std::vector<double> now;
        if (o.kind == CellKind::kLstm) {
          now = {sigmoid_of(pre(i)), sigmoid_of(pre(H + i)), std::tanh(pre(2 * H + i)),
                 sigmoid_of(pre(3 * H + i))};
          state[i] = now[1] * state[i] + now[0] * now[2];
          next[i] = now[3] * std::tanh(state[i]);
        } else if (o.kind == CellKind::kRnnTanh) {
          now = {std::tanh(pre(i))};
          next[i] = now[0];
        } else {
          const double r = sigmoid_of(pre(i)), z = sigmoid_of(pre(H + i));
          const double of_h = o.kind == CellKind::kGru ? r * (dot(u, 2 * H + i, h.data()) + c(2 * H + i))
                                                       : dot(u, 2 * H + i, reset_h.data()) + c(2 * H + i);
          now = {r, z, std::tanh(of_x(2 * H + i) + of_h)};
          next[i] = (1 - z) * now[2] + z * h[i];
        }
        for (std::size_t gate = 0; gate < now.size(); ++gate) cell.gates[gate].values(t, row, i) = now[gate];
      }
      for (std::size_t i = 0; i < h.size(); ++i) {
        h[i] = o.proj_size > 0 ? dot(weights.at("weight_hr" + suffix), i, next.data()) : next[i];
        cell.output(t, row, i) = h[i];
      }
    }
  }
  return cell;
}

}  // namespace sluice::reference
