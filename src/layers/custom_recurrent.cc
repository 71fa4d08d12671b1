// SPDX-License-Identifier: Apache-2.0
// The public Recurrent: states by their names in terms of RecurrentNet's h and c.
#include "sluice/custom_recurrent.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/check.h"
#include "layers/recurrent_net.h"
#include "layers/recurrent_tape.h"

namespace sluice {
namespace {

constexpr std::string_view kType = "Recurrent";

RecurrentOptions net_options(const RecurrentLayerOptions& options) {
  const std::size_t directions = options.bidirectional ? 2 : 1;
  const CustomCell& cell = options.cell;
  const CellForm form(cell);
  // Only a stack has cells of another input.
  const CellForm above =
      options.num_layers > 1 ? CellForm(cell.with_input_size(directions * cell.output_size())) : form;
  return {.type = kType,
          .kind = CellKind::kCustom,
          .input_size = cell.input_size(),
          .hidden_size = cell.output_size(),
          .num_layers = options.num_layers,
          .is_bidirectional = options.bidirectional,
          .dropout = options.dropout,
          .has_variational_dropout = options.variational_dropout,
          .forms = std::make_shared<const std::array<CellForm, 2>>(std::array<CellForm, 2>{form, above})};
}

SequenceLayout layout_of(const RecurrentLayerOptions& options) {
  return options.batch_first ? SequenceLayout::kBatchFirst : SequenceLayout::kTimeFirst;
}

// States between the user's, one tensor each, and the net's h and c, in both of which they are the last
// dimension's.
template <class T>
class StateParts {
 public:
  StateParts(const RecurrentOptions& options, std::size_t rank, std::size_t batch)
      : form_(options.form(0)),
        rank_(rank),
        cells_(options.num_layers * options.directions()),
        batch_(batch) {}

  // Throws ShapeError, Error. Null where all are null.
  struct Joined {
    Tensor<T> h, c;
  };
  Joined join(const std::string& call, std::span<const TensorView<const T>> states) const {
    Joined joined;
    if (states.empty()) return joined;
    const std::vector<CellState>& own = form_.lowered.states;
    if (states.size() != own.size()) {
      throw Error(call + ": states has " + std::to_string(states.size()) +
                  " entries, expected one for each of " + std::to_string(own.size()) + " states");
    }
    for (std::size_t s = 0; s < own.size(); ++s) {
      if (!states[s]) continue;
      check_shape(call, own[s].name, states[s].shape(), shape(own[s].size));
      const bool is_h = form_.is_in_h(s);
      Tensor<T>& to = is_h ? joined.h : joined.c;
      const std::size_t size = is_h ? form_.output_size : form_.c_size;
      if (to.is_null()) to = Tensor<T>(shape(size));
      T* const first = to.data() + (is_h ? 0 : form_.c_offsets[s]);
      const Tensor<T> from(states[s]);
      for (std::size_t row = 0; row < from.size() / own[s].size; ++row) {
        std::copy_n(from.data() + row * own[s].size, own[s].size, first + row * size);
      }
    }
    return joined;
  }
  std::vector<Tensor<T>> part(const Tensor<T>& h, const Tensor<T>& c) const {
    std::vector<Tensor<T>> states;
    const std::vector<CellState>& own = form_.lowered.states;
    for (std::size_t s = 0; s < own.size(); ++s) {
      const bool is_h = form_.is_in_h(s);
      states.emplace_back(
          (is_h ? h : c).view().narrow(rank_ - 1, is_h ? 0 : form_.c_offsets[s], own[s].size));
    }
    return states;
  }

 private:
  Shape shape(std::size_t size) const {
    return rank_ == 3 ? Shape{cells_, batch_, size} : Shape{cells_, size};
  }

