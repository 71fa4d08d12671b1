// SPDX-License-Identifier: Apache-2.0
#include "sluice/recurrent_module.h"

#include <utility>

#include "layers/recurrent_net.h"
#include "layers/recurrent_tape.h"

namespace sluice {

template <class T>
RecurrentModule<T>::RecurrentModule(std::unique_ptr<const RecurrentNet<T>> net) noexcept
    : net_(std::move(net)) {}
template <class T>
RecurrentModule<T>::~RecurrentModule() = default;
template <class T>
RecurrentModule<T>::RecurrentModule(RecurrentModule&&) noexcept = default;
template <class T>
RecurrentModule<T>& RecurrentModule<T>::operator=(RecurrentModule&&) noexcept = default;

template <class T>
std::string_view RecurrentModule<T>::type() const noexcept {
  return net_->options().type;
}
template <class T>
std::vector<ParameterInfo> RecurrentModule<T>::parameters() const {
  return net_->parameters();
}
template <class T>
std::size_t RecurrentModule<T>::output_size(std::size_t input_size) const {
  return net_->output_size(input_size);
}
template <class T>
double RecurrentModule<T>::flops_per_step(std::size_t) const {
  return net_->flops_per_step();
}
template <class T>
SequenceOutput<T> RecurrentModule<T>::run(const Sequence<T>& in, const RunOptions& options) const {
  return net_->run(in, options);
}
template <class T>
std::unique_ptr<Stepper<T>> RecurrentModule<T>::stepper(std::size_t batch, std::size_t input_size) const {
  return net_->stepper(batch, input_size);
}
template <class T>
SequenceOutput<T> RecurrentModule<T>::record(const Sequence<T>& in, Tape& tape,
                                             const RecordOptions& options) const {
  return record_recurrent(*net_, in, tape, options);
}
template <class T>
Tensor<T> RecurrentModule<T>::backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                                       const BackwardOptions& options) const {
  return recurrent_backward(*net_, grad, tape, parameters, options);
}
template <class T>
void RecurrentModule<T>::load(const StateDict<T>& weights) {
  net_ = std::make_unique<const RecurrentNet<T>>(net_->options(), weights, net_->prefix());
}

template class RecurrentModule<float>;
template class RecurrentModule<double>;

}  // namespace sluice
