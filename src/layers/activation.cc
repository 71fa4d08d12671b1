// SPDX-License-Identifier: Apache-2.0
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

template class Activation<float>;
template class Activation<double>;

}  // namespace sluice
