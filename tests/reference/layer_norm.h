// SPDX-License-Identifier: Apache-2.0
// Layer normalization (Ba, Kiros, Hinton 2016, equations 3 and 4) as torch.nn.LayerNorm: over the last
// dimension, variance by n.
#pragma once

#include <cmath>
#include <vector>

#include "sluice/tensor.h"

namespace sluice::reference {

struct Normalized {
  std::vector<long double> values;  // before weight and bias
  long double scale = 0;            // 1 / sqrt(var + eps)
};

template <class T>
Normalized layer_norm(TensorView<const T> x, double eps) {
  const std::size_t n = x.dim(0);
  long double mean = 0;
  for (std::size_t i = 0; i < n; ++i) mean += static_cast<long double>(x(i));
  mean /= static_cast<long double>(n);
  long double variance = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const long double d = static_cast<long double>(x(i)) - mean;
    variance += d * d;
  }
  variance /= static_cast<long double>(n);
  Normalized y;
  y.scale = 1.0L / std::sqrt(variance + static_cast<long double>(eps));
  for (std::size_t i = 0; i < n; ++i) y.values.push_back((static_cast<long double>(x(i)) - mean) * y.scale);
  return y;
}

}  // namespace sluice::reference
