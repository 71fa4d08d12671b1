// SPDX-License-Identifier: Apache-2.0
// The losses and their gradients against PyTorch in float64 (make_loss_golden.py).
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "golden/golden_file.h"
#include "sluice/loss.h"

namespace sluice::golden {
namespace {

template <class T>
class LossGolden : public ::testing::Test {};
TYPED_TEST_SUITE(LossGolden, ElementTypes);

/// The difference allowed, relative to the largest number of the tensor. An element takes about ten roundings
/// and functions within 3 ULP, in both libraries, and the sum of at most 600 of them in double adds 1e-13 at
/// worst. In float the losses keep double's digits but for the sigmoid's and the exponential's, 2 ULP of
/// float32, and for one rounding at the end.
template <class T>
constexpr double kLossTolerance = std::is_same_v<T, double> ? 1e-12 : 1e-6;

template <class T>
void expect_numbers(const std::vector<double>& got, const std::vector<double>& want,
                    const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  double largest = 0;
  for (const double value : want) largest = std::isnan(value) ? largest : std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_TRUE(std::isnan(want[i]) ? std::isnan(got[i])
                                    : std::abs(got[i] - want[i]) <= kLossTolerance<T> * largest)
        << what << " element " << i << ": got " << got[i] << ", want " << want[i] << ", largest " << largest;
  }
}

/// Checks call(reduction, run options), the loss of a case, for every reduction.
template <class T, class Call>
void expect_case(const GoldenFile<T>& file, const std::string& name, const std::vector<std::int64_t>& lengths,
                 const Call& call) {
  const LossRunOptions with_grad{.lengths = lengths, .with_grad = true};
  for (const auto& [reduction, suffix] :
       {std::pair(Reduction::kNone, std::string("none")), std::pair(Reduction::kMean, std::string("mean")),
        std::pair(Reduction::kSum, std::string("sum"))}) {
    const std::string what = name + "." + suffix;
    const bool is_none = reduction == Reduction::kNone;
    const LossOutput<T> out = call(reduction, with_grad);
    const auto grad = file.want(name + (suffix == "mean" ? ".grad_mean" : ".grad_sum"));
    ASSERT_EQ(out.grad.shape().to_string(), grad.shape().to_string()) << what;
    expect_numbers<T>(elements<T>(out.grad), elements(grad), what + " gradient");
    expect_numbers<T>({out.value}, elements(file.want(name + (is_none ? ".sum" : "." + suffix))), what);
    ASSERT_EQ(out.values.is_null(), !is_none) << what;
    if (is_none) {
      ASSERT_EQ(out.values.shape().to_string(), file.want(what).shape().to_string()) << what;
      expect_numbers<T>(elements<T>(out.values), elements(file.want(what)), what);
    }

    const LossOutput<T> alone = call(reduction, {.lengths = lengths});
    EXPECT_TRUE(alone.grad.is_null()) << what;
    EXPECT_TRUE(alone.value == out.value || (std::isnan(alone.value) && std::isnan(out.value))) << what;
  }
}

template <class T>
Tensor<T> given(const GoldenFile<T>& file, const std::string& name) {
  return file.contains(name) ? Tensor<T>(file.in(name)) : Tensor<T>();
}

template <class T>
Tensor<std::int64_t> class_indices(TensorView<const T> values) {
  Tensor<std::int64_t> indices(values.shape());
  std::size_t i = 0;
  for (const double value : elements(values)) indices.data()[i++] = static_cast<std::int64_t>(value);
  return indices;
}

/// Calls check(name, options, lengths) for each case of that type; there must be `count` of them.
template <class T, class Check>
void for_each_case(const GoldenFile<T>& file, const std::string& type, std::size_t count,
                   const Check& check) {
  std::size_t cases = 0;
  for (const auto& [name, options] : file.cases()) {
    if (options.text("type") != type) continue;
    const bool has_lengths = name.find("lengths") != std::string::npos;
    check(name, options, has_lengths ? options.integers("lengths") : std::vector<std::int64_t>());
    ++cases;
  }
  EXPECT_EQ(cases, count);
}

TYPED_TEST(LossGolden, BCELossMatchesPyTorch) {
  using T = TypeParam;
  const GoldenFile<T> file("losses");
  for_each_case(file, "bce", 6, [&](const auto& name, const auto&, const auto& lengths) {
    expect_case(file, name, lengths, [&](Reduction reduction, const LossRunOptions& run) {
      const BCELoss<T> loss({.weight = given(file, name + ".weight"), .reduction = reduction});
      return loss(file.in(name + ".input"), file.in(name + ".target"), run);
    });
  });
}

TYPED_TEST(LossGolden, BCEWithLogitsLossMatchesPyTorch) {
  using T = TypeParam;
  const GoldenFile<T> file("losses");
  for_each_case(file, "bce_with_logits", 6, [&](const auto& name, const auto&, const auto& lengths) {
    expect_case(file, name, lengths, [&](Reduction reduction, const LossRunOptions& run) {
      const BCEWithLogitsLoss<T> loss({.weight = given(file, name + ".weight"),
                                       .pos_weight = given(file, name + ".pos_weight"),
                                       .reduction = reduction});
      return loss(file.in(name + ".input"), file.in(name + ".target"), run);
    });
  });
}

TYPED_TEST(LossGolden, NLLLossMatchesPyTorch) {
  using T = TypeParam;
  const GoldenFile<T> file("losses");
  for_each_case(file, "nll", 8, [&](const auto& name, const auto& options, const auto& lengths) {
    expect_case(file, name, lengths, [&](Reduction reduction, const LossRunOptions& run) {
      const NLLLoss<T> loss({.weight = given(file, name + ".weight"),
                             .ignore_index = options.integers("ignore_index").at(0),
                             .reduction = reduction});
      return loss(file.in(name + ".input"), class_indices(file.in(name + ".target")), run);
    });
  });
}

TYPED_TEST(LossGolden, CrossEntropyLossMatchesPyTorch) {
  using T = TypeParam;
  const GoldenFile<T> file("losses");
  for_each_case(file, "cross_entropy", 19, [&](const auto& name, const auto& options, const auto& lengths) {
    expect_case(file, name, lengths, [&](Reduction reduction, const LossRunOptions& run) {
      const CrossEntropyLoss<T> loss({.weight = given(file, name + ".weight"),
                                      .ignore_index = options.integers("ignore_index").at(0),
                                      .reduction = reduction,
                                      .label_smoothing = options.number("label_smoothing")});
      return loss(file.in(name + ".input"), class_indices(file.in(name + ".target")), run);
    });
  });
}

TYPED_TEST(LossGolden, MSELossMatchesPyTorch) {
  using T = TypeParam;
  const GoldenFile<T> file("losses");
  for_each_case(file, "mse", 2, [&](const auto& name, const auto&, const auto& lengths) {
    expect_case(file, name, lengths, [&](Reduction reduction, const LossRunOptions& run) {
      return MSELoss<T>({.reduction = reduction})(file.in(name + ".input"), file.in(name + ".target"), run);
    });
  });
}

TYPED_TEST(LossGolden, L1LossMatchesPyTorch) {
  using T = TypeParam;
  const GoldenFile<T> file("losses");
  for_each_case(file, "l1", 2, [&](const auto& name, const auto&, const auto& lengths) {
    expect_case(file, name, lengths, [&](Reduction reduction, const LossRunOptions& run) {
      return L1Loss<T>({.reduction = reduction})(file.in(name + ".input"), file.in(name + ".target"), run);
    });
  });
}

TYPED_TEST(LossGolden, SmoothL1LossMatchesPyTorch) {
  using T = TypeParam;
  const GoldenFile<T> file("losses");
  for_each_case(file, "smooth_l1", 6, [&](const auto& name, const auto& options, const auto& lengths) {
    expect_case(file, name, lengths, [&](Reduction reduction, const LossRunOptions& run) {
      const SmoothL1Loss<T> loss({.beta = options.number("beta"), .reduction = reduction});
      return loss(file.in(name + ".input"), file.in(name + ".target"), run);
    });
  });
}

}  // namespace
}  // namespace sluice::golden
