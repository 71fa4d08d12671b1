// SPDX-License-Identifier: Apache-2.0
// Counts the activations of one gate, as recorded calls of its network keep them, for a GateReport.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "layers/gate_measure.h"
#include "layers/recurrent_net.h"
#include "layers/recurrent_record.h"
#include "profile/gate_roles.h"
#include "sluice/profile.h"

namespace sluice {

/// A gate of one cell, and where a recorded call has its activations.
struct GatePlace {
  enum class In { kKept, kOutput, kCell };
  MeasuredGate gate;  ///< `first` from where a row's part of the tensor begins
  std::size_t layer = 0;
  std::size_t direction = 0;
  In in = In::kKept;
  GateRole role{};
};
/// All of a network, [layer][direction][gate].
template <class T>
std::vector<GatePlace> gate_places(const RecurrentNet<T>& net);

/// The valid steps of a batch, and the columns of its heat maps: step t belongs to column t * count / steps.
struct TimeColumns {
  TimeColumns(std::size_t all_steps, std::size_t batch, std::span<const std::int64_t> lengths);

  std::size_t of(std::size_t t) const noexcept { return t * count / steps; }

  std::size_t steps = 0;  ///< of the longest row
  std::size_t count = 0;
  std::uint64_t activations = 0;       ///< of a unit: valid steps of all rows
  std::vector<std::uint64_t> of_unit;  ///< the same by column
};

/// Where in a batch something is.
struct RowStep {
  /// Where rows come one after the other, and direction 1 goes through each from its end.
  bool is_before(RowStep other, std::size_t direction) const noexcept {
    if (row != other.row) return row < other.row;
    return direction == 1 ? step > other.step : step < other.step;
  }

  std::size_t row = 0, step = 0;
};

/// Sums by unit, in the order of rows and, in a row, of time: they depend neither on threads nor on how a
/// batch is cut into calls of some rows, or a row into calls of some steps.
template <class T>
class GateCounts {
 public:
  /// `columns` must outlive this.
  GateCounts(GatePlace place, std::size_t lanes, const TimeColumns& columns);

  std::size_t blocks() const noexcept { return histograms_.size() / kBins; }
  /// Adds a recorded call that began at row and step `first`, of one block of units. Blocks are independent.
  void count(std::size_t block, const RecurrentRecord<T>& record, RowStep first) noexcept;
  /// Where activations are NaN: the first row, and there the first step in the gate's direction.
  std::optional<RowStep> first_nan() const;
  /// Of a gate without NaN.
  GateReport report(const std::string& module) const;
  const GatePlace& place() const noexcept { return place_; }

 private:
  static constexpr std::size_t kBins = 20;

  void add_nan(std::size_t block, RowStep at) noexcept;
  /// Of a unit whose gate is always at one end, `off` from it on average.
  bool is_dead(DeadUnit there, double off) const noexcept;

  GatePlace place_;
  std::size_t lanes_;
  const TimeColumns* columns_;
  std::vector<std::uint64_t> histograms_;     // [block][kBins]
  std::vector<char> has_begun_;               // [block]
  std::vector<std::optional<RowStep>> nans_;  // [block]
  // [block][lanes], by unit. Sums of y - shift, where shift is the unit's first activation: of what hardly
  // moves they keep the digits that matter.
  std::vector<double> shifts_, sums_, squares_, derivatives_;
  std::vector<std::uint64_t> shut_, open_;
  std::vector<double> heat_;  // [column][block][lanes]
};

extern template class GateCounts<float>;
extern template class GateCounts<double>;

}  // namespace sluice
