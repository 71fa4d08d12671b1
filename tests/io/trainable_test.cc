// SPDX-License-Identifier: Apache-2.0
#include "sluice/trainable.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "sluice/error.h"
#include "sluice/random.h"
#include "sluice/safetensors.h"
#include "support/files.h"

namespace sluice {
namespace {

using testing::expect_contains;
using testing::message_of;
using testing::read_file;
using testing::TempFolder;

// One of each module that has parameters, some of them in a list of their own.
constexpr const char* kAll = R"([
  {"type": "Embedding", "prefix": "emb", "num_embeddings": 300, "embedding_dim": 9},
  {"type": "Conv1d", "prefix": "conv", "in_channels": 9, "out_channels": 16, "kernel_size": 4},
  {"type": "LayerNorm", "prefix": "norm", "normalized_shape": 16},
  {"type": "LSTM", "prefix": "lstm", "input_size": 16, "hidden_size": 25, "bidirectional": true, "proj_size": 4},
  {"type": "Sequential", "prefix": "net", "modules": [
    {"type": "GRU", "input_size": 8, "hidden_size": 36, "num_layers": 2},
    {"type": "Tanh"},
    {"type": "RNN", "input_size": 36, "hidden_size": 49}
  ]},
  {"type": "Linear", "prefix": "head", "in_features": 49, "out_features": 64}
])";

constexpr const char* kSmall = R"([
  {"type": "GRU", "prefix": "rnn", "input_size": 2, "hidden_size": 3},
  {"type": "Linear", "prefix": "head", "in_features": 3, "out_features": 1}
])";

template <class T>
Tensor<T> ramp(const Shape& shape) {
  Tensor<T> tensor(shape);
  for (std::size_t i = 0; i < tensor.size(); ++i) tensor.data()[i] = static_cast<T>(i % 7) / 7 - T{0.5};
  return tensor;
}

template <class T>
void expect_same_values(const Parameters<T>& a, const Parameters<T>& b) {
  ASSERT_EQ(a.count(), b.count());
  for (std::size_t i = 0; i < a.count(); ++i) {
    EXPECT_EQ(a.name(i), b.name(i));
    ASSERT_EQ(a.shape(i), b.shape(i));
  }
  ASSERT_EQ(a.values().size(), b.values().size());
  for (std::size_t i = 0; i < a.values().size(); ++i) ASSERT_EQ(a.values()[i], b.values()[i]) << i;
}

template <class T>
void expect_same(const Tensor<T>& a, const Tensor<T>& b) {
  ASSERT_EQ(a.shape(), b.shape());
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_EQ(a.data()[i], b.data()[i]) << i;
}

template <class T>
class Trainable : public ::testing::Test {};
using ElementTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Trainable, ElementTypes);

TYPED_TEST(Trainable, ASeedSaysTheFirstValues) {
  using T = TypeParam;
  const auto a = TrainableModel<T>::begin(kAll, 7);
  const auto b = TrainableModel<T>::begin(kAll, 7);
  const auto c = TrainableModel<T>::begin(kAll, 8);
  expect_same_values(a.parameters(), b.parameters());
  for (std::size_t i = 0; i < a.parameters().count(); ++i) {
    const std::string& name = a.parameters().name(i);
    if (name.starts_with("norm.")) continue;
    EXPECT_NE(a.parameters().value(i).data()[0], c.parameters().value(i).data()[0]) << name;
  }
}

TYPED_TEST(Trainable, TwoParametersOfAShapeBeginWithOtherValues) {
  const auto trained = TrainableModel<TypeParam>::begin(kAll, 7);
  const auto& all = trained.parameters();
  for (std::size_t i = 0; i < all.count(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      if (all.name(i).starts_with("norm.") || all.name(k).starts_with("norm.")) continue;
      EXPECT_NE(all.value(i).data()[0], all.value(k).data()[0]) << all.name(i) << " and " << all.name(k);
    }
  }
}

