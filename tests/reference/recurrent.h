// SPDX-License-Identifier: Apache-2.0
// LSTM, GRU and RNN in double precision, as the papers and PyTorch's documentation write them: one row, one
// unit, one gate at a time. Hochreiter and Schmidhuber 1997 with the forget gates of Gers et al. 2000; the
// projection of Sak et al. 2014; Cho et al. 2014; Elman 1990.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "sluice/recurrent.h"
#include "sluice/state_dict.h"
#include "sluice/tensor.h"

namespace sluice::reference {

using Vector = std::vector<double>;

enum class Cell { kLstm, kGruAfter, kGruBefore, kRnnTanh, kRnnRelu };

struct Network {
  Cell cell = Cell::kLstm;
  std::size_t input_size = 0;
  std::size_t hidden_size = 0;
  std::size_t num_layers = 1;
  bool bias = true;
  bool bidirectional = false;
  std::size_t proj_size = 0;

  std::size_t directions() const { return bidirectional ? 2 : 1; }
  std::size_t state_size() const { return proj_size > 0 ? proj_size : hidden_size; }
};

struct State {
  Vector h;
  Vector c;
};

inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// The parameters of one direction of one layer, all in double.
class CellParameters {
 public:
  template <class T>
  CellParameters(const StateDict<T>& weights, const std::string& suffix) {
    w_ = matrix(weights, "weight_ih" + suffix);
    u_ = matrix(weights, "weight_hh" + suffix);
    b_ = matrix(weights, "bias_ih" + suffix);
    c_ = matrix(weights, "bias_hh" + suffix);
    projection_ = matrix(weights, "weight_hr" + suffix);
  }

  /// Row `row` of W x + b.
  double input_part(std::size_t row, const Vector& x) const { return dot(w_[row], x) + bias(b_, row); }
  /// Row `row` of U h + c.
  double state_part(std::size_t row, const Vector& h) const { return dot(u_[row], h) + bias(c_, row); }
  Vector project(const Vector& m) const {
    if (projection_.empty()) return m;
    Vector h;
    for (const Vector& row : projection_) h.push_back(dot(row, m));
    return h;
  }

 private:
  template <class T>
  static std::vector<Vector> matrix(const StateDict<T>& weights, const std::string& name) {
    if (!weights.contains(name)) return {};
    const TensorView<const T> view = weights.at(name);
    std::vector<Vector> rows(view.dim(0));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (view.rank() == 1) rows[i] = {static_cast<double>(view(i))};
      for (std::size_t j = 0; view.rank() == 2 && j < view.dim(1); ++j) {
        rows[i].push_back(static_cast<double>(view(i, j)));
      }
    }
    return rows;
  }
  static double bias(const std::vector<Vector>& b, std::size_t row) { return b.empty() ? 0 : b[row][0]; }
  static double dot(const Vector& a, const Vector& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  }

  std::vector<Vector> w_, u_, b_, c_, projection_;
};

inline State lstm_step(const CellParameters& p, const Vector& x, const State& old) {
  const std::size_t size = old.c.size();
  State next = old;
  Vector m(size);
  for (std::size_t j = 0; j < size; ++j) {
    const auto gate = [&](std::size_t g) {
      return p.input_part(g * size + j, x) + p.state_part(g * size + j, old.h);
    };
    const double i = sigmoid(gate(0));
    const double f = sigmoid(gate(1));
    const double g = std::tanh(gate(2));
    const double o = sigmoid(gate(3));
    next.c[j] = f * old.c[j] + i * g;
    m[j] = o * std::tanh(next.c[j]);
  }
  next.h = p.project(m);
  return next;
}

inline State gru_step(const CellParameters& p, const Vector& x, const State& old, bool reset_before) {
  const std::size_t size = old.h.size();
  Vector r(size), reset_h(size);
  for (std::size_t j = 0; j < size; ++j) {
    r[j] = sigmoid(p.input_part(j, x) + p.state_part(j, old.h));
    reset_h[j] = r[j] * old.h[j];
  }
  State next = old;
  for (std::size_t j = 0; j < size; ++j) {
    const double z = sigmoid(p.input_part(size + j, x) + p.state_part(size + j, old.h));
    const double state =
        reset_before ? p.state_part(2 * size + j, reset_h) : r[j] * p.state_part(2 * size + j, old.h);
    const double n = std::tanh(p.input_part(2 * size + j, x) + state);
    next.h[j] = (1 - z) * n + z * old.h[j];
  }
  return next;
}

