// SPDX-License-Identifier: Apache-2.0
// torch.nn.Linear as its formula says: y[o] = b[o] + sum over i of W[o, i] x[i].
#pragma once

#include "reference/sums.h"
#include "sluice/tensor.h"

namespace sluice::reference {

/// `bias` may be null.
template <class T>
Sum linear(TensorView<const T> weight, TensorView<const T> bias, TensorView<const T> x, std::size_t o) {
  Sum y;
  if (bias) y.add(static_cast<double>(bias(o)));
  for (std::size_t i = 0; i < x.dim(0); ++i) {
    y.add(static_cast<double>(weight(o, i)) * static_cast<double>(x(i)));
  }
  return y;
}

}  // namespace sluice::reference
