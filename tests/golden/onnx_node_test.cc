// SPDX-License-Identifier: Apache-2.0
// The ONNX project's own node tests for what sluice computes, read from ../shared/data/onnx_node (not part of
// this repository; its README.md says where it comes from). Skipped where the folder is absent.
#include <filesystem>

#include "golden/golden_file.h"
#include "golden/onnx_file.h"
#include "sluice/activations.h"
#include "sluice/layers.h"
#include "sluice/recurrent.h"

namespace sluice::golden {
namespace {

const std::string kFolder = std::string(SLUICE_SOURCE_DIR) + "/../shared/data/onnx_node/";

/// Cases of these operators that sluice has no option for, and why.
const std::map<std::string, std::string> kNotSupported = {
    {"lstm_with_peepholes", "peephole connections are not among PyTorch's options, which sluice has"},
    {"hardsigmoid", "slope 0.5 and offset 0.6; sluice has 1/6 (PyTorch) and 0.2 (ONNX's default)"},
    {"hardsigmoid_example", "slope 0.5 and offset 0.6; sluice has 1/6 (PyTorch) and 0.2 (ONNX's default)"},
};

/// A model with its inputs and expected outputs by name.
struct Case {
  OnnxModel model;
  std::map<std::string, Tensor<float>> tensors;

