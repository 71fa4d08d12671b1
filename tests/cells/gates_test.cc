// SPDX-License-Identifier: Apache-2.0
#include "sluice/gates.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <limits>
#include <string>

#include "reference/gate_math.h"
#include "sluice/error.h"
#include "sluice/sigmoid.h"
#include "support/central_difference.h"
#include "support/expect_same_bits.h"
#include "support/random.h"

namespace sluice {
namespace {

template <class T>
class GatesTest : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(GatesTest, Types);

// Results are sums of two products of factors of size 1, each within 2 ULP, and tanh of that (slope at most
// 1): the absolute error stays below 12 units of the last place of 1 (c itself is at most 3 here, adding 2 *
// 3).
template <class T>
constexpr double kTolerance = 18 * std::numeric_limits<T>::epsilon();

TYPED_TEST(GatesTest, LstmMatchesTheReference) {
  using T = TypeParam;
  const std::size_t B = 5, H = 23;
  const Tensor<T> pre = random_tensor<T>({B, 4 * H}, -6, 6, 1), c = random_tensor<T>({B, H}, -3, 3, 2);
  Tensor<T> h_out({B, H}), c_out({B, H}), gates({B, 4 * H});
  lstm_gates(pre, c, h_out, c_out, gates);
  for (std::size_t b = 0; b < B; ++b) {
    for (std::size_t u = 0; u < H; ++u) {
      const reference::LSTMUnit want =
          reference::lstm_unit(pre(b, u), pre(b, H + u), pre(b, 2 * H + u), pre(b, 3 * H + u), c(b, u));
      EXPECT_NEAR(c_out(b, u), static_cast<double>(want.c), kTolerance<T>);
      EXPECT_NEAR(h_out(b, u), static_cast<double>(want.h), kTolerance<T>);
      EXPECT_NEAR(gates(b, 2 * H + u), static_cast<double>(want.g), kTolerance<T>);
      // The gates are the one sigmoid.
      expect_same_bits(gates(b, u), sigmoid(pre(b, u)));
      expect_same_bits(gates(b, H + u), sigmoid(pre(b, H + u)));
      expect_same_bits(gates(b, 3 * H + u), sigmoid(pre(b, 3 * H + u)));
    }
  }
}

TYPED_TEST(GatesTest, GruMatchesTheReference) {
  using T = TypeParam;
  const std::size_t B = 4, H = 19;
  const Tensor<T> pre_x = random_tensor<T>({B, 3 * H}, -3, 3, 3),
                  pre_h = random_tensor<T>({B, 3 * H}, -3, 3, 4);
  const Tensor<T> h = random_tensor<T>({B, H}, -1, 1, 5);
  Tensor<T> h_out({B, H}), gates({B, 3 * H});
  gru_gates(pre_x, pre_h, h, h_out, gates);
  for (std::size_t b = 0; b < B; ++b) {
    for (std::size_t u = 0; u < H; ++u) {
      const T r = pre_x(b, u) + pre_h(b, u), z = pre_x(b, H + u) + pre_h(b, H + u);
      const reference::GRUUnit want =
          reference::gru_unit(r, z, pre_x(b, 2 * H + u), pre_h(b, 2 * H + u), h(b, u));
      EXPECT_NEAR(h_out(b, u), static_cast<double>(want.h), kTolerance<T>);
      EXPECT_NEAR(gates(b, 2 * H + u), static_cast<double>(want.n), kTolerance<T>);
      expect_same_bits(gates(b, u), sigmoid(r));
      expect_same_bits(gates(b, H + u), sigmoid(z));
    }
  }
}

TYPED_TEST(GatesTest, GruWithOpenUpdateGateKeepsItsStateExactly) {
  using T = TypeParam;
  const std::size_t H = 21;
  Tensor<T> pre_x = random_tensor<T>({1, 3 * H}, -3, 3, 6);
  for (std::size_t u = 0; u < H; ++u) pre_x(0, H + u) = T(100);
  const Tensor<T> pre_h({1, 3 * H}), h = random_tensor<T>({1, H}, -1, 1, 7);
  Tensor<T> h_out({1, H});
  gru_gates(pre_x, pre_h, h, h_out);
  expect_same_bits(h_out, h);
}

TYPED_TEST(GatesTest, HighwayMatchesTheReference) {
  using T = TypeParam;
  const Tensor<T> pre = random_tensor<T>({3, 33}, -5, 5, 8), candidate = random_tensor<T>({3, 33}, -1, 1, 9);
  const Tensor<T> x = random_tensor<T>({3, 33}, -1, 1, 10);
  Tensor<T> y({3, 33});
  highway_gate(pre, candidate, x, y);
  for (std::size_t i = 0; i < y.size(); ++i) {
    const long double t = reference::sigmoid(pre.data()[i]);
    EXPECT_NEAR(y.data()[i], static_cast<double>(t * candidate.data()[i] + (1 - t) * x.data()[i]),
                kTolerance<T>);
  }
  Tensor<T> in_place = x;
  highway_gate(pre, candidate, in_place, in_place);
  expect_same_bits(in_place, y);
}

TYPED_TEST(GatesTest, InPlaceAndWithoutGatesGiveTheSameBits) {
  using T = TypeParam;
  const std::size_t B = 3, H = 17;
  Tensor<T> pre = random_tensor<T>({B, 4 * H}, -4, 4, 11), c = random_tensor<T>({B, H}, -1, 1, 12);
  Tensor<T> h_out({B, H}), c_out({B, H}), gates({B, 4 * H}), h_again({B, H});
  lstm_gates(pre, c, h_out, c_out, gates);
  Tensor<T> pre_kept = pre, c_kept = c;
  lstm_gates(pre_kept, c_kept, h_again, c_kept);
  expect_same_bits(h_again, h_out);
  expect_same_bits(c_kept, c_out);
  lstm_gates(pre, c, h_again, c, pre);
  expect_same_bits(h_again, h_out);
  expect_same_bits(c, c_out);
  expect_same_bits(pre, gates);
}

TYPED_TEST(GatesTest, RowsMayHaveAnyStride) {
  using T = TypeParam;
  const std::size_t B = 4, H = 9;
  const Tensor<T> pre = random_tensor<T>({B, 4 * H}, -4, 4, 13), c = random_tensor<T>({B, H}, -1, 1, 14);
  Tensor<T> h_out({B, H}), c_out({B, H});
  lstm_gates(pre, c, h_out, c_out);
  Tensor<T> wide_pre({B, 5 * H}), wide_h({B, 3 * H});
  for (std::size_t b = 0; b < B; ++b)
    for (std::size_t u = 0; u < 4 * H; ++u) wide_pre(b, H + u) = pre(b, u);
  lstm_gates(wide_pre.view().narrow(1, H, 4 * H), c, wide_h.view().narrow(1, H, H), c_out);
  expect_same_bits(Tensor<T>(TensorView<const T>(wide_h.view().narrow(1, H, H))), h_out);
  for (std::size_t b = 0; b < B; ++b) {
    expect_same_bits(wide_h(b, H - 1), T(0));
    expect_same_bits(wide_h(b, 2 * H), T(0));
  }
}

TYPED_TEST(GatesTest, BatchAndThreadsDoNotChangeABit) {
  using T = TypeParam;
  const std::size_t B = 1501, H = 61;
  const Tensor<T> pre = random_tensor<T>({B, 4 * H}, -4, 4, 15), c = random_tensor<T>({B, H}, -1, 1, 16);
  Tensor<T> h_out({B, H}), c_out({B, H}), h_one({B, H}), c_one({B, H});
  const int threads = omp_get_max_threads();
  omp_set_num_threads(4);
  lstm_gates(pre, c, h_out, c_out);
  omp_set_num_threads(threads);
  for (std::size_t b = 0; b < B; ++b)
    lstm_gates(pre.view().narrow(0, b, 1), c.view().narrow(0, b, 1), h_one.view().narrow(0, b, 1),
               c_one.view().narrow(0, b, 1));
  expect_same_bits(h_out, h_one);
  expect_same_bits(c_out, c_one);
}

// Both ways, each element of each input: the loss is a sum of outputs with fixed factors.
template <class Loss>
void expect_central_differences(Tensor<double>& values, const Tensor<double>& gradient,
                                const std::string& what, const Loss& loss) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double difference = test::central_difference(values.data()[i], loss);
    // A third derivative of at most 10, and a rounding of the loss of 1e-14.
    EXPECT_NEAR(gradient.data()[i], difference, 2e-9) << what << " element " << i;
  }
}

