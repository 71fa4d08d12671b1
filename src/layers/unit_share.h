// SPDX-License-Identifier: Apache-2.0
// How threads share the units of a step.
#pragma once

#include <cstddef>

#include "kernels/packed_gemm.h"

namespace sluice {

/// Which part of the units a thread does: part `index` of `count`.
struct UnitShare {
  std::size_t index = 0;
  std::size_t count = 1;
  kernels::BlockSweep of(std::size_t blocks, bool is_downward = false) const noexcept {
    return {blocks * index / count, blocks * (index + 1) / count, is_downward};
  }
};

}  // namespace sluice
