// SPDX-License-Identifier: Apache-2.0
#include "sluice/loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "reference/loss.h"
#include "sluice/activations.h"
#include "sluice/error.h"
#include "sluice/sigmoid.h"
#include "sluice/target.h"
#include "support/expect_same_bits.h"
#include "support/expect_ulp.h"
#include "support/for_each_target.h"
#include "support/module_promises.h"
#include "support/random.h"

namespace sluice {
namespace {

using test::message_of;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Sizes about those of vectors, of what a loss works on at a time, and of what is added one by one.
constexpr std::size_t kSizes[] = {0, 1, 15, 16, 17, 255, 256, 257, 4095, 4096, 4097, 10007};

Tensor<std::int64_t> random_classes(const Shape& shape, std::size_t count, std::uint64_t seed) {
  Random random(seed);
  Tensor<std::int64_t> classes(shape);
  for (std::int64_t& c : classes.span()) c = static_cast<std::int64_t>(random.below(count));
  return classes;
}

/// Sums of up to 10007 terms, none negative: each addition is within 2^-53 of a partial sum that is no larger
/// than the whole, and chunks are 4096 long, so at most 4099 of them follow each other. With a little more
/// for the terms.
constexpr double kSumTolerance = 5000 * 0x1p-53;

/// A loss of elements against its formula: every size, every reduction. In float an element is the function's
/// 2 ULP, one rounding, and what double adds.
template <class T, class Make, class Formula>
void expect_formula(double low, double high, double most_ulp, const Make& make, const Formula& formula) {
  for (const std::size_t size : kSizes) {
    SCOPED_TRACE(size);
    const Tensor<T> x = random_tensor<T>({size}, low, high, size + 1);
    const Tensor<T> t = random_tensor<T>({size}, 0, 1, size + 2);
    const LossOutput<T> none = make(Reduction::kNone)(x, t);
    ASSERT_EQ(none.values.shape(), x.shape());
    long double sum = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const long double want = formula(static_cast<long double>(x(i)), static_cast<long double>(t(i)));
      expect_ulp(none.values(i), want, most_ulp);
      sum += want;
    }
    const double function = sizeof(T) == 4 ? 0x1p-22 : 0x1p-49;  // of the terms themselves
    const double tolerance = static_cast<double>(sum) * (kSumTolerance + function);
    EXPECT_NEAR(none.value, static_cast<double>(sum), tolerance);
    EXPECT_NEAR(make(Reduction::kSum)(x, t).value, static_cast<double>(sum), tolerance);
    const double mean = make(Reduction::kMean)(x, t).value;
    if (size == 0) {
      EXPECT_TRUE(std::isnan(mean));
    } else {
      const auto n = static_cast<double>(size);
      EXPECT_NEAR(mean, static_cast<double>(sum) / n, tolerance / n);
    }
  }
}

template <class T>
class Losses : public ::testing::Test {};
using ElementTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Losses, ElementTypes);

// A product and a sum of logarithms within 4 ULP: 8 in double, rounded once in float.
TYPED_TEST(Losses, BCEMatchesTheFormulaAtEverySize) {
  using T = TypeParam;
  expect_formula<T>(
      0, 1, sizeof(T) == 4 ? 0.6 : 8, [](Reduction r) { return BCELoss<T>({.reduction = r}); },
      [](long double x, long double t) { return reference::bce(x, t); });
}

// log_sigmoid is within 2 ULP; in double a product, a factor and a sum come to it, in float one rounding.
TYPED_TEST(Losses, BCEWithLogitsMatchesTheFormulaAtEverySize) {
  using T = TypeParam;
  expect_formula<T>(
      -30, 30, sizeof(T) == 4 ? 3 : 8, [](Reduction r) { return BCEWithLogitsLoss<T>({.reduction = r}); },
      [](long double x, long double t) { return reference::bce_with_logits(x, t, 1); });
}

