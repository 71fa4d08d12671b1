// SPDX-License-Identifier: Apache-2.0
// Whole models from files: a bare recurrent layer as PyTorch's state_dict() has it, or a file with an
// architecture.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "sluice/layers.h"
#include "sluice/module.h"
#include "sluice/recurrent.h"
#include "sluice/safetensors.h"
#include "sluice/state_dict.h"
#include "sluice/stream.h"
#include "sluice/tensor.h"

namespace sluice {

/// What a bare recurrent layer's names and shapes do not tell.
struct LoadOptions {
  std::string prefix;                               ///< in front of every name: "rnn."
  bool batch_first = false;                         ///< ignored where the file has an architecture
  Nonlinearity nonlinearity = Nonlinearity::kTanh;  ///< for an RNN
};

/// The layer that a bare state_dict holds: kind, sizes, layers, directions and projection follow from names
/// and shapes
/// (`weight_ih_l0 [4H, I]` and `weight_hh_l0 [4H, H_out]` are an LSTM, 3H a GRU, H an RNN; cells have no
/// `_l0`).
struct BareLayer {
  enum class Kind { kLSTM, kGRU, kRNN } kind;
  bool is_cell = false;
  std::size_t input_size = 0, hidden_size = 0, num_layers = 0, proj_size = 0;
  bool bias = true, bidirectional = false;
};

/// A model that runs. Const once loaded: any number of threads may run it at once.
template <class T = float>
class Model {
 public:
  /// Loads a safetensors file: with the key `sluice.architecture` in its metadata (a JSON list of modules,
  /// run in order; see docs/formats.md), or a bare recurrent layer or cell. Every tensor must be used and
  /// every option known. Throws FileError that names what is not.
  static Model load(const std::string& path, const LoadOptions& options = {});
  /// Of a file that is open already, or of bytes in memory (SafetensorsFile::parse). Needs neither
  /// afterwards.
  static Model load(const SafetensorsFile& file, const LoadOptions& options = {});
  /// From an architecture's JSON text and weights. Throws Error.
  static Model from_architecture(const std::string& json, const StateDict<T>& weights);

  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  ~Model();

  /// x [T, B, I] ([B, T, I] if batch_first(), [T, I] unbatched) -> [T, B, O] in the same order; a model that
  /// takes the sequence to one value gives [B, O] or [O]. Throws ShapeError.
  Tensor<T> run(TensorView<const T> x, std::span<const std::int64_t> lengths = {},
                const RunOptions& options = {}) const;
  /// The same for a model that begins with an Embedding: indices [T, B], [B, T] or [T].
  Tensor<T> run(TensorView<const std::int64_t> indices, std::span<const std::int64_t> lengths = {},
                const RunOptions& options = {}) const;
  /// A bare recurrent layer with all its arguments and results, as LSTM::forward. Throws Error if the model
  /// is not one.
  RecurrentOutput<T> run_recurrent(TensorView<const T> x, const RecurrentInput<T>& in,
                                   RecurrentOutput<T>&& reuse = {}) const;

  /// One time step at a time, `batch` rows at once; the model must outlive the stream.
  Stream<T> stream(std::size_t batch = 1) const;

  bool batch_first() const noexcept;
  std::size_t input_size() const noexcept;  ///< 1 where the model begins with an Embedding
  std::size_t output_size() const noexcept;
  /// The bare layer that this model is, if it is one.
  const std::optional<BareLayer>& bare_layer() const noexcept;
  /// All modules, in order.
  const Sequential<T>& modules() const noexcept;
  /// Takes new values of all parameters, by their full names; nothing else may use the model meanwhile.
  /// Throws Error, ShapeError.
  void load_parameters(const StateDict<T>& weights);
  /// The architecture as JSON (with indentation), also for a bare layer.
  std::string architecture() const;

 private:
  struct Content;
  explicit Model(std::unique_ptr<Content> content);
  std::unique_ptr<Content> content_;
};

extern template class Model<float>;
extern template class Model<double>;

/// Loads a model in float32.
inline Model<float> load(const std::string& path, const LoadOptions& options = {}) {
  return Model<float>::load(path, options);
}

}  // namespace sluice
