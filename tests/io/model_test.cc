// SPDX-License-Identifier: Apache-2.0
#include "sluice/model.h"

#include <gtest/gtest.h>

#include "core/json.h"
#include "sluice/error.h"
#include "sluice/safetensors.h"
#include "support/files.h"

namespace sluice {
namespace {

using testing::expect_contains;
using testing::message_of;
using testing::TempFolder;

// Different values everywhere, small enough that gates do not saturate.
Tensor<double> values(const Shape& shape, int seed) {
  Tensor<double> tensor(shape);
  for (std::size_t i = 0; i < tensor.size(); ++i) {
    tensor.data()[i] =
        static_cast<double>(static_cast<int>((i * 37 + static_cast<std::size_t>(seed) * 17) % 101) - 50) /
        100;
  }
  return tensor;
}

StateDict<double> weights_of(std::initializer_list<std::pair<const char*, Shape>> shapes) {
  StateDict<double> weights;
  int seed = 1;
  for (const auto& [name, shape] : shapes) weights.set(name, values(shape, seed++));
  return weights;
}

StateDict<double> lstm_weights() {
  return weights_of(
      {{"weight_ih_l0", {12, 2}}, {"weight_hh_l0", {12, 3}}, {"bias_ih_l0", {12}}, {"bias_hh_l0", {12}}});
}

Model<double> load_saved(const StateDict<double>& weights, const LoadOptions& options = {},
                         const std::map<std::string, std::string>& metadata = {}) {
  const TempFolder folder;
  save_safetensors(folder / "m.safetensors", weights, metadata);
  return Model<double>::load(folder / "m.safetensors", options);
}

std::string refusal(const StateDict<double>& weights, const LoadOptions& options = {}) {
  return message_of<FileError>([&] { load_saved(weights, options); });
}

std::string refusal_of(const std::string& json, const StateDict<double>& weights) {
  return message_of<Error>([&] { Model<double>::from_architecture(json, weights); });
}

void expect_same(const Tensor<double>& a, const Tensor<double>& b) {
  ASSERT_EQ(a.shape(), b.shape());
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_EQ(a.data()[i], b.data()[i]) << i;
}

TEST(BareLayer, LstmFromNamesAndShapes) {
  const Model<double> model = load_saved(lstm_weights());
  ASSERT_TRUE(model.bare_layer());
  EXPECT_EQ(model.bare_layer()->kind, BareLayer::Kind::kLSTM);
  EXPECT_EQ(model.bare_layer()->hidden_size, 3u);
  EXPECT_EQ(model.input_size(), 2u);
  EXPECT_EQ(model.output_size(), 3u);
  EXPECT_TRUE(model.bare_layer()->bias);
  EXPECT_FALSE(model.bare_layer()->is_cell);
  const LSTM<double> layer({.input_size = 2, .hidden_size = 3}, lstm_weights());
  const Tensor<double> x = values({4, 2, 2}, 9);
  expect_same(model.run(x.view()), layer.forward(x).output);
}

TEST(BareLayer, TwoLayersBothDirectionsProjectionAndNoBias) {
  const StateDict<double> weights = weights_of({{"weight_ih_l0", {16, 3}},
                                                {"weight_hh_l0", {16, 2}},
                                                {"weight_hr_l0", {2, 4}},
                                                {"weight_ih_l0_reverse", {16, 3}},
                                                {"weight_hh_l0_reverse", {16, 2}},
                                                {"weight_hr_l0_reverse", {2, 4}},
                                                {"weight_ih_l1", {16, 4}},
                                                {"weight_hh_l1", {16, 2}},
                                                {"weight_hr_l1", {2, 4}},
                                                {"weight_ih_l1_reverse", {16, 4}},
                                                {"weight_hh_l1_reverse", {16, 2}},
                                                {"weight_hr_l1_reverse", {2, 4}}});
  const Model<double> model = load_saved(weights);
  const BareLayer& layer = *model.bare_layer();
  EXPECT_EQ(layer.kind, BareLayer::Kind::kLSTM);
  EXPECT_EQ(layer.hidden_size, 4u);
  EXPECT_EQ(layer.proj_size, 2u);
  EXPECT_EQ(layer.num_layers, 2u);
  EXPECT_TRUE(layer.bidirectional);
  EXPECT_FALSE(layer.bias);
  EXPECT_EQ(model.output_size(), 4u);
}

TEST(BareLayer, GruRnnAndPrefix) {
  const auto gru = weights_of({{"enc.gru.weight_ih_l0", {9, 2}}, {"enc.gru.weight_hh_l0", {9, 3}}});
  LoadOptions options;
  options.prefix = "enc.gru.";
  EXPECT_EQ(load_saved(gru, options).bare_layer()->kind, BareLayer::Kind::kGRU);
  options.prefix = "enc.gru";  // the dot may be left out
  EXPECT_EQ(load_saved(gru, options).bare_layer()->kind, BareLayer::Kind::kGRU);
  expect_contains(refusal(gru), "there is one under the prefix 'enc.gru.'");
  const auto rnn = weights_of({{"weight_ih_l0", {3, 2}}, {"weight_hh_l0", {3, 3}}});
  const Model<double> tanh = load_saved(rnn);
  EXPECT_EQ(tanh.bare_layer()->kind, BareLayer::Kind::kRNN);
  LoadOptions relu;
  relu.nonlinearity = Nonlinearity::kRelu;
  const Tensor<double> x = values({4, 2, 2}, 3);
  const RNN<double> layer(
      {.input_size = 2, .hidden_size = 3, .nonlinearity = Nonlinearity::kRelu, .bias = false}, rnn);
  expect_same(load_saved(rnn, relu).run(x.view()), layer.forward(x).output);
}

TEST(BareLayer, ACellRunsOverTimeAsALayer) {
  const auto cell =
      weights_of({{"weight_ih", {12, 2}}, {"weight_hh", {12, 3}}, {"bias_ih", {12}}, {"bias_hh", {12}}});
  const Model<double> model = load_saved(cell);
  EXPECT_TRUE(model.bare_layer()->is_cell);
  const Tensor<double> x = values({4, 2, 2}, 9);
  const LSTM<double> layer({.input_size = 2, .hidden_size = 3}, lstm_weights());
  expect_same(model.run(x.view()), layer.forward(x).output);
}

// FIELD 47, 48: tensors that a loader passes over make a model that runs and is wrong.
TEST(BareLayer, EveryTensorIsUsed) {
  StateDict<double> extra = lstm_weights();
  extra.set("head.weight", values({1, 3}, 5));
  expect_contains(refusal(extra), "tensor 'head.weight' belongs to no module of the bare layer");
  StateDict<double> gap = lstm_weights();
  gap.set("weight_ih_l2", values({12, 3}, 5));
  expect_contains(refusal(gap), "tensor 'weight_ih_l2' belongs to no module");
  StateDict<double> reverse = lstm_weights();
  reverse.set("weight_hh_l0_reverse", values({12, 3}, 5));
  expect_contains(refusal(reverse), "tensor 'weight_hh_l0_reverse' belongs to no module");
  const auto missing =
      weights_of({{"weight_ih_l0", {12, 2}}, {"weight_hh_l0", {12, 3}}, {"bias_ih_l0", {12}}});
  expect_contains(refusal(missing), "bare layer[0] (LSTM): no tensor named 'bias_hh_l0'");
}

TEST(BareLayer, ShapesThatDoNotFit) {
  expect_contains(refusal(weights_of({{"weight_ih_l0", {10, 2}}, {"weight_hh_l0", {10, 3}}})),
                  "expected 4H (LSTM)");
  expect_contains(refusal(weights_of({{"weight_ih_l0", {2, 2}}, {"weight_hh_l0", {2, 3}}})),
                  "expected 4H (LSTM)");
  expect_contains(refusal(weights_of({{"weight_ih_l0", {12, 2}}, {"weight_hh_l0", {9, 3}}})),
                  "expected 4H (LSTM)");
  expect_contains(refusal(weights_of({{"weight_ih_l0", {12}}, {"weight_hh_l0", {12, 3}}})),
                  "expected two dimensions");
  expect_contains(refusal(weights_of({{"weight_ih_l0", {0, 2}}, {"weight_hh_l0", {0, 0}}})),
                  "none of them 0");
  expect_contains(refusal(weights_of({{"weight_ih_l0", {12, 2}}})), "'weight_hh_l0'");
  expect_contains(refusal(weights_of({{"x", {1}}})), "no recurrent layer");
}

constexpr const char* kTagger = R"([
  {"type": "Embedding", "prefix": "emb", "num_embeddings": 5, "embedding_dim": 2, "padding_idx": 0},
  {"type": "LSTM", "prefix": "rnn", "input_size": 2, "hidden_size": 3, "batch_first": true, "dropout": 0.5},
  {"type": "Dropout", "p": 0.1},
  {"type": "Linear", "prefix": "head", "in_features": 3, "out_features": 1},
  {"type": "Sigmoid"}])";

