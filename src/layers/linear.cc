// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "core/check.h"
#include "layers/packed_linear.h"
#include "layers/sequence.h"
#include "layers/weight_gradient.h"
#include "sluice/layers.h"

namespace sluice {
namespace {

template <class T>
std::unique_ptr<const PackedLinear<T>> pack(const LinearOptions& options, const StateDict<T>& weights,
                                            const std::string& prefix) {
  if (options.in_features == 0 || options.out_features == 0) {
    throw Error("Linear: in_features is " + std::to_string(options.in_features) + " and out_features is " +
                std::to_string(options.out_features) + ", expected at least 1");
  }
  const TensorView<const T> weight =
      weights.at(prefix + "weight", {options.out_features, options.in_features});
  const TensorView<const T> bias =
      options.bias ? weights.at(prefix + "bias", {options.out_features}) : TensorView<const T>();
  return std::make_unique<const PackedLinear<T>>(weight, bias);
}

template <class T>
class LinearStepper final : public Stepper<T> {
 public:
  LinearStepper(const PackedLinear<T>& packed, std::size_t batch)
      : packed_(packed), batch_(batch), y_({batch, packed.out()}) {}

  const T* step(const T* x) noexcept override {
    packed_.run(x, static_cast<std::ptrdiff_t>(packed_.in()), y_.data(),
                static_cast<std::ptrdiff_t>(packed_.out()), batch_);
    return y_.data();
  }
  void reset() noexcept override {}

 private:
  const PackedLinear<T>& packed_;
  std::size_t batch_;
  Tensor<T> y_;
};

}  // namespace

template <class T>
Linear<T>::Linear(const LinearOptions& options, const StateDict<T>& weights, const std::string& prefix)
    : options_(options), prefix_(prefix), packed_(pack<T>(options, weights, prefix)) {}

template <class T>
Linear<T>::~Linear() = default;
template <class T>
Linear<T>::Linear(Linear&&) noexcept = default;
template <class T>
Linear<T>& Linear<T>::operator=(Linear&&) noexcept = default;

template <class T>
Tensor<T> Linear<T>::forward(TensorView<const T> x, const RunOptions& options) const {
  if (x.rank() == 0 || x.dim(x.rank() - 1) != options_.in_features) {
    throw_shape_error("Linear::forward", "x", x.shape(),
                      "[..., " + std::to_string(options_.in_features) + "]");
  }
  Tensor<T> storage;
  const TensorView<const T> rows = contiguous(x, storage);
  Tensor<T> y(with_last_dim(x.shape(), options_.out_features));
  packed_->run(rows.data(), static_cast<std::ptrdiff_t>(options_.in_features), y.data(),
               static_cast<std::ptrdiff_t>(options_.out_features), x.size() / options_.in_features,
               options.threads);
  return y;
}

template <class T>
void Linear<T>::forward(std::size_t rows, const T* x, T* y) const noexcept {
  packed_->run(x, static_cast<std::ptrdiff_t>(options_.in_features), y,
               static_cast<std::ptrdiff_t>(options_.out_features), rows);
}

template <class T>
std::vector<ParameterInfo> Linear<T>::parameters() const {
  std::vector<ParameterInfo> all{{prefix_ + "weight", {options_.out_features, options_.in_features}}};
  if (options_.bias) all.push_back({prefix_ + "bias", {options_.out_features}});
  return all;
}

template <class T>
std::size_t Linear<T>::output_size(std::size_t input_size) const {
  check_features("Linear", input_size, options_.in_features);
  return options_.out_features;
}

template <class T>
double Linear<T>::flops_per_step(std::size_t) const {
  return 2.0 * static_cast<double>(options_.in_features) * static_cast<double>(options_.out_features);
}

template <class T>
SequenceOutput<T> Linear<T>::run(const Sequence<T>& in, const RunOptions& options) const {
  check_sequence("Linear::run", in, options_.in_features);
  return {forward(in.x, options), same_lengths(in)};
}

template <class T>
std::unique_ptr<Stepper<T>> Linear<T>::stepper(std::size_t batch, std::size_t input_size) const {
  output_size(input_size);
  return std::make_unique<LinearStepper<T>>(*packed_, batch);
}

template <class T>
SequenceOutput<T> Linear<T>::record(const Sequence<T>& in, Tape& tape, const RecordOptions& options) const {
  return record_input(*this, in, tape, options);
}

template <class T>
Tensor<T> Linear<T>::backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                              const BackwardOptions& options) const {
  const auto entry = tape.take<SequenceEntry<T>>();
  const TensorView<const T> x = entry->x;
  const std::size_t in = options_.in_features, out = options_.out_features;
  check_shape("Linear::backward", "grad", grad.shape(), Shape{x.dim(0), x.dim(1), out});
  const Tensor<T> list = padded_gradients(grad, entry->lengths);
  const TensorView<T> weight = wanted_grad(parameters, prefix_ + "weight");
  const TensorView<T> bias = options_.bias ? wanted_grad(parameters, prefix_ + "bias") : TensorView<T>();
  if (weight || bias) {
    Tensor<T> copy;
    const TensorView<const T> rows = in > 1 && x.stride(2) != 1 ? contiguous(x, copy) : x;
    add_weight_gradient(transposed_features(rows, entry->lengths, options.threads), list, GateRange{}, out,
                        weight, bias, options.threads);
  }
  if (!options.wants_input) return {};
  Tensor<T> grad_x(x.shape());
  const TensorView<const T> values = parameters.value(parameters.index_of(prefix_ + "weight"));
  const PackedLinear<T> transposed(values.transpose(0, 1));
  transposed.run(list.data(), static_cast<std::ptrdiff_t>(list.dim(2)), grad_x.data(),
                 static_cast<std::ptrdiff_t>(in), x.dim(0) * x.dim(1), options.threads);
  return grad_x;
}

template <class T>
void Linear<T>::load(const StateDict<T>& weights) {
  packed_ = pack<T>(options_, weights, prefix_);
}

template class Linear<float>;
template class Linear<double>;

}  // namespace sluice
