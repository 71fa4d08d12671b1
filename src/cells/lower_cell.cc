// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <utility>

#include "cells/cell_graph.h"
#include "cells/node_builder.h"

namespace sluice {
namespace {

/// Elements [first, first + size) of a stated node.
using Part = std::pair<std::size_t, std::size_t>;

/// Moves slices down to leaves and rows of matrices, and makes arithmetic of layer normalisation. Each matrix
/// becomes kProducts of one.
class PartLowering {
 public:
  PartLowering(const CellGraph& graph, NodeBuilder& builder)
      : graph_(graph), builder_(builder), parts_(graph.nodes.size()) {
    want_all(graph.output);
    for (const CellState& state : graph.states) want_all(state.next);
    for (std::size_t i = graph.nodes.size(); i-- > 0;) {
      for (const auto& [part, unmade] : parts_[i]) want_arguments(graph.nodes[i], part);
    }
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
      for (auto& [part, made] : parts_[i]) {
        made = make(graph.nodes[i], part);
        if (part.second == graph.nodes[i].size) builder.name(made, graph.nodes[i].name);
      }
    }
  }

  /// Index in the builder of a whole node that the output or a state is.
  std::size_t whole(std::size_t node) const { return parts_[node].at({0, graph_.nodes[node].size}); }

 private:
  void want_all(std::size_t node) { parts_[node][{0, graph_.nodes[node].size}]; }

  /// What elements `part` of an elementwise operation take of an argument.
  Part part_of(std::size_t arg, Part part) const { return graph_.nodes[arg].size == 1 ? Part{0, 1} : part; }

  static Part sliced(const CellNode& slice, Part part) { return {slice.first + part.first, part.second}; }

  void want_arguments(const CellNode& node, Part part) {
    if (node.op == CellOp::kSlice) {
      parts_[node.args[0]][sliced(node, part)];
    } else if (node.op == CellOp::kMatrix) {
      want_all(node.args[0]);
    } else {
      if (node.op == CellOp::kLayerNorm) want_all(node.args[0]);
      for (const std::size_t arg : node.args) parts_[arg][part_of(arg, part)];
    }
  }

  std::size_t make(const CellNode& node, Part part) {
    CellNode made{
        .op = node.op, .size = part.second, .index = node.index, .value = node.value, .where = node.where};
    switch (node.op) {
      case CellOp::kInput:
      case CellOp::kState:
      case CellOp::kVector:
      case CellOp::kScalar:
      case CellOp::kConstant:
        made.first = part.first;
        break;
      case CellOp::kSlice:
        return parts_[node.args[0]].at(sliced(node, part));
      case CellOp::kMatrix:
        made.op = CellOp::kProducts;
        made.index = 0;
        made.products = {{.parameter = node.index, .first_row = part.first, .operand = whole(node.args[0])}};
        break;
      case CellOp::kLayerNorm:
        return layer_norm(node, part);
      default:
        for (const std::size_t arg : node.args) made.args.push_back(parts_[arg].at(part_of(arg, part)));
        break;
    }
    return builder_.add(std::move(made));
  }

  std::size_t layer_norm(const CellNode& node, Part part) {
    const auto argument = [&](std::size_t i) { return parts_[node.args[i]].at(part_of(node.args[i], part)); };
    const std::size_t all = whole(node.args[0]);
    const std::size_t variance = builder_.make(CellOp::kVariance, {all});
    const std::size_t deviation = builder_.make(
        CellOp::kSqrt, {builder_.make(CellOp::kAdd, {variance, builder_.constant(node.value)})});
    const std::size_t scale = builder_.make(CellOp::kDiv, {builder_.constant(1), deviation});
    const std::size_t centered =
        builder_.make(CellOp::kSub, {argument(0), builder_.make(CellOp::kMean, {all})});
    const std::size_t normal = builder_.make(CellOp::kMul, {centered, scale});
    return builder_.make(CellOp::kAdd, {builder_.make(CellOp::kMul, {normal, argument(1)}), argument(2)});
  }

  const CellGraph& graph_;
  NodeBuilder& builder_;
  std::vector<std::map<Part, std::size_t>> parts_;  // of each stated node: what is wanted of it
};

/// Makes kProducts of sums with matrices, and kMulAdd of products that are added to something.
class SumLowering {
 public:
  SumLowering(const std::vector<CellNode>& nodes, const std::vector<std::size_t*>& roots,
              NodeBuilder& builder)
      : nodes_(nodes), builder_(builder), uses_(nodes.size()), is_inner_(nodes.size()), made_(nodes.size()) {
    for (const std::size_t* root : roots) ++uses_[*root];
    for (const CellNode& node : nodes) {
      for (const std::size_t arg : node.args) ++uses_[arg];
      for (const CellProduct& product : node.products) ++uses_[product.operand];
    }
    for (const CellNode& node : nodes) {
      if (node.op != CellOp::kAdd) continue;
      for (const std::size_t arg : node.args) {
        if (is_part(arg, CellOp::kAdd, node)) is_inner_[arg] = true;
      }
    }
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      made_[i] = make(i);
      builder.name(made_[i], nodes[i].name);
    }
  }

