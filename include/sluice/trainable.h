// SPDX-License-Identifier: Apache-2.0
// A model together with its parameters: what is trained, and saved.
//
//   auto trained = TrainableModel<float>::load("model.safetensors");
//   Adam<float> adam(trained.parameters(), {.lr = 1e-3});
//   Tape tape;
//   for (const auto& [x, target] : batches) {
//     const auto out = trained.record({x}, tape);
//     const auto loss = MSELoss<float>()(out.y, target, {.with_grad = true});
//     trained.parameters().zero_grad();
//     trained.backward(loss.grad, tape);
//     adam.step(trained.parameters());
//     trained.update();
//   }
//   trained.save("model.safetensors");
#pragma once

#include <cstdint>
#include <string>

#include "sluice/model.h"
#include "sluice/parameters.h"

namespace sluice {

template <class T = float>
class TrainableModel {
 public:
  /// A file's model (Model::load) and the values that it has. Throws FileError.
  static TrainableModel load(const std::string& path, const LoadOptions& options = {});
  /// A new model of an architecture's JSON text (docs/formats.md), with first values as PyTorch's modules
  /// have (init::reset_parameters). Throws Error.
  static TrainableModel begin(const std::string& architecture, std::uint64_t seed);

  Model<T>& model() noexcept { return model_; }
  const Model<T>& model() const noexcept { return model_; }
  Parameters<T>& parameters() noexcept { return parameters_; }
  const Parameters<T>& parameters() const noexcept { return parameters_; }
  /// Module::record of the model's modules: time first, x [T, B, F].
  SequenceOutput<T> record(const Sequence<T>& in, Tape& tape, const RecordOptions& options = {}) const {
    return model_.modules().record(in, tape, options);
  }
  /// Module::backward of the same into parameters(); by default without the gradient of the input.
  Tensor<T> backward(TensorView<const T> grad, Tape& tape,
                     const BackwardOptions& options = {.wants_input = false}) {
    return model_.modules().backward(grad, tape, parameters_, options);
  }
  /// The model takes the values that the parameters have now.
  void update() { model_.load_parameters(parameters_.state_dict()); }
  /// Writes the parameters under PyTorch's names, with the architecture unless the model is a bare layer. The
  /// file at `path` is replaced only when the new one is complete. Throws FileError.
  void save(const std::string& path) const;

 private:
  explicit TrainableModel(Model<T> model)
      : model_(std::move(model)), parameters_(model_.modules().parameters()) {}

  Model<T> model_;
  Parameters<T> parameters_;
};

extern template class TrainableModel<float>;
extern template class TrainableModel<double>;

}  // namespace sluice
