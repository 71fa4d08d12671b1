// SPDX-License-Identifier: Apache-2.0
// What LSTM, GRU, RNN and Recurrent have in common as parts of a model.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "sluice/module.h"

namespace sluice {

template <class T>
class RecurrentNet;  // the machinery behind them, in src/layers

/// A module of recurrent layers.
template <class T>
class RecurrentModule : public Module<T> {
 public:
  ~RecurrentModule() override;
  RecurrentModule(RecurrentModule&&) noexcept;
  RecurrentModule& operator=(RecurrentModule&&) noexcept;

  std::string_view type() const noexcept override;
  std::vector<ParameterInfo> parameters() const override;
  std::size_t output_size(std::size_t input_size) const override;
  double flops_per_step(std::size_t input_size) const override;
  SequenceOutput<T> run(const Sequence<T>& in, const RunOptions& options) const override;
  std::unique_ptr<Stepper<T>> stepper(std::size_t batch, std::size_t input_size) const override;
  SequenceOutput<T> record(const Sequence<T>& in, Tape& tape, const RecordOptions& options) const override;
  Tensor<T> backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                     const BackwardOptions& options) const override;
  void load(const StateDict<T>& weights) override;

  /// For the library's own use.
  const RecurrentNet<T>& net() const noexcept { return *net_; }

 protected:
  explicit RecurrentModule(std::unique_ptr<const RecurrentNet<T>> net) noexcept;

 private:
  std::unique_ptr<const RecurrentNet<T>> net_;
};

extern template class RecurrentModule<float>;
extern template class RecurrentModule<double>;

}  // namespace sluice
