// SPDX-License-Identifier: Apache-2.0
#include "sluice/model.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/json.h"
#include "io/architecture.h"
#include "io/bare_layer.h"
#include "layers/sequence.h"
#include "sluice/error.h"
#include "sluice/safetensors.h"

namespace sluice {

template <class T>
struct Model<T>::Content {
  BuiltModel<T> built;
  Json architecture;
  std::optional<BareLayer> bare;
};

namespace {

Json parse_architecture(const std::string& text) {
  try {
    return parse_json(text).value;
  } catch (const Error& error) {
    throw Error(std::string("architecture: ") + error.what());
  }
}

// The caller's order of dimensions, and what time first makes of it.
struct Layout {
  bool is_batched;
  bool batch_first;
};

template <class T>
TensorView<const T> to_time_first(TensorView<const T> x, const Layout& layout) {
  if (layout.is_batched) return layout.batch_first ? x.transpose(0, 1) : x;
  const std::ptrdiff_t strides[] = {x.stride(0), x.stride(1), x.stride(1)};
  return TensorView<const T>(x.data(), {x.dim(0), 1, x.dim(1)}, strides);
}

// y is [T, B, F], or [1, B, F] where the sequence became one value.
template <class T>
Tensor<T> from_time_first(Tensor<T> y, const Layout& layout, bool is_one_value) {
  const std::size_t batch = y.dim(1);
  const std::size_t features = y.dim(2);
  if (is_one_value) {
    return std::move(y).reshaped(layout.is_batched ? Shape{batch, features} : Shape{features});
  }
  if (!layout.is_batched) {
    const Shape shape{y.dim(0), features};
    return std::move(y).reshaped(shape);
  }
  return layout.batch_first ? Tensor<T>(y.view().transpose(0, 1)) : std::move(y);
}

// What a module after the recurrent ones (Linear adds its bias) makes of the zeros past a row's length is
// zero again.
template <class T>
void clear_past_lengths(Tensor<T>& y, const std::vector<std::int64_t>& lengths) {
  const std::size_t features = y.dim(2);
  for (std::size_t b = 0; b < lengths.size(); ++b) {
    for (std::size_t t = static_cast<std::size_t>(lengths[b]); t < y.dim(0); ++t) {
      std::fill_n(y.data() + (t * y.dim(1) + b) * features, features, T{0});
    }
  }
}

}  // namespace

template <class T>
Model<T>::Model(std::unique_ptr<Content> content) : content_(std::move(content)) {}
template <class T>
Model<T>::Model(Model&&) noexcept = default;
template <class T>
Model<T>& Model<T>::operator=(Model&&) noexcept = default;
template <class T>
Model<T>::~Model() = default;

template <class T>
Model<T> Model<T>::from_architecture(const std::string& json, const StateDict<T>& weights) {
  auto content = std::make_unique<Content>();
  content->architecture = parse_architecture(json);
  content->built = build_architecture(content->architecture, weights);
  return Model(std::move(content));
}

template <class T>
Model<T> Model<T>::load(const std::string& path, const LoadOptions& options) {
  return load(SafetensorsFile::open(path), options);
}

template <class T>
Model<T> Model<T>::load(const SafetensorsFile& file, const LoadOptions& options) {
  const StateDict<T> weights = file.state_dict<T>();
  try {
    const auto architecture = file.metadata().find(kArchitectureKey);
    if (architecture != file.metadata().end()) return from_architecture(architecture->second, weights);
    auto content = std::make_unique<Content>();
    const FoundLayer found = find_bare_layer(weights, options.prefix);
    content->architecture = bare_layer_architecture(found, options);
    content->built = build_architecture(content->architecture, weights, "bare layer");
    content->bare = found.layer;
    return Model(std::move(content));
  } catch (const Error& error) {
    throw FileError(file.path() + ": " + error.what());
  }
}

template <class T>
Tensor<T> Model<T>::run(TensorView<const T> x, std::span<const std::int64_t> lengths,
                        const RunOptions& options) const {
  const Layout layout{x.rank() == 3, batch_first()};
  if ((x.rank() != 2 && x.rank() != 3) || x.dim(x.rank() - 1) != input_size()) {
    throw_shape_error("Model::run", "x", x.shape(),
                      std::string(batch_first() ? "[B, T, " : "[T, B, ") + std::to_string(input_size()) +
                          "] or [T, " + std::to_string(input_size()) + "]");
  }
  Sequence<T> in{to_time_first(x, layout), lengths};
  check_sequence("Model::run", in);
  Tensor<T> copy;
  if (input_size() > 1 && in.x.stride(2) != 1) {
    copy = Tensor<T>(in.x);
    in.x = copy.view();
  }
  SequenceOutput<T> out = modules().run(in, options);
  const bool is_one_value = modules().ends_sequence();
  if (!is_one_value) clear_past_lengths(out.y, out.lengths);
  return from_time_first(std::move(out.y), layout, is_one_value);
}

template <class T>
Tensor<T> Model<T>::run(TensorView<const std::int64_t> indices, std::span<const std::int64_t> lengths,
                        const RunOptions& options) const {
  if (!content_->built.takes_indices) {
    throw Error("Model::run: x has whole numbers, which only a model that begins with an Embedding takes");
  }
  if (indices.rank() != 1 && indices.rank() != 2) {
    throw_shape_error("Model::run", "indices", indices.shape(),
                      batch_first() ? "[B, T] or [T]" : "[T, B] or [T]");
  }
  std::vector<std::size_t> dims(indices.shape().dims().begin(), indices.shape().dims().end());
  dims.push_back(1);
  Tensor<T> x{Shape(dims)};
  const Tensor<std::int64_t> row_major(indices);
  for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<T>(row_major.data()[i]);
  return run(x.view(), lengths, options);
}

template <class T>
RecurrentOutput<T> Model<T>::run_recurrent(TensorView<const T> x, const RecurrentInput<T>& in,
                                           RecurrentOutput<T>&& reuse) const {
  if (!content_->bare) throw Error("Model::run_recurrent: the model is not a bare recurrent layer");
  const Module<T>& module = modules()[0];
  switch (content_->bare->kind) {
    case BareLayer::Kind::kLSTM:
      return static_cast<const LSTM<T>&>(module).forward(x, in, std::move(reuse));
    case BareLayer::Kind::kGRU:
      return static_cast<const GRU<T>&>(module).forward(x, in, std::move(reuse));
    case BareLayer::Kind::kRNN:
      break;
  }
  return static_cast<const RNN<T>&>(module).forward(x, in, std::move(reuse));
}

template <class T>
Stream<T> Model<T>::stream(std::size_t batch) const {
  return Stream<T>(modules(), batch, input_size());
}

template <class T>
bool Model<T>::batch_first() const noexcept {
  return content_->built.batch_first;
}
template <class T>
std::size_t Model<T>::input_size() const noexcept {
  return content_->built.input_size;
}
template <class T>
std::size_t Model<T>::output_size() const noexcept {
  return content_->built.output_size;
}
template <class T>
const std::optional<BareLayer>& Model<T>::bare_layer() const noexcept {
  return content_->bare;
}
template <class T>
const Sequential<T>& Model<T>::modules() const noexcept {
  return content_->built.modules;
}
template <class T>
void Model<T>::load_parameters(const StateDict<T>& weights) {
  content_->built.modules.load(weights);
}
template <class T>
std::string Model<T>::architecture() const {
  return content_->architecture.dump(2);
}

template class Model<float>;
template class Model<double>;

}  // namespace sluice
