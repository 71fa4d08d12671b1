// SPDX-License-Identifier: Apache-2.0
// The public LSTM, GRU and RNN: their options in terms of RecurrentNet, which does the rest.
#include "sluice/recurrent.h"

#include <utility>

#include "layers/recurrent_net.h"
#include "layers/recurrent_tape.h"

namespace sluice {
namespace {

SequenceLayout layout_of(bool batch_first) {
  return batch_first ? SequenceLayout::kBatchFirst : SequenceLayout::kTimeFirst;
}

RecurrentOptions net_options(const LSTMOptions& options) {
  return {.type = options.is_cell ? "LSTMCell" : "LSTM",
          .kind = CellKind::kLstm,
          .names = options.is_cell ? ParameterNames::kCell : ParameterNames::kLayers,
          .input_size = options.input_size,
          .hidden_size = options.hidden_size,
          .num_layers = options.num_layers,
          .has_bias = options.bias,
          .is_bidirectional = options.bidirectional,
          .proj_size = options.proj_size,
          .dropout = options.dropout,
          .has_variational_dropout = options.variational_dropout,
          .zoneout_h = options.zoneout_h,
          .zoneout_c = options.zoneout_c};
}

RecurrentOptions net_options(const GRUOptions& options) {
  return {.type = options.is_cell ? "GRUCell" : "GRU",
          .kind = options.reset == GRUReset::kAfter ? CellKind::kGru : CellKind::kGruBefore,
          .names = options.is_cell ? ParameterNames::kCell : ParameterNames::kLayers,
          .input_size = options.input_size,
          .hidden_size = options.hidden_size,
          .num_layers = options.num_layers,
          .has_bias = options.bias,
          .is_bidirectional = options.bidirectional,
          .dropout = options.dropout,
          .has_variational_dropout = options.variational_dropout,
          .zoneout_h = options.zoneout_h};
}

RecurrentOptions net_options(const RNNOptions& options) {
  return {.type = options.is_cell ? "RNNCell" : "RNN",
          .kind = options.nonlinearity == Nonlinearity::kTanh ? CellKind::kRnnTanh : CellKind::kRnnRelu,
          .names = options.is_cell ? ParameterNames::kCell : ParameterNames::kLayers,
          .input_size = options.input_size,
          .hidden_size = options.hidden_size,
          .num_layers = options.num_layers,
          .has_bias = options.bias,
          .is_bidirectional = options.bidirectional,
          .dropout = options.dropout,
          .has_variational_dropout = options.variational_dropout,
          .zoneout_h = options.zoneout_h};
}

}  // namespace

template <class T>
LSTM<T>::LSTM(const LSTMOptions& options, const StateDict<T>& weights, const std::string& prefix)
    : options_(options),
      net_(std::make_unique<const RecurrentNet<T>>(net_options(options), weights, prefix)) {}
template <class T>
LSTM<T>::~LSTM() = default;
template <class T>
LSTM<T>::LSTM(LSTM&&) noexcept = default;
template <class T>
LSTM<T>& LSTM<T>::operator=(LSTM&&) noexcept = default;

template <class T>
RecurrentOutput<T> LSTM<T>::forward(TensorView<const T> x, const RecurrentInput<T>& in,
                                    RecurrentOutput<T>&& reuse) const {
  return net_->forward(x, in, layout_of(options_.batch_first), nullptr, std::move(reuse));
}
template <class T>
RecurrentOutput<T> LSTM<T>::record(TensorView<const T> x, const RecurrentInput<T>& in, Tape& tape,
                                   const RecordOptions& options) const {
  return record_call(*net_, x, in, layout_of(options_.batch_first), tape, options);
}
template <class T>
RecurrentInputGradients<T> LSTM<T>::backward(const RecurrentOutputGradients<T>& grads, Tape& tape,
                                             Parameters<T>& parameters,
                                             const BackwardOptions& options) const {
  return backward_call(*net_, grads, tape, parameters, options);
}
template <class T>
std::vector<ParameterInfo> LSTM<T>::parameters() const {
  return net_->parameters();
}
template <class T>
std::size_t LSTM<T>::output_size(std::size_t input_size) const {
  return net_->output_size(input_size);
}
template <class T>
double LSTM<T>::flops_per_step(std::size_t) const {
  return net_->flops_per_step();
}
template <class T>
SequenceOutput<T> LSTM<T>::run(const Sequence<T>& in, const RunOptions& options) const {
  return net_->run(in, options);
}
template <class T>
std::unique_ptr<Stepper<T>> LSTM<T>::stepper(std::size_t batch, std::size_t input_size) const {
  return net_->stepper(batch, input_size);
}
template <class T>
SequenceOutput<T> LSTM<T>::record(const Sequence<T>& in, Tape& tape, const RecordOptions& options) const {
  return record_recurrent(*net_, in, tape, options);
}
template <class T>
Tensor<T> LSTM<T>::backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                            const BackwardOptions& options) const {
  return recurrent_backward(*net_, grad, tape, parameters, options);
}
template <class T>
void LSTM<T>::load(const StateDict<T>& weights) {
  net_ = std::make_unique<const RecurrentNet<T>>(net_options(options_), weights, net_->prefix());
}

