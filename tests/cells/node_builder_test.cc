// SPDX-License-Identifier: Apache-2.0
#include "cells/node_builder.h"

#include <gtest/gtest.h>

#include <limits>

namespace sluice {
namespace {

CellNode input(std::size_t first, std::size_t size) {
  return {.op = CellOp::kInput, .size = size, .first = first};
}

TEST(NodeBuilder, EqualValuesStandOnce) {
  NodeBuilder builder;
  const std::size_t x = builder.add(input(0, 4)), y = builder.add(input(4, 4));
  EXPECT_EQ(builder.add(input(4, 4)), y);
  EXPECT_NE(x, y);
  EXPECT_EQ(builder.make(CellOp::kAdd, {x, y}), builder.make(CellOp::kAdd, {y, x}));
  EXPECT_EQ(builder.make(CellOp::kMulAdd, {x, y, x}), builder.make(CellOp::kMulAdd, {y, x, x}));
  EXPECT_NE(builder.make(CellOp::kMulAdd, {x, y, x}), builder.make(CellOp::kMulAdd, {x, y, y}));
  EXPECT_NE(builder.make(CellOp::kSub, {x, y}), builder.make(CellOp::kSub, {y, x}));
  EXPECT_NE(builder.make(CellOp::kMax, {x, y}), builder.make(CellOp::kMax, {y, x}));
  EXPECT_EQ(builder.constant(2), builder.constant(2));
  const auto product = [&](std::size_t first_row, std::size_t bias) {
    return builder.add({.op = CellOp::kProducts,
                        .size = 4,
                        .products = {{.parameter = 0, .first_row = first_row, .operand = x}},
                        .biases = {{.parameter = bias, .first = 0}}});
  };
  EXPECT_EQ(product(0, 1), product(0, 1));
  EXPECT_NE(product(0, 1), product(4, 1));
  EXPECT_NE(product(0, 1), product(0, 2));
}

TEST(NodeBuilder, SizesFollowFromArguments) {
  NodeBuilder builder;
  const std::size_t x = builder.add(input(0, 4)), one = builder.add(input(0, 1));
  EXPECT_EQ(builder.nodes()[builder.make(CellOp::kMul, {one, x})].size, 4u);
  EXPECT_EQ(builder.nodes()[builder.make(CellOp::kTanh, {one})].size, 1u);
  EXPECT_EQ(builder.nodes()[builder.make(CellOp::kVariance, {x})].size, 1u);
}

TEST(NodeBuilder, ConstantsAreFolded) {
  NodeBuilder builder;
  const std::size_t two = builder.constant(2), three = builder.constant(3);
  const auto folded = [&](CellOp op, std::vector<std::size_t> args) {
    const CellNode& node = builder.nodes()[builder.make(op, std::move(args))];
    return node.op == CellOp::kConstant ? node.value : std::numeric_limits<double>::quiet_NaN();
  };
  EXPECT_EQ(folded(CellOp::kAdd, {two, three}), 5);
  EXPECT_EQ(folded(CellOp::kSub, {two, three}), -1);
  EXPECT_EQ(folded(CellOp::kMul, {two, three}), 6);
  EXPECT_EQ(folded(CellOp::kDiv, {three, two}), 1.5);
  EXPECT_EQ(folded(CellOp::kNeg, {two}), -2);
  EXPECT_EQ(folded(CellOp::kMax, {two, three}), 3);
  EXPECT_EQ(folded(CellOp::kMin, {two, three}), 2);
  EXPECT_EQ(folded(CellOp::kAbs, {builder.constant(-2)}), 2);
  EXPECT_EQ(folded(CellOp::kSqrt, {builder.constant(9)}), 3);
  EXPECT_EQ(folded(CellOp::kRelu, {builder.constant(-9)}), 0);
  EXPECT_EQ(folded(CellOp::kLess, {two, three}), 1);
  EXPECT_EQ(folded(CellOp::kLessEqual, {three, two}), 0);
  EXPECT_EQ(folded(CellOp::kSelect, {two, three, two}), 3);
  EXPECT_EQ(folded(CellOp::kMulAdd, {two, three, two}), 8);
  // Not what only the kernels know, and nothing that is no number.
  for (const CellOp op : {CellOp::kExp, CellOp::kLog, CellOp::kSigmoid, CellOp::kTanh}) {
    EXPECT_EQ(builder.nodes()[builder.make(op, {two})].op, op);
  }
  const std::size_t over_zero = builder.make(CellOp::kDiv, {two, builder.constant(0)});
  EXPECT_EQ(builder.nodes()[over_zero].op, CellOp::kDiv);
}

TEST(NodeBuilder, WhatConstantsMakeSimpleIsMadeSimple) {
  NodeBuilder builder;
  const std::size_t x = builder.add(input(0, 4)), y = builder.add(input(4, 4));
  const std::size_t zero = builder.constant(0), one = builder.constant(1);
  EXPECT_EQ(builder.make(CellOp::kAdd, {x, zero}), x);
  EXPECT_EQ(builder.make(CellOp::kAdd, {zero, x}), x);
  EXPECT_EQ(builder.make(CellOp::kSub, {x, zero}), x);
  EXPECT_EQ(builder.make(CellOp::kMul, {x, one}), x);
  EXPECT_EQ(builder.make(CellOp::kMul, {one, x}), x);
  EXPECT_EQ(builder.make(CellOp::kDiv, {x, one}), x);
  EXPECT_EQ(builder.make(CellOp::kMulAdd, {x, one, y}), builder.make(CellOp::kAdd, {x, y}));
  EXPECT_EQ(builder.make(CellOp::kMulAdd, {one, x, y}), builder.make(CellOp::kAdd, {x, y}));
  EXPECT_EQ(builder.make(CellOp::kSelect, {one, x, y}), x);
  EXPECT_EQ(builder.make(CellOp::kSelect, {zero, x, y}), y);
  // x * 0 is NaN for an infinite x, and 0 - x is not x.
  EXPECT_EQ(builder.nodes()[builder.make(CellOp::kMul, {x, zero})].op, CellOp::kMul);
  EXPECT_EQ(builder.nodes()[builder.make(CellOp::kSub, {zero, x})].op, CellOp::kSub);
  // One element for four is not simpler.
  EXPECT_EQ(builder.nodes()[builder.make(CellOp::kSelect, {one, zero, y})].op, CellOp::kSelect);
  const std::size_t minus = builder.make(CellOp::kNeg, {y});
  EXPECT_EQ(builder.make(CellOp::kNeg, {minus}), y);
  EXPECT_EQ(builder.make(CellOp::kAdd, {x, minus}), builder.make(CellOp::kSub, {x, y}));
  EXPECT_EQ(builder.make(CellOp::kAdd, {minus, x}), builder.make(CellOp::kSub, {x, y}));
  EXPECT_EQ(builder.make(CellOp::kSub, {x, minus}), builder.make(CellOp::kAdd, {x, y}));
  const std::size_t element = builder.add(input(0, 1));
  EXPECT_EQ(builder.make(CellOp::kSum, {element}), element);
  EXPECT_EQ(builder.make(CellOp::kMean, {element}), element);
}

TEST(NodeBuilder, ANameStaysWithItsValue) {
  NodeBuilder builder;
  const std::size_t x = builder.add(input(0, 4));
  const std::size_t y = builder.make(CellOp::kTanh, {x});
  builder.add({.op = CellOp::kTanh, .size = 4, .args = {x}, .name = "gate"});
  builder.add({.op = CellOp::kTanh, .size = 4, .args = {x}, .name = "other"});
  EXPECT_EQ(builder.nodes()[y].name, "gate");
}

TEST(NodeBuilder, OnlyWhatIsNeededIsKept) {
  NodeBuilder builder;
  const std::size_t x = builder.add(input(0, 4));
  builder.make(CellOp::kAbs, {x});
  const std::size_t y = builder.make(CellOp::kTanh, {x});
  const std::size_t product = builder.add(
      {.op = CellOp::kProducts, .size = 3, .products = {{.parameter = 0, .first_row = 0, .operand = y}}});
  std::size_t root = builder.make(CellOp::kNeg, {product}), same = x;
  const std::vector<CellNode> nodes = needed_nodes(builder.nodes(), {&root, &same});
  ASSERT_EQ(nodes.size(), 4u);
  EXPECT_EQ(root, 3u);
  EXPECT_EQ(same, 0u);
  EXPECT_EQ(nodes[1].op, CellOp::kTanh);
  EXPECT_EQ(nodes[2].products[0].operand, 1u);
  EXPECT_EQ(nodes[3].args, std::vector<std::size_t>{2});
}

}  // namespace
}  // namespace sluice
