// SPDX-License-Identifier: Apache-2.0
// The shapes of a cell's arithmetic: what follows from what, and the words for what does not fit.
#pragma once

#include <cstddef>
#include <string>

#include "cells/cell_graph.h"

namespace sluice {

/// CellState::next of a state that has no next value yet.
inline constexpr std::size_t kNoNode = static_cast<std::size_t>(-1);

/// A node's name, or a short expression: "sigmoid(f)", "weight_ih x".
std::string describe(const CellGraph& graph, const CellNode& node);

/// The size that follows for `node`, whose arguments are nodes of `graph`. Throws ShapeError with the cell,
/// the operation, the values with their sizes, and node.where.
std::size_t checked_size(const CellGraph& graph, const CellNode& node);

/// Throws ShapeError unless node `next` has the state's size.
void check_next(const CellGraph& graph, const CellState& state, std::size_t next, const std::string& where);

}  // namespace sluice
