// SPDX-License-Identifier: Apache-2.0
// A cell's steps and their way back in double precision, one row, as cell_graph.h says what its parts mean.
#pragma once

#include <cstddef>
#include <vector>

#include "reference/cell_interpreter.h"

namespace sluice::reference {

/// What a row's steps begin with; or the gradients of it.
struct CellRun {
  std::vector<Vector> inputs;  // of each step
  std::vector<Vector> states;
  std::vector<Vector> parameters;
};

/// What each step left.
struct CellSteps {
  std::vector<std::vector<Vector>> values;  // of all nodes
  std::vector<std::vector<Vector>> states;  // before step t; the last ones after all
  std::vector<Vector> outputs;
};

inline CellSteps run_steps(const LoweredCell& cell, const CellRun& run) {
  CellSteps steps;
  steps.states.push_back(run.states);
  for (const Vector& input : run.inputs) {
    const std::vector<Vector> values =
        evaluate(cell.nodes, {.input = input, .states = steps.states.back(), .parameters = run.parameters});
    steps.states.emplace_back();
    for (const CellState& state : cell.states) steps.states.back().push_back(values.at(state.next));
    steps.outputs.push_back(values.at(cell.output));
    steps.values.push_back(values);
  }
  return steps;
}

/// The gradient of the input or of a state, of `size` elements, from the values of one step of the way back.
inline Vector gradient_of(const CellBackward::Gradient& gradient, std::size_t size, const LoweredCell& cell,
                          const CellBackward& back, const std::vector<Vector>& values,
                          const std::vector<Vector>& parameters) {
  Vector total(size, 0.0);
  for (const CellBackward::Part& part : gradient.parts) {
    const Vector& value = values.at(part.node);
    for (std::size_t i = 0; i < value.size(); ++i) total.at(part.first + i) += value[i];
  }
  for (const CellBackward::TransposedProduct& product : gradient.products) {
    Vector value(cell.parameters.at(product.parameter).shape[1], 0.0);
    add_transposed_product(value, parameters.at(product.parameter), product.first_row,
                           values.at(back.lists.at(product.list)));
    for (std::size_t j = 0; j < value.size(); ++j) total.at(product.first + j) += value[j];
  }
  return total;
}

/// Adds to the gradients of the parameters what one step of the way back, whose leaves and values these are,
/// is to them.
inline void add_parameter_gradients(const LoweredCell& cell, const CellBackward& back,
                                    const CellLeaves& leaves, const std::vector<Vector>& values,
                                    std::vector<Vector>& gradients) {
  using From = CellBackward::Operand::From;
  for (const CellBackward::MatrixGradient& matrix : back.matrices) {
    const Vector& rows = values.at(back.lists.at(matrix.list));
    const std::size_t columns = cell.parameters.at(matrix.parameter).shape[1];
    const CellBackward::Operand& from = matrix.operand;
    const Vector& all = from.from == From::kInput       ? leaves.input
                        : from.from == From::kState     ? leaves.states.at(from.index)
                        : from.from == From::kNextState ? leaves.next_states.at(from.index)
                                                        : leaves.saved.at(from.index);
    const Vector operand = part(all, from.first, columns);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (std::size_t j = 0; j < columns; ++j) {
        gradients.at(matrix.parameter).at((matrix.first_row + i) * columns + j) += rows[i] * operand[j];
      }
    }
  }
  for (const CellBackward::VectorGradient& vector : back.vectors) {
    Vector list = values.at(back.lists.at(vector.list));
    if (gradients.at(vector.parameter).size() == 1) list = {sum(list)};
    for (std::size_t i = 0; i < list.size(); ++i) {
      gradients.at(vector.parameter).at(vector.first + i) += list[i];
    }
  }
}

/// The gradients of all that `run` has, given those of each step's output and of the last states.
inline CellRun run_back(const LoweredCell& cell, const CellBackward& back, const CellRun& run,
                        const CellSteps& steps, const std::vector<Vector>& grad_outputs,
                        const std::vector<Vector>& grad_states) {
  CellRun gradients{
      .inputs = std::vector<Vector>(run.inputs.size()), .states = grad_states, .parameters = {}};
  for (const Vector& parameter : run.parameters) gradients.parameters.emplace_back(parameter.size(), 0.0);
  for (std::size_t t = run.inputs.size(); t-- > 0;) {
    CellLeaves leaves{.input = run.inputs[t],
                      .states = steps.states.at(t),
                      .parameters = run.parameters,
                      .next_states = steps.states.at(t + 1),
                      .grad_output = grad_outputs.at(t),
                      .grad_next = gradients.states};
    for (const std::size_t node : back.saved) leaves.saved.push_back(steps.values.at(t).at(node));
    const std::vector<Vector> values = evaluate(back.nodes, leaves);
    for (std::size_t s = 0; s < cell.states.size(); ++s) {
      gradients.states[s] =
          gradient_of(back.states.at(s), cell.states[s].size, cell, back, values, run.parameters);
    }
    gradients.inputs[t] = gradient_of(back.input, cell.input_size, cell, back, values, run.parameters);
    add_parameter_gradients(cell, back, leaves, values, gradients.parameters);
  }
  return gradients;
}

}  // namespace sluice::reference
