// SPDX-License-Identifier: Apache-2.0
// What is counted, and that what is measured is measured: times themselves depend on the machine.
#include "layers/cell_costs.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <string_view>
#include <vector>

#include "layers/cell_form.h"
#include "layers/custom_backward_programs.h"
#include "layers/packed_cell.h"
#include "sluice/cells/gru_kin.h"
#include "sluice/cells/lstm_kin.h"
#include "support/random.h"

namespace sluice {
namespace {

// A cell with parameters.
template <class T>
struct Example {
  explicit Example(const CustomCell& cell) : form(cell) {
    for (const ParameterInfo& info : cell.parameters())
      values.push_back(random_tensor<T>(info.shape, -0.1, 0.1, 1));
    parameters.assign(values.begin(), values.end());
  }
  CellForm form;
  std::vector<Tensor<T>> values;
  std::vector<TensorView<const T>> parameters;
};

std::size_t count(const CellCosts& costs, std::string_view what) {
  std::size_t found = 0;
  for (const CellCost& step : costs.steps) found += step.what == what ? 1 : 0;
  return found;
}
const CellCost& first(const CellCosts& costs, std::string_view what) {
  for (const CellCost& step : costs.steps) {
    if (step.what == what) return step;
  }
  throw Error("no step is " + std::string(what));
}

TEST(CellCosts, HasEachStepOfACell) {
  constexpr std::size_t I = 24, H = 20;
  const Example<float> lstm(cells::peephole_lstm(I, H));
  const PackedCell<float> packed(lstm.form, lstm.parameters);
  const CellCosts costs = measure_cell_costs(packed.program(), 5, measure_cell_bounds<float>());
  EXPECT_EQ(first(costs, "input product").elements, 4.0 * H * I);
  EXPECT_EQ(first(costs, "products").elements, 4.0 * H * H);
  EXPECT_EQ(first(costs, "sigmoid").elements, H);
  EXPECT_EQ(count(costs, "sigmoid"), 3u);
  EXPECT_EQ(count(costs, "tanh"), 2u);
  EXPECT_EQ(count(costs, "parameter"), 3u);
  EXPECT_EQ(count(costs, "multiply-add"), 4u);  // of i, f, o and c'
  EXPECT_EQ(count(costs, "multiply"), 2u);
  EXPECT_EQ(count(costs, "load"), 1u);  // c
  EXPECT_EQ(count(costs, "store"), 2u);
  EXPECT_EQ(costs.steps.size(), 19u);
}

TEST(CellCosts, HasReductionsInTheirStages) {
  constexpr std::size_t H = 33;
  const Example<double> lstm(cells::layer_norm_lstm(H, H));
  const PackedCell<double> packed(lstm.form, lstm.parameters);
  const CellCosts costs = measure_cell_costs(packed.program(), 3, measure_cell_bounds<double>());
  EXPECT_EQ(count(costs, "mean"), 9u);  // of W x and U h of each gate, and of c'
  EXPECT_EQ(count(costs, "variance"), 9u);
  EXPECT_EQ(first(costs, "products").stage, 0u);
  EXPECT_EQ(first(costs, "mean").stage, 1u);
  EXPECT_EQ(first(costs, "mean").elements, H);
  EXPECT_EQ(costs.steps.back().stage, 2u);
}

TEST(CellCosts, TimesEachStepAndTheWhole) {
  constexpr std::size_t H = 256, kRows = 16;
  const Example<float> gru(cells::gru(H, H));
  const CellBounds bounds = measure_cell_bounds<float>();
  for (const double bound :
       {bounds.load, bounds.store, bounds.operation, bounds.sigmoid, bounds.tanh, bounds.exp}) {
    EXPECT_GT(bound, 0);
  }
  const PackedCell<float> packed(gru.form, gru.parameters);
  // Once in several tries, since others use the machine meanwhile: a sigmoid is some twenty operations, on
  // anything with vectors; and the products are a part of the whole, and most of it.
  bool is_plausible = false;
  for (int i = 0; i < 10 && !is_plausible; ++i) {
    const CellCosts costs = measure_cell_costs(packed.program(), kRows, bounds);
    EXPECT_EQ(first(costs, "sigmoid").bound_ns, bounds.sigmoid);
    const double products = first(costs, "products").ns * first(costs, "products").elements;
    EXPECT_GT(products, 0);
    is_plausible =
        first(costs, "sigmoid").ns > 1.5 * first(costs, "multiply").ns && costs.whole_ns > 0.5 * products;
  }
  EXPECT_TRUE(is_plausible);
}

TEST(CellCosts, TakesProgramsOfTheWayBack) {
  constexpr std::size_t H = 20;
  const Example<float> gru(cells::gru_reset_before(H, H));
  const CustomBackwardPrograms<float> programs(gru.form, gru.parameters);
  const PackedCell<float> packed(gru.form, gru.parameters);
  const CellBounds bounds = measure_cell_bounds<float>();
  const CellCosts recorded = measure_cell_costs(packed.recording_program(), 1, bounds);
  EXPECT_GT(count(recorded, "store"), count(measure_cell_costs(packed.program(), 1, bounds), "store"));
  const CellCosts back = measure_cell_costs(programs.step, 7, bounds);
  EXPECT_EQ(count(back, "input product"), 0u);
  EXPECT_EQ(count(back, "sigmoid"), 0u);
  EXPECT_GT(count(back, "products"), 0u);
}

}  // namespace
}  // namespace sluice
