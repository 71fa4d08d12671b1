// SPDX-License-Identifier: Apache-2.0
// What gates do to the states of their units, as far as the equations of a cell say so plainly.
#pragma once

#include <string>
#include <vector>

#include "cells/cell_graph.h"
#include "layers/packed_cell.h"

namespace sluice {

/// Whether a unit's output is 0 where its gate is at one end.
enum class DeadUnit {
  kNo,
  kAtOnce,
  kFromStart,  ///< as long as it has always been there: states never leave the 0 at which they begin
};

struct GateRole {
  /// The share of a unit's old state that its new one has where the gate is 0, and where it is 1, both from 0
  /// to 1; in between it is in between. Equal: the gate has no part in it.
  double kept_shut = 0, kept_open = 0;
  DeadUnit dead_shut = DeadUnit::kNo, dead_open = DeadUnit::kNo;
};
/// Of a built-in cell, by the name that gates_of() gives the gate.
GateRole gate_role(CellKind kind, const std::string& gate);
/// Of each node. A sigmoid that multiplies an old state on the way to the same state's new value, as such or
/// in a + b * sigmoid, tells what is kept; sigmoids that do so together (f1 * f2) do not.
/// Of one that keeps several states, the first counts. A unit is dead where its output is 0 whatever all else
/// is, elementwise: none is whose output goes through a matrix.
std::vector<GateRole> gate_roles(const LoweredCell& cell);

}  // namespace sluice