  const CellForm& form_;
  std::size_t rank_, cells_, batch_;
};

template <class T>
std::size_t batch_of(TensorView<const T> x, SequenceLayout layout) {
  return x.rank() != 3 ? 1 : x.dim(layout == SequenceLayout::kBatchFirst ? 0 : 1);
}

}  // namespace

template <class T>
Recurrent<T>::Recurrent(const RecurrentLayerOptions& options, const StateDict<T>& weights,
                        const std::string& prefix)
    : options_(options),
      net_(std::make_unique<const RecurrentNet<T>>(net_options(options), weights, prefix)) {}
template <class T>
Recurrent<T>::~Recurrent() = default;
template <class T>
Recurrent<T>::Recurrent(Recurrent&&) noexcept = default;
template <class T>
Recurrent<T>& Recurrent<T>::operator=(Recurrent&&) noexcept = default;

template <class T>
CustomOutput<T> Recurrent<T>::forward(TensorView<const T> x, const CustomInput<T>& in) const {
  const StateParts<T> parts(net_->options(), x.rank(), batch_of(x, layout_of(options_)));
  const auto [h, c] = parts.join("Recurrent::forward", in.states);
  RecurrentOutput<T> out = net_->forward(
      x,
      {.h0 = h.view(), .c0 = c.view(), .lengths = in.lengths, .threads = in.threads, .profiler = in.profiler},
      layout_of(options_));
  std::vector<Tensor<T>> states = parts.part(out.h_n, out.c_n);
  return {std::move(out.output), std::move(states)};
}

template <class T>
CustomOutput<T> Recurrent<T>::record(TensorView<const T> x, const CustomInput<T>& in, Tape& tape,
                                     const RecordOptions& options) const {
  const StateParts<T> parts(net_->options(), x.rank(), batch_of(x, layout_of(options_)));
  const auto [h, c] = parts.join("Recurrent::record", in.states);
  RecurrentOutput<T> out =
      record_call<T>(*net_, x, {.h0 = h.view(), .c0 = c.view(), .lengths = in.lengths, .threads = in.threads},
                     layout_of(options_), tape, options);
  std::vector<Tensor<T>> states = parts.part(out.h_n, out.c_n);
  return {std::move(out.output), std::move(states)};
}

template <class T>
CustomInputGradients<T> Recurrent<T>::backward(const CustomOutputGradients<T>& grads, Tape& tape,
                                               Parameters<T>& parameters,
                                               const BackwardOptions& options) const {
  const Tape::Step step(tape);
  std::unique_ptr<RecurrentEntry<T>> entry = take_call(*net_, tape);
  const StateParts<T> parts(net_->options(), entry->rank, entry->record.x.dim(1));
  const auto [h, c] = parts.join("Recurrent::backward", grads.states);
  const RecurrentOutputGradients<T> of_net{.output = grads.output, .h_n = h.view(), .c_n = c.view()};
  check_gradients(net_->options(), *entry, of_net);
  RecurrentInputGradients<T> result = backward_entry(*net_, *entry, of_net, parameters, options);
  std::vector<Tensor<T>> states = parts.part(result.h0, result.c0);
  return {std::move(result.x), std::move(states)};
}

template <class T>
std::vector<ParameterInfo> Recurrent<T>::parameters() const {
  return net_->parameters();
}
template <class T>
std::size_t Recurrent<T>::output_size(std::size_t input_size) const {
  return net_->output_size(input_size);
}
template <class T>
double Recurrent<T>::flops_per_step(std::size_t) const {
  return net_->flops_per_step();
}
template <class T>
SequenceOutput<T> Recurrent<T>::run(const Sequence<T>& in, const RunOptions& options) const {
  return net_->run(in, options);
}
template <class T>
std::unique_ptr<Stepper<T>> Recurrent<T>::stepper(std::size_t batch, std::size_t input_size) const {
  return net_->stepper(batch, input_size);
}
template <class T>
SequenceOutput<T> Recurrent<T>::record(const Sequence<T>& in, Tape& tape,
                                       const RecordOptions& options) const {
  return record_recurrent(*net_, in, tape, options);
}
template <class T>
Tensor<T> Recurrent<T>::backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                                 const BackwardOptions& options) const {
  return recurrent_backward(*net_, grad, tape, parameters, options);
}
template <class T>
void Recurrent<T>::load(const StateDict<T>& weights) {
  net_ = std::make_unique<const RecurrentNet<T>>(net_->options(), weights, net_->prefix());
}

template class Recurrent<float>;
template class Recurrent<double>;

}  // namespace sluice
