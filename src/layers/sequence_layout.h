// SPDX-License-Identifier: Apache-2.0
// The orders of dimensions in which a caller may hand in a sequence and its states, and take them back.
#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include "sluice/tensor.h"

namespace sluice {

/// Which of the first two dimensions of a sequence is time.
enum class SequenceLayout { kTimeFirst, kBatchFirst };

/// A sequence as [T, B, F], whatever its layout; [T, F] is one of one row.
template <class T>
TensorView<T> time_first(TensorView<T> view, SequenceLayout layout) {
  if (view.rank() == 3) return layout == SequenceLayout::kBatchFirst ? view.transpose(0, 1) : view;
  const std::array<std::ptrdiff_t, 3> strides{view.stride(0), 0, view.stride(1)};
  return TensorView<T>(view.data(), Shape({view.dim(0), 1, view.dim(1)}), strides);
}

/// And back: `sequence` is [T, B, F]; rank 2 is that of a call of one row.
template <class T>
Tensor<T> from_time_first(Tensor<T> sequence, std::size_t rank, SequenceLayout layout) {
  if (sequence.is_null()) return sequence;
  if (rank == 2) {
    const Shape shape({sequence.dim(0), sequence.dim(2)});
    return std::move(sequence).reshaped(shape);
  }
  if (layout == SequenceLayout::kTimeFirst) return sequence;
  return Tensor<T>(TensorView<const T>(sequence.view().transpose(0, 1)));
}

/// The shape of a sequence of a call whose x has that rank.
inline Shape sequence_shape(std::size_t rank, SequenceLayout layout, std::size_t steps, std::size_t batch,
                            std::size_t features) {
  if (rank == 2) return Shape({steps, features});
  if (layout == SequenceLayout::kBatchFirst) return Shape({batch, steps, features});
  return Shape({steps, batch, features});
}

/// And of its states.
inline Shape state_shape(std::size_t rank, std::size_t cells, std::size_t batch, std::size_t features) {
  return rank == 2 ? Shape({cells, features}) : Shape({cells, batch, features});
}

}  // namespace sluice
