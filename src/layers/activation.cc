// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "cells/elementwise.h"
#include "core/check.h"
#include "core/threads.h"
#include "kernels/gate_math.h"
#include "layers/sequence.h"
#include "sluice/layers.h"

namespace sluice {
namespace {

using kernels::GateMath;

constexpr std::array<std::pair<ActivationKind, std::string_view>, 8> kNames{{
    {ActivationKind::kSigmoid, "Sigmoid"},
    {ActivationKind::kTanh, "Tanh"},
    {ActivationKind::kRelu, "ReLU"},
    {ActivationKind::kSilu, "SiLU"},
    {ActivationKind::kLogSigmoid, "LogSigmoid"},
    {ActivationKind::kHardSigmoid, "Hardsigmoid"},
    {ActivationKind::kHardSigmoidOnnx, "HardSigmoidONNX"},
    {ActivationKind::kSoftmax, "Softmax"},
}};

ActivationKind kind_of(std::string_view type_name) {
  for (const auto& [kind, name] : kNames) {
    if (name == type_name) return kind;
  }
  std::string message = "Activation: there is none named '" + std::string(type_name) + "', expected one of";
  for (const auto& [kind, name] : kNames)
    message += (kind == kNames.front().first ? " " : ", ") + std::string(name);
  throw Error(message);
}

// The elementwise function of a kind; null for softmax, which works on rows.
template <class T>
typename GateMath<T>::Map map_of(const GateMath<T>& math, ActivationKind kind) noexcept {
  switch (kind) {
    case ActivationKind::kSigmoid:
      return math.sigmoid;
    case ActivationKind::kTanh:
      return math.tanh;
    case ActivationKind::kRelu:
      return math.relu;
    case ActivationKind::kSilu:
      return math.silu;
    case ActivationKind::kLogSigmoid:
      return math.log_sigmoid;
    case ActivationKind::kHardSigmoid:
      return math.hard_sigmoid;
    case ActivationKind::kHardSigmoidOnnx:
      return math.hard_sigmoid_onnx;
    case ActivationKind::kSoftmax:
      break;
  }
  return nullptr;
}

// y may be x. On the calling thread.
template <class T>
void apply(const GateMath<T>& math, ActivationKind kind, const T* x, T* y, std::size_t rows,
           std::size_t features) noexcept {
  if (const auto map = map_of(math, kind)) {
    map(x, y, rows * features);
  } else {
    for (std::size_t r = 0; r < rows; ++r) math.softmax(x + r * features, y + r * features, features);
  }
}

// The gradient of one row: from x and y = f(x), whichever is nearer at hand.
template <class T>
void apply_backward(const GateMath<T>& math, ActivationKind kind, const T* x, const T* y, const T* grad,
                    T* grad_x, std::size_t n) noexcept {
  // The slope of a clamped line between its ends.
  const auto within = [&](T end, T slope) {
    for (std::size_t i = 0; i < n; ++i) grad_x[i] = x[i] > -end && x[i] < end ? grad[i] * slope : T{0};
  };
  switch (kind) {
    case ActivationKind::kSigmoid:
      math.sigmoid_backward(y, grad, grad_x, n);
      break;
    case ActivationKind::kTanh:
      math.tanh_backward(y, grad, grad_x, n);
      break;
    case ActivationKind::kRelu:
      for (std::size_t i = 0; i < n; ++i) grad_x[i] = y[i] > T{0} ? grad[i] : T{0};
      break;
    case ActivationKind::kSilu:  // s + x s (1 - s)
      math.sigmoid(x, grad_x, n);
      for (std::size_t i = 0; i < n; ++i) {
        grad_x[i] = grad[i] * (grad_x[i] + x[i] * grad_x[i] * (T{1} - grad_x[i]));
      }
      break;
    case ActivationKind::kLogSigmoid:  // 1 - sigmoid(x) = sigmoid(-x)
      for (std::size_t i = 0; i < n; ++i) grad_x[i] = -x[i];
      math.sigmoid(grad_x, grad_x, n);
      for (std::size_t i = 0; i < n; ++i) grad_x[i] *= grad[i];
      break;
    case ActivationKind::kHardSigmoid:
      within(T{3}, T{1} / T{6});
      break;
    case ActivationKind::kHardSigmoidOnnx:
      within(static_cast<T>(2.5), static_cast<T>(0.2));
      break;
    case ActivationKind::kSoftmax: {
      double dot = 0;
      for (std::size_t i = 0; i < n; ++i) dot += static_cast<double>(grad[i]) * static_cast<double>(y[i]);
      for (std::size_t i = 0; i < n; ++i) grad_x[i] = y[i] * (grad[i] - static_cast<T>(dot));
      break;
    }
  }
}

template <class T>
class ActivationStepper final : public Stepper<T> {
 public:
  ActivationStepper(const GateMath<T>& math, ActivationKind kind, std::size_t batch, std::size_t features)
      : math_(math), kind_(kind), y_({batch, features}) {}

