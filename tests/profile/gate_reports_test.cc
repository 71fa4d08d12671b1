// SPDX-License-Identifier: Apache-2.0
// Reports on gates against plain loops over the activations that the cells' equations give.
#include "profile/gate_reports.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "reference/gate_activations.h"
#include "sluice/custom_recurrent.h"
#include "sluice/layers.h"
#include "support/count_allocations.h"
#include "support/plain_gates.h"
#include "support/recurrent_cases.h"

namespace sluice {
namespace {

using reference::plain_cell;
using reference::PlainCell;
using reference::PlainGate;
using test::expect_report;
using test::expect_same;
using test::make_module;
using test::options_of;
using test::scaled_weights;

void expect_reports(const RecurrentOptions& options, Tensor<double> x,
                    const std::vector<std::int64_t>& lengths, double scale) {
  SCOPED_TRACE(test::describe(options));
  const StateDict<double> weights = scaled_weights<double>(test::parameters_of(options), scale);
  const auto module = make_module(options, weights);
  const std::vector<GateReport> got = gate_reports<double>(*module, {x.view(), lengths});
  std::size_t n = 0;
  for (std::size_t layer = 0; layer < options.num_layers; ++layer) {
    Tensor<double> above({x.dim(0), x.dim(1), options.directions() * options.state_size()});
    for (std::size_t direction = 0; direction < options.directions(); ++direction) {
      const std::string suffix = "_l" + std::to_string(layer) + (direction == 1 ? "_reverse" : "");
      const PlainCell cell = plain_cell(options, weights, suffix, x, lengths, direction == 1);
      for (const PlainGate& gate : cell.gates) {
        ASSERT_LT(n, got.size());
        EXPECT_EQ(got[n].layer, layer);
        EXPECT_EQ(got[n].direction, direction);
        expect_report(got[n++], gate, lengths);
      }
      for (std::size_t t = 0; t < x.dim(0); ++t) {
        for (std::size_t b = 0; b < x.dim(1); ++b) {
          std::copy_n(&cell.output(t, b, 0), options.state_size(),
                      &above(t, b, direction * options.state_size()));
        }
      }
    }
    x = std::move(above);
  }
  EXPECT_EQ(n, got.size());
}

TEST(GateReports, AreThoseOfAPlainLoop) {
  const std::vector<std::int64_t> lengths{5, 9, 0, 3};
  for (const std::size_t units : {7, 8, 19}) {
    for (RecurrentOptions options :
         {options_of(CellKind::kLstm, 3, units, 2, true), options_of(CellKind::kGru, 3, units, 2, true),
          options_of(CellKind::kGruBefore, 3, units, 2, true),
          options_of(CellKind::kRnnTanh, 3, units, 2, true),
          options_of(CellKind::kLstm, 3, units, 1, false, 4)}) {
      expect_reports(options, random_tensor<double>({9, 4, 3}, -2, 2, 1), lengths, 2);
    }
  }
}

// Weights of up to 40 hold gates at their ends; in more steps they would make chaos of the last digits.
TEST(GateReports, UnitsAreDeadOrStuckAsInAPlainLoop) {
  const std::vector<std::int64_t> lengths(20, 2);
  for (const CellKind kind : {CellKind::kLstm, CellKind::kGru, CellKind::kGruBefore, CellKind::kRnnTanh}) {
    expect_reports(options_of(kind, 3, 40), random_tensor<double>({2, 20, 3}, 0.2, 0.3, 1), lengths, 40);
  }
}

TEST(GateReports, HeatMapsOfManyUnitsAndStepsAreBroughtDown) {
  expect_reports(options_of(CellKind::kLstm, 3, 150), random_tensor<double>({200, 2, 3}, -2, 2, 1),
                 {170, 150}, 0.5);
}

TEST(GateReports, RectifiedUnitsHaveNoGates) {
  const RecurrentOptions options = options_of(CellKind::kRnnRelu, 3, 5);
  const auto rnn = make_module(options, scaled_weights<double>(test::parameters_of(options), 1));
  const Tensor<double> x({4, 2, 3});
  EXPECT_TRUE(gate_reports<double>(*rnn, {x.view()}).empty());
}

TEST(GateReports, AnyNumberOfThreadsAndAnyMemoryGivesTheSameNumbers) {
  const std::vector<std::int64_t> lengths{13, 3, 5, 0, 7, 1, 2, 6, 6, 4, 7};
  const Tensor<float> x = random_tensor<float>({13, 11, 40}, -1, 1, 1);
  for (const bool is_bidirectional : {false, true}) {
    for (const RecurrentOptions& options : test::every_kind(40, 70, 2, is_bidirectional)) {
      SCOPED_TRACE(test::describe(options));
      const auto module = make_module(options, scaled_weights<float>(test::parameters_of(options), 0.3));
      const std::vector<GateReport> want = gate_reports<float>(*module, {x.view(), lengths}, 1);
      for (const int threads : {2, 3}) {
        expect_same(gate_reports<float>(*module, {x.view(), lengths}, threads), want);
      }
      // All rows and steps; three rows or so; four steps or so of one row; one step.
      for (const std::size_t bytes : {100'000, 30'000, 1}) {
        expect_same(gate_reports<float>(*module, {x.view(), lengths}, 2, bytes), want);
      }
    }
  }
}

TEST(GateReports, PartsTakeNoMoreMemoryThanTheyMay) {
  constexpr std::size_t kSteps = 50, kRows = 40;
  for (const bool is_bidirectional : {false, true}) {
    for (const RecurrentOptions& options : test::every_kind(5, 33, 2, is_bidirectional)) {
      SCOPED_TRACE(test::describe(options));
      const RecurrentNet<float> net = test::random_net<float>(options);
      const auto bytes_of = [&](std::size_t rows, std::size_t steps) {
        RecurrentRecord<float> record;
        const Tensor<float> x({steps, rows, 5});
        net.forward(x.view(), {}, SequenceLayout::kTimeFirst, nullptr, {}, &record);
        // Initial states are of no step.
        return record.bytes() - (record.h0.size() + record.c0.size()) * sizeof(float);
      };
      const std::size_t row = bytes_of(1, kSteps);
      for (const std::size_t rows : {1, 7, 39, 40}) {
        for (const std::size_t bytes : {rows * row, (rows + 1) * row - 1}) {
          const RecordedPart part = recorded_part(net, kSteps, kRows, bytes);
          EXPECT_EQ(part.rows, rows);
          EXPECT_EQ(part.steps, kSteps);
          EXPECT_LE(bytes_of(part.rows, part.steps), bytes);
        }
      }
      EXPECT_EQ(recorded_part(net, kSteps, kRows, kKeptBytes).rows, kRows);
      const RecordedPart part = recorded_part(net, kSteps, kRows, row - 1);
      EXPECT_EQ(part.rows, 1u);
      EXPECT_EQ(part.steps, is_bidirectional ? kSteps : kSteps - 1);
      EXPECT_EQ(recorded_part(net, kSteps, kRows, 1).steps, is_bidirectional ? kSteps : 1);
    }
  }
}

// The most memory that the process had since the last call, in bytes; 0 where Linux does not say.
std::size_t peak_memory() {
  std::size_t peak = 0;
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word == "VmHWM:" && status >> peak) break;
  }
  std::ofstream("/proc/self/clear_refs") << 5;
  return peak * 1024;
}

