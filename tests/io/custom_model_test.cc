// SPDX-License-Identifier: Apache-2.0
// Models with cells of one's own in their architecture.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>

#include "core/json.h"
#include "sluice/cell_text.h"
#include "sluice/cells/elementwise_kin.h"
#include "sluice/cells/lstm_kin.h"
#include "sluice/custom_recurrent.h"
#include "sluice/error.h"
#include "sluice/init.h"
#include "sluice/model.h"
#include "sluice/safetensors.h"
#include "sluice/trainable.h"
#include "support/expect_same_bits.h"
#include "support/files.h"
#include "support/random.h"

namespace sluice {
namespace {

using testing::expect_contains;
using testing::message_of;
using testing::read_file;
using testing::TempFolder;

/// A Recurrent of the cell, with `more` options.
std::string module_of(const CustomCell& cell, const std::string& more = "") {
  return R"({"type": "Recurrent", "prefix": "rnn", "cell": )" + cell_to_json(cell) + more + '}';
}

/// Those of a new model.
StateDict<double> weights_of(const std::string& architecture) {
  const auto trained = TrainableModel<double>::begin(architecture, 1);
  StateDict<double> weights;
  for (const ParameterInfo& info : trained.parameters().infos()) {
    weights.set(info.name,
                Tensor<double>(trained.parameters().value(trained.parameters().index_of(info.name))));
  }
  return weights;
}

std::string refusal_of(const std::string& json, const StateDict<double>& weights = {}) {
  return message_of<Error>([&] { Model<double>::from_architecture(json, weights); });
}

TEST(CustomArchitecture, GivesTheLayersThatItNames) {
  const CustomCell cell = cells::peephole_lstm(3, 5);
  const std::string json = '[' +
                           module_of(cell, R"(, "num_layers": 2, "bidirectional": true, "batch_first": true,
    "dropout": 0.25, "variational_dropout": true)") +
                           ']';
  const auto trained = TrainableModel<double>::begin(json, 7);
  const auto& model = trained.model();
  EXPECT_EQ(model.input_size(), 3u);
  EXPECT_EQ(model.output_size(), 10u);
  EXPECT_TRUE(model.batch_first());
  const auto& module = dynamic_cast<const Recurrent<double>&>(model.modules()[0]);
  EXPECT_EQ(module.options().num_layers, 2u);
  EXPECT_TRUE(module.options().bidirectional);
  EXPECT_EQ(module.options().dropout, 0.25);
  EXPECT_TRUE(module.options().variational_dropout);
  const Recurrent<double> same({.cell = cell, .num_layers = 2, .bidirectional = true, .batch_first = true},
                               trained.parameters().state_dict(), "rnn.");
  const Tensor<double> x = random_tensor<double>({4, 6, 3}, -1, 1, 1);
  expect_same_bits<double>(model.run(x.view()), same.forward(x.view()).output.view());
  EXPECT_EQ(trained.parameters().index_of("rnn.peephole_l1_reverse"), 15u);
}

TEST(CustomArchitecture, StandsAmongOtherModules) {
  const std::string json = R"([{"type": "Linear", "prefix": "in", "in_features": 2, "out_features": 3},
    {"type": "Sequential", "prefix": "net", "modules": [)" +
                           module_of(cells::lstm(3, 5)) + R"(]}, {"type": "LastStep"},
    {"type": "Linear", "prefix": "head", "in_features": 5, "out_features": 1}])";
  const auto model = Model<double>::from_architecture(json, weights_of(json));
  EXPECT_EQ(model.modules().parameters()[2].name, "net.rnn.weight_ih_l0");
  EXPECT_EQ(model.run(random_tensor<double>({4, 2}, -1, 1, 1).view()).shape(), Shape({1}));
  // Its architecture makes it again, though the order of what is in it is another.
  const auto again = Model<double>::from_architecture(model.architecture(), weights_of(json));
  const Tensor<double> x = random_tensor<double>({4, 2}, -1, 1, 1);
  expect_same_bits<double>(again.run(x.view()), model.run(x.view()).view());
  const std::string unfit = '[' + module_of(cells::lstm(3, 5)) + ", " + module_of(cells::lstm(4, 5)) + ']';
  expect_contains(message_of<Error>([&] { TrainableModel<double>::begin(unfit, 1); }),
                  "architecture[1] (Recurrent): ");
}

TEST(CustomArchitecture, OptionsAreCheckedByName) {
  const CustomCell cell = cells::lstm(3, 5);
  const StateDict<double> weights = weights_of('[' + module_of(cell) + ']');
  EXPECT_EQ(refusal_of('[' + module_of(cell, R"(, "hidden_size": 5)") + ']', weights),
            "architecture[0] (Recurrent): unknown option 'hidden_size'");
  EXPECT_EQ(refusal_of(R"([{"type": "Recurrent"}])"),
            "architecture[0] (Recurrent): option 'cell' is missing, expected a cell's values");
  EXPECT_EQ(refusal_of(R"([{"type": "Recurrent", "cell": {"name": "C"}}])"),
            "architecture[0] (Recurrent).cell: option 'input_size' is missing, expected a whole number, at "
            "least 1 and below 2^31");
  EXPECT_EQ(refusal_of(R"([{"type": "Recurrent", "cell": {"name": "C", "input_size": 2, "states": [],
                           "values": [{"name": "y", "op": "tanh", "args": ["y"]}], "next": {}, "output": "y"}}])"),
            "architecture[0] (Recurrent): C: a cycle: 'y' from 'y' itself (value 'y')");
  const std::string rnn =
      R"(, {"type": "RNN", "prefix": "r", "input_size": 5, "hidden_size": 2, "batch_first": true}])";
  EXPECT_EQ(refusal_of('[' + module_of(cell) + rnn, weights),
            "architecture[1] (RNN): num_layers is 1, but there is no tensor 'r.weight_ih_l0'");
  expect_contains(refusal_of('[' + module_of(cell, R"(, "bidirectional": 1)") + ']', weights),
                  "option 'bidirectional' is 1, expected true or false");
  expect_contains(refusal_of('[' + module_of(cells::qrnn_fo_pooling(2)) + ", " +
                             module_of(cells::qrnn_fo_pooling(2), R"(, "batch_first": true)") + ']'),
                  "option 'batch_first' is true, expected the value of the recurrent modules before it");
}

