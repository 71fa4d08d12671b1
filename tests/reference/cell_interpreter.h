// SPDX-License-Identifier: Apache-2.0
// The arithmetic of a cell in double precision, node by node, one element at a time: of a CellGraph, a
// LoweredCell or a CellBackward.
#pragma once

#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <vector>

#include "cells/cell_graph.h"

namespace sluice::reference {

using Vector = std::vector<double>;

/// What the leaves of one row have at one step; those that a graph has no leaf for may be left empty.
struct CellLeaves {
  Vector input{};
  std::vector<Vector> states{};       // as the step before left them
  std::vector<Vector> parameters{};   // matrices row by row
  std::vector<Vector> next_states{};  // as this step left them
  std::vector<Vector> saved{};        // in the order of CellBackward::saved
  Vector grad_output{};
  std::vector<Vector> grad_next{};
};

/// Elements [first, first + size); throws std::out_of_range where there are not so many.
inline Vector part(const Vector& all, std::size_t first, std::size_t size) {
  Vector some;
  for (std::size_t i = first; i < first + size; ++i) some.push_back(all.at(i));
  return some;
}

/// Element i of an elementwise argument: one of size 1 counts for all.
inline double element(const Vector& a, std::size_t i) { return a.size() == 1 ? a[0] : a.at(i); }

inline double sum(const Vector& a) {
  double total = 0;
  for (const double v : a) total += v;
  return total;
}

inline double mean(const Vector& a) { return sum(a) / static_cast<double>(a.size()); }

/// The mean of (a - mean)^2.
inline double variance(const Vector& a) {
  const double center = mean(a);
  Vector squares;
  for (const double v : a) squares.push_back((v - center) * (v - center));
  return mean(squares);
}

/// Element i of an elementwise operation.
inline double elementwise(CellOp op, double a, double b, double c) {
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
      return a < b ? b : a;
    case CellOp::kMin:
      return b < a ? b : a;
    case CellOp::kAbs:
      return std::abs(a);
    case CellOp::kExp:
      return std::exp(a);
    case CellOp::kLog:
      return std::log(a);
    case CellOp::kSqrt:
      return std::sqrt(a);
    case CellOp::kSigmoid:
      return 1 / (1 + std::exp(-a));
    case CellOp::kTanh:
      return std::tanh(a);
    case CellOp::kRelu:
      return a < 0 ? 0 : a;
    case CellOp::kLess:
      return a < b ? 1 : 0;
    case CellOp::kLessEqual:
      return a <= b ? 1 : 0;
    case CellOp::kSelect:
      return a != 0 ? b : c;
    case CellOp::kMulAdd:
      return std::fma(a, b, c);
    default:
      throw std::logic_error("not an elementwise operation");
  }
}

/// sum += rows [first_row, first_row + sum.size()) of `matrix`, times `operand`.
inline void add_product(Vector& sum, const Vector& matrix, std::size_t first_row, const Vector& operand) {
  const std::size_t columns = operand.size();
  for (std::size_t i = 0; i < sum.size(); ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      sum[i] = std::fma(matrix.at((first_row + i) * columns + j), operand[j], sum[i]);
    }
  }
}

/// sum += the transpose of rows [first_row, first_row + operand.size()) of `matrix`, times `operand`.
inline void add_transposed_product(Vector& sum, const Vector& matrix, std::size_t first_row,
                                   const Vector& operand) {
  const std::size_t columns = sum.size();
  for (std::size_t j = 0; j < columns; ++j) {
    for (std::size_t i = 0; i < operand.size(); ++i) {
      sum[j] = std::fma(matrix.at((first_row + i) * columns + j), operand[i], sum[j]);
    }
  }
}

/// (a - mean) / sqrt(variance + eps) * weight + bias.
inline Vector layer_norm(const Vector& a, const Vector& weight, const Vector& bias, double eps) {
  const double center = mean(a);
  const double deviation = std::sqrt(variance(a) + eps);
  Vector y;
  for (std::size_t i = 0; i < a.size(); ++i) {
    y.push_back((a[i] - center) / deviation * element(weight, i) + element(bias, i));
  }
  return y;
}

/// The value of `node`, given those of the nodes before it.
inline Vector value_of(const CellNode& node, const std::vector<Vector>& values, const CellLeaves& leaves) {
  const auto argument = [&](std::size_t i) -> const Vector& { return values.at(node.args.at(i)); };
  switch (node.op) {
    case CellOp::kInput:
      return part(leaves.input, node.first, node.size);
    case CellOp::kState:
      return part(leaves.states.at(node.index), node.first, node.size);
    case CellOp::kVector:
    case CellOp::kScalar:
      return part(leaves.parameters.at(node.index), node.first, node.size);
    case CellOp::kConstant:
      return Vector(node.size, node.value);
    case CellOp::kSaved:
      return part(leaves.saved.at(node.index), node.first, node.size);
    case CellOp::kNextState:
      return part(leaves.next_states.at(node.index), node.first, node.size);
    case CellOp::kGradOutput:
      return part(leaves.grad_output, node.first, node.size);
    case CellOp::kGradNext:
      return part(leaves.grad_next.at(node.index), node.first, node.size);
    case CellOp::kMatrix: {
      Vector product(node.size, 0.0);
      add_product(product, leaves.parameters.at(node.index), node.first, argument(0));
      return product;
    }
    case CellOp::kSlice:
      return part(argument(0), node.first, node.size);
    case CellOp::kLayerNorm:
      return layer_norm(argument(0), argument(1), argument(2), node.value);
    case CellOp::kProducts: {
      Vector total(node.size, 0.0);
      for (const CellBias& bias : node.biases) {
        for (std::size_t i = 0; i < node.size; ++i) {
          total[i] += leaves.parameters.at(bias.parameter).at(bias.first + i);
        }
      }
      for (const CellProduct& product : node.products) {
        const Vector& matrix = leaves.parameters.at(product.parameter);
        const Vector& operand = values.at(product.operand);
        if (product.is_transposed) {
          add_transposed_product(total, matrix, product.first_row, operand);
        } else {
          add_product(total, matrix, product.first_row, operand);
        }
      }
      return total;
    }
    case CellOp::kSum:
      return {sum(argument(0))};
    case CellOp::kMean:
      return {mean(argument(0))};
    case CellOp::kVariance:
      return {variance(argument(0))};
    default: {
      Vector y;
      for (std::size_t i = 0; i < node.size; ++i) {
        const auto at = [&](std::size_t k) { return k < node.args.size() ? element(argument(k), i) : 0.0; };
        y.push_back(elementwise(node.op, at(0), at(1), at(2)));
      }
      return y;
    }
  }
}

/// The values of all nodes, in their order.
inline std::vector<Vector> evaluate(const std::vector<CellNode>& nodes, const CellLeaves& leaves) {
  std::vector<Vector> values;
  for (const CellNode& node : nodes) {
    values.push_back(value_of(node, values, leaves));
    if (values.back().size() != node.size) throw std::logic_error("a node has not the size that it says");
  }
  return values;
}

}  // namespace sluice::reference