// What torch.nn's modules say of themselves: uniform within 1 / sqrt(hidden_size) or 1 / sqrt(fan_in),
// normal for the table, ones and zeros for the norm. Of the largest of n uniform numbers below a bound all
// but one in exp(-n / 5) are above 0.8 of it; parameters here have 4 elements or more, and the seed is fixed.
TYPED_TEST(Trainable, FirstValuesAreInPyTorchsRanges) {
  using T = TypeParam;
  const auto trained = TrainableModel<T>::begin(kAll, 1);
  const std::map<std::string, double> bounds = {
      {"conv.", 1.0 / 6},  // 9 * 4
      {"lstm.", 1.0 / 5}, {"net.0.", 1.0 / 6}, {"net.2.", 1.0 / 7}, {"head.", 1.0 / 7},
  };
  std::size_t seen = 0;
  for (std::size_t i = 0; i < trained.parameters().count(); ++i) {
    const std::string& name = trained.parameters().name(i);
    const TensorView<const T> view = trained.parameters().value(i);
    const std::size_t n = view.size();
    double largest = 0, sum = 0, squares = 0;
    for (std::size_t k = 0; k < n; ++k) {
      const auto value = static_cast<double>(view.data()[k]);
      largest = std::max(largest, std::abs(value));
      sum += value;
      squares += value * value;
    }
    for (const auto& [prefix, bound] : bounds) {
      if (!name.starts_with(prefix)) continue;
      EXPECT_LE(largest, bound * (1 + 1e-7)) << name;  // float rounds the bound, too
      EXPECT_GT(largest, 0.8 * bound) << name;
      // The mean of n uniform numbers has a deviation of bound / sqrt(3 n).
      EXPECT_LT(std::abs(sum / static_cast<double>(n)), 4 * bound / std::sqrt(3.0 * static_cast<double>(n)))
          << name;
      ++seen;
    }
    if (name == "emb.weight") {
      EXPECT_NEAR(squares / static_cast<double>(n), 1.0, 0.1);  // deviation of the variance: sqrt(2 / 2700)
      EXPECT_GT(largest, 2.5);
      ++seen;
    }
    if (name == "norm.weight" || name == "norm.bias") {
      for (std::size_t k = 0; k < n; ++k) EXPECT_EQ(view.data()[k], name == "norm.weight" ? T{1} : T{0});
      ++seen;
    }
  }
  EXPECT_EQ(seen, trained.parameters().count());
  EXPECT_EQ(seen, 1u + 2 + 2 + 10 + 8 + 4 + 2);
}

TYPED_TEST(Trainable, TheModelRunsWithTheValuesThatItBeginsWith) {
  using T = TypeParam;
  const auto trained = TrainableModel<T>::begin(kSmall, 3);
  const Tensor<T> x = ramp<T>({4, 2, 2});
  const auto other = Model<T>::from_architecture(kSmall, trained.parameters().state_dict());
  const Tensor<T> y = trained.model().run(x.view());
  expect_same(y, other.run(x.view()));
  EXPECT_NE(y(0, 0, 0), T{0});
}

TYPED_TEST(Trainable, UpdateTakesTheNewValues) {
  using T = TypeParam;
  auto trained = TrainableModel<T>::begin(kSmall, 3);
  const Tensor<T> x = ramp<T>({4, 2, 2});
  const Tensor<T> before = trained.model().run(x.view());
  for (T& value : trained.parameters().values()) value *= T{2};
  expect_same(trained.model().run(x.view()), before);  // not yet
  trained.update();
  const Tensor<T> after = trained.model().run(x.view());
  expect_same(after, Model<T>::from_architecture(kSmall, trained.parameters().state_dict()).run(x.view()));
  EXPECT_NE(after(3, 1, 0), before(3, 1, 0));
}

TYPED_TEST(Trainable, AModelIsSavedWithItsArchitectureAndLoadedAgain) {
  using T = TypeParam;
  const TempFolder folder;
  const auto trained = TrainableModel<T>::begin(kAll, 9);
  trained.save(folder / "m");
  EXPECT_EQ(SafetensorsFile::open(folder / "m").metadata().count("sluice.architecture"), 1u);
  const auto again = TrainableModel<T>::load(folder / "m");
  expect_same_values(trained.parameters(), again.parameters());
  EXPECT_FALSE(again.model().bare_layer().has_value());
  again.save(folder / "n");
  EXPECT_TRUE(read_file(folder / "m") == read_file(folder / "n"));
  again.save(folder / "m");  // over the file that it came from
  EXPECT_TRUE(read_file(folder / "m") == read_file(folder / "n"));
}

