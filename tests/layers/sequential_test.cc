// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <omp.h>

#include <memory>

#include "sluice/error.h"
#include "sluice/layers.h"
#include "support/expect_same_bits.h"
#include "support/module_promises.h"
#include "support/random.h"

namespace sluice {
namespace {

template <class T>
Linear<T> linear(std::size_t in, std::size_t out, const std::string& prefix) {
  StateDict<T> weights;
  weights.set(prefix + "weight", random_tensor<T>({out, in}, -1, 1, in));
  weights.set(prefix + "bias", random_tensor<T>({out}, -1, 1, out));
  return Linear<T>({in, out}, weights, prefix);
}

template <class T>
Conv1d<T> conv(const Conv1dOptions& options) {
  StateDict<T> weights;
  weights.set("conv.weight", random_tensor<T>({options.out_channels, options.in_channels / options.groups,
                                               options.kernel_size},
                                              -1, 1, 3));
  weights.set("conv.bias", random_tensor<T>({options.out_channels}, -1, 1, 4));
  return Conv1d<T>(options, weights, "conv.");
}

template <class T>
LayerNorm<T> norm(std::size_t n) {
  return LayerNorm<T>({.normalized_shape = n, .elementwise_affine = false}, {});
}

// Every module of layers.h that keeps time, nested, ending in one value if asked to.
template <class T>
Sequential<T> stack(bool ends) {
  Sequential<T> inner;
  inner.add(conv<T>({.in_channels = 9, .out_channels = 12, .kernel_size = 3, .stride = 2, .dilation = 2}))
      .add(Activation<T>("Tanh"));
  Sequential<T> all;
  all.add(linear<T>(5, 9, "first.")).add(std::move(inner)).add(norm<T>(12)).add(linear<T>(12, 4, "second."));
  if (ends) all.add(MeanOverTime<T>()).add(linear<T>(4, 3, "head.")).add(Activation<T>("Softmax"));
  return all;
}

TEST(Sequential, IsItsModulesOneAfterTheOther) {
  const Linear<float> first = linear<float>(5, 9, "");
  const Activation<float> second("ReLU");
  Sequential<float> both;
  both.add(linear<float>(5, 9, "")).add(Activation<float>("ReLU"));
  const Tensor<float> x = random_tensor<float>({6, 3, 5}, -1, 1, 1);
  expect_same_bits<float>(both.run({x.view()}, {}).y, second.forward(first.forward(x)).view());
}

TEST(Sequential, KeepsThePromisesOfAModule) {
  test::expect_module_promises<float>(stack<float>(false), random_tensor<float>({19, 33, 5}, -1, 1, 1));
  test::expect_module_promises<float>(stack<float>(true), random_tensor<float>({19, 33, 5}, -1, 1, 1));
  test::expect_module_promises<double>(stack<double>(true), random_tensor<double>({13, 2, 5}, -1, 1, 1));
  test::expect_threads_agree<float>(stack<float>(true), random_tensor<float>({201, 33, 5}, -1, 1, 1));
}

TEST(Sequential, ARowOfVariableLengthIsThatRowAlone) {
  for (const bool ends : {false, true}) {
    const Sequential<float> model = stack<float>(ends);
    Tensor<float> x = random_tensor<float>({19, 4, 5}, -1, 1, 1);
    const std::vector<std::int64_t> lengths{19, 5, 12, 18};
    for (std::size_t b = 0; b < 4; ++b) {
      for (std::size_t t = static_cast<std::size_t>(lengths[b]); t < 19; ++t) {
        x(t, b, 2) = std::numeric_limits<float>::quiet_NaN();
      }
    }
    const SequenceOutput<float> out = model.run({x.view(), lengths}, {});
    for (std::size_t b = 0; b < 4; ++b) {
      SCOPED_TRACE(b);
      const Tensor<float> alone =
          model.run({x.view().narrow(1, b, 1).narrow(0, 0, static_cast<std::size_t>(lengths[b]))}, {}).y;
      const std::size_t steps = ends ? 1 : static_cast<std::size_t>(out.lengths[b]);
      ASSERT_EQ(steps, alone.dim(0));
      expect_same_bits<float>(out.y.view().narrow(1, b, 1).narrow(0, 0, steps), alone.view());
    }
  }
}

// A second MeanOverTime sees one value each time: at every step the model gives what the sequence so far
// would.
TEST(Sequential, ModulesBehindTheEndOfTheSequenceStartAfreshAtEveryStep) {
  Sequential<float> model;
  model.add(LastStep<float>()).add(MeanOverTime<float>());
  test::expect_module_promises<float>(model, random_tensor<float>({7, 3, 4}, -1, 1, 1));
}

TEST(Sequential, NoneGivesTheInput) {
  const Sequential<float> none;
  const Tensor<float> x = random_tensor<float>({4, 3, 2}, -1, 1, 1);
  expect_same_bits<float>(none.run({x.view()}, {}).y, x.view());
  test::expect_module_promises<float>(none, x);
  EXPECT_EQ(none.output_size(2), 2u);
}

TEST(Sequential, EmptyBatchesAndSequences) {
  Sequential<float> model;
  model.add(linear<float>(5, 9, "")).add(norm<float>(9)).add(Activation<float>("Sigmoid"));
  EXPECT_EQ(model.run({Tensor<float>({0, 3, 5}).view()}, {}).y.shape(), Shape({0, 3, 9}));
  EXPECT_EQ(model.run({Tensor<float>({4, 0, 5}).view()}, {}).y.shape(), Shape({4, 0, 9}));
  EXPECT_EQ(stack<float>(true).run({Tensor<float>({9, 0, 5}).view()}, {}).y.shape(), Shape({1, 0, 3}));
}

TEST(Sequential, ListsParametersAndAddsUpOperations) {
  const Sequential<float> model = stack<float>(true);
  std::vector<std::string> names;
  for (const ParameterInfo& parameter : model.parameters()) names.push_back(parameter.name);
  EXPECT_EQ(names, (std::vector<std::string>{"first.weight", "first.bias", "conv.weight", "conv.bias",
                                             "second.weight", "second.bias", "head.weight", "head.bias"}));
  EXPECT_EQ(model.output_size(5), 3u);
  // Linear 2 I O; the convolution 2 kernel I O; LayerNorm 6 a feature without weights; the mean 1.
  EXPECT_EQ(model.flops_per_step(5),
            2.0 * 5 * 9 + 2.0 * 3 * 9 * 12 + 6.0 * 12 + 2.0 * 12 * 4 + 4 + 2.0 * 4 * 3);
  EXPECT_TRUE(model.ends_sequence());
  EXPECT_FALSE(stack<float>(false).ends_sequence());
}

TEST(Sequential, ErrorsNameTheModuleAndItsPlace) {
  Sequential<float> model;
  model.add(linear<float>(5, 9, "")).add(linear<float>(8, 2, ""));
  using test::message_of;
  const std::string want = "Sequential: module 1 (Linear): Linear: the input has 9 features, expected 8";
  EXPECT_EQ(message_of<ShapeError>([&] { model.output_size(5); }), want);
  EXPECT_EQ(message_of<ShapeError>([&] { model.run({Tensor<float>({2, 1, 5}).view()}, {}); }), want);
  EXPECT_EQ(message_of<ShapeError>([&] { model.stepper(1, 5); }), want);
  EXPECT_EQ(message_of<Error>([&] { model.add(std::unique_ptr<Module<float>>()); }),
            "Sequential::add: module is null");
  Sequential<float> padded;
  padded.add(conv<float>({.in_channels = 5, .out_channels = 2, .kernel_size = 3, .padding = 2}));
  EXPECT_EQ(message_of<Error>([&] { padded.stepper(1, 5); }),
            "Sequential: module 0 (Conv1d): Conv1d::stepper: padding is 2, expected 0: with padding an "
            "output needs "
            "steps that have not come yet");
}

// Teams never nest: inside a caller's parallel region each run stays on its own thread, with the same bits.
TEST(Sequential, RunsInsideSomebodyElsesParallelRegion) {
  const Sequential<float> model = stack<float>(false);
  const Tensor<float> x = random_tensor<float>({201, 17, 5}, -1, 1, 1);
  const Tensor<float> want = model.run({x.view()}, {}).y;
  std::vector<Tensor<float>> got(4);
#pragma omp parallel for num_threads(4)
  for (int i = 0; i < 4; ++i) got[static_cast<std::size_t>(i)] = model.run({x.view()}, {}).y;
  for (const Tensor<float>& y : got) expect_same_bits<float>(y, want.view());
}

}  // namespace
}  // namespace sluice
