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
RNNBase<T>::RNNBase(std::unique_ptr<const RecurrentNet<T>> net, bool batch_first) noexcept
    : RecurrentModule<T>(std::move(net)), batch_first_(batch_first) {}

template <class T>
RecurrentOutput<T> RNNBase<T>::forward(TensorView<const T> x, const RecurrentInput<T>& in,
                                       RecurrentOutput<T>&& reuse) const {
  return this->net().forward(x, in, layout_of(batch_first_), nullptr, std::move(reuse));
}
template <class T>
RecurrentOutput<T> RNNBase<T>::record(TensorView<const T> x, const RecurrentInput<T>& in, Tape& tape,
                                      const RecordOptions& options) const {
  return record_call(this->net(), x, in, layout_of(batch_first_), tape, options);
}
template <class T>
RecurrentInputGradients<T> RNNBase<T>::backward(const RecurrentOutputGradients<T>& grads, Tape& tape,
                                                Parameters<T>& parameters,
                                                const BackwardOptions& options) const {
  return backward_call(this->net(), grads, tape, parameters, options);
}

template <class T>
LSTM<T>::LSTM(const LSTMOptions& options, const StateDict<T>& weights, const std::string& prefix)
    : RNNBase<T>(std::make_unique<const RecurrentNet<T>>(net_options(options), weights, prefix),
                 options.batch_first),
      options_(options) {}

template <class T>
GRU<T>::GRU(const GRUOptions& options, const StateDict<T>& weights, const std::string& prefix)
    : RNNBase<T>(std::make_unique<const RecurrentNet<T>>(net_options(options), weights, prefix),
                 options.batch_first),
      options_(options) {}

template <class T>
RNN<T>::RNN(const RNNOptions& options, const StateDict<T>& weights, const std::string& prefix)
    : RNNBase<T>(std::make_unique<const RecurrentNet<T>>(net_options(options), weights, prefix),
                 options.batch_first),
      options_(options) {}

template class RNNBase<float>;
template class RNNBase<double>;
template class LSTM<float>;
template class LSTM<double>;
template class GRU<float>;
template class GRU<double>;
template class RNN<float>;
template class RNN<double>;

}  // namespace sluice
