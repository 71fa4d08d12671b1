// SPDX-License-Identifier: Apache-2.0
#include "layers/gate_measure.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sluice {

std::vector<MeasuredGate> gates_of(CellKind kind, std::size_t hidden_size, std::size_t lanes) {
  // In the order in which a step keeps them.
  const auto kept = [&](std::vector<std::string> names, std::size_t vectors) {
    std::vector<MeasuredGate> gates;
    for (std::string& name : names) {
      const bool is_tanh = name == "cell" || name == "new" || name == "hidden";
      gates.push_back({std::move(name), is_tanh, hidden_size, gates.size() * lanes, vectors * lanes});
    }
    return gates;
  };
  switch (kind) {
    case CellKind::kLstm:
      return kept({"input", "forget", "cell", "output"}, 4);
    case CellKind::kGru:  // which keeps a part of the product, too
      return kept({"reset", "update", "new"}, 4);
    case CellKind::kGruBefore:
      return kept({"reset", "update", "new"}, 3);
    case CellKind::kRnnTanh:
      return kept({"hidden"}, 1);
    case CellKind::kRnnRelu:
    case CellKind::kCustom:
      break;
  }
  return {};
}

std::vector<MeasuredGate> gates_of(const CellForm& form, std::size_t lanes) {
  std::vector<MeasuredGate> gates;
  if (!form.backward) return gates;
  const std::vector<std::size_t>& saved = form.backward->saved;
  const std::vector<std::size_t> offsets = saved_offsets(form.lowered, saved);
  for (std::size_t i = 0; i < saved.size(); ++i) {
    const CellNode& node = form.lowered.nodes[saved[i]];
    if (node.op != CellOp::kSigmoid && node.op != CellOp::kTanh) continue;
    const bool is_tanh = node.op == CellOp::kTanh;
    // The author may have named what it is of.
    std::string name = node.name.empty() ? form.lowered.nodes[node.args[0]].name : node.name;
    if (name.empty()) name = (is_tanh ? "tanh " : "sigmoid ") + std::to_string(gates.size());
    gates.push_back({std::move(name), is_tanh, node.size, offsets[i], lanes, saved[i]});
  }
  return gates;
}

template <class T>
GateMeasure<T>::GateMeasure(std::vector<MeasuredGate> gates, std::size_t lanes, std::size_t steps,
                            std::size_t batch)
    : gates_(std::move(gates)),
      lanes_(lanes),
      steps_(steps),
      batch_(batch),
      counts_(batch * gates_.size()),
      squares_(steps * batch, -1) {}

template <class T>
void GateMeasure<T>::count(std::size_t row, const T* values) noexcept {
  for (std::size_t g = 0; g < gates_.size(); ++g) {
    const MeasuredGate& gate = gates_[g];
    Counts& counts = counts_[row * gates_.size() + g];
    const T low = gate.is_tanh ? T(-0.99) : T(0.01);
    const T high = T(0.99);
    for (std::size_t unit = 0; unit < gate.units; unit += lanes_) {
      const T* const of_block = values + gate.first + unit / lanes_ * gate.stride;
      const std::size_t n = std::min(lanes_, gate.units - unit);
      for (std::size_t i = 0; i < n; ++i) {
        counts.low += of_block[i] < low ? 1 : 0;
        counts.high += of_block[i] > high ? 1 : 0;
      }
    }
    counts.activations += gate.units;
  }
}

template <class T>
void GateMeasure<T>::add_gradient(std::size_t t, std::size_t row, const T* grad, std::size_t n) noexcept {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += static_cast<double>(grad[i]) * static_cast<double>(grad[i]);
  squares_[t * batch_ + row] = sum;
}

template <class T>
void GateMeasure<T>::add_to(RecurrentStatistics& statistics) const {
  statistics.gates.resize(gates_.size());
  for (std::size_t gate = 0; gate < gates_.size(); ++gate) {
    SaturationCount& sum = statistics.gates[gate];
    sum.gate = gates_[gate].name;
    for (std::size_t row = 0; row < batch_; ++row) {
      const Counts& counts = counts_[row * gates_.size() + gate];
      sum.activations += counts.activations;
      sum.low += counts.low;
      sum.high += counts.high;
    }
  }
  if (statistics.gradients.size() < steps_) statistics.gradients.resize(steps_);
  for (std::size_t t = 0; t < steps_; ++t) {
    double squares = 0;
    bool is_there = false;
    for (std::size_t row = 0; row < batch_; ++row) {
      const double square = squares_[t * batch_ + row];
      if (square < 0) continue;
      squares += square;
      is_there = true;
    }
    if (!is_there) continue;
    statistics.gradients[t].sum += std::sqrt(squares);
    ++statistics.gradients[t].runs;
  }
}

template class GateMeasure<float>;
template class GateMeasure<double>;

}  // namespace sluice
