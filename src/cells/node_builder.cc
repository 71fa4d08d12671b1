// SPDX-License-Identifier: Apache-2.0
#include "cells/node_builder.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <utility>

namespace sluice {
namespace {

/// What an operation makes of constants; nothing where that is not to be known here.
std::optional<double> fold(CellOp op, double a, double b, double c) {
  switch (op) {
    case CellOp::kAdd:
      return a + b;
    case CellOp::kSub:
      return a - b;
    case CellOp::kMul:
      return a * b;
    case CellOp::kDiv:
      return a / b;
    case CellOp::kNeg:
      return -a;
    case CellOp::kMax:
      return std::max(a, b);
    case CellOp::kMin:
      return std::min(a, b);
    case CellOp::kAbs:
      return std::abs(a);
    case CellOp::kSqrt:
      return std::sqrt(a);
    case CellOp::kRelu:
      return std::max(a, 0.0);
    case CellOp::kLess:
      return a < b ? 1 : 0;
    case CellOp::kLessEqual:
      return a <= b ? 1 : 0;
    case CellOp::kSelect:
      return a != 0 ? b : c;
    case CellOp::kMulAdd:
      return std::fma(a, b, c);
    default:
      return std::nullopt;
  }
}

/// All that makes a node's value, as numbers.
std::vector<std::uint64_t> key_of(const CellNode& node) {
  std::vector<std::uint64_t> key{
      static_cast<std::uint64_t>(node.op),      node.size,        node.index,          node.first,
      std::bit_cast<std::uint64_t>(node.value), node.args.size(), node.products.size()};
  const auto args = key.insert(key.end(), node.args.begin(), node.args.end());
  if (node.op == CellOp::kAdd || node.op == CellOp::kMul || node.op == CellOp::kMulAdd) {
    std::sort(args, args + 2);  // those that may change places
  }
  for (const CellProduct& product : node.products) {
    key.insert(key.end(), {product.parameter, product.first_row, product.operand, product.is_transposed});
  }
  for (const CellBias& bias : node.biases) key.insert(key.end(), {bias.parameter, bias.first});
  return key;
}

}  // namespace

bool NodeBuilder::is_constant(std::size_t node, double value) const {
  return nodes_[node].op == CellOp::kConstant && nodes_[node].value == value;
}

std::size_t NodeBuilder::make(CellOp op, std::vector<std::size_t> args) {
  std::size_t size = 1;
  if (op != CellOp::kSum && op != CellOp::kMean && op != CellOp::kVariance) {
    for (const std::size_t arg : args) size = std::max(size, nodes_[arg].size);
  }
  return add({.op = op, .size = size, .args = std::move(args)});
}

std::size_t NodeBuilder::constant(double value) { return add({.op = CellOp::kConstant, .value = value}); }

void NodeBuilder::name(std::size_t node, const std::string& name) {
  if (nodes_[node].name.empty()) nodes_[node].name = name;
}

std::size_t NodeBuilder::add(CellNode node) {
  const std::vector<std::size_t>& args = node.args;
  const auto named = [&](std::size_t index) {
    name(index, node.name);
    return index;
  };
  const auto as = [&](CellOp op, std::vector<std::size_t> new_args) {
    return add(
        {.op = op, .size = node.size, .args = std::move(new_args), .name = node.name, .where = node.where});
  };
  const auto is_neg = [&](std::size_t arg) { return nodes_[arg].op == CellOp::kNeg; };

  if (!args.empty() && std::all_of(args.begin(), args.end(),
                                   [&](std::size_t arg) { return nodes_[arg].op == CellOp::kConstant; })) {
    const auto value = [&](std::size_t i) { return i < args.size() ? nodes_[args[i]].value : 0; };
    const std::optional<double> folded = fold(node.op, value(0), value(1), value(2));
    if (folded && std::isfinite(*folded)) return named(constant(*folded));
  }
  // A constant has size 1, so that the other argument has the size of the result.
  switch (node.op) {
    case CellOp::kAdd:
      if (is_constant(args[0], 0)) return named(args[1]);
      if (is_constant(args[1], 0)) return named(args[0]);
      if (is_neg(args[1])) return as(CellOp::kSub, {args[0], nodes_[args[1]].args[0]});
      if (is_neg(args[0])) return as(CellOp::kSub, {args[1], nodes_[args[0]].args[0]});
      break;
    case CellOp::kSub:
      if (is_constant(args[1], 0)) return named(args[0]);
      if (is_neg(args[1])) return as(CellOp::kAdd, {args[0], nodes_[args[1]].args[0]});
      break;
    case CellOp::kMul:
      if (is_constant(args[0], 1)) return named(args[1]);
      if (is_constant(args[1], 1)) return named(args[0]);
      break;
    case CellOp::kDiv:
      if (is_constant(args[1], 1)) return named(args[0]);
      break;
    case CellOp::kNeg:
      if (is_neg(args[0])) return named(nodes_[args[0]].args[0]);
      break;
    case CellOp::kMulAdd:
      if (is_constant(args[0], 1)) return as(CellOp::kAdd, {args[1], args[2]});
      if (is_constant(args[1], 1)) return as(CellOp::kAdd, {args[0], args[2]});
      break;
    case CellOp::kSelect:
      if (nodes_[args[0]].op == CellOp::kConstant) {
        const std::size_t chosen = nodes_[args[0]].value != 0 ? args[1] : args[2];
        if (nodes_[chosen].size == node.size) return named(chosen);
      }
      break;
    case CellOp::kSum:
    case CellOp::kMean:
      if (nodes_[args[0]].size == 1) return named(args[0]);
      break;
    default:
      break;
  }
  const auto [place, is_new] = indices_.emplace(key_of(node), nodes_.size());
  if (!is_new) return named(place->second);
  nodes_.push_back(std::move(node));
  return place->second;
}

std::vector<CellNode> needed_nodes(const std::vector<CellNode>& nodes,
                                   const std::vector<std::size_t*>& roots) {
  std::vector<bool> is_needed(nodes.size(), false);
  for (const std::size_t* root : roots) is_needed[*root] = true;
  for (std::size_t i = nodes.size(); i-- > 0;) {
    if (!is_needed[i]) continue;
    for (const std::size_t arg : nodes[i].args) is_needed[arg] = true;
    for (const CellProduct& product : nodes[i].products) is_needed[product.operand] = true;
  }
  std::vector<std::size_t> to(nodes.size());
  std::vector<CellNode> needed;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (!is_needed[i]) continue;
    to[i] = needed.size();
    CellNode& node = needed.emplace_back(nodes[i]);
    for (std::size_t& arg : node.args) arg = to[arg];
    for (CellProduct& product : node.products) product.operand = to[product.operand];
  }
  for (std::size_t* root : roots) *root = to[*root];
  return needed;
}

}  // namespace sluice
