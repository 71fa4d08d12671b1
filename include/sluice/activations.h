// SPDX-License-Identifier: Apache-2.0
// The sigmoid's family: each function over spans (y may be x), over views of any shape and strides (y may be
// x), and into a new tensor. All throw ShapeError if sizes or shapes differ, and share large arrays among
// OpenMP's threads.
#pragma once

#include <span>

#include "sluice/sigmoid.h"
#include "sluice/tensor.h"

namespace sluice {

/// tanh(x). Where the processor has FMA: float32 within 1.0001 ULP, float64 within 2; odd, never decreasing,
/// never outside [-1, 1].
void tanh(std::span<const float> x, std::span<float> y);
void tanh(std::span<const double> x, std::span<double> y);
void tanh(TensorView<const float> x, TensorView<float> y);
void tanh(TensorView<const double> x, TensorView<double> y);
Tensor<float> tanh(TensorView<const float> x);
Tensor<double> tanh(TensorView<const double> x);
inline Tensor<float> tanh(const Tensor<float>& x) { return tanh(x.view()); }
inline Tensor<double> tanh(const Tensor<double>& x) { return tanh(x.view()); }

/// The gradient from the saved output: grad_y * (1 - y^2). grad_x may be grad_y or y.
void tanh_backward(std::span<const float> y, std::span<const float> grad_y, std::span<float> grad_x);
void tanh_backward(std::span<const double> y, std::span<const double> grad_y, std::span<double> grad_x);

/// log(sigmoid(x)) = min(x, 0) - log1p(exp(-|x|)), as torch.nn.functional.logsigmoid: logsigmoid(-1000) =
/// -1000.
void log_sigmoid(std::span<const float> x, std::span<float> y);
void log_sigmoid(std::span<const double> x, std::span<double> y);
void log_sigmoid(TensorView<const float> x, TensorView<float> y);
void log_sigmoid(TensorView<const double> x, TensorView<double> y);
Tensor<float> log_sigmoid(TensorView<const float> x);
Tensor<double> log_sigmoid(TensorView<const double> x);
inline Tensor<float> log_sigmoid(const Tensor<float>& x) { return log_sigmoid(x.view()); }
inline Tensor<double> log_sigmoid(const Tensor<double>& x) { return log_sigmoid(x.view()); }

/// PyTorch's and Keras 3's hard sigmoid: 0 for x <= -3, 1 for x >= 3, x / 6 + 1/2 between.
void hard_sigmoid(std::span<const float> x, std::span<float> y);
void hard_sigmoid(std::span<const double> x, std::span<double> y);
void hard_sigmoid(TensorView<const float> x, TensorView<float> y);
void hard_sigmoid(TensorView<const double> x, TensorView<double> y);
Tensor<float> hard_sigmoid(TensorView<const float> x);
Tensor<double> hard_sigmoid(TensorView<const double> x);
inline Tensor<float> hard_sigmoid(const Tensor<float>& x) { return hard_sigmoid(x.view()); }
inline Tensor<double> hard_sigmoid(const Tensor<double>& x) { return hard_sigmoid(x.view()); }

/// ONNX's and Keras 2's hard sigmoid: clamp(0.2 x + 0.5, 0, 1).
void hard_sigmoid_onnx(std::span<const float> x, std::span<float> y);
void hard_sigmoid_onnx(std::span<const double> x, std::span<double> y);
void hard_sigmoid_onnx(TensorView<const float> x, TensorView<float> y);
void hard_sigmoid_onnx(TensorView<const double> x, TensorView<double> y);
Tensor<float> hard_sigmoid_onnx(TensorView<const float> x);
Tensor<double> hard_sigmoid_onnx(TensorView<const double> x);
inline Tensor<float> hard_sigmoid_onnx(const Tensor<float>& x) { return hard_sigmoid_onnx(x.view()); }
inline Tensor<double> hard_sigmoid_onnx(const Tensor<double>& x) { return hard_sigmoid_onnx(x.view()); }

/// x * sigmoid(x) (torch.nn.SiLU). The limit at -infinity is -0, not NaN.
void silu(std::span<const float> x, std::span<float> y);
void silu(std::span<const double> x, std::span<double> y);
void silu(TensorView<const float> x, TensorView<float> y);
void silu(TensorView<const double> x, TensorView<double> y);
Tensor<float> silu(TensorView<const float> x);
Tensor<double> silu(TensorView<const double> x);
inline Tensor<float> silu(const Tensor<float>& x) { return silu(x.view()); }
inline Tensor<double> silu(const Tensor<double>& x) { return silu(x.view()); }

/// max(x, 0); NaN stays NaN.
void relu(std::span<const float> x, std::span<float> y);
void relu(std::span<const double> x, std::span<double> y);
void relu(TensorView<const float> x, TensorView<float> y);
void relu(TensorView<const double> x, TensorView<double> y);
Tensor<float> relu(TensorView<const float> x);
Tensor<double> relu(TensorView<const double> x);
inline Tensor<float> relu(const Tensor<float>& x) { return relu(x.view()); }
inline Tensor<double> relu(const Tensor<double>& x) { return relu(x.view()); }

/// exp(x - max) / sum over the last dimension; summed in one fixed order, so the bits depend on nothing but
/// the row.
void softmax(TensorView<const float> x, TensorView<float> y);
void softmax(TensorView<const double> x, TensorView<double> y);
Tensor<float> softmax(TensorView<const float> x);
Tensor<double> softmax(TensorView<const double> x);
inline Tensor<float> softmax(const Tensor<float>& x) { return softmax(x.view()); }
inline Tensor<double> softmax(const Tensor<double>& x) { return softmax(x.view()); }

}  // namespace sluice