StateDict<double> tagger_weights() {
  return weights_of({{"emb.weight", {5, 2}},
                     {"rnn.weight_ih_l0", {12, 2}},
                     {"rnn.weight_hh_l0", {12, 3}},
                     {"rnn.bias_ih_l0", {12}},
                     {"rnn.bias_hh_l0", {12}},
                     {"head.weight", {1, 3}},
                     {"head.bias", {1}}});
}

TEST(Architecture, ModulesRunInOrder) {
  const Model<double> model = load_saved(tagger_weights(), {}, {{"sluice.architecture", kTagger}});
  EXPECT_FALSE(model.bare_layer());
  EXPECT_TRUE(model.batch_first());
  EXPECT_EQ(model.input_size(), 1u);
  EXPECT_EQ(model.modules().size(), 5u);
  const Tensor<std::int64_t> indices({2, 3}, {1, 4, 0, 2, 2, 3});
  const Tensor<double> y = model.run(indices.view());
  ASSERT_EQ(y.shape(), (Shape{2, 3, 1}));

  const StateDict<double> w = tagger_weights();
  const Tensor<double> e = Embedding<double>({5, 2}, w, "emb.").forward(indices);
  const LSTM<double> lstm({.input_size = 2, .hidden_size = 3, .batch_first = true}, w, "rnn.");
  const Linear<double> head({.in_features = 3, .out_features = 1}, w, "head.");
  expect_same(y, Activation<double>("Sigmoid").forward(head.forward(lstm.forward(e).output)));

  const Tensor<std::int64_t> one_row({3}, {1, 4, 0});
  const Tensor<double> alone = model.run(one_row.view());
  ASSERT_EQ(alone.shape(), (Shape{3, 1}));
  for (std::size_t t = 0; t < 3; ++t) EXPECT_EQ(alone(t, 0), y(0, t, 0));
}