inline State rnn_step(const CellParameters& p, const Vector& x, const State& old, bool relu) {
  State next = old;
  for (std::size_t j = 0; j < old.h.size(); ++j) {
    const double a = p.input_part(j, x) + p.state_part(j, old.h);
    next.h[j] = relu ? (a > 0 ? a : 0) : std::tanh(a);
  }
  return next;
}

inline State cell_step(Cell cell, const CellParameters& p, const Vector& x, const State& old) {
  switch (cell) {
    case Cell::kLstm:
      return lstm_step(p, x, old);
    case Cell::kGruAfter:
      return gru_step(p, x, old, false);
    case Cell::kGruBefore:
      return gru_step(p, x, old, true);
    case Cell::kRnnTanh:
      return rnn_step(p, x, old, false);
    case Cell::kRnnRelu:
      return rnn_step(p, x, old, true);
  }
  return old;
}

/// One row of a batch through all layers. `steps` are its valid inputs, `states` the initial states
/// [layer * directions + direction] on entry and the final ones on return. Gives h of every step of the last
/// layer, both directions side by side, and c in the same way.
struct RowOutput {
  std::vector<Vector> h;
  std::vector<Vector> c;
};

template <class T>
RowOutput run_row(const Network& net, const StateDict<T>& weights, std::vector<Vector> steps,
                  std::vector<State>& states) {
  RowOutput out;
  for (std::size_t layer = 0; layer < net.num_layers; ++layer) {
    out.h.assign(steps.size(), {});
    out.c.assign(steps.size(), {});
    for (std::size_t direction = 0; direction < net.directions(); ++direction) {
      const std::string suffix = "_l" + std::to_string(layer) + (direction == 1 ? "_reverse" : "");
      const CellParameters p(weights, suffix);
      State& state = states[layer * net.directions() + direction];
      for (std::size_t s = 0; s < steps.size(); ++s) {
        const std::size_t t = direction == 1 ? steps.size() - 1 - s : s;
        state = cell_step(net.cell, p, steps[t], state);
        out.h[t].insert(out.h[t].end(), state.h.begin(), state.h.end());
        out.c[t].insert(out.c[t].end(), state.c.begin(), state.c.end());
      }
    }
    steps = out.h;
  }
  return out;
}

/// The whole batch: x [T, B, I], as RecurrentNet's `forward` with time first.
template <class T>
RecurrentOutput<double> run(const Network& net, const StateDict<T>& weights, TensorView<const T> x,
                            const RecurrentInput<T>& in) {
  const std::size_t batch = x.dim(1);
  const std::size_t cells = net.num_layers * net.directions();
  RecurrentOutput<double> out;
  out.output = Tensor<double>({x.dim(0), batch, net.directions() * net.state_size()});
  out.h_n = Tensor<double>({cells, batch, net.state_size()});
  out.c_n = Tensor<double>({cells, batch, net.hidden_size});
  out.c_sequence = Tensor<double>({x.dim(0), batch, net.directions() * net.hidden_size});
  for (std::size_t b = 0; b < batch; ++b) {
    std::vector<State> states(cells);
    for (std::size_t i = 0; i < cells; ++i) {
      states[i] = {Vector(net.state_size()), Vector(net.hidden_size)};
      for (std::size_t j = 0; in.h0 && j < net.state_size(); ++j) states[i].h[j] = in.h0(i, b, j);
      for (std::size_t j = 0; in.c0 && j < net.hidden_size; ++j) states[i].c[j] = in.c0(i, b, j);
    }
    std::vector<Vector> steps(in.lengths.empty() ? x.dim(0) : static_cast<std::size_t>(in.lengths[b]));
    for (std::size_t t = 0; t < steps.size(); ++t) {
      for (std::size_t k = 0; k < x.dim(2); ++k) steps[t].push_back(static_cast<double>(x(t, b, k)));
    }
    const RowOutput row = run_row(net, weights, steps, states);
    for (std::size_t t = 0; t < steps.size(); ++t) {
      for (std::size_t j = 0; j < row.h[t].size(); ++j) out.output(t, b, j) = row.h[t][j];
      for (std::size_t j = 0; j < row.c[t].size(); ++j) out.c_sequence(t, b, j) = row.c[t][j];
    }
    for (std::size_t i = 0; i < cells; ++i) {
      for (std::size_t j = 0; j < net.state_size(); ++j) out.h_n(i, b, j) = states[i].h[j];
      for (std::size_t j = 0; j < net.hidden_size; ++j) out.c_n(i, b, j) = states[i].c[j];
    }
  }
  return out;
}

}  // namespace sluice::reference