// The difference is rounded, in double; then a product or two.
TYPED_TEST(Losses, OfDifferencesMatchTheirFormulasAtEverySize) {
  using T = TypeParam;
  const double most = sizeof(T) == 4 ? 0.6 : 4;
  expect_formula<T>(
      -2, 2, most, [](Reduction r) { return MSELoss<T>({.reduction = r}); },
      [](long double x, long double t) { return (x - t) * (x - t); });
  expect_formula<T>(
      -2, 2, most, [](Reduction r) { return L1Loss<T>({.reduction = r}); },
      [](long double x, long double t) { return std::abs(x - t); });
  expect_formula<T>(
      -2, 2, most, [](Reduction r) { return SmoothL1Loss<T>({.beta = 0.75, .reduction = r}); },
      [](long double x, long double t) { return reference::smooth_l1(x, t, 0.75L); });
}

// A row's loss adds terms that are not negative: an exponential's 1.1 ULP, in float also the rounding of
// x - max (up to 8, so 8 u of the exponential), and in double up to 600 / 8 additions to a partial sum.
TYPED_TEST(Losses, CrossEntropyMatchesTheFormulaAtEverySize) {
  using T = TypeParam;
  const double tolerance = sizeof(T) == 4 ? 16 * 0x1p-24 : 100 * 0x1p-53;
  for (const std::size_t count : {1, 2, 7, 15, 16, 17, 255, 256, 257, 600}) {
    for (const std::size_t rows : {0, 1, 3, 17}) {
      SCOPED_TRACE(Shape({rows, count}).to_string());
      const Tensor<T> x = random_tensor<T>({rows, count}, -4, 4, count);
      const Tensor<std::int64_t> t = random_classes({rows}, count, rows);
      const Tensor<T> weight = random_tensor<T>({count}, 0.5, 2, 3);
      for (const double smoothing : {0.0, 0.3, 1.0}) {
        const CrossEntropyLoss<T> loss(
            {.weight = weight, .reduction = Reduction::kNone, .label_smoothing = smoothing});
        const LossOutput<T> out = loss(x, t);
        ASSERT_EQ(out.values.shape(), t.shape());
        for (std::size_t r = 0; r < rows; ++r) {
          const auto want = static_cast<double>(reference::cross_entropy<T>(
              x.view().select(0, r), static_cast<std::size_t>(t(r)), weight.view(), smoothing));
          EXPECT_NEAR(static_cast<double>(out.values(r)), want, std::abs(want) * tolerance);
        }
      }
    }
  }
}

TYPED_TEST(Losses, CrossEntropyIsExactFarOutWhereverTheLargestStands) {
  using T = TypeParam;
  const CrossEntropyLoss<T> loss({.reduction = Reduction::kSum});
  for (std::size_t k = 0; k < 19; ++k) {
    Tensor<T> x({1, 19});
    for (T& v : x.span()) v = -1000;
    x(0, k) = 1000;
    const auto right = static_cast<std::int64_t>(k);
    const LossOutput<T> good = loss(x, Tensor<std::int64_t>({1}, {right}), {.with_grad = true});
    const LossOutput<T> bad = loss(x, Tensor<std::int64_t>({1}, {(right + 1) % 19}), {.with_grad = true});
    EXPECT_EQ(good.value, 0);
    EXPECT_EQ(bad.value, 2000);
    for (std::size_t c = 0; c < 19; ++c) {
      EXPECT_EQ(good.grad(0, c), T{0});
      EXPECT_EQ(bad.grad(0, c), static_cast<T>(c == k) - static_cast<T>(c == (k + 1) % 19));
    }
  }
}

/// `loss(x, run)` against (loss(x + h) - loss(x - h)) / 2h. Third derivatives here are below 500 (BCE's is
/// 2 / x^3 for x >= 0.2, with weights to 2), so the difference is off by h^2 / 6 times that, 8e-9, and the
/// values, sums below 100, by 1e-14 / h = 1e-9.
template <class Loss>
void expect_gradient(Tensor<double> x, const Loss& loss) {
  constexpr double kStep = 1e-5;
  const Tensor<double> grad = loss(x, true).grad;
  ASSERT_EQ(grad.shape(), x.shape());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double at = x.data()[i];
    x.data()[i] = at + kStep;
    const double above = loss(x, false).value;
    x.data()[i] = at - kStep;
    const double below = loss(x, false).value;
    x.data()[i] = at;
    EXPECT_NEAR(grad.data()[i], (above - below) / (2 * kStep), 1e-8) << "element " << i;
  }
}

