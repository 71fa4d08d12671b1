// SPDX-License-Identifier: Apache-2.0
// What the way back through one cell measures for GateStatistics.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "layers/cell_form.h"
#include "layers/packed_cell.h"
#include "sluice/gate_statistics.h"
#include "sluice/tensor.h"

namespace sluice {

/// A gate, and where its activations stand: that of unit u at first + u / lanes * stride + u % lanes.
struct MeasuredGate {
  std::string name;
  bool is_tanh = false;
  std::size_t units = 0;
  std::size_t first = 0;
  std::size_t stride = 0;
  std::size_t node = 0;  ///< of a custom cell's LoweredCell
};
/// Of a built-in cell: in what a step kept (kernels::Row::kept); of a plain RNN in h.
std::vector<MeasuredGate> gates_of(CellKind kind, std::size_t hidden_size, std::size_t lanes);
/// Of a custom cell: the sigmoids and tanhs that a recorded step keeps, by the names that its author gave
/// them.
std::vector<MeasuredGate> gates_of(const CellForm& form, std::size_t lanes);

/// Rows may be measured by threads of their own: each has counts and sums apart, which are added in order.
template <class T>
class GateMeasure {
 public:
  GateMeasure(std::vector<MeasuredGate> gates, std::size_t lanes, std::size_t steps, std::size_t batch);

  /// A row's activations at one step, where the gates say.
  void count(std::size_t row, const T* values) noexcept;
  /// The gradient of h of a row at time t.
  void add_gradient(std::size_t t, std::size_t row, const T* grad, std::size_t n) noexcept;
  void add_to(RecurrentStatistics& statistics) const;

 private:
  struct Counts {
    std::uint64_t activations = 0, low = 0, high = 0;
  };
  std::vector<MeasuredGate> gates_;
  std::size_t lanes_;
  std::size_t steps_;
  std::size_t batch_;
  std::vector<Counts> counts_;   // [B][gates]
  std::vector<double> squares_;  // [T][B]; negative: no such step
};

extern template class GateMeasure<float>;
extern template class GateMeasure<double>;

}  // namespace sluice
