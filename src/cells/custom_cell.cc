// SPDX-License-Identifier: Apache-2.0
#include "sluice/custom_cell.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <initializer_list>
#include <string_view>

#include "cells/cell_check.h"
#include "cells/cell_graph.h"
#include "sluice/error.h"

namespace sluice {
namespace {

/// "cell.cc:12"
std::string text_of(SourceLine where) {
  return std::filesystem::path(where.file).filename().string() + ":" + std::to_string(where.line);
}

[[noreturn]] void throw_error(const CellGraph& graph, const std::string& what, SourceLine where) {
  throw_cell_error(graph, what, text_of(where));
}

}  // namespace

/// What the operations see of values and operands.
struct CellAccess {
  static SourceLine where(const CellOperand& a) { return a.where_; }

  /// Appends a node, whose size follows.
  static CellValue append(CellGraph& graph, CellNode node) {
    node.size = checked_size(graph, node);
    graph.nodes.push_back(std::move(node));
    return {&graph, graph.nodes.size() - 1};
  }

  /// The operand's node in `graph`; a number becomes a constant. `operation` is for messages.
  static std::size_t node_in(CellGraph& graph, const CellOperand& a, std::string_view operation) {
    if (a.graph_ == nullptr) {
      if (!std::isfinite(a.number_)) {
        throw_error(graph,
                    std::string(operation) + " of the number " + std::to_string(a.number_) +
                        ", expected a finite one",
                    a.where_);
      }
      return append(graph, {.op = CellOp::kConstant, .value = a.number_, .where = text_of(a.where_)}).node_;
    }
    if (a.graph_ != &graph) {
      throw_error(graph,
                  std::string(operation) + " of " + describe(*a.graph_, a.graph_->nodes[a.node_]) +
                      ", a value of another builder (of '" + a.graph_->name + "')",
                  a.where_);
    }
    return a.node_;
  }

  /// The builder of the operands.
  static CellGraph& graph_of(std::initializer_list<CellOperand> operands, std::string_view operation) {
    for (const CellOperand& a : operands) {
      if (a.graph_ != nullptr) return *a.graph_;
    }
    throw Error(std::string(operation) + " of numbers alone, expected a cell's value (" +
                text_of(operands.begin()->where_) + ")");
  }