template <class Loss, class Target>
void expect_gradients(const Tensor<double>& x, const Target& target, const Loss& loss) {
  const std::vector<std::int64_t> lengths{2, 0, 4};
  for (const bool is_masked : {false, true}) {
    SCOPED_TRACE(is_masked ? "with lengths" : "without lengths");
    expect_gradient(x, [&](const Tensor<double>& at, bool with_grad) {
      const std::span<const std::int64_t> given(lengths);
      return loss(at, target, {.lengths = is_masked ? given : given.first(0), .with_grad = with_grad});
    });
  }
}

TEST(LossGradients, MatchCentralDifferences) {
  const Shape shape{4, 3, 5};
  const Tensor<double> probabilities = random_tensor<double>(shape, 0.2, 0.8, 1);
  const Tensor<double> x = random_tensor<double>(shape, -3, 3, 2);
  const Tensor<double> t = random_tensor<double>(shape, 0, 1, 3);
  const Tensor<double> weight = random_tensor<double>({3, 1}, 0.5, 2, 4);
  const Tensor<double> pos_weight = random_tensor<double>({5}, 0.5, 2, 5);
  const Tensor<double> class_weight = random_tensor<double>({5}, 0.5, 2, 6);
  Tensor<std::int64_t> classes = random_classes({4, 3}, 5, 7);
  classes(0, 0) = -100;
  for (const Reduction r : {Reduction::kNone, Reduction::kMean, Reduction::kSum}) {
    SCOPED_TRACE(static_cast<int>(r));
    expect_gradients(probabilities, t, BCELoss<double>({.weight = weight, .reduction = r}));
    expect_gradients(x, t,
                     BCEWithLogitsLoss<double>({.weight = weight, .pos_weight = pos_weight, .reduction = r}));
    expect_gradients(x, classes, NLLLoss<double>({.weight = class_weight, .reduction = r}));
    for (const double smoothing : {0.0, 0.25}) {
      expect_gradients(
          x, classes,
          CrossEntropyLoss<double>({.weight = class_weight, .reduction = r, .label_smoothing = smoothing}));
    }
    expect_gradients(x, t, MSELoss<double>({.reduction = r}));
    expect_gradients(x, t, L1Loss<double>({.reduction = r}));
    expect_gradients(x, t, SmoothL1Loss<double>({.beta = 0.75, .reduction = r}));
  }
}

TYPED_TEST(Losses, BCEIsFiniteAtZeroAndOne) {
  using T = TypeParam;
  const Tensor<T> x({4}, {0, 0, 1, 1});
  const Tensor<T> t({4}, {0, 1, 0, 1});
  const LossOutput<T> out = BCELoss<T>({.reduction = Reduction::kNone})(x, t, {.with_grad = true});
  const auto steep = static_cast<T>(1 / static_cast<double>(1e-12F));
  const Tensor<T> values({4}, {0, 100, 100, 0}), grads({4}, {0, -steep, steep, 0});
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(out.values(i), values(i)) << i;
    EXPECT_EQ(out.grad(i), grads(i)) << i;
  }
}

TYPED_TEST(Losses, BCEWithLogitsIsExactFarOut) {
  using T = TypeParam;
  const Tensor<T> x({4}, {1000, 1000, -1000, -1000});
  const Tensor<T> t({4}, {0, 1, 0, 1});
  const BCEWithLogitsLoss<T> loss({.reduction = Reduction::kNone});
  const LossOutput<T> out = loss(x, t, {.with_grad = true});
  for (const std::size_t i : {0, 3}) EXPECT_EQ(out.values(i), T{1000});
  for (const std::size_t i : {1, 2}) EXPECT_EQ(out.values(i), T{0});
  EXPECT_EQ(out.grad(0), T{1});
  EXPECT_EQ(out.grad(1), T{0});
  EXPECT_EQ(out.grad(2), T{0});
  EXPECT_EQ(out.grad(3), T{-1});
}