double dot(const Tensor<double>& a, const Tensor<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a.data()[i] * b.data()[i];
  return sum;
}

TEST(GatesBackward, LstmEqualsCentralDifferences) {
  const std::size_t B = 2, H = 11;
  Tensor<double> pre = random_tensor<double>({B, 4 * H}, -4, 4, 1),
                 c = random_tensor<double>({B, H}, -2, 2, 2);
  const Tensor<double> grad_h = random_tensor<double>({B, H}, -1, 1, 3);
  const Tensor<double> given_c = random_tensor<double>({B, H}, -1, 1, 4), none({B, H});
  for (const Tensor<double>* grad_c_out : {&given_c, &none}) {
    Tensor<double> h_out({B, H}), c_out({B, H}), gates({B, 4 * H}), grad_pre({B, 4 * H}), grad_c({B, H});
    lstm_gates(pre, c, h_out, c_out, gates);
    const auto factors = grad_c_out == &none ? TensorView<const double>() : grad_c_out->view();
    lstm_gates_backward(gates, c, c_out, grad_h, factors, grad_pre, grad_c);
    const auto loss = [&] {
      Tensor<double> h({B, H}), now({B, H});
      lstm_gates(pre, c, h, now);
      return dot(h, grad_h) + dot(now, *grad_c_out);
    };
    expect_central_differences(pre, grad_pre, "pre", loss);
    expect_central_differences(c, grad_c, "c", loss);
  }
}

