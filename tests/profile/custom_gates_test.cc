// SPDX-License-Identifier: Apache-2.0
// Reports on the gates of cells that their users stated.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "profile/gate_reports.h"
#include "reference/gate_activations.h"
#include "sluice/custom_recurrent.h"
#include "support/library_cells.h"
#include "support/plain_gates.h"
#include "support/recurrent_cases.h"

namespace sluice {
namespace {

using reference::plain_cell;
using reference::PlainGate;
using reference::sigmoid_of;
using test::expect_report;
using test::options_of;
using test::scaled_weights;

// `forget` forgets; the candidate is a tanh; and the second state is a sigmoid of its own.
CustomCell forgetful_cell() {
  CellBuilder cell("Forgetful");
  const CellValue x = cell.input(3), h = cell.state("h", 6), s = cell.state("s", 4);
  const CellValue f = sigmoid(cell.matrix("w_f", 6, x) + cell.matrix("u_f", 6, h) + cell.vector("b_f", 6));
  const CellValue candidate = tanh(cell.matrix("w_c", 6, x) + cell.matrix("u_c", 6, s));
  cell.next(h, f.named("forget") * h + (1 - f) * candidate.named("candidate"));
  cell.next(s, sigmoid(cell.matrix("w_s", 4, x) + cell.matrix("u_s", 4, s)));
  return cell.build(h);
}

TEST(GateReports, CustomCellsGatesHaveTheirAuthorsNames) {
  const RecurrentLayerOptions options{.cell = forgetful_cell(), .bidirectional = true};
  std::vector<ParameterInfo> infos;
  for (const char* suffix : {"_l0", "_l0_reverse"}) {
    for (ParameterInfo info : options.cell.parameters()) {
      info.name += suffix;
      infos.push_back(info);
    }
  }
  const StateDict<double> weights = scaled_weights<double>(infos, 2);
  const Recurrent<double> layer(options, weights);
  const std::vector<std::int64_t> lengths{4, 7, 1};
  const Tensor<double> x = random_tensor<double>({7, 3, 3}, -2, 2, 1);
  const std::vector<GateReport> got = gate_reports<double>(layer, {x.view(), lengths});
  ASSERT_EQ(got.size(), 6u);
  for (const bool is_reverse : {false, true}) {
    const std::string suffix = is_reverse ? "_l0_reverse" : "_l0";
    const auto product = [&](const char* name, std::size_t row, const double* in) {
      const TensorView<const double> w = weights.at(name + suffix);
      double sum = 0;
      for (std::size_t k = 0; k < w.dim(1); ++k) sum += w(row, k) * in[k];
      return sum;
    };
    PlainGate f{"forget", false, Tensor<double>({7, 3, 6})},
        candidate{"candidate", true, Tensor<double>({7, 3, 6})},
        s_gate{"s", false, Tensor<double>({7, 3, 4})};
    for (std::size_t row = 0; row < 3; ++row) {
      std::vector<double> h(6), s(4);
      const auto length = static_cast<std::size_t>(lengths[row]);
      for (std::size_t step = 0; step < length; ++step) {
        const std::size_t t = is_reverse ? length - 1 - step : step;
        const double* const in = &x(t, row, 0);
        const std::vector<double> old_h = h, old_s = s;
        for (std::size_t i = 0; i < 6; ++i) {
          const double forget = sigmoid_of(product("w_f", i, in) + product("u_f", i, old_h.data()) +
                                           weights.at("b_f" + suffix)(i));
          const double fresh = std::tanh(product("w_c", i, in) + product("u_c", i, old_s.data()));
          f.values(t, row, i) = forget;
          candidate.values(t, row, i) = fresh;
          h[i] = forget * old_h[i] + (1 - forget) * fresh;
        }
        for (std::size_t i = 0; i < 4; ++i) {
          s[i] = sigmoid_of(product("w_s", i, in) + product("u_s", i, old_s.data()));
          s_gate.values(t, row, i) = s[i];
        }
      }
    }
    std::size_t found = 0;
    for (const GateReport& report : got) {
      EXPECT_EQ(report.module, "Recurrent");
      if (report.direction != (is_reverse ? 1u : 0u)) continue;
      for (const PlainGate* gate : {&f, &candidate, &s_gate}) {
        if (report.gate != gate->name) continue;
        expect_report(report, *gate, lengths);
        ++found;
      }
    }
    EXPECT_EQ(found, 3u);
  }
}

// A plain RNN restated: its one tanh is the new state and the output.
TEST(GateReports, ACustomCellsNewStateIsReadFromItsOutput) {
  CellBuilder cell("Plain");
  const CellValue x = cell.input(3), h = cell.state("h", 5);
  const CellValue h_new = tanh(cell.matrix("weight_ih", 5, x) + cell.vector("bias_ih", 5) +
                               cell.matrix("weight_hh", 5, h) + cell.vector("bias_hh", 5));
  cell.next(h, h_new);
  const CustomCell custom = cell.build(h_new);
  const RecurrentOptions options = options_of(CellKind::kRnnTanh, 3, 5, 1, true);
  const StateDict<double> weights = scaled_weights<double>(test::parameters_of(options), 2);
  const Recurrent<double> layer({.cell = custom, .bidirectional = true}, weights);
  const std::vector<std::int64_t> lengths{4, 7, 1};
  const Tensor<double> in = random_tensor<double>({7, 3, 3}, -2, 2, 1);
  const std::vector<GateReport> got = gate_reports<double>(layer, {in.view(), lengths});
  ASSERT_EQ(got.size(), 2u);
  for (const bool is_reverse : {false, true}) {
    PlainGate want =
        plain_cell(options, weights, is_reverse ? "_l0_reverse" : "_l0", in, lengths, is_reverse).gates[0];
    want.name = "h";
    expect_report(got[is_reverse ? 1 : 0], want, lengths);
  }
}

// A bias of 6 opens the gate, which replaces all of the old state; one of -6 keeps nearly all of it.
TEST(CustomGates, TheMinimalGatedUnitRemembersWhereItsGateIsShut) {
  for (const double bias : {6.0, -6.0}) {
    const CustomCell cell = cells::mgu(3, 4);
    StateDict<double> weights;
    Tensor<double> biases({8});
    for (std::size_t unit = 0; unit < 4; ++unit) biases(unit) = bias;
    weights.set("weight_ih_l0", Tensor<double>({8, 3}));
    weights.set("weight_hh_l0", Tensor<double>({8, 4}));
    weights.set("bias_l0", std::move(biases));
    const Recurrent<double> layer({.cell = cell}, weights);
    const Tensor<double> x({40, 1, 3});
    const GateReport f = gate_reports<double>(layer, {x.view()})[0];
    EXPECT_EQ(f.kept_shut, 1);
    EXPECT_EQ(f.kept_open, 0);
    // h' = (1 - f) h + f n.
    EXPECT_NEAR(f.memory_steps, 1 / sigmoid_of(bias), 1e-12 / sigmoid_of(bias));
  }
}

void expect_restated(const CustomCell& cell, CellKind kind, std::size_t gates, std::size_t dead_or_stuck) {
  const RecurrentOptions options = options_of(kind, 3, 7);
  StateDict<double> weights = scaled_weights<double>(test::parameters_of(options), 0.5);
  Tensor<double> bias(weights.at("bias_ih_l0"));
  for (std::size_t i = 0; i < bias.size(); i += 7) {  // of each gate a unit at either end
    bias(i) = 20;
    bias(i + 1) = -20;
  }
  weights.set("bias_ih_l0", bias);
  const Tensor<double> x = random_tensor<double>({40, 2, 3}, -2, 2, 1);
  const std::vector<GateReport> want = gate_reports<double>(*test::make_module(options, weights), {x.view()});
  const std::vector<GateReport> got =
      gate_reports<double>(Recurrent<double>({.cell = cell}, weights), {x.view()});
  ASSERT_EQ(got.size(), gates);
  std::size_t units = 0;
  for (GateReport report : got) {
    const auto same = std::find_if(want.begin(), want.end(),
                                   [&](const GateReport& one) { return one.gate == report.gate; });
    ASSERT_NE(same, want.end()) << report.gate;
    report.module = same->module;
    test::expect_same(report, *same);
    units += report.dead_units.size() + report.stuck_units.size();
  }
  EXPECT_EQ(units, dead_or_stuck);
}

TEST(CustomGates, OfRestatedCellsAreThoseOfTheBuiltInOnes) {
  expect_restated(cells::lstm(3, 7), CellKind::kLstm, 4, 7);  // a unit that forgets nothing has a long memory
  expect_restated(cells::gru(3, 7), CellKind::kGru, 3, 6);
  expect_restated(cells::gru_reset_before(3, 7), CellKind::kGruBefore, 3, 6);
}

// Those that a recorded step keeps, in the order of the graph.
TEST(CustomGates, OfTheLibraryHaveTheirUsualNames) {
  std::vector<std::string> got;
  for (const test::NamedCell& named : test::kLibraryCells) {
    const CustomCell cell = named.make(named.name == "qrnn_fo_pooling" ? 15 : 5, 5);
    std::vector<ParameterInfo> infos = cell.parameters();
    for (ParameterInfo& info : infos) info.name += "_l0";
    const Recurrent<float> layer({.cell = cell}, scaled_weights<float>(infos, 1));
    got.push_back(named.name);
    const Tensor<float> x({2, 1, cell.input_size()});
    for (const GateReport& report : gate_reports<float>(layer, {x.view()})) got.back() += " " + report.gate;
  }
  const std::vector<std::string> want{
      "lstm output forget input cell",
      "lstmp output forget input cell",
      "peephole_lstm forget input cell output",
      "cifg input cell output",
      "layer_norm_lstm output forget input cell squashed",
      "slstm output cell",
      "slstm_exp_forget output cell",
      "gru update reset new",
      "gru_reset_before update reset new",
      "mgu forget new",
      "li_gru update",
      "sru forget reset",
      "qrnn_fo_pooling",
      "indrnn",
      "min_gru update",
      "min_lstm forget input",
      "highway transform new",
      "recurrent_highway transform_1 new_1 transform_2 new_2 transform_3 new_3",
      "lem time_y time_z new_z new_y",
  };
  EXPECT_EQ(got, want);
}

}  // namespace
}  // namespace sluice
