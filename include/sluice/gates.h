// SPDX-License-Identifier: Apache-2.0
// Fused gate kernels for cells of one's own: pre-activations in, the new state out. The built-in cells use
// the same vector functions, so the bits are the same. eigen.h has the same calls for Eigen's matrices.
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

/// A Highway layer's gate (Srivastava et al. 2015): y = t * candidate + (1 - t) * x with t = sigmoid(pre).
/// All [B, H]; y may be x or candidate. Throws ShapeError.
void highway_gate(TensorView<const float> pre, TensorView<const float> candidate, TensorView<const float> x,
                  TensorView<float> y);
void highway_gate(TensorView<const double> pre, TensorView<const double> candidate,
                  TensorView<const double> x, TensorView<double> y);

}  // namespace sluice