TEST(GatesBackward, GruEqualsCentralDifferences) {
  const std::size_t B = 2, H = 11;
  Tensor<double> pre_x = random_tensor<double>({B, 3 * H}, -2, 2, 1),
                 pre_h = random_tensor<double>({B, 3 * H}, -2, 2, 2),
                 h = random_tensor<double>({B, H}, -1, 1, 3);
  const Tensor<double> grad = random_tensor<double>({B, H}, -1, 1, 4);
  Tensor<double> h_out({B, H}), gates({B, 3 * H}), grad_x({B, 3 * H}), grad_h({B, 3 * H}), carry({B, H});
  gru_gates(pre_x, pre_h, h, h_out, gates);
  gru_gates_backward(gates, pre_h, h, grad, grad_x, grad_h, carry);
  const auto loss = [&] {
    Tensor<double> now({B, H});
    gru_gates(pre_x, pre_h, h, now);
    return dot(now, grad);
  };
  expect_central_differences(pre_x, grad_x, "pre_x", loss);
  expect_central_differences(pre_h, grad_h, "pre_h", loss);
  expect_central_differences(h, carry, "h", loss);
}

TEST(GatesBackward, HighwayEqualsCentralDifferences) {
  const Shape shape{2, 11};
  Tensor<double> pre = random_tensor<double>(shape, -4, 4, 1),
                 candidate = random_tensor<double>(shape, -1, 1, 2),
                 x = random_tensor<double>(shape, -1, 1, 3);
  const Tensor<double> grad = random_tensor<double>(shape, -1, 1, 4);
  Tensor<double> y(shape), gate(shape), grad_pre(shape), grad_candidate(shape), grad_x(shape);
  highway_gate(pre, candidate, x, y, gate);
  highway_gate_backward(gate, candidate, x, grad, grad_pre, grad_candidate, grad_x);
  const auto loss = [&] {
    Tensor<double> now(shape);
    highway_gate(pre, candidate, x, now);
    return dot(now, grad);
  };
  expect_central_differences(pre, grad_pre, "pre", loss);
  expect_central_differences(candidate, grad_candidate, "candidate", loss);
  expect_central_differences(x, grad_x, "x", loss);
}

TYPED_TEST(GatesTest, HighwayKeepsTheOneSigmoid) {
  using T = TypeParam;
  Tensor<T> pre = random_tensor<T>({3, 33}, -5, 5, 8);
  const Tensor<T> candidate = random_tensor<T>({3, 33}, -1, 1, 9), x = random_tensor<T>({3, 33}, -1, 1, 10);
  Tensor<T> y({3, 33}), same({3, 33}), gate({3, 33});
  highway_gate(pre, candidate, x, y);
  highway_gate(pre, candidate, x, same, gate);
  expect_same_bits(same, y);
  expect_same_bits(gate, sigmoid(pre));
  highway_gate(pre, candidate, x, same, pre);
  expect_same_bits(pre, gate);
}