  explicit Case(const std::string& name) : model(read_onnx_model(kFolder + "test_" + name + "/model.onnx")) {
    const std::string data = kFolder + "test_" + name + "/test_data_set_0/";
    for (std::size_t i = 0; i < model.graph_inputs.size(); ++i)
      tensors[model.graph_inputs[i]] = read_onnx_tensor(data + "input_" + std::to_string(i) + ".pb");
    for (std::size_t i = 0; i < model.graph_outputs.size(); ++i)
      tensors[model.graph_outputs[i]] = read_onnx_tensor(data + "output_" + std::to_string(i) + ".pb");
  }
  /// Input `index` of the node, null if left out.
  TensorView<const float> input(std::size_t index) const {
    if (index >= model.node_inputs.size() || model.node_inputs[index].empty()) return {};
    return tensors.at(model.node_inputs[index]);
  }
  std::int64_t integer(const std::string& name, std::int64_t otherwise) const {
    const auto found = model.integers.find(name);
    return found == model.integers.end() ? otherwise : found->second;
  }
  float number(const std::string& name, float otherwise) const {
    const auto found = model.floats.find(name);
    return found == model.floats.end() ? otherwise : found->second;
  }
  /// Compares output `index` of the node, if the graph gives it out. The files hold float32 results of NumPy,
  /// so the bound is that of golden_file.h for float.
  void expect_output(std::size_t index, TensorView<const float> got) const {
    if (index >= model.node_outputs.size() || model.node_outputs[index].empty()) return;
    const Tensor<float>& want = tensors.at(model.node_outputs[index]);
    Tensor<double> wide(want.shape());
    for (std::size_t i = 0; i < want.size(); ++i) wide.data()[i] = static_cast<double>(want.data()[i]);
    expect_close<float>(got, wide, model.node_outputs[index]);
    ++outputs_checked;
  }
  mutable std::size_t outputs_checked = 0;
};

/// Rows of [gates * H, columns] or [gates * H] with the blocks of H in another order.
Tensor<float> reorder(TensorView<const float> matrix, const std::vector<std::size_t>& order) {
  const std::size_t hidden = matrix.dim(0) / order.size();
  Tensor<float> result(matrix.shape());
  float* out = result.data();
  for (const std::size_t gate : order)
    for (const double value : elements(matrix.narrow(0, gate * hidden, hidden)))
      *out++ = static_cast<float>(value);
  return result;
}

/// W [1, gates * H, I], R [1, gates * H, H] and B [1, 2 * gates * H] by PyTorch's names and gate order.
StateDict<float> pytorch_weights(const Case& c, const std::vector<std::size_t>& order) {
  StateDict<float> weights;
  weights.set("weight_ih_l0", reorder(c.input(1).select(0, 0), order));
  weights.set("weight_hh_l0", reorder(c.input(2).select(0, 0), order));
  if (c.input(3)) {
    const auto both = c.input(3).select(0, 0);
    const std::size_t half = both.dim(0) / 2;
    weights.set("bias_ih_l0", reorder(both.narrow(0, 0, half), order));
    weights.set("bias_hh_l0", reorder(both.narrow(0, half, half), order));
  }
  return weights;
}

/// Runs a layer of one direction over the case and compares Y and Y_h (and Y_c).
template <class Layer>
void check_recurrent(const Case& c, const Layer& layer) {
  const bool batch_first = layer.options().batch_first;
  const auto state = [&](std::size_t index) {  // [1, B, H], or [B, 1, H] with layout = 1
    const auto given = c.input(index);
    return given && batch_first ? given.transpose(0, 1) : given;
  };
  std::vector<std::int64_t> lengths;
  if (c.input(4))
    for (const double length : elements(c.input(4))) lengths.push_back(static_cast<std::int64_t>(length));
  RecurrentInput<float> in;
  in.h0 = state(5);
  in.c0 = state(6);
  in.lengths = lengths;
  const RecurrentOutput<float> out = layer.forward(c.input(0), in);
  // Y is [T, 1, B, H], with layout = 1 [B, T, 1, H]: the same elements as [T, B, H] and [B, T, H].
  const Shape& shape = out.output.shape();
  Tensor<float> y = Tensor<float>(out.output)
                        .reshaped(batch_first ? Shape{shape[0], shape[1], 1, shape[2]}
                                              : Shape{shape[0], 1, shape[1], shape[2]});
  const auto swap = [&](TensorView<const float> s) { return batch_first && s ? s.transpose(0, 1) : s; };
  c.expect_output(0, y);
  c.expect_output(1, swap(out.h_n));
  c.expect_output(2, swap(out.c_n));
}

template <class Options>
Options recurrent_options(const Case& c) {
  EXPECT_FALSE(c.model.texts.contains("direction"));
  Options options;
  options.input_size = c.input(1).dim(2);
  options.hidden_size = static_cast<std::size_t>(c.integer("hidden_size", 0));
  options.bias = static_cast<bool>(c.input(3));
  options.batch_first = c.integer("layout", 0) == 1;
  return options;
}

void check_lstm(const Case& c) {
  // ONNX i, o, f, c -> PyTorch i, f, g, o
  check_recurrent(c, LSTM<float>(recurrent_options<LSTMOptions>(c), pytorch_weights(c, {0, 2, 3, 1})));
}

void check_gru(const Case& c) {
  auto options = recurrent_options<GRUOptions>(c);
  options.reset = c.integer("linear_before_reset", 0) == 0 ? GRUReset::kBefore : GRUReset::kAfter;
  // ONNX z, r, h -> PyTorch r, z, n
  check_recurrent(c, GRU<float>(options, pytorch_weights(c, {1, 0, 2})));
}

void check_rnn(const Case& c) {
  check_recurrent(c, RNN<float>(recurrent_options<RNNOptions>(c), pytorch_weights(c, {0})));
}

void check_softmax(const Case& c) {
  const auto x = c.input(0);
  const auto rank = static_cast<std::int64_t>(x.rank());
  const std::int64_t axis = c.integer("axis", -1);
  const auto dimension = static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
  Tensor<float> y(x.shape());
  softmax(x.transpose(dimension, x.rank() - 1), y.view().transpose(dimension, x.rank() - 1));
  c.expect_output(0, y);
}

/// alpha A' B' + beta C as Linear: the weight is alpha B'^T, and a C of one row is the bias.
void check_gemm(const Case& c) {
  const auto a = c.integer("transA", 0) != 0 ? c.input(0).transpose(0, 1) : c.input(0);
  const auto weight_view = c.integer("transB", 0) != 0 ? c.input(1) : c.input(1).transpose(0, 1);
  Tensor<float> weight(weight_view);
  for (float& value : weight.span()) value *= c.number("alpha", 1);
  const std::size_t columns = weight.dim(0);

  std::vector<float> added;  // beta C, its elements repeated as broadcasting does
  if (c.input(2))
    for (const double value : elements(c.input(2)))
      added.push_back(c.number("beta", 1) * static_cast<float>(value));
  if (added.size() == 1) added.resize(columns, added[0]);
  const bool is_bias = added.size() == columns;
  StateDict<float> weights;
  weights.set("weight", std::move(weight));
  if (is_bias) weights.set("bias", Tensor<float>({columns}, added));
  const Linear<float> linear({.in_features = a.dim(1), .out_features = columns, .bias = is_bias}, weights);
  Tensor<float> y = linear.forward(a);
  if (!added.empty() && !is_bias) {
    ASSERT_EQ(added.size(), y.size());
    for (std::size_t i = 0; i < y.size(); ++i) y.data()[i] += added[i];
  }
  c.expect_output(0, y);
}

void check(const Case& c) {
  const std::string& op = c.model.op;
  if (op == "LSTM") return check_lstm(c);
  if (op == "GRU") return check_gru(c);
  if (op == "RNN") return check_rnn(c);
  if (op == "Softmax") return check_softmax(c);
  if (op == "Gemm") return check_gemm(c);
  if (op == "Sigmoid") return c.expect_output(0, sigmoid(c.input(0)));
  if (op == "Tanh") return c.expect_output(0, tanh(c.input(0)));
  if (op == "Relu") return c.expect_output(0, relu(c.input(0)));
  if (op == "HardSigmoid") return c.expect_output(0, hard_sigmoid_onnx(c.input(0)));
  FAIL() << "no check for operator " << op;
}

class OnnxNode : public ::testing::TestWithParam<std::string> {};

TEST_P(OnnxNode, Matches) {
  const auto reason = kNotSupported.find(GetParam());
  if (reason != kNotSupported.end()) GTEST_SKIP() << GetParam() << ": " << reason->second;
  if (!std::filesystem::exists(kFolder)) GTEST_SKIP() << "no ONNX test data at " << kFolder;
  const Case c(GetParam());
  check(c);
  EXPECT_GT(c.outputs_checked, 0u);
}

INSTANTIATE_TEST_SUITE_P(
    , OnnxNode,
    ::testing::Values("lstm_defaults", "lstm_with_initial_bias", "lstm_with_peepholes", "lstm_batchwise",
                      "gru_defaults", "gru_with_initial_bias", "gru_seq_length", "gru_batchwise",
                      "simple_rnn_defaults", "simple_rnn_with_initial_bias", "simple_rnn_batchwise",
                      "rnn_seq_length", "sigmoid", "sigmoid_example", "tanh", "tanh_example", "relu",
                      "hardsigmoid", "hardsigmoid_default", "hardsigmoid_example", "softmax_axis_0",
                      "softmax_axis_1", "softmax_axis_2", "softmax_default_axis", "softmax_example",
                      "softmax_large_number", "softmax_negative_axis", "gemm_all_attributes", "gemm_alpha",
                      "gemm_beta", "gemm_default_matrix_bias", "gemm_default_no_bias",
                      "gemm_default_scalar_bias", "gemm_default_single_elem_vector_bias",
                      "gemm_default_vector_bias", "gemm_default_zero_bias", "gemm_transposeA",
                      "gemm_transposeB"),
    [](const auto& info) { return info.param; });

}  // namespace
}  // namespace sluice::golden