TEST(Architecture, PastItsLengthARowIsZero) {
  const Model<double> model = Model<double>::from_architecture(kTagger, tagger_weights());
  const Tensor<std::int64_t> indices({2, 3}, {1, -1, 99, 2, 2, 3});  // what pads is no index
  const std::int64_t lengths[] = {1, 3};
  const Tensor<double> y = model.run(indices.view(), lengths);
  EXPECT_NE(y(0, 0, 0), 0.0);
  EXPECT_EQ(y(0, 1, 0), 0.0);
  EXPECT_EQ(y(0, 2, 0), 0.0);
  EXPECT_NE(y(1, 2, 0), 0.0);
}

TEST(Architecture, OneValueForASequence) {
  const std::string json = R"([{"type": "LSTM", "input_size": 2, "hidden_size": 3}, {"type": "LastStep"}])";
  const Model<double> model = Model<double>::from_architecture(json, lstm_weights());
  const Tensor<double> x = values({4, 2, 2}, 9);
  const std::int64_t lengths[] = {2, 4};
  const Tensor<double> y = model.run(x.view(), lengths);
  ASSERT_EQ(y.shape(), (Shape{2, 3}));
  const LSTM<double> lstm({.input_size = 2, .hidden_size = 3}, lstm_weights());
  const Tensor<double> all = lstm.forward(x).output;
  for (std::size_t f = 0; f < 3; ++f) {
    EXPECT_EQ(y(0, f), all(1, 0, f));
    EXPECT_EQ(y(1, f), all(3, 1, f));
  }
  EXPECT_EQ(model.run(x.view().select(1, 0)).shape(), (Shape{3}));
}

