// SPDX-License-Identifier: Apache-2.0
// How the way back through one layer and direction of a recorded call goes through its steps: from the last
// to the first, in chunks. Some steps are walked, multiplied and forgotten before those ahead of them in
// time, so that what they leave for the products stays in the cache that cores share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

#include "core/threads.h"
#include "kernels/packed_gemm.h"
#include "layers/packed_linear.h"
#include "layers/recurrent_net.h"
#include "layers/recurrent_record.h"
#include "layers/weight_gradient.h"
#include "sluice/tensor.h"

namespace sluice {

template <class T>
void add_to(const T* from, T* to, std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; ++i) to[i] += from[i];
}

/// What does not change from cell to cell of a call's way back.
template <class T>
struct BackwardCall {
  const RecurrentRecord<T>& record;
  const RecurrentOptions& options;
  const kernels::PackedGemm<T>& kernels;
  std::size_t steps;
  std::size_t batch;
  int threads;

  std::size_t length(std::size_t row) const noexcept {
    return record.lengths.empty() ? steps : static_cast<std::size_t>(record.lengths[row]);
  }
  bool is_ragged() const noexcept { return !record.lengths.empty(); }
};

/// Gradients from outside: of the layer's output [T, B, D*H_out] and c [T, B, D*C], and of the cell's final
/// states [B, H_out] and [B, C]; null for none.
template <class T>
struct OuterGradients {
  TensorView<const T> output;
  TensorView<const T> c_sequence;
  const T* h_n = nullptr;
  const T* c_n = nullptr;
};

/// The steps of one cell's way back: which chunk is walked, and where the record has what.
template <class T>
class BackwardSteps {
 public:
  /// Each row of a step leaves `list_size` elements for the products; the sums of the weights' gradients are
  /// `sums` elements.
  BackwardSteps(const BackwardCall<T>& call, std::size_t layer, std::size_t direction, std::size_t list_size,
                std::size_t sums)
      : call_(call),
        layer_(layer),
        direction_(direction),
        index_(layer * call.options.directions() + direction) {
    const std::size_t step_size = std::max<std::size_t>(call.batch * list_size, 1);
    const std::size_t least = std::max(kChunkBytes / sizeof(T), kChunkSums * sums);
    const std::size_t most = (least + step_size - 1) / step_size;
    // A row's steps of the second direction begin at its own end: other rows' are at other times.
    const std::size_t chunks = direction == 1 && call.is_ragged() ? 1 : (call.steps + most - 1) / most;
    chunks_ = std::max<std::size_t>(chunks, 1);
  }

