// SPDX-License-Identifier: Apache-2.0
// Instructions of a cell's program: their operations, and the slots that their values stand in.
#pragma once

#include <cstddef>
#include <vector>

#include "cells/cell_graph.h"
#include "kernels/cell_stage.h"

namespace sluice {

/// Of an elementwise operation.
kernels::VectorOp vector_op(CellOp op);

/// Instructions on values, each made once, come to work on slots: a value's slot is free after its last use,
/// and may take what that makes. The first `sums` of `values` values stand in their own slots from the
/// beginning. Returns how many slots there are. Throws Error where a stage has fewer.
template <class T>
std::size_t give_slots(std::vector<kernels::Instruction<T>>& instructions, std::size_t values,
                       std::size_t sums);

}  // namespace sluice
