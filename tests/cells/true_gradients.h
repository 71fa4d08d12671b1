// SPDX-License-Identifier: Apache-2.0
// A cell's way back, run by the plain interpreter, against central differences.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cells/cell_graph.h"
#include "reference/cell_gradients.h"
#include "support/central_difference.h"
#include "support/random.h"

namespace sluice::test {

using reference::CellRun;
using reference::CellSteps;
using reference::Vector;

inline constexpr std::size_t kSteps = 3;

inline CellRun random_run(const LoweredCell& cell) {
  CellRun run;
  std::uint64_t seed = 1;
  for (std::size_t t = 0; t < kSteps; ++t) {
    run.inputs.push_back(random_vector<double>(cell.input_size, -1, 1, seed++));
  }
  for (const CellState& state : cell.states) {
    run.states.push_back(random_vector<double>(state.size, -1, 1, seed++));
  }
  for (const ParameterInfo& parameter : cell.parameters) {
    run.parameters.push_back(random_vector<double>(parameter.shape.size(), -1, 1, seed++));
  }
  return run;
}

inline double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b.at(i);
  return sum;
}

/// All gradients of a loss that is linear in every output and in the last states, against central
/// differences.
inline void expect_true_gradients(const LoweredCell& cell) {
  const CellBackward back = derive_backward(cell);
  CellRun run = random_run(cell);
  std::vector<Vector> grad_outputs, grad_states;
  for (std::size_t t = 0; t < kSteps; ++t) {
    grad_outputs.push_back(random_vector<double>(cell.nodes[cell.output].size, -1, 1, 100 + t));
  }
  for (const CellState& state : cell.states) {
    grad_states.push_back(random_vector<double>(state.size, -1, 1, 200 + grad_states.size()));
  }
  const auto loss = [&] {
    const CellSteps steps = run_steps(cell, run);
    double sum = 0;
    for (std::size_t t = 0; t < kSteps; ++t) sum += dot(grad_outputs[t], steps.outputs[t]);
    for (std::size_t s = 0; s < cell.states.size(); ++s) sum += dot(grad_states[s], steps.states[kSteps][s]);
    return sum;
  };
  const CellRun got = run_back(cell, back, run, run_steps(cell, run), grad_outputs, grad_states);
  const auto expect = [&](std::vector<Vector>& values, const std::vector<Vector>& gradients,
                          const char* what) {
    for (std::size_t k = 0; k < values.size(); ++k) {
      for (std::size_t i = 0; i < values[k].size(); ++i) {
        const double want = test::central_difference(values[k][i], loss);
        // 1e-7 of it, and what central_difference says that it is off by: the loss's roundings are some
        // 1e-15.
        EXPECT_NEAR(gradients.at(k).at(i), want, 1e-7 * std::abs(want) + 1e-9)
            << what << ' ' << k << ", " << i;
      }
    }
  };
  expect(run.inputs, got.inputs, "input of step");
  expect(run.states, got.states, "first state");
  expect(run.parameters, got.parameters, "parameter");
}

}  // namespace sluice::test
