// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "sluice/error.h"
#include "sluice/layers.h"
#include "support/expect_same_bits.h"
#include "support/module_promises.h"
#include "support/random.h"

namespace sluice {
namespace {

const std::vector<std::int64_t> kLengths{7, 0, 1, 5};

// NaN past each row's length: it must not show.
Tensor<float> padded_batch() {
  Tensor<float> x = random_tensor<float>({7, 4, 3}, -1, 1, 1);
  for (std::size_t b = 0; b < 4; ++b) {
    for (std::size_t t = static_cast<std::size_t>(kLengths[b]); t < 7; ++t) {
      for (std::size_t f = 0; f < 3; ++f) x(t, b, f) = std::numeric_limits<float>::quiet_NaN();
    }
  }
  return x;
}

TEST(LastStep, TakesEachRowsLastValidStep) {
  const Tensor<float> x = padded_batch();
  const SequenceOutput<float> out = LastStep<float>().run({x.view(), kLengths}, {});
  ASSERT_EQ(out.y.shape(), Shape({1, 4, 3}));
  EXPECT_TRUE(out.lengths.empty());
  for (std::size_t f = 0; f < 3; ++f) {
    EXPECT_EQ(out.y(0, 0, f), x(6, 0, f));
    EXPECT_EQ(out.y(0, 1, f), 0.0f);
    EXPECT_EQ(out.y(0, 2, f), x(0, 2, f));
    EXPECT_EQ(out.y(0, 3, f), x(4, 3, f));
  }
}

TEST(MeanOverTime, AveragesEachRowsValidSteps) {
  const Tensor<float> x = padded_batch();
  const SequenceOutput<float> out = MeanOverTime<float>().run({x.view(), kLengths}, {});
  ASSERT_EQ(out.y.shape(), Shape({1, 4, 3}));
  EXPECT_TRUE(out.lengths.empty());
  for (std::size_t b = 0; b < 4; ++b) {
    for (std::size_t f = 0; f < 3; ++f) {
      double sum = 0;
      for (std::size_t t = 0; t < static_cast<std::size_t>(kLengths[b]); ++t) sum += x(t, b, f);
      const double want = kLengths[b] == 0 ? 0.0 : sum / static_cast<double>(kLengths[b]);
      EXPECT_EQ(out.y(0, b, f), static_cast<float>(want));  // summed in double in this order, rounded once
    }
  }
}

TEST(Pooling, OfNoStepsIsZero) {
  const Tensor<float> x({0, 2, 3});
  const Tensor<float> zeros({1, 2, 3});
  expect_same_bits<float>(LastStep<float>().run({x.view()}, {}).y, zeros.view());
  expect_same_bits<float>(MeanOverTime<float>().run({x.view()}, {}).y, zeros.view());
}

TEST(Pooling, KeepsThePromisesOfAModule) {
  const Tensor<float> x = random_tensor<float>({5, 33, 17}, -1, 1, 1);
  test::expect_module_promises<float>(LastStep<float>(), x);
  test::expect_module_promises<float>(MeanOverTime<float>(), x);
  test::expect_module_promises<double>(MeanOverTime<double>(), random_tensor<double>({9, 2, 1}, -1, 1, 1));
  test::expect_threads_agree<float>(MeanOverTime<float>(), random_tensor<float>({401, 33, 17}, -1, 1, 1));
}

// Each step gives what the sequence so far would.
TEST(Pooling, EveryStepIsTheValueOfTheSequenceSoFar) {
  const Tensor<float> x = random_tensor<float>({9, 2, 3}, -1, 1, 1);
  const auto check = [&](const Module<float>& module) {
    const auto stepper = module.stepper(2, 3);
    for (std::size_t t = 0; t < 9; ++t) {
      const float* y = stepper->step(x.data() + t * 6);
      const Tensor<float> want = module.run({x.view().narrow(0, 0, t + 1)}, {}).y;
      expect_same_bits<float>(TensorView<const float>(y, {1, 2, 3}), want.view());
    }
  };
  check(LastStep<float>());
  check(MeanOverTime<float>());
}

TEST(Pooling, ReadsStridedSequences) {
  const Tensor<double> batch_first = random_tensor<double>({4, 6, 10}, -1, 1, 1);
  const TensorView<const double> x = batch_first.view().transpose(0, 1).narrow(2, 3, 5);
  const Tensor<double> copy(x);
  expect_same_bits<double>(LastStep<double>().run({x}, {}).y,
                           LastStep<double>().run({copy.view()}, {}).y.view());
  expect_same_bits<double>(MeanOverTime<double>().run({x}, {}).y,
                           MeanOverTime<double>().run({copy.view()}, {}).y.view());
}

TEST(Pooling, ErrorsNameWhatWasExpectedAndWhatCame) {
  EXPECT_EQ(test::message_of<ShapeError>([] {
              LastStep<float>().run({Tensor<float>({2, 3}).view()}, {});
            }),
            "LastStep::run: x is [2, 3], expected [T, B, F]");
  const std::vector<std::int64_t> lengths{3};
  EXPECT_EQ(test::message_of<ShapeError>([&] {
              MeanOverTime<float>().run({Tensor<float>({2, 1, 3}).view(), lengths}, {});
            }),
            "MeanOverTime::run: lengths[0] is 3, expected 0 to 2");
}

}  // namespace
}  // namespace sluice