// Where (1 - t) x - log_sigmoid(x) as it stands would leave nothing, and where PyTorch leaves half the
// digits.
TYPED_TEST(Losses, BCEWithLogitsKeepsSmallLossesAndGradients) {
  using T = TypeParam;
  const BCEWithLogitsLoss<T> loss({.reduction = Reduction::kNone});
  for (const double size : {1.0, 5.0, 16.0, 20.0, 40.0, 80.0}) {
    SCOPED_TRACE(size);
    const Tensor<T> x({2}, {static_cast<T>(-size), static_cast<T>(size)});
    const Tensor<T> t({2}, {0, 1});
    const LossOutput<T> out = loss(x, t, {.with_grad = true});
    const long double e = std::exp(-static_cast<long double>(size));
    for (const std::size_t i : {0, 1}) {
      expect_ulp(out.values(i), std::log1p(e), 3);
      expect_ulp(out.grad(i), (i == 0 ? 1 : -1) * e / (1 + e), 3);
    }
  }
}

TYPED_TEST(Losses, BCEWithLogitsIsTheOneSigmoid) {
  using T = TypeParam;
  const Tensor<T> x = random_tensor<T>({1000}, -100, 100, 1);
  const Tensor<T> zeros({1000});
  const BCEWithLogitsLoss<T> loss({.reduction = Reduction::kSum});
  expect_same_bits(loss(x, zeros, {.with_grad = true}).grad, sigmoid(x));

  const Tensor<T> positive = random_tensor<T>({1000}, 0, 100, 2);
  Tensor<T> ones({1000});
  for (T& v : ones.span()) v = 1;
  const BCEWithLogitsLoss<T> each({.reduction = Reduction::kNone});
  Tensor<T> want = log_sigmoid(positive.view());
  for (T& v : want.span()) v = -v;
  expect_same_bits(each(positive, ones).values, want);
}

// sigmoid is within 2 ULP of p, and log(p) moves by that over p times its slope 1 / p: 2 ULP of 1, 4.4e-16;
// 1 - p = sigmoid(-x) is above 3e-4 here, so its logarithm moves by 3000 times as much and the gradient's
// denominator too.
TEST(Losses, BCEOfSigmoidIsBCEWithLogits) {
  const Tensor<double> x = random_tensor<double>({1000}, -8, 8, 1);
  const Tensor<double> t = random_tensor<double>({1000}, 0, 1, 2);
  const Tensor<double> weight = random_tensor<double>({1000}, 0.5, 2, 3);
  const Tensor<double> p = sigmoid(x);
  for (const Reduction r : {Reduction::kNone, Reduction::kMean}) {
    const auto of_p = BCELoss<double>({.weight = weight, .reduction = r})(p, t, {.with_grad = true});
    const auto of_x =
        BCEWithLogitsLoss<double>({.weight = weight, .reduction = r})(x, t, {.with_grad = true});
    EXPECT_NEAR(of_p.value, of_x.value, 1e-13 * of_x.value);
    const Tensor<double> through = sigmoid_backward(p, of_p.grad);
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_NEAR(through(i), of_x.grad(i), 1e-11);
      if (r == Reduction::kMean) continue;
      EXPECT_NEAR(of_p.values(i), of_x.values(i), 1e-11);
    }
  }
}

TEST(Losses, CrossEntropyIsNLLOfLogSoftmax) {
  const Tensor<double> x = random_tensor<double>({6, 9}, -5, 5, 1);
  const Tensor<std::int64_t> t = random_classes({6}, 9, 2);
  Tensor<double> log_p = softmax(x.view());
  for (double& p : log_p.span()) p = std::log(p);
  // Logarithms to -12 of numbers within a few ULP.
  EXPECT_NEAR(CrossEntropyLoss<double>()(x, t).value, NLLLoss<double>()(log_p, t).value, 1e-14);
}

// --- Targets that are ignored, rows that end
// ----------------------------------------------------------------

template <class Loss>
void expect_ignored(const Loss& loss) {
  const Tensor<double> x = random_tensor<double>({3, 4}, -3, -1, 1);
  const Tensor<std::int64_t> t({3}, {-100, -100, -100});
  const auto out = loss(x, t, {.with_grad = true});
  EXPECT_TRUE(loss.options().reduction == Reduction::kMean ? std::isnan(out.value) : out.value == 0);
  for (const double g : out.grad.span()) EXPECT_EQ(g, 0);
  for (const double v : out.values.span()) EXPECT_EQ(v, 0);
}

