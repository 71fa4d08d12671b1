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
  const Tensor<T> tall({5, 2});
  EXPECT_EQ(message([&] { lstm_gates(pre, tall.view().transpose(0, 1), h_out, c_out); }),
            "lstm_gates: c has stride 2 within a row, expected 1");
}

}  // namespace
}  // namespace sluice
