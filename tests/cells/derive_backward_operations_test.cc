// SPDX-License-Identifier: Apache-2.0
// The way back of each operation by itself, and of many together.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "cells/cell_graph.h"
#include "cells/true_gradients.h"
#include "reference/cell_gradients.h"
#include "support/lowered_by_hand.h"
#include "support/random.h"

namespace sluice {
namespace {

using reference::CellRun;
using reference::Vector;
using test::expect_true_gradients;
using test::LoweredByHand;
using Value = LoweredByHand::Value;

constexpr std::size_t H = 4;

struct Operation {
  const char* name;
  std::function<Value(Value a, Value b, Value c)> apply;
};
std::ostream& operator<<(std::ostream& out, const Operation& op) { return out << op.name; }

Value positive(Value a) { return a * a + a.cell->constant(0.5); }
Operation two(const char* name, CellOp op) {
  return {name, [op](Value a, Value b, Value) { return a.cell->make(op, {a, b}); }};
}
Operation one(const char* name, CellOp op) {
  return {name, [op](Value a, Value b, Value) { return a.cell->make(op, {a * b}); }};
}
Operation of_positive(const char* name, CellOp op) {
  return {name, [op](Value a, Value b, Value) { return a.cell->make(op, {positive(a * b)}); }};
}

class DeriveBackwardOf : public testing::TestWithParam<Operation> {};

/// The same operation of values of the step, of leaves, and of one element that counts for all.
TEST_P(DeriveBackwardOf, HasTrueGradients) {
  const auto& apply = GetParam().apply;
  LoweredByHand cell(H);
  const Value x = cell.input(), h = cell.state("h", H);
  const std::size_t w = cell.parameter("w", {2 * H, H}), u = cell.parameter("u", {2 * H, H});
  const Value v = cell.vector(cell.parameter("v", {H}), 0, H);
  const Value a = cell.products(H, {}, {{w, 0, x}, {u, 0, h}});
  const Value b = cell.products(H, {}, {{w, H, x}, {u, H, h}});
  const Value single = cell.make(CellOp::kSum, {a * b}), s = cell.scalar(cell.parameter("s", {1}));
  const Value y = apply(a, b, h) + apply(h, x, v) + apply(single, a, h) + apply(b, s, single) +
                  apply(a, cell.constant(0.75), b) + apply(s, single, single) + apply(a, a, a);
  const Value h_new = tanh(cell.constant(0.25) * y);
  expect_true_gradients(cell.finish(y, {h_new}));
}

INSTANTIATE_TEST_SUITE_P(
    Operations, DeriveBackwardOf,
    testing::Values(
        two("add", CellOp::kAdd), two("sub", CellOp::kSub), two("mul", CellOp::kMul),
        Operation{"div", [](Value a, Value b, Value) { return a / positive(b); }}, one("neg", CellOp::kNeg),
        two("max", CellOp::kMax), two("min", CellOp::kMin), one("abs", CellOp::kAbs),
        one("exp", CellOp::kExp), of_positive("log", CellOp::kLog), of_positive("sqrt", CellOp::kSqrt),
        one("sigmoid", CellOp::kSigmoid), one("tanh", CellOp::kTanh), one("relu", CellOp::kRelu),
        Operation{"less",
                  [](Value a, Value b, Value c) {
                    return a.cell->make(CellOp::kLess, {a, b}) * c;
                  }},
        Operation{"less_equal",
                  [](Value a, Value b, Value c) {
                    return a.cell->make(CellOp::kLessEqual, {a, b}) * c;
                  }},
        Operation{"select",
                  [](Value a, Value b, Value c) {
                    return a.cell->make(CellOp::kSelect, {a.cell->make(CellOp::kLess, {a, c}), b, c});
                  }},
        Operation{"select_on_a_value",
                  [](Value a, Value b, Value c) {
                    return a.cell->make(CellOp::kSelect, {a, b, c});
                  }},
        Operation{"mul_add", [](Value a, Value b, Value c) { return mul_add(a, b, c); }},
        Operation{"sum", [](Value a, Value b, Value) { return a.cell->make(CellOp::kSum, {a}) * b; }},
        Operation{"mean", [](Value a, Value b, Value) { return a.cell->make(CellOp::kMean, {a}) * b; }},
        Operation{"variance",
                  [](Value a, Value b, Value) { return a.cell->make(CellOp::kVariance, {a}) * b; }}),
    [](const auto& info) { return std::string(info.param.name); });

/// The gradients of a and b, for 1 from the output.
Vector gradients_at(CellOp op, double a, double b) {
  LoweredByHand cell(2);
  const Value first = cell.input(0, 1);
  const bool is_of_one = op == CellOp::kAbs || op == CellOp::kRelu;
  const LoweredCell lowered =
      cell.finish(is_of_one ? cell.make(op, {first}) : cell.make(op, {first, cell.input(1, 1)}), {});
  const CellRun run{.inputs = {{a, b}}, .states = {}, .parameters = {}};
  return run_back(lowered, derive_backward(lowered), run, run_steps(lowered, run), {{1.0}}, {}).inputs[0];
}

TEST(DeriveBackward, AtKinksAsPyTorch) {
  EXPECT_EQ(gradients_at(CellOp::kMax, 2, 2), (Vector{0.5, 0.5}));
  EXPECT_EQ(gradients_at(CellOp::kMin, 2, 2), (Vector{0.5, 0.5}));
  EXPECT_EQ(gradients_at(CellOp::kRelu, 0, 0), (Vector{0, 0}));
  EXPECT_EQ(gradients_at(CellOp::kAbs, 0, 0), (Vector{0, 0}));
}

/// Cells that no one would think of.
LoweredCell random_cell(std::uint64_t seed) {
  Random random(seed);
  LoweredByHand cell(H);
  const std::size_t w = cell.parameter("w", {3 * H, H}), b = cell.parameter("b", {3 * H});
  const std::size_t s = cell.parameter("s", {1});
  std::vector<Value> values{cell.input(),         cell.state("h", H), cell.state("c", H),
                            cell.vector(b, 1, H), cell.scalar(s),     cell.constant(0.75)};
  const auto any = [&] { return values[random.below(values.size())]; };
  const auto make = [&]() -> Value {
    const Value p = any(), q = any(), r = any();
    switch (random.below(9)) {
      case 0:
        return p + q;
      case 1:
        return p - q;
      case 2:
        return p * q;
      case 3:
        return p / positive(q);
      case 4:
        return mul_add(p, q, r);
      case 5:
        return cell.make(CellOp::kMax, {p, q});
      case 6:
        return cell.make(CellOp::kSelect, {cell.make(CellOp::kLess, {p, q}), r, p});
      case 7:
        return cell.make(random.below(2) == 0 ? CellOp::kMean : CellOp::kVariance, {p});
      default: {
        const Value operand = p.size() == H ? p : q.size() == H ? q : values[0];
        const std::size_t row = random.below(2 * H);
        return cell.products(H, {{b, row}}, {{w, row, operand}, {w, 1, values[1]}});
      }
    }
  };
  for (int i = 0; i < 12; ++i) {
    const Value value = make();
    // Not all functions, so that there is something to gather, but enough for values to stay small.
    values.push_back(random.below(3) == 0 ? value : tanh(value));
  }
  const Value last = values.back();
  const Value h = tanh(values[1] + last), c = tanh(values[2] * any());
  return cell.finish(last * h, {h, c});
}

TEST(DeriveBackward, CellsOfChance) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    expect_true_gradients(random_cell(seed));
  }
}

}  // namespace
}  // namespace sluice
