// SPDX-License-Identifier: Apache-2.0
// Calls of a recurrent network on a tape, and the ways back through them: record() and backward() of LSTM,
// GRU, RNN and their cells.
#pragma once

#include <cstddef>
#include <memory>

#include "layers/recurrent_net.h"
#include "layers/recurrent_record.h"
#include "layers/sequence_layout.h"
#include "sluice/module.h"
#include "sluice/parameters.h"
#include "sluice/recurrent.h"
#include "sluice/tape.h"
#include "sluice/tensor.h"

namespace sluice {

/// A call of a network on a tape.
template <class T>
struct RecurrentEntry final : Tape::Entry {
  RecurrentRecord<T> record;
  const RecurrentNet<T>* net = nullptr;
  std::size_t rank = 3;  ///< of the call's x
  SequenceLayout layout = SequenceLayout::kTimeFirst;
  std::size_t bytes() const noexcept override { return record.bytes(); }
};

/// LSTM::record and its backward, and those of its kin. Of `options`, threads and carried count for nothing:
/// `in` has them.
template <class T>
RecurrentOutput<T> record_call(const RecurrentNet<T>& net, TensorView<const T> x, const RecurrentInput<T>& in,
                               SequenceLayout layout, Tape& tape, const RecordOptions& options = {});
template <class T>
RecurrentInputGradients<T> backward_call(const RecurrentNet<T>& net, const RecurrentOutputGradients<T>& grads,
                                         Tape& tape, Parameters<T>& parameters,
                                         const BackwardOptions& options);
/// The parts of backward_call: takes a call of `net` from the top of the tape; checks the gradients' shapes;
/// and goes back through it.
template <class T>
std::unique_ptr<RecurrentEntry<T>> take_call(const RecurrentNet<T>& net, Tape& tape);
template <class T>
void check_gradients(const RecurrentOptions& options, const RecurrentEntry<T>& entry,
                     const RecurrentOutputGradients<T>& grads);
template <class T>
RecurrentInputGradients<T> backward_entry(const RecurrentNet<T>& net, RecurrentEntry<T>& entry,
                                          const RecurrentOutputGradients<T>& grads, Parameters<T>& parameters,
                                          const BackwardOptions& options);

/// Module::record and Module::backward of the layers that `net` is.
template <class T>
SequenceOutput<T> record_recurrent(const RecurrentNet<T>& net, const Sequence<T>& in, Tape& tape,
                                   const RecordOptions& options);
template <class T>
Tensor<T> recurrent_backward(const RecurrentNet<T>& net, TensorView<const T> grad, Tape& tape,
                             Parameters<T>& parameters, const BackwardOptions& options);

}  // namespace sluice
