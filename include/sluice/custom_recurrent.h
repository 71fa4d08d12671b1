// SPDX-License-Identifier: Apache-2.0
// Layers of a cell of one's own (custom_cell.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sluice/custom_cell.h"
#include "sluice/module.h"
#include "sluice/parameters.h"
#include "sluice/recurrent_module.h"
#include "sluice/state_dict.h"
#include "sluice/tape.h"
#include "sluice/tensor.h"

namespace sluice {

struct RecurrentLayerOptions {
  CustomCell cell;  ///< of the first layer; the others' take the output of the one below
  std::size_t num_layers = 1;
  bool bidirectional = false;  ///< the second direction has parameters of its own
  bool batch_first = false;
  double dropout = 0;  ///< between layers, of recorded runs, as LSTMOptions has it
  bool variational_dropout = false;
};

/// What Recurrent::forward takes beside x.
template <class T>
struct CustomInput {
  /// Initial values of the cell's states, in the order of CustomCell::states(): [L*D, B, size], or [L*D,
  /// size] unbatched; empty, or null ones: zeros.
  std::vector<TensorView<const T>> states{};
  std::span<const std::int64_t> lengths{};  ///< [B] valid steps of each row; empty: all T
  int threads = 0;                          ///< as in RunOptions
  Profiler* profiler = nullptr;             ///< as in RunOptions; recorded calls are not counted
};

template <class T>
struct CustomOutput {
  Tensor<T> output;               ///< [T, B, D*output_size], or as x is; zeros past a row's length
  std::vector<Tensor<T>> states;  ///< final, each as in CustomInput
};

/// Gradients of a loss with respect to what forward() gave; null or empty: zeros.
template <class T>
struct CustomOutputGradients {
  TensorView<const T> output{};
  std::vector<TensorView<const T>> states{};
};

template <class T>
struct CustomInputGradients {
  Tensor<T> x;  ///< null unless asked for
  std::vector<Tensor<T>> states;
};

/// A cell of one's own over whole sequences: stacked, both directions, variable lengths, streams, training,
/// as LSTM. Parameters are the cell's, with "_l{k}" behind their names, and "_reverse" for the second
/// direction. The same bits at any number of threads, batch size and step size.
template <class T = float>
class Recurrent : public RecurrentModule<T> {
 public:
  /// Takes the parameters `prefix` + name from `weights`. Throws Error, ShapeError.
  Recurrent(const RecurrentLayerOptions& options, const StateDict<T>& weights,
            const std::string& prefix = "");
  using RecurrentModule<T>::record;
  using RecurrentModule<T>::backward;

  /// x [T, B, I]; [B, T, I] if batch_first; [T, I] unbatched. Any strides. Throws ShapeError.
  CustomOutput<T> forward(TensorView<const T> x, const CustomInput<T>& in = {}) const;
  /// As forward(), with the same bits, and puts on the tape what the way back needs, as LSTM::record.
  CustomOutput<T> record(TensorView<const T> x, const CustomInput<T>& in, Tape& tape,
                         const RecordOptions& options = {}) const;
  CustomInputGradients<T> backward(const CustomOutputGradients<T>& grads, Tape& tape,
                                   Parameters<T>& parameters, const BackwardOptions& options = {}) const;
  const RecurrentLayerOptions& options() const noexcept { return options_; }

 private:
  RecurrentLayerOptions options_;
};

extern template class Recurrent<float>;
extern template class Recurrent<double>;

}  // namespace sluice
