// SPDX-License-Identifier: Apache-2.0
#include "sluice/cells.h"

#include <gtest/gtest.h>

#include "sluice/recurrent.h"
#include "support/recurrent_cases.h"

namespace sluice {
namespace {

using test::message_of;

// Weights by the names of layers and of cells.
template <class T>
struct CellAndLayer {
  StateDict<T> layer;
  StateDict<T> cell;

  CellAndLayer(CellKind kind, std::size_t input_size, std::size_t hidden_size, bool bias = true)
      : layer(test::random_weights<T>(test::options_of(kind, input_size, hidden_size, 1, false, 0, bias))) {
    for (const std::string& name : layer.names()) {
      cell.set(name.substr(0, name.size() - 3), Tensor<T>(layer.at(name)));
    }
  }
};

template <class T>
class Cells : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Cells, Types);

TYPED_TEST(Cells, LstmCellHasTheBitsOfTheLayer) {
  using T = TypeParam;
  for (const bool bias : {false, true}) {
    const CellAndLayer<T> weights(CellKind::kLstm, 5, 19, bias);
    const LSTMCell<T> cell({.input_size = 5, .hidden_size = 19, .bias = bias}, weights.cell);
    const LSTM<T> lstm({.input_size = 5, .hidden_size = 19, .bias = bias}, weights.layer);
    for (const std::size_t batch : {0, 1, 7, 50}) {
      const Tensor<T> x = random_tensor<T>({4, batch, 5}, -1, 1, batch);
      const auto want = lstm.forward(x);
      LSTMState<T> state = cell.forward(x.view().select(0, 0));
      for (std::size_t t = 1; t < 4; ++t) state = cell.forward(x.view().select(0, t), state.h, state.c);
      expect_same_bits<T>(state.h.view(), want.h_n.view().select(0, 0));
      expect_same_bits<T>(state.c.view(), want.c_n.view().select(0, 0));
    }
  }
}

TYPED_TEST(Cells, LstmStepIsForwardWithoutMemory) {
  using T = TypeParam;
  const CellAndLayer<T> weights(CellKind::kLstm, 5, 19);
  const LSTMCell<T> cell({.input_size = 5, .hidden_size = 19}, weights.cell);
  // Past what one chunk of rows takes.
  for (const std::size_t batch : {1, 47, 48, 49, 100}) {
    const Tensor<T> x = random_tensor<T>({batch, 5}, -1, 1, 1);
    const Tensor<T> h = random_tensor<T>({batch, 19}, -1, 1, 2);
    const Tensor<T> c = random_tensor<T>({batch, 19}, -1, 1, 3);
    const LSTMState<T> want = cell.forward(x, h, c);
    Tensor<T> h_out({batch, 19});
    Tensor<T> c_in_place = c;
    const auto heap_calls = test::heap_calls_during(
        [&] { cell.step(batch, x.data(), h.data(), c_in_place.data(), h_out.data(), c_in_place.data()); });
    EXPECT_EQ(heap_calls, 0u);
    expect_same_bits<T>(h_out.view(), want.h.view());
    expect_same_bits<T>(c_in_place.view(), want.c.view());
  }
}

TYPED_TEST(Cells, GruCellHasTheBitsOfTheLayerInBothForms) {
  using T = TypeParam;
  const CellAndLayer<T> weights(CellKind::kGru, 5, 19);
  for (const GRUReset reset : {GRUReset::kAfter, GRUReset::kBefore}) {
    const GRUCell<T> cell({.input_size = 5, .hidden_size = 19}, weights.cell, "", reset);
    const GRU<T> gru({.input_size = 5, .hidden_size = 19, .reset = reset}, weights.layer);
    const Tensor<T> x = random_tensor<T>({4, 7, 5}, -1, 1, 1);
    Tensor<T> h = cell.forward(x.view().select(0, 0));
    for (std::size_t t = 1; t < 4; ++t) h = cell.forward(x.view().select(0, t), h);
    expect_same_bits<T>(h.view(), gru.forward(x).h_n.view().select(0, 0));
  }
}

TYPED_TEST(Cells, RnnCellHasTheBitsOfTheLayer) {
  using T = TypeParam;
  const CellAndLayer<T> weights(CellKind::kRnnTanh, 5, 19);
  for (const Nonlinearity nonlinearity : {Nonlinearity::kTanh, Nonlinearity::kRelu}) {
    const RNNCell<T> cell({.input_size = 5, .hidden_size = 19}, weights.cell, "", nonlinearity);
    const RNN<T> rnn({.input_size = 5, .hidden_size = 19, .nonlinearity = nonlinearity}, weights.layer);
    const Tensor<T> x = random_tensor<T>({4, 7, 5}, -1, 1, 1);
    Tensor<T> h = cell.forward(x.view().select(0, 0));
    for (std::size_t t = 1; t < 4; ++t) h = cell.forward(x.view().select(0, t), h);
    expect_same_bits<T>(h.view(), rnn.forward(x).h_n.view().select(0, 0));
  }
}

// Chunks of rows, more than one; where the reset is before, of few rows as well.
template <class T, class Cell>
void expect_step_is_forward(const Cell& cell, std::size_t hidden_size) {
  for (const std::size_t batch : {1, 3, 47, 48, 49, 100}) {
    const Tensor<T> x = random_tensor<T>({batch, 5}, -1, 1, 1);
    const Tensor<T> h = random_tensor<T>({batch, hidden_size}, -1, 1, 2);
    const Tensor<T> want = cell.forward(x, h);
    Tensor<T> h_out({batch, hidden_size});
    EXPECT_EQ(test::heap_calls_during([&] { cell.step(batch, x.data(), h.data(), h_out.data()); }), 0u);
    expect_same_bits<T>(h_out.view(), want.view());
  }
}

TYPED_TEST(Cells, GruStepIsForwardWithoutMemoryInBothForms) {
  using T = TypeParam;
  for (const std::size_t hidden_size : {19, 260}) {
    const CellAndLayer<T> weights(CellKind::kGru, 5, hidden_size);
    for (const GRUReset reset : {GRUReset::kAfter, GRUReset::kBefore}) {
      const GRUCell<T> cell({.input_size = 5, .hidden_size = hidden_size}, weights.cell, "", reset);
      expect_step_is_forward<T>(cell, hidden_size);
      EXPECT_EQ(cell.flops_per_step(), 2.0 * 3 * hidden_size * (5 + hidden_size));
    }
  }
}

TYPED_TEST(Cells, RnnStepIsForwardWithoutMemory) {
  using T = TypeParam;
  const CellAndLayer<T> weights(CellKind::kRnnTanh, 5, 19);
  for (const Nonlinearity nonlinearity : {Nonlinearity::kTanh, Nonlinearity::kRelu}) {
    const RNNCell<T> cell({.input_size = 5, .hidden_size = 19}, weights.cell, "", nonlinearity);
    expect_step_is_forward<T>(cell, 19);
    EXPECT_EQ(cell.flops_per_step(), 2.0 * 19 * (5 + 19));
  }
}

// The largest h of which a row fits where steps have room without memory, and the next.
TEST(Cells, GruStepThatResetsBeforeTakesMemoryForLargeStatesOnly) {
  for (const std::size_t hidden_size : {2048, 2049}) {
    StateDict<double> weights;
    weights.set("weight_ih", random_tensor<double>({3 * hidden_size, 1}, -1, 1, 1));
    weights.set("weight_hh", random_tensor<double>({3 * hidden_size, hidden_size}, -0.01, 0.01, 2));
    const GRUCell<double> cell({.input_size = 1, .hidden_size = hidden_size, .bias = false}, weights, "",
                               GRUReset::kBefore);
    const Tensor<double> x = random_tensor<double>({2, 1}, -1, 1, 3);
    const Tensor<double> h = random_tensor<double>({2, hidden_size}, -1, 1, 4);
    Tensor<double> h_out({2, hidden_size});
    const std::size_t calls =
        test::heap_calls_during([&] { cell.step(2, x.data(), h.data(), h_out.data()); });
    if (test::can_count_allocations()) {
      EXPECT_EQ(calls > 0, hidden_size > 2048);
    }
    expect_same_bits<double>(h_out.view(), cell.forward(x, h).view());
  }
}

TYPED_TEST(Cells, OneRowNeedsNoBatch) {
  using T = TypeParam;
  const CellAndLayer<T> weights(CellKind::kLstm, 5, 19);
  const LSTMCell<T> cell({.input_size = 5, .hidden_size = 19}, weights.cell);
  const Tensor<T> x = random_tensor<T>({1, 5}, -1, 1, 1), h = random_tensor<T>({1, 19}, -1, 1, 2),
                  c = random_tensor<T>({1, 19}, -1, 1, 3);
  const LSTMState<T> batched = cell.forward(x, h, c);
  const LSTMState<T> alone =
      cell.forward(x.view().select(0, 0), h.view().select(0, 0), c.view().select(0, 0));
  expect_same_bits<T>(alone.h.view(), batched.h.view().select(0, 0));
  expect_same_bits<T>(alone.c.view(), batched.c.view().select(0, 0));
  EXPECT_EQ(cell.flops_per_step(), 2.0 * 4 * 19 * (5 + 19));
}

TEST(CellsErrors, SayWhatIsWrong) {
  const CellAndLayer<float> weights(CellKind::kLstm, 5, 19);
  const LSTMCell<float> cell({.input_size = 5, .hidden_size = 19}, weights.cell);
  const Tensor<float> x({3, 5}), h({3, 19}), wrong({2, 19});
  EXPECT_EQ(message_of<ShapeError>([&] {
              (void)cell.forward(Tensor<float>({3, 6}));
            }),
            "LSTMCell::forward: x is [3, 6], expected [B, 5] or [5]");
  EXPECT_EQ(message_of<ShapeError>([&] { (void)cell.forward({}); }),
            "LSTMCell::forward: x is [], expected [B, 5] or [5]");
  EXPECT_EQ(message_of<ShapeError>([&] { (void)cell.forward(x, wrong); }),
            "LSTMCell::forward: h is [2, 19], expected [3, 19]");
  EXPECT_EQ(message_of<ShapeError>([&] { (void)cell.forward(x, h, wrong); }),
            "LSTMCell::forward: c is [2, 19], expected [3, 19]");
  EXPECT_EQ(message_of<Error>([&] { LSTMCell<float>({.input_size = 5, .hidden_size = 0}, weights.cell); }),
            "LSTMCell: hidden_size is 0, expected at least 1");
  EXPECT_EQ(
      message_of<ShapeError>([&] { LSTMCell<float>({.input_size = 4, .hidden_size = 19}, weights.cell); }),
      "tensor 'weight_ih' is [76, 5], expected [76, 4]");
  EXPECT_EQ(cell.parameters()[3].name, "bias_hh");
}

}  // namespace
}  // namespace sluice