TEST(CustomArchitecture, TakesNoNumberOfLayersAtItsWord) {
  const CustomCell cell = cells::lstm(3, 5);
  EXPECT_EQ(refusal_of('[' + module_of(cell, R"(, "num_layers": 2147483647)") + ']',
                       weights_of('[' + module_of(cell) + ']')),
            "architecture[0] (Recurrent): num_layers is 2147483647, but there is no tensor "
            "'rnn.weight_ih_l2147483646'");
  CellBuilder builder("Decay");
  const auto x = builder.input(4), h = builder.state("h", 4);
  builder.next(h, 0.5 * h + x);
  const CustomCell bare = builder.build(h);
  EXPECT_EQ(refusal_of('[' + module_of(bare, R"(, "num_layers": 101)") + ']'),
            "architecture[0] (Recurrent): option 'num_layers' is 101, expected at most 100 of a cell without "
            "parameters");
  EXPECT_EQ(Model<double>::from_architecture('[' + module_of(bare, R"(, "num_layers": 100)") + ']', {})
                .output_size(),
            4u);
}

TEST(CustomArchitecture, EveryTensorIsUsedAndOfItsShape) {
  const std::string json = '[' + module_of(cells::lstm(3, 5)) + ']';
  StateDict<double> weights = weights_of(json);
  weights.set("rnn.peephole_l0", Tensor<double>({15}));
  EXPECT_EQ(refusal_of(json, weights), "tensor 'rnn.peephole_l0' belongs to no module of the architecture");
  StateDict<double> other = weights_of(json);
  other.set("rnn.bias_hh_l0", Tensor<double>({19}));
  expect_contains(refusal_of(json, other), "rnn.bias_hh_l0");
}

