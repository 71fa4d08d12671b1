// SPDX-License-Identifier: Apache-2.0
// What a recorded run drops: a function of random numbers by address, so that it is never kept but made again
// on the way back, with the same bits on any number of threads.
#pragma once

#include <cstddef>
#include <string_view>

#include "sluice/module.h"
#include "sluice/random.h"
#include "sluice/tensor.h"

namespace sluice {

/// A factor for each element of a sequence: 0 with probability p, else 1 / (1 - p). Element i of [T, B, F],
/// in order of memory, is dropped where word i of the stream (word i mod 4 of the generator's block floor(i /
/// 4)) is below p 2^32; if it is variational, element i of [B, F], at each step.
class DropoutMask {
 public:
  DropoutMask(double p, bool is_variational, const RandomStream& random) noexcept
      : p_(p), is_variational_(is_variational), random_(random) {}

  /// values [T, B, F] *= the factors: on the way forward as on the way back.
  template <class T>
  void apply(Tensor<T>& values, int threads) const;

 private:
  double p_;
  bool is_variational_;
  RandomStream random_;
};

/// Throws Error unless p is from 0 to 1; `name` is the option's.
void check_drop_probability(std::string_view type, const char* name, double p);

/// The source that a module which drops out is recorded with. Throws Error if there is none.
RandomSource& random_source(std::string_view type, const RecordOptions& options);

extern template void DropoutMask::apply(Tensor<float>&, int) const;
extern template void DropoutMask::apply(Tensor<double>&, int) const;

}  // namespace sluice
