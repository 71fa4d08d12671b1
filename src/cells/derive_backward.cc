// SPDX-License-Identifier: Apache-2.0
// Reverse mode over a LoweredCell: from the last node to the first, each node's gradient, complete once all
// that take it are done, is passed on to its arguments.
#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cells/cell_graph.h"
#include "cells/node_builder.h"
#include "sluice/error.h"

namespace sluice {
namespace {

bool is_leaf(const CellNode& node) { return node.op <= CellOp::kConstant; }

bool is_function(CellOp op) {
  return op == CellOp::kDiv || op == CellOp::kExp || op == CellOp::kLog || op == CellOp::kSqrt ||
         op == CellOp::kSigmoid || op == CellOp::kTanh;
}

bool is_reduction(CellOp op) { return op == CellOp::kSum || op == CellOp::kMean || op == CellOp::kVariance; }

std::string range(std::size_t first, std::size_t size) {
  return "[" + std::to_string(first) + ", " + std::to_string(first + size) + ")";
}

class Derivation {
 public:
  explicit Derivation(const LoweredCell& cell);
  CellBackward derive();

 private:
  bool is_read(std::size_t node) const { return is_leaf(cell_.nodes[node]) || next_of_[node].has_value(); }
  bool is_kept(std::size_t node) const;
  std::size_t value(std::size_t node);
  std::size_t mean_of(std::size_t node);

  double size_of(std::size_t node) const { return static_cast<double>(cell_.nodes[node].size); }

  std::size_t make(CellOp op, std::vector<std::size_t> args) { return made_.make(op, std::move(args)); }
  std::size_t sum(std::size_t a, std::size_t b);
  std::size_t spread(std::size_t node, std::size_t size);
  std::size_t sum_over_units(std::size_t gradient);
  void add(std::size_t node, std::size_t gradient);
  void pass_on(std::size_t index, std::size_t g);

  bool is_outside(std::size_t node) const;
  std::size_t list(std::size_t node);
  CellBackward::Operand operand(std::size_t node) const;
  CellBackward::Gradient& gradient_of(const CellNode& leaf);
  void add_part(const CellNode& leaf, std::size_t gradient);
  void give_out(const CellNode& node, std::size_t g);
  void finish();