TEST(Architecture, SequentialNestsWithPyTorchsNames) {
  const auto weights =
      weights_of({{"net.0.weight", {3, 2}}, {"net.0.bias", {3}}, {"net.2.out.weight", {1, 3}}});
  const std::string json = R"([{"type": "Sequential", "prefix": "net", "modules": [
      {"type": "Linear", "in_features": 2, "out_features": 3}, {"type": "Tanh"},
      {"type": "Sequential", "modules": [{"type": "Linear", "prefix": "out", "in_features": 3, "out_features": 1, "bias": false}]}]}])";
  EXPECT_EQ(Model<double>::from_architecture(json, weights).output_size(), 1u);
}

TEST(Architecture, EveryModuleTypeLoads) {
  const auto weights = weights_of({{"c.weight", {4, 2, 3}},
                                   {"c.bias", {4}},
                                   {"n.weight", {4}},
                                   {"n.bias", {4}},
                                   {"g.weight_ih_l0", {9, 4}},
                                   {"g.weight_hh_l0", {9, 3}},
                                   {"r.weight_ih_l0", {2, 3}},
                                   {"r.weight_hh_l0", {2, 2}},
                                   {"k.weight_ih", {6, 2}},
                                   {"k.weight_hh", {6, 2}}});
  const std::string json = R"([
      {"type": "Conv1d", "prefix": "c", "in_channels": 2, "out_channels": 4, "kernel_size": [3], "stride": 1, "padding": 1,
       "dilation": 1, "groups": 1, "bias": true, "padding_mode": "zeros"},
      {"type": "LayerNorm", "prefix": "n", "normalized_shape": [4], "eps": 1e-5, "elementwise_affine": true},
      {"type": "GRU", "prefix": "g", "input_size": 4, "hidden_size": 3, "bias": false, "reset": "before"},
      {"type": "RNN", "prefix": "r", "input_size": 3, "hidden_size": 2, "bias": false, "nonlinearity": "relu"},
      {"type": "GRUCell", "prefix": "k", "input_size": 2, "hidden_size": 2, "bias": false},
      {"type": "Tanh"}, {"type": "ReLU", "inplace": true}, {"type": "SiLU"}, {"type": "LogSigmoid"},
      {"type": "Hardsigmoid"}, {"type": "HardSigmoidONNX"}, {"type": "MeanOverTime"}, {"type": "Softmax", "dim": -1}])";
  const Model<double> model = Model<double>::from_architecture(json, weights);
  EXPECT_EQ(model.modules().size(), 13u);
  EXPECT_EQ(model.run(values({5, 2, 2}, 4).view()).shape(), (Shape{2, 2}));
}