/// The least and the largest value of elements [first, first + size) of a parameter.
std::pair<double, double> range_of(const Parameters<double>& parameters, const std::string& name,
                                   std::size_t first, std::size_t size) {
  const double* const at = parameters.value(parameters.index_of(name)).data() + first;
  const auto [least, most] = std::minmax_element(at, at + size);
  return {*least, *most};
}

// Of n uniform numbers the largest is above 0.8 of the bound in all but one in exp(-n / 5) cases.
void expect_uniform(std::pair<double, double> range, double bound) {
  EXPECT_GE(range.first, -bound);
  EXPECT_LT(range.first, -0.8 * bound);
  EXPECT_LT(range.second, bound);
  EXPECT_GT(range.second, 0.8 * bound);
}

TEST(CustomFirstValues, AreARecurrentLayersButForNormalisationAndScalars) {
  CellBuilder builder("C");
  const auto x = builder.input(30), h = builder.state("h", 100);
  const auto both = builder.vector("both", 300);
  const auto normal =
      layer_norm(builder.matrix("w", 100, x), slice(both, 200, 100), slice(slice(both, 0, 200), 40, 100));
  const auto gain = layer_norm(normal + h, builder.vector("gain", 100), builder.vector("shift", 100));
  builder.next(h, gain * builder.scalar("scale") + slice(both, 100, 100));
  const std::string json =
      '[' + module_of(builder.build(h), R"(, "num_layers": 2, "bidirectional": true)") + ']';
  const auto trained = TrainableModel<double>::begin(json, 3);
  const Parameters<double>& all = trained.parameters();
  EXPECT_EQ(all.count(), 20u);
  for (const std::string end : {"_l0", "_l0_reverse", "_l1", "_l1_reverse"}) {
    SCOPED_TRACE(end);
    expect_uniform(range_of(all, "rnn.w" + end, 0, 100 * 30), 0.1);
    EXPECT_EQ(range_of(all, "rnn.both" + end, 200, 100), std::pair(1.0, 1.0));
    EXPECT_EQ(range_of(all, "rnn.both" + end, 40, 100), std::pair(0.0, 0.0));
    EXPECT_NE(range_of(all, "rnn.both" + end, 39, 1).first, 0);
    expect_uniform(range_of(all, "rnn.both" + end, 140, 60), 0.1);
    EXPECT_EQ(range_of(all, "rnn.gain" + end, 0, 100), std::pair(1.0, 1.0));
    EXPECT_EQ(range_of(all, "rnn.shift" + end, 0, 100), std::pair(0.0, 0.0));
    EXPECT_EQ(range_of(all, "rnn.scale" + end, 0, 1), std::pair(1.0, 1.0));
  }
  EXPECT_NE(all.value(all.index_of("rnn.w_l0")).data()[0],
            all.value(all.index_of("rnn.w_l0_reverse")).data()[0]);
}

TEST(CustomArchitecture, IsSavedAndLoadedAgain) {
  const TempFolder folder;
  const std::string json = '[' + module_of(cells::layer_norm_lstm(3, 5)) + ']';
  const auto trained = TrainableModel<float>::begin(json, 9);
  trained.save(folder / "m");
  const auto again = TrainableModel<float>::load(folder / "m");
  again.save(folder / "n");
  EXPECT_TRUE(read_file(folder / "m") == read_file(folder / "n"));
  const Tensor<float> x = random_tensor<float>({6, 2, 3}, -1, 1, 1);
  expect_same_bits<float>(again.model().run(x.view()), trained.model().run(x.view()).view());
}

}  // namespace
}  // namespace sluice
