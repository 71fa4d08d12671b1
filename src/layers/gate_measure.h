// SPDX-License-Identifier: Apache-2.0
// What the way back through one cell measures for GateStatistics.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "layers/packed_cell.h"
#include "sluice/gate_statistics.h"
#include "sluice/tensor.h"

namespace sluice {

/// Rows may be measured by threads of their own: each has counts and sums apart, which are added in order.
template <class T>
class GateMeasure {
 public:
  GateMeasure(CellKind kind, std::size_t hidden_size, std::size_t lanes, std::size_t steps,
              std::size_t batch);

  /// A row's activations at one step: what the step kept (kernels::Row::kept), and h.
  void count(std::size_t row, const T* kept, const T* h) noexcept;
  /// The gradient of h of a row at time t.
  void add_gradient(std::size_t t, std::size_t row, const T* grad, std::size_t n) noexcept;
  void add_to(RecurrentStatistics& statistics) const;

 private:
  struct Gate {
    std::string_view name;
    bool is_tanh;
  };
  struct Counts {
    std::uint64_t activations = 0, low = 0, high = 0;
  };
  static std::span<const Gate> gates_of(CellKind kind) noexcept;

  std::span<const Gate> gates_;
  bool has_kept_;
  std::size_t kept_vectors_;  // of one block of units
  std::size_t units_;
  std::size_t lanes_;
  std::size_t steps_;
  std::size_t batch_;
  std::vector<Counts> counts_;   // [B][gates]
  std::vector<double> squares_;  // [T][B]; negative: no such step
};

extern template class GateMeasure<float>;
extern template class GateMeasure<double>;

}  // namespace sluice