TEST(Losses, OfOnlyIgnoredTargetsHaveNoMean) {
  for (const Reduction r : {Reduction::kNone, Reduction::kMean, Reduction::kSum}) {
    expect_ignored(NLLLoss<double>({.reduction = r}));
    expect_ignored(CrossEntropyLoss<double>({.reduction = r}));
    expect_ignored(CrossEntropyLoss<double>({.reduction = r, .label_smoothing = 0.1}));
  }
}

TEST(Losses, AnIgnoredRowIsAsIfItWereNotThere) {
  Tensor<double> x = random_tensor<double>({5, 4}, -3, 3, 1);
  Tensor<std::int64_t> t = random_classes({5}, 4, 2);
  const CrossEntropyLoss<double> loss({.ignore_index = 7, .label_smoothing = 0.2});
  const auto want = loss(x.view().narrow(0, 0, 4), t.view().narrow(0, 0, 4), {.with_grad = true});
  for (std::size_t c = 0; c < 4; ++c) x(4, c) = kNan;
  t(4) = 7;
  const auto got = loss(x, t, {.with_grad = true});
  expect_same_bits(got.value, want.value);
  expect_same_bits<double>(got.grad.view().narrow(0, 0, 4), want.grad);
  for (std::size_t c = 0; c < 4; ++c) EXPECT_EQ(got.grad(4, c), 0);
}

/// A batch with NaN past the rows' ends against the losses and gradients of the whole batch, one by one.
/// `padding` is what stands in the target there.
template <class T, class Target, class Make>
void expect_masked(Tensor<T> x, Tensor<Target> target, Target padding, const Make& make) {
  const std::vector<std::int64_t> lengths{3, 0, 5, 1};
  const std::size_t T_ = x.dim(0), B = x.dim(1), F = x.dim(2);
  const std::size_t F_target = target.rank() == 3 ? F : 1;
  const auto all = make(Reduction::kNone)(x, target, {.with_grad = true});
  for (std::size_t t = 0; t < T_; ++t) {
    for (std::size_t b = 0; b < B; ++b) {
      if (t < static_cast<std::size_t>(lengths[b])) continue;
      for (std::size_t f = 0; f < F; ++f) x(t, b, f) = std::numeric_limits<T>::quiet_NaN();
      for (std::size_t f = 0; f < F_target; ++f) target.data()[(t * B + b) * F_target + f] = padding;
    }
  }
  const LossRunOptions run{.lengths = lengths, .with_grad = true};
  const auto none = make(Reduction::kNone)(x, target, run);
  const auto mean = make(Reduction::kMean)(x, target, run);
  const auto sum = make(Reduction::kSum)(x, target, run);
  double want = 0;
  std::size_t count = 0;
  for (std::size_t i = 0; i < all.values.size(); ++i) {
    const std::size_t step = i / F_target;
    const bool counts = step / B < static_cast<std::size_t>(lengths[step % B]);
    expect_same_bits(none.values.data()[i], counts ? all.values.data()[i] : T{0});
    want += counts ? static_cast<double>(all.values.data()[i]) : 0;
    count += counts;
  }
  const double tolerance = want * 4 * static_cast<double>(std::numeric_limits<T>::epsilon());
  EXPECT_NEAR(sum.value, want, tolerance);
  expect_same_bits(none.value, sum.value);
  expect_same_bits(mean.value, sum.value / static_cast<double>(count));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t step = i / F;
    const bool counts = step / B < static_cast<std::size_t>(lengths[step % B]);
    const T grad = counts ? all.grad.data()[i] : T{0};
    expect_same_bits(sum.grad.data()[i], grad);
    expect_same_bits(none.grad.data()[i], grad);
    const double part = static_cast<double>(grad) / static_cast<double>(count);
    EXPECT_NEAR(static_cast<double>(mean.grad.data()[i]), part,
                std::abs(part) * 4 * static_cast<double>(std::numeric_limits<T>::epsilon()));
  }
}

