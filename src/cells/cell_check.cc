// SPDX-License-Identifier: Apache-2.0
#include "cells/cell_check.h"

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/error.h"

namespace sluice {
namespace {

/// How an author writes it: a sign between two values, or a function's name.
std::string_view written(CellOp op) {
  switch (op) {
    case CellOp::kAdd:
      return "+";
    case CellOp::kSub:
    case CellOp::kNeg:
      return "-";
    case CellOp::kMul:
      return "*";
    case CellOp::kDiv:
      return "/";
    case CellOp::kLess:
      return "<";
    case CellOp::kLessEqual:
      return "<=";
    case CellOp::kMax:
      return "max";
    case CellOp::kMin:
      return "min";
    case CellOp::kAbs:
      return "abs";
    case CellOp::kExp:
      return "exp";
    case CellOp::kLog:
      return "log";
    case CellOp::kSqrt:
      return "sqrt";
    case CellOp::kSigmoid:
      return "sigmoid";
    case CellOp::kTanh:
      return "tanh";
    case CellOp::kRelu:
      return "relu";
    case CellOp::kSelect:
      return "select";
    case CellOp::kSlice:
      return "slice";
    case CellOp::kLayerNorm:
      return "layer_norm";
    default:
      return "?";  // leaves and matrices have other words
  }
}

/// The operation with its arguments; what lies deeper than `depth` operations is "...".
std::string expression(const CellGraph& graph, const CellNode& node, int depth) {
  switch (node.op) {
    case CellOp::kInput:
      return "x";
    case CellOp::kState:
      return graph.states[node.index].name;
    case CellOp::kVector:
    case CellOp::kScalar:
      return graph.parameters[node.index].name;
    case CellOp::kConstant: {
      char text[32];
      std::snprintf(text, sizeof text, "%g", node.value);
      return text;
    }
    default:
      break;
  }
  if (depth == 0) return "...";
  const auto argument = [&](std::size_t i) {
    const CellNode& arg = graph.nodes[node.args[i]];
    return arg.name.empty() ? expression(graph, arg, depth - 1) : arg.name;
  };
  // In a sum or a product, another one stands in brackets.
  const auto inner = [&](std::size_t i) {
    const std::string text = argument(i);
    return text.find(' ') == std::string::npos || text.back() == ')' ? text : "(" + text + ")";
  };
  const std::string word(written(node.op));
  if (node.op == CellOp::kMatrix) return graph.parameters[node.index].name + " " + inner(0);
  if (node.op == CellOp::kNeg) return word + inner(0);
  if (word.find_first_of("+-*/<") != std::string::npos) return inner(0) + " " + word + " " + inner(1);
  std::string text = word + "(" + argument(0);
  for (std::size_t i = 1; i < node.args.size(); ++i) text += ", " + argument(i);
  if (node.op == CellOp::kSlice) text += ", " + std::to_string(node.first) + ", " + std::to_string(node.size);
  return text + ")";
}

/// "f has size 4"
std::string sized(const CellGraph& graph, std::size_t node) {
  return describe(graph, graph.nodes[node]) + " has size " + std::to_string(graph.nodes[node].size);
}

[[noreturn]] void throw_misfit(const CellGraph& graph, const CellNode& node, const std::string& misfit) {
  throw ShapeError(graph.name + ": " + expression(graph, node, 2) + ": " + misfit + " (" + node.where + ")");
}

}  // namespace

void throw_cell_error(const CellGraph& graph, const std::string& what, const std::string& where) {
  throw Error(graph.name + ": " + what + " (" + where + ")");
}

void check_size(const CellGraph& graph, const std::string& what, std::size_t size, const std::string& where) {
  if (size > 0) return;
  throw ShapeError(graph.name + ": " + what + " has size 0, expected at least 1 (" + where + ")");
}

void check_name(const CellGraph& graph, const std::string& name, const std::string& where) {
  if (name.empty()) throw_cell_error(graph, "a name is empty", where);
  const auto has_it = [&](const auto& named) {
    return std::any_of(named.begin(), named.end(), [&](const auto& one) { return one.name == name; });
  };
  if (has_it(graph.parameters) || has_it(graph.states) || has_it(graph.nodes)) {
    throw_cell_error(graph, "there are two values named '" + name + "'", where);
  }
}

std::size_t add_parameter(CellGraph& graph, const std::string& name, const Shape& shape,
                          const std::string& where) {
  for (std::size_t i = 0; i < graph.parameters.size(); ++i) {
    const ParameterInfo& known = graph.parameters[i];
    if (known.name != name) continue;
    if (known.shape == shape) return i;
    throw ShapeError(graph.name + ": parameter '" + name + "' is " + shape.to_string() + ", but " +
                     known.shape.to_string() + " where it was first used (" + where + ")");
  }
  check_name(graph, name, where);
  for (const std::size_t size : shape.dims()) check_size(graph, "parameter '" + name + "'", size, where);
  graph.parameters.push_back({name, shape});
  return graph.parameters.size() - 1;
}

std::string describe(const CellGraph& graph, const CellNode& node) {
  return node.name.empty() ? expression(graph, node, 2) : node.name;
}

std::size_t checked_size(const CellGraph& graph, const CellNode& node) {
  const auto size = [&](std::size_t arg) { return graph.nodes[node.args[arg]].size; };
  switch (node.op) {
    case CellOp::kInput:
      return graph.input_size;
    case CellOp::kState:
      return graph.states[node.index].size;
    case CellOp::kVector:
    case CellOp::kScalar:
      return graph.parameters[node.index].shape.size();
    case CellOp::kConstant:
      return 1;
    case CellOp::kMatrix: {
      const ParameterInfo& matrix = graph.parameters[node.index];
      if (matrix.shape[1] != size(0)) {
        throw_misfit(graph, node,
                     matrix.name + " is " + matrix.shape.to_string() + " and " + sized(graph, node.args[0]) +
                         ", expected as many columns");
      }
      return matrix.shape[0];
    }
    case CellOp::kSlice:
      if (node.size == 0 || node.first > size(0) || node.size > size(0) - node.first) {
        throw_misfit(graph, node, sized(graph, node.args[0]) + ", expected elements within it, at least one");
      }
      return node.size;
    case CellOp::kLayerNorm:
      for (std::size_t i = 1; i < node.args.size(); ++i) {
        if (size(i) == size(0) || size(i) == 1) continue;
        throw_misfit(graph, node,
                     sized(graph, node.args[0]) + " and " + sized(graph, node.args[i]) +
                         ", expected equal sizes or a number");
      }
      return size(0);
    default:
      break;
  }
  std::size_t widest = 0;  // the first argument of the largest size
  for (std::size_t i = 1; i < node.args.size(); ++i) {
    if (size(i) > size(widest)) widest = i;
  }
  for (std::size_t i = 0; i < node.args.size(); ++i) {
    if (size(i) == size(widest) || size(i) == 1) continue;
    const auto [first, second] = std::minmax(i, widest);
    throw_misfit(graph, node,
                 sized(graph, node.args[first]) + " and " + sized(graph, node.args[second]) +
                     ", expected equal sizes or 1");
  }
  return size(widest);
}

void check_next(const CellGraph& graph, const CellState& state, std::size_t next, const std::string& where) {
  if (graph.nodes[next].size == state.size) return;
  throw ShapeError(graph.name + ": next(" + state.name + "): " + state.name + " has size " +
                   std::to_string(state.size) + " and " + sized(graph, next) + ", expected equal sizes (" +
                   where + ")");
}

CellGraph in_order(const CellGraph& graph) {
  CellGraph ordered;
  ordered.name = graph.name;
  ordered.input_size = graph.input_size;
  ordered.states = graph.states;
  std::vector<std::size_t> nodes(graph.nodes.size(), kNoNode), parameters(graph.parameters.size(), kNoNode);
  const auto parameter = [&](std::size_t index) {
    if (parameters[index] == kNoNode) {
      parameters[index] = ordered.parameters.size();
      ordered.parameters.push_back(graph.parameters[index]);
    }
    return parameters[index];
  };
  const auto walk = [&](std::size_t from) {
    std::vector<std::size_t> open{from};
    while (!open.empty()) {
      const std::size_t index = open.back();
      CellNode node = graph.nodes[index];
      const std::size_t depth = open.size();
      for (std::size_t i = node.args.size(); i-- > 0;) {
        if (nodes[node.args[i]] == kNoNode) open.push_back(node.args[i]);
      }
      if (open.size() > depth) continue;
      open.pop_back();
      if (nodes[index] != kNoNode) continue;
      for (std::size_t& arg : node.args) arg = nodes[arg];
      if (node.op == CellOp::kMatrix || node.op == CellOp::kVector || node.op == CellOp::kScalar) {
        node.index = parameter(node.index);
      }
      nodes[index] = ordered.nodes.size();
      ordered.nodes.push_back(std::move(node));
    }
    return nodes[from];
  };
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.nodes[i].op == CellOp::kInput) walk(i);
  }
  for (CellState& state : ordered.states) state.node = walk(state.node);
  for (CellState& state : ordered.states) state.next = walk(state.next);
  ordered.output = walk(graph.output);
  for (std::size_t i = 0; i < graph.parameters.size(); ++i) parameter(i);  // those that nothing needs
  return ordered;
}

}  // namespace sluice
