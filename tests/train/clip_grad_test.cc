// SPDX-License-Identifier: Apache-2.0
#include "sluice/clip_grad.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "sluice/error.h"
#include "support/expect_same_bits.h"
#include "support/module_promises.h"
#include "support/random.h"

namespace sluice {
namespace {

using test::message_of;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// [3, 4] and [12]: norms 13 (p = 2), 19 (p = 1), 12 (the largest).
template <class T>
Parameters<T> small() {
  Parameters<T> parameters({{"a", {2}}, {"b", {1}}});
  parameters.grad(0)(0) = 3;
  parameters.grad(0)(1) = -4;
  parameters.grad(1)(0) = 12;
  return parameters;
}

TEST(ClipGradNorm, ScalesAllByOneFactor) {
  Parameters<double> parameters = small<double>();
  EXPECT_EQ(clip_grad_norm(parameters, 6.5), 13);
  const double scale = 6.5 / (13 + 1e-6);
  EXPECT_EQ(parameters.grad(0)(0), 3 * scale);
  EXPECT_EQ(parameters.grad(0)(1), -4 * scale);
  EXPECT_EQ(parameters.grad(1)(0), 12 * scale);
}

TEST(ClipGradNorm, HasEveryNorm) {
  Parameters<float> parameters = small<float>();
  EXPECT_EQ(clip_grad_norm(parameters, 100, {.norm_type = 1}), 19);
  EXPECT_EQ(clip_grad_norm(parameters, 100, {.norm_type = 2}), 13);
  EXPECT_EQ(clip_grad_norm(parameters, 100, {.norm_type = kInfinity}), 12);
  // pow's own error, below 1 ULP each time.
  EXPECT_NEAR(clip_grad_norm(parameters, 100, {.norm_type = 3}), std::cbrt(27 + 64 + 1728), 1e-13);
}

TEST(ClipGradNorm, ASmallNormChangesNothing) {
  Parameters<float> parameters = small<float>();
  EXPECT_EQ(clip_grad_norm(parameters, 13.1), 13);
  const Parameters<float> before = small<float>();
  expect_same_bits<float>(parameters.grads(), before.grads());
  parameters.zero_grad();
  EXPECT_EQ(clip_grad_norm(parameters, 0), 0);
  EXPECT_EQ(clip_grad_norm(parameters, 1, {.norm_type = kInfinity}), 0);
}

TEST(ClipGradNorm, FrozenParametersTakeNoPart) {
  Parameters<float> parameters = small<float>();
  parameters.freeze("b");
  EXPECT_EQ(clip_grad_norm(parameters, 2.5), 5);
  EXPECT_EQ(parameters.grad(1)(0), 12);
  clip_grad_value(parameters, 1);
  EXPECT_EQ(parameters.grad(1)(0), 12);
}

template <class T>
void expect_threads_do_not_matter(double norm_type) {
  const std::vector<ParameterInfo> infos{{"a", {100003}}, {"b", {1}}, {"c", {0}}, {"d", {33, 1001}}};
  const auto clipped = [&](int threads, double& norm) {
    Parameters<T> parameters(infos);
    for (std::size_t i = 0; i < infos.size(); ++i) {
      const std::vector<T> random = random_vector<T>(infos[i].shape.size(), -1, 1, i + 1);
      std::copy(random.begin(), random.end(), parameters.grad(i).data());
    }
    norm = clip_grad_norm(parameters, 1e-3, {.norm_type = norm_type}, {.threads = threads});
    return parameters;
  };
  double want_norm = 0;
  const Parameters<T> want = clipped(1, want_norm);
  for (const int threads : {2, 3, 7, 0}) {
    double norm = 0;
    const Parameters<T> got = clipped(threads, norm);
    expect_same_bits(norm, want_norm);
    expect_same_bits<T>(got.grads(), want.grads());
  }
}

TEST(ClipGradNorm, AnyNumberOfThreadsGivesTheSameBits) {
  for (const double norm_type : {1.0, 2.0, 2.5, kInfinity}) {
    expect_threads_do_not_matter<float>(norm_type);
    expect_threads_do_not_matter<double>(norm_type);
  }
}

// Of n squares below 1 in double: at most n roundings of the sum, in practice far fewer.
TEST(ClipGradNorm, IsTheNormAtEverySize) {
  for (const std::size_t size : {0, 1, 15, 16, 17, 16384, 16385, 50001}) {
    Parameters<float> parameters({{"a", {size}}, {"b", {1}}});
    const std::vector<float> random = random_vector<float>(size, -1, 1, size);
    std::copy(random.begin(), random.end(), parameters.grad(0).data());
    parameters.grad(1)(0) = 0.5F;
    long double sum = 0.25L, largest = 0.5L;
    for (const float v : random) {
      sum += static_cast<long double>(v) * v;
      largest = std::max(largest, std::abs(static_cast<long double>(v)));
    }
    const auto want = static_cast<double>(std::sqrt(sum));
    EXPECT_NEAR(clip_grad_norm(parameters, 1e9), want, 1e-14 * want) << size;
    EXPECT_EQ(clip_grad_norm(parameters, 1e9, {.norm_type = kInfinity}), static_cast<double>(largest))
        << size;
  }
}

TEST(ClipGradNorm, NaNAndInfinityAreReportedAndActAsInPyTorch) {
  for (const double norm_type : {1.0, 2.0, 3.0, kInfinity}) {
    Parameters<double> parameters = small<double>();
    parameters.grad(0)(1) = kNaN;
    EXPECT_TRUE(std::isnan(clip_grad_norm(parameters, 1, {.norm_type = norm_type})));
    EXPECT_TRUE(std::isnan(parameters.grad(1)(0)));
    parameters = small<double>();
    parameters.grad(0)(1) = -kInfinity;
    EXPECT_EQ(clip_grad_norm(parameters, 1, {.norm_type = norm_type}), kInfinity);
    EXPECT_EQ(parameters.grad(1)(0), 0);
    EXPECT_TRUE(std::isnan(parameters.grad(0)(1)));
    // In every lane of the sum, and behind the last whole set of lanes.
    for (std::size_t i = 0; i < 19; ++i) {
      Parameters<float> one({{"a", {19}}});
      one.grad(0)(i) = std::numeric_limits<float>::quiet_NaN();
      one.grad(0)((i + 1) % 19) = 5;
      EXPECT_TRUE(std::isnan(clip_grad_norm(one, 1, {.norm_type = norm_type}))) << i;
    }
  }
}

TEST(ClipGradNorm, CanRefuseWhatIsNotFinite) {
  Parameters<float> parameters = small<float>();
  parameters.grad(1)(0) = std::numeric_limits<float>::infinity();
  EXPECT_EQ(message_of<Error>([&] { clip_grad_norm(parameters, 1, {.error_if_nonfinite = true}); }),
            "clip_grad_norm: the norm of the gradients is inf, expected a finite one");
  EXPECT_EQ(parameters.grad(0)(0), 3);
  EXPECT_EQ(message_of<Error>([&] { clip_grad_norm(parameters, -1); }),
            "clip_grad_norm: max_norm is -1, expected at least 0 and finite");
  EXPECT_EQ(message_of<Error>([&] { clip_grad_norm(parameters, 1, {.norm_type = 0}); }),
            "clip_grad_norm: norm_type is 0, expected above 0, or infinity");
  EXPECT_EQ(message_of<Error>([&] { clip_grad_norm(parameters, 1, {.norm_type = kNaN}); }),
            "clip_grad_norm: norm_type is nan, expected above 0, or infinity");
}

TEST(ClipGradValue, ClampsEachElement) {
  Parameters<float> parameters({{"a", {5}}});
  const std::vector<float> given{-3, -0.5, std::numeric_limits<float>::quiet_NaN(), 1, 7};
  std::copy(given.begin(), given.end(), parameters.grad(0).data());
  clip_grad_value(parameters, 1);
  const std::vector<float> want{-1, -0.5, std::numeric_limits<float>::quiet_NaN(), 1, 1};
  expect_same_bits<float>(std::span<const float>(parameters.grad(0).data(), 5), want);
  clip_grad_value(parameters, 0);
  EXPECT_EQ(parameters.grad(0)(4), 0);
  EXPECT_EQ(message_of<Error>([&] { clip_grad_value(parameters, kNaN); }),
            "clip_grad_value: clip_value is nan, expected at least 0");
}

}  // namespace
}  // namespace sluice
