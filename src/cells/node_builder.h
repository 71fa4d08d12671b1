// SPDX-License-Identifier: Apache-2.0
// Makes the nodes of a LoweredCell or a CellBackward: equal values stand once, and what constants make simple
// is made simple.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cells/cell_graph.h"

namespace sluice {

class NodeBuilder {
 public:
  /// Index of the node that has the value of `node`, whose arguments stand here already: another one's where
  /// that is equal or simpler, which then takes the name if it has none. exp, log, sigmoid and tanh of
  /// constants stay: they are the kernels', whose bits differ between float and double.
  std::size_t add(CellNode node);
  /// An elementwise operation, or kSum, kMean, kVariance; its size follows from its arguments.
  std::size_t make(CellOp op, std::vector<std::size_t> args);
  std::size_t constant(double value);
  /// Names a node, unless it has a name.
  void name(std::size_t node, const std::string& name);

  const std::vector<CellNode>& nodes() const noexcept { return nodes_; }

 private:
  bool is_constant(std::size_t node, double value) const;

  std::vector<CellNode> nodes_;
  std::map<std::vector<std::uint64_t>, std::size_t> indices_;
};

/// The nodes that `roots`, which take their new indices, need, in order.
std::vector<CellNode> needed_nodes(const std::vector<CellNode>& nodes,
                                   const std::vector<std::size_t*>& roots);

}  // namespace sluice
