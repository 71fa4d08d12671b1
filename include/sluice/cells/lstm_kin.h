// SPDX-License-Identifier: Apache-2.0
// The LSTM and its kin as cells for Recurrent. W is of x, U of h; W x + b is short for a gate's own rows of
// weight_ih, weight_hh and bias. Every cell gives h.
#pragma once

#include <cstddef>

#include "sluice/custom_cell.h"

namespace sluice::cells {

/// LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000), as torch.nn.LSTM:
///   c' = sigmoid(f) * c + sigmoid(i) * tanh(g),   h' = sigmoid(o) * tanh(c')
///   weight_ih [4H, I]  weight_hh [4H, H]  bias_ih [4H]  bias_hh [4H], gates in the order i, f, g, o
inline CustomCell lstm(std::size_t input_size, std::size_t hidden_size) {
  const std::size_t H = hidden_size;
  CellBuilder cell("LSTM");
  const auto x = cell.input(input_size), h = cell.state("h", H), c = cell.state("c", H);
  const auto [i, f, g, o] = split<4>(cell.matrix("weight_ih", 4 * H, x) + cell.matrix("weight_hh", 4 * H, h) +
                                     cell.vector("bias_ih", 4 * H) + cell.vector("bias_hh", 4 * H));
  const auto input = sigmoid(i).named("input"), forget = sigmoid(f).named("forget");
  const auto candidate = tanh(g).named("cell"), output = sigmoid(o).named("output");
  const auto c_new = forget * c + input * candidate;
  const auto h_new = output * tanh(c_new);
  cell.next(h, h_new);
  cell.next(c, c_new);
  return cell.build(h_new);
}

/// LSTM with a recurrent projection (Sak et al. 2014), as torch.nn.LSTM with proj_size, so without the
/// peepholes of the paper:
///   c' as above,   h' = weight_hr (sigmoid(o) * tanh(c'))
///   weight_ih [4H, I]  weight_hh [4H, P]  bias_ih [4H]  bias_hh [4H]  weight_hr [P, H]
inline CustomCell lstmp(std::size_t input_size, std::size_t hidden_size, std::size_t proj_size) {
  const std::size_t H = hidden_size, P = proj_size;
  CellBuilder cell("LSTMP");
  const auto x = cell.input(input_size), h = cell.state("h", P), c = cell.state("c", H);
  const auto [i, f, g, o] = split<4>(cell.matrix("weight_ih", 4 * H, x) + cell.matrix("weight_hh", 4 * H, h) +
                                     cell.vector("bias_ih", 4 * H) + cell.vector("bias_hh", 4 * H));
  const auto input = sigmoid(i).named("input"), forget = sigmoid(f).named("forget");
  const auto candidate = tanh(g).named("cell"), output = sigmoid(o).named("output");
  const auto c_new = forget * c + input * candidate;
  const auto h_new = cell.matrix("weight_hr", P, output * tanh(c_new));
  cell.next(h, h_new);
  cell.next(c, c_new);
  return cell.build(h_new);
}

/// LSTM with peepholes (Gers and Schmidhuber 2000), through which gates see the cell; tanh squashes what goes
/// in and out of it, as in Greff et al. (2017):
///   i, f = sigmoid(W x + U h + b + p * c),   c' = f * c + i * tanh(g)
///   o = sigmoid(W x + U h + b + p * c'),     h' = o * tanh(c')
///   weight_ih [4H, I]  weight_hh [4H, H]  bias [4H], in the order i, f, g, o;  peephole [3H]: i, f, o
inline CustomCell peephole_lstm(std::size_t input_size, std::size_t hidden_size) {
  const std::size_t H = hidden_size;
  CellBuilder cell("PeepholeLSTM");
  const auto x = cell.input(input_size), h = cell.state("h", H), c = cell.state("c", H);
  const auto [i, f, g, o] = split<4>(cell.matrix("weight_ih", 4 * H, x) + cell.matrix("weight_hh", 4 * H, h) +
                                     cell.vector("bias", 4 * H));
  const auto [p_i, p_f, p_o] = split<3>(cell.vector("peephole", 3 * H));
  const auto input = sigmoid(i + p_i * c).named("input"), forget = sigmoid(f + p_f * c).named("forget");
  const auto c_new = forget * c + input * tanh(g).named("cell");
  const auto h_new = sigmoid(o + p_o * c_new).named("output") * tanh(c_new);
  cell.next(h, h_new);
  cell.next(c, c_new);
  return cell.build(h_new);
}

/// LSTM whose input and forget gates are coupled, f = 1 - i (CIFG; Greff et al. 2017). Like every variant of
/// that paper it has peepholes, which other implementations leave out:
///   i = sigmoid(W x + U h + b + p * c),   c' = (1 - i) * c + i * tanh(g),   o, h' as above
///   weight_ih [3H, I]  weight_hh [3H, H]  bias [3H], in the order i, g, o;  peephole [2H]: i, o
inline CustomCell cifg(std::size_t input_size, std::size_t hidden_size) {
  const std::size_t H = hidden_size;
  CellBuilder cell("CIFG");
  const auto x = cell.input(input_size), h = cell.state("h", H), c = cell.state("c", H);
  const auto [pre_i, g, o] = split<3>(cell.matrix("weight_ih", 3 * H, x) +
                                      cell.matrix("weight_hh", 3 * H, h) + cell.vector("bias", 3 * H));
  const auto [p_i, p_o] = split<2>(cell.vector("peephole", 2 * H));
  const auto i = sigmoid(pre_i + p_i * c).named("input");
  const auto c_new = (1 - i) * c + i * tanh(g).named("cell");
  const auto h_new = sigmoid(o + p_o * c_new).named("output") * tanh(c_new);
  cell.next(h, h_new);
  cell.next(c, c_new);
  return cell.build(h_new);
}

/// LSTM with layer normalisation LN (Ba et al. 2016) of each gate's W x and U h, and of c' on its way out:
///   i, f, g, o = LN(W x) * gain_ih + LN(U h) * gain_hh + bias
///   c' = sigmoid(f) * c + sigmoid(i) * tanh(g),   h' = sigmoid(o) * tanh(LN(c') * gain_c + bias_c)
///   weight_ih [4H, I]  weight_hh [4H, H]  gain_ih [4H]  gain_hh [4H]  bias [4H]  gain_c [H]  bias_c [H]
/// The paper adds three biases to a gate, which are one here. Some implementations normalise all four gates
/// as one vector; here mean and variance are those of a gate's units, the paper's hidden units of a layer.
inline CustomCell layer_norm_lstm(std::size_t input_size, std::size_t hidden_size) {
  const std::size_t H = hidden_size;
  CellBuilder cell("LayerNormLSTM");
  const auto x = cell.input(input_size), h = cell.state("h", H), c = cell.state("c", H);
  const auto wx = split<4>(cell.matrix("weight_ih", 4 * H, x));
  const auto uh = split<4>(cell.matrix("weight_hh", 4 * H, h));
  const auto gain_x = split<4>(cell.vector("gain_ih", 4 * H));
  const auto gain_h = split<4>(cell.vector("gain_hh", 4 * H));
  const auto bias = split<4>(cell.vector("bias", 4 * H));
  const auto gate = [&](std::size_t k) {
    return layer_norm(wx[k], gain_x[k], 0) + layer_norm(uh[k], gain_h[k], bias[k]);
  };
  const auto i = gate(0), f = gate(1), g = gate(2), o = gate(3);
  const auto input = sigmoid(i).named("input"), forget = sigmoid(f).named("forget");
  const auto candidate = tanh(g).named("cell"), output = sigmoid(o).named("output");
  const auto c_new = forget * c + input * candidate;
  const auto squashed = tanh(layer_norm(c_new, cell.vector("gain_c", H), cell.vector("bias_c", H)));
  const auto h_new = output * squashed.named("squashed");
  cell.next(h, h_new);
  cell.next(c, c_new);
  return cell.build(h_new);
}

/// What an sLSTM's forget gate is: the paper has both.
enum class ForgetGate { kSigmoid, kExp };

/// sLSTM of one head (Beck et al. 2024, xLSTM): the input gate is an exponential, and so may be the forget
/// gate; the state n normalises, m keeps both exponentials in range, and h is the same for any m.
///   log f = log(sigmoid(f~)), or f~,   m' = max(log f + m, i~)
///   i = exp(i~ - m'),   f = exp(log f + m - m'),   c' = f * c + i * tanh(z),   n' = f * n + i
///   h' = sigmoid(o) * c' / n'
///   weight_ih [4H, I]  weight_hh [4H, H]  bias [4H], in the order i, f, z, o
/// All states begin with zeros. The paper does not say how m begins; here, as in its authors' program, m' is
/// i~ where n is 0, nothing having been seen, so that n' is 1 there whatever i~ is; and f, which only there
/// could be more, is at most 1.
inline CustomCell slstm(std::size_t input_size, std::size_t hidden_size,
                        ForgetGate forget_gate = ForgetGate::kSigmoid) {
  const std::size_t H = hidden_size;
  CellBuilder cell("sLSTM");
  const auto x = cell.input(input_size), h = cell.state("h", H), c = cell.state("c", H);
  const auto n = cell.state("n", H), m = cell.state("m", H);
  const auto [i, f, z, o] = split<4>(cell.matrix("weight_ih", 4 * H, x) + cell.matrix("weight_hh", 4 * H, h) +
                                     cell.vector("bias", 4 * H));
  // log(sigmoid(f)), finite for any f.
  const auto log_f = forget_gate == ForgetGate::kExp ? f : min(f, 0) - log(1 + exp(-abs(f)));
  const auto m_new = select(n > 0, max(log_f + m, i), i);
  const auto input = exp(i - m_new).named("input"), forget = exp(min(log_f + m - m_new, 0)).named("forget");
  const auto c_new = forget * c + input * tanh(z).named("cell");
  const auto n_new = forget * n + input;
  const auto h_new = sigmoid(o).named("output") * (c_new / n_new);
  cell.next(h, h_new);
  cell.next(c, c_new);
  cell.next(n, n_new);
  cell.next(m, m_new);
  return cell.build(h_new);
}

}  // namespace sluice::cells