TYPED_TEST(Losses, StepsPastARowsLengthDoNotCount) {
  using T = TypeParam;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for (const std::size_t features : {1, 3, 100}) {  // 100: blocks begin and end within rows
    SCOPED_TRACE(features);
    const Shape shape{5, 4, features};
    const Tensor<T> x = random_tensor<T>(shape, -3, 3, 1);
    const Tensor<T> t = random_tensor<T>(shape, 0, 1, 2);
    expect_masked<T, T>(random_tensor<T>(shape, 0, 1, 3), t, nan,
                        [](Reduction r) { return BCELoss<T>({.reduction = r}); });
    expect_masked<T, T>(x, t, nan, [](Reduction r) { return BCEWithLogitsLoss<T>({.reduction = r}); });
    expect_masked<T, T>(x, t, nan, [](Reduction r) { return MSELoss<T>({.reduction = r}); });
    expect_masked<T, T>(x, t, nan, [](Reduction r) { return L1Loss<T>({.reduction = r}); });
    expect_masked<T, T>(x, t, nan, [](Reduction r) { return SmoothL1Loss<T>({.reduction = r}); });
    const Tensor<std::int64_t> classes = random_classes({5, 4}, features, 4);
    expect_masked<T, std::int64_t>(random_tensor<T>(shape, -9, -1, 3), classes, 1000000,
                                   [](Reduction r) { return NLLLoss<T>({.reduction = r}); });
    expect_masked<T, std::int64_t>(x, classes, -7,
                                   [](Reduction r) { return CrossEntropyLoss<T>({.reduction = r}); });
  }
}

TEST(Losses, OfRowsWithoutStepsHaveNoMean) {
  const std::vector<std::int64_t> lengths{0, 0};
  const Tensor<double> x({3, 2, 4}), t({3, 2, 4});
  const LossRunOptions run{.lengths = lengths, .with_grad = true};
  const auto mean = MSELoss<double>()(x, t, run);
  EXPECT_TRUE(std::isnan(mean.value));
  for (const double g : mean.grad.span()) EXPECT_EQ(g, 0);
  EXPECT_EQ(MSELoss<double>({.reduction = Reduction::kSum})(x, t, run).value, 0);
  const auto classes = CrossEntropyLoss<double>()(x, Tensor<std::int64_t>({3, 2}), run);
  EXPECT_TRUE(std::isnan(classes.value));
  for (const double g : classes.grad.span()) EXPECT_EQ(g, 0);
}

TEST(Losses, OfNothingAreEmpty) {
  for (const Shape& shape : {Shape{0}, Shape{0, 3}, Shape{4, 0}, Shape{2, 0, 3}}) {
    SCOPED_TRACE(shape.to_string());
    const Tensor<float> x(shape), t(shape);
    const auto out = BCELoss<float>()(x, t, {.with_grad = true});
    EXPECT_TRUE(std::isnan(out.value));
    EXPECT_EQ(out.grad.shape(), shape);
    EXPECT_EQ(MSELoss<float>({.reduction = Reduction::kSum})(x, t).value, 0);
  }
  const auto rows = CrossEntropyLoss<float>()(Tensor<float>({0, 5}), Tensor<std::int64_t>({0}));
  EXPECT_TRUE(std::isnan(rows.value));
  // No class at all: there is no right one either.
  EXPECT_EQ(message_of<Error>([] {
              CrossEntropyLoss<float>()(Tensor<float>({2, 0}), Tensor<std::int64_t>({2}));
            }),
            "CrossEntropyLoss::forward: target[0] is 0, expected a class in [0, 0) or ignore_index, -100");
}

// --- The same bits
// ------------------------------------------------------------------------------------------

template <class T>
void expect_same_output(const LossOutput<T>& got, const LossOutput<T>& want) {
  expect_same_bits(got.value, want.value);
  ASSERT_EQ(got.values.is_null(), want.values.is_null());
  if (!want.values.is_null()) expect_same_bits(got.values, want.values);
  expect_same_bits(got.grad, want.grad);
}

