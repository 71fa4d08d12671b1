// SPDX-License-Identifier: Apache-2.0
// The way back of whole cells: its gradients, and what it keeps.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "cells/cell_graph.h"
#include "cells/true_gradients.h"
#include "sluice/custom_cell.h"
#include "sluice/error.h"
#include "support/lowered_by_hand.h"

namespace sluice {
namespace {

using test::expect_true_gradients;
using test::LoweredByHand;
using Value = LoweredByHand::Value;

/// The nodes that the forward step keeps.
std::set<std::size_t> saved(const LoweredCell& cell) {
  const CellBackward back = derive_backward(cell);
  return {back.saved.begin(), back.saved.end()};
}

std::size_t count(const CellBackward& back, CellOp op) {
  std::size_t found = 0;
  for (const CellNode& node : back.nodes) found += node.op == op;
  return found;
}

constexpr std::size_t I = 3, H = 4;

/// An LSTM's four pre-activations: W x + b + U h + c.
struct FourGates {
  FourGates(LoweredByHand& cell, Value x, Value h)
      : cell(cell),
        x(x),
        h(h),
        w(cell.parameter("weight_ih", {4 * H, x.size()})),
        b(cell.parameter("bias_ih", {4 * H})),
        u(cell.parameter("weight_hh", {4 * H, h.size()})),
        c(cell.parameter("bias_hh", {4 * H})) {}
  Value operator[](std::size_t gate) const {
    return cell.products(H, {{b, gate * H}, {c, gate * H}}, {{w, gate * H, x}, {u, gate * H, h}});
  }
  LoweredByHand& cell;
  Value x, h;
  std::size_t w, b, u, c;
};

TEST(DeriveBackward, LstmKeepsItsActivatedGates) {
  LoweredByHand cell(I);
  const Value h = cell.state("h", H), c = cell.state("c", H);
  const FourGates gates(cell, cell.input(), h);
  const Value i = sigmoid(gates[0]), f = sigmoid(gates[1]), g = tanh(gates[2]), o = sigmoid(gates[3]);
  const Value c_new = mul_add(f, c, i * g);
  const Value h_new = o * tanh(c_new);
  const LoweredCell lstm = cell.finish(h_new, {h_new, c_new});
  EXPECT_EQ(saved(lstm), (std::set{i.node, f.node, g.node, o.node}));
  // tanh(c') is made again.
  EXPECT_EQ(count(derive_backward(lstm), CellOp::kTanh), 1);
  EXPECT_EQ(count(derive_backward(lstm), CellOp::kSigmoid), 0);
  expect_true_gradients(lstm);
}

TEST(DeriveBackward, GruKeepsItsGatesAndTheStatesPartOfItsCandidate) {
  LoweredByHand cell(I);
  const Value x = cell.input(), h = cell.state("h", H);
  const std::size_t w = cell.parameter("weight_ih", {3 * H, I}), b = cell.parameter("bias_ih", {3 * H});
  const std::size_t u = cell.parameter("weight_hh", {3 * H, H}), c = cell.parameter("bias_hh", {3 * H});
  const auto gate = [&](std::size_t k) {
    return sigmoid(cell.products(H, {{b, k * H}, {c, k * H}}, {{w, k * H, x}, {u, k * H, h}}));
  };
  const Value r = gate(0), z = gate(1);
  const Value n_h = cell.products(H, {{c, 2 * H}}, {{u, 2 * H, h}});
  const Value n = tanh(mul_add(r, n_h, cell.products(H, {{b, 2 * H}}, {{w, 2 * H, x}})));
  const Value h_new = mul_add(z, h, (cell.constant(1) - z) * n);
  const LoweredCell gru = cell.finish(h_new, {h_new});
  EXPECT_EQ(saved(gru), (std::set{r.node, z.node, n.node, n_h.node}));
  EXPECT_EQ(count(derive_backward(gru), CellOp::kTanh), 0);
  EXPECT_EQ(count(derive_backward(gru), CellOp::kSigmoid), 0);
  expect_true_gradients(gru);
}

TEST(DeriveBackward, GruThatResetsBeforeTheProductKeepsTheOperand) {
  LoweredByHand cell(I);
  const Value x = cell.input(), h = cell.state("h", H);
  const std::size_t w = cell.parameter("weight_ih", {3 * H, I}), u = cell.parameter("weight_hh", {3 * H, H});
  const Value r = sigmoid(cell.products(H, {}, {{w, 0, x}, {u, 0, h}}));
  const Value z = sigmoid(cell.products(H, {}, {{w, H, x}, {u, H, h}}));
  const Value reset = r * h;
  const Value n = tanh(cell.products(H, {}, {{w, 2 * H, x}, {u, 2 * H, reset}}));
  const Value h_new = mul_add(z, h, (cell.constant(1) - z) * n);
  const LoweredCell gru = cell.finish(h_new, {h_new});
  EXPECT_EQ(saved(gru), (std::set{r.node, z.node, n.node, reset.node}));
  expect_true_gradients(gru);
}

TEST(DeriveBackward, PeepholesSeeTheOldAndTheNewState) {
  LoweredByHand cell(I);
  const Value h = cell.state("h", H), c = cell.state("c", H);
  const FourGates gates(cell, cell.input(), h);
  const std::size_t p = cell.parameter("peephole", {3 * H});
  const Value i = sigmoid(mul_add(cell.vector(p, 0, H), c, gates[0]));
  const Value f = sigmoid(mul_add(cell.vector(p, H, H), c, gates[1]));
  const Value g = tanh(gates[2]);
  const Value c_new = mul_add(f, c, i * g);
  const Value o = sigmoid(mul_add(cell.vector(p, 2 * H, H), c_new, gates[3]));
  const Value h_new = o * tanh(c_new);
  const LoweredCell lstm = cell.finish(h_new, {h_new, c_new});
  EXPECT_EQ(saved(lstm), (std::set{i.node, f.node, g.node, o.node}));
  expect_true_gradients(lstm);
}

TEST(DeriveBackward, LayerNormalisation) {
  LoweredByHand cell(I);
  const Value x = cell.input(), h = cell.state("h", H);
  const std::size_t w = cell.parameter("w", {H, I}), u = cell.parameter("u", {H, H});
  const Value weight = cell.vector(cell.parameter("weight", {H}), 0, H);
  const Value bias = cell.vector(cell.parameter("bias", {H}), 0, H);
  const Value a = cell.products(H, {}, {{w, 0, x}, {u, 0, h}});
  const Value mean = cell.make(CellOp::kMean, {a}), variance = cell.make(CellOp::kVariance, {a});
  const Value deviation = cell.make(CellOp::kSqrt, {variance + cell.constant(1e-3)});
  const Value scale = cell.constant(1) / deviation;
  const Value h_new = tanh(mul_add((a - mean) * scale, weight, bias));
  const LoweredCell normalised = cell.finish(h_new, {h_new});
  EXPECT_EQ(saved(normalised), (std::set{a.node, mean.node, deviation.node, scale.node}));
  // What is subtracted from every element is summed first and changes its sign as one number.
  for (const CellNode& node : derive_backward(normalised).nodes) {
    EXPECT_TRUE(node.op != CellOp::kNeg || node.size == 1);
  }
  expect_true_gradients(normalised);
}

TEST(DeriveBackward, MeanThatNoOneElseNeedsIsMade) {
  LoweredByHand cell(H);
  const LoweredCell variance = cell.finish(cell.make(CellOp::kVariance, {cell.input()}), {});
  EXPECT_EQ(count(derive_backward(variance), CellOp::kMean), 1);
  expect_true_gradients(variance);
}

TEST(DeriveBackward, ProjectionComesFromAValueOfTheStep) {
  constexpr std::size_t P = 2;
  LoweredByHand cell(I);
  const Value h = cell.state("h", P), c = cell.state("c", H);
  const FourGates gates(cell, cell.input(), h);
  const Value i = sigmoid(gates[0]), f = sigmoid(gates[1]), g = tanh(gates[2]), o = sigmoid(gates[3]);
  const Value c_new = mul_add(f, c, i * g);
  const Value m = o * tanh(c_new);
  const Value h_new = cell.products(P, {}, {{cell.parameter("weight_hr", {P, H}), 0, m}});
  const LoweredCell lstm = cell.finish(h_new, {h_new, c_new});
  EXPECT_EQ(saved(lstm), (std::set{i.node, f.node, g.node, o.node, m.node}));
  EXPECT_EQ(count(derive_backward(lstm), CellOp::kProducts), 1);
  expect_true_gradients(lstm);
}

TEST(DeriveBackward, ProductsWithOneValueOfTheStepAreGatheredInOneNode) {
  LoweredByHand cell(I);
  const Value x = cell.input(), h = cell.state("h", H);
  const std::size_t w = cell.parameter("w", {H, I}), u = cell.parameter("u", {3 * H, H});
  const Value a = tanh(cell.products(H, {}, {{w, 0, x}}) * h);
  const Value first = cell.products(H, {}, {{u, 0, a}});
  const Value second = cell.products(H, {}, {{u, H, a}, {u, 2 * H, a}});
  const Value h_new = first * sigmoid(second) + a;
  const LoweredCell twice = cell.finish(h_new, {h_new});
  const CellBackward back = derive_backward(twice);
  EXPECT_EQ(count(back, CellOp::kProducts), 1);
  for (const CellNode& node : back.nodes) {
    if (node.op != CellOp::kProducts) continue;
    ASSERT_EQ(node.products.size(), 3);
    for (std::size_t k = 0; k < 3; ++k) {
      EXPECT_EQ(node.products[k].first_row, k * H);
      EXPECT_TRUE(node.products[k].is_transposed);
    }
  }
  expect_true_gradients(twice);
}

TEST(DeriveBackward, NewStateAsAnOperandIsReadFromThere) {
  LoweredByHand cell(I);
  const Value x = cell.input(), a = cell.state("a", H), b = cell.state("b", H);
  const std::size_t w = cell.parameter("w", {H, I}), u = cell.parameter("u", {H, H});
  const std::size_t v = cell.parameter("v", {H, H});
  const Value a_new = cell.make(CellOp::kRelu, {cell.products(H, {}, {{w, 0, x}, {u, 0, a}})});
  const Value b_new = tanh(cell.products(H, {}, {{v, 0, a_new}, {u, 0, b}}));
  const LoweredCell two = cell.finish(b_new, {a_new, b_new});
  EXPECT_EQ(saved(two), (std::set<std::size_t>{}));
  expect_true_gradients(two);
}

TEST(DeriveBackward, OperandIsKeptAnywayAndNotMadeAgain) {
  LoweredByHand cell(H);
  const Value h = cell.state("h", H), a = cell.input() + h;
  const Value product = cell.products(H, {}, {{cell.parameter("w", {H, H}), 0, a}});
  const LoweredCell lowered = cell.finish(product * a, {a * a});
  EXPECT_EQ(saved(lowered), (std::set{a.node, product.node}));
  EXPECT_EQ(count(derive_backward(lowered), CellOp::kState), 0);
  expect_true_gradients(lowered);
}

TEST(DeriveBackward, OperandMayBeAParameterOrASliceOfAState) {
  LoweredByHand cell(I);
  cell.state("h", H);
  const Value low = cell.state(0, 0, 2), high = cell.state(0, 2, 2);
  const Value all = cell.state(0, 0, H);
  const std::size_t w = cell.parameter("w", {H, 2}), u = cell.parameter("u", {H, I});
  const Value v = cell.vector(cell.parameter("v", {I}), 0, I);
  const Value h_new = all * tanh(cell.products(H, {}, {{w, 0, high}, {w, 0, cell.input(1, 2)}, {u, 0, v}})) +
                      cell.products(H, {}, {{w, 0, low}});
  expect_true_gradients(cell.finish(h_new, {h_new}));
}

TEST(DeriveBackward, FunctionOfNewStatesIsMadeAgain) {
  LoweredByHand cell(H);
  const Value x = cell.input(), c = cell.state("c", H), n = cell.state("n", H);
  const Value c_new = c + tanh(x), n_new = mul_add(n, n, cell.constant(1));
  const Value y = sigmoid(x - n) * (c_new / n_new);
  const LoweredCell lowered = cell.finish(y, {c_new, n_new});
  const std::size_t gate = cell.make(CellOp::kSigmoid, {x - n}).node;
  EXPECT_EQ(saved(lowered), (std::set{gate}));
  expect_true_gradients(lowered);
}

TEST(DeriveBackward, StatesThatSwap) {
  LoweredByHand cell(H);
  const Value a = cell.state("a", H), b = cell.state("b", H);
  const LoweredCell lowered = cell.finish(a * cell.input(), {b, a});
  EXPECT_EQ(count(derive_backward(lowered), CellOp::kNextState), 0);
  expect_true_gradients(lowered);
}

TEST(DeriveBackward, StatesThatStayThatNothingUsesAndThatDelayTheInput) {
  LoweredByHand cell(H);
  const Value stays = cell.state("stays", H), unused = cell.state("unused", H);
  const Value delayed = cell.state("delayed", H), zero = cell.state("zero", 1);
  const Value y = stays * delayed + zero;
  const LoweredCell lowered = cell.finish(y, {stays, y * y, cell.input(), cell.constant(0)});
  EXPECT_TRUE(derive_backward(lowered).states[1].parts.empty());
  EXPECT_EQ(unused.size(), H);
  expect_true_gradients(lowered);
}

TEST(DeriveBackward, OutputMayBeALeafOrOneElement) {
  LoweredByHand cell(H);
  const Value h = cell.state("h", H);
  const Value h_new = tanh(h * cell.input());
  expect_true_gradients(cell.finish(h, {h_new}));
  expect_true_gradients(cell.finish(cell.input(), {h_new}));
  expect_true_gradients(cell.finish(cell.make(CellOp::kSum, {h}), {h_new}));
}

TEST(DeriveBackward, CellWithoutStates) {
  LoweredByHand cell(I);
  const std::size_t w = cell.parameter("w", {2 * H, I}), b = cell.parameter("b", {2 * H});
  const Value gate = sigmoid(cell.products(H, {{b, 0}}, {{w, 0, cell.input()}}));
  const Value y = gate * tanh(cell.products(H, {{b, H}}, {{w, H, cell.input()}}));
  expect_true_gradients(cell.finish(y, {}));
}

TEST(DeriveBackward, ScalarsGradientIsSummedAtTheEndOnly) {
  LoweredByHand cell(H);
  const Value h = cell.state("h", H), s = cell.scalar(cell.parameter("s", {1}));
  const Value keep = sigmoid(s + cell.constant(1));
  const Value h_new = mul_add(keep, h, (cell.constant(1) - keep) * cell.input()) * s;
  const LoweredCell lowered = cell.finish(h_new, {h_new});
  EXPECT_EQ(count(derive_backward(lowered), CellOp::kSum), 0);
  EXPECT_EQ(derive_backward(lowered).vectors.size(), 1);
  expect_true_gradients(lowered);
}

TEST(DeriveBackward, ScalarInASumAndForAllUnitsHasTwoLists) {
  LoweredByHand cell(H);
  const Value h = cell.state("h", H), s = cell.scalar(cell.parameter("s", {1}));
  const Value h_new = tanh(s * h + s * cell.make(CellOp::kMean, {h}));
  const LoweredCell lowered = cell.finish(h_new, {h_new});
  EXPECT_EQ(derive_backward(lowered).vectors.size(), 2);
  expect_true_gradients(lowered);
}

TEST(DeriveBackward, OneElementOfAVectorCountsForAll) {
  LoweredByHand cell(H);
  const std::size_t v = cell.parameter("v", {2});
  const Value h = cell.state("h", H);
  const Value h_new = tanh(mul_add(h, cell.vector(v, 1, 1), cell.vector(v, 0, 1) * cell.input(2, 1)));
  expect_true_gradients(cell.finish(h_new, {h_new}));
}

TEST(DeriveBackward, SumsGradientAloneReachesEveryElementAndRow) {
  LoweredByHand cell(I);
  const Value x = cell.input();
  const Value y = cell.make(CellOp::kSum, {cell.products(H, {}, {{cell.parameter("w", {H, I}), 0, x}})});
  const LoweredCell lowered = cell.finish(y, {});
  const CellBackward back = derive_backward(lowered);
  EXPECT_EQ(back.nodes[back.lists[back.matrices[0].list]].size, H);
  expect_true_gradients(lowered);
}

TEST(DeriveBackward, SlicesAreParts) {
  LoweredByHand cell(6);
  cell.state("h", 4);
  const Value a = cell.input(3, 2), b = cell.input(1, 2), h0 = cell.state(0, 0, 2), h1 = cell.state(0, 2, 2);
  const Value all = cell.state(0, 0, 4);
  const Value y = tanh(a * h1) + sigmoid(b * h0) * a;
  const std::size_t w = cell.parameter("w", {4, 2}), u = cell.parameter("u", {4, 4});
  const LoweredCell lowered = cell.finish(y, {cell.products(4, {}, {{w, 0, y}, {u, 0, all}})});
  const CellBackward back = derive_backward(lowered);
  ASSERT_EQ(back.input.parts.size(), 2);
  EXPECT_EQ(back.input.parts[0].first, 1);
  EXPECT_EQ(back.input.parts[1].first, 3);
  EXPECT_EQ(back.states[0].parts.size(), 2);
  EXPECT_EQ(back.states[0].products.size(), 1);
  expect_true_gradients(lowered);
}

TEST(DeriveBackward, MayBeAsDeepAsItLikes) {
  LoweredByHand cell(1);
  Value y = cell.state("h", 1);
  for (int i = 0; i < 50000; ++i) y = cell.input() - y;
  const LoweredCell deep = cell.finish(tanh(y) * y, {y});
  EXPECT_TRUE(derive_backward(deep).saved.empty());
  const LoweredCell deeper = cell.finish(y * y, {cell.input()});
  EXPECT_GT(derive_backward(deeper).nodes.size(), 50000);
}

std::string message_of(const LoweredCell& cell) {
  try {
    derive_backward(cell);
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing thrown";
}

TEST(DeriveBackward, RefusesSlicesThatOverlap) {
  LoweredByHand cell(8);
  cell.state("memory", 8);
  const Value a = cell.input(0, 4), b = cell.input(2, 4), c = cell.state(0, 0, 8), d = cell.state(0, 4, 2);
  EXPECT_EQ(message_of(cell.finish(a * b, {c})),
            "slices [0, 4) and [2, 6) of the input overlap: for a way back they must be equal or apart");
  EXPECT_EQ(message_of(cell.finish(a * cell.input(2, 1), {c})),
            "slices [0, 4) and [2, 3) of the input overlap: for a way back they must be equal or apart");
  EXPECT_EQ(message_of(cell.finish(d, {c})),
            "slices [0, 8) and [4, 6) of state memory overlap: for a way back they must be equal or apart");
}

TEST(DeriveBackward, StatesOneThingOnceAndNothingUnneeded) {
  LoweredByHand cell(I);
  const Value h = cell.state("h", H), c = cell.state("c", H);
  const FourGates gates(cell, cell.input(), h);
  const Value i = sigmoid(gates[0]), f = sigmoid(gates[1]), g = tanh(gates[2]), o = sigmoid(gates[3]);
  const Value c_new = mul_add(f, c, i * g);
  const Value h_new = o * tanh(c_new);
  const CellBackward back = derive_backward(cell.finish(h_new, {h_new, c_new}));
  std::vector<bool> is_needed(back.nodes.size());
  for (const std::size_t node : back.lists) is_needed[node] = true;
  for (const CellBackward::Part& part : back.states[1].parts) is_needed[part.node] = true;
  for (std::size_t n = back.nodes.size(); n-- > 0;) {
    EXPECT_TRUE(is_needed[n]) << n;
    for (const std::size_t arg : back.nodes[n].args) is_needed[arg] = true;
  }

  EXPECT_EQ(back.lists.size(), 4);
  EXPECT_EQ(back.matrices.size(), 8);
  EXPECT_EQ(back.vectors.size(), 8);
  EXPECT_EQ(back.states[0].products.size(), 4);
  for (std::size_t gate = 0; gate < 4; ++gate) {
    EXPECT_EQ(back.states[0].products[gate].first_row, gate * H);
    EXPECT_EQ(back.states[0].products[gate].list, gate);
  }
}

/// What `lowered` keeps, as operations.
std::vector<CellOp> saved_operations(const LoweredCell& lowered) {
  std::vector<CellOp> operations;
  for (const std::size_t node : saved(lowered)) operations.push_back(lowered.nodes[node].op);
  return operations;
}

TEST(DeriveBackward, LstmAsItIsStated) {
  CellBuilder cell("LSTM");
  const auto x = cell.input(I), h = cell.state("h", H), c = cell.state("c", H);
  const auto gates = cell.matrix("weight_ih", 4 * H, x) + cell.vector("bias_ih", 4 * H) +
                     cell.matrix("weight_hh", 4 * H, h) + cell.vector("bias_hh", 4 * H);
  const auto [i, f, g, o] = split<4>(gates);
  const auto c_new = sigmoid(f) * c + sigmoid(i) * tanh(g);
  const auto h_new = sigmoid(o) * tanh(c_new);
  cell.next(c, c_new);
  cell.next(h, h_new);
  const LoweredCell lstm = lower_cell(cell.build(h_new).graph());
  std::vector<CellOp> kept = saved_operations(lstm);
  std::sort(kept.begin(), kept.end());
  EXPECT_EQ(kept, (std::vector{CellOp::kSigmoid, CellOp::kSigmoid, CellOp::kSigmoid, CellOp::kTanh}));
  EXPECT_EQ(derive_backward(lstm).lists.size(), 4u);
  expect_true_gradients(lstm);
}

TEST(DeriveBackward, GruAsItIsStated) {
  CellBuilder cell("GRU");
  const auto x = cell.input(I), h = cell.state("h", H);
  const auto of_x = split<3>(cell.matrix("weight_ih", 3 * H, x) + cell.vector("bias_ih", 3 * H));
  const auto of_h = split<3>(cell.matrix("weight_hh", 3 * H, h) + cell.vector("bias_hh", 3 * H));
  const auto r = sigmoid(of_x[0] + of_h[0]), z = sigmoid(of_x[1] + of_h[1]);
  const auto n = tanh(of_x[2] + r * of_h[2]);
  const auto h_new = (1 - z) * n + z * h;
  cell.next(h, h_new);
  const LoweredCell gru = lower_cell(cell.build(h_new).graph());
  std::vector<CellOp> kept = saved_operations(gru);
  std::sort(kept.begin(), kept.end());
  EXPECT_EQ(kept, (std::vector{CellOp::kSigmoid, CellOp::kSigmoid, CellOp::kTanh, CellOp::kProducts}));
  EXPECT_EQ(derive_backward(gru).lists.size(), 4u);
  expect_true_gradients(gru);
}

TEST(DeriveBackward, LayerNormalisedGatesAsTheyAreStated) {
  CellBuilder cell("LN");
  const auto x = cell.input(I), h = cell.state("h", H), c = cell.state("c", H);
  const auto of_x = cell.matrix("w", 2 * H, x), of_h = cell.matrix("u", 2 * H, h);
  const auto [f, g] = split<2>(layer_norm(of_x, cell.vector("gx", 2 * H), 0.0, 1e-3) +
                               layer_norm(of_h, cell.vector("gh", 2 * H), cell.vector("b", 2 * H), 1e-3));
  const auto c_new = sigmoid(f) * c + (1 - sigmoid(f)) * tanh(g);
  const auto h_new = tanh(layer_norm(c_new, cell.scalar("gc"), cell.vector("bc", H), 1e-3));
  cell.next(c, c_new);
  cell.next(h, h_new);
  expect_true_gradients(lower_cell(cell.build(h_new).graph()));
}

TEST(DeriveBackward, ExponentialGatesWithAStabiliserAsTheyAreStated) {
  CellBuilder cell("sLSTM");
  const auto x = cell.input(I), h = cell.state("h", H), c = cell.state("c", H);
  const auto n = cell.state("n", H), m = cell.state("m", H);
  const auto [i, f, z, o] =
      split<4>(cell.matrix("w", 4 * H, x) + cell.matrix("u", 4 * H, h) + cell.vector("b", 4 * H));
  const auto log_f = log(sigmoid(f));
  const auto m_new = max(log_f + m, i);
  const auto keep = exp(log_f + m - m_new), take = exp(i - m_new);
  const auto c_new = keep * c + take * tanh(z);
  const auto n_new = max(keep * n + take, 0.5);
  const auto h_new = sigmoid(o) * (c_new / n_new);
  cell.next(h, h_new);
  cell.next(c, c_new);
  cell.next(n, n_new);
  cell.next(m, m_new);
  expect_true_gradients(lower_cell(cell.build(h_new).graph()));
}

}  // namespace
}  // namespace sluice