  const LoweredCell& cell_;
  NodeBuilder made_;
  CellBackward result_;
  std::vector<std::optional<std::size_t>> next_of_;  // which state the node is the next value of
  std::vector<bool> is_operand_;                     // a product's, computed in the same step
  std::vector<bool> may_be_wide_;                    // its gradient may have more elements, to be summed
  std::vector<std::optional<std::size_t>> values_;   // of forward nodes, here
  /// Of each forward node: parts to be added. One of the node's size; more only where it may be wide.
  std::vector<std::vector<std::size_t>> gradients_;
  std::vector<std::vector<CellProduct>>
      products_;  // of each: transposed ones, a part of its gradient; last first
};

Derivation::Derivation(const LoweredCell& cell)
    : cell_(cell),
      next_of_(cell.nodes.size()),
      is_operand_(cell.nodes.size()),
      may_be_wide_(cell.nodes.size()),
      values_(cell.nodes.size()),
      gradients_(cell.nodes.size()),
      products_(cell.nodes.size()) {
  result_.states.resize(cell.states.size());
  for (std::size_t s = 0; s < cell.states.size(); ++s) next_of_[cell.states[s].next] = s;
  for (std::size_t i = 0; i < cell.nodes.size(); ++i) {
    const CellNode& node = cell.nodes[i];
    for (const CellProduct& product : node.products) is_operand_[product.operand] = true;
    // What is made of scalar parameters alone has the same derivative everywhere, so that the sum over units
    // can wait until the last one over rows and steps.
    may_be_wide_[i] =
        node.op == CellOp::kScalar || (node.size == 1 && !node.args.empty() &&
                                       std::all_of(node.args.begin(), node.args.end(), [&](std::size_t arg) {
                                         return may_be_wide_[arg] || cell.nodes[arg].op == CellOp::kConstant;
                                       }));
  }
}

/// Whether the forward step keeps the node for us, if we need it: what costs more to make again than to read,
/// and operands of products, since the gradient of the matrix is a product with them. A function of what is
/// read anyway, as tanh(c') of an LSTM, is made again.
bool Derivation::is_kept(std::size_t node) const {
  const CellNode& n = cell_.nodes[node];
  if (is_read(node)) return false;
  if (is_operand_[node] || is_reduction(n.op) || n.op == CellOp::kProducts) return true;
  return is_function(n.op) &&
         !std::all_of(n.args.begin(), n.args.end(), [&](std::size_t arg) { return is_read(arg); });
}

/// The node of the way back that has the value of a forward node. Without recursion: a cell from a file may
/// be as deep as it likes.
std::size_t Derivation::value(std::size_t node) {
  std::vector<std::size_t> open{node};
  while (!open.empty()) {
    const std::size_t i = open.back();
    CellNode same = cell_.nodes[i];
    if (!is_leaf(same) && next_of_[i]) {
      same = {.op = CellOp::kNextState, .size = same.size, .index = *next_of_[i]};
    } else if (is_kept(i)) {
      // Which of the saved ones it is, finish() says, when all are known.
      same = {.op = CellOp::kSaved, .size = same.size, .index = i};
    }
    bool is_ready = true;
    for (std::size_t& arg : same.args) {
      if (!values_[arg]) open.push_back(arg);
      is_ready = is_ready && values_[arg];
      arg = values_[arg].value_or(0);
    }
    if (!is_ready) continue;
    values_[i] = made_.add(std::move(same));
    open.pop_back();
  }
  return *values_[node];
}

/// The mean of a forward node, as layer normalisation has it.
std::size_t Derivation::mean_of(std::size_t node) {
  for (std::size_t i = node + 1; i < cell_.nodes.size(); ++i) {
    if (cell_.nodes[i].op == CellOp::kMean && cell_.nodes[i].args[0] == node) return value(i);
  }
  return make(CellOp::kMean, {value(node)});
}

/// a + b, in one operation with the product that one of them is: it is left out where no one else needs it.
std::size_t Derivation::sum(std::size_t a, std::size_t b) {
  for (const auto& [product, other] : {std::pair(b, a), std::pair(a, b)}) {
    const CellNode& node = made_.nodes()[product];
    if (node.op == CellOp::kMul) return make(CellOp::kMulAdd, {node.args[0], node.args[1], other});
  }
  return make(CellOp::kAdd, {a, b});
}

/// `node`, of size 1, as each of `size` elements, by an operation that is not simplified away.
std::size_t Derivation::spread(std::size_t node, std::size_t size) {
  return made_.add(
      {.op = CellOp::kSelect, .size = size, .args = {made_.constant(1), node, made_.constant(0)}});
}

std::size_t Derivation::sum_over_units(std::size_t gradient) {
  const CellNode& node = made_.nodes()[gradient];
  if (node.op == CellOp::kNeg) return make(CellOp::kNeg, {make(CellOp::kSum, {node.args[0]})});
  return make(CellOp::kSum, {gradient});
}

/// Adds to the gradient of a forward node what may be a gradient of each element that it counts for.
void Derivation::add(std::size_t node, std::size_t gradient) {
  const CellNode& to = cell_.nodes[node];
  if (to.op == CellOp::kConstant) return;
  if (to.size == 1 && !may_be_wide_[node]) gradient = sum_over_units(gradient);
  for (std::size_t& part : gradients_[node]) {
    const std::size_t size = made_.nodes()[part].size;
    const std::size_t other = made_.nodes()[gradient].size;
    if (size != other && may_be_wide_[node]) continue;
    part = sum(part, gradient);
    return;
  }
  gradients_[node].push_back(gradient);
}

/// Passes `g`, the gradient of a forward node, on to its arguments.
void Derivation::pass_on(std::size_t index, std::size_t g) {
  const CellNode& node = cell_.nodes[index];
  const std::vector<std::size_t>& args = node.args;
  const auto arg = [&](std::size_t i) { return value(args[i]); };
  const std::size_t zero = made_.constant(0);
  const std::size_t one = made_.constant(1);
  switch (node.op) {
    case CellOp::kAdd:
      add(args[0], g);
      add(args[1], g);
      break;
    case CellOp::kSub:
      add(args[0], g);
      add(args[1], make(CellOp::kNeg, {g}));
      break;
    case CellOp::kMul:
    case CellOp::kMulAdd:
      add(args[0], make(CellOp::kMul, {g, arg(1)}));
      add(args[1], make(CellOp::kMul, {g, arg(0)}));
      if (node.op == CellOp::kMulAdd) add(args[2], g);
      break;
    case CellOp::kDiv: {
      const std::size_t quotient = make(CellOp::kDiv, {g, arg(1)});
      add(args[0], quotient);
      add(args[1], make(CellOp::kNeg, {make(CellOp::kMul, {quotient, value(index)})}));
      break;
    }
    case CellOp::kNeg:
      add(args[0], make(CellOp::kNeg, {g}));
      break;
    case CellOp::kMax:
    case CellOp::kMin:
      for (const std::size_t i : {0, 1}) {
        const std::size_t low = node.op == CellOp::kMax ? arg(i) : arg(1 - i);
        const std::size_t high = node.op == CellOp::kMax ? arg(1 - i) : arg(i);
        const std::size_t half = make(CellOp::kMul, {g, made_.constant(0.5)});
        const std::size_t unless_less = make(CellOp::kSelect, {make(CellOp::kLess, {high, low}), g, half});
        add(args[i], make(CellOp::kSelect, {make(CellOp::kLess, {low, high}), zero, unless_less}));
      }
      break;
    case CellOp::kAbs: {
      const std::size_t unless_less = make(CellOp::kSelect, {make(CellOp::kLess, {zero, arg(0)}), g, zero});
      add(args[0],
          make(CellOp::kSelect, {make(CellOp::kLess, {arg(0), zero}), make(CellOp::kNeg, {g}), unless_less}));
      break;
    }
    case CellOp::kExp:
      add(args[0], make(CellOp::kMul, {g, value(index)}));
      break;
    case CellOp::kLog:
      add(args[0], make(CellOp::kDiv, {g, arg(0)}));
      break;
    case CellOp::kSqrt:
      add(args[0], make(CellOp::kDiv, {make(CellOp::kMul, {g, made_.constant(0.5)}), value(index)}));
      break;
    case CellOp::kSigmoid: {
      const std::size_t y = value(index);
      const std::size_t slope = make(CellOp::kMul, {y, make(CellOp::kSub, {one, y})});
      add(args[0], make(CellOp::kMul, {g, slope}));
      break;
    }
    case CellOp::kTanh: {
      const std::size_t y = value(index);
      const std::size_t slope =
          make(CellOp::kMul, {make(CellOp::kSub, {one, y}), make(CellOp::kAdd, {one, y})});
      add(args[0], make(CellOp::kMul, {g, slope}));
      break;
    }
    case CellOp::kRelu:
      add(args[0], make(CellOp::kSelect, {make(CellOp::kLess, {zero, value(index)}), g, zero}));
      break;
    case CellOp::kSelect:
      add(args[1], make(CellOp::kSelect, {arg(0), g, zero}));
      add(args[2], make(CellOp::kSelect, {arg(0), zero, g}));
      break;
    case CellOp::kSum:
      add(args[0], g);
      break;
    case CellOp::kMean:
      add(args[0], make(CellOp::kMul, {g, made_.constant(1 / size_of(args[0]))}));
      break;
    case CellOp::kVariance: {
      const std::size_t slope = make(CellOp::kMul, {g, made_.constant(2 / size_of(args[0]))});
      add(args[0], make(CellOp::kMul, {slope, make(CellOp::kSub, {arg(0), mean_of(args[0])})}));
      break;
    }
    case CellOp::kProducts:
      for (auto product = node.products.rbegin(); product != node.products.rend(); ++product) {
        if (is_outside(product->operand)) continue;
        products_[product->operand].push_back({product->parameter, product->first_row, g, true});
      }
      break;
    default:  // leaves have no arguments, and no gradient passes through comparisons
      break;
  }
}

/// Whether a node, a product's operand, is not of this step: its gradient is made by the engine.
bool Derivation::is_outside(std::size_t node) const {
  const CellOp op = cell_.nodes[node].op;
  return op == CellOp::kInput || op == CellOp::kState;
}

/// The list of a node's values.
std::size_t Derivation::list(std::size_t node) {
  const auto place = std::find(result_.lists.begin(), result_.lists.end(), node);
  if (place == result_.lists.end()) {
    result_.lists.push_back(node);
    return result_.lists.size() - 1;
  }
  return static_cast<std::size_t>(place - result_.lists.begin());
}

/// What a product's operand is to those outside of the step.
CellBackward::Operand Derivation::operand(std::size_t node) const {
  using From = CellBackward::Operand::From;
  const CellNode& n = cell_.nodes[node];
  if (n.op == CellOp::kInput) return {From::kInput, 0, n.first};
  if (n.op == CellOp::kState) return {From::kState, n.index, n.first};
  if (next_of_[node]) return {From::kNextState, *next_of_[node], 0};
  return {From::kSaved, node, 0};  // finish() says which of the saved ones
}

/// The gradient that the product's operand, an input or a state, belongs to.
CellBackward::Gradient& Derivation::gradient_of(const CellNode& leaf) {
  return leaf.op == CellOp::kInput ? result_.input : result_.states[leaf.index];
}

void Derivation::add_part(const CellNode& leaf, std::size_t gradient) {
  std::vector<CellBackward::Part>& parts = gradient_of(leaf).parts;
  for (const CellBackward::Part& part : parts) {
    const std::size_t size = made_.nodes()[part.node].size;
    if (part.first < leaf.first + leaf.size && leaf.first < part.first + size) {
      throw Error("slices " + range(part.first, size) + " and " + range(leaf.first, leaf.size) + " of " +
                  (leaf.op == CellOp::kInput ? "the input" : "state " + cell_.states[leaf.index].name) +
                  " overlap: for a way back they must be equal or apart");
    }
  }
  parts.push_back({leaf.first, gradient});
}

/// What a forward node's gradient, `g`, is to those outside of the step.
void Derivation::give_out(const CellNode& node, std::size_t g) {
  switch (node.op) {
    case CellOp::kInput:
    case CellOp::kState:
      add_part(node, g);
      break;
    case CellOp::kVector:
    case CellOp::kScalar:
      result_.vectors.push_back({node.index, node.first, list(g)});
      break;
    case CellOp::kProducts:
      for (const CellBias& bias : node.biases) {
        result_.vectors.push_back({bias.parameter, bias.first, list(g)});
      }
      for (const CellProduct& product : node.products) {
        result_.matrices.push_back({product.parameter, product.first_row, operand(product.operand), list(g)});
        const CellNode& to = cell_.nodes[product.operand];
        if (is_outside(product.operand)) {
          gradient_of(to).products.push_back({product.parameter, product.first_row, list(g), to.first});
        }
      }
      break;
    default:
      break;
  }
}

CellBackward Derivation::derive() {
  add(cell_.output, made_.add({.op = CellOp::kGradOutput, .size = cell_.nodes[cell_.output].size}));
  for (std::size_t s = 0; s < cell_.states.size(); ++s) {
    add(cell_.states[s].next, made_.add({.op = CellOp::kGradNext, .size = cell_.states[s].size, .index = s}));
  }
  for (std::size_t i = cell_.nodes.size(); i-- > 0;) {
    const std::size_t size = cell_.nodes[i].size;
    if (!products_[i].empty()) {
      std::reverse(products_[i].begin(), products_[i].end());  // the order of the forward step
      add(i, made_.add({.op = CellOp::kProducts, .size = size, .products = std::move(products_[i])}));
    }
    for (std::size_t& g : gradients_[i]) {
      if (made_.nodes()[g].size < size) g = spread(g, size);
      pass_on(i, g);
    }
  }
  for (std::size_t i = 0; i < cell_.nodes.size(); ++i) {
    for (const std::size_t g : gradients_[i]) give_out(cell_.nodes[i], g);
  }
  finish();
  return std::move(result_);
}

/// Leaves out what nothing needs, and says which values are saved.
void Derivation::finish() {
  std::vector<CellBackward::Gradient*> gradients{&result_.input};
  for (CellBackward::Gradient& gradient : result_.states) gradients.push_back(&gradient);
  std::vector<std::size_t*> roots;
  for (std::size_t& node : result_.lists) roots.push_back(&node);
  for (CellBackward::Gradient* gradient : gradients) {
    std::sort(gradient->parts.begin(), gradient->parts.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    for (CellBackward::Part& part : gradient->parts) roots.push_back(&part.node);
  }
  result_.nodes = needed_nodes(made_.nodes(), roots);

  std::vector<std::size_t*> indices;
  for (CellNode& node : result_.nodes) {
    if (node.op == CellOp::kSaved) indices.push_back(&node.index);
  }
  for (CellBackward::MatrixGradient& matrix : result_.matrices) {
    if (matrix.operand.from == CellBackward::Operand::From::kSaved) indices.push_back(&matrix.operand.index);
  }
  std::vector<std::size_t>& saved = result_.saved;
  for (const std::size_t* index : indices) saved.push_back(*index);
  std::sort(saved.begin(), saved.end());
  saved.erase(std::unique(saved.begin(), saved.end()), saved.end());
  for (std::size_t* index : indices) {
    *index = static_cast<std::size_t>(std::lower_bound(saved.begin(), saved.end(), *index) - saved.begin());
  }
}

}  // namespace

CellBackward derive_backward(const LoweredCell& cell) { return Derivation(cell).derive(); }

}  // namespace sluice
