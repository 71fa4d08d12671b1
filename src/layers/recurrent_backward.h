// SPDX-License-Identifier: Apache-2.0
// Back-propagation through time (Werbos 1990) of a recurrent network, on the packed kernels: the transposed
// weights of its cells, and the walk back through a recorded call.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "layers/packed_linear.h"
#include "layers/packed_weights.h"
#include "layers/recurrent_net.h"
#include "layers/recurrent_record.h"
#include "sluice/module.h"
#include "sluice/parameters.h"
#include "sluice/state_dict.h"
#include "sluice/tape.h"
#include "sluice/tensor.h"

namespace sluice {

/// Gradients of the loss with respect to what a call gave, time first; null where there is none.
template <class T>
struct RecurrentOutputGradients {
  TensorView<const T> output;  ///< [T, B, D*H_out], last stride 1; what stands past a row's length is ignored
  TensorView<const T> h_n;     ///< [L*D, B, H_out]
  TensorView<const T> c_n;     ///< [L*D, B, H], LSTM
  TensorView<const T> c_sequence;  ///< [T, B, D*H], LSTM, of the last layer; last stride 1
};

/// And with respect to what it took.
template <class T>
struct RecurrentInputGradients {
  Tensor<T> x;   ///< [T, B, I], if asked for; zero past a row's length
  Tensor<T> h0;  ///< [L*D, B, H_out]
  Tensor<T> c0;  ///< [L*D, B, H], LSTM
};

/// Const once made; any number of threads may run it at once. The bits of its results do not depend on
/// threads.
template <class T>
class RecurrentBackward {
 public:
  /// `weights` are those that `net`, which must outlive this, was made from.
  RecurrentBackward(const RecurrentNet<T>& net, const StateDict<T>& weights);

  /// `record` is of a call of `net`; what it did not keep is made again on the way. Adds to `parameters`,
  /// which stand in the order of net.parameters(); what is null is not computed. Throws ShapeError.
  RecurrentInputGradients<T> run(RecurrentRecord<T>& record, const RecurrentOutputGradients<T>& grads,
                                 std::span<const TensorView<T>> parameters, bool wants_x,
                                 int threads = 0) const;

 private:
  // The transposes of one cell's matrices. Their inputs are gradients of pre-activations in the order of the
  // forward packing, [blocks][gates][lanes].
  struct Cell {
    PackedWeights<T> state;  // of weight_hh; of its r and z, for a GRU with its reset before
    std::optional<PackedWeights<T>>
        second;                           // of weight_hr; of weight_hh's n, for a GRU with its reset before
    std::vector<PackedLinear<T>> inputs;  // of weight_ih, one a list of gradients
  };
  const RecurrentNet<T>* net_;
  RecurrentOptions options_;
  const kernels::PackedGemm<T>* kernels_;
  std::vector<Cell> cells_;  // [layer][direction]
};

/// Module::record and Module::backward of the layers that `net` is.
template <class T>
SequenceOutput<T> record_recurrent(const RecurrentNet<T>& net, const Sequence<T>& in, Tape& tape,
                                   const RecordOptions& options);
template <class T>
Tensor<T> recurrent_backward(const RecurrentNet<T>& net, TensorView<const T> grad, Tape& tape,
                             Parameters<T>& parameters, const BackwardOptions& options);

extern template class RecurrentBackward<float>;
extern template class RecurrentBackward<double>;

}  // namespace sluice