TEST(Architecture, OptionsAreCheckedByName) {
  const StateDict<double> w = lstm_weights();
  const auto lstm = [&](const std::string& options) {
    return refusal_of(R"([{"type": "LSTM", )" + options + "}]", w);
  };
  expect_contains(lstm(R"("input_size": 2, "hidden_size": "64")"),
                  R"(architecture[0] (LSTM): option 'hidden_size' is "64", expected a whole number)");
  expect_contains(lstm(R"("input_size": 2)"), "option 'hidden_size' is missing");
  expect_contains(lstm(R"("input_size": 2, "hidden_size": 3.5)"), "'hidden_size' is 3.5");
  expect_contains(lstm(R"("input_size": 2, "hidden_size": -3)"), "'hidden_size' is -3");
  expect_contains(lstm(R"("input_size": 0, "hidden_size": 3)"), "'input_size' is 0");
  expect_contains(lstm(R"("input_size": 2, "hidden_size": 18446744073709551615)"),
                  "'hidden_size' is 1844674");
  expect_contains(lstm(R"("input_size": 2, "hidden_size": 3, "num_layers": 2000000000)"),
                  "'weight_ih_l1999999999'");
  expect_contains(lstm(R"("input_size": 2, "hidden_size": 3, "bias": 1)"),
                  "'bias' is 1, expected true or false");
  expect_contains(lstm(R"("input_size": 2, "hidden_size": 3, "hidden": 3)"), "unknown option 'hidden'");
  expect_contains(lstm(R"("input_size": 2, "hidden_size": 3, "dropout": "0.5")"), "'dropout' is \"0.5\"");
  expect_contains(lstm(R"("input_size": 2, "hidden_size": 3, "nonlinearity": "relu")"),
                  "unknown option 'nonlinearity'");
  expect_contains(lstm(R"("input_size": 2, "hidden_size": 3, "hidden_size": 4)"),
                  "duplicate key 'hidden_size'");
  expect_contains(lstm(R"("input_size": 2, "hidden_size": 4)"), "architecture[0] (LSTM): tensor 'weight_");
  expect_contains(lstm(R"("input_size": 2, "hidden_size": 3, "prefix": "rnn")"), "'rnn.weight_ih_l0'");
}

TEST(Architecture, WhatIsNoListOfModules) {
  const StateDict<double> w = lstm_weights();
  expect_contains(refusal_of("", w), "architecture: byte 0: not valid JSON");
  expect_contains(refusal_of("{}", w), "architecture is {}, expected a list");
  expect_contains(refusal_of("[]", w), "there is no module");
  expect_contains(refusal_of("[5]", w), "architecture[0] is 5, expected an object");
  expect_contains(refusal_of("[{}]", w), "option 'type' is missing");
  expect_contains(refusal_of(R"([{"type": "Lstm"}])", w),
                  "architecture[0] (Lstm): unknown type, expected one of");
  expect_contains(refusal_of(R"([{"type": "Sigmoid"}])", w), "says how many features");
  expect_contains(refusal_of(std::string(100000, '['), w), "nested deeper");
}

TEST(Architecture, ModulesThatDoNotFitTogether) {
  const auto two = weights_of({{"a.weight", {3, 2}}, {"b.weight", {1, 4}}, {"e.weight", {5, 2}}});
  expect_contains(
      refusal_of(R"([{"type": "Linear", "prefix": "a", "in_features": 2, "out_features": 3, "bias": false},
                                 {"type": "Linear", "prefix": "b", "in_features": 4, "out_features": 1, "bias": false}])",
                 two),
      "architecture[1] (Linear): ");
  expect_contains(
      refusal_of(R"([{"type": "Linear", "prefix": "a", "in_features": 2, "out_features": 3, "bias": false},
                                 {"type": "Embedding", "prefix": "e", "num_embeddings": 5, "embedding_dim": 2}])",
                 two),
      "can only be the first module");
  const auto rnns = weights_of({{"a.weight_ih_l0", {3, 2}},
                                {"a.weight_hh_l0", {3, 3}},
                                {"b.weight_ih_l0", {2, 3}},
                                {"b.weight_hh_l0", {2, 2}}});
  expect_contains(
      refusal_of(
          R"([{"type": "RNN", "prefix": "a", "input_size": 2, "hidden_size": 3, "bias": false, "batch_first": true},
                                 {"type": "RNN", "prefix": "b", "input_size": 3, "hidden_size": 2, "bias": false}])",
          rnns),
      "architecture[1] (RNN): option 'batch_first'");
}

