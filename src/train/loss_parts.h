// SPDX-License-Identifier: Apache-2.0
// What the losses share: which elements count, weights repeated to the input's shape, and sums over many
// elements in one order for any number of threads.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cells/elementwise.h"
#include "core/check.h"
#include "core/threads.h"
#include "layers/sequence.h"
#include "sluice/loss.h"

namespace sluice {

/// Elements whose losses are added one after the other. The sums of such chunks are added in their order too,
/// so threads, which share out whole chunks, change no bit.
inline constexpr std::size_t kLossChunk = 4096;

/// Elements that a loss works on at a time, in buffers on the stack.
inline constexpr std::size_t kLossBlock = 256;

/// The sum of add(chunk) over all chunks of `chunk_size` elements each.
template <class Add>
double sum_of_chunks(std::size_t chunks, std::size_t chunk_size, int threads, const Add& add) {
  std::vector<double> sums(chunks);
  parallel_ranges(chunks, kElementsPerThread / chunk_size + 1, threads,
                  [&](std::size_t begin, std::size_t end) {
                    for (std::size_t chunk = begin; chunk < end; ++chunk) sums[chunk] = add(chunk);
                  });
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

/// "[2, 0, 5]": where the element with the given number stands.
inline std::string place_in(const Shape& shape, std::size_t element) {
  std::string text;
  for (std::size_t i = shape.rank(); i-- > 0; element /= shape[i]) {
    text.insert(0, (i > 0 ? ", " : "[") + std::to_string(element % shape[i]));
  }
  return text.empty() ? text : text + "]";
}

/// The elements of [T, B, ...] that stand before the ends of their rows.
class LossMask {
 public:
  /// Throws ShapeError unless lengths is empty, or there are B of them, each from 0 to T. `shape` is that of
  /// the argument with the given name, and lengths must outlive this.
  LossMask(std::string_view call, std::string_view argument, const Shape& shape,
           std::span<const std::int64_t> lengths)
      : lengths_(lengths), counted_(shape.size()) {
    if (lengths.empty()) return;
    if (shape.rank() < 2) throw_shape_error(call, argument, shape, "[T, B, ...] where there are lengths");
    if (lengths.size() != shape[1]) {
      throw_shape_error(call, "lengths", Shape{lengths.size()}, Shape{shape[1]}.to_string());
    }
    for (std::size_t i = 2; i < shape.rank(); ++i) features_ *= shape[i];
    counted_ = 0;
    for (std::size_t b = 0; b < lengths.size(); ++b) {
      if (lengths[b] < 0 || static_cast<std::uint64_t>(lengths[b]) > shape[0]) {
        throw ShapeError(std::string(call) + ": lengths[" + std::to_string(b) + "] is " +
                         std::to_string(lengths[b]) + ", expected 0 to " + std::to_string(shape[0]));
      }
      counted_ += static_cast<std::size_t>(lengths[b]) * features_;
    }
  }

  /// Number of elements that count.
  std::size_t counted() const noexcept { return counted_; }

  /// Whether the element with the given number counts.
  bool counts(std::size_t element) const noexcept {
    return lengths_.empty() || step_counts(element / features_);
  }

  /// Calls visit(begin, end) for the runs of elements in [first, first + n) that do not count.
  template <class Visit>
  void for_each_padded(std::size_t first, std::size_t n, const Visit& visit) const {
    if (lengths_.empty()) return;
    const std::size_t last = first + n;
    for (std::size_t begin = first; begin < last;) {
      const std::size_t step = begin / features_;
      const std::size_t end = std::min(last, (step + 1) * features_);
      if (!step_counts(step)) visit(begin, end);
      begin = end;
    }
  }

 private:
  // `step` is t B + b.
  bool step_counts(std::size_t step) const noexcept {
    const std::size_t rows = lengths_.size();
    return step / rows < static_cast<std::size_t>(lengths_[step % rows]);
  }

  std::span<const std::int64_t> lengths_;
  std::size_t features_ = 1;
  std::size_t counted_;
};

/// A tensor repeated to a larger shape by NumPy's rule, or ones where it is null.
template <class T>
class Repeated {
 public:
  /// Throws ShapeError where the rule does not allow it. `values` must outlive this.
  Repeated(std::string_view call, std::string_view argument, const Tensor<T>& values, const Shape& shape)
      : values_(values.data()), rank_(shape.rank()) {
    if (values.is_null()) return;
    bool is_fit = values.rank() <= rank_;
    std::size_t stride = 1;
    for (std::size_t i = rank_; is_fit && i-- > 0;) {
      const std::size_t missing = rank_ - values.rank();
      const std::size_t size = i < missing ? 1 : values.dim(i - missing);
      is_fit = size == 1 || size == shape[i];
      dims_[i] = shape[i];
      strides_[i] = size == 1 ? 0 : stride;
      stride *= size;
    }
    if (!is_fit) {
      throw_shape_error(call, argument, values.shape(), "a shape that broadcasts to " + shape.to_string());
    }
  }

  /// Elements [first, first + n) of the larger shape.
  void read(std::size_t first, std::size_t n, T* to) const noexcept {
    if (values_ == nullptr || rank_ == 0) {
      std::fill_n(to, n, values_ == nullptr ? T{1} : *values_);
      return;
    }
    const std::size_t inner = dims_[rank_ - 1];
    while (n > 0) {
      std::size_t rest = first / inner;
      const std::size_t along = first % inner;
      const std::size_t count = std::min(n, inner - along);
      const T* from = values_ + along * strides_[rank_ - 1];
      for (std::size_t i = rank_ - 1; i-- > 0; rest /= dims_[i]) from += rest % dims_[i] * strides_[i];
      for (std::size_t i = 0; i < count; ++i) to[i] = from[i * strides_[rank_ - 1]];
      first += count;
      to += count;
      n -= count;
    }
  }

 private:
  const T* values_;
  std::size_t rank_;
  std::array<std::size_t, kMaxRank> dims_{};
  std::array<std::size_t, kMaxRank> strides_{};
};

/// The loss and gradient of n elements from the one with the number `first`. grads may be null.
///   x, t    [n] inputs and targets
///   losses  [n]
///   grads   [n] d loss / d x, or null
template <class T>
struct LossElements {
  std::size_t first, n;
  const T* x;
  const T* t;
  double* losses;
  double* grads;
};

/// The losses of elements that do not depend on each other: term(LossElements) makes those of a block. It is
/// called for elements that do not count, too. `input` and `target` have passed check_elements.
template <class T, class Term>
LossOutput<T> elementwise_loss(TensorView<const T> input, TensorView<const T> target, const LossMask& mask,
                               Reduction reduction, const LossRunOptions& run, const Term& term) {
  Tensor<T> input_storage, target_storage;
  const T* const x = contiguous(input, input_storage).data();
  const T* const t = contiguous(target, target_storage).data();
  const std::size_t size = input.size();
  LossOutput<T> out;
  if (reduction == Reduction::kNone) out.values = Tensor<T>::uninitialized(input.shape());
  if (run.with_grad) out.grad = Tensor<T>::uninitialized(input.shape());
  const auto count = static_cast<double>(mask.counted());
  const double scale = reduction == Reduction::kMean ? 1 / count : 1;

  const auto block_sum = [&](std::size_t first, std::size_t n, double sum) {
    std::array<double, kLossBlock> losses, grads;
    term(LossElements<T>{first, n, x + first, t + first, losses.data(),
                         run.with_grad ? grads.data() : nullptr});
    mask.for_each_padded(first, n, [&](std::size_t begin, std::size_t end) {
      std::fill(losses.begin() + (begin - first), losses.begin() + (end - first), 0.0);
    });
    for (std::size_t i = 0; i < n; ++i) sum += losses[i];
    if (out.values.data() != nullptr) {
      for (std::size_t i = 0; i < n; ++i) out.values.data()[first + i] = static_cast<T>(losses[i]);
    }
    if (run.with_grad) {
      T* const to = out.grad.data();
      for (std::size_t i = 0; i < n; ++i) to[first + i] = static_cast<T>(grads[i] * scale);
      mask.for_each_padded(
          first, n, [to](std::size_t begin, std::size_t end) { std::fill(to + begin, to + end, T{0}); });
    }
    return sum;
  };
  const std::size_t chunks = (size + kLossChunk - 1) / kLossChunk;
  out.value = sum_of_chunks(chunks, kLossChunk, run.threads, [&](std::size_t chunk) {
    const std::size_t end = std::min(size, (chunk + 1) * kLossChunk);
    double sum = 0;
    for (std::size_t first = chunk * kLossChunk; first < end; first += kLossBlock) {
      sum = block_sum(first, std::min(kLossBlock, end - first), sum);
    }
    return sum;
  });
  if (reduction == Reduction::kMean) out.value /= count;
  return out;
}

/// Throws ShapeError unless both are given and of one shape.
template <class T>
void check_elements(std::string_view call, TensorView<const T> input, TensorView<const T> target) {
  check_given(call, "input", input);
  check_given(call, "target", target);
  check_shape(call, "target", target.shape(), input.shape());
}

}  // namespace sluice
