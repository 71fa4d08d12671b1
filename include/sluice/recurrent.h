// SPDX-License-Identifier: Apache-2.0
// LSTM, GRU, RNN over whole sequences, with every option of PyTorch's modules of the same names.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sluice/module.h"
#include "sluice/recurrent_module.h"
#include "sluice/state_dict.h"
#include "sluice/tensor.h"

namespace sluice {

/// The activation of a plain RNN.
enum class Nonlinearity { kTanh, kRelu };

/// Where a GRU applies its reset gate in the candidate n.
///   kAfter   n = tanh(W x + b + r * (U h + c))    PyTorch, cuDNN; ONNX linear_before_reset=1;
///                                                 Keras reset_after=True
///   kBefore  n = tanh(W x + b + U (r * h) + c)    Cho et al. 2014; ONNX's default; Keras reset_after=False
enum class GRUReset { kAfter, kBefore };

struct LSTMOptions {
  std::size_t input_size = 0;
  std::size_t hidden_size = 0;
  std::size_t num_layers = 1;
  bool bias = true;
  bool batch_first = false;
  bool bidirectional = false;
  std::size_t proj_size = 0;  ///< 0: none; otherwise h has this size, less than hidden_size
  /// It is an LSTMCell, run over time: its parameters have the names "weight_ih", "weight_hh", ..., and there
  /// is one layer, one direction and no projection.
  bool is_cell = false;
  double dropout = 0;                ///< p of what record() drops of each layer's output but the last
  bool variational_dropout = false;  ///< the same mask at each step, as DropoutOptions::variational
  /// Zoneout (Krueger et al. 2017): after each step a unit of h, or of c, has its old value again with this
  /// probability where record() trains. run() and steps take the mean: p old + (1 - p) new.
  double zoneout_h = 0;
  double zoneout_c = 0;
};

struct GRUOptions {
  std::size_t input_size = 0;
  std::size_t hidden_size = 0;
  std::size_t num_layers = 1;
  bool bias = true;
  bool batch_first = false;
  bool bidirectional = false;
  GRUReset reset = GRUReset::kAfter;
  bool is_cell = false;              ///< as in LSTMOptions
  double dropout = 0;                ///< as LSTMOptions
  bool variational_dropout = false;  ///< as LSTMOptions
  double zoneout_h = 0;              ///< as LSTMOptions
};

struct RNNOptions {
  std::size_t input_size = 0;
  std::size_t hidden_size = 0;
  std::size_t num_layers = 1;
  Nonlinearity nonlinearity = Nonlinearity::kTanh;
  bool bias = true;
  bool batch_first = false;
  bool bidirectional = false;
  bool is_cell = false;              ///< as in LSTMOptions
  double dropout = 0;                ///< as LSTMOptions
  bool variational_dropout = false;  ///< as LSTMOptions
  double zoneout_h = 0;              ///< as LSTMOptions
};

/// The optional arguments of a call. L layers, D directions, B rows.
template <class T>
struct RecurrentInput {
  TensorView<const T> h0{};                 ///< [L*D, B, H_out] ([L*D, H_out] unbatched); null: zeros
  TensorView<const T> c0{};                 ///< LSTM: [L*D, B, H] ([L*D, H] unbatched); null: zeros
  std::span<const std::int64_t> lengths{};  ///< [B] steps of each row, 0 to T, in any order; empty: all T
  bool cell_sequence = false;               ///< LSTM: also give c of every step of the last layer
  int threads = 0;                          ///< at most this many; 0: what OpenMP would take
  Profiler* profiler = nullptr;             ///< as in RunOptions; recorded calls are not counted
};

/// Past a row's length `output` and `c_sequence` are zero, and h_n, c_n are those at its length (what PyTorch
/// gives through PackedSequence). A row of length 0 keeps its initial state.
template <class T>
struct RecurrentOutput {
  Tensor<T> output;      ///< [T, B, D*H_out]; [B, T, D*H_out] if batch_first; [T, D*H_out] unbatched
  Tensor<T> h_n;         ///< [L*D, B, H_out] or [L*D, H_out]
  Tensor<T> c_n;         ///< LSTM: [L*D, B, H] or [L*D, H]
  Tensor<T> c_sequence;  ///< if asked for: as `output`, with D*H features
};

/// Gradients of the loss with respect to what a recorded call gave, each of the shape that the call gave it;
/// null where there is none.
template <class T>
struct RecurrentOutputGradients {
  TensorView<const T> output{};  ///< what stands past a row's length counts for nothing
  TensorView<const T> h_n{};
  TensorView<const T> c_n{};         ///< LSTM
  TensorView<const T> c_sequence{};  ///< LSTM
};

/// And with respect to what it took.
template <class T>
struct RecurrentInputGradients {
  Tensor<T> x;   ///< of x's shape, if asked for; zero past a row's length
  Tensor<T> h0;  ///< of h0's shape, also where it was not given
  Tensor<T> c0;  ///< LSTM: of c0's shape
};

/// The calls of LSTM, GRU and RNN (as torch.nn.RNNBase has them).
template <class T>
class RNNBase : public RecurrentModule<T> {
 public:
  using RecurrentModule<T>::record;
  using RecurrentModule<T>::backward;

