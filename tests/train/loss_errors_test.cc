// SPDX-License-Identifier: Apache-2.0
// What the losses refuse, and in which words.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "sluice/error.h"
#include "sluice/loss.h"
#include "support/module_promises.h"

namespace sluice {
namespace {

using test::message_of;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(LossErrors, BCETakesProbabilitiesOnly) {
  const Tensor<float> t({2, 3});
  Tensor<float> x({2, 3});
  x(1, 2) = 1.5F;
  EXPECT_EQ(message_of<Error>([&] { BCELoss<float>()(x, t); }),
            "BCELoss::forward: input[1, 2] is 1.500000, expected a probability in [0, 1]");
  for (const float bad : {-1e-30F, 1.0000001F, std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity()}) {
    x(1, 2) = bad;
    EXPECT_THROW(BCELoss<float>()(x, t), Error) << bad;
    const std::vector<std::int64_t> lengths{2, 2, 1};  // there it does not count
    EXPECT_EQ(BCELoss<float>()(x, t, {.lengths = lengths}).value, 0);
  }
}

TEST(LossErrors, NameArgumentExpectedAndGot) {
  const Tensor<float> x({4, 2, 3});
  EXPECT_EQ(message_of<ShapeError>([&] {
              MSELoss<float>()(x, Tensor<float>({4, 2}));
            }),
            "MSELoss::forward: target is [4, 2], expected [4, 2, 3]");
  EXPECT_EQ(message_of<ShapeError>([&] { L1Loss<float>()(TensorView<const float>(), x); }),
            "L1Loss::forward: input is not given");
  EXPECT_EQ(message_of<ShapeError>([&] { SmoothL1Loss<float>()(x, TensorView<const float>()); }),
            "SmoothL1Loss::forward: target is not given");
  for (const Shape& bad : {Shape{2}, Shape{4, 3}, Shape{3, 1, 3}, Shape{1, 4, 2, 3}}) {
    EXPECT_EQ(
        message_of<ShapeError>([&] { BCELoss<float>({.weight = Tensor<float>(bad)})(x, x); }),
        "BCELoss::forward: weight is " + bad.to_string() + ", expected a shape that broadcasts to [4, 2, 3]");
  }
  EXPECT_EQ(
      message_of<ShapeError>([&] { BCEWithLogitsLoss<float>({.pos_weight = Tensor<float>({2})})(x, x); }),
      "BCEWithLogitsLoss::forward: pos_weight is [2], expected a shape that broadcasts to [4, 2, 3]");
}

TEST(LossErrors, NameALengthThatIsWrong) {
  const Tensor<float> x({4, 2, 3});
  const std::vector<std::int64_t> three{1, 2, 3}, too_long{4, 5}, negative{-1, 4};
  EXPECT_EQ(message_of<ShapeError>([&] { MSELoss<float>()(x, x, {.lengths = three}); }),
            "MSELoss::forward: lengths is [3], expected [2]");
  EXPECT_EQ(message_of<ShapeError>([&] { MSELoss<float>()(x, x, {.lengths = too_long}); }),
            "MSELoss::forward: lengths[1] is 5, expected 0 to 4");
  EXPECT_EQ(message_of<ShapeError>([&] { BCELoss<float>()(x, x, {.lengths = negative}); }),
            "BCELoss::forward: lengths[0] is -1, expected 0 to 4");
  EXPECT_EQ(message_of<ShapeError>([&] {
              MSELoss<float>()(x.view().select(0, 0).select(0, 0), x.view().select(0, 0).select(0, 0),
                               {.lengths = three});
            }),
            "MSELoss::forward: input is [3], expected [T, B, ...] where there are lengths");
  EXPECT_EQ(message_of<ShapeError>([&] {
              NLLLoss<float>()(x.view().select(0, 0), Tensor<std::int64_t>({2}), {.lengths = three});
            }),
            "NLLLoss::forward: target is [2], expected [T, B, ...] where there are lengths");
}

TEST(LossErrors, NameAClassThatDoesNotExist) {
  const Tensor<float> x({4, 2, 3});
  Tensor<std::int64_t> t({4, 2});
  for (const std::int64_t bad : {-1, 3, 100}) {
    t(3, 1) = bad;
    EXPECT_EQ(message_of<Error>([&] { CrossEntropyLoss<float>({.ignore_index = -5})(x, t); }),
              "CrossEntropyLoss::forward: target[3, 1] is " + std::to_string(bad) +
                  ", expected a class in [0, 3) or ignore_index, -5");
  }
  EXPECT_EQ(message_of<ShapeError>([&] {
              NLLLoss<float>()(x, Tensor<std::int64_t>({4, 3}));
            }),
            "NLLLoss::forward: target is [4, 3], expected [4, 2]");
  EXPECT_EQ(message_of<ShapeError>(
                [&] { NLLLoss<float>()(Tensor<float>(Shape{}), Tensor<std::int64_t>(Shape{})); }),
            "NLLLoss::forward: input is [], expected [..., C]");
  EXPECT_EQ(message_of<ShapeError>([&] { CrossEntropyLoss<float>()(x, TensorView<const std::int64_t>()); }),
            "CrossEntropyLoss::forward: target is not given");
  EXPECT_EQ(message_of<ShapeError>([&] { NLLLoss<float>({.weight = Tensor<float>({4})})(x, t); }),
            "NLLLoss::forward: weight is [4], expected [3]");
}

TEST(LossErrors, OptionsAreChecked) {
  EXPECT_EQ(message_of<ShapeError>([] {
              NLLLoss<float>({.weight = Tensor<float>({2, 3})});
            }),
            "NLLLoss: weight is [2, 3], expected [C]");
  EXPECT_EQ(message_of<ShapeError>([] { CrossEntropyLoss<float>({.weight = Tensor<float>(Shape{})}); }),
            "CrossEntropyLoss: weight is [], expected [C]");
  for (const double bad : {-0.1, 1.1, kNan}) {
    EXPECT_EQ(message_of<Error>([&] { CrossEntropyLoss<float>({.label_smoothing = bad}); }),
              "CrossEntropyLoss: label_smoothing is " + std::to_string(bad) + ", expected 0 to 1");
  }
  for (const double bad : {-0.5, kNan, std::numeric_limits<double>::infinity()}) {
    EXPECT_EQ(message_of<Error>([&] { SmoothL1Loss<float>({.beta = bad}); }),
              "SmoothL1Loss: beta is " + std::to_string(bad) + ", expected at least 0 and finite");
  }
}

}  // namespace
}  // namespace sluice
