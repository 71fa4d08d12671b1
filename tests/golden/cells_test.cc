// SPDX-License-Identifier: Apache-2.0
// The cells and the gate kernels against PyTorch in float64.
#include "sluice/cells.h"

#include "golden/golden_file.h"
#include "sluice/gates.h"

namespace sluice::golden {
namespace {

template <class T>
class CellGolden : public ::testing::Test {
 public:
  static void SetUpTestSuite() { worst_difference<T> = 0; }
  static void TearDownTestSuite() { print_worst_difference<T>(); }
};
TYPED_TEST_SUITE(CellGolden, ElementTypes);

CellOptions cell_options(const CaseOptions& options) {
  return {.input_size = options.size("input_size"),
          .hidden_size = options.size("hidden_size"),
          .bias = options.flag("bias")};
}

TYPED_TEST(CellGolden, LstmCellMatchesPyTorch) {
  using T = TypeParam;
  const GoldenFile<T> file("cells");
  for (const auto& [name, options] : file.cases()) {
    if (options.text("kind") != "lstm") continue;
    const LSTMCell<T> cell(cell_options(options), file.weights(), name + ".");
    const auto x = file.in(name + ".x");
    const auto h = file.in(name + ".h");
    const auto c = file.in(name + ".c");
    const LSTMState<T> plain = cell.forward(x);
    expect_close<T>(plain.h, file.want(name + ".plain.h"), name + ".plain.h");
    expect_close<T>(plain.c, file.want(name + ".plain.c"), name + ".plain.c");
    const LSTMState<T> state = cell.forward(x, h, c);
    expect_close<T>(state.h, file.want(name + ".state.h"), name + ".state.h");
    expect_close<T>(state.c, file.want(name + ".state.c"), name + ".state.c");
    const LSTMState<T> alone = cell.forward(x.select(0, 1), h.select(0, 1), c.select(0, 1));
    expect_close<T>(alone.h, file.want(name + ".state.h").select(0, 1), name + " unbatched h");
    expect_close<T>(alone.c, file.want(name + ".state.c").select(0, 1), name + " unbatched c");

    Tensor<T> c_in_place(c);
    Tensor<T> h_out(h.shape());
    cell.step(x.dim(0), Tensor<T>(x).data(), Tensor<T>(h).data(), c_in_place.data(), h_out.data(),
              c_in_place.data());
    expect_close<T>(h_out, file.want(name + ".state.h"), name + " step h");
    expect_close<T>(c_in_place, file.want(name + ".state.c"), name + " step c");
  }
}

template <class T, class Make>
void expect_cell(const std::string& kind, Make make) {
  const GoldenFile<T> file("cells");
  std::size_t cases = 0;
  for (const auto& [name, options] : file.cases()) {
    if (options.text("kind") != kind) continue;
    const auto cell = make(cell_options(options), file.weights(), name + ".");
    const auto x = file.in(name + ".x");
    const auto h = file.in(name + ".h");
    expect_close<T>(cell.forward(x), file.want(name + ".plain.h"), name + ".plain.h");
    expect_close<T>(cell.forward(x, h), file.want(name + ".state.h"), name + ".state.h");
    expect_close<T>(cell.forward(x.select(0, 2), h.select(0, 2)), file.want(name + ".state.h").select(0, 2),
                    name + " unbatched h");
    ++cases;
  }
  EXPECT_EQ(cases, 2u) << kind;  // with and without bias
}

template <class T>
auto gru_maker(GRUReset reset) {
  return [reset](const CellOptions& options, const StateDict<T>& weights, const std::string& prefix) {
    return GRUCell<T>(options, weights, prefix, reset);
  };
}

template <class T>
auto rnn_maker(Nonlinearity nonlinearity) {
  return [nonlinearity](const CellOptions& options, const StateDict<T>& weights, const std::string& prefix) {
    return RNNCell<T>(options, weights, prefix, nonlinearity);
  };
}

TYPED_TEST(CellGolden, GruCellMatchesPyTorch) {
  expect_cell<TypeParam>("gru", gru_maker<TypeParam>(GRUReset::kAfter));
}

TYPED_TEST(CellGolden, GruCellThatResetsBeforeTheProductMatchesItsEquations) {
  expect_cell<TypeParam>("gru_before", gru_maker<TypeParam>(GRUReset::kBefore));
}

TYPED_TEST(CellGolden, RnnCellMatchesPyTorch) {
  expect_cell<TypeParam>("rnn_tanh", rnn_maker<TypeParam>(Nonlinearity::kTanh));
  expect_cell<TypeParam>("rnn_relu", rnn_maker<TypeParam>(Nonlinearity::kRelu));
}

TYPED_TEST(CellGolden, LstmGatesMatchTheirEquations) {
  using T = TypeParam;
  const GoldenFile<T> file("gates");
  const auto pre = file.in("lstm.pre");
  const auto c = file.in("lstm.c");
  Tensor<T> h_out(c.shape());
  Tensor<T> c_out(c.shape());
  Tensor<T> gates(pre.shape());
  lstm_gates(pre, c, h_out, c_out, gates);
  expect_close<T>(h_out, file.want("lstm.h_out"), "h_out");
  expect_close<T>(c_out, file.want("lstm.c_out"), "c_out");
  expect_close<T>(gates, file.want("lstm.gates"), "gates");

  // In place, as the header allows: c_out is c, the gates take the place of the pre-activations.
  Tensor<T> pre_and_gates(pre);
  Tensor<T> c_in_place(c);
  lstm_gates(pre_and_gates, c_in_place, h_out, c_in_place, pre_and_gates);
  expect_close<T>(h_out, file.want("lstm.h_out"), "h_out in place");
  expect_close<T>(c_in_place, file.want("lstm.c_out"), "c_out in place");
  expect_close<T>(pre_and_gates, file.want("lstm.gates"), "gates in place");
}

TYPED_TEST(CellGolden, GruGatesMatchTheirEquations) {
  using T = TypeParam;
  const GoldenFile<T> file("gates");
  const auto h = file.in("gru.h");
  Tensor<T> h_out(h.shape());
  Tensor<T> gates(file.in("gru.pre_x").shape());
  gru_gates(file.in("gru.pre_x"), file.in("gru.pre_h"), h, h_out, gates);
  expect_close<T>(h_out, file.want("gru.h_out"), "h_out");
  expect_close<T>(gates, file.want("gru.gates"), "gates");
  Tensor<T> h_in_place(h);
  gru_gates(file.in("gru.pre_x"), file.in("gru.pre_h"), h_in_place, h_in_place);
  expect_close<T>(h_in_place, file.want("gru.h_out"), "h_out in place");
}

TYPED_TEST(CellGolden, HighwayGateMatchesItsEquation) {
  using T = TypeParam;
  const GoldenFile<T> file("gates");
  Tensor<T> y(file.in("highway.x").shape());
  highway_gate(file.in("highway.pre"), file.in("highway.candidate"), file.in("highway.x"), y);
  expect_close<T>(y, file.want("highway.y"), "y");
  Tensor<T> x_in_place(file.in("highway.x"));
  highway_gate(file.in("highway.pre"), file.in("highway.candidate"), x_in_place, x_in_place);
  expect_close<T>(x_in_place, file.want("highway.y"), "y over x");
}

}  // namespace
}  // namespace sluice::golden
