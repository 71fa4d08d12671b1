// SPDX-License-Identifier: Apache-2.0
// Back-propagation through time (Werbos 1990) of a recurrent network, on the packed kernels: the transposed
// weights of its cells, and the walk back through a recorded call.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "layers/custom_backward_programs.h"
#include "layers/packed_linear.h"
#include "layers/packed_weights.h"
#include "layers/recurrent_net.h"
#include "layers/recurrent_record.h"
#include "sluice/gate_statistics.h"
#include "sluice/module.h"
#include "sluice/parameters.h"
#include "sluice/recurrent.h"
#include "sluice/state_dict.h"
#include "sluice/tape.h"
#include "sluice/tensor.h"

namespace sluice {

/// Const once made; any number of threads may run it at once. The bits of its results do not depend on
/// threads.
template <class T>
class RecurrentBackward {
 public:
  /// `weights` are those that `net`, which must outlive this, was made from.
  RecurrentBackward(const RecurrentNet<T>& net, const StateDict<T>& weights);

  /// `record` is of a call of `net`; what it did not keep is made again on the way. Gradients are time first
  /// and batched; those of output and c_sequence have a last stride of 1. Adds to `parameters`, which stand
  /// in the order of net.parameters(); what is null is not computed. `statistics`, if there are any, stand as
  /// the cells: [layer][direction]. Throws ShapeError.
  RecurrentInputGradients<T> run(RecurrentRecord<T>& record, const RecurrentOutputGradients<T>& grads,
                                 std::span<const TensorView<T>> parameters, bool wants_x, int threads = 0,
                                 std::span<RecurrentStatistics> statistics = {}) const;

 private:
  // The transposes of one cell's matrices. Their inputs are gradients of pre-activations in the order of the
  // forward packing, [blocks][gates][lanes].
  struct Cell {
    PackedWeights<T> state;  // of weight_hh; of its r and z, for a GRU with its reset before
    std::optional<PackedWeights<T>>
        second;                           // of weight_hr; of weight_hh's n, for a GRU with its reset before
    std::vector<PackedLinear<T>> inputs;  // of weight_ih, one a list of gradients
    std::unique_ptr<const CustomBackwardPrograms<T>> custom;  // or all of it
  };
  const RecurrentNet<T>* net_;
  RecurrentOptions options_;
  const kernels::PackedGemm<T>* kernels_;
  std::vector<Cell> cells_;  // [layer][direction]
};

extern template class RecurrentBackward<float>;
extern template class RecurrentBackward<double>;

}  // namespace sluice
