// SPDX-License-Identifier: Apache-2.0
// The sigmoid: function, functional form and module, with equal bits. Every gate of the library is this
// function.
#pragma once

#include <span>

#include "sluice/tensor.h"

namespace sluice {

/// y[i] = 1 / (1 + exp(-x[i])). y may be x itself; otherwise they must not overlap. Throws ShapeError if the
/// sizes differ. Where the processor has FMA: float32 within 1 ULP, float64 within 2, over the whole range,
/// subnormal results included; never decreasing, never outside [0, 1]; NaN gives NaN. docs/accuracy.md has
/// the measured figures. Large arrays are shared among OpenMP's threads; the bits do not depend on that.
void sigmoid(std::span<const float> x, std::span<float> y);
void sigmoid(std::span<const double> x, std::span<double> y);

/// The same over views of any shape and strides; y may be x. Throws ShapeError if the shapes differ.
void sigmoid(TensorView<const float> x, TensorView<float> y);
void sigmoid(TensorView<const double> x, TensorView<double> y);

/// The same into a new tensor of the shape of x.
Tensor<float> sigmoid(TensorView<const float> x);
Tensor<double> sigmoid(TensorView<const double> x);
inline Tensor<float> sigmoid(const Tensor<float>& x) { return sigmoid(x.view()); }
inline Tensor<double> sigmoid(const Tensor<double>& x) { return sigmoid(x.view()); }

/// One value, with the bits of the array form.
float sigmoid(float x);
double sigmoid(double x);

/// The gradient from the saved output: grad_x[i] = grad_y[i] * y[i] * (1 - y[i]); no exponential is taken
/// again. grad_x may be grad_y or y. Throws ShapeError if the sizes differ.
void sigmoid_backward(std::span<const float> y, std::span<const float> grad_y, std::span<float> grad_x);
void sigmoid_backward(std::span<const double> y, std::span<const double> grad_y, std::span<double> grad_x);
Tensor<float> sigmoid_backward(TensorView<const float> y, TensorView<const float> grad_y);
Tensor<double> sigmoid_backward(TensorView<const double> y, TensorView<const double> grad_y);

/// torch.nn.functional.sigmoid, and its way back.
namespace functional {
using sluice::sigmoid;
using sluice::sigmoid_backward;
}  // namespace functional

/// torch.nn.Sigmoid: no parameters; any shape in, the same shape out. In a Sequential model:
/// Activation("Sigmoid").
class Sigmoid {
 public:
  Tensor<float> forward(TensorView<const float> x) const { return sigmoid(x); }
  Tensor<double> forward(TensorView<const double> x) const { return sigmoid(x); }
  template <class X>
  auto operator()(const X& x) const {
    return sigmoid(x);
  }
  /// sigmoid_backward: from what forward() gave.
  Tensor<float> backward(TensorView<const float> y, TensorView<const float> grad_y) const {
    return sigmoid_backward(y, grad_y);
  }
  Tensor<double> backward(TensorView<const double> y, TensorView<const double> grad_y) const {
    return sigmoid_backward(y, grad_y);
  }
};

}  // namespace sluice
