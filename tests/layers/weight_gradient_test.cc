// SPDX-License-Identifier: Apache-2.0
#include "layers/weight_gradient.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "kernels/packed_gemm.h"
#include "support/expect_same_bits.h"
#include "support/random.h"

namespace sluice {
namespace {

struct Case {
  std::size_t columns, depth, units, gates;
};

// Where a list of gradients has gate `gate` of `unit`.
std::size_t place(std::size_t unit, std::size_t gate, std::size_t gates, std::size_t lanes) {
  return (unit / lanes * gates + gate) * lanes + unit % lanes;
}

// Each sum is a chain of std::fma over k in order, added to what was there: these bits, at any number of
// threads. Sizes that leave panels, tiles and chunks of k unfilled, and few panels with many rows.
template <class T>
void expect_chains(const Case& sizes) {
  const std::size_t lanes = kernels::packed_gemm<T>().lanes;
  const std::size_t width = (sizes.units + lanes - 1) / lanes * sizes.gates * lanes;
  const std::size_t rows = (sizes.gates + 1) * sizes.units;  // one gate before that is not of the list
  const Tensor<T> x = random_tensor<T>({sizes.depth, 1, sizes.columns}, -1, 1, 1);
  Tensor<T> list({sizes.depth, 1, width});
  const Tensor<T> values = random_tensor<T>({sizes.depth, sizes.units, sizes.gates}, -1, 1, 2);
  for (std::size_t k = 0; k < sizes.depth; ++k) {
    for (std::size_t u = 0; u < sizes.units; ++u) {
      for (std::size_t g = 0; g < sizes.gates; ++g) {
        list(k, 0, place(u, g, sizes.gates, lanes)) = values(k, u, g);
      }
    }
  }
  const Tensor<T> before = random_tensor<T>({rows, sizes.columns}, -1, 1, 3);
  const Tensor<T> bias_before = random_tensor<T>({rows}, -1, 1, 4);
  for (const int threads : {1, 2, 5}) {
    Tensor<T> weight = before, bias = bias_before;
    add_weight_gradient(transposed_features<T>(x.view(), {}, threads), list, GateRange{1, sizes.gates},
                        sizes.units, weight.view(), bias.view(), threads);
    std::size_t wrong = 0;
    for (std::size_t row = 0; row < rows; ++row) {
      const bool is_before = row < sizes.units;
      const std::size_t gate = is_before ? 0 : row / sizes.units - 1, unit = row % sizes.units;
      for (std::size_t i = 0; i <= sizes.columns; ++i) {
        T sum = 0;
        for (std::size_t k = 0; k < sizes.depth && !is_before; ++k) {
          sum = std::fma(i < sizes.columns ? x(k, 0, i) : T{1}, values(k, unit, gate), sum);
        }
        if (i < sizes.columns) {
          wrong += weight(row, i) != before(row, i) + sum;
        } else {
          wrong += bias(row) != bias_before(row) + sum;
        }
      }
    }
    EXPECT_EQ(wrong, 0U) << sizes.columns << " columns, depth " << sizes.depth << ", " << sizes.units
                         << " units, " << sizes.gates << " gates, " << threads << " threads";
  }
}

TEST(WeightGradient, IsOneChainOverAllRows) {
  for (const Case& sizes :
       {Case{7, 5, 3, 4}, Case{40, 520, 33, 3}, Case{17, 30, 70, 1}, Case{600, 600, 10, 1}, Case{1, 1, 1, 2},
        Case{300, 130, 100, 2}, Case{5, 0, 8, 4}}) {
    expect_chains<float>(sizes);
    expect_chains<double>(sizes);
  }
}

TEST(WeightGradient, InPartsIsTheSameChain) {
  constexpr std::size_t kSteps = 90, kColumns = 20, kUnits = 70;
  const std::size_t lanes = kernels::packed_gemm<float>().lanes;
  const Tensor<float> x = random_tensor<float>({kSteps, 7, kColumns}, -1, 1, 1);
  const Tensor<float> list =
      random_tensor<float>({kSteps, 7, (kUnits + lanes - 1) / lanes * lanes * 3}, -1, 1, 2);
  Tensor<float> weight({3 * kUnits, kColumns}), bias({3 * kUnits});
  add_weight_gradient(transposed_features<float>(x.view(), {}, 1), list, GateRange{0, 3}, kUnits,
                      weight.view(), bias.view(), 1);
  for (const int threads : {1, 3}) {
    Tensor<float> weight_in_parts(weight.shape()), bias_in_parts(bias.shape());
    WeightGradient<float> parts(GateRange{0, 3}, kUnits, weight_in_parts.view(), bias_in_parts.view());
    for (const auto& [first, last] : {std::pair<std::size_t, std::size_t>{0, 1}, {1, 64}, {64, kSteps}}) {
      parts.add(transposed_features<float>(x.view().narrow(0, first, last - first), {}, threads),
                list.view().narrow(0, first, last - first), last == kSteps, threads);
    }
    expect_same_bits<float>(weight_in_parts.view(), weight.view());
    expect_same_bits<float>(bias_in_parts.view(), bias.view());
  }
}

TEST(WeightGradient, LeavesAFrozenParameterOut) {
  const std::size_t lanes = kernels::packed_gemm<float>().lanes;
  const Tensor<float> x = random_tensor<float>({9, 2, 4}, -1, 1, 1);
  const Tensor<float> list = random_tensor<float>({9, 2, lanes}, -1, 1, 2);
  const Tensor<float> features = transposed_features<float>(x.view(), {}, 1);
  Tensor<float> weight({3, 4}), bias({3}), weight_alone({3, 4}), bias_alone({3});
  add_weight_gradient(features, list, GateRange{}, 3, weight.view(), bias.view(), 1);
  add_weight_gradient(features, list, GateRange{}, 3, weight_alone.view(), TensorView<float>(), 1);
  add_weight_gradient(features, list, GateRange{}, 3, TensorView<float>(), bias_alone.view(), 1);
  EXPECT_NE(weight(0, 0), 0.0F);
  EXPECT_TRUE(std::equal(weight.span().begin(), weight.span().end(), weight_alone.span().begin()));
  EXPECT_TRUE(std::equal(bias.span().begin(), bias.span().end(), bias_alone.span().begin()));
}

}  // namespace
}  // namespace sluice
