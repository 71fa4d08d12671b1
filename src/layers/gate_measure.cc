// SPDX-License-Identifier: Apache-2.0
#include "layers/gate_measure.h"

#include <algorithm>
#include <cmath>

namespace sluice {

template <class T>
auto GateMeasure<T>::gates_of(CellKind kind) noexcept -> std::span<const Gate> {
  // In the order in which a step keeps them.
  static constexpr Gate kLstm[] = {{"input", false}, {"forget", false}, {"cell", true}, {"output", false}};
  static constexpr Gate kGru[] = {{"reset", false}, {"update", false}, {"new", true}};
  static constexpr Gate kRnn[] = {{"hidden", true}};
  switch (kind) {
    case CellKind::kLstm:
      return kLstm;
    case CellKind::kGru:
    case CellKind::kGruBefore:
      return kGru;
    case CellKind::kRnnTanh:
      return kRnn;
    case CellKind::kRnnRelu:
      break;
  }
  return {};
}

template <class T>
GateMeasure<T>::GateMeasure(CellKind kind, std::size_t hidden_size, std::size_t lanes, std::size_t steps,
                            std::size_t batch)
    : gates_(gates_of(kind)),
      has_kept_(kind != CellKind::kRnnTanh && kind != CellKind::kRnnRelu),
      // A GRU that resets after the product keeps a part of that, too.
      kept_vectors_(kind == CellKind::kGru ? 4 : gates_.size()),
      units_(hidden_size),
      lanes_(lanes),
      steps_(steps),
      batch_(batch),
      counts_(batch * gates_.size()),
      squares_(steps * batch, -1) {}

template <class T>
void GateMeasure<T>::count(std::size_t row, const T* kept, const T* h) noexcept {
  for (std::size_t gate = 0; gate < gates_.size(); ++gate) {
    Counts& counts = counts_[row * gates_.size() + gate];
    const T low = gates_[gate].is_tanh ? T(-0.99) : T(0.01);
    const T high = T(0.99);
    for (std::size_t unit = 0; unit < units_; unit += lanes_) {
      const T* const values = has_kept_ ? kept + unit * kept_vectors_ + gate * lanes_ : h + unit;
      const std::size_t n = std::min(lanes_, units_ - unit);
      for (std::size_t i = 0; i < n; ++i) {
        counts.low += values[i] < low ? 1 : 0;
        counts.high += values[i] > high ? 1 : 0;
      }
    }
    counts.activations += units_;
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
