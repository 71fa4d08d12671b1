// SPDX-License-Identifier: Apache-2.0
// Cells for Recurrent whose states meet no matrix: each unit sees its own past only, and all products are of
// the input, made for many steps at once. W x + b is short for a gate's own rows of weight_ih and bias.
#pragma once

#include <cstddef>

#include "sluice/custom_cell.h"

namespace sluice::cells {

/// Simple recurrent unit (Lei et al. 2018). The input goes by on a highway, so it has as many elements as
/// the state; `alpha` scales it (the paper: sqrt(1 + 2 exp(b)) where the biases of r begin as b).
///   f, r = sigmoid(W x + v * c + b),   c' = f * c + (1 - f) * W x,   output r * c' + (1 - r) * x * alpha
///   weight_ih [3H, H], in the order candidate, f, r;  weight_c (v) [2H]  bias [2H]: f, r
inline CustomCell sru(std::size_t size, double alpha = 1) {
  const std::size_t H = size;
  CellBuilder cell("SRU");
  const auto x = cell.input(H), c = cell.state("c", H);
  const auto [candidate, f_x, r_x] = split<3>(cell.matrix("weight_ih", 3 * H, x));
  const auto [f_c, r_c] = split<2>(cell.vector("weight_c", 2 * H));
  const auto [b_f, b_r] = split<2>(cell.vector("bias", 2 * H));
  const auto f = sigmoid(f_x + b_f + f_c * c).named("forget");
  const auto r = sigmoid(r_x + b_r + r_c * c).named("reset");
  const auto c_new = f * c + (1 - f) * candidate;
  cell.next(c, c_new);
  return cell.build(r * c_new + (1 - r) * (alpha * x));
}

/// The pooling of a quasi-recurrent network with gates f and o (Bradbury et al. 2017), which has no
/// parameters: its input [3H] is what a convolution (Conv1d) gives for z, f and o, before the activations.
///   c' = sigmoid(f) * c + (1 - sigmoid(f)) * tanh(z),   output sigmoid(o) * c'
inline CustomCell qrnn_fo_pooling(std::size_t hidden_size) {
  CellBuilder cell("QRNNfoPooling");
  const auto [z, pre_f, o] = split<3>(cell.input(3 * hidden_size));
  const auto c = cell.state("c", hidden_size);
  const auto f = sigmoid(pre_f).named("forget");
  const auto c_new = f * c + (1 - f) * tanh(z).named("cell");
  cell.next(c, c_new);
  return cell.build(sigmoid(o).named("output") * c_new);
}

/// Independently recurrent network (Li et al. 2018):
///   h' = relu(W x + u * h + b)
///   weight_ih [H, I]  weight_hh (u) [H]  bias [H]
inline CustomCell indrnn(std::size_t input_size, std::size_t hidden_size) {
  const std::size_t H = hidden_size;
  CellBuilder cell("IndRNN");
  const auto x = cell.input(input_size), h = cell.state("h", H);
  const auto h_new =
      relu(cell.matrix("weight_ih", H, x) + cell.vector("bias", H) + cell.vector("weight_hh", H) * h);
  cell.next(h, h_new);
  return cell.build(h_new);
}

/// minGRU (Feng et al. 2024), step by step as the paper's sequential form, so not in log space and without
/// the function that keeps states positive there:
///   z = sigmoid(W x + b),   h' = (1 - z) * h + z * (W x + b)
///   weight_ih [2H, I]  bias [2H], in the order z, candidate
inline CustomCell min_gru(std::size_t input_size, std::size_t hidden_size) {
  const std::size_t H = hidden_size;
  CellBuilder cell("minGRU");
  const auto x = cell.input(input_size), h = cell.state("h", H);
  const auto [pre_z, candidate] = split<2>(cell.matrix("weight_ih", 2 * H, x) + cell.vector("bias", 2 * H));
  const auto z = sigmoid(pre_z).named("update");
  const auto h_new = (1 - z) * h + z * candidate;
  cell.next(h, h_new);
  return cell.build(h_new);
}

/// minLSTM (Feng et al. 2024), step by step as minGRU, with gates that sum to one:
///   f, i = sigmoid(W x + b),   h' = f / (f + i) * h + i / (f + i) * (W x + b)
///   weight_ih [3H, I]  bias [3H], in the order f, i, candidate
inline CustomCell min_lstm(std::size_t input_size, std::size_t hidden_size) {
  const std::size_t H = hidden_size;
  CellBuilder cell("minLSTM");
  const auto x = cell.input(input_size), h = cell.state("h", H);
  const auto [pre_f, pre_i, candidate] =
      split<3>(cell.matrix("weight_ih", 3 * H, x) + cell.vector("bias", 3 * H));
  const auto f = sigmoid(pre_f).named("forget"), i = sigmoid(pre_i).named("input");
  const auto h_new = f / (f + i) * h + i / (f + i) * candidate;
  cell.next(h, h_new);
  return cell.build(h_new);
}

}  // namespace sluice::cells
