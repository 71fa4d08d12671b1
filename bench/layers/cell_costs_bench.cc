// SPDX-License-Identifier: Apache-2.0
// What each step of the library's cells costs (layers/cell_costs.h), as Markdown: operations of one kind
// together.
#include "layers/cell_costs.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "benchmarks.h"
#include "inputs.h"
#include "layers/cell_form.h"
#include "layers/custom_backward_programs.h"
#include "layers/packed_cell.h"
#include "sluice/cells/elementwise_kin.h"
#include "sluice/cells/gru_kin.h"
#include "sluice/cells/highway_kin.h"
#include "sluice/cells/lem.h"
#include "sluice/cells/lstm_kin.h"

namespace sluice::bench {
namespace {

constexpr std::size_t kRows = 32;
constexpr std::size_t kSize = 512;  // of input and states

std::vector<std::pair<std::string, CustomCell>> library() {
  constexpr std::size_t n = kSize;
  return {{"lstm", cells::lstm(n, n)},
          {"lstmp", cells::lstmp(n, n, n / 2)},
          {"peephole_lstm", cells::peephole_lstm(n, n)},
          {"cifg", cells::cifg(n, n)},
          {"layer_norm_lstm", cells::layer_norm_lstm(n, n)},
          {"slstm", cells::slstm(n, n)},
          {"gru", cells::gru(n, n)},
          {"gru_reset_before", cells::gru_reset_before(n, n)},
          {"mgu", cells::mgu(n, n)},
          {"li_gru", cells::li_gru(n, n)},
          {"sru", cells::sru(n)},
          {"qrnn_fo_pooling", cells::qrnn_fo_pooling(n)},
          {"indrnn", cells::indrnn(n, n)},
          {"min_gru", cells::min_gru(n, n)},
          {"min_lstm", cells::min_lstm(n, n)},
          {"highway", cells::highway(n)},
          {"recurrent_highway", cells::recurrent_highway(n, n, 3)},
          {"lem", cells::lem(n, n)}};
}

// Steps of one kind.
struct Line {
  std::string_view what, limit;
  std::size_t count = 0;
  double elements = 0, ns = 0, bound_ns = 0;  // of a row
};

std::vector<Line> lines_of(const CellCosts& costs) {
  std::vector<Line> lines;
  for (const CellCost& step : costs.steps) {
    auto line = std::find_if(lines.begin(), lines.end(), [&](const Line& l) { return l.what == step.what; });
    if (line == lines.end()) line = lines.insert(line, {step.what, step.limit});
    ++line->count;
    line->elements += step.elements;
    line->ns += step.elements * step.ns;
    line->bound_ns += step.elements * step.bound_ns;
  }
  std::stable_sort(lines.begin(), lines.end(), [](const Line& a, const Line& b) { return a.ns > b.ns; });
  return lines;
}

void print(const std::string& title, const CellProgram<float>& program, const CellBounds& bounds) {
  const CellCosts costs = measure_cell_costs(program, kRows, bounds);
  const std::vector<Line> lines = lines_of(costs);
  double sum = 0, input = 0;
  for (const Line& line : lines) (line.what == "input product" ? input : sum) += line.ns;
  std::printf("\n%s: %.0f ns a row as it runs, its steps one by one %.0f ns\n\n", title.c_str(),
              costs.whole_ns + input, sum + input);
  std::printf("| operation | count | ns an element | bound, ns | by | of bound | share |\n");
  std::printf("| --- | --- | --- | --- | --- | --- | --- |\n");
  for (const Line& line : lines) {
    std::string what(line.what);
    if (what.ends_with("product") || what.ends_with("products")) {
      char rates[64];
      std::snprintf(rates, sizeof rates, ", %.0f of %.0f GFLOP/s", 2 * line.elements / line.ns,
                    2 / bounds.operation);
      what += rates;
    }
    std::printf("| %s | %zu | %.3g | %.3g | %s | %.0f %% | %.1f %% |\n", what.c_str(), line.count,
                line.ns / line.elements, line.bound_ns / line.elements, std::string(line.limit).c_str(),
                100 * line.bound_ns / line.ns, 100 * line.ns / (sum + input));
  }
}

void print(const std::string& name, const CustomCell& cell, const CellBounds& bounds) {
  const CellForm form(cell);
  std::vector<Tensor<float>> values;
  for (const ParameterInfo& info : cell.parameters()) {
    values.push_back(random_tensor<float>(info.shape, -0.05F, 0.05F));
  }
  const std::vector<TensorView<const float>> parameters(values.begin(), values.end());
  const PackedCell<float> packed(form, parameters);
  print(name, packed.program(), bounds);
  if (!form.backward) return;
  print(name + ", recorded", packed.recording_program(), bounds);
  print(name + ", back", CustomBackwardPrograms<float>(form, parameters).step, bounds);
}

}  // namespace

void print_cell_costs(const std::vector<std::string>& names) {
  const auto all = library();
  for (const std::string& name : names) {
    if (std::none_of(all.begin(), all.end(), [&](const auto& cell) { return cell.first == name; })) {
      std::string known;
      for (const auto& cell : all) known += (known.empty() ? "" : ", ") + cell.first;
      throw Error("--cell-costs: '" + name + "' is no cell, expected one of " + known);
    }
  }
  const CellBounds bounds = measure_cell_bounds<float>();
  std::printf("float32, %zu rows, input and states of %zu, one thread\n", kRows, kSize);
  std::printf("ns an element: load %.3g, store %.3g, operation %.3g, sigmoid %.3g, tanh %.3g, exp %.3g\n",
              bounds.load, bounds.store, bounds.operation, bounds.sigmoid, bounds.tanh, bounds.exp);
  for (const auto& [name, cell] : all) {
    if (names.empty() || std::find(names.begin(), names.end(), name) != names.end()) {
      print(name, cell, bounds);
    }
  }
}

}  // namespace sluice::bench
