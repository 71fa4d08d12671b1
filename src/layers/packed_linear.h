// SPDX-License-Identifier: Apache-2.0
// A plain matrix packed for the kernels: Linear, the groups of a Conv1d, an LSTM's projection.
#pragma once

#include <cstddef>
#include <utility>

#include "layers/packed_weights.h"
#include "sluice/tensor.h"

namespace sluice {

/// Multiply-adds below which a thread's work costs less than starting it.
inline constexpr std::size_t kOperationsPerThread = std::size_t{1} << 18;

/// y = x W^T + b over rows. Const once made; any number of threads may run it at once.
template <class T>
class PackedLinear {
 public:
  /// weight [out, in] of any strides; bias [out] or null.
  explicit PackedLinear(TensorView<const T> weight, TensorView<const T> bias = {})
      : packed_(pack_plain<T>(weight, {}, bias, {})) {}
  explicit PackedLinear(PackedWeights<T> packed) : packed_(std::move(packed)) {}

  std::size_t in() const noexcept { return packed_.matrix.input_size; }
  std::size_t out() const noexcept { return packed_.matrix.units; }

  /// y[r] = W x[r] + b for `rows` rows given by pointers; on the calling thread; takes no memory.
  /// No y may overlap any x.
  void run(const T* const* x, T* const* y, std::size_t rows) const noexcept {
    packed_.kernels->linear(packed_.matrix, x, y, rows, {0, packed_.matrix.blocks});
  }
  /// The same for rows at fixed distances (in elements), which may overlap among the x; takes no memory.
  void run(const T* x, std::ptrdiff_t x_stride, T* y, std::ptrdiff_t y_stride,
           std::size_t rows) const noexcept;
  /// The same, shared among at most `threads` threads (0: OpenMP's number).
  void run(const T* x, std::ptrdiff_t x_stride, T* y, std::ptrdiff_t y_stride, std::size_t rows,
           int threads) const;

 private:
  PackedWeights<T> packed_;
};

extern template class PackedLinear<float>;
extern template class PackedLinear<double>;

}  // namespace sluice
