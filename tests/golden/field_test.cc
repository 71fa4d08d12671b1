// SPDX-License-Identifier: Apache-2.0
// Bugs that other engines had in recurrent layers, each as a test that would have found it. The numbers are
// those of the threads where users reported them.
#include <random>

#include "golden/golden_file.h"
#include "sluice/error.h"
#include "sluice/recurrent.h"

namespace sluice::golden {
namespace {

template <class T>
Tensor<T> random_tensor(const Shape& shape, std::mt19937& generator, double scale = 1) {
  std::uniform_real_distribution<double> uniform(-scale, scale);
  Tensor<T> result(shape);
  for (T& value : result.span()) value = static_cast<T>(uniform(generator));
  return result;
}

/// Parameters of `layers` layers with `gates` gates, one or two directions, by PyTorch's names; float32
/// numbers, so that float and double are given the same ones.
template <class T>
StateDict<T> random_weights(std::size_t gates, std::size_t input, std::size_t hidden, std::size_t layers,
                            bool bidirectional, unsigned seed) {
  std::mt19937 generator(seed);
  const double scale = 1 / std::sqrt(static_cast<double>(hidden));
  StateDict<T> weights;
  const auto add = [&](const std::string& name, const Shape& shape) {
    const Tensor<float> drawn = random_tensor<float>(shape, generator, scale);
    Tensor<T> value(shape);
    std::copy(drawn.span().begin(), drawn.span().end(), value.data());
    weights.set(name, std::move(value));
  };
  for (std::size_t layer = 0; layer < layers; ++layer)
    for (const char* direction : {"", "_reverse"}) {
      if (*direction != 0 && !bidirectional) continue;
      const std::size_t in = layer == 0 ? input : hidden * (bidirectional ? 2 : 1);
      const std::string suffix = "_l" + std::to_string(layer) + direction;
      add("weight_ih" + suffix, {gates * hidden, in});
      add("weight_hh" + suffix, {gates * hidden, hidden});
      add("bias_ih" + suffix, {gates * hidden});
      add("bias_hh" + suffix, {gates * hidden});
    }
  return weights;
}

/// The reverse direction's parameters of layer 0 as those of a forward layer.
template <class T>
StateDict<T> reverse_as_forward(const StateDict<T>& weights) {
  StateDict<T> result;
  for (const std::string name : {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"})
    result.set(name, Tensor<T>(weights.at(name + "_reverse")));
  return result;
}

template <class T>
void expect_same(TensorView<const T> got, TensorView<const T> want, const std::string& what) {
  ASSERT_EQ(got.shape().to_string(), want.shape().to_string()) << what;
  EXPECT_EQ(elements(got), elements(want)) << what;
}

/// The first `length` steps of [T, F], last first.
Tensor<float> reversed(TensorView<const float> x, std::size_t length) {
  Tensor<float> result({length, x.dim(1)});
  for (std::size_t t = 0; t < length; ++t)
    for (std::size_t f = 0; f < x.dim(1); ++f) result(t, f) = x(length - 1 - t, f);
  return result;
}

// onnx-tensorflow 342: the reverse direction starts at each row's own end, not at the end of the padding.
// onnx-tensorflow 409: each direction has its own initial state.
// TensorRT 1649, tensorflow-onnx 213: the second half is turned round again in the output.
TEST(FieldBugs, BothDirectionsAreTwoLayersOneOfThemOnReversedRows) {
  std::mt19937 generator(1);
  const auto weights = random_weights<float>(4, 5, 7, 1, true, 2);
  const LSTM<float> both({.input_size = 5, .hidden_size = 7, .bidirectional = true}, weights);
  const LSTM<float> forward({.input_size = 5, .hidden_size = 7}, weights);
  const LSTM<float> backward({.input_size = 5, .hidden_size = 7}, reverse_as_forward(weights));
  const Tensor<float> x = random_tensor<float>({6, 4, 5}, generator);
  const Tensor<float> h0 = random_tensor<float>({2, 4, 7}, generator);
  const Tensor<float> c0 = random_tensor<float>({2, 4, 7}, generator);
  const std::vector<std::int64_t> lengths = {4, 6, 1, 3};
  RecurrentInput<float> in;
  in.h0 = h0;
  in.c0 = c0;
  in.lengths = lengths;
  const auto got = both.forward(x, in);
  for (std::size_t row = 0; row < 4; ++row) {
    const auto length = static_cast<std::size_t>(lengths[row]);
    const auto x_row = x.view().select(1, row).narrow(0, 0, length);
    const auto state = [&](const Tensor<float>& s, std::size_t d) {
      return s.view().select(1, row).narrow(0, d, 1);
    };
    RecurrentInput<float> in_row;
    in_row.h0 = state(h0, 0);
    in_row.c0 = state(c0, 0);
    const auto ahead = forward.forward(x_row, in_row);
    in_row.h0 = state(h0, 1);
    in_row.c0 = state(c0, 1);
    const auto back = backward.forward(reversed(x_row, length), in_row);
    const auto y = got.output.view().select(1, row).narrow(0, 0, length);
    expect_same<float>(y.narrow(1, 0, 7), ahead.output, "forward half");
    expect_same<float>(y.narrow(1, 7, 7), reversed(back.output, length), "reverse half");
    expect_same<float>(state(got.h_n, 0), ahead.h_n, "h_n forward");
    expect_same<float>(state(got.h_n, 1), back.h_n, "h_n reverse");
    expect_same<float>(state(got.c_n, 1), back.c_n, "c_n reverse");
  }
}

// PyTorch 95118: a packed batch is each row alone, over its length; and padding is never looked at.
TEST(FieldBugs, LengthsGiveEachRowAloneAndPaddingIsNotRead) {
  std::mt19937 generator(3);
  const auto weights = random_weights<float>(3, 4, 9, 3, true, 4);
  const GRU<float> gru({.input_size = 4, .hidden_size = 9, .num_layers = 3, .bidirectional = true}, weights);
  Tensor<float> x = random_tensor<float>({8, 5, 4}, generator);
  const std::vector<std::int64_t> lengths = {3, 8, 1, 0, 5};
  for (std::size_t row = 0; row < 5; ++row)
    for (std::size_t t = static_cast<std::size_t>(lengths[row]); t < 8; ++t)
      for (std::size_t f = 0; f < 4; ++f) x(t, row, f) = std::nanf("");
  RecurrentInput<float> in;
  in.lengths = lengths;
  const auto got = gru.forward(x, in);
  for (std::size_t row = 0; row < 5; ++row) {
    const auto length = static_cast<std::size_t>(lengths[row]);
    const auto y = got.output.view().select(1, row);
    for_each_element(y.narrow(0, length, 8 - length), [](float value) { EXPECT_EQ(value, 0.0f); });
    if (length == 0) continue;
    const auto alone = gru.forward(x.view().select(1, row).narrow(0, 0, length));
    expect_same<float>(y.narrow(0, 0, length), alone.output, "output");
    expect_same<float>(got.h_n.view().select(1, row), alone.h_n, "h_n");
  }
}

// tensorflow 49241, 60192, 36139: a row without any step crashed or gave noise. It keeps its state.
TEST(FieldBugs, RowOfLengthZeroGivesZerosAndKeepsItsState) {
  std::mt19937 generator(5);
  const auto weights = random_weights<double>(4, 3, 5, 2, true, 6);
  const LSTM<double> lstm({.input_size = 3, .hidden_size = 5, .num_layers = 2, .bidirectional = true},
                          weights);
  const auto x = random_tensor<double>({4, 2, 3}, generator);
  const auto h0 = random_tensor<double>({4, 2, 5}, generator);
  const auto c0 = random_tensor<double>({4, 2, 5}, generator);
  const std::vector<std::int64_t> lengths = {0, 0};
  RecurrentInput<double> in;
  in.h0 = h0;
  in.c0 = c0;
  in.lengths = lengths;
  const auto got = lstm.forward(x, in);
  for (const double value : got.output.span()) EXPECT_EQ(value, 0.0);
  expect_same<double>(got.h_n, h0, "h_n");
  expect_same<double>(got.c_n, c0, "c_n");
}

// PyTorch 177834: wrong results or crashes at some batch sizes (bidirectional, 4 layers).
TEST(FieldBugs, EveryBatchSizeGivesTheBitsOfTheLargest) {
  constexpr std::size_t kLargest = 130;
  std::mt19937 generator(7);
  const auto weights = random_weights<float>(4, 6, 19, 4, true, 8);
  const LSTM<float> lstm({.input_size = 6, .hidden_size = 19, .num_layers = 4, .bidirectional = true},
                         weights);
  const auto x = random_tensor<float>({3, kLargest, 6}, generator);
  const auto all = lstm.forward(x);
  for (std::size_t batch = 1; batch < kLargest; ++batch) {
    const auto part = lstm.forward(x.view().narrow(1, kLargest - batch, batch));
    const auto rows = [&](const Tensor<float>& t) { return t.view().narrow(1, kLargest - batch, batch); };
    ASSERT_EQ(elements<float>(part.output), elements<float>(rows(all.output))) << "batch " << batch;
    ASSERT_EQ(elements<float>(part.c_n), elements<float>(rows(all.c_n))) << "batch " << batch;
  }
}

// ONNX Runtime 4628: GRU wrong for large sizes with mixed signs; 10069 and tensorflow 24600: one form of the
// reset gate taken for the other.
TEST(FieldBugs, LargeGruInBothFormsAgreesWithDouble) {
  std::mt19937 generator(9);
  const auto x = random_tensor<float>({20, 3, 300}, generator, 2);
  Tensor<double> x_double(x.shape());
  std::copy(x.span().begin(), x.span().end(), x_double.data());
  Tensor<double> outputs[2];
  for (const GRUReset reset : {GRUReset::kAfter, GRUReset::kBefore}) {
    const GRUOptions options{.input_size = 300, .hidden_size = 701, .reset = reset};
    const GRU<float> single(options, random_weights<float>(3, 300, 701, 1, false, 10));
    const GRU<double> twice(options, random_weights<double>(3, 300, 701, 1, false, 10));
    Tensor<double>& want = outputs[reset == GRUReset::kBefore];
    want = std::move(twice.forward(x_double).output);
    expect_close<float>(single.forward(x).output, want, "large GRU");
  }
  double apart = 0;
  for (std::size_t i = 0; i < outputs[0].size(); ++i)
    apart = std::max(apart, std::abs(outputs[0].data()[i] - outputs[1].data()[i]));
  EXPECT_GT(apart, 0.01) << "the two forms are not the same network";
}

// candle 2351: a second layer of a bidirectional net takes both halves; 2542: the shapes of what comes back.
TEST(FieldBugs, UpperLayersTakeBothHalvesAndShapesAreAsDocumented) {
  const auto weights = random_weights<float>(3, 4, 5, 2, true, 11);
  EXPECT_EQ(weights.at("weight_ih_l1").dim(1), 10u);
  const GRU<float> gru({.input_size = 4, .hidden_size = 5, .num_layers = 2, .bidirectional = true}, weights);
  const auto out = gru.forward(Tensor<float>({7, 3, 4}));
  EXPECT_EQ(out.output.shape(), (Shape{7, 3, 10}));
  EXPECT_EQ(out.h_n.shape(), (Shape{4, 3, 5}));
  EXPECT_TRUE(out.c_n.is_null());
  const auto unbatched = gru.forward(Tensor<float>({7, 4}));
  EXPECT_EQ(unbatched.output.shape(), (Shape{7, 10}));
  EXPECT_EQ(unbatched.h_n.shape(), (Shape{4, 5}));

  StateDict<float> halved;  // as if the upper layer took one half only
  for (const std::string& name : weights.names()) halved.set(name, Tensor<float>(weights.at(name)));
  halved.set("weight_ih_l1", Tensor<float>({15, 5}));
  EXPECT_THROW(GRU<float>(gru.options(), halved), ShapeError);
}

// ncnn's lstm.cpp: a state that holds NaN reached other results through 0 * NaN.
TEST(FieldBugs, NanInOneRowStaysInThatRow) {
  std::mt19937 generator(12);
  const auto weights = random_weights<float>(4, 3, 21, 2, false, 13);
  const LSTM<float> lstm({.input_size = 3, .hidden_size = 21, .num_layers = 2}, weights);
  Tensor<float> x = random_tensor<float>({5, 8, 3}, generator);
  const auto clean = lstm.forward(x);
  x(2, 4, 1) = std::nanf("");
  const auto poisoned = lstm.forward(x);
  for (std::size_t row = 0; row < 8; ++row) {
    const auto y = poisoned.output.view().select(1, row);
    if (row != 4) {
      expect_same<float>(y, clean.output.view().select(1, row), "another row");
      continue;
    }
    expect_same<float>(y.narrow(0, 0, 2), clean.output.view().select(1, row).narrow(0, 0, 2), "before");
    for_each_element(y.narrow(0, 2, 3), [](float value) { EXPECT_TRUE(std::isnan(value)); });
  }
  x(2, 4, 1) = 0.5f;
  const auto after = lstm.forward(x).output;  // nothing is left behind in the layer
  for (const float value : after.span()) EXPECT_FALSE(std::isnan(value));
}

// llama.cpp 22956, OpenVINO 30482: results that change with the number of threads.
TEST(FieldBugs, ThreadsDoNotChangeABit) {
  std::mt19937 generator(14);
  const auto weights = random_weights<float>(3, 64, 96, 2, true, 15);
  const GRU<float> gru({.input_size = 64, .hidden_size = 96, .num_layers = 2, .bidirectional = true},
                       weights);
  for (const std::size_t batch : {1, 5, 32}) {
    const auto x = random_tensor<float>({12, batch, 64}, generator);
    RecurrentInput<float> in;
    in.threads = 1;
    const auto one = gru.forward(x, in);
    for (const int threads : {2, 3, 8, 0}) {
      in.threads = threads;
      const auto more = gru.forward(x, in);
      expect_same<float>(more.output, one.output, "output");
      expect_same<float>(more.h_n, one.h_n, "h_n");
    }
  }
}

}  // namespace
}  // namespace sluice::golden
