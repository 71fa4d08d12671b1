// SPDX-License-Identifier: Apache-2.0
#include "layers/recurrent_tape.h"

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "layers/recurrent_backward.h"
#include "layers/sequence.h"
#include "sluice/carried_state.h"
#include "sluice/random.h"

namespace sluice {
namespace {

// The statistics of the net's cells, [layer][direction]. A module is met before those that run before it.
template <class T>
std::span<RecurrentStatistics> statistics_of(const RecurrentNet<T>& net, GateStatistics& statistics) {
  const RecurrentOptions& options = net.options();
  const std::string module = net.name();
  std::vector<RecurrentStatistics>& all = statistics.layers;
  auto first = std::find_if(all.begin(), all.end(),
                            [&](const RecurrentStatistics& entry) { return entry.module == module; });
  const std::size_t cells = options.num_layers * options.directions();
  if (first == all.end()) {
    std::vector<RecurrentStatistics> own(cells);
    for (std::size_t i = 0; i < cells; ++i) {
      own[i].module = module;
      own[i].layer = i / options.directions();
      own[i].direction = i % options.directions();
    }
    first = all.insert(all.begin(), own.begin(), own.end());
  }
  return {&*first, cells};
}

// A gradient of a call's sequence as RecurrentBackward takes it; `storage` has it where that needs a copy.
template <class T>
TensorView<const T> sequence_gradient(TensorView<const T> grad, SequenceLayout layout, Tensor<T>& storage) {
  if (!grad) return grad;
  const TensorView<const T> sequence = time_first(grad, layout);
  if (sequence.stride(2) == 1 || sequence.dim(2) == 1) return sequence;
  storage = Tensor<T>(sequence);
  return storage.view();
}

// A state, or its gradient, as [L*D, B, F].
template <class T>
TensorView<const T> batched_state(TensorView<const T> state) {
  if (!state || state.rank() == 3) return state;
  const std::array<std::ptrdiff_t, 3> strides{state.stride(0), 0, state.stride(1)};
  return {state.data(), Shape({state.dim(0), 1, state.dim(1)}), strides};
}

}  // namespace

template <class T>
void check_gradients(const RecurrentOptions& options, const RecurrentEntry<T>& entry,
                     const RecurrentOutputGradients<T>& grads) {
  const std::string call = std::string(options.type) + "::backward";
  const std::size_t steps = entry.record.x.dim(0), batch = entry.record.x.dim(1);
  const std::size_t directions = options.directions(), cells = options.num_layers * directions;
  const auto check_sequence = [&](const char* name, TensorView<const T> grad, std::size_t features) {
    if (grad) {
      check_shape(call, name, grad.shape(),
                  sequence_shape(entry.rank, entry.layout, steps, batch, directions * features));
    }
  };
  const auto check_state = [&](const char* name, TensorView<const T> grad, std::size_t features) {
    if (grad) check_shape(call, name, grad.shape(), state_shape(entry.rank, cells, batch, features));
  };
  if (options.c_size() == 0 && (grads.c_n || grads.c_sequence)) {
    throw Error(call + ": a gradient of c is given, but only an LSTM has a cell state");
  }
  check_sequence("output", grads.output, options.state_size());
  check_sequence("c_sequence", grads.c_sequence, options.c_size());
  check_state("h_n", grads.h_n, options.state_size());
  check_state("c_n", grads.c_n, options.c_size());
}

template <class T>
RecurrentOutput<T> record_call(const RecurrentNet<T>& net, TensorView<const T> x, const RecurrentInput<T>& in,
                               SequenceLayout layout, Tape& tape, const RecordOptions& options) {
  const Tape::Step step(tape);
  auto entry = std::make_unique<RecurrentEntry<T>>();
  entry->record.recompute = options.recompute;
  const std::size_t masks = net.options().masks();
  if (masks > 0) {
    RandomSource next = random_source(net.options().type, options);  // taken from where the run went well
    entry->record.random = next.take(masks);
  }
  RecurrentOutput<T> out = net.forward(x, in, layout, nullptr, RecurrentOutput<T>(), &entry->record);
  entry->net = &net;
  entry->rank = x.rank();
  entry->layout = layout;
  if (masks > 0) options.random->take(masks);
  tape.put(std::move(entry));
  return out;
}

template <class T>
std::unique_ptr<RecurrentEntry<T>> take_call(const RecurrentNet<T>& net, Tape& tape) {
  auto entry = tape.take<RecurrentEntry<T>>();
  if (entry->net == &net) return entry;
  tape.put(std::move(entry));
  throw Error("Tape: the run recorded last is not one of this module");
}

template <class T>
RecurrentInputGradients<T> backward_entry(const RecurrentNet<T>& net, RecurrentEntry<T>& entry,
                                          const RecurrentOutputGradients<T>& grads, Parameters<T>& parameters,
                                          const BackwardOptions& options) {
  std::vector<TensorView<T>> of_parameters;
  for (const ParameterInfo& info : net.parameters()) {
    of_parameters.push_back(wanted_grad(parameters, info.name));
  }
  Tensor<T> output, c_sequence;
  const RecurrentOutputGradients<T> time_first_grads{
      .output = sequence_gradient(grads.output, entry.layout, output),
      .h_n = batched_state(grads.h_n),
      .c_n = batched_state(grads.c_n),
      .c_sequence = sequence_gradient(grads.c_sequence, entry.layout, c_sequence)};
  std::span<RecurrentStatistics> statistics;
  if (options.statistics != nullptr) statistics = statistics_of(net, *options.statistics);
  const RecurrentBackward<T> backward(net, parameters.state_dict());
  RecurrentInputGradients<T> result = backward.run(entry.record, time_first_grads, of_parameters,
                                                   options.wants_input, options.threads, statistics);
  result.x = from_time_first(std::move(result.x), entry.rank, entry.layout);
  for (Tensor<T>* state : {&result.h0, &result.c0}) {
    if (state->is_null() || entry.rank == 3) continue;
    const Shape shape({state->dim(0), state->dim(2)});
    *state = std::move(*state).reshaped(shape);
  }
  return result;
}

template <class T>
RecurrentInputGradients<T> backward_call(const RecurrentNet<T>& net, const RecurrentOutputGradients<T>& grads,
                                         Tape& tape, Parameters<T>& parameters,
                                         const BackwardOptions& options) {
  const Tape::Step step(tape);
  const auto entry = take_call(net, tape);
  check_gradients(net.options(), *entry, grads);
  return backward_entry(net, *entry, grads, parameters, options);
}

template <class T>
SequenceOutput<T> record_recurrent(const RecurrentNet<T>& net, const Sequence<T>& in, Tape& tape,
                                   const RecordOptions& options) {
  RecurrentInput<T> input{.lengths = in.lengths, .threads = options.threads};
  Tensor<T>*h = nullptr, *c = nullptr;
  if (options.carried != nullptr) {
    if (net.options().is_bidirectional) {
      const std::string call = std::string(net.options().type) + "::record";
      refuse_windows(call, options, "the second direction begins at the end of the sequence");
    }
    h = &options.carried->at<T>(net.prefix() + "h");
    input.h0 = h->view();
    if (net.options().c_size() > 0) {
      c = &options.carried->at<T>(net.prefix() + "c");
      input.c0 = c->view();
    }
  }
  RecurrentOutput<T> out = record_call(net, in.x, input, SequenceLayout::kTimeFirst, tape, options);
  if (h != nullptr) *h = std::move(out.h_n);
  if (c != nullptr) *c = std::move(out.c_n);
  return {std::move(out.output), same_lengths(in)};
}

template <class T>
Tensor<T> recurrent_backward(const RecurrentNet<T>& net, TensorView<const T> grad, Tape& tape,
                             Parameters<T>& parameters, const BackwardOptions& options) {
  return backward_call<T>(net, {.output = grad}, tape, parameters, options).x;
}

template SequenceOutput<float> record_recurrent(const RecurrentNet<float>&, const Sequence<float>&, Tape&,
                                                const RecordOptions&);
template SequenceOutput<double> record_recurrent(const RecurrentNet<double>&, const Sequence<double>&, Tape&,
                                                 const RecordOptions&);
template Tensor<float> recurrent_backward(const RecurrentNet<float>&, TensorView<const float>, Tape&,
                                          Parameters<float>&, const BackwardOptions&);
template Tensor<double> recurrent_backward(const RecurrentNet<double>&, TensorView<const double>, Tape&,
                                           Parameters<double>&, const BackwardOptions&);

template RecurrentOutput<float> record_call(const RecurrentNet<float>&, TensorView<const float>,
                                            const RecurrentInput<float>&, SequenceLayout, Tape&,
                                            const RecordOptions&);
template std::unique_ptr<RecurrentEntry<float>> take_call(const RecurrentNet<float>&, Tape&);
template void check_gradients(const RecurrentOptions&, const RecurrentEntry<float>&,
                              const RecurrentOutputGradients<float>&);
template void check_gradients(const RecurrentOptions&, const RecurrentEntry<double>&,
                              const RecurrentOutputGradients<double>&);
template RecurrentInputGradients<float> backward_entry(const RecurrentNet<float>&, RecurrentEntry<float>&,
                                                       const RecurrentOutputGradients<float>&,
                                                       Parameters<float>&, const BackwardOptions&);
template RecurrentInputGradients<float> backward_call(const RecurrentNet<float>&,
                                                      const RecurrentOutputGradients<float>&, Tape&,
                                                      Parameters<float>&, const BackwardOptions&);
template RecurrentOutput<double> record_call(const RecurrentNet<double>&, TensorView<const double>,
                                             const RecurrentInput<double>&, SequenceLayout, Tape&,
                                             const RecordOptions&);
template std::unique_ptr<RecurrentEntry<double>> take_call(const RecurrentNet<double>&, Tape&);
template RecurrentInputGradients<double> backward_entry(const RecurrentNet<double>&, RecurrentEntry<double>&,
                                                        const RecurrentOutputGradients<double>&,
                                                        Parameters<double>&, const BackwardOptions&);
template RecurrentInputGradients<double> backward_call(const RecurrentNet<double>&,
                                                       const RecurrentOutputGradients<double>&, Tape&,
                                                       Parameters<double>&, const BackwardOptions&);

}  // namespace sluice
