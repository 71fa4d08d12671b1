// SPDX-License-Identifier: Apache-2.0
#include "cells/cell_check.h"

#include <algorithm>
#include <cstdio>
#include <string_view>

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

}  // namespace sluice
