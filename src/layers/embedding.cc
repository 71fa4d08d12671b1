// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/check.h"
#include "layers/sequence.h"
#include "sluice/layers.h"

namespace sluice {
namespace {

template <class T>
const EmbeddingOptions& checked(const EmbeddingOptions& options) {
  if (options.num_embeddings == 0 || options.embedding_dim == 0) {
    throw Error("Embedding: num_embeddings is " + std::to_string(options.num_embeddings) +
                " and embedding_dim is " + std::to_string(options.embedding_dim) + ", expected at least 1");
  }
  // Indices travel as elements of T, and all whole numbers up to 2^digits are elements of T.
  constexpr std::size_t kMost = std::size_t{1} << std::numeric_limits<T>::digits;
  if (options.num_embeddings > kMost) {
    throw Error("Embedding: num_embeddings is " + std::to_string(options.num_embeddings) +
                ", expected at most " + std::to_string(kMost) + ", the whole numbers that are exact in a " +
                (sizeof(T) == 4 ? "float" : "double"));
  }
  return options;
}

// False for NaN as well.
template <class T>
bool is_index(T value, std::size_t count) noexcept {
  return value >= T{0} && value < static_cast<T>(count) && value == std::trunc(value);
}

std::string range_text(std::size_t count) {
  return "expected a whole number in [0, " + std::to_string(count) + ")";
}

template <class T>
std::string value_text(T value) {
  return std::isfinite(value) && value == std::trunc(value) && std::abs(value) < T{1e15}
             ? std::to_string(static_cast<std::int64_t>(value))
             : std::to_string(value);
}

template <class T>
class EmbeddingStepper final : public Stepper<T> {
 public:
  EmbeddingStepper(const T* table, std::size_t count, std::size_t dim, std::size_t batch)
      : table_(table), count_(count), y_({batch, dim}) {}

  const T* step(const T* x) noexcept override {
    const std::size_t dim = y_.dim(1);
    for (std::size_t b = 0; b < y_.dim(0); ++b) {
      T* const y = y_.data() + b * dim;
      if (is_index(x[b], count_)) {
        std::copy_n(table_ + static_cast<std::size_t>(x[b]) * dim, dim, y);
      } else {
        std::fill_n(y, dim, std::numeric_limits<T>::quiet_NaN());
      }
    }
    return y_.data();
  }
  void reset() noexcept override {}

 private:
  const T* table_;
  std::size_t count_;
  Tensor<T> y_;
};

}  // namespace

template <class T>
Embedding<T>::Embedding(const EmbeddingOptions& options, const StateDict<T>& weights,
                        const std::string& prefix)
    : options_(checked<T>(options)),
      prefix_(prefix),
      weight_(weights.at(prefix + "weight", {options.num_embeddings, options.embedding_dim})) {}

template <class T>
Tensor<T> Embedding<T>::forward(TensorView<const std::int64_t> indices) const {
  if (indices.is_null()) throw ShapeError("Embedding::forward: indices are null");
  if (indices.rank() == kMaxRank) {
    throw_shape_error("Embedding::forward", "indices", indices.shape(),
                      "at most " + std::to_string(kMaxRank - 1) + " dimensions");
  }
  const Tensor<std::int64_t> all(indices);  // row-major, whatever the strides
  const std::size_t count = all.size();
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t index = all.data()[i];
    if (index < 0 || static_cast<std::uint64_t>(index) >= options_.num_embeddings) {
      throw Error("Embedding::forward: index " + std::to_string(i) + " of indices " +
                  indices.shape().to_string() + " is " + std::to_string(index) + ", " +
                  range_text(options_.num_embeddings));
    }
  }
  std::vector<std::size_t> dims(indices.shape().dims().begin(), indices.shape().dims().end());
  dims.push_back(options_.embedding_dim);
  Tensor<T> y{Shape(std::span<const std::size_t>(dims))};
  for (std::size_t i = 0; i < count; ++i) {
    std::copy_n(weight_.data() + static_cast<std::size_t>(all.data()[i]) * options_.embedding_dim,
                options_.embedding_dim, y.data() + i * options_.embedding_dim);
  }
  return y;
}

template <class T>
std::vector<ParameterInfo> Embedding<T>::parameters() const {
  return {{prefix_ + "weight", weight_.shape()}};
}

template <class T>
std::size_t Embedding<T>::output_size(std::size_t input_size) const {
  check_features("Embedding", input_size, 1);
  return options_.embedding_dim;
}

template <class T>
SequenceOutput<T> Embedding<T>::run(const Sequence<T>& in, const RunOptions&) const {
  check_sequence("Embedding::run", in, 1);
  const std::size_t steps = in.x.dim(0);
  const std::size_t batch = in.x.dim(1);
  // What pads a row past its length need not be an index, and gives zeros.
  for (std::size_t b = 0; b < batch; ++b) {
    for (std::size_t t = 0; t < length_of(in, b); ++t) {
      if (is_index(in.x(t, b, 0), options_.num_embeddings)) continue;
      throw Error("Embedding::run: x[" + std::to_string(t) + ", " + std::to_string(b) + "] is " +
                  value_text(in.x(t, b, 0)) + ", " + range_text(options_.num_embeddings));
    }
  }
  SequenceOutput<T> out{Tensor<T>({steps, batch, options_.embedding_dim}), same_lengths(in)};
  for (std::size_t b = 0; b < batch; ++b) {
    for (std::size_t t = 0; t < length_of(in, b); ++t) {
      std::copy_n(weight_.data() + static_cast<std::size_t>(in.x(t, b, 0)) * options_.embedding_dim,
                  options_.embedding_dim, &out.y(t, b, 0));
    }
  }
  return out;
}

template <class T>
std::unique_ptr<Stepper<T>> Embedding<T>::stepper(std::size_t batch, std::size_t input_size) const {
  output_size(input_size);
  return std::make_unique<EmbeddingStepper<T>>(weight_.data(), options_.num_embeddings,
                                               options_.embedding_dim, batch);
}

template <class T>
SequenceOutput<T> Embedding<T>::record(const Sequence<T>& in, Tape& tape,
                                       const RecordOptions& options) const {
  return record_input(*this, in, tape, options);
}

// Row by row in order of time; a row of the table may come up any number of times.
template <class T>
Tensor<T> Embedding<T>::backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                                 const BackwardOptions&) const {
  const auto entry = tape.take<SequenceEntry<T>>();
  const std::size_t dim = options_.embedding_dim;
  check_shape("Embedding::backward", "grad", grad.shape(), Shape{entry->x.dim(0), entry->x.dim(1), dim});
  const TensorView<T> weight = wanted_grad(parameters, prefix_ + "weight");
  if (!weight) return {};
  for (std::size_t t = 0; t < entry->x.dim(0); ++t) {
    for (std::size_t b = 0; b < entry->x.dim(1); ++b) {
      if (t >= entry->length(b)) continue;
      const auto index = static_cast<std::size_t>(entry->x(t, b, 0));
      for (std::size_t i = 0; i < dim; ++i) weight(index, i) += grad(t, b, i);
    }
  }
  return {};
}

template <class T>
void Embedding<T>::load(const StateDict<T>& weights) {
  weight_ = Tensor<T>(weights.at(prefix_ + "weight", weight_.shape()));
}

template class Embedding<float>;
template class Embedding<double>;

}  // namespace sluice
