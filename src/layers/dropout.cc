// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "layers/dropout_mask.h"
#include "layers/sequence.h"
#include "sluice/layers.h"

namespace sluice {
namespace {

// The mask is made again from its stream, so there is none of its elements here.
struct DropoutEntry final : Tape::Entry {
  std::optional<DropoutMask> mask;  // none where p is 0
  Shape shape;
  std::vector<std::int64_t> lengths;
  std::size_t bytes() const noexcept override { return 0; }
};

}  // namespace

template <class T>
Dropout<T>::Dropout(const DropoutOptions& options) : options_(options) {
  check_drop_probability("Dropout", "p", options.p);
}

template <class T>
SequenceOutput<T> Dropout<T>::run(const Sequence<T>& in, const RunOptions&) const {
  check_sequence("Dropout::run", in);
  return {Tensor<T>(in.x), same_lengths(in)};
}

template <class T>
std::unique_ptr<Stepper<T>> Dropout<T>::stepper(std::size_t batch, std::size_t input_size) const {
  return Sequential<T>().stepper(batch, input_size);  // of no modules: gives what it takes
}

template <class T>
SequenceOutput<T> Dropout<T>::record(const Sequence<T>& in, Tape& tape, const RecordOptions& options) const {
  auto entry = std::make_unique<DropoutEntry>();
  SequenceOutput<T> out = run(in, options.run());
  entry->shape = in.x.shape();
  entry->lengths = out.lengths;
  if (options_.p > 0) {
    entry->mask.emplace(options_.p, options_.variational, random_source("Dropout", options).take());
    entry->mask->apply(out.y, options.threads);
  }
  tape.put(std::move(entry));
  return out;
}

template <class T>
Tensor<T> Dropout<T>::backward(TensorView<const T> grad, Tape& tape, Parameters<T>&,
                               const BackwardOptions& options) const {
  const auto entry = tape.take<DropoutEntry>();
  check_shape("Dropout::backward", "grad", grad.shape(), entry->shape);
  if (!options.wants_input) return {};
  Tensor<T> grad_x(grad);
  if (entry->mask) entry->mask->apply(grad_x, options.threads);
  for (std::size_t b = 0; b < entry->lengths.size(); ++b) {
    for (auto t = static_cast<std::size_t>(entry->lengths[b]); t < grad_x.dim(0); ++t) {
      std::fill_n(grad_x.data() + (t * grad_x.dim(1) + b) * grad_x.dim(2), grad_x.dim(2), T{0});
    }
  }
  return grad_x;
}

template class Dropout<float>;
template class Dropout<double>;

}  // namespace sluice
