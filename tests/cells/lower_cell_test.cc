// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "cells/cell_graph.h"
#include "reference/cell_interpreter.h"
#include "sluice/custom_cell.h"
#include "support/random_cell.h"

namespace sluice {
namespace {

constexpr std::size_t I = 3, H = 2;

/// A node and all that it is made of; slices as "h[2:4]".
std::string text(const LoweredCell& cell, std::size_t index) {
  static const std::map<CellOp, std::string> kNames{
      {CellOp::kAdd, "add"},          {CellOp::kSub, "sub"},         {CellOp::kMul, "mul"},
      {CellOp::kDiv, "div"},          {CellOp::kNeg, "neg"},         {CellOp::kMax, "max"},
      {CellOp::kSqrt, "sqrt"},        {CellOp::kSigmoid, "sigmoid"}, {CellOp::kTanh, "tanh"},
      {CellOp::kRelu, "relu"},        {CellOp::kMulAdd, "mul_add"},  {CellOp::kMean, "mean"},
      {CellOp::kVariance, "variance"}};
  const CellNode& node = cell.nodes[index];
  const auto range = [&](const std::string& name, std::size_t first, std::size_t whole) {
    if (first == 0 && node.size == whole) return name;
    return name + "[" + std::to_string(first) + ":" + std::to_string(first + node.size) + "]";
  };
  const auto parameter = [&](std::size_t which, std::size_t first) {
    return range(cell.parameters[which].name, first, cell.parameters[which].shape[0]);
  };
  switch (node.op) {
    case CellOp::kInput:
      return range("x", node.first, cell.input_size);
    case CellOp::kState:
      return range(cell.states[node.index].name, node.first, cell.states[node.index].size);
    case CellOp::kVector:
    case CellOp::kScalar:
      return parameter(node.index, node.first);
    case CellOp::kConstant:
      return std::to_string(node.value).substr(0, 4);
    case CellOp::kProducts: {
      std::string sum;
      for (const CellBias& bias : node.biases) sum += " + " + parameter(bias.parameter, bias.first);
      for (const CellProduct& product : node.products) {
        sum += " + " + parameter(product.parameter, product.first_row) + " " + text(cell, product.operand);
      }
      return '(' + sum.substr(3) + ')';
    }
    default: {
      std::string args;
      for (const std::size_t arg : node.args) args += ", " + text(cell, arg);
      return kNames.at(node.op) + "(" + args.substr(2) + ")";
    }
  }
}

std::string next_of(const LoweredCell& cell, std::size_t state) {
  return text(cell, cell.states[state].next);
}

/// Lowers output = of(cell, x, h), of a cell with x [4] and h [4].
template <class Of>
LoweredCell lowered(const Of& of) {
  CellBuilder cell("C");
  const auto x = cell.input(4), h = cell.state("h", 4);
  cell.next(h, h);
  return lower_cell(cell.build(of(cell, x, h)).graph());
}
template <class Of>
std::string lowered_text(const Of& of) {
  const LoweredCell cell = lowered(of);
  return text(cell, cell.output);
}

TEST(LowerCell, LstmIsTheBuiltInOnesArithmetic) {
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

  const auto pre = [](const std::string& rows) {
    return "(bias_ih[" + rows + "] + bias_hh[" + rows + "] + weight_ih[" + rows + "] x + weight_hh[" + rows +
           "] h)";
  };
  const std::string c_text =
      "mul_add(sigmoid(" + pre("2:4") + "), c, mul(sigmoid(" + pre("0:2") + "), tanh(" + pre("4:6") + ")))";
  EXPECT_EQ(next_of(lstm, 1), c_text);
  EXPECT_EQ(next_of(lstm, 0), "mul(sigmoid(" + pre("6:8") + "), tanh(" + c_text + "))");
  EXPECT_EQ(lstm.output, lstm.states[0].next);
  // x, h, c; four sums, four gates; i g, c', tanh(c'), h'.
  EXPECT_EQ(lstm.nodes.size(), 15u);
}

TEST(LowerCell, GruIsTheBuiltInOnesArithmetic) {
  CellBuilder cell("GRU");
  const auto x = cell.input(I), h = cell.state("h", H);
  const auto [r_x, z_x, n_x] = split<3>(cell.matrix("weight_ih", 3 * H, x) + cell.vector("bias_ih", 3 * H));
  const auto [r_h, z_h, n_h] = split<3>(cell.matrix("weight_hh", 3 * H, h) + cell.vector("bias_hh", 3 * H));
  const auto r = sigmoid(r_x + r_h), z = sigmoid(z_x + z_h), n = tanh(n_x + r * n_h);
  const auto h_new = z * h + (1 - z) * n;
  cell.next(h, h_new);
  const LoweredCell gru = lower_cell(cell.build(h_new).graph());

  const auto gate = [](const std::string& rows) {
    return "sigmoid((bias_ih[" + rows + "] + bias_hh[" + rows + "] + weight_ih[" + rows + "] x + weight_hh[" +
           rows + "] h))";
  };
  const std::string z_text = gate("2:4");
  EXPECT_EQ(next_of(gru, 0),
            "mul_add(" + z_text + ", h, mul(sub(1.00, " + z_text + "), tanh(mul_add(" + gate("0:2") +
                ", (bias_hh[4:6] + weight_hh[4:6] h), (bias_ih[4:6] + weight_ih[4:6] x)))))");
  // x, h, 1; four sums; r, z, the candidate's pre-activation, n; 1 - z, times n, h'.
  EXPECT_EQ(gru.nodes.size(), 14u);
}

TEST(LowerCell, GruWithTheResetBeforeTheProductMultipliesAComputedValue) {
  CellBuilder cell("GRU");
  const auto x = cell.input(I), h = cell.state("h", H);
  const auto r = sigmoid(cell.matrix("w_r", H, x) + cell.matrix("u_r", H, h));
  const auto n = tanh(cell.matrix("u_n", H, r * h) + cell.matrix("w_n", H, x) + cell.vector("b_n", H));
  cell.next(h, n);
  EXPECT_EQ(next_of(lower_cell(cell.build(n).graph()), 0),
            "tanh((b_n + w_n x + u_n mul(sigmoid((w_r x + u_r h)), h)))");
}

TEST(LowerCell, SlicesMoveDownToLeavesAndRows) {
  EXPECT_EQ(lowered_text([](CellBuilder& cell, auto x, auto h) {
              return slice(slice(tanh(x + h * cell.vector("v", 4)) * cell.scalar("s"), 1, 3), 1, 2);
            }),
            "mul(tanh(mul_add(h[2:4], v[2:4], x[2:4])), s)");
  EXPECT_EQ(lowered_text([](CellBuilder& cell, auto x, auto) {
              return slice(cell.matrix("w", 6, slice(x, 0, 3)), 1, 2);
            }),
            "(w[1:3] x[0:3])");
  // What is whole stays whole.
  EXPECT_EQ(lowered_text([](CellBuilder&, auto x, auto) { return slice(x, 0, 4); }), "x");
  // One element of a value is one of its arguments that have more than one.
  EXPECT_EQ(lowered_text([](CellBuilder& cell, auto x, auto) { return slice(x * cell.scalar("s"), 3, 1); }),
            "mul(x[3:4], s)");
}

TEST(LowerCell, SumsWithMatricesTakeBiasesThenProductsThenTheRest) {
  EXPECT_EQ(lowered_text([](CellBuilder& cell, auto x, auto h) {
              return (cell.vector("b", 4) + cell.matrix("u", 4, h)) +
                     ((tanh(x) + cell.matrix("w", 4, x)) + (cell.vector("a", 4) + cell.scalar("s")));
            }),
            "add(add((b + a + w x + u h), tanh(x)), s)");
  // Of another size: a value of its own.
  EXPECT_EQ(lowered_text([](CellBuilder& cell, auto x, auto h) {
              return cell.matrix("w", 4, x) + (cell.matrix("one", 1, h) + cell.vector("c", 1));
            }),
            "add((w x), (c + one h))");
  EXPECT_EQ(lowered_text([](CellBuilder& cell, auto x, auto h) {
              return cell.matrix("w", 4, x) - h + cell.matrix("u", 4, h);
            }),
            "add((u h), sub((w x), h))");
  // Without a matrix, the order of its author.
  EXPECT_EQ(lowered_text([](CellBuilder& cell, auto x, auto h) { return x + (cell.vector("b", 4) + h); }),
            "add(x, add(b, h))");
}

TEST(LowerCell, ASumThatIsNeededElsewhereIsAValueOfItsOwn) {
  const LoweredCell cell = lowered([](CellBuilder& builder, auto x, auto h) {
    const auto sum = builder.matrix("w", 4, x) + builder.vector("b", 4);
    return tanh(sum) * (sum + builder.matrix("u", 4, h));
  });
  EXPECT_EQ(text(cell, cell.output), "mul(tanh((b + w x)), add((u h), (b + w x)))");
  const LoweredCell matrix = lowered([](CellBuilder& builder, auto x, auto h) {
    const auto product = builder.matrix("w", 4, x);
    return (product + h) * (product + builder.vector("b", 4));
  });
  EXPECT_EQ(text(matrix, matrix.output), "mul(add((w x), h), add((w x), b))");
  EXPECT_EQ(lowered_text([](CellBuilder& builder, auto x, auto h) {
              const auto sum = builder.matrix("w", 4, x) + h;
              return sum + builder.matrix("u", 4, sum);
            }),
            "add((u add((w x), h)), add((w x), h))");
  CellBuilder builder("C");
  const auto x = builder.input(4), h = builder.state("h", 4);
  const auto sum = builder.matrix("w", 4, x) + builder.vector("b", 4);
  builder.next(h, sum);
  const LoweredCell next = lower_cell(builder.build(sum + builder.matrix("u", 4, h)).graph());
  EXPECT_EQ(text(next, next.output), "add((u h), (b + w x))");
  EXPECT_EQ(matrix.nodes.size(), 7u);  // x, h, b, the product once, two sums, their product
}

TEST(LowerCell, ProductsThatAreAddedAreFused) {
  const auto fused = [](const auto& of) {
    return lowered_text([&](CellBuilder& cell, auto x, auto h) { return of(x, h, cell.vector("b", 4)); });
  };
  EXPECT_EQ(fused([](auto x, auto h, auto b) { return x * h + b; }), "mul_add(x, h, b)");
  EXPECT_EQ(fused([](auto x, auto h, auto b) { return b + x * h; }), "mul_add(x, h, b)");
  EXPECT_EQ(fused([](auto x, auto h, auto b) { return x * h + b * h; }), "mul_add(x, h, mul(b, h))");
  EXPECT_EQ(fused([](auto x, auto h, auto b) { return x * h + b * h + x * b; }),
            "mul_add(x, b, mul_add(x, h, mul(b, h)))");
  // Not where it is needed for itself.
  EXPECT_EQ(fused([](auto x, auto h, auto b) {
              const auto product = x * h;
              return (product + b) * product;
            }),
            "mul(add(mul(x, h), b), mul(x, h))");
  EXPECT_EQ(fused([](auto x, auto h, auto) { return x * h + x * h; }), "add(mul(x, h), mul(x, h))");
  // Nor where one element counts for all: it is made once.
  EXPECT_EQ(
      lowered_text([](CellBuilder& cell, auto x, auto) { return cell.scalar("s") * cell.scalar("t") + x; }),
      "add(mul(s, t), x)");
}

TEST(LowerCell, CommonPartsStandOnceAndConstantsAreFolded) {
  const LoweredCell cell = lowered([](CellBuilder& builder, auto x, auto h) {
    const auto a = tanh(x + h), b = tanh(h + x);
    exp(builder.scalar("s"));  // needed by nothing
    return (a + b) * 1 / 1 - 0;
  });
  EXPECT_EQ(text(cell, cell.output), "add(tanh(add(x, h)), tanh(add(x, h)))");
  EXPECT_EQ(cell.nodes.size(), 5u);
}

TEST(LowerCell, LayerNormIsArithmetic) {
  const auto norm = [](const std::string& a, const std::string& whole) {
    return "mul(sub(" + a + ", mean(" + whole + ")), div(1.00, sqrt(add(variance(" + whole + "), 0.50))))";
  };
  const LoweredCell cell = lowered([](CellBuilder& builder, auto x, auto h) {
    return layer_norm(x + h, builder.vector("w", 4), builder.vector("b", 4), 0.5);
  });
  EXPECT_EQ(text(cell, cell.output), "mul_add(" + norm("add(x, h)", "add(x, h)") + ", w, b)");
  for (const CellNode& node : cell.nodes) {
    if (node.op == CellOp::kSqrt || node.op == CellOp::kDiv) {
      EXPECT_EQ(node.size, 1u);  // once, not once an element
    }
  }
  // Of a slice: the mean and the variance are those of the whole.
  EXPECT_EQ(lowered_text([](CellBuilder& builder, auto x, auto) {
              return slice(layer_norm(tanh(x), builder.vector("w", 4), builder.scalar("b"), 0.5), 1, 2);
            }),
            "mul_add(" + norm("tanh(x[1:3])", "tanh(x)") + ", w[1:3], b)");
  EXPECT_EQ(lowered_text([](CellBuilder&, auto x, auto) { return layer_norm(x, 1, 0, 0.5); }),
            norm("x", "x"));
}

TEST(LowerCell, NamesAndLinesStayWithTheirValues) {
  const int line = __LINE__ + 2;
  const LoweredCell cell = lowered([](CellBuilder& builder, auto x, auto h) {
    const auto [a, b] = split<2>((builder.matrix("w", 4, x) + builder.matrix("u", 4, h)).named("gates"));
    return (sigmoid(a.named("a")) * tanh(b)).named("y");
  });
  EXPECT_EQ(cell.nodes[cell.output].name, "y");
  const CellNode& sum = cell.nodes[cell.nodes[cell.nodes[cell.output].args[0]].args[0]];
  EXPECT_EQ(sum.name, "a");
  EXPECT_EQ(sum.where, "lower_cell_test.cc:" + std::to_string(line));
}

TEST(LowerCell, LeavesMayBeNextValuesAndOutput) {
  CellBuilder cell("C");
  const auto x = cell.input(4), h = cell.state("h", 4), c = cell.state("c", 4);
  cell.next(h, x);
  cell.next(c, h);
  const LoweredCell delay = lower_cell(cell.build(c).graph());
  EXPECT_EQ(next_of(delay, 0), "x");
  EXPECT_EQ(next_of(delay, 1), "h");
  EXPECT_EQ(text(delay, delay.output), "c");
  EXPECT_EQ(delay.input_size, 4u);
}

TEST(LowerCell, RandomCellsKeepTheirValues) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(seed);
    const CustomCell stated = test::random_cell(seed);
    const CellGraph& graph = stated.graph();
    const LoweredCell cell = lower_cell(graph);
    reference::CellLeaves leaves;
    leaves.input = random_vector<double>(4, -1, 1, seed + 1);
    leaves.states = {random_vector<double>(4, -1, 1, seed + 2), random_vector<double>(8, -1, 1, seed + 3)};
    for (const ParameterInfo& parameter : graph.parameters) {
      leaves.parameters.push_back(
          random_vector<double>(parameter.shape.size(), -0.5, 0.5, seed + 4 + leaves.parameters.size()));
    }
    const auto before = reference::evaluate(graph.nodes, leaves);
    const auto after = reference::evaluate(cell.nodes, leaves);
    const auto expect_equal = [](const reference::Vector& want, const reference::Vector& got) {
      ASSERT_EQ(want.size(), got.size());
      for (std::size_t i = 0; i < want.size(); ++i) {
        EXPECT_NEAR(want[i], got[i], 1e-12 * std::max(1.0, std::abs(want[i])));
      }
    };
    expect_equal(before[graph.output], after[cell.output]);
    for (std::size_t s = 0; s < 2; ++s)
      expect_equal(before[graph.states[s].next], after[cell.states[s].next]);
    for (const CellNode& node : cell.nodes) {
      EXPECT_TRUE(node.op != CellOp::kMatrix && node.op != CellOp::kSlice && node.op != CellOp::kLayerNorm);
    }
  }
}

}  // namespace
}  // namespace sluice
