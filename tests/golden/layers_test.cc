// SPDX-License-Identifier: Apache-2.0
// Linear, Embedding, LayerNorm, Conv1d and the activations against PyTorch in float64.
#include "sluice/layers.h"

#include <limits>

#include "golden/golden_file.h"
#include "sluice/activations.h"

namespace sluice::golden {
namespace {

template <class T>
class LayerGolden : public ::testing::Test {
 public:
  static void SetUpTestSuite() { worst_difference<T> = 0; }
  static void TearDownTestSuite() { print_worst_difference<T>(); }
};
TYPED_TEST_SUITE(LayerGolden, ElementTypes);

/// Calls check(name, options) for each case of that type; there must be `count` of them.
template <class T, class F>
void for_each_case(const GoldenFile<T>& file, const std::string& type, std::size_t count, F check) {
  std::size_t cases = 0;
  for (const auto& [name, options] : file.cases()) {
    if (options.text("type") != type) continue;
    check(name, options);
    ++cases;
  }
  EXPECT_EQ(cases, count);
}

TYPED_TEST(LayerGolden, LinearMatchesPyTorch) {
  using T = TypeParam;
  const GoldenFile<T> file("layers");
  for_each_case(file, "linear", 4, [&](const std::string& name, const CaseOptions& options) {
    const Linear<T> linear({.in_features = options.size("in_features"),
                            .out_features = options.size("out_features"),
                            .bias = options.flag("bias")},
                           file.weights(), name + ".");
    expect_close<T>(linear.forward(file.in(name + ".x")), file.want(name + ".y"), name);
  });
}

TYPED_TEST(LayerGolden, EmbeddingMatchesPyTorch) {
  using T = TypeParam;
  const GoldenFile<T> file("layers");
  for_each_case(file, "embedding", 1, [&](const std::string& name, const CaseOptions& options) {
    const Embedding<T> embedding(
        {.num_embeddings = options.size("num_embeddings"), .embedding_dim = options.size("embedding_dim")},
        file.weights(), name + ".");
    const auto x = file.in(name + ".x");
    Tensor<std::int64_t> indices(x.shape());
    std::size_t i = 0;
    for (const double value : elements(x)) indices.data()[i++] = static_cast<std::int64_t>(value);
    expect_close<T>(embedding.forward(indices), file.want(name + ".y"), name);
  });
}

TYPED_TEST(LayerGolden, LayerNormMatchesPyTorch) {
  using T = TypeParam;
  const GoldenFile<T> file("layers");
  for_each_case(file, "layer_norm", 4, [&](const std::string& name, const CaseOptions& options) {
    const LayerNorm<T> norm({.normalized_shape = options.size("normalized_shape"),
                             .eps = options.number("eps"),
                             .elementwise_affine = options.flag("elementwise_affine"),
                             .bias = options.flag("bias")},
                            file.weights(), name + ".");
    expect_close<T>(norm.forward(file.in(name + ".x")), file.want(name + ".y"), name);
  });
}

TYPED_TEST(LayerGolden, Conv1dMatchesPyTorch) {
  using T = TypeParam;
  const GoldenFile<T> file("conv1d");
  for (const auto& [name, options] : file.cases()) {
    const Conv1d<T> conv({.in_channels = options.size("in_channels"),
                          .out_channels = options.size("out_channels"),
                          .kernel_size = options.size("kernel_size"),
                          .stride = options.size("stride"),
                          .padding = options.size("padding"),
                          .dilation = options.size("dilation"),
                          .groups = options.size("groups"),
                          .bias = options.flag("bias")},
                         file.weights(), name + ".");
    const auto x = file.in(name + ".x");
    const auto y = file.want(name + ".y");
    expect_close<T>(conv.forward(x), y, name);
    expect_close<T>(conv.forward(x.select(0, 1)), y.select(0, 1), name + " unbatched");
    EXPECT_EQ(conv.output_length(x.dim(2)), y.dim(2)) << name;
  }
}

/// Element by element: an activation has no large neighbour to hide behind. PyTorch's double is within a few
/// roundings of the true value, and so is sluice: at most 4 u for the sigmoid's family here, and for softmax
/// at most a dozen more from its sum and the scaled exponent. One subnormal step is allowed below.
template <class T>
void expect_each_close(TensorView<const T> got, TensorView<const double> want, const std::string& what) {
  const double tolerance = 32 * static_cast<double>(std::numeric_limits<T>::epsilon());
  const double step = static_cast<double>(std::numeric_limits<T>::denorm_min());
  ASSERT_EQ(got.shape().to_string(), want.shape().to_string()) << what;
  const std::vector<double> a = elements(got);
  const std::vector<double> b = elements(want);
  for (std::size_t i = 0; i < a.size(); ++i)
    ASSERT_TRUE(std::abs(a[i] - b[i]) <= tolerance * std::abs(b[i]) + step)
        << what << " element " << i << ": got " << a[i] << ", want " << b[i];
}

TYPED_TEST(LayerGolden, ActivationsMatchPyTorch) {
  using T = TypeParam;
  const GoldenFile<T> file("activations");
  const auto x = file.in("x");
  expect_each_close<T>(sigmoid(x), file.want("sigmoid"), "sigmoid");
  expect_each_close<T>(tanh(x), file.want("tanh"), "tanh");
  expect_each_close<T>(relu(x), file.want("relu"), "relu");
  expect_each_close<T>(silu(x), file.want("silu"), "silu");
  expect_each_close<T>(log_sigmoid(x), file.want("log_sigmoid"), "log_sigmoid");
  expect_each_close<T>(softmax(file.in("softmax_x")), file.want("softmax"), "softmax");
}

// Where the line is cut off its value is a difference of numbers near 1/2, so the error is one of those.
TYPED_TEST(LayerGolden, HardSigmoidsMatchPyTorch) {
  using T = TypeParam;
  const GoldenFile<T> file("activations");
  expect_close<T>(hard_sigmoid(file.in("x")), file.want("hard_sigmoid"), "hard_sigmoid");
  expect_close<T>(hard_sigmoid_onnx(file.in("x")), file.want("hard_sigmoid_onnx"), "hard_sigmoid_onnx");
}

TYPED_TEST(LayerGolden, ActivationModulesGiveTheFunctions) {
  using T = TypeParam;
  const GoldenFile<T> file("activations");
  const auto x = file.in("x");
  for (const auto& [type, name] :
       {std::pair("Sigmoid", "sigmoid"), std::pair("Tanh", "tanh"), std::pair("ReLU", "relu"),
        std::pair("SiLU", "silu"), std::pair("LogSigmoid", "log_sigmoid"),
        std::pair("Hardsigmoid", "hard_sigmoid"), std::pair("HardSigmoidONNX", "hard_sigmoid_onnx")})
    expect_close<T>(Activation<T>(type).forward(x), file.want(name), type);
  expect_each_close<T>(Activation<T>("Softmax").forward(file.in("softmax_x")), file.want("softmax"),
                       "Softmax");
}

}  // namespace
}  // namespace sluice::golden
