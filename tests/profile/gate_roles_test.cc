// SPDX-License-Identifier: Apache-2.0
// What the equations of a cell say of its gates.
#include "profile/gate_roles.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "layers/cell_form.h"
#include "sluice/custom_cell.h"
#include "support/library_cells.h"

namespace sluice {
namespace {

// h' of an old state h, a candidate and two gates, f and g.
using NewState = std::function<CellValue(CellOperand h, CellOperand candidate, CellOperand f, CellOperand g)>;

CustomCell cell_of(const NewState& new_state) {
  CellBuilder cell("Cell");
  const CellValue x = cell.input(3), h = cell.state("h", 4);
  const auto gate = [&](const std::string& name) {
    return sigmoid(cell.matrix("w_" + name, 4, x) + cell.matrix("u_" + name, 4, h)).named(name);
  };
  const CellValue f = gate("f"), g = gate("g");
  const CellValue h_new = new_state(h, tanh(cell.matrix("w", 4, x)), f, g);
  cell.next(h, h_new);
  return cell.build(h_new);
}

GateRole role_of(const CustomCell& cell, const std::string& gate) {
  const CellForm form(cell);
  const std::vector<GateRole> roles = gate_roles(form.lowered);
  for (std::size_t i = 0; i < roles.size(); ++i) {
    if (form.lowered.nodes[i].name == gate) return roles[i];
  }
  ADD_FAILURE() << cell.name() << " has no " << gate;
  return {};
}

// What gates shut and open keep.
std::string kept(const CustomCell& cell, const std::string& gate) {
  const GateRole role = role_of(cell, gate);
  const auto text = [](double share) {
    return share == 0.5 ? std::string("1/2") : std::to_string(static_cast<int>(share));
  };
  return text(role.kept_shut) + " " + text(role.kept_open);
}
std::string kept_by_f(const NewState& new_state) { return kept(cell_of(new_state), "f"); }

TEST(GateRoles, WhatIsKeptFollowsFromTheEquations) {
  using Op = CellOperand;
  EXPECT_EQ(kept_by_f([](Op h, Op n, Op f, Op g) { return f * h + g * n; }), "0 1");
  EXPECT_EQ(kept_by_f([](Op h, Op n, Op f, Op g) { return g * n + h * f; }), "0 1");
  EXPECT_EQ(kept_by_f([](Op h, Op n, Op f, Op) { return f * h + (1 - f) * n; }), "0 1");
  EXPECT_EQ(kept_by_f([](Op h, Op n, Op f, Op) { return (1 - f) * h + f * n; }), "1 0");
  EXPECT_EQ(kept_by_f([](Op h, Op n, Op f, Op) { return h + f * (n - h); }), "1 0");
  EXPECT_EQ(kept_by_f([](Op h, Op n, Op f, Op) { return n - f * (n - h); }), "0 1");
  EXPECT_EQ(kept_by_f([](Op h, Op n, Op f, Op) { return -(f * n - f * h); }), "0 1");
  EXPECT_EQ(kept_by_f([](Op h, Op n, Op f, Op) { return (1 - 0.5 * f) * h + 0.5 * f * n; }), "1 1/2");
  EXPECT_EQ(kept_by_f([](Op h, Op n, Op f, Op g) { return f * h + g * sigmoid(h + n); }), "0 1");
}

TEST(GateRoles, NothingIsSaidOfWhatIsNotPlain) {
  using Op = CellOperand;
  EXPECT_EQ(kept_by_f([](Op h, Op n, Op f, Op g) { return f * n + g * h; }), "0 0");        // g keeps
  EXPECT_EQ(kept_by_f([](Op h, Op n, Op f, Op g) { return f * g * h + n; }), "0 0");        // both do
  EXPECT_EQ(kept_by_f([](Op h, Op n, Op f, Op g) { return f * h + g * h + n; }), "0 0");    // both do
  EXPECT_EQ(kept_by_f([](Op h, Op n, Op f, Op g) { return f / (f + g) * h + n; }), "0 0");  // both do
  EXPECT_EQ(kept_by_f([](Op h, Op n, Op f, Op) { return f * abs(h) + n; }), "0 0");
  EXPECT_EQ(kept_by_f([](Op h, Op n, Op f, Op) { return f * h * h + n; }), "0 0");
  EXPECT_EQ(kept_by_f([](Op h, Op n, Op f, Op) { return 2 * f * h + n; }), "0 0");  // grows
  EXPECT_EQ(kept_by_f([](Op h, Op n, Op f, Op) { return tanh(f * h + n); }), "0 0");
  EXPECT_EQ(kept_by_f([](Op h, Op n, Op f, Op) { return f * h + max(h, n); }), "0 0");
}

TEST(GateRoles, NamesSayNothing) {
  const auto swapped = [](CellOperand h, CellOperand n, CellOperand f, CellOperand g) {
    return (1 - f) * n + g * h;
  };
  EXPECT_EQ(kept(cell_of(swapped), "f"), "0 0");
  EXPECT_EQ(kept(cell_of(swapped), "g"), "0 1");
}

// + keeps where it is open, - where it is shut.
TEST(GateRoles, OfTheLibraryOfCells) {
  std::vector<std::string> got;
  for (const test::NamedCell& named : test::kLibraryCells) {
    const CellForm form(named.make(named.name == "qrnn_fo_pooling" ? 15 : 5, 5));
    const std::vector<GateRole> roles = gate_roles(form.lowered);
    got.push_back(named.name);
    for (std::size_t i = 0; i < roles.size(); ++i) {
      if (roles[i].kept_shut == roles[i].kept_open) continue;
      got.back() += " " + form.lowered.nodes[i].name + (roles[i].kept_open > roles[i].kept_shut ? "+" : "-");
    }
  }
  const std::vector<std::string> want{
      "lstm forget+",
      "lstmp forget+",
      "peephole_lstm forget+",
      "cifg input-",
      "layer_norm_lstm forget+",
      "slstm",
      "slstm_exp_forget",
      "gru update+",
      "gru_reset_before update+",
      "mgu forget-",
      "li_gru update+",
      "sru forget+",
      "qrnn_fo_pooling forget+",
      "indrnn",
      "min_gru update-",
      "min_lstm",
      "highway",
      "recurrent_highway",
      "lem time_y- time_z-",
  };
  EXPECT_EQ(got, want);
}

// What the gate makes dead at its ends.
std::string dead(const CustomCell& cell, const std::string& gate) {
  const GateRole role = role_of(cell, gate);
  std::string text;
  for (const bool is_open : {false, true}) {
    const DeadUnit there = is_open ? role.dead_open : role.dead_shut;
    if (there == DeadUnit::kNo) continue;
    text += is_open ? "open " : "shut ";
    text += there == DeadUnit::kAtOnce ? "at once" : "from the start";
  }
  return text;
}

TEST(GateRoles, DeadUnitsFollowFromTheEquations) {
  const CustomCell lstm = cells::lstm(3, 4);
  EXPECT_EQ(dead(lstm, "input"), "shut from the start");
  EXPECT_EQ(dead(lstm, "forget"), "");
  EXPECT_EQ(dead(lstm, "output"), "shut at once");
  const CustomCell gru = cells::gru(3, 4);
  EXPECT_EQ(dead(gru, "reset"), "");
  EXPECT_EQ(dead(gru, "update"), "open from the start");
  EXPECT_EQ(dead(cells::cifg(3, 4), "input"), "shut from the start");
  EXPECT_EQ(dead(cells::mgu(3, 4), "forget"), "shut from the start");
  EXPECT_EQ(dead(cells::li_gru(3, 4), "update"), "open from the start");
  EXPECT_EQ(dead(cells::qrnn_fo_pooling(4), "output"), "shut at once");
  // The input goes by.
  EXPECT_EQ(dead(cells::sru(4), "forget"), "");
  // c is divided by n, which is 0 as well.
  EXPECT_EQ(dead(cells::slstm(3, 4), "output"), "shut at once");
  // y is the output, whatever z does.
  EXPECT_EQ(dead(cells::lem(3, 4), "time_y"), "shut from the start");
  EXPECT_EQ(dead(cells::lem(3, 4), "time_z"), "");
  // The way out has a matrix.
  EXPECT_EQ(dead(cells::lstmp(3, 4, 2), "output"), "");
}

TEST(GateRoles, OfSeveralStatesEachHasItsOwn) {
  CellBuilder cell("Two");
  const CellValue x = cell.input(4), a = cell.state("a", 4), b = cell.state("b", 4);
  const CellValue f = sigmoid(cell.matrix("w_f", 4, x)).named("f"),
                  g = sigmoid(cell.matrix("w_g", 4, x)).named("g");
  cell.next(a, f * a + (1 - f) * b);
  cell.next(b, g * a + (1 - g) * b);  // g keeps b where it is shut
  const CustomCell two = cell.build(a + b);
  EXPECT_EQ(kept(two, "f"), "0 1");
  EXPECT_EQ(kept(two, "g"), "1 0");
}

}  // namespace
}  // namespace sluice
