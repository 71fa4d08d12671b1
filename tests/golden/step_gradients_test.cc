// SPDX-License-Identifier: Apache-2.0
// Gradients of loops of cells, of the gate kernels and of the sigmoid against PyTorch's autograd in float64.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "golden/golden_file.h"
#include "sluice/cells.h"
#include "sluice/gates.h"
#include "sluice/parameters.h"
#include "sluice/sigmoid.h"

namespace sluice::golden {
namespace {

template <class T>
class StepGradientsGolden : public ::testing::Test {
 public:
  static void SetUpTestSuite() { worst_difference<T> = 0; }
  static void TearDownTestSuite() { print_worst_difference<T>(); }

 protected:
  StepGradientsGolden() : file("step_gradients") {}

  void expect(const Tensor<T>& got, const std::string& name, const std::string& what) const {
    expect_gradient<T>(got.view(), file.want(name + ".of." + what), name + "." + what);
  }

  // A loop of `cell` over x, and back. `record` and `backward` are its calls, with what it takes and gives.
  template <class Cell, class Record, class Backward>
  void expect_loop(const std::string& name, const Cell& cell, const Record& record,
                   const Backward& backward) const {
    Parameters<T> parameters(cell.parameters());
    parameters.load(file.weights());
    const TensorView<const T> x = file.in(name + ".x"), grad_h = file.in(name + ".grad.h");
    Tape tape;
    LSTMState<T> state{Tensor<T>(file.in(name + ".h")), {}};
    const bool has_c = file.contains(name + ".c");
    if (has_c) state.c = Tensor<T>(file.in(name + ".c"));
    const std::size_t steps = x.dim(0);
    for (std::size_t t = 0; t < steps; ++t) state = record(x.select(0, t), state, tape);
    EXPECT_EQ(tape.size(), steps);
    CellGradients<T> grads;
    if (has_c) grads.c = Tensor<T>(file.in(name + ".grad.c"));
    Tensor<T> of_x(x.shape());
    for (std::size_t t = steps; t-- > 0;) {
      Tensor<T> of_h(grad_h.select(0, t));
      for (std::size_t i = 0; i < grads.h.size(); ++i) of_h.data()[i] += grads.h.data()[i];
      grads = backward(of_h, grads.c, tape, parameters);
      std::copy_n(grads.x.data(), grads.x.size(), &of_x(t, 0, 0));
    }
    EXPECT_EQ(tape.size(), 0u);
    for (std::size_t i = 0; i < parameters.count(); ++i) {
      const std::string& full = parameters.name(i);
      expect(Tensor<T>(TensorView<const T>(parameters.grad(i))), name, full.substr(name.size() + 1));
    }
    expect(of_x, name, "x");
    expect(grads.h, name, "h");
    if (has_c) expect(grads.c, name, "c");
  }

  GoldenFile<T> file;
};
TYPED_TEST_SUITE(StepGradientsGolden, ElementTypes);

TYPED_TEST(StepGradientsGolden, CellsInALoopMatchAutograd) {
  using T = TypeParam;
  const CellOptions options{.input_size = 3, .hidden_size = 5};
  const LSTMCell<T> lstm(options, this->file.weights(), "lstm.");
  this->expect_loop(
      "lstm", lstm,
      [&](TensorView<const T> x, const LSTMState<T>& s, Tape& tape) {
        return lstm.record(x, s.h, s.c, tape);
      },
      [&](const Tensor<T>& h, const Tensor<T>& c, Tape& tape, Parameters<T>& parameters) {
        return lstm.backward(h, c, tape, parameters);
      });
  const auto expect_without_c = [&](const std::string& name, const auto& cell) {
    this->expect_loop(
        name, cell,
        [&](TensorView<const T> x, const LSTMState<T>& s, Tape& tape) {
          return LSTMState<T>{cell.record(x, s.h, tape), {}};
        },
        [&](const Tensor<T>& h, const Tensor<T>&, Tape& tape, Parameters<T>& parameters) {
          return cell.backward(h, tape, parameters);
        });
  };
  expect_without_c("gru", GRUCell<T>(options, this->file.weights(), "gru."));
  expect_without_c("rnn_tanh", RNNCell<T>(options, this->file.weights(), "rnn_tanh."));
  expect_without_c("rnn_relu", RNNCell<T>(options, this->file.weights(), "rnn_relu.", Nonlinearity::kRelu));
}

TYPED_TEST(StepGradientsGolden, LstmGatesMatchAutograd) {
  using T = TypeParam;
  const auto in = [&](const std::string& what) { return this->file.in("lstm_gates." + what); };
  Tensor<T> gates(in("pre").shape()), h_out(in("c").shape()), c_out(in("c").shape());
  lstm_gates(in("pre"), in("c"), h_out, c_out, gates);
  Tensor<T> grad_pre(gates.shape()), grad_c(c_out.shape());
  lstm_gates_backward(gates, in("c"), c_out, in("grad.h_out"), in("grad.c_out"), grad_pre, grad_c);
  this->expect(grad_pre, "lstm_gates", "pre");
  this->expect(grad_c, "lstm_gates", "c");
}

TYPED_TEST(StepGradientsGolden, GruGatesMatchAutograd) {
  using T = TypeParam;
  const auto in = [&](const std::string& what) { return this->file.in("gru_gates." + what); };
  Tensor<T> gates(in("pre_x").shape()), h_out(in("h").shape());
  gru_gates(in("pre_x"), in("pre_h"), in("h"), h_out, gates);
  Tensor<T> grad_pre_x(gates.shape()), grad_pre_h(gates.shape()), grad_h(h_out.shape());
  gru_gates_backward(gates, in("pre_h"), in("h"), in("grad.h_out"), grad_pre_x, grad_pre_h, grad_h);
  this->expect(grad_pre_x, "gru_gates", "pre_x");
  this->expect(grad_pre_h, "gru_gates", "pre_h");
  this->expect(grad_h, "gru_gates", "h");
}

TYPED_TEST(StepGradientsGolden, HighwayGateMatchesAutograd) {
  using T = TypeParam;
  const auto in = [&](const std::string& what) { return this->file.in("highway." + what); };
  const Shape shape = in("x").shape();
  Tensor<T> y(shape), gate(shape), grad_pre(shape), grad_candidate(shape), grad_x(shape);
  highway_gate(in("pre"), in("candidate"), in("x"), y, gate);
  highway_gate_backward(gate, in("candidate"), in("x"), in("grad.y"), grad_pre, grad_candidate, grad_x);
  this->expect(grad_pre, "highway", "pre");
  this->expect(grad_candidate, "highway", "candidate");
  this->expect(grad_x, "highway", "x");
}

TYPED_TEST(StepGradientsGolden, SigmoidMatchesAutograd) {
  using T = TypeParam;
  const TensorView<const T> x = this->file.in("sigmoid.x"), grad = this->file.in("sigmoid.grad.y");
  const Sigmoid module;
  this->expect(module.backward(module(x), grad), "sigmoid", "x");
  this->expect(functional::sigmoid_backward(functional::sigmoid(x), grad), "sigmoid", "x");
}

}  // namespace
}  // namespace sluice::golden
