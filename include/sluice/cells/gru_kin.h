// SPDX-License-Identifier: Apache-2.0
// The GRU and its kin as cells for Recurrent. W is of x, U of h; W x + b is short for a gate's own rows of
// weight_ih, weight_hh and bias. Every cell gives h.
#pragma once

#include <cstddef>

#include "sluice/custom_cell.h"

namespace sluice::cells {

/// GRU (Cho et al. 2014) as torch.nn.GRU, which resets after the product:
///   r, z = sigmoid(W x + b_ih + U h + b_hh),   n = tanh(W x + b_ih + r * (U h + b_hh))
///   h' = z * h + (1 - z) * n
///   weight_ih [3H, I]  weight_hh [3H, H]  bias_ih [3H]  bias_hh [3H], gates in the order r, z, n
inline CustomCell gru(std::size_t input_size, std::size_t hidden_size) {
  const std::size_t H = hidden_size;
  CellBuilder cell("GRU");
  const auto x = cell.input(input_size), h = cell.state("h", H);
  const auto [r_x, z_x, n_x] = split<3>(cell.matrix("weight_ih", 3 * H, x) + cell.vector("bias_ih", 3 * H));
  const auto [r_h, z_h, n_h] = split<3>(cell.matrix("weight_hh", 3 * H, h) + cell.vector("bias_hh", 3 * H));
  const auto r = sigmoid(r_x + r_h).named("reset"), z = sigmoid(z_x + z_h).named("update");
  const auto n = tanh(n_x + r * n_h).named("new");
  const auto h_new = z * h + (1 - z) * n;
  cell.next(h, h_new);
  return cell.build(h_new);
}

/// GRU as the paper has it (Cho et al. 2014), which resets before the product; the rest as above:
///   n = tanh(W x + b_ih + U (r * h) + b_hh)
inline CustomCell gru_reset_before(std::size_t input_size, std::size_t hidden_size) {
  const std::size_t H = hidden_size;
  CellBuilder cell("GRUResetBefore");
  const auto x = cell.input(input_size), h = cell.state("h", H);
  const auto of_x = cell.matrix("weight_ih", 3 * H, x) + cell.vector("bias_ih", 3 * H);
  const auto of = [&](CellOperand a) {
    return split<3>(of_x + cell.matrix("weight_hh", 3 * H, a) + cell.vector("bias_hh", 3 * H));
  };
  const auto gates = of(h);
  const auto r = sigmoid(gates[0]).named("reset"), z = sigmoid(gates[1]).named("update");
  const auto n = tanh(of(r * h)[2]).named("new");  // only the rows of n are computed
  const auto h_new = z * h + (1 - z) * n;
  cell.next(h, h_new);
  return cell.build(h_new);
}

/// Minimal gated unit (Zhou et al. 2016): a GRU with one gate.
///   f = sigmoid(W x + U h + b),   n = tanh(W x + U (f * h) + b),   h' = (1 - f) * h + f * n
///   weight_ih [2H, I]  weight_hh [2H, H]  bias [2H], in the order f, n
inline CustomCell mgu(std::size_t input_size, std::size_t hidden_size) {
  const std::size_t H = hidden_size;
  CellBuilder cell("MGU");
  const auto x = cell.input(input_size), h = cell.state("h", H);
  const auto of_x = cell.matrix("weight_ih", 2 * H, x) + cell.vector("bias", 2 * H);
  const auto f = sigmoid(split<2>(of_x + cell.matrix("weight_hh", 2 * H, h))[0]).named("forget");
  const auto n = tanh(split<2>(of_x + cell.matrix("weight_hh", 2 * H, f * h))[1]).named("new");
  const auto h_new = (1 - f) * h + f * n;
  cell.next(h, h_new);
  return cell.build(h_new);
}

/// Light GRU (Ravanelli et al. 2018): no reset gate, and relu. In the place of the paper's batch
/// normalisation of W x there is a bias: a trained one folds into weight_ih and bias.
///   z = sigmoid(W x + U h + b),   n = relu(W x + U h + b),   h' = z * h + (1 - z) * n
///   weight_ih [2H, I]  weight_hh [2H, H]  bias [2H], in the order z, n
inline CustomCell li_gru(std::size_t input_size, std::size_t hidden_size) {
  const std::size_t H = hidden_size;
  CellBuilder cell("LiGRU");
  const auto x = cell.input(input_size), h = cell.state("h", H);
  const auto [pre_z, n] = split<2>(cell.matrix("weight_ih", 2 * H, x) + cell.matrix("weight_hh", 2 * H, h) +
                                   cell.vector("bias", 2 * H));
  const auto z = sigmoid(pre_z).named("update");
  const auto h_new = z * h + (1 - z) * relu(n);
  cell.next(h, h_new);
  return cell.build(h_new);
}

}  // namespace sluice::cells
