// SPDX-License-Identifier: Apache-2.0
#include "sluice/stream.h"

#include <gtest/gtest.h>

#include <thread>

#include "sluice/error.h"
#include "sluice/layers.h"
#include "support/expect_same_bits.h"
#include "support/module_promises.h"
#include "support/random.h"

namespace sluice {
namespace {

// A convolution that skips steps, and what stands behind it.
Sequential<float> model() {
  StateDict<float> weights;
  weights.set("conv.weight", random_tensor<float>({8, 4, 3}, -1, 1, 1));
  weights.set("conv.bias", random_tensor<float>({8}, -1, 1, 2));
  weights.set("head.weight", random_tensor<float>({5, 8}, -1, 1, 3));
  weights.set("head.bias", random_tensor<float>({5}, -1, 1, 4));
  Sequential<float> all;
  all.add(Conv1d<float>({.in_channels = 4, .out_channels = 8, .kernel_size = 3, .stride = 2}, weights,
                        "conv."))
      .add(Activation<float>("SiLU"))
      .add(Linear<float>({8, 5}, weights, "head."));
  return all;
}

TEST(Stream, GivesAnOutputEveryStrideOnceTheKernelIsFull) {
  const Sequential<float> network = model();
  Stream<float> stream(network, 2, 4);
  const Tensor<float> x = random_tensor<float>({9, 2, 4}, -1, 1, 1);
  const Tensor<float> want = network.run({x.view()}, {}).y;
  ASSERT_EQ(want.dim(0), 4u);
  for (std::size_t t = 0; t < 9; ++t) {
    const TensorView<const float> y = stream.step(x.data() + t * 8);
    ASSERT_EQ(static_cast<bool>(y), t >= 2 && t % 2 == 0) << t;
    if (y) expect_same_bits<float>(y, want.view().select(0, t / 2 - 1));
  }
  EXPECT_EQ(stream.output_size(), 5u);
  EXPECT_EQ(stream.batch(), 2u);
  EXPECT_EQ(stream.input_size(), 4u);
}

TEST(Stream, StepAndResetCallTheHeapNeitherToTakeNorToGive) {
  if (!test::can_count_allocations()) GTEST_SKIP() << "this heap is not glibc's own";
  const Sequential<float> network = model();
  Stream<float> stream(network, 3, 4);
  const Tensor<float> x = random_tensor<float>({9, 3, 4}, -1, 1, 1);
  EXPECT_EQ(test::heap_calls_during([&] {
              for (std::size_t t = 0; t < 9; ++t) stream.step(x.data() + t * 12);
              stream.reset();
              stream.step(x.data());
            }),
            0u);
  EXPECT_GT(test::heap_calls_during([&] { Tensor<float> counted({4}); }), 0u);
}

TEST(Stream, ResetIsAFreshStream) {
  test::expect_reset_is_fresh<float>(model(), random_tensor<float>({9, 3, 4}, -1, 1, 1));
}

TEST(Stream, ManyStreamsOnManyThreadsShareOneModel) {
  const Sequential<float> network = model();
  const Tensor<float> x = random_tensor<float>({101, 1, 4}, -1, 1, 1);
  const Tensor<float> want = network.run({x.view()}, {}).y;
  std::vector<Tensor<float>> got(4, Tensor<float>(want.shape()));
  std::vector<std::thread> threads;
  for (Tensor<float>& mine : got) {
    threads.emplace_back([&] {
      Stream<float> stream(network, 1, 4);
      float* to = mine.data();
      for (std::size_t t = 0; t < 101; ++t) {
        const TensorView<const float> y = stream.step(x.data() + t * 4);
        if (y) to = std::copy_n(y.data(), 5, to);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Tensor<float>& y : got) expect_same_bits<float>(y, want.view());
}

TEST(Stream, RefusesWhatItCannotRun) {
  const Sequential<float> network = model();
  EXPECT_EQ(test::message_of<ShapeError>([&] { Stream<float>(network, 1, 3); }),
            "Sequential: module 0 (Conv1d): Conv1d: the input has 3 features, expected 4");
}

}  // namespace
}  // namespace sluice
