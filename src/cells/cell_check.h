// SPDX-License-Identifier: Apache-2.0
// The rules of a cell's arithmetic, whoever states it: names, shapes, what follows from what, and the words
// for what does not fit. `where` is a line of the author's code or a value of the text form, for messages.
#pragma once

#include <cstddef>
#include <string>

#include "cells/cell_graph.h"

namespace sluice {

/// CellState::next of a state that has no next value yet.
inline constexpr std::size_t kNoNode = static_cast<std::size_t>(-1);

[[noreturn]] void throw_cell_error(const CellGraph& graph, const std::string& what, const std::string& where);

/// Throws ShapeError for size 0.
void check_size(const CellGraph& graph, const std::string& what, std::size_t size, const std::string& where);

/// Throws Error where the name is empty, or something has it already.
void check_name(const CellGraph& graph, const std::string& name, const std::string& where);

/// The index of the parameter of that name, which is a new one, or an old one of the same shape. Throws
/// Error, ShapeError.
std::size_t add_parameter(CellGraph& graph, const std::string& name, const Shape& shape,
                          const std::string& where);

/// A node's name, or a short expression: "sigmoid(f)", "weight_ih x".
std::string describe(const CellGraph& graph, const CellNode& node);

/// The size that follows for `node`, whose arguments are nodes of `graph`. Throws ShapeError with the cell,
/// the operation, the values with their sizes, and node.where.
std::size_t checked_size(const CellGraph& graph, const CellNode& node);

/// Throws ShapeError unless node `next` has the state's size.
void check_next(const CellGraph& graph, const CellState& state, std::size_t next, const std::string& where);

/// The same cell with nodes and parameters in the order of a walk from the next values and the output, left
/// to right: compilers evaluate the operands of a + b in the order they like. Nodes that nothing needs are
/// gone.
CellGraph in_order(const CellGraph& graph);

}  // namespace sluice
