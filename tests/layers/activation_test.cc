// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/gate_math.h"
#include "sluice/error.h"
#include "sluice/layers.h"
#include "support/expect_same_bits.h"
#include "support/module_promises.h"
#include "support/random.h"

namespace sluice {
namespace {

constexpr ActivationKind kAll[] = {ActivationKind::kSigmoid,
                                   ActivationKind::kTanh,
                                   ActivationKind::kRelu,
                                   ActivationKind::kSilu,
                                   ActivationKind::kLogSigmoid,
                                   ActivationKind::kHardSigmoid,
                                   ActivationKind::kHardSigmoidOnnx,
                                   ActivationKind::kSoftmax};

double reference_value(ActivationKind kind, double x) {
  switch (kind) {
    case ActivationKind::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case ActivationKind::kTanh:
      return std::tanh(x);
    case ActivationKind::kRelu:
      return x > 0 ? x : 0;
    case ActivationKind::kSilu:
      return x / (1 + std::exp(-x));
    case ActivationKind::kLogSigmoid:
      return std::min(x, 0.0) - std::log1p(std::exp(-std::abs(x)));
    case ActivationKind::kHardSigmoid:
      return std::clamp(x / 6 + 0.5, 0.0, 1.0);
    case ActivationKind::kHardSigmoidOnnx:
      return std::clamp(0.2 * x + 0.5, 0.0, 1.0);
    case ActivationKind::kSoftmax:
      break;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

// The kernels' own tests hold them to their bounds in ULP; here it is that each name gets its function. The
// bounds are 4 ULP of the value, and of 1 where a difference from 1/2 or 1 is taken.
template <class T>
void expect_activation(ActivationKind kind) {
  const Activation<T> activation(kind);
  SCOPED_TRACE(activation.type());
  Tensor<T> x = random_tensor<T>({3, 5, 67}, -1, 1, 1);
  for (T& v : x.span()) v *= T{6};
  const Tensor<T> y = activation.forward(x);
  ASSERT_EQ(y.shape(), x.shape());
  const double tolerance = 4 * static_cast<double>(std::numeric_limits<T>::epsilon());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double want = reference_value(kind, static_cast<double>(x.data()[i]));
    ASSERT_NEAR(static_cast<double>(y.data()[i]), want, tolerance * std::max(std::abs(want), 1.0));
  }
}

TEST(Activation, EachNameIsItsFunction) {
  for (const ActivationKind kind : kAll) {
    if (kind == ActivationKind::kSoftmax) continue;
    expect_activation<float>(kind);
    expect_activation<double>(kind);
  }
}

TEST(Activation, SoftmaxWorksOverTheLastDimension) {
  const Tensor<float> x = random_tensor<float>({3, 2, 17}, -1, 1, 1);
  const Tensor<float> y = Activation<float>("Softmax").forward(x);
  for (std::size_t a = 0; a < 3; ++a) {
    for (std::size_t b = 0; b < 2; ++b) {
      double sum = 0;
      for (std::size_t i = 0; i < 17; ++i) sum += std::exp(static_cast<double>(x(a, b, i)));
      for (std::size_t i = 0; i < 17; ++i) {
        // Differences from the largest value err by half an ULP of 2, the sum by 17 roundings: below 32 u.
        const double want = std::exp(static_cast<double>(x(a, b, i))) / sum;
        EXPECT_NEAR(static_cast<double>(y(a, b, i)), want, 32 * 0x1p-24 * want);
      }
    }
  }
}

TEST(Activation, NamesGoBothWays) {
  for (const ActivationKind kind : kAll) {
    const Activation<float> activation(kind);
    EXPECT_EQ(Activation<float>(activation.type()).kind(), kind);
  }
  EXPECT_EQ(test::message_of<Error>([] { Activation<float>("GELU"); }),
            "Activation: there is none named 'GELU', expected one of Sigmoid, Tanh, ReLU, SiLU, LogSigmoid, "
            "Hardsigmoid, HardSigmoidONNX, Softmax");
}

TEST(Activation, HardSigmoidsAreTwoFunctions) {
  const Tensor<float> x({2}, {1.5f, -2.75f});
  const Tensor<float> torch = Activation<float>("Hardsigmoid").forward(x);
  const Tensor<float> onnx = Activation<float>("HardSigmoidONNX").forward(x);
  EXPECT_FLOAT_EQ(torch(0), 0.75f);
  EXPECT_FLOAT_EQ(onnx(0), 0.8f);
  EXPECT_GT(torch(1), 0.0f);
  EXPECT_EQ(onnx(1), 0.0f);
}

TEST(Activation, TakesAnyShapeAndStrides) {
  for (const ActivationKind kind : kAll) {
    const Activation<float> activation(kind);
    SCOPED_TRACE(activation.type());
    const Tensor<float> x = random_tensor<float>({7, 3, 18}, -1, 1, 2);
    const TensorView<const float> strided = x.view().transpose(0, 2).narrow(0, 1, 16);
    expect_same_bits<float>(activation.forward(strided), activation.forward(Tensor<float>(strided)).view());
    EXPECT_EQ(activation.forward(Tensor<float>({0, 4})).shape(), Shape({0, 4}));
    EXPECT_EQ(activation.forward(Tensor<float>({4, 0})).shape(), Shape({4, 0}));
    EXPECT_EQ(activation.forward(Tensor<float>(Shape(), {0.5f})).shape(), Shape());
  }
}

// Sizes that do not divide into vectors, so that rows of a batch start anywhere in one.
TEST(Activation, KeepsThePromisesOfAModule) {
  for (const ActivationKind kind : kAll) {
    const Activation<float> activation(kind);
    SCOPED_TRACE(activation.type());
    for (const std::size_t features : {1, 15, 16, 17}) {
      test::expect_module_promises<float>(activation, random_tensor<float>({5, 33, features}, -1, 1, 1));
    }
    test::expect_threads_agree<float>(activation, random_tensor<float>({401, 33, 17}, -1, 1, 1));
    test::expect_module_promises<double>(Activation<double>(kind),
                                         random_tensor<double>({3, 5, 9}, -1, 1, 1));
  }
}

TEST(Activation, HasTheBitsOfTheGateKernels) {
  const Tensor<float> x = random_tensor<float>({67}, -1, 1, 1);
  Tensor<float> want({67});
  kernels::gate_math<float>().sigmoid(x.data(), want.data(), 67);
  expect_same_bits<float>(Activation<float>("Sigmoid").forward(x), want.view());
}

}  // namespace
}  // namespace sluice
