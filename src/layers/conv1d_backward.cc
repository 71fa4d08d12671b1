// SPDX-License-Identifier: Apache-2.0
// The way back through a convolution over time. Each group is a matrix product over windows of the input,
// which are laid out for it; what reaches a window is added back to the frames that it came from.
#include <algorithm>
#include <utility>

#include "core/check.h"
#include "layers/conv1d_kernel.h"
#include "layers/sequence.h"
#include "layers/weight_gradient.h"
#include "sluice/layers.h"

namespace sluice {
namespace {

// The windows of one group: where their elements lie in the input.
template <class T>
struct Windows {
  const Conv1dOptions& options;
  const SequenceEntry<T>& entry;
  std::size_t group;

  std::size_t channels() const noexcept { return options.in_channels / options.groups; }
  // Calls visit(frame, row, channel of the input, element of the window) for all that is not padding.
  template <class Visit>
  void for_each(std::size_t step, std::size_t row, const Visit& visit) const {
    for (std::size_t k = 0; k < options.kernel_size; ++k) {
      const std::size_t padded = step * options.stride + k * options.dilation;
      if (padded < options.padding || padded - options.padding >= entry.length(row)) continue;
      for (std::size_t c = 0; c < channels(); ++c) {
        visit(padded - options.padding, row, group * channels() + c, c * options.kernel_size + k);
      }
    }
  }
};

}  // namespace

template <class T>
SequenceOutput<T> Conv1d<T>::record(const Sequence<T>& in, Tape& tape, const RecordOptions& options) const {
  if (options_.kernel_size > 1 || options_.stride > 1 || options_.padding > 0) {
    refuse_windows("Conv1d::record", options, "outputs reach beyond the steps of a window");
  }
  return record_input(*this, in, tape, options);
}

template <class T>
Tensor<T> Conv1d<T>::backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                              const BackwardOptions& options) const {
  const auto entry = tape.take<SequenceEntry<T>>();
  const TensorView<const T> x = entry->x;
  const std::size_t steps = output_length(x.dim(0)), batch = x.dim(1), groups = options_.groups;
  check_shape("Conv1d::backward", "grad", grad.shape(), Shape{steps, batch, options_.out_channels});
  std::vector<std::int64_t> lengths;  // of the output
  for (const std::int64_t length : entry->lengths) {
    lengths.push_back(static_cast<std::int64_t>(kernel_->steps(static_cast<std::size_t>(length))));
  }
  const std::size_t in_group = options_.in_channels / groups * options_.kernel_size;
  const std::size_t out_group = options_.out_channels / groups;
  const TensorView<T> weight = wanted_grad(parameters, prefix_ + "weight");
  const TensorView<T> bias = options_.bias ? wanted_grad(parameters, prefix_ + "bias") : TensorView<T>();
  const T* const values = parameters.value(parameters.index_of(prefix_ + "weight")).data();
  Tensor<T> grad_x;
  if (options.wants_input) grad_x = Tensor<T>(x.shape());
  for (std::size_t group = 0; group < groups; ++group) {
    const Windows<T> windows{options_, *entry, group};
    const std::size_t first = group * out_group;
    const Tensor<T> list = padded_gradients(grad.narrow(2, first, out_group), lengths);
    if (weight || bias) {
      Tensor<T> inputs({steps, batch, in_group});
      for (std::size_t step = 0; step < steps; ++step) {
        for (std::size_t row = 0; row < batch; ++row) {
          T* const window = inputs.data() + (step * batch + row) * in_group;
          windows.for_each(step, row, [&](std::size_t t, std::size_t b, std::size_t channel, std::size_t i) {
            window[i] = x(t, b, channel);
          });
        }
      }
      const TensorView<T> rows =
          weight ? TensorView<T>(weight.data() + first * in_group, {out_group, in_group}) : TensorView<T>();
      add_weight_gradient(transposed_features<T>(inputs.view(), lengths, options.threads), list, GateRange{},
                          out_group, rows, bias ? bias.narrow(0, first, out_group) : bias, options.threads);
    }
    if (!options.wants_input) continue;
    const TensorView<const T> rows(values + first * in_group, {out_group, in_group});
    const PackedLinear<T> transposed(rows.transpose(0, 1));
    Tensor<T> of_windows = Tensor<T>::uninitialized({steps, batch, in_group});
    transposed.run(list.data(), static_cast<std::ptrdiff_t>(list.dim(2)), of_windows.data(),
                   static_cast<std::ptrdiff_t>(in_group), steps * batch, options.threads);
    for (std::size_t step = 0; step < steps; ++step) {
      for (std::size_t row = 0; row < batch; ++row) {
        const T* const window = of_windows.data() + (step * batch + row) * in_group;
        windows.for_each(step, row, [&](std::size_t t, std::size_t b, std::size_t channel, std::size_t i) {
          grad_x(t, b, channel) += window[i];
        });
      }
    }
  }
  return grad_x;
}

template <class T>
void Conv1d<T>::load(const StateDict<T>& weights) {
  kernel_ = std::make_unique<const Conv1dKernel<T>>(options_, weights, prefix_);
}

template SequenceOutput<float> Conv1d<float>::record(const Sequence<float>&, Tape&,
                                                     const RecordOptions&) const;
template SequenceOutput<double> Conv1d<double>::record(const Sequence<double>&, Tape&,
                                                       const RecordOptions&) const;
template Tensor<float> Conv1d<float>::backward(TensorView<const float>, Tape&, Parameters<float>&,
                                               const BackwardOptions&) const;
template Tensor<double> Conv1d<double>::backward(TensorView<const double>, Tape&, Parameters<double>&,
                                                 const BackwardOptions&) const;
template void Conv1d<float>::load(const StateDict<float>&);
template void Conv1d<double>::load(const StateDict<double>&);

}  // namespace sluice