TYPED_TEST(Trainable, ABareLayerIsSavedAsOne) {
  using T = TypeParam;
  const TempFolder folder;
  StateDict<T> weights;
  weights.set("enc.weight_ih_l0", ramp<T>({12, 2}));
  weights.set("enc.weight_hh_l0", ramp<T>({12, 3}));
  weights.set("enc.bias_ih_l0", ramp<T>({12}));
  weights.set("enc.bias_hh_l0", ramp<T>({12}));
  save_safetensors(folder / "layer", weights);
  auto trained = TrainableModel<T>::load(folder / "layer", {.prefix = "enc."});
  trained.save(folder / "same");
  EXPECT_TRUE(read_file(folder / "layer") == read_file(folder / "same"));
  trained.parameters().value("enc.bias_hh_l0")(4) = T{3};
  trained.save(folder / "other");
  const SafetensorsFile file = SafetensorsFile::open(folder / "other");
  EXPECT_TRUE(file.metadata().empty());
  EXPECT_EQ(file.template state_dict<T>().at("enc.bias_hh_l0")(4), T{3});
  EXPECT_EQ(TrainableModel<T>::load(folder / "other", {.prefix = "enc."}).parameters().count(), 4u);
}

// A cell's parameters have its own names, from the first values to the file, and train as a layer's.
TYPED_TEST(Trainable, CellsTrainUnderTheirNames) {
  using T = TypeParam;
  const TempFolder folder;
  for (const std::string type : {"LSTM", "GRU", "RNN"}) {
    SCOPED_TRACE(type);
    const auto architecture = [&](const std::string& name) {
      return R"([{"type": ")" + name + R"(", "prefix": "rnn", "input_size": 2, "hidden_size": 9},
                 {"type": "Linear", "prefix": "head", "in_features": 9, "out_features": 1}])";
    };
    auto cell = TrainableModel<T>::begin(architecture(type + "Cell"), 5);
    auto layer = TrainableModel<T>::begin(architecture(type), 5);
    ASSERT_EQ(cell.parameters().count(), 6u);
    EXPECT_EQ(cell.parameters().name(1), "rnn.weight_hh");
    EXPECT_EQ(layer.parameters().name(1), "rnn.weight_hh_l0");
    const auto expect_equal_spans = [](std::span<const T> a, std::span<const T> b) {
      ASSERT_EQ(a.size(), b.size());
      for (std::size_t i = 0; i < a.size(); ++i) ASSERT_EQ(a[i], b[i]) << i;
    };
    expect_equal_spans(cell.parameters().values(), layer.parameters().values());
    EXPECT_LE(std::abs(cell.parameters().value(0).data()[0]), T{1} / 3);
    EXPECT_NE(cell.parameters().value(0).data()[0], T{0});
    const Tensor<T> x = ramp<T>({4, 2, 2});
    for (int step = 0; step < 2; ++step) {
      for (TrainableModel<T>* trained : {&cell, &layer}) {
        Tape tape;
        const auto out = trained->record({x.view()}, tape);
        trained->parameters().zero_grad();
        trained->backward(out.y, tape);
        const std::span<const T> grads = trained->parameters().grads();
        for (std::size_t i = 0; i < grads.size(); ++i) trained->parameters().values()[i] -= grads[i] / 8;
        trained->update();
      }
      EXPECT_NE(cell.parameters().grad("rnn.weight_hh").data()[0], T{0});
      expect_equal_spans(cell.parameters().grads(), layer.parameters().grads());
    }
    cell.save(folder / "cell");
    expect_same_values(TrainableModel<T>::load(folder / "cell").parameters(), cell.parameters());
    expect_same(Model<T>::load(folder / "cell").run(x.view()), layer.model().run(x.view()));
  }
}

TYPED_TEST(Trainable, ABareCellIsSavedAsOne) {
  using T = TypeParam;
  const TempFolder folder;
  StateDict<T> weights;
  weights.set("weight_ih", ramp<T>({9, 2}));
  weights.set("weight_hh", ramp<T>({9, 3}));
  save_safetensors(folder / "cell", weights);
  TrainableModel<T>::load(folder / "cell").save(folder / "same");
  EXPECT_TRUE(read_file(folder / "cell") == read_file(folder / "same"));
}

