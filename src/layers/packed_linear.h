// SPDX-License-Identifier: Apache-2.0
// A plain matrix packed for the kernels: Linear, the groups of a Conv1d, an LSTM's projection.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/packed_gemm.h"
#include "sluice/tensor.h"

namespace sluice {

template <class T>
class PackedLinear {
 public:
  /// weight [out, in]; row o starts at weight + o * row_stride, and its columns are `column_stride` apart.
  /// bias [out] or null.
  PackedLinear(std::size_t out, std::size_t in, const T* weight, std::ptrdiff_t row_stride,
               std::ptrdiff_t column_stride, const T* bias);

  std::size_t in() const noexcept { return matrix_.input_size; }
  std::size_t out() const noexcept { return matrix_.units; }

  /// y[r] = W x[r] + b for `rows` rows given by pointers; on the calling thread; takes no memory.
  void run(const T* const* x, T* const* y, std::size_t rows) const noexcept {
    kernels_->linear(matrix_, x, y, rows, 0, matrix_.blocks);
  }
  /// The same for rows at fixed distances (in elements); takes no memory.
  void run(const T* x, std::ptrdiff_t x_stride, T* y, std::ptrdiff_t y_stride,
           std::size_t rows) const noexcept;
  /// The same, shared among at most `threads` threads (0: OpenMP's number).
  void run(const T* x, std::ptrdiff_t x_stride, T* y, std::ptrdiff_t y_stride, std::size_t rows,
           int threads) const;

 private:
  const kernels::PackedGemm<T>* kernels_;  // what packed it runs it
  Tensor<T> weights_;
  Tensor<T> bias_;
  kernels::PackedMatrix<T> matrix_;
};

extern template class PackedLinear<float>;
extern template class PackedLinear<double>;

}  // namespace sluice