 protected:
  // Rows that one thread walks with, in order of falling length.
  struct RowGroup {
    std::vector<std::size_t> rows;
    std::size_t longest = 0;  // the first one's length
  };
  // For steps of `operations` multiply-adds a row.
  std::vector<RowGroup> make_groups(std::size_t operations) const {
    const std::size_t batch = call_.batch;
    std::vector<std::size_t> order(batch);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return call_.length(a) > call_.length(b); });
    const std::size_t most =
        std::max<std::size_t>(batch * (call_.steps * operations + 1) / kOperationsPerThread, 1);
    const std::size_t count =
        std::min({batch, most, static_cast<std::size_t>(most > 1 ? thread_limit(call_.threads) : 1)});
    std::vector<RowGroup> groups(count);
    // Dealt out one by one, so that groups have as many rows as each other at every step.
    for (std::size_t i = 0; i < batch; ++i) groups[i % count].rows.push_back(order[i]);
    for (RowGroup& group : groups) group.longest = call_.length(group.rows[0]);
    return groups;
  }

  std::size_t chunks() const noexcept { return chunks_; }
  std::size_t longest_chunk() const noexcept { return (call_.steps + chunks_ - 1) / chunks_; }
  // Steps [first_step_, last_step_), whose times begin with first_time_.
  void set_chunk(std::size_t chunk) noexcept {
    first_step_ = call_.steps * chunk / chunks_;
    last_step_ = call_.steps * (chunk + 1) / chunks_;
    first_time_ = direction_ == 0 ? first_step_ : call_.steps - last_step_;
  }
  std::size_t times() const noexcept { return last_step_ - first_step_; }
  // Of the chunk's first step, which the step before it, in the next chunk, comes from.
  std::size_t time_of_seam() const noexcept {
    return direction_ == 0 ? first_time_ : first_time_ + times() - 1;
  }
  std::size_t time(std::size_t row, std::size_t step) const noexcept {
    return direction_ == 0 ? step : call_.length(row) - 1 - step;
  }
  // Where a list of this chunk, [times, B, ..], has a row's of a time.
  T* at(Tensor<T>& list, std::size_t time, std::size_t row) const noexcept {
    return list.data() + ((time - first_time_) * list.dim(1) + row) * list.dim(2);
  }
  // Zeros past the rows' lengths: there is no gradient.
  void clear_past_lengths_of(Tensor<T>& list) const noexcept {
    if (list.is_null() || !call_.is_ragged()) return;
    for (std::size_t row = 0; row < call_.batch; ++row) {
      for (std::size_t t = std::max(call_.length(row), first_time_); t < first_time_ + times(); ++t) {
        std::fill_n(at(list, t, row), list.dim(2), T{0});
      }
    }
  }

  // A layer's sequence that the record has, [T, B, D*F], and the cell's initial values [L*D, B, F].
  struct States {
    const Tensor<T>* sequence;
    const T* initial;
    std::size_t size;  // F
  };
  States h_states() const noexcept { return states_of(call_.record.outputs[layer_], call_.record.h0); }
  States c_states() const noexcept { return states_of(call_.record.cells[layer_], call_.record.c0); }
  const T* state_at(const States& states, std::size_t row, std::size_t step) const noexcept {
    return states.sequence->data() + (time(row, step) * call_.batch + row) * states.sequence->dim(2) +
           direction_ * states.size;
  }
  const T* state_before(const States& states, std::size_t row, std::size_t step) const noexcept {
    return step > 0 ? state_at(states, row, step - 1) : states.initial + row * states.size;
  }

  // Elements [first, first + size) of the states before each step of the chunk, [size + 1, T*B].
  Tensor<T> transposed_before(const States& states, std::size_t first, std::size_t size) const {
    const std::size_t batch = call_.batch;
    const Tensor<T>& sequence = *states.sequence;
    Tensor<T> all = transposed_steps<T>(
        times(), batch, size,
        [&](std::size_t i) {
          const std::size_t t = first_time_ + i;
          const bool is_first = direction_ == 0 ? t == 0 : t + 1 == call_.steps;
          if (is_first) {
            return FeatureRows<T>{states.initial + first, static_cast<std::ptrdiff_t>(states.size)};
          }
          const std::size_t before = direction_ == 0 ? t - 1 : t + 1;
          return FeatureRows<T>{
              sequence.data() + before * batch * sequence.dim(2) + direction_ * states.size + first,
              static_cast<std::ptrdiff_t>(sequence.dim(2))};
        },
        call_.threads);
    // The second direction begins where a row ends; then there is one chunk.
    for (std::size_t row = 0; direction_ == 1 && row < call_.record.lengths.size(); ++row) {
      if (call_.length(row) == 0) continue;
      const std::size_t column = (call_.length(row) - 1) * batch + row;
      for (std::size_t f = 0; f < size; ++f) all(f, column) = states.initial[row * states.size + first + f];
    }
    clear_past_lengths(all, call_.record.lengths, first_time_);
    return all;
  }
  // Features [first, first + size) of the chunk's steps of a sequence [T, B, ..], [size + 1, T*B].
  Tensor<T> transposed_chunk(TensorView<const T> sequence, std::size_t first, std::size_t size) const {
    return transposed_features<T>(sequence.narrow(0, first_time_, times()).narrow(2, first, size),
                                  call_.record.lengths, call_.threads, first_time_);
  }

  // The gradient of x [T, B, I], of this chunk, becomes W times a list's rows, or has that added.
  void add_input_gradient(const PackedLinear<T>& linear, TensorView<const T> list, Tensor<T>& grad_x,
                          std::size_t first, bool is_first) const {
    const std::size_t rows = times() * call_.batch, features = linear.out();
    const auto in_stride = list.stride(1);
    T* const grad = &grad_x(first_time_, 0, first);
    if (is_first) {
      linear.run(list.data(), in_stride, grad, grad_x.view().stride(1), rows, call_.threads);
      return;
    }
    Tensor<T> more = Tensor<T>::uninitialized({rows, features});
    linear.run(list.data(), in_stride, more.data(), static_cast<std::ptrdiff_t>(features), rows,
               call_.threads);
    parallel_ranges(rows, kMovesPerThread / features + 1, call_.threads,
                    [&](std::size_t begin, std::size_t end) {
                      for (std::size_t r = begin; r < end; ++r) {
                        add_to(more.data() + r * features, grad + r * grad_x.dim(2), features);
                      }
                    });
  }

  const BackwardCall<T>& call_;
  std::size_t layer_;
  std::size_t direction_;
  std::size_t index_;  // layer * directions + direction
  std::size_t first_step_ = 0;
  std::size_t last_step_ = 0;
  std::size_t first_time_ = 0;

 private:
  // Lists of a chunk have at least so many bytes, and so many times those of the sums of the weights'
  // gradients, which each chunk reads and writes.
  static constexpr std::size_t kChunkBytes = std::size_t{1} << 20;
  static constexpr std::size_t kChunkSums = 2;

  States states_of(const Tensor<T>& sequence, const Tensor<T>& initial) const noexcept {
    const std::size_t size = initial.dim(2);
    return {&sequence, initial.data() + index_ * call_.batch * size, size};
  }

  std::size_t chunks_ = 1;
};

}  // namespace sluice