TEST(TrainableModelFile, OfAnotherTypeIsConverted) {
  const TempFolder folder;
  const auto wide = TrainableModel<double>::begin(kSmall, 4);
  wide.save(folder / "wide");
  const auto narrow = TrainableModel<float>::load(folder / "wide");
  for (std::size_t i = 0; i < wide.parameters().count(); ++i) {
    EXPECT_EQ(narrow.parameters().value(i).data()[0],
              static_cast<float>(wide.parameters().value(i).data()[0]));
  }
  // A float model begins with a double one's numbers, rounded.
  expect_same_values(narrow.parameters(), TrainableModel<float>::begin(kSmall, 4).parameters());
}

std::string refusal(const std::string& architecture) {
  return message_of<Error>([&] { TrainableModel<float>::begin(architecture, 0); });
}

// Begun, saved and loaded, a model drops out as its architecture says.
TEST(TrainableModelDropout, IsKeptInTheFile) {
  const TempFolder folder;
  const std::string architecture = R"([
    {"type": "LSTM", "input_size": 2, "hidden_size": 30, "num_layers": 3, "dropout": 0.25,
     "variational_dropout": true, "zoneout_h": 0.05, "zoneout_c": 0.5},
    {"type": "Dropout", "p": 0.1, "variational": true}, {"type": "Dropout"}])";
  const auto begun = TrainableModel<float>::begin(architecture, 3);
  begun.save(folder / "m");
  const auto loaded = TrainableModel<float>::load(folder / "m");
  ASSERT_EQ(loaded.model().modules().size(), 3u);
  const auto& lstm = dynamic_cast<const LSTM<float>&>(loaded.model().modules()[0]);
  EXPECT_EQ(lstm.options().dropout, 0.25);
  EXPECT_TRUE(lstm.options().variational_dropout);
  EXPECT_EQ(lstm.options().zoneout_h, 0.05);
  EXPECT_EQ(lstm.options().zoneout_c, 0.5);
  const auto& first = dynamic_cast<const Dropout<float>&>(loaded.model().modules()[1]);
  EXPECT_EQ(first.options().p, 0.1);
  EXPECT_TRUE(first.options().variational);
  const auto& second = dynamic_cast<const Dropout<float>&>(loaded.model().modules()[2]);
  EXPECT_EQ(second.options().p, 0.5);
  EXPECT_FALSE(second.options().variational);
  const Tensor<float> x = ramp<float>({4, 2, 2});
  const auto output = [&](const TrainableModel<float>& trained, std::uint64_t next) {
    RandomSource random{.seed = 1, .next = next};
    Tape tape;
    const Tensor<float> y = trained.record({x.view()}, tape, {.random = &random}).y;
    EXPECT_EQ(random.next, next + 10);  // two between the layers, two for each layer, and two modules
    return std::vector<float>(y.span().begin(), y.span().end());
  };
  EXPECT_EQ(output(begun, 0), output(loaded, 0));
  EXPECT_NE(output(begun, 0), output(loaded, 4));
}

TEST(TrainableModelDropout, WithoutASourceIsRefusedByItsPlace) {
  const auto trained = TrainableModel<float>::begin(
      R"([{"type": "Linear", "in_features": 2, "out_features": 2}, {"type": "Dropout"}])", 0);
  const Tensor<float> x = ramp<float>({4, 2, 2});
  Tape tape;
  expect_contains(
      message_of<Error>([&] { trained.record({x.view()}, tape); }),
      "module 1 (Dropout): Dropout::record: it drops out or zones out, but RecordOptions::random is null");
}

TEST(TrainableModelRefuses, WhatIsNoArchitecture) {
  expect_contains(refusal("[{"), "byte");
  expect_contains(refusal(R"([{"type": "Transformer"}])"), "Transformer");
  expect_contains(refusal(R"([{"type": "Linear", "in_features": 2}])"), "out_features");
}

TEST(TrainableModelSave, NeedsAPlaceToWrite) {
  const auto trained = TrainableModel<float>::begin(kSmall, 0);
  expect_contains(message_of<FileError>([&] { trained.save("/no/such/folder/model"); }), "/no/such/folder");
}

}  // namespace
}  // namespace sluice