  static CellValue apply(CellOp op, std::string_view operation, std::initializer_list<CellOperand> operands,
                         CellNode node = {}) {
    CellGraph& graph = graph_of(operands, operation);
    node.op = op;
    node.where = text_of(operands.begin()->where_);
    for (const CellOperand& a : operands) node.args.push_back(node_in(graph, a, operation));
    return append(graph, std::move(node));
  }
};

std::size_t CellValue::size() const noexcept { return graph_->nodes[node_].size; }

CellValue CellValue::named(const std::string& name, SourceLine where) const {
  check_name(*graph_, name, text_of(where));
  CellNode& node = graph_->nodes[node_];
  if (!node.name.empty()) {
    throw_error(*graph_, "'" + node.name + "' is named again, '" + name + "'", where);
  }
  node.name = name;
  return *this;
}

CellValue operator+(CellOperand a, CellOperand b) { return CellAccess::apply(CellOp::kAdd, "+", {a, b}); }
CellValue operator-(CellOperand a, CellOperand b) { return CellAccess::apply(CellOp::kSub, "-", {a, b}); }
CellValue operator*(CellOperand a, CellOperand b) { return CellAccess::apply(CellOp::kMul, "*", {a, b}); }
CellValue operator/(CellOperand a, CellOperand b) { return CellAccess::apply(CellOp::kDiv, "/", {a, b}); }
CellValue operator-(CellOperand a) { return CellAccess::apply(CellOp::kNeg, "-", {a}); }
CellValue operator<(CellOperand a, CellOperand b) { return CellAccess::apply(CellOp::kLess, "<", {a, b}); }
CellValue operator<=(CellOperand a, CellOperand b) {
  return CellAccess::apply(CellOp::kLessEqual, "<=", {a, b});
}
CellValue operator>(CellOperand a, CellOperand b) { return b < a; }
CellValue operator>=(CellOperand a, CellOperand b) { return b <= a; }
CellValue select(CellOperand condition, CellOperand yes, CellOperand no) {
  return CellAccess::apply(CellOp::kSelect, "select", {condition, yes, no});
}
CellValue sigmoid(CellOperand a) { return CellAccess::apply(CellOp::kSigmoid, "sigmoid", {a}); }
CellValue tanh(CellOperand a) { return CellAccess::apply(CellOp::kTanh, "tanh", {a}); }
CellValue relu(CellOperand a) { return CellAccess::apply(CellOp::kRelu, "relu", {a}); }
CellValue exp(CellOperand a) { return CellAccess::apply(CellOp::kExp, "exp", {a}); }
CellValue log(CellOperand a) { return CellAccess::apply(CellOp::kLog, "log", {a}); }
CellValue sqrt(CellOperand a) { return CellAccess::apply(CellOp::kSqrt, "sqrt", {a}); }
CellValue abs(CellOperand a) { return CellAccess::apply(CellOp::kAbs, "abs", {a}); }
CellValue max(CellOperand a, CellOperand b) { return CellAccess::apply(CellOp::kMax, "max", {a, b}); }
CellValue min(CellOperand a, CellOperand b) { return CellAccess::apply(CellOp::kMin, "min", {a, b}); }

CellValue layer_norm(CellOperand a, CellOperand weight, CellOperand bias, double eps) {
  if (!std::isfinite(eps) || eps < 0) {
    throw_error(CellAccess::graph_of({a, weight, bias}, "layer_norm"),
                "layer_norm: eps is " + std::to_string(eps) + ", expected a finite number, at least 0",
                CellAccess::where(a));
  }
  return CellAccess::apply(CellOp::kLayerNorm, "layer_norm", {a, weight, bias}, {.value = eps});
}

CellValue slice(CellOperand a, std::size_t first, std::size_t size) {
  return CellAccess::apply(CellOp::kSlice, "slice", {a}, {.size = size, .first = first});
}

std::size_t split_size(CellOperand a, std::size_t parts) {
  CellGraph& graph = CellAccess::graph_of({a}, "split");
  const CellNode& node = graph.nodes[CellAccess::node_in(graph, a, "split")];
  if (parts == 0 || node.size % parts != 0) {
    throw ShapeError(graph.name + ": split<" + std::to_string(parts) + ">: " + describe(graph, node) +
                     " has size " + std::to_string(node.size) + ", expected a multiple of " +
                     std::to_string(parts) + " (" + text_of(CellAccess::where(a)) + ")");
  }
  return node.size / parts;
}

CellBuilder::CellBuilder(std::string name) : graph_(std::make_unique<CellGraph>()) {
  if (name.empty()) throw Error("CellBuilder: the cell's name is empty");
  graph_->name = std::move(name);
}
CellBuilder::~CellBuilder() = default;

CellValue CellBuilder::input(std::size_t size, SourceLine where) {
  if (graph_->input_size > 0) throw_error(*graph_, "there are two inputs, expected one", where);
  check_size(*graph_, "the input", size, text_of(where));
  graph_->input_size = size;
  return CellAccess::append(*graph_, {.op = CellOp::kInput, .where = text_of(where)});
}

CellValue CellBuilder::state(const std::string& name, std::size_t size, SourceLine where) {
  check_name(*graph_, name, text_of(where));
  check_size(*graph_, "state '" + name + "'", size, text_of(where));
  graph_->states.push_back({.name = name, .size = size, .node = graph_->nodes.size(), .next = kNoNode});
  return CellAccess::append(
      *graph_, {.op = CellOp::kState, .index = graph_->states.size() - 1, .where = text_of(where)});
}

CellValue CellBuilder::matrix(const std::string& name, std::size_t rows, CellOperand a) {
  const SourceLine where = CellAccess::where(a);
  const std::size_t operand = CellAccess::node_in(*graph_, a, "matrix '" + name + "'");
  const std::size_t index = add_parameter(*graph_, name, {rows, graph_->nodes[operand].size}, text_of(where));
  return CellAccess::append(
      *graph_, {.op = CellOp::kMatrix, .args = {operand}, .index = index, .where = text_of(where)});
}

CellValue CellBuilder::vector(const std::string& name, std::size_t size, SourceLine where) {
  const std::size_t index = add_parameter(*graph_, name, {size}, text_of(where));
  return CellAccess::append(*graph_, {.op = CellOp::kVector, .index = index, .where = text_of(where)});
}

CellValue CellBuilder::scalar(const std::string& name, SourceLine where) {
  const std::size_t index = add_parameter(*graph_, name, {1}, text_of(where));
  return CellAccess::append(*graph_, {.op = CellOp::kScalar, .index = index, .where = text_of(where)});
}

void CellBuilder::next(const CellValue& state, CellOperand value) {
  const SourceLine where = CellAccess::where(value);
  const std::size_t node = CellAccess::node_in(*graph_, CellOperand(state, where), "next");
  if (graph_->nodes[node].op != CellOp::kState) {
    throw_error(*graph_, "next(" + describe(*graph_, graph_->nodes[node]) + "), expected a state", where);
  }
  CellState& it = graph_->states[graph_->nodes[node].index];
  if (it.next != kNoNode) throw_error(*graph_, "state '" + it.name + "' has two next values", where);
  const std::size_t next = CellAccess::node_in(*graph_, value, "next");
  check_next(*graph_, it, next, text_of(where));
  it.next = next;
}

CustomCell CellBuilder::build(CellOperand output) {
  const SourceLine where = CellAccess::where(output);
  if (graph_->input_size == 0) throw_error(*graph_, "there is no input, expected input(size)", where);
  for (const CellState& state : graph_->states) {
    if (state.next != kNoNode) continue;
    throw_error(*graph_,
                "state '" + state.name + "', of " + graph_->nodes[state.node].where +
                    ", has no next value, expected next(" + state.name + ", ...) before build",
                where);
  }
  graph_->output = CellAccess::node_in(*graph_, output, "build");
  return CustomCell(std::make_shared<const CellGraph>(in_order(*graph_)));
}

const std::string& CustomCell::name() const noexcept { return graph_->name; }
std::size_t CustomCell::input_size() const noexcept { return graph_->input_size; }
std::size_t CustomCell::output_size() const noexcept { return graph_->nodes[graph_->output].size; }

std::vector<CustomCell::State> CustomCell::states() const {
  std::vector<State> states;
  for (const CellState& state : graph_->states) states.push_back({state.name, state.size});
  return states;
}

std::vector<ParameterInfo> CustomCell::parameters() const { return graph_->parameters; }

CustomCell CustomCell::with_input_size(std::size_t size) const {
  if (size == 0) throw ShapeError(name() + "::with_input_size: the size is 0, expected at least 1");
  CellGraph graph = *graph_;
  graph.input_size = size;
  graph.name += " with an input of size " + std::to_string(size);  // in messages
  for (CellNode& node : graph.nodes) {
    if (node.op == CellOp::kMatrix) {
      const std::size_t operand = node.args[0];
      Shape& shape = graph.parameters[node.index].shape;
      if (graph.nodes[operand].size != graph_->nodes[operand].size) {
        shape = {shape[0], graph.nodes[operand].size};
      }
    }
    node.size = checked_size(graph, node);
  }
  // A matrix that is applied to something else, too, does not fit there any more.
  for (const CellNode& node : graph.nodes) checked_size(graph, node);
  for (const CellState& state : graph.states) {
    check_next(graph, state, state.next, graph.nodes[state.next].where);
  }
  graph.name = name();
  return CustomCell(std::make_shared<const CellGraph>(std::move(graph)));
}

}  // namespace sluice