/// Calls check(name, loss) for every loss over x [T, B, F], loss(x, run) being the loss of x: or, of a part
/// of its batch's rows, loss(x, run, first row).
template <class T, class Check>
void for_each_loss(const Shape& shape, Reduction r, const Check& check) {
  const Tensor<T> t = random_tensor<T>(shape, 0, 1, 2);
  const Tensor<T> weight = random_tensor<T>({shape[2]}, 0.5, 2, 3);
  const Tensor<std::int64_t> classes = random_classes({shape[0], shape[1]}, shape[2], 4);
  const auto with = [&](const std::string& name, const auto& loss, const auto& target) {
    SCOPED_TRACE(name);
    check([&](TensorView<const T> x, const LossRunOptions& run) { return loss(x, target, run); });
  };
  with("BCELoss", BCELoss<T>({.weight = weight, .reduction = r}), t);
  with("BCEWithLogitsLoss", BCEWithLogitsLoss<T>({.weight = weight, .pos_weight = weight, .reduction = r}),
       t);
  with("NLLLoss", NLLLoss<T>({.weight = weight, .reduction = r}), classes);
  with("CrossEntropyLoss", CrossEntropyLoss<T>({.weight = weight, .reduction = r, .label_smoothing = 0.1}),
       classes);
  with("MSELoss", MSELoss<T>({.reduction = r}), t);
  with("L1Loss", L1Loss<T>({.reduction = r}), t);
  with("SmoothL1Loss", SmoothL1Loss<T>({.beta = 0.25, .reduction = r}), t);
}

TYPED_TEST(Losses, AnyNumberOfThreadsGivesTheSameBits) {
  using T = TypeParam;
  const Shape shape{101, 37, 83};  // some 310000 elements: enough for every thread asked for
  const Tensor<T> x = random_tensor<T>(shape, 0, 1, 1);
  std::vector<std::int64_t> lengths;
  for (std::size_t b = 0; b < shape[1]; ++b) lengths.push_back(static_cast<std::int64_t>(b * 13 % 102));
  for (const Reduction r : {Reduction::kNone, Reduction::kMean}) {
    for_each_loss<T>(shape, r, [&](const auto& loss) {
      const auto want = loss(x, {.lengths = lengths, .with_grad = true, .threads = 1});
      for (const int threads : {0, 2, 3, 7}) {
        SCOPED_TRACE(threads);
        expect_same_output(loss(x, {.lengths = lengths, .with_grad = true, .threads = threads}), want);
        expect_same_bits(loss(x, {.lengths = lengths, .threads = threads}).value, want.value);
      }
    });
  }
}

TYPED_TEST(Losses, EveryInstructionSetWithFmaGivesTheSameBits) {
  using T = TypeParam;
  const Shape shape{7, 5, 19};
  const Tensor<T> x = random_tensor<T>(shape, 0, 1, 1);
  std::vector<LossOutput<T>> want;
  for_each_target([&](const std::string&) {
    if (!target_has_fma()) return;
    std::vector<LossOutput<T>> got;
    for_each_loss<T>(shape, Reduction::kMean,
                     [&](const auto& loss) { got.push_back(loss(x, {.with_grad = true})); });
    ASSERT_EQ(got.size(), 7u);
    if (want.empty()) want = got;
    for (std::size_t i = 0; i < got.size(); ++i) expect_same_output(got[i], want[i]);
  });
}

TYPED_TEST(Losses, StridesDoNotMatter) {
  using T = TypeParam;
  const Shape shape{6, 4, 9};
  const Tensor<T> x = random_tensor<T>(shape, 0, 1, 1);
  const Tensor<T> batch_first(x.view().transpose(0, 1));
  for_each_loss<T>(shape, Reduction::kNone, [&](const auto& loss) {
    expect_same_output(loss(batch_first.view().transpose(0, 1), {.with_grad = true}),
                       loss(x, {.with_grad = true}));
  });
  const Tensor<T> t = random_tensor<T>({4, 6, 9}, 0, 1, 2);
  expect_same_output(MSELoss<T>()(x, t.view().transpose(0, 1), {.with_grad = true}),
                     MSELoss<T>()(x, Tensor<T>(t.view().transpose(0, 1)), {.with_grad = true}));
  const Tensor<std::int64_t> classes = random_classes({4, 6}, 9, 3);
  const Tensor<std::int64_t> in_order(classes.view().transpose(0, 1));
  expect_same_output(NLLLoss<T>()(x, classes.view().transpose(0, 1), {.with_grad = true}),
                     NLLLoss<T>()(x, in_order, {.with_grad = true}));
}

