// SPDX-License-Identifier: Apache-2.0
// Gradients through three layers, both ways, with ragged lengths and initial states, against PyTorch's
// autograd in float64.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "golden/golden_file.h"
#include "layers/recurrent_backward.h"

namespace sluice::golden {
namespace {

RecurrentOptions options_of(const CaseOptions& options) {
  RecurrentOptions result;
  const std::string kind = options.text("kind");
  result.type = "Net";
  result.kind = kind == "lstm"         ? CellKind::kLstm
                : kind == "gru"        ? CellKind::kGru
                : options.flag("relu") ? CellKind::kRnnRelu
                                       : CellKind::kRnnTanh;
  result.input_size = 3;
  result.hidden_size = 4;
  result.num_layers = 3;
  result.has_bias = options.flag("bias");
  result.is_bidirectional = true;
  result.proj_size = options.size("proj");
  return result;
}

template <class T>
class GradientsGolden : public ::testing::Test {
 public:
  static void SetUpTestSuite() { worst_difference<T> = 0; }
  static void TearDownTestSuite() { print_worst_difference<T>(); }
};
TYPED_TEST_SUITE(GradientsGolden, ElementTypes);

TYPED_TEST(GradientsGolden, RecurrentLayersMatchAutograd) {
  using T = TypeParam;
  const GoldenFile<T> file("gradients");
  std::size_t tensors = 0;
  for (const auto& [name, options] : file.cases()) {
    const RecurrentNet<T> net(options_of(options), file.weights(), name + ".");
    const std::vector<std::int64_t> lengths = options.integers("lengths");
    const bool has_c = file.contains(name + ".c0");
    RecurrentInput<T> in;
    in.lengths = lengths;
    in.h0 = file.in(name + ".h0");
    if (has_c) in.c0 = file.in(name + ".c0");
    RecurrentRecord<T> record;
    net.forward(file.in(name + ".x"), in, SequenceLayout::kTimeFirst, nullptr, RecurrentOutput<T>(), &record);
    RecurrentOutputGradients<T> grads;
    grads.output = file.in(name + ".grad.output");
    grads.h_n = file.in(name + ".grad.h_n");
    if (has_c) grads.c_n = file.in(name + ".grad.c_n");
    const std::vector<ParameterInfo> infos = net.parameters();
    std::vector<Tensor<T>> of_parameters;
    std::vector<TensorView<T>> views;
    for (const ParameterInfo& info : infos) of_parameters.push_back(Tensor<T>(info.shape));
    for (Tensor<T>& tensor : of_parameters) views.push_back(tensor.view());
    const RecurrentBackward<T> backward(net, file.weights());
    const RecurrentInputGradients<T> inputs = backward.run(record, grads, views, /*wants_x=*/true);
    const auto expect = [&, &name = name](TensorView<const T> got, const std::string& what) {
      expect_gradient<T>(got, file.want(name + ".of." + what), name + "." + what);
      ++tensors;
    };
    for (std::size_t i = 0; i < infos.size(); ++i) {
      expect(of_parameters[i].view(), infos[i].name.substr(name.size() + 1));
    }
    expect(inputs.x.view(), "x");
    expect(inputs.h0.view(), "h0");
    if (has_c) expect(inputs.c0.view(), "c0");
  }
  EXPECT_EQ(file.cases().size(), 6u);
  std::printf("[ gradients ] %zu tensors\n", tensors);
}

}  // namespace
}  // namespace sluice::golden
