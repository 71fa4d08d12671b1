// SPDX-License-Identifier: Apache-2.0
// The public sigmoid and its family: shapes are checked here, threads shared out, and the kernels called.
#include "sluice/activations.h"

#include <algorithm>
#include <string_view>

#include "cells/elementwise.h"
#include "kernels/gate_math.h"
#include "sluice/sigmoid.h"

namespace sluice {
namespace {

using kernels::gate_math;

template <class T>
Tensor<T> new_like(std::string_view call, TensorView<const T> x) {
  check_given(call, "x", x);
  return Tensor<T>(x.shape());
}

template <class T>
void backward_spans(std::string_view call, std::span<const T> y, std::span<const T> grad_y,
                    std::span<T> grad_x, typename kernels::GateMath<T>::Backward kernel) {
  check_shape(call, "grad_y", Shape{grad_y.size()}, Shape{y.size()});
  check_shape(call, "grad_x", Shape{grad_x.size()}, Shape{y.size()});
  parallel_ranges(y.size(), kElementsPerThread, 0, [&](std::size_t begin, std::size_t end) {
    kernel(y.data() + begin, grad_y.data() + begin, grad_x.data() + begin, end - begin);
  });
}

template <class T>
Tensor<T> backward_views(std::string_view call, TensorView<const T> y, TensorView<const T> grad_y,
                         typename kernels::GateMath<T>::Backward kernel) {
  check_given(call, "y", y);
  check_given(call, "grad_y", grad_y);
  check_shape(call, "grad_y", grad_y.shape(), y.shape());
  const Tensor<T> saved(y);
  Tensor<T> grad(grad_y);
  backward_spans<T>(call, saved.span(), grad.span(), grad.span(), kernel);
  return grad;
}

template <class T>
void softmax_views(TensorView<const T> x, TensorView<T> y) {
  constexpr std::string_view kCall = "softmax";
  check_given(kCall, "x", x);
  check_given(kCall, "y", y);
  check_shape(kCall, "y", y.shape(), x.shape());
  if (x.size() == 0) return;
  const auto last = [](const auto& view) { return view.rank() == 0 ? 1 : view.stride(view.rank() - 1); };
  if (last(x) != 1 || last(y) != 1) {
    Tensor<T> rows(x);
    softmax_views<T>(rows.view(), rows.view());
    map_views<T>(kCall, rows.view(), y,
                 [](const T* from, T* to, std::size_t n) { std::copy_n(from, n, to); });
    return;
  }
  // The first elements of the rows stand for them.
  const auto first = [](const auto& view) {
    return view.rank() == 0 ? view : view.narrow(view.rank() - 1, 0, 1);
  };
  const PairLoop rows(first(x), first(y));
  const std::size_t n = x.rank() == 0 ? 1 : x.dim(x.rank() - 1);
  const auto kernel = gate_math<T>().softmax;
  parallel_ranges(x.size() / n, kElementsPerThread / n + 1, 0, [&](std::size_t begin, std::size_t end) {
    for (std::size_t row = begin; row < end; ++row) {
      const auto [x_offset, y_offset] = rows.element(row);
      kernel(x.data() + x_offset, y.data() + y_offset, n);
    }
  });
}

}  // namespace

// The overloads of one function, all through the member of GateMath with the same name.
#define SLUICE_DEFINE_TYPE(name, T)                                                                  \
  void name(std::span<const T> x, std::span<T> y) { map_spans(#name, x, y, gate_math<T>().name); }   \
  void name(TensorView<const T> x, TensorView<T> y) { map_views(#name, x, y, gate_math<T>().name); } \
  Tensor<T> name(TensorView<const T> x) {                                                            \
    Tensor<T> y = new_like(#name, x);                                                                \
    map_views(#name, x, y.view(), gate_math<T>().name);                                              \
    return y;                                                                                        \
  }
#define SLUICE_DEFINE(name)       \
  SLUICE_DEFINE_TYPE(name, float) \
  SLUICE_DEFINE_TYPE(name, double)

SLUICE_DEFINE(sigmoid)
SLUICE_DEFINE(tanh)
SLUICE_DEFINE(log_sigmoid)
SLUICE_DEFINE(hard_sigmoid)
SLUICE_DEFINE(hard_sigmoid_onnx)
SLUICE_DEFINE(silu)
SLUICE_DEFINE(relu)

#undef SLUICE_DEFINE
#undef SLUICE_DEFINE_TYPE

float sigmoid(float x) {
  gate_math<float>().sigmoid(&x, &x, 1);
  return x;
}
double sigmoid(double x) {
  gate_math<double>().sigmoid(&x, &x, 1);
  return x;
}

void sigmoid_backward(std::span<const float> y, std::span<const float> grad_y, std::span<float> grad_x) {
  backward_spans("sigmoid_backward", y, grad_y, grad_x, gate_math<float>().sigmoid_backward);
}
void sigmoid_backward(std::span<const double> y, std::span<const double> grad_y, std::span<double> grad_x) {
  backward_spans("sigmoid_backward", y, grad_y, grad_x, gate_math<double>().sigmoid_backward);
}
Tensor<float> sigmoid_backward(TensorView<const float> y, TensorView<const float> grad_y) {
  return backward_views("sigmoid_backward", y, grad_y, gate_math<float>().sigmoid_backward);
}
Tensor<double> sigmoid_backward(TensorView<const double> y, TensorView<const double> grad_y) {
  return backward_views("sigmoid_backward", y, grad_y, gate_math<double>().sigmoid_backward);
}

void tanh_backward(std::span<const float> y, std::span<const float> grad_y, std::span<float> grad_x) {
  backward_spans("tanh_backward", y, grad_y, grad_x, gate_math<float>().tanh_backward);
}
void tanh_backward(std::span<const double> y, std::span<const double> grad_y, std::span<double> grad_x) {
  backward_spans("tanh_backward", y, grad_y, grad_x, gate_math<double>().tanh_backward);
}

void softmax(TensorView<const float> x, TensorView<float> y) { softmax_views(x, y); }
void softmax(TensorView<const double> x, TensorView<double> y) { softmax_views(x, y); }
Tensor<float> softmax(TensorView<const float> x) {
  Tensor<float> y = new_like("softmax", x);
  softmax_views(x, y.view());
  return y;
}
Tensor<double> softmax(TensorView<const double> x) {
  Tensor<double> y = new_like("softmax", x);
  softmax_views(x, y.view());
  return y;
}

}  // namespace sluice
