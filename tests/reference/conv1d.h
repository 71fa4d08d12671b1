// SPDX-License-Identifier: Apache-2.0
// torch.nn.Conv1d as its formula says:
//   y[c, s] = b[c] + sum over j, k of W[c, j, k] x[group(c) * in/groups + j, s * stride + k * dilation -
//   padding]
// with x zero outside [0, L).
#pragma once

#include "reference/sums.h"
#include "sluice/layers.h"
#include "sluice/tensor.h"

namespace sluice::reference {

/// x [C_in, L]; `bias` may be null.
template <class T>
Sum conv1d(const Conv1dOptions& options, TensorView<const T> weight, TensorView<const T> bias,
           TensorView<const T> x, std::size_t c, std::size_t s) {
  const std::size_t in = options.in_channels / options.groups;
  const std::size_t group = c / (options.out_channels / options.groups);
  Sum y;
  if (bias) y.add(static_cast<double>(bias(c)));
  for (std::size_t j = 0; j < in; ++j) {
    for (std::size_t k = 0; k < options.kernel_size; ++k) {
      const std::size_t place = s * options.stride + k * options.dilation;
      if (place < options.padding || place - options.padding >= x.dim(1)) continue;
      y.add(static_cast<double>(weight(c, j, k)) *
            static_cast<double>(x(group * in + j, place - options.padding)));
    }
  }
  return y;
}

}  // namespace sluice::reference
