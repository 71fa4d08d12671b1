// SPDX-License-Identifier: Apache-2.0
// The array forms on every instruction set: special values, sizes, alignment, equal bits. The errors over all
// floats are in tests/exhaustive.
#include "kernels/gate_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "reference/gate_math.h"
#include "support/expect_same_bits.h"
#include "support/expect_ulp.h"
#include "support/for_each_target.h"
#include "support/random.h"

namespace sluice {
namespace {

using kernels::gate_math;
using kernels::GateMath;

template <class T>
struct Function {
  const char* name;
  typename GateMath<T>::Map GateMath<T>::*kernel;
  long double (*reference)(long double);
  double ulp;  // bound on any target; the tighter ones with FMA are tested over all floats
};

template <class T>
const std::vector<Function<T>>& functions() {
  static const std::vector<Function<T>> all{
      {"sigmoid", &GateMath<T>::sigmoid, &reference::sigmoid, 2},
      {"tanh", &GateMath<T>::tanh, &reference::tanh, 2},
      {"log_sigmoid", &GateMath<T>::log_sigmoid, &reference::log_sigmoid, 2},
      {"hard_sigmoid", &GateMath<T>::hard_sigmoid, &reference::hard_sigmoid, 1.5},
      {"hard_sigmoid_onnx", &GateMath<T>::hard_sigmoid_onnx, &reference::hard_sigmoid_onnx, 1.5},
      {"silu", &GateMath<T>::silu, &reference::silu, 3},
      {"relu", &GateMath<T>::relu, &reference::relu, 0},
  };
  return all;
}

template <class T>
T apply(typename GateMath<T>::Map kernel, T x) {
  T y;
  kernel(&x, &y, 1);
  return y;
}

template <class T>
class GateMathTest : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(GateMathTest, Types);

// The largest n with 2^n below what a test looks at: sizes around the lane counts of all targets (4, 8, 16
// and their halves), and primes.
constexpr std::size_t kSizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 61, 127, 521};

TYPED_TEST(GateMathTest, SigmoidOfSpecialValues) {
  using T = TypeParam;
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  for_each_target([](const std::string&) {
    const auto sigmoid = gate_math<T>().sigmoid;
    expect_same_bits(apply<T>(sigmoid, 0), T(0.5));
    expect_same_bits(apply<T>(sigmoid, T(-0.0)), T(0.5));
    expect_same_bits(apply<T>(sigmoid, kInfinity), T(1));
    expect_same_bits(apply<T>(sigmoid, -kInfinity), T(0));
    expect_same_bits(apply<T>(sigmoid, std::numeric_limits<T>::max()), T(1));
    expect_same_bits(apply<T>(sigmoid, std::numeric_limits<T>::lowest()), T(0));
    expect_same_bits(apply<T>(sigmoid, std::numeric_limits<T>::denorm_min()), T(0.5));
  });
}

TYPED_TEST(GateMathTest, SigmoidReachesSubnormalResultsAndThenZero) {
  using T = TypeParam;
  const T smallest = std::numeric_limits<T>::denorm_min();
  const T subnormal = sizeof(T) == 4 ? T(-100) : T(-740);
  // Half the smallest number is exp(-103.97) and exp(-745.13).
  const T last = sizeof(T) == 4 ? T(-103.9) : T(-745.1);
  const T gone = sizeof(T) == 4 ? T(-104) : T(-745.2);
  for_each_target([&](const std::string&) {
    const auto sigmoid = gate_math<T>().sigmoid;
    EXPECT_GT(apply<T>(sigmoid, subnormal), 0);
    EXPECT_LT(apply<T>(sigmoid, subnormal), std::numeric_limits<T>::min());
    expect_ulp(apply<T>(sigmoid, subnormal), reference::sigmoid(subnormal), 1);
    expect_same_bits(apply<T>(sigmoid, last), smallest);
    expect_same_bits(apply<T>(sigmoid, gone), T(0));
  });
}

TYPED_TEST(GateMathTest, TanhOfSpecialValues) {
  using T = TypeParam;
  using Limits = std::numeric_limits<T>;
  for_each_target([](const std::string&) {
    const auto tanh = gate_math<T>().tanh;
    expect_same_bits(apply<T>(tanh, 0), T(0));
    expect_same_bits(apply<T>(tanh, T(-0.0)), T(-0.0));
    for (const T sign : {T(1), T(-1)}) {
      expect_same_bits(apply<T>(tanh, sign * Limits::infinity()), sign);
      expect_same_bits(apply<T>(tanh, sign * Limits::max()), sign);
      for (const T tiny : {Limits::denorm_min(), 7 * Limits::denorm_min(), Limits::min(), T(1e-30)})
        expect_same_bits(apply<T>(tanh, sign * tiny), sign * tiny);
    }
  });
}

TYPED_TEST(GateMathTest, OtherFunctionsOfSpecialValues) {
  using T = TypeParam;
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  for_each_target([](const std::string&) {
    const GateMath<T>& math = gate_math<T>();
    expect_same_bits(apply<T>(math.log_sigmoid, T(-1000)), T(-1000));
    expect_same_bits(apply<T>(math.log_sigmoid, T(1000)), T(-0.0));
    expect_same_bits(apply<T>(math.log_sigmoid, -kInfinity), -kInfinity);
    expect_same_bits(apply<T>(math.log_sigmoid, kInfinity), T(-0.0));
    expect_same_bits(apply<T>(math.silu, -kInfinity), T(-0.0));
    expect_same_bits(apply<T>(math.silu, kInfinity), kInfinity);
    expect_same_bits(apply<T>(math.silu, T(-2000)), T(-0.0));
    expect_same_bits(apply<T>(math.silu, T(2000)), T(2000));
    expect_same_bits(apply<T>(math.hard_sigmoid, T(-3)), T(0));
    expect_same_bits(apply<T>(math.hard_sigmoid, T(0)), T(0.5));
    expect_same_bits(apply<T>(math.hard_sigmoid, T(3)), T(1));
    expect_same_bits(apply<T>(math.hard_sigmoid_onnx, T(-2.5)), T(0));
    expect_same_bits(apply<T>(math.hard_sigmoid_onnx, T(0)), T(0.5));
    expect_same_bits(apply<T>(math.hard_sigmoid_onnx, T(2.5)), T(1));
    for (const auto kernel : {math.hard_sigmoid, math.hard_sigmoid_onnx}) {
      expect_same_bits(apply<T>(kernel, kInfinity), T(1));
      expect_same_bits(apply<T>(kernel, -kInfinity), T(0));
    }
    expect_same_bits(apply<T>(math.relu, -kInfinity), T(0));
    expect_same_bits(apply<T>(math.relu, kInfinity), kInfinity);
    expect_same_bits(apply<T>(math.exp, T(0)), T(1));
    expect_same_bits(apply<T>(math.exp, -kInfinity), T(0));
  });
}

// onnxruntime#22557 and tract#2618: a rational approximation gave -2^-24 at these inputs.
TYPED_TEST(GateMathTest, SigmoidIsNeverNegative) {
  using T = TypeParam;
  for_each_target([](const std::string&) {
    for (const T x : {T(-18), T(-18.25), T(-18.5625), T(-17.18), T(-88), T(-1000)}) {
      const T y = apply<T>(gate_math<T>().sigmoid, x);
      EXPECT_GE(y, 0) << x;
      expect_ulp(y, reference::sigmoid(x), 2);
    }
  });
}

// dynet#1525 and ncnn#1284: NaN or 1/2 where exp overflows.
TYPED_TEST(GateMathTest, SigmoidOfLargeInputsIsZeroOrOne) {
  using T = TypeParam;
  for_each_target([](const std::string&) {
    for (const double x : {88.0, 88.7, 89.0, 89.4, 90.0, 700.0, 709.8, 710.0, 1662.7, 3212.5}) {
      for (const T signed_x : {static_cast<T>(x), static_cast<T>(-x)})
        expect_ulp(apply<T>(gate_math<T>().sigmoid, signed_x), reference::sigmoid(signed_x), 1);
    }
  });
}

// pytorch#13448: vectors that lose NaN. Every lane and the tail, every function.
TYPED_TEST(GateMathTest, NanInAnyPlaceStaysAndSpoilsNoOther) {
  using T = TypeParam;
  constexpr T kNan = std::numeric_limits<T>::quiet_NaN();
  for_each_target([](const std::string&) {
    for (const Function<T>& f : functions<T>()) {
      for (std::size_t n : {1, 16, 23}) {
        for (std::size_t place = 0; place < n; ++place) {
          std::vector<T> x(n, T(0.75)), y(n);
          x[place] = kNan;
          (gate_math<T>().*f.kernel)(x.data(), y.data(), n);
          const T other = apply<T>(gate_math<T>().*f.kernel, T(0.75));
          for (std::size_t i = 0; i < n; ++i) {
            EXPECT_EQ(std::isnan(y[i]), i == place) << f.name << ", element " << i << " of " << n;
            if (i != place) expect_same_bits(y[i], other);
          }
        }
      }
    }
  });
}

// candle#1722: a backward pass that takes the exponential again gives 0 * infinity.
TYPED_TEST(GateMathTest, SigmoidBackwardOfLargeNegativeInputIsZeroNotNan) {
  using T = TypeParam;
  for_each_target([](const std::string&) {
    for (const T x : {T(-201.7), T(-548.3), T(-1e4), T(1e4)}) {
      const T y = apply<T>(gate_math<T>().sigmoid, x);
      const T g = 1;
      T gradient;
      gate_math<T>().sigmoid_backward(&y, &g, &gradient, 1);
      EXPECT_GE(gradient, 0);
      EXPECT_LT(gradient, T(1e-80) + (sizeof(T) == 4 ? T(1e-38) : T(0)));
    }
  });
}

TYPED_TEST(GateMathTest, BackwardFormsMatchTheReference) {
  using T = TypeParam;
  for_each_target([](const std::string&) {
    const std::vector<T> y = random_vector<T>(103, 0, 1, 1), g = random_vector<T>(103, -2, 2, 2);
    std::vector<T> gradient(103);
    gate_math<T>().sigmoid_backward(y.data(), g.data(), gradient.data(), 103);
    for (std::size_t i = 0; i < 103; ++i) {  // three roundings, and one of 1 - y
      expect_ulp(gradient[i], static_cast<long double>(g[i]) * y[i] * (1 - static_cast<long double>(y[i])),
                 3);
    }
    gate_math<T>().tanh_backward(y.data(), g.data(), gradient.data(), 103);
    for (std::size_t i = 0; i < 103; ++i) {
      const long double saved = y[i];
      expect_ulp(gradient[i], g[i] * (1 - saved) * (1 + saved), 4);
    }
  });
}

TYPED_TEST(GateMathTest, AgreesWithTheReference) {
  using T = TypeParam;
  std::vector<T> x = random_vector<T>(2003, -12, 12, 3);
  const std::vector<T> wide = random_vector<T>(2003, sizeof(T) == 4 ? -120 : -800, 50, 4);
  x.insert(x.end(), wide.begin(), wide.end());
  for_each_target([&](const std::string&) {
    std::vector<T> y(x.size());
    for (const Function<T>& f : functions<T>()) {
      SCOPED_TRACE(f.name);
      (gate_math<T>().*f.kernel)(x.data(), y.data(), x.size());
      for (std::size_t i = 0; i < x.size(); ++i) expect_ulp(y[i], f.reference(x[i]), f.ulp);
    }
  });
}

// Body, tail, any alignment, in place or not: the bits of each element alone. Nothing past the end is
// touched.
TYPED_TEST(GateMathTest, BitsDependOnTheValueAlone) {
  using T = TypeParam;
  constexpr T kGuard = 12345;
  for_each_target([&](const std::string&) {
    const std::vector<T> values = random_vector<T>(600, -110, 20, 5);
    for (const Function<T>& f : functions<T>()) {
      SCOPED_TRACE(f.name);
      const auto kernel = gate_math<T>().*f.kernel;
      std::vector<T> want(values.size());
      for (std::size_t i = 0; i < values.size(); ++i) want[i] = apply<T>(kernel, values[i]);
      for (const std::size_t n : kSizes) {
        for (const std::size_t offset : {0, 1, 3}) {
          std::vector<T> y(n + offset + 1, kGuard);
          kernel(values.data() + offset, y.data() + offset, n);
          expect_same_bits(std::vector<T>(y.begin() + offset, y.end() - 1),
                           std::vector<T>(want.begin() + offset, want.begin() + offset + n));
          EXPECT_EQ(y.back(), kGuard);
          for (std::size_t i = 0; i < offset; ++i) EXPECT_EQ(y[i], kGuard);
          std::vector<T> in_place(values.begin(), values.begin() + n);
          kernel(in_place.data(), in_place.data(), n);
          expect_same_bits(in_place, std::vector<T>(want.begin(), want.begin() + n));
        }
      }
    }
  });
}

// Calls body(first, other) for all pairs of the best target with another that has FMA.
template <class T, class Body>
void for_each_fma_target(const Body& body) {
  std::vector<const GateMath<T>*> tables;
  for_each_target([&](const std::string&) {
    if (target_has_fma()) tables.push_back(&gate_math<T>());
  });
  if (tables.size() < 2) GTEST_SKIP() << "one instruction set with FMA here";
  for (std::size_t i = 1; i < tables.size(); ++i) body(*tables[0], *tables[i]);
}

// Also the guard against contraction: with -ffp-contract=fast the compiler fuses a product and a sum on some
// targets only, and the bits differ.
TYPED_TEST(GateMathTest, TargetsWithFmaGiveTheSameBits) {
  using T = TypeParam;
  const std::vector<T> x = random_vector<T>(10007, -130, 130, 6), g = random_vector<T>(10007, -1, 1, 7);
  std::vector<T> a(x.size()), b(x.size());
  for_each_fma_target<T>([&](const GateMath<T>& first, const GateMath<T>& other) {
    for (const Function<T>& f : functions<T>()) {
      SCOPED_TRACE(f.name);
      (first.*f.kernel)(x.data(), a.data(), x.size());
      (other.*f.kernel)(x.data(), b.data(), x.size());
      expect_same_bits(a, b);
    }
    for (const auto backward : {&GateMath<T>::sigmoid_backward, &GateMath<T>::tanh_backward}) {
      (first.*backward)(x.data(), g.data(), a.data(), x.size());
      (other.*backward)(x.data(), g.data(), b.data(), x.size());
      expect_same_bits(a, b);
    }
    for (const std::size_t n : kSizes) {
      first.softmax(x.data(), a.data(), n);
      other.softmax(x.data(), b.data(), n);
      expect_same_bits(std::vector<T>(a.begin(), a.begin() + n), std::vector<T>(b.begin(), b.begin() + n));
    }
    constexpr std::size_t H = 37;
    first.lstm_gates(x.data(), g.data(), a.data(), a.data() + H, a.data() + 2 * H, H);
    other.lstm_gates(x.data(), g.data(), b.data(), b.data() + H, b.data() + 2 * H, H);
    first.gru_gates(x.data(), x.data() + 500, g.data(), a.data() + 6 * H, a.data() + 7 * H, H);
    other.gru_gates(x.data(), x.data() + 500, g.data(), b.data() + 6 * H, b.data() + 7 * H, H);
    first.highway_gate(x.data(), g.data(), g.data() + 99, a.data() + 10 * H, nullptr, H);
    other.highway_gate(x.data(), g.data(), g.data() + 99, b.data() + 10 * H, nullptr, H);
    expect_same_bits(a, b);
  });
}

TYPED_TEST(GateMathTest, SoftmaxMatchesTheReferenceAndSumsToOne) {
  using T = TypeParam;
  for_each_target([](const std::string&) {
    for (const std::size_t n : {1, 2, 15, 16, 17, 100}) {
      const std::vector<T> x = random_vector<T>(n, -20, 20, n);
      std::vector<T> y(n);
      gate_math<T>().softmax(x.data(), y.data(), n);
      long double sum = 0, max = x[0];
      for (const T v : x) max = std::max<long double>(max, v);
      for (const T v : x) sum += std::exp(v - max);
      // x - max, at most 40 in size, is rounded by at most 40 * 2^-24 (of float; in double alike), which exp
      // makes a relative error: 40 ULP. exp itself adds 1.1, the sum of positive terms less than 1 for each
      // of n / 16 + 4 additions in a row, the division 1/2.
      const double bound = 40 + 1.1 + static_cast<double>(n) / 16 + 4 + 0.5;
      for (std::size_t i = 0; i < n; ++i) expect_ulp(y[i], std::exp(x[i] - max) / sum, bound);
    }
  });
}

TYPED_TEST(GateMathTest, SoftmaxOfExtremes) {
  using T = TypeParam;
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  for_each_target([](const std::string&) {
    std::vector<T> x{-kInfinity, 1e30f, 1e30f, -1e30f}, y(4);
    gate_math<T>().softmax(x.data(), y.data(), 4);
    expect_same_bits(y, std::vector<T>{0, T(0.5), T(0.5), 0});
    x[3] = std::numeric_limits<T>::quiet_NaN();
    gate_math<T>().softmax(x.data(), y.data(), 4);
    for (const T v : y) EXPECT_TRUE(std::isnan(v));
  });
}

}  // namespace
}  // namespace sluice
