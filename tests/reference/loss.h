// SPDX-License-Identifier: Apache-2.0
// The losses of single elements and rows as their formulas say, in long double.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "sluice/tensor.h"

namespace sluice::reference {

inline long double bce(long double x, long double t) {
  const long double log_x = std::max(std::log(x), -100.0L);
  const long double log_rest = std::max(std::log1p(-x), -100.0L);
  return -(t * log_x + (1 - t) * log_rest);
}

inline long double log_sigmoid(long double x) {
  return std::min(x, 0.0L) - std::log1p(std::exp(-std::abs(x)));
}

inline long double bce_with_logits(long double x, long double t, long double pos_weight) {
  return -(pos_weight * t * log_sigmoid(x) + (1 - t) * log_sigmoid(-x));
}

inline long double smooth_l1(long double x, long double t, long double beta) {
  const long double d = std::abs(x - t);
  return d < beta ? d * d / (2 * beta) : d - beta / 2;
}

/// Of a row [C]; weight [C].
template <class T>
long double cross_entropy(TensorView<const T> x, std::size_t target, TensorView<const T> weight,
                          long double smoothing) {
  long double most = x(0), sum = 0;
  for (std::size_t c = 0; c < x.dim(0); ++c) most = std::max<long double>(most, x(c));
  for (std::size_t c = 0; c < x.dim(0); ++c) sum += std::exp(x(c) - most);
  const auto surprise = [&](std::size_t c) { return weight(c) * (std::log(sum) - (x(c) - most)); };
  long double loss = (1 - smoothing) * surprise(target);
  for (std::size_t c = 0; c < x.dim(0); ++c) {
    loss += smoothing / static_cast<long double>(x.dim(0)) * surprise(c);
  }
  return loss;
}

}  // namespace sluice::reference
