// SPDX-License-Identifier: Apache-2.0
// The library of cells where its golden vectors do not reach: bad sizes, and gates far out.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "reference/cell_gradients.h"
#include "sluice/cells/elementwise_kin.h"
#include "sluice/cells/gru_kin.h"
#include "sluice/cells/highway_kin.h"
#include "sluice/cells/lstm_kin.h"
#include "sluice/error.h"
#include "support/module_promises.h"

namespace sluice {
namespace {

using reference::Vector;
using test::message_of;

TEST(CellLibrary, CellsWithMatricesOnTheInputTakeAnySizeOfIt) {
  EXPECT_EQ(cells::lstm(3, 5).with_input_size(5).input_size(), 5u);
  EXPECT_EQ(cells::gru_reset_before(3, 5).with_input_size(5).input_size(), 5u);
  EXPECT_EQ(cells::recurrent_highway(3, 5, 2).with_input_size(5).input_size(), 5u);
}

TEST(CellLibrary, CellsThatTakeTheInputElementwiseDoNot) {
  EXPECT_THROW(cells::sru(5).with_input_size(6), ShapeError);
  EXPECT_THROW(cells::highway(5).with_input_size(6), ShapeError);
  EXPECT_THROW(cells::qrnn_fo_pooling(5).with_input_size(6), ShapeError);
}

TEST(CellLibrary, RecurrentHighwayNeedsALayer) {
  EXPECT_EQ(message_of<Error>([] { cells::recurrent_highway(3, 5, 0); }),
            "recurrent_highway: depth is 0, expected 1 or more");
}

// One unit of an sLSTM whose gates are its biases, at zero states: h' is sigmoid(o) tanh(z), since c' / n' is
// tanh(z) at whatever the input gate is, and stays so. exp of what the gates are here is 0 or infinite.
TEST(CellLibrary, SlstmBearsGatesFarOut) {
  const double o = 0.5, z = -0.75;
  for (const auto forget : {cells::ForgetGate::kSigmoid, cells::ForgetGate::kExp}) {
    const LoweredCell cell = lower_cell(cells::slstm(1, 1, forget).graph());
    for (const double i : {-2000.0, 0.0, 2000.0}) {
      for (const double f : {-2000.0, 0.0, 2000.0}) {
        reference::CellRun run{.inputs = {{1}, {1}, {1}}, .states = {{0}, {0}, {0}, {0}}, .parameters = {}};
        for (const ParameterInfo& parameter : cell.parameters) {
          run.parameters.push_back(parameter.name == "bias" ? Vector{i, f, z, o} : Vector(4, 0.0));
        }
        const reference::CellSteps steps = reference::run_steps(cell, run);
        for (const Vector& h : steps.outputs) {
          EXPECT_NEAR(h[0], std::tanh(z) / (1 + std::exp(-o)), 1e-15) << i << " " << f;  // a few roundings
        }
        const reference::CellRun of = reference::run_back(cell, derive_backward(cell), run, steps,
                                                          {{1}, {1}, {1}}, {{0}, {0}, {0}, {0}});
        for (const Vector& gradient : of.parameters) {
          for (const double value : gradient) EXPECT_TRUE(std::isfinite(value)) << i << " " << f;
        }
      }
    }
  }
}

}  // namespace
}  // namespace sluice
