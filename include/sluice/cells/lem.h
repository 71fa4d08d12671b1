// SPDX-License-Identifier: Apache-2.0
// Long expressive memory as a cell for Recurrent.
#pragma once

#include <cstddef>

#include "sluice/custom_cell.h"

namespace sluice::cells {

/// Long expressive memory (Rusch et al. 2022): steps of two scales of time, at most `dt` long, that are
/// learned. Gives y.
///   dt_z, dt_y = dt * sigmoid(V x + W y + b)
///   z' = (1 - dt_z) * z + dt_z * tanh(V x + W y + b),   y' = (1 - dt_y) * y + dt_y * tanh(V x + W z' + b)
///   weight_ih (V) [4H, I]  bias [4H], in the order dt_z, dt_y, z, y;  weight_hh (W of y) [3H, H]: dt_z,
///   dt_y, z;  weight_zh (W of z') [H, H]
inline CustomCell lem(std::size_t input_size, std::size_t hidden_size, double dt = 1) {
  const std::size_t H = hidden_size;
  CellBuilder cell("LEM");
  const auto x = cell.input(input_size), y = cell.state("y", H), z = cell.state("z", H);
  const auto of_x = cell.matrix("weight_ih", 4 * H, x) + cell.vector("bias", 4 * H);
  const auto [pre_dt_z, pre_dt_y, pre_z] =
      split<3>(slice(of_x, 0, 3 * H) + cell.matrix("weight_hh", 3 * H, y));
  const auto dt_z = dt * sigmoid(pre_dt_z).named("time_z"), dt_y = dt * sigmoid(pre_dt_y).named("time_y");
  const auto z_new = (1 - dt_z) * z + dt_z * tanh(pre_z).named("new_z");
  const auto pre_y = slice(of_x, 3 * H, H) + cell.matrix("weight_zh", H, z_new);
  const auto y_new = (1 - dt_y) * y + dt_y * tanh(pre_y).named("new_y");
  cell.next(y, y_new);
  cell.next(z, z_new);
  return cell.build(y_new);
}

}  // namespace sluice::cells