  /// Its index in the builder.
  std::size_t made(std::size_t node) const { return made_[node]; }

 private:
  /// Nothing else needs it and it is as large, so that it may become a part of the sum that has it.
  bool is_part(std::size_t term, CellOp op, const CellNode& sum) const {
    return nodes_[term].op == op && nodes_[term].size == sum.size && uses_[term] == 1;
  }

  /// The terms of a sum and of the sums within it, left to right.
  std::vector<std::size_t> terms_of(const CellNode& sum) const {
    std::vector<std::size_t> terms, open{sum.args[1], sum.args[0]};
    while (!open.empty()) {
      const std::size_t term = open.back();
      open.pop_back();
      if (is_inner_[term]) {
        open.insert(open.end(), {nodes_[term].args[1], nodes_[term].args[0]});
      } else {
        terms.push_back(term);
      }
    }
    return terms;
  }

  std::size_t make(std::size_t index) {
    const CellNode& node = nodes_[index];
    if (node.op == CellOp::kAdd) {
      if (!is_inner_[index]) {
        const std::vector<std::size_t> terms = terms_of(node);
        const bool has_matrix = std::any_of(terms.begin(), terms.end(), [&](std::size_t term) {
          return is_part(term, CellOp::kProducts, node);
        });
        if (has_matrix) return matrix_sum(node, terms);
      }
      // Of a sum within one with matrices, nothing will need this.
      const std::size_t a = node.args[0], b = node.args[1];
      return is_part(a, CellOp::kMul, node) ? add_term(made_[b], a, node) : add_term(made_[a], b, node);
    }
    CellNode made = node;
    for (std::size_t& arg : made.args) arg = made_[arg];
    for (CellProduct& product : made.products) product.operand = made_[product.operand];
    return builder_.add(std::move(made));
  }

  /// `so_far`, of the builder, + `term`: a value of `sum`, or all of it.
  std::size_t add_term(std::size_t so_far, std::size_t term, const CellNode& sum) {
    CellNode made{.op = CellOp::kAdd, .size = sum.size, .args = {so_far, made_[term]}, .where = sum.where};
    if (is_part(term, CellOp::kMul, sum)) {
      made.op = CellOp::kMulAdd;
      made.args = {made_[nodes_[term].args[0]], made_[nodes_[term].args[1]], so_far};
    }
    return builder_.add(std::move(made));
  }

  std::size_t matrix_sum(const CellNode& node, const std::vector<std::size_t>& terms) {
    CellNode products{.op = CellOp::kProducts, .size = node.size, .where = node.where};
    std::vector<std::size_t> others;
    for (const std::size_t term : terms) {
      const CellNode& it = nodes_[term];
      if (it.op == CellOp::kVector && it.size == node.size) {
        products.biases.push_back({.parameter = it.index, .first = it.first});
      } else if (is_part(term, CellOp::kProducts, node)) {
        products.products.push_back(it.products[0]);
        products.products.back().operand = made_[it.products[0].operand];
      } else {
        others.push_back(term);
      }
    }
    std::stable_partition(products.products.begin(), products.products.end(), [&](const CellProduct& it) {
      return builder_.nodes()[it.operand].op == CellOp::kInput;
    });
    std::size_t sum = builder_.add(std::move(products));
    for (const std::size_t term : others) sum = add_term(sum, term, node);
    return sum;
  }

  const std::vector<CellNode>& nodes_;
  NodeBuilder& builder_;
  std::vector<std::size_t> uses_;
  std::vector<bool> is_inner_;     // a sum that is a term of another one, and nothing else
  std::vector<std::size_t> made_;  // each node's index in the builder
};

}  // namespace

LoweredCell lower_cell(const CellGraph& graph) {
  LoweredCell cell;
  cell.input_size = graph.input_size;
  cell.states = graph.states;
  cell.parameters = graph.parameters;
  cell.output = graph.output;
  std::vector<std::size_t*> roots{&cell.output};
  for (CellState& state : cell.states) roots.push_back(&state.next);

  NodeBuilder parts;
  const PartLowering lowered(graph, parts);
  for (std::size_t* root : roots) *root = lowered.whole(*root);
  const std::vector<CellNode> nodes = needed_nodes(parts.nodes(), roots);

  NodeBuilder sums;
  const SumLowering summed(nodes, roots, sums);
  for (std::size_t* root : roots) *root = summed.made(*root);
  cell.nodes = needed_nodes(sums.nodes(), roots);
  return cell;
}

}  // namespace sluice