template <class T>
GRU<T>::GRU(const GRUOptions& options, const StateDict<T>& weights, const std::string& prefix)
    : options_(options),
      net_(std::make_unique<const RecurrentNet<T>>(net_options(options), weights, prefix)) {}
template <class T>
GRU<T>::~GRU() = default;
template <class T>
GRU<T>::GRU(GRU&&) noexcept = default;
template <class T>
GRU<T>& GRU<T>::operator=(GRU&&) noexcept = default;

template <class T>
RecurrentOutput<T> GRU<T>::forward(TensorView<const T> x, const RecurrentInput<T>& in,
                                   RecurrentOutput<T>&& reuse) const {
  return net_->forward(x, in, layout_of(options_.batch_first), nullptr, std::move(reuse));
}
template <class T>
RecurrentOutput<T> GRU<T>::record(TensorView<const T> x, const RecurrentInput<T>& in, Tape& tape,
                                  const RecordOptions& options) const {
  return record_call(*net_, x, in, layout_of(options_.batch_first), tape, options);
}
template <class T>
RecurrentInputGradients<T> GRU<T>::backward(const RecurrentOutputGradients<T>& grads, Tape& tape,
                                            Parameters<T>& parameters, const BackwardOptions& options) const {
  return backward_call(*net_, grads, tape, parameters, options);
}
template <class T>
std::vector<ParameterInfo> GRU<T>::parameters() const {
  return net_->parameters();
}
template <class T>
std::size_t GRU<T>::output_size(std::size_t input_size) const {
  return net_->output_size(input_size);
}
template <class T>
double GRU<T>::flops_per_step(std::size_t) const {
  return net_->flops_per_step();
}
template <class T>
SequenceOutput<T> GRU<T>::run(const Sequence<T>& in, const RunOptions& options) const {
  return net_->run(in, options);
}
template <class T>
std::unique_ptr<Stepper<T>> GRU<T>::stepper(std::size_t batch, std::size_t input_size) const {
  return net_->stepper(batch, input_size);
}
template <class T>
SequenceOutput<T> GRU<T>::record(const Sequence<T>& in, Tape& tape, const RecordOptions& options) const {
  return record_recurrent(*net_, in, tape, options);
}
template <class T>
Tensor<T> GRU<T>::backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                           const BackwardOptions& options) const {
  return recurrent_backward(*net_, grad, tape, parameters, options);
}
template <class T>
void GRU<T>::load(const StateDict<T>& weights) {
  net_ = std::make_unique<const RecurrentNet<T>>(net_options(options_), weights, net_->prefix());
}

template <class T>
RNN<T>::RNN(const RNNOptions& options, const StateDict<T>& weights, const std::string& prefix)
    : options_(options),
      net_(std::make_unique<const RecurrentNet<T>>(net_options(options), weights, prefix)) {}
template <class T>
RNN<T>::~RNN() = default;
template <class T>
RNN<T>::RNN(RNN&&) noexcept = default;
template <class T>
RNN<T>& RNN<T>::operator=(RNN&&) noexcept = default;

template <class T>
RecurrentOutput<T> RNN<T>::forward(TensorView<const T> x, const RecurrentInput<T>& in,
                                   RecurrentOutput<T>&& reuse) const {
  return net_->forward(x, in, layout_of(options_.batch_first), nullptr, std::move(reuse));
}
template <class T>
RecurrentOutput<T> RNN<T>::record(TensorView<const T> x, const RecurrentInput<T>& in, Tape& tape,
                                  const RecordOptions& options) const {
  return record_call(*net_, x, in, layout_of(options_.batch_first), tape, options);
}
template <class T>
RecurrentInputGradients<T> RNN<T>::backward(const RecurrentOutputGradients<T>& grads, Tape& tape,
                                            Parameters<T>& parameters, const BackwardOptions& options) const {
  return backward_call(*net_, grads, tape, parameters, options);
}
template <class T>
std::vector<ParameterInfo> RNN<T>::parameters() const {
  return net_->parameters();
}
template <class T>
std::size_t RNN<T>::output_size(std::size_t input_size) const {
  return net_->output_size(input_size);
}
template <class T>
double RNN<T>::flops_per_step(std::size_t) const {
  return net_->flops_per_step();
}
template <class T>
SequenceOutput<T> RNN<T>::run(const Sequence<T>& in, const RunOptions& options) const {
  return net_->run(in, options);
}
template <class T>
std::unique_ptr<Stepper<T>> RNN<T>::stepper(std::size_t batch, std::size_t input_size) const {
  return net_->stepper(batch, input_size);
}
template <class T>
SequenceOutput<T> RNN<T>::record(const Sequence<T>& in, Tape& tape, const RecordOptions& options) const {
  return record_recurrent(*net_, in, tape, options);
}
template <class T>
Tensor<T> RNN<T>::backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                           const BackwardOptions& options) const {
  return recurrent_backward(*net_, grad, tape, parameters, options);
}
template <class T>
void RNN<T>::load(const StateDict<T>& weights) {
  net_ = std::make_unique<const RecurrentNet<T>>(net_options(options_), weights, net_->prefix());
}

template class LSTM<float>;
template class LSTM<double>;
template class GRU<float>;
template class GRU<double>;
template class RNN<float>;
template class RNN<double>;

}  // namespace sluice
