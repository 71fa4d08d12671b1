// SPDX-License-Identifier: Apache-2.0
// Weights packed once for the kernels, kept beside the table of kernels that packed them: the layout depends
// on the lane count, so what packed them runs them. Layouts: kernels/packed_gemm.h.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "kernels/packed_gemm.h"
#include "sluice/tensor.h"

namespace sluice {

/// Owns a packed matrix. `matrix` points into the tensors, which do not move when this does.
template <class T>
struct PackedWeights {
  const kernels::PackedGemm<T>* kernels = nullptr;
  Tensor<T> weights;
  Tensor<T> bias;
  Tensor<T> state_bias;
  kernels::PackedMatrix<T> matrix;

  PackedWeights() = default;
  PackedWeights(PackedWeights&&) noexcept = default;
  PackedWeights& operator=(PackedWeights&&) noexcept = default;
};

/// Packs gates that a cell's step needs together: block b has the units [b*lanes, (b+1)*lanes) of all gates.
///   w        [gates*units, I]  rows gate by gate (PyTorch's weight_ih); any strides
///   u        [gates*units, S]  weight_hh, or null for none (S = 0)
///   bias_ih  [gates*units]     or null
///   bias_hh  [gates*units]     or null; added to bias_ih
///   keep_state_bias            the last gate's part of bias_hh goes to `state_bias` instead (GRU's
///   candidate)
template <class T>
PackedWeights<T> pack_gates(std::size_t gates, TensorView<const T> w, TensorView<const T> u,
                            TensorView<const T> bias_ih, TensorView<const T> bias_hh,
                            bool keep_state_bias = false);

/// Packs a plain matrix: block b has 1 to 4 neighbouring vectors of outputs ("gates" of the layout).
///   w     [out, I]  any strides       u        [out, S] or null
///   bias  [out] or null               bias_hh  [out] or null; added to bias
template <class T>
PackedWeights<T> pack_plain(TensorView<const T> w, TensorView<const T> u, TensorView<const T> bias,
                            TensorView<const T> bias_hh);

/// Packs sums that take the same input: block b has the units [b*vectors*lanes, ..) of all of them, as
/// [sum][vector].
///   weights  [units, I] each, any strides
///   biases   [units] each, or null
template <class T>
PackedWeights<T> pack_sums(std::size_t vectors, std::span<const TensorView<const T>> weights,
                           std::span<const TensorView<const T>> biases);

/// How many neighbouring vectors of units a block of a plain matrix has. Four run best; fewer where they
/// would be empty, or where so deep a block would not stay in the second cache while all rows go over it.
template <class T>
std::size_t plain_vectors(std::size_t units, std::size_t depth, std::size_t lanes) {
  constexpr std::size_t kBlockBytes = std::size_t{640} << 10;
  std::size_t vectors = std::clamp<std::size_t>((units + lanes - 1) / lanes, 1, 4);
  while (vectors > 2 && vectors * depth * lanes * sizeof(T) > kBlockBytes) --vectors;
  return vectors;
}

/// A row that is not there: zeros.
inline constexpr std::size_t kNoRow = static_cast<std::size_t>(-1);

/// Packs the transpose of w [N, out], contiguous rows, as a plain matrix [out, order.size()]: its k-th column
/// is row order[k] of w.
template <class T>
PackedWeights<T> pack_transposed(TensorView<const T> w, std::span<const std::size_t> order);

extern template PackedWeights<float> pack_transposed(TensorView<const float>, std::span<const std::size_t>);
extern template PackedWeights<double> pack_transposed(TensorView<const double>, std::span<const std::size_t>);
extern template PackedWeights<float> pack_sums(std::size_t, std::span<const TensorView<const float>>,
                                               std::span<const TensorView<const float>>);
extern template PackedWeights<double> pack_sums(std::size_t, std::span<const TensorView<const double>>,
                                                std::span<const TensorView<const double>>);
extern template PackedWeights<float> pack_gates(std::size_t, TensorView<const float>, TensorView<const float>,
                                                TensorView<const float>, TensorView<const float>, bool);
extern template PackedWeights<double> pack_gates(std::size_t, TensorView<const double>,
                                                 TensorView<const double>, TensorView<const double>,
                                                 TensorView<const double>, bool);
extern template PackedWeights<float> pack_plain(TensorView<const float>, TensorView<const float>,
                                                TensorView<const float>, TensorView<const float>);
extern template PackedWeights<double> pack_plain(TensorView<const double>, TensorView<const double>,
                                                 TensorView<const double>, TensorView<const double>);

}  // namespace sluice