TEST(GateReports, ManyRowsTakeTheMemoryOfAFew) {
  const RecurrentOptions options = options_of(CellKind::kLstm, 4, 64);
  const auto module = make_module(options, scaled_weights<float>(test::parameters_of(options), 0.3));
  const Tensor<float> x = random_tensor<float>({100, 400, 4}, -1, 1, 1);
  gate_reports<float>(*module, {x.view().narrow(1, 0, 1)}, 1);
  peak_memory();
  const std::size_t before = peak_memory();
  if (before == 0 || !test::can_count_allocations()) GTEST_SKIP() << "another system, or a sanitizer's heap";
  gate_reports<float>(*module, {x.view()}, 1, std::size_t{1} << 20);
  // The output is 10 MB; a record of all rows would be 61.
  EXPECT_LT(peak_memory() - before, std::size_t{20'000'000});
}

// A whole model: modules in its order, and what drops or zones out in training does not here.
TEST(GateReports, AModelRunsAsItDoesWithoutTraining) {
  const Tensor<float> x = random_tensor<float>({6, 3, 3}, -1, 1, 1);
  const std::vector<std::int64_t> lengths{6, 2, 5};
  const auto reports = [&](double p) {
    Sequential<float> model, inner;
    const RecurrentOptions first = options_of(CellKind::kGru, 3, 4, 2, true),
                           second = options_of(CellKind::kLstm, 8, 5);
    inner.add(
        GRU<float>({.input_size = 3, .hidden_size = 4, .num_layers = 2, .bidirectional = true, .dropout = p},
                   scaled_weights<float>(test::parameters_of(first), 1, "enc."), "enc."));
    inner.add(Dropout<float>({.p = p}));
    model.add(std::move(inner));
    model.add(LSTM<float>({.input_size = 8, .hidden_size = 5},
                          scaled_weights<float>(test::parameters_of(second), 1)));
    model.add(LastStep<float>());
    return gate_reports<float>(model, {x.view(), lengths});
  };
  const std::vector<GateReport> got = reports(0.5);
  std::string order;
  for (const GateReport& report : got) {
    if (report.gate != "reset" && report.gate != "input") continue;
    order += report.module + std::to_string(report.layer) + std::to_string(report.direction) + " ";
    EXPECT_EQ(report.activations, 13u * (report.module == "enc" ? 4 : 5));
  }
  EXPECT_EQ(order, "enc00 enc01 enc10 enc11 LSTM00 ");
  expect_same(got, reports(0));
}

TEST(GateReports, NoStepsGiveEmptyReports) {
  const RecurrentOptions options = options_of(CellKind::kLstm, 3, 5);
  const auto module = make_module(options, scaled_weights<float>(test::parameters_of(options), 0.3));
  const Tensor<float> x({2, 2, 3});
  const std::vector<std::int64_t> lengths{0, 0};
  for (const std::vector<GateReport>& got : {gate_reports<float>(*module, {x.view(), lengths}),
                                             gate_reports<float>(*module, {x.view().narrow(1, 0, 0)}),
                                             gate_reports<float>(*module, {x.view().narrow(0, 0, 0)})}) {
    ASSERT_EQ(got.size(), 4u);
    EXPECT_EQ(got[1].activations, 0u);
    EXPECT_EQ(got[1].memory_steps, 0);
    EXPECT_EQ(got[1].unit_mean, std::vector<float>(5));
    EXPECT_TRUE(got[1].dead_units.empty());
    EXPECT_TRUE(got[1].heat.is_null());
  }
}

}  // namespace
}  // namespace sluice
