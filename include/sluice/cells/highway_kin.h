// SPDX-License-Identifier: Apache-2.0
// Highway layers as cells for Recurrent: gates that choose between a new value and the old one.
#pragma once

#include <cstddef>
#include <string>

#include "sluice/custom_cell.h"
#include "sluice/error.h"

namespace sluice::cells {

/// Highway layer (Srivastava et al. 2015), with tanh and the carry gate 1 - t. It has no state: each step is
/// by itself.
///   t = sigmoid(W x + b),   output t * tanh(W x + b) + (1 - t) * x
///   weight_ih [2H, H]  bias [2H], in the order candidate, t
inline CustomCell highway(std::size_t size) {
  CellBuilder cell("Highway");
  const auto x = cell.input(size);
  const auto [candidate, pre_t] =
      split<2>(cell.matrix("weight_ih", 2 * size, x) + cell.vector("bias", 2 * size));
  const auto t = sigmoid(pre_t).named("transform");
  return cell.build(t * tanh(candidate).named("new") + (1 - t) * x);
}

/// Recurrent highway network (Zilly et al. 2017): a step is `depth` highway layers, d = 1 to depth, of which
/// the first sees the input. The carry gate is 1 - t, as in all of the paper's experiments.
///   t = sigmoid(W x + R_d s + b_d),   s = t * tanh(W x + R_d s + b_d) + (1 - t) * s,   W x where d = 1 only
///   weight_ih [2H, I]  weight_hh_1 [2H, H]  bias_1 [2H]  weight_hh_2  bias_2 .., in the order candidate, t
/// Throws Error if depth is 0.
inline CustomCell recurrent_highway(std::size_t input_size, std::size_t hidden_size, std::size_t depth) {
  if (depth == 0) throw Error("recurrent_highway: depth is 0, expected 1 or more");
  const std::size_t H = hidden_size;
  CellBuilder cell("RecurrentHighway");
  const auto x = cell.input(input_size), state = cell.state("s", H);
  auto s = state;
  for (std::size_t d = 1; d <= depth; ++d) {
    const std::string number = std::to_string(d);
    const auto of_s = cell.matrix("weight_hh_" + number, 2 * H, s) + cell.vector("bias_" + number, 2 * H);
    const auto [candidate, pre_t] = split<2>(d == 1 ? cell.matrix("weight_ih", 2 * H, x) + of_s : of_s);
    const auto t = sigmoid(pre_t).named("transform_" + number);
    s = t * tanh(candidate).named("new_" + number) + (1 - t) * s;
  }
  cell.next(state, s);
  return cell.build(s);
}

}  // namespace sluice::cells