  /// x [T, B, I]; [B, T, I] if batch_first; [T, I] unbatched. Any strides. Throws ShapeError; Error where c0
  /// or cell_sequence is given and there is no c. The memory of an earlier output is taken over where its
  /// shapes fit, so that calls in a loop take none for their results: `out = lstm.forward(x, in,
  /// std::move(out))`. Of what it holds, only h_n and c_n may be given as h0 and c0. It is untouched where
  /// the call is refused.
  RecurrentOutput<T> forward(TensorView<const T> x, const RecurrentInput<T>& in = {},
                             RecurrentOutput<T>&& reuse = {}) const;
  /// As forward(), with the same bits, and puts on the tape what the way back needs: a call with initial and
  /// final states that take part in training. x must live until then; h0 and c0 are copied. Of `options`,
  /// `threads` and `carried` count for nothing: `in` has them.
  RecurrentOutput<T> record(TensorView<const T> x, const RecurrentInput<T>& in, Tape& tape,
                            const RecordOptions& options = {}) const;
  /// Takes the call that was recorded last off the tape, adds to the gradients of the parameters, as
  /// Module::backward, and returns those of what the call took. Throws Error if another module's run is on
  /// top, ShapeError.
  RecurrentInputGradients<T> backward(const RecurrentOutputGradients<T>& grads, Tape& tape,
                                      Parameters<T>& parameters, const BackwardOptions& options = {}) const;

 protected:
  RNNBase(std::unique_ptr<const RecurrentNet<T>> net, bool batch_first) noexcept;

 private:
  bool batch_first_;
};

/// Long short-term memory (Hochreiter and Schmidhuber 1997, with forget gates: Gers et al. 2000) as
/// torch.nn.LSTM. Parameters, for layer k and with suffix `_reverse` for the second direction (H_out =
/// proj_size or hidden_size):
///   weight_ih_l{k} [4H, I]  weight_hh_l{k} [4H, H_out]  bias_ih_l{k} [4H]  bias_hh_l{k} [4H]  weight_hr_l{k}
///   [P, H]
/// Gates in the order i, f, g, o.
template <class T = float>
class LSTM : public RNNBase<T> {
 public:
  /// Takes parameters `prefix + name` from `weights`. Throws Error, ShapeError.
  LSTM(const LSTMOptions& options, const StateDict<T>& weights, const std::string& prefix = "");
  const LSTMOptions& options() const noexcept { return options_; }

 private:
  LSTMOptions options_;
};

/// Gated recurrent unit (Cho et al. 2014) as torch.nn.GRU; gates in the order r, z, n.
///   weight_ih_l{k} [3H, I]  weight_hh_l{k} [3H, H]  bias_ih_l{k} [3H]  bias_hh_l{k} [3H]
template <class T = float>
class GRU : public RNNBase<T> {
 public:
  GRU(const GRUOptions& options, const StateDict<T>& weights, const std::string& prefix = "");
  const GRUOptions& options() const noexcept { return options_; }

 private:
  GRUOptions options_;
};

/// Elman's network (1990) as torch.nn.RNN: h' = tanh(W x + b + U h + c), or relu.
///   weight_ih_l{k} [H, I]  weight_hh_l{k} [H, H]  bias_ih_l{k} [H]  bias_hh_l{k} [H]
template <class T = float>
class RNN : public RNNBase<T> {
 public:
  RNN(const RNNOptions& options, const StateDict<T>& weights, const std::string& prefix = "");
  const RNNOptions& options() const noexcept { return options_; }

 private:
  RNNOptions options_;
};

extern template class RNNBase<float>;
extern template class RNNBase<double>;
extern template class LSTM<float>;
extern template class LSTM<double>;
extern template class GRU<float>;
extern template class GRU<double>;
extern template class RNN<float>;
extern template class RNN<double>;

}  // namespace sluice