TEST(Model, ItsArchitectureMakesItAgain) {
  LoadOptions options;
  options.prefix = "rnn";
  options.batch_first = true;
  const auto weights = weights_of({{"rnn.weight_ih_l0", {9, 2}}, {"rnn.weight_hh_l0", {9, 3}}});
  const Model<double> model = load_saved(weights, options);
  const Model<double> again = Model<double>::from_architecture(model.architecture(), weights);
  EXPECT_TRUE(again.batch_first());
  EXPECT_EQ(again.architecture(), model.architecture());
  const Tensor<double> x = values({2, 4, 2}, 9);
  expect_same(model.run(x.view()), again.run(x.view()));
  const Model<double> tagger = Model<double>::from_architecture(kTagger, tagger_weights());
  EXPECT_EQ(parse_json(tagger.architecture()).value, parse_json(kTagger).value);
}

TEST(Model, RefusesInputsOfOtherShapes) {
  const Model<double> model = load_saved(lstm_weights());
  expect_contains(message_of<ShapeError>([&] {
                    model.run(values({4, 2, 3}, 1).view());
                  }),
                  "Model::run: x is [4, 2, 3], expected [T, B, 2] or [T, 2]");
  EXPECT_THROW(model.run(values({2}, 1).view()), ShapeError);
  EXPECT_THROW(model.run(TensorView<const double>()), ShapeError);
  const std::int64_t lengths[] = {1, 5};
  EXPECT_THROW(model.run(values({4, 2, 2}, 1).view(), lengths), ShapeError);
  EXPECT_THROW(model.run(Tensor<std::int64_t>({4, 2}).view()), Error);
  const Model<double> tagger = Model<double>::from_architecture(kTagger, tagger_weights());
  EXPECT_THROW(tagger.run(Tensor<std::int64_t>({1, 1}, {5}).view()), Error);
  EXPECT_THROW(tagger.run(Tensor<std::int64_t>({1, 1}, {-1}).view()), Error);
  EXPECT_THROW(tagger.run_recurrent(values({4, 2, 2}, 1).view(), {}), Error);
}

TEST(Model, TakesViewsOfAnyStrides) {
  const Model<double> model = load_saved(lstm_weights());
  const Tensor<double> x = values({4, 2, 2}, 9);
  const Tensor<double> features_first(x.view().transpose(0, 2));
  expect_same(model.run(x.view()), model.run(features_first.view().transpose(0, 2)));
}

TEST(Model, StreamGivesTheBitsOfTheSequence) {
  const Model<double> model = load_saved(lstm_weights());
  const Tensor<double> x = values({4, 2, 2}, 9);
  const Tensor<double> y = model.run(x.view());
  Stream<double> stream = model.stream(2);
  for (std::size_t t = 0; t < 4; ++t) {
    const TensorView<const double> step = stream.step(&x(t, 0, 0));
    for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(step.data()[i], y.data()[t * 6 + i]);
  }
}

TEST(Model, LoadsFromBytesInMemoryThatMayGo) {
  const TempFolder folder;
  save_safetensors(folder / "m", lstm_weights());
  std::string bytes = testing::read_file(folder / "m");
  const auto file = SafetensorsFile::parse(testing::as_bytes(bytes), "the bytes");
  EXPECT_EQ(message_of<FileError>([&] { Model<double>::load(file, {.prefix = "rnn"}); }).find("the bytes: "),
            0u);
  const Model<double> model = Model<double>::load(file);
  std::fill(bytes.begin(), bytes.end(), '\xFF');
  const Tensor<double> x = values({4, 2, 2}, 9);
  expect_same(model.run(x.view()), load_saved(lstm_weights()).run(x.view()));
}

TEST(Model, SaysThatOnnxIsNotRead) {
  expect_contains(message_of<FileError>([] { load("net.onnx"); }), "net.onnx: ONNX files are not read");
}

}  // namespace
}  // namespace sluice