  const T* step(const T* x) noexcept override {
    apply(math_, kind_, x, y_.data(), y_.dim(0), y_.dim(1));
    return y_.data();
  }
  void reset() noexcept override {}

 private:
  const GateMath<T>& math_;
  ActivationKind kind_;
  Tensor<T> y_;
};

}  // namespace

template <class T>
Activation<T>::Activation(ActivationKind kind) : kind_(kind), math_(&kernels::gate_math<T>()) {}

template <class T>
Activation<T>::Activation(std::string_view type_name) : Activation(kind_of(type_name)) {}

template <class T>
Tensor<T> Activation<T>::forward(TensorView<const T> x, const RunOptions& options) const {
  if (x.is_null()) throw ShapeError("Activation::forward: x is null");
  Tensor<T> y;
  const T* from = x.data();
  if (x.is_contiguous()) {
    y = Tensor<T>(x.shape());
  } else {
    y = Tensor<T>(x);
    from = y.data();
  }
  // Elementwise functions may be cut anywhere, softmax between rows.
  const std::size_t features = kind_ != ActivationKind::kSoftmax || x.rank() == 0 ? 1 : x.dim(x.rank() - 1);
  if (x.size() == 0) return y;
  parallel_ranges(x.size() / features, kElementsPerThread / features + 1, options.threads,
                  [&](std::size_t begin, std::size_t end) {
                    apply(*math_, kind_, from + begin * features, y.data() + begin * features, end - begin,
                          features);
                  });
  return y;
}

template <class T>
std::string_view Activation<T>::type() const noexcept {
  for (const auto& [kind, name] : kNames) {
    if (kind == kind_) return name;
  }
  return "Activation";
}

template <class T>
SequenceOutput<T> Activation<T>::run(const Sequence<T>& in, const RunOptions& options) const {
  check_sequence(std::string(type()) + "::run", in);
  return {forward(in.x, options), same_lengths(in)};
}

template <class T>
std::unique_ptr<Stepper<T>> Activation<T>::stepper(std::size_t batch, std::size_t input_size) const {
  return std::make_unique<ActivationStepper<T>>(*math_, kind_, batch, input_size);
}

template <class T>
SequenceOutput<T> Activation<T>::record(const Sequence<T>& in, Tape& tape,
                                        const RecordOptions& options) const {
  SequenceOutput<T> out = run(in, options.run());
  tape.put(std::make_unique<SequenceEntry<T>>(in, Tensor<T>(out.y)));
  return out;
}

template <class T>
Tensor<T> Activation<T>::backward(TensorView<const T> grad, Tape& tape, Parameters<T>&,
                                  const BackwardOptions& options) const {
  const auto entry = tape.take<SequenceEntry<T>>();
  check_shape(std::string(type()) + "::backward", "grad", grad.shape(), entry->x.shape());
  if (!options.wants_input) return {};
  Tensor<T> x_copy, grad_copy;
  const T* const x = contiguous(entry->x, x_copy).data();
  const T* const g = contiguous(grad, grad_copy).data();
  const T* const y = entry->kept.data();
  Tensor<T> grad_x(entry->x.shape());
  const std::size_t features = std::max<std::size_t>(entry->x.dim(2), 1);
  parallel_ranges(grad_x.size() / features, kElementsPerThread / features + 1, options.threads,
                  [&](std::size_t begin, std::size_t end) {
                    for (std::size_t row = begin; row < end; ++row) {
                      const std::size_t at = row * features;
                      apply_backward(*math_, kind_, x + at, y + at, g + at, grad_x.data() + at, features);
                    }
                  });
  for (std::size_t b = 0; b < entry->lengths.size(); ++b) {
    for (std::size_t t = entry->length(b); t < grad_x.dim(0); ++t) {
      for (std::size_t f = 0; f < grad_x.dim(2); ++f) grad_x(t, b, f) = T{0};
    }
  }
  return grad_x;
}

template class Activation<float>;
template class Activation<double>;

}  // namespace sluice
