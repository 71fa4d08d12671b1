// SPDX-License-Identifier: Apache-2.0
// A cell that its user stated, as layers hold it: one state may be the output, and stands where h does; the
// others, one after the other, where an LSTM has c.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cells/cell_graph.h"
#include "sluice/custom_cell.h"

namespace sluice {

struct CellForm {
  explicit CellForm(const CustomCell& cell);

  /// Where the state is: in h, or from this element of c on.
  bool is_in_h(std::size_t state) const noexcept { return h_state == state; }

  LoweredCell lowered;
  std::optional<CellBackward> backward;
  std::string why_no_backward;  ///< where there is none
  std::size_t output_size = 0;
  std::optional<std::size_t> h_state;
  std::vector<std::size_t> c_offsets;  ///< [state]; not of the one in h
  std::size_t c_size = 0;
};

/// Where a recorded step's kept values stand in a row, and last, how much memory they take.
std::vector<std::size_t> saved_offsets(const LoweredCell& cell, const std::vector<std::size_t>& saved);

/// The areas of a row at one step of the way forward.
enum CellArea : std::uint16_t {
  kAreaX,
  kAreaPre,
  kAreaH,
  kAreaC,
  kAreaHOut,
  kAreaCOut,
  kAreaKept,
  kAreaScratch,
  kAreaReduced,
  kForwardAreas,
};

}  // namespace sluice
