// SPDX-License-Identifier: Apache-2.0
// Gradients of weights: products summed over all rows of a batch, on the packed kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "sluice/tensor.h"

namespace sluice {

/// Elements that a thread moves or adds at least; below about this many, starting it costs more.
inline constexpr std::size_t kMovesPerThread = std::size_t{1} << 16;

/// Which gates of a weight [gates*units, N] a list of gradients holds: rows [first*units,
/// (first+count)*units).
struct GateRange {
  std::size_t first = 0;
  std::size_t count = 1;
};

/// x [T, B, F] as [F + 1, T*B]: feature by feature, and ones as one feature more, for the bias. Columns past
/// a row's length are zero, whatever stands there. `lengths` [B], or empty: all T. x's last stride is 1.
template <class T>
Tensor<T> transposed_features(TensorView<const T> x, std::span<const std::int64_t> lengths, int threads);

/// The rows [B, F] of one step: where the first begins, and how far they are apart.
template <class T>
struct FeatureRows {
  const T* data;
  std::ptrdiff_t stride;
};
/// The same where each step's rows lie somewhere else; nothing is cleared. rows_at(t) may be asked on any
/// thread.
template <class T>
Tensor<T> transposed_steps(std::size_t steps, std::size_t batch, std::size_t features,
                           const std::function<FeatureRows<T>(std::size_t)>& rows_at, int threads);

/// Zeros in the columns past each row's length; `all` [F, T*B].
template <class T>
void clear_past_lengths(Tensor<T>& all, std::span<const std::int64_t> lengths) noexcept;

/// `grad` [T, B, N], last stride 1, with N rounded up to whole vectors: zeros there and past each row's
/// length.
template <class T>
Tensor<T> padded_gradients(TensorView<const T> grad, std::span<const std::int64_t> lengths);

/// weight += list^T features, bias += the sums of list; either may be null.
///   features  [N + 1, K]  from transposed_features
///   list      [K, gates.count * units in whole vectors], as [blocks of lanes][gate][lane]; contiguous
///   weight    [.., N]     the rows of `gates`; last stride 1
///   bias      [..]
/// Each sum is one chain of fused multiply-adds over k in order: the same bits at any number of threads.
template <class T>
void add_weight_gradient(const Tensor<T>& features, const Tensor<T>& list, GateRange gates, std::size_t units,
                         TensorView<T> weight, TensorView<T> bias, int threads);

}  // namespace sluice
