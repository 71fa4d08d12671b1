// SPDX-License-Identifier: Apache-2.0
// Fused gate kernels for cells of one's own: pre-activations in, the new state out; and back, gradients of
// the new state in, those of the pre-activations out. The built-in cells use the same vector functions, so
// the bits are the same. eigen.h has the forward calls for Eigen's matrices.
#pragma once

#include "sluice/tensor.h"

namespace sluice {

/// The elementwise half of an LSTM step (gates in PyTorch's order i, f, g, o):
///   c' = sigmoid(f) * c + sigmoid(i) * tanh(g),   h' = sigmoid(o) * tanh(c')
///   pre    [B, 4H]  W x + b + U h, before the activations
///   c      [B, H]
///   h_out  [B, H]   may not overlap pre
///   c_out  [B, H]   may be c
///   gates  [B, 4H]  null, or where to keep the activated gates for a backward pass; may be pre
/// Rows may have any stride; the elements of a row are adjacent. Large batches are shared among OpenMP's
/// threads. Throws ShapeError.
void lstm_gates(TensorView<const float> pre, TensorView<const float> c, TensorView<float> h_out,
                TensorView<float> c_out, TensorView<float> gates = {});
void lstm_gates(TensorView<const double> pre, TensorView<const double> c, TensorView<double> h_out,
                TensorView<double> c_out, TensorView<double> gates = {});

/// The way back through lstm_gates, from the gates that it kept: y (1 - y), with no exponential but that of
/// tanh(c').
///   gates, c, c_out  of that call
///   grad_h_out       [B, H]   of the loss with respect to h'
///   grad_c_out       [B, H]   to c', without what reaches it through h'; null for zeros
///   grad_pre         [B, 4H]  out; may be gates
///   grad_c           [B, H]   out; may be grad_c_out
/// Gradients are written, not added. Rows, threads and errors as in lstm_gates.
void lstm_gates_backward(TensorView<const float> gates, TensorView<const float> c,
                         TensorView<const float> c_out, TensorView<const float> grad_h_out,
                         TensorView<const float> grad_c_out, TensorView<float> grad_pre,
                         TensorView<float> grad_c);
void lstm_gates_backward(TensorView<const double> gates, TensorView<const double> c,
                         TensorView<const double> c_out, TensorView<const double> grad_h_out,
                         TensorView<const double> grad_c_out, TensorView<double> grad_pre,
                         TensorView<double> grad_c);

/// The elementwise half of a GRU step (gates in PyTorch's order r, z, n; reset after the product):
///   n = tanh(pre_x.n + r * pre_h.n),   h' = (1 - z) * n + z * h,   r, z = sigmoid(pre_x + pre_h)
///   pre_x  [B, 3H]  W x + b_ih
///   pre_h  [B, 3H]  U h + b_hh
///   h      [B, H]
///   h_out  [B, H]   may be h
///   gates  [B, 3H]  null, or where to keep r, z, n
/// Throws ShapeError.
void gru_gates(TensorView<const float> pre_x, TensorView<const float> pre_h, TensorView<const float> h,
               TensorView<float> h_out, TensorView<float> gates = {});
void gru_gates(TensorView<const double> pre_x, TensorView<const double> pre_h, TensorView<const double> h,
               TensorView<double> h_out, TensorView<double> gates = {});

/// The way back through gru_gates, from the gates that it kept; no exponential is taken again.
///   gates, pre_h, h  of that call
///   grad_h_out       [B, H]   of the loss with respect to h'
///   grad_pre_x       [B, 3H]  out; may be gates
///   grad_pre_h       [B, 3H]  out; may be pre_h
///   grad_h           [B, H]   out: what reaches h elementwise, without the product; may be grad_h_out
/// Throws ShapeError.
void gru_gates_backward(TensorView<const float> gates, TensorView<const float> pre_h,
                        TensorView<const float> h, TensorView<const float> grad_h_out,
                        TensorView<float> grad_pre_x, TensorView<float> grad_pre_h, TensorView<float> grad_h);
void gru_gates_backward(TensorView<const double> gates, TensorView<const double> pre_h,
                        TensorView<const double> h, TensorView<const double> grad_h_out,
                        TensorView<double> grad_pre_x, TensorView<double> grad_pre_h,
                        TensorView<double> grad_h);

/// A Highway layer's gate (Srivastava et al. 2015): y = t * candidate + (1 - t) * x with t = sigmoid(pre).
/// All [B, H]; y may be x or candidate. `gate` is null, or where to keep t for a backward pass; it may be
/// pre. Throws ShapeError.
void highway_gate(TensorView<const float> pre, TensorView<const float> candidate, TensorView<const float> x,
                  TensorView<float> y, TensorView<float> gate = {});
void highway_gate(TensorView<const double> pre, TensorView<const double> candidate,
                  TensorView<const double> x, TensorView<double> y, TensorView<double> gate = {});

/// The way back through highway_gate, from the t that it kept. All [B, H]; each result may be one of
/// gate, candidate, x and grad_y. Throws ShapeError.
void highway_gate_backward(TensorView<const float> gate, TensorView<const float> candidate,
                           TensorView<const float> x, TensorView<const float> grad_y,
                           TensorView<float> grad_pre, TensorView<float> grad_candidate,
                           TensorView<float> grad_x);
void highway_gate_backward(TensorView<const double> gate, TensorView<const double> candidate,
                           TensorView<const double> x, TensorView<const double> grad_y,
                           TensorView<double> grad_pre, TensorView<double> grad_candidate,
                           TensorView<double> grad_x);

}  // namespace sluice
