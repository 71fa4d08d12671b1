// SPDX-License-Identifier: Apache-2.0
// A LoweredCell stated node by node, so that a test says what stands in it.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <vector>

#include "cells/cell_graph.h"
#include "cells/node_builder.h"

namespace sluice::test {

class LoweredByHand {
 public:
  struct Value {
    LoweredByHand* cell;
    std::size_t node;

    std::size_t size() const { return cell->made_.nodes()[node].size; }
  };
  struct Product {
    std::size_t parameter;
    std::size_t first_row;
    Value operand;
  };

  explicit LoweredByHand(std::size_t input_size) { cell_.input_size = input_size; }

  Value input(std::size_t first, std::size_t size) {
    return add({.op = CellOp::kInput, .size = size, .first = first});
  }
  Value input() { return input(0, cell_.input_size); }
  /// A new state, as the step before left it.
  Value state(const std::string& name, std::size_t size) {
    cell_.states.push_back({.name = name, .size = size});
    return state(cell_.states.size() - 1, 0, size);
  }
  Value state(std::size_t index, std::size_t first, std::size_t size) {
    return add({.op = CellOp::kState, .size = size, .index = index, .first = first});
  }
  /// A new parameter: its index.
  std::size_t parameter(const std::string& name, const Shape& shape) {
    cell_.parameters.push_back({name, shape});
    return cell_.parameters.size() - 1;
  }
  Value vector(std::size_t parameter, std::size_t first, std::size_t size) {
    return add({.op = CellOp::kVector, .size = size, .index = parameter, .first = first});
  }
  Value scalar(std::size_t parameter) { return add({.op = CellOp::kScalar, .index = parameter}); }
  Value constant(double value) { return {this, made_.constant(value)}; }

  Value products(std::size_t size, const std::vector<CellBias>& biases,
                 std::initializer_list<Product> products) {
    CellNode node{.op = CellOp::kProducts, .size = size, .biases = biases};
    for (const Product& product : products) {
      node.products.push_back({product.parameter, product.first_row, product.operand.node});
    }
    return add(std::move(node));
  }
  Value make(CellOp op, std::initializer_list<Value> args) {
    std::vector<std::size_t> nodes;
    for (const Value& arg : args) nodes.push_back(arg.node);
    return {this, made_.make(op, nodes)};
  }

  /// What the states become, in their order.
  LoweredCell finish(Value output, std::initializer_list<Value> next) {
    cell_.nodes = made_.nodes();
    cell_.output = output.node;
    std::size_t state = 0;
    for (const Value& value : next) cell_.states.at(state++).next = value.node;
    return cell_;
  }

 private:
  Value add(CellNode node) { return {this, made_.add(std::move(node))}; }

  NodeBuilder made_;
  LoweredCell cell_;
};

using CellExpression = LoweredByHand::Value;

inline CellExpression operator+(CellExpression a, CellExpression b) {
  return a.cell->make(CellOp::kAdd, {a, b});
}
inline CellExpression operator-(CellExpression a, CellExpression b) {
  return a.cell->make(CellOp::kSub, {a, b});
}
inline CellExpression operator*(CellExpression a, CellExpression b) {
  return a.cell->make(CellOp::kMul, {a, b});
}
inline CellExpression operator/(CellExpression a, CellExpression b) {
  return a.cell->make(CellOp::kDiv, {a, b});
}
inline CellExpression mul_add(CellExpression a, CellExpression b, CellExpression c) {
  return a.cell->make(CellOp::kMulAdd, {a, b, c});
}
inline CellExpression sigmoid(CellExpression a) { return a.cell->make(CellOp::kSigmoid, {a}); }
inline CellExpression tanh(CellExpression a) { return a.cell->make(CellOp::kTanh, {a}); }

}  // namespace sluice::test
