// SPDX-License-Identifier: Apache-2.0
// The library of cells (sluice/cells/) against PyTorch restatements in float64 (make_custom_cells_golden.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "cells/cell_graph.h"
#include "golden/golden_file.h"
#include "reference/cell_gradients.h"
#include "sluice/custom_recurrent.h"
#include "sluice/parameters.h"
#include "support/library_cells.h"

namespace sluice::golden {
namespace {

using test::kLibraryCells;
using test::NamedCell;

const NamedCell& find(const std::string& name) {
  const NamedCell* found = std::find_if(std::begin(kLibraryCells), std::end(kLibraryCells),
                                        [&](const NamedCell& one) { return one.name == name; });
  if (found == std::end(kLibraryCells)) throw Error("the table has no cell " + name);
  return *found;
}

reference::Vector row_of(TensorView<const double> batch, std::size_t row) {
  return elements(batch.select(0, row));
}

std::vector<reference::Vector> steps_of_row(TensorView<const double> sequence, std::size_t row) {
  std::vector<reference::Vector> steps;
  for (std::size_t t = 0; t < sequence.dim(0); ++t) steps.push_back(row_of(sequence.select(0, t), row));
  return steps;
}

// One tensor a state, of the case's tensors PREFIX.NAME.
std::vector<reference::Vector> states_of_row(const LoweredCell& cell, const GoldenFile<double>& file,
                                             const std::string& prefix, std::size_t row) {
  std::vector<reference::Vector> states;
  for (const CellState& state : cell.states) states.push_back(row_of(file.in(prefix + state.name), row));
  return states;
}

reference::CellRun run_of_row(const LoweredCell& cell, const GoldenFile<double>& file,
                              const std::string& prefix, std::size_t row) {
  reference::CellRun run{.inputs = steps_of_row(file.in(prefix + "x"), row),
                         .states = states_of_row(cell, file, prefix + "init.", row),
                         .parameters = {}};
  for (const ParameterInfo& parameter : cell.parameters) {
    run.parameters.push_back(elements(file.in(prefix + parameter.name)));
  }
  return run;
}

void set_row(Tensor<double>& batch, std::size_t row, const reference::Vector& values) {
  ASSERT_EQ(values.size(), batch.dim(1));
  std::copy(values.begin(), values.end(), &batch(row, 0));
}

void set_row(Tensor<double>& sequence, std::size_t row, const std::vector<reference::Vector>& steps) {
  for (std::size_t t = 0; t < steps.size(); ++t) {
    ASSERT_EQ(steps[t].size(), sequence.dim(2));
    std::copy(steps[t].begin(), steps[t].end(), &sequence(t, row, 0));
  }
}

std::vector<Tensor<double>> state_tensors(const LoweredCell& cell, std::size_t rows) {
  std::vector<Tensor<double>> tensors;
  for (const CellState& state : cell.states) tensors.emplace_back(Shape{rows, state.size});
  return tensors;
}

// Outputs and last states, node by node.
void expect_steps(const LoweredCell& cell, const GoldenFile<double>& file, const std::string& prefix) {
  const std::size_t rows = file.in(prefix + "x").dim(1);
  Tensor<double> output(file.want(prefix + "output").shape());
  std::vector<Tensor<double>> finals = state_tensors(cell, rows);
  for (std::size_t row = 0; row < rows; ++row) {
    const reference::CellSteps steps = reference::run_steps(cell, run_of_row(cell, file, prefix, row));
    set_row(output, row, steps.outputs);
    for (std::size_t s = 0; s < finals.size(); ++s) set_row(finals[s], row, steps.states.back()[s]);
  }
  expect_close<double>(output, file.want(prefix + "output"), prefix + "output");
  for (std::size_t s = 0; s < finals.size(); ++s) {
    const std::string name = prefix + "final." + cell.states[s].name;
    expect_close<double>(finals[s], file.want(name), name);
  }
}

// Gradients of the input, the first states and the parameters, node by node.
void expect_gradients(const LoweredCell& cell, const GoldenFile<double>& file, const std::string& prefix) {
  const CellBackward back = derive_backward(cell);
  const std::size_t rows = file.in(prefix + "x").dim(1);
  Tensor<double> of_x(file.in(prefix + "x").shape());
  std::vector<Tensor<double>> of_states = state_tensors(cell, rows), of_parameters;
  for (const ParameterInfo& parameter : cell.parameters) of_parameters.emplace_back(parameter.shape);
  for (std::size_t row = 0; row < rows; ++row) {
    const reference::CellRun run = run_of_row(cell, file, prefix, row);
    const reference::CellRun of = reference::run_back(cell, back, run, reference::run_steps(cell, run),
                                                      steps_of_row(file.in(prefix + "grad.output"), row),
                                                      states_of_row(cell, file, prefix + "grad.", row));
    set_row(of_x, row, of.inputs);
    for (std::size_t s = 0; s < of_states.size(); ++s) set_row(of_states[s], row, of.states[s]);
    for (std::size_t k = 0; k < of_parameters.size(); ++k) {
      for (std::size_t i = 0; i < of_parameters[k].size(); ++i)
        of_parameters[k].data()[i] += of.parameters[k][i];
    }
  }
  const auto expect = [&](const Tensor<double>& got, const std::string& what) {
    expect_gradient<double>(got, file.want(prefix + "of." + what), prefix + what);
  };
  expect(of_x, "x");
  for (std::size_t s = 0; s < of_states.size(); ++s) expect(of_states[s], "init." + cell.states[s].name);
  for (std::size_t k = 0; k < of_parameters.size(); ++k) expect(of_parameters[k], cell.parameters[k].name);
}

TEST(CustomCellsGolden, HasEveryCell) {
  EXPECT_EQ(GoldenFile<double>("custom_cells").cases().size(), std::size(kLibraryCells));
}

// In alphabetical order: "a,b,c".
template <class Named>
std::string names_of(std::vector<Named> named) {
  std::sort(named.begin(), named.end(), [](const Named& a, const Named& b) { return a.name < b.name; });
  std::string names;
  for (const Named& one : named) names += (names.empty() ? "" : ",") + one.name;
  return names;
}

TEST(CustomCellsGolden, ParametersAndStatesAreThoseOfTheScript) {
  const GoldenFile<double> file("custom_cells");
  for (const auto& [name, options] : file.cases()) {
    const CustomCell cell = find(name).make(options.size("input_size"), options.size("hidden_size"));
    EXPECT_EQ(names_of(cell.parameters()), options.text("parameters")) << name;
    EXPECT_EQ(names_of(cell.states()), options.text("states")) << name;
    for (const ParameterInfo& parameter : cell.parameters()) {
      EXPECT_EQ(parameter.shape, file.in(name + "." + parameter.name).shape()) << name << parameter.name;
    }
  }
}

template <class F>
void for_each_cell(F f) {
  const GoldenFile<double> file("custom_cells");
  worst_difference<double> = 0;
  for (const auto& [name, options] : file.cases()) {
    f(find(name).make(options.size("input_size"), options.size("hidden_size")), file, name + ".");
  }
  print_worst_difference<double>();
}

TEST(CustomCellsGolden, AsStatedTheyMatchPyTorch) {
  for_each_cell([](const CustomCell& cell, const GoldenFile<double>& file, const std::string& prefix) {
    const CellGraph& graph = cell.graph();
    expect_steps({graph.input_size, graph.nodes, graph.states, graph.parameters, graph.output}, file, prefix);
  });
}

TEST(CustomCellsGolden, LoweredTheyMatchPyTorch) {
  for_each_cell([](const CustomCell& cell, const GoldenFile<double>& file, const std::string& prefix) {
    expect_steps(lower_cell(cell.graph()), file, prefix);
  });
}

TEST(CustomCellsGolden, GradientsMatchAutograd) {
  for_each_cell([](const CustomCell& cell, const GoldenFile<double>& file, const std::string& prefix) {
    expect_gradients(lower_cell(cell.graph()), file, prefix);
  });
}

// Layers of a cell, forward and back, on one thread and on several.
void expect_layer(const CustomCell& cell, const GoldenFile<double>& file, const std::string& prefix) {
  const auto in = [&](const std::string& name) { return file.in(prefix + name); };
  StateDict<double> weights;
  for (const ParameterInfo& info : cell.parameters())
    weights.set(info.name + "_l0", Tensor<double>(in(info.name)));
  const Recurrent<double> layer({.cell = cell}, weights);
  Parameters<double> parameters(layer.parameters());
  for (const ParameterInfo& info : layer.parameters()) {
    const Tensor<double> values(weights.at(info.name));
    std::copy_n(values.data(), values.size(), parameters.value(info.name).data());
  }
  // [B, size] as [1, B, size].
  const auto of_states = [&](const std::string& of) {
    std::vector<Tensor<double>> states;
    for (const CustomCell::State& state : cell.states()) {
      const TensorView<const double> values = in(of + state.name);
      states.push_back(Tensor<double>(values).reshaped({1, values.dim(0), values.dim(1)}));
    }
    return states;
  };
  const std::vector<Tensor<double>> initial = of_states("init."), of_final = of_states("grad.");
  const auto expect_states = [&](const std::vector<Tensor<double>>& got, const std::string& of,
                                 bool is_gradient) {
    for (std::size_t s = 0; s < got.size(); ++s) {
      const std::string name = prefix + of + cell.states()[s].name;
      const Tensor<double> flat = Tensor<double>(got[s]).reshaped({got[s].dim(1), got[s].dim(2)});
      if (is_gradient) {
        expect_gradient<double>(flat, file.want(name), name);
      } else {
        expect_close<double>(flat, file.want(name), name);
      }
    }
  };
  for (const int threads : {1, 3}) {
    CustomInput<double> given;
    given.threads = threads;
    for (const Tensor<double>& state : initial) given.states.push_back(state.view());
    Tape tape;
    const CustomOutput<double> out = layer.record(in("x"), given, tape);
    expect_close<double>(out.output, file.want(prefix + "output"), prefix + "output");
    expect_states(out.states, "final.", false);
    CustomOutputGradients<double> grads;
    grads.output = in("grad.output");
    for (const Tensor<double>& grad : of_final) grads.states.push_back(grad.view());
    parameters.zero_grad();
    const CustomInputGradients<double> of = layer.backward(grads, tape, parameters, {.threads = threads});
    expect_gradient<double>(of.x, file.want(prefix + "of.x"), prefix + "x");
    expect_states(of.states, "of.init.", true);
    for (const ParameterInfo& info : cell.parameters()) {
      expect_gradient<double>(Tensor<double>(TensorView<const double>(parameters.grad(info.name + "_l0"))),
                              file.want(prefix + "of." + info.name), prefix + info.name);
    }
  }
}

TEST(CustomCellsGolden, LayersMatchPyTorchThereAndBack) { for_each_cell(expect_layer); }

}  // namespace
}  // namespace sluice::golden