TEST(Losses, WeightsAreRepeatedAsNumPyDoes) {
  const Shape shape{2, 3, 400};  // longer than what is worked on at a time
  const Tensor<double> x = random_tensor<double>(shape, -3, 3, 1);
  const Tensor<double> t = random_tensor<double>(shape, 0, 1, 2);
  const LossOutput<double> plain =
      BCEWithLogitsLoss<double>({.reduction = Reduction::kNone})(x, t, {.with_grad = true});
  for (const Shape& small : {Shape{}, Shape{1}, Shape{400}, Shape{3, 1}, Shape{3, 400}, Shape{2, 1, 1},
                             Shape{2, 1, 400}, Shape{1, 3, 1}, Shape{2, 3, 400}}) {
    SCOPED_TRACE(small.to_string());
    const Tensor<double> weight = random_tensor<double>(small, 0.5, 2, 3);
    const BCEWithLogitsLoss<double> weighted({.weight = weight, .reduction = Reduction::kNone});
    const BCEWithLogitsLoss<double> positive({.pos_weight = weight, .reduction = Reduction::kNone});
    const LossOutput<double> of_weighted = weighted(x, t, {.with_grad = true});
    const Tensor<double> of_positive = positive(x, t).values;
    const std::size_t missing = shape.rank() - small.rank();
    for (std::size_t a = 0; a < shape[0]; ++a) {
      for (std::size_t b = 0; b < shape[1]; ++b) {
        for (std::size_t c = 0; c < shape[2]; ++c) {
          const std::size_t at[] = {a, b, c};
          std::size_t offset = 0;
          for (std::size_t i = 0; i < small.rank(); ++i) {
            offset = offset * small[i] + (small[i] == 1 ? 0 : at[missing + i]);
          }
          const double w = weight.data()[offset];
          expect_same_bits(of_weighted.values(a, b, c), w * plain.values(a, b, c));
          expect_same_bits(of_weighted.grad(a, b, c), w * plain.grad(a, b, c));
          expect_ulp(of_positive(a, b, c), reference::bce_with_logits(x(a, b, c), t(a, b, c), w), 8);
        }
      }
    }
  }
}

TEST(Losses, TakeASingleElement) {
  const Tensor<double> x(Shape{}, {0.25}), t(Shape{}, {1.0});
  const auto out = BCELoss<double>({.weight = Tensor<double>(Shape{}, {2.0})})(x, t, {.with_grad = true});
  EXPECT_DOUBLE_EQ(out.value, -2 * std::log(0.25));
  EXPECT_EQ(out.grad.shape(), Shape{});
  EXPECT_DOUBLE_EQ(out.grad.data()[0], -8);
  const auto row = NLLLoss<double>()(Tensor<double>({3}, {-1, -2, -3}), Tensor<std::int64_t>(Shape{}, {2}));
  EXPECT_EQ(row.value, 3);
}

TYPED_TEST(Losses, NanIsNotHidden) {
  using T = TypeParam;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const Tensor<T> x({1, 1, 3}, {0.5, nan, 0.25}), t({1, 1, 3});
  const LossRunOptions run{.with_grad = true};
  for (const auto& out : {BCEWithLogitsLoss<T>()(x, t, run), MSELoss<T>()(x, t, run), L1Loss<T>()(x, t, run),
                          SmoothL1Loss<T>()(x, t, run)}) {
    EXPECT_TRUE(std::isnan(out.value));
    EXPECT_TRUE(std::isnan(out.grad.data()[1]));
    EXPECT_FALSE(std::isnan(out.grad.data()[0]));
  }
  for (const std::int64_t right : {0, 1, 2}) {
    const auto out = CrossEntropyLoss<T>()(x, Tensor<std::int64_t>({1, 1}, {right}), run);
    EXPECT_TRUE(std::isnan(out.value));
    for (const T g : out.grad.span()) EXPECT_TRUE(std::isnan(g));
  }
}

}  // namespace
}  // namespace sluice