TYPED_TEST(GatesTest, BackwardInPlaceGivesTheSameBits) {
  using T = TypeParam;
  const std::size_t B = 3, H = 17;
  const Tensor<T> gates = sigmoid(random_tensor<T>({B, 4 * H}, -4, 4, 1));
  const Tensor<T> c = random_tensor<T>({B, H}, -1, 1, 2), grad = random_tensor<T>({B, H}, -1, 1, 3);
  Tensor<T> grad_pre({B, 4 * H}), grad_c({B, H});
  lstm_gates_backward(gates, c, c, grad, grad, grad_pre, grad_c);
  Tensor<T> gates_over = gates, c_over = grad;
  lstm_gates_backward(gates_over, c, c, grad, c_over, gates_over, c_over);
  expect_same_bits(gates_over, grad_pre);
  expect_same_bits(c_over, grad_c);

  const Tensor<T> three = Tensor<T>(gates.view().narrow(1, 0, 3 * H));
  const Tensor<T> pre_h = random_tensor<T>({B, 3 * H}, -2, 2, 4);
  Tensor<T> of_x({B, 3 * H}), of_h({B, 3 * H}), carry({B, H});
  gru_gates_backward(three, pre_h, c, grad, of_x, of_h, carry);
  Tensor<T> x_over = three, h_over = pre_h, carry_over = grad;
  gru_gates_backward(x_over, h_over, c, carry_over, x_over, h_over, carry_over);
  expect_same_bits(x_over, of_x);
  expect_same_bits(h_over, of_h);
  expect_same_bits(carry_over, carry);

  const Tensor<T> t = Tensor<T>(gates.view().narrow(1, 0, H)), x = random_tensor<T>({B, H}, -1, 1, 5);
  Tensor<T> a({B, H}), b({B, H}), d({B, H}), t_over = t, c_over2 = c, x_over2 = x;
  highway_gate_backward(t, c, x, grad, a, b, d);
  highway_gate_backward(t_over, c_over2, x_over2, grad, t_over, c_over2, x_over2);
  expect_same_bits(t_over, a);
  expect_same_bits(c_over2, b);
  expect_same_bits(x_over2, d);
}

TYPED_TEST(GatesTest, EmptyBatchesAndLayersDoNothing) {
  using T = TypeParam;
  Tensor<T> none({0, 5}), wide({0, 20}), flat({3, 0});
  lstm_gates(wide, none, none, none);
  lstm_gates(flat, flat, flat, flat);
}

TYPED_TEST(GatesTest, WrongShapesAreRefusedByName) {
  using T = TypeParam;
  const Tensor<T> pre({2, 20}), c({2, 5}), other({2, 4});
  Tensor<T> h_out({2, 5}), c_out({2, 5}), short_h({2, 4});
  const auto message = [&](const auto& call) -> std::string {
    try {
      call();
    } catch (const ShapeError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message([&] { lstm_gates(pre, other, h_out, c_out); }),
            "lstm_gates: pre is [2, 20], expected [2, 16]");
  EXPECT_EQ(message([&] { lstm_gates(pre, c, short_h, c_out); }),
            "lstm_gates: h_out is [2, 4], expected [2, 5]");
  EXPECT_EQ(message([&] { lstm_gates(pre, TensorView<const T>(), h_out, c_out); }),
            "lstm_gates: c is not given");
  EXPECT_EQ(message([&] { gru_gates(pre, pre, c, h_out); }), "gru_gates: pre_x is [2, 20], expected [2, 15]");
  EXPECT_EQ(message([&] { highway_gate(pre, c, c, h_out); }),
            "highway_gate: pre is [2, 20], expected [2, 5]");
  EXPECT_EQ(message([&] { highway_gate(c, c, c, h_out, short_h); }),
            "highway_gate: gate is [2, 4], expected [2, 5]");
  EXPECT_EQ(message([&] { lstm_gates_backward(c, c, c, c, {}, h_out, c_out); }),
            "lstm_gates_backward: gates is [2, 5], expected [2, 20]");
  EXPECT_EQ(message([&] { gru_gates_backward(pre, pre, c, c, h_out, h_out, h_out); }),
            "gru_gates_backward: gates is [2, 20], expected [2, 15]");
  EXPECT_EQ(message([&] { highway_gate_backward(c, c, c, c, h_out, h_out, short_h); }),
            "highway_gate_backward: grad_x is [2, 4], expected [2, 5]");
  const Tensor<T> tall({5, 2});
  EXPECT_EQ(message([&] { lstm_gates(pre, tall.view().transpose(0, 1), h_out, c_out); }),
            "lstm_gates: c has stride 2 within a row, expected 1");
}

}  // namespace
}  // namespace sluice
