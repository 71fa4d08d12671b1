// SPDX-License-Identifier: Apache-2.0
// LSTMCell, GRUCell, RNNCell: one time step, as PyTorch's modules of the same names.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sluice/module.h"
#include "sluice/recurrent.h"
#include "sluice/state_dict.h"
#include "sluice/tape.h"
#include "sluice/tensor.h"

namespace sluice {

template <class T>
struct LSTMState {
  Tensor<T> h;  ///< [B, H] or [H]
  Tensor<T> c;  ///< [B, H] or [H]
};

/// Gradients of the loss with respect to what a recorded step took.
template <class T>
struct CellGradients {
  Tensor<T> x;  ///< [B, I] or [I], if asked for
  Tensor<T> h;  ///< [B, H] or [H], also where it was not given
  Tensor<T> c;  ///< LSTM: as h
};

struct CellOptions {
  std::size_t input_size = 0;
  std::size_t hidden_size = 0;
  bool bias = true;
};

/// One step of an LSTM (torch.nn.LSTMCell).
///   weight_ih [4H, I]  weight_hh [4H, H]  bias_ih [4H]  bias_hh [4H], gates in the order i, f, g, o
template <class T = float>
class LSTMCell {
 public:
  LSTMCell(const CellOptions& options, const StateDict<T>& weights, const std::string& prefix = "");
  ~LSTMCell();
  LSTMCell(LSTMCell&&) noexcept;
  LSTMCell& operator=(LSTMCell&&) noexcept;

  /// x [B, I] or [I]; h, c [B, H] or [H], null for zeros. Throws ShapeError.
  LSTMState<T> forward(TensorView<const T> x, TensorView<const T> h = {}, TensorView<const T> c = {}) const;
  /// The same without taking memory: contiguous x [B, I], h [B, H], c [B, H]; writes h_out, c_out [B, H].
  /// c_out may be c; h_out must not overlap h.
  void step(std::size_t batch, const T* x, const T* h, const T* c, T* h_out, T* c_out) const noexcept;

  /// forward(), with the same bits, that puts on the tape what the way back needs: a step of a loop of one's
  /// own. x must live until then; h and c are copied.
  LSTMState<T> record(TensorView<const T> x, TensorView<const T> h, TensorView<const T> c, Tape& tape) const;
  /// Takes the step that was recorded last off the tape, so a loop goes back from its last step to its first.
  ///   grad_h, grad_c  gradients of h and c as the step gave them, of their shapes; null for zeros. That of h
  ///                   is what the loss says of this step plus what the step after returned
  /// Adds to the gradients of the parameters, as Module::backward. Throws Error if another's run is on top,
  /// ShapeError. Each step packs the transposed weights: a whole sequence goes faster through an LSTM.
  CellGradients<T> backward(TensorView<const T> grad_h, TensorView<const T> grad_c, Tape& tape,
                            Parameters<T>& parameters, const BackwardOptions& options = {}) const;

  const CellOptions& options() const noexcept { return options_; }
  std::vector<ParameterInfo> parameters() const;
  double flops_per_step() const noexcept;
  /// Takes new values of its parameters. Throws Error, ShapeError, and then keeps the old ones.
  void load(const StateDict<T>& weights);

  /// For the library's own use.
  const RecurrentNet<T>& net() const noexcept { return *net_; }

 private:
  CellOptions options_;
  std::unique_ptr<const RecurrentNet<T>> net_;
};

/// One step of a GRU (torch.nn.GRUCell), with either form of the reset gate.
///   weight_ih [3H, I]  weight_hh [3H, H]  bias_ih [3H]  bias_hh [3H], gates in the order r, z, n
template <class T = float>
class GRUCell {
 public:
  GRUCell(const CellOptions& options, const StateDict<T>& weights, const std::string& prefix = "",
          GRUReset reset = GRUReset::kAfter);
  ~GRUCell();
  GRUCell(GRUCell&&) noexcept;
  GRUCell& operator=(GRUCell&&) noexcept;

  /// x [B, I] or [I]; h [B, H] or [H], null for zeros. Returns h'. Throws ShapeError.
  Tensor<T> forward(TensorView<const T> x, TensorView<const T> h = {}) const;
  /// As LSTMCell's; there is no c. The one that takes memory is of GRUReset::kBefore with more than 16 KiB a
  /// row of h.
  void step(std::size_t batch, const T* x, const T* h, T* h_out) const noexcept;
  Tensor<T> record(TensorView<const T> x, TensorView<const T> h, Tape& tape) const;
  CellGradients<T> backward(TensorView<const T> grad_h, Tape& tape, Parameters<T>& parameters,
                            const BackwardOptions& options = {}) const;

  const CellOptions& options() const noexcept { return options_; }
  std::vector<ParameterInfo> parameters() const;
  double flops_per_step() const noexcept;
  void load(const StateDict<T>& weights);

  /// For the library's own use.
  const RecurrentNet<T>& net() const noexcept { return *net_; }

 private:
  CellOptions options_;
  std::unique_ptr<const RecurrentNet<T>> net_;
};

/// One step of a plain RNN (torch.nn.RNNCell).
///   weight_ih [H, I]  weight_hh [H, H]  bias_ih [H]  bias_hh [H]
template <class T = float>
class RNNCell {
 public:
  RNNCell(const CellOptions& options, const StateDict<T>& weights, const std::string& prefix = "",
          Nonlinearity nonlinearity = Nonlinearity::kTanh);
  ~RNNCell();
  RNNCell(RNNCell&&) noexcept;
  RNNCell& operator=(RNNCell&&) noexcept;

  /// x [B, I] or [I]; h [B, H] or [H], null for zeros. Returns h'. Throws ShapeError.
  Tensor<T> forward(TensorView<const T> x, TensorView<const T> h = {}) const;
  /// As LSTMCell's; there is no c.
  void step(std::size_t batch, const T* x, const T* h, T* h_out) const noexcept;
  Tensor<T> record(TensorView<const T> x, TensorView<const T> h, Tape& tape) const;
  CellGradients<T> backward(TensorView<const T> grad_h, Tape& tape, Parameters<T>& parameters,
                            const BackwardOptions& options = {}) const;

  const CellOptions& options() const noexcept { return options_; }
  std::vector<ParameterInfo> parameters() const;
  double flops_per_step() const noexcept;
  void load(const StateDict<T>& weights);

  /// For the library's own use.
  const RecurrentNet<T>& net() const noexcept { return *net_; }

 private:
  CellOptions options_;
  std::unique_ptr<const RecurrentNet<T>> net_;
};

extern template class LSTMCell<float>;
extern template class LSTMCell<double>;
extern template class GRUCell<float>;
extern template class GRUCell<double>;
extern template class RNNCell<float>;
extern template class RNNCell<double>;

}  // namespace sluice
