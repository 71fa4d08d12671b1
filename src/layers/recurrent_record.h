// SPDX-License-Identifier: Apache-2.0
// What a call of a recurrent network keeps for its way back.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "sluice/random.h"
#include "sluice/tensor.h"

namespace sluice {

/// L layers, D directions, T steps, B rows; all time first. Steps past a row's length hold nothing.
template <class T>
struct RecurrentRecord {
  // Asked for before the call.
  std::optional<RandomStream> random;  ///< of the first mask, others follow (RecurrentOptions::masks)
  bool recompute = false;              ///< no cells, kept, scratch, and no output of the last layer

  // Made by the call.
  TensorView<const T> x;              ///< [T, B, I] of the call, which must live until the way back is done
  Tensor<T> copy;                     ///< where x stands if its features did not lie side by side
  std::vector<std::int64_t> lengths;  ///< [B], or empty: all T
  Tensor<T> h0;                       ///< [L*D, B, H_out]; zeros where none was given
  Tensor<T> c0;                       ///< [L*D, B, H], LSTM
  std::vector<Tensor<T>> outputs;     ///< a layer's, of which nothing is dropped: [T, B, D*H_out]
  std::vector<Tensor<T>> cells;       ///< LSTM, a layer's c: [T, B, D*H]
  std::vector<Tensor<T>> kept;        ///< layer * D + direction: [T, B, kept_size]
  std::vector<Tensor<T>> scratch;     ///< the same: [T, B, scratch_size]

  /// Lets go of what a layer's way back needed and recomputing makes.
  void forget(std::size_t layer) {
    const std::size_t directions = kept.size() / outputs.size();
    if (!cells.empty()) cells[layer] = {};
    for (std::size_t index = layer * directions; index < (layer + 1) * directions; ++index) {
      kept[index] = {};
      scratch[index] = {};
    }
    if (layer + 1 == outputs.size()) outputs[layer] = {};
  }
  /// Memory that this holds.
  std::size_t bytes() const noexcept {
    std::size_t elements = copy.size() + h0.size() + c0.size();
    for (const auto* list : {&outputs, &cells, &kept, &scratch}) {
      for (const Tensor<T>& tensor : *list) elements += tensor.size();
    }
    return elements * sizeof(T);
  }
};

}  // namespace sluice
