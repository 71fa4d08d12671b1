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
/// a row's length are zero, whatever stands there. `lengths` [B], or empty: all T; they count from the step
/// `first_step` steps before x begins. x's last stride is 1.
template <class T>
Tensor<T> transposed_features(TensorView<const T> x, std::span<const std::int64_t> lengths, int threads,
                              std::size_t first_step = 0);

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

/// Zeros in the columns past each row's length; `all` [F, T*B], which begins at step `first_step`.
template <class T>
void clear_past_lengths(Tensor<T>& all, std::span<const std::int64_t> lengths,
                        std::size_t first_step = 0) noexcept;

/// `grad` [T, B, N], last stride 1, with N rounded up to whole vectors: zeros there and past each row's
/// length.
template <class T>
Tensor<T> padded_gradients(TensorView<const T> grad, std::span<const std::int64_t> lengths);

/// weight += list^T features, bias += the sums of list; either may be null.
///   features  [N + 1, K]  from transposed_features
///   list      [K, gates.count * units in whole vectors], as [blocks of lanes][gate][lane]; or with K as two
///             dimensions; the last stride is 1, and rows are equally far apart
///   weight    [.., N]     the rows of `gates`; last stride 1
///   bias      [..]
/// K may come in parts, one after the other. Each sum is one chain of fused multiply-adds over all of it in
/// order: the same bits at any number of threads.
template <class T>
class WeightGradient {
 public:
  WeightGradient(GateRange gates, std::size_t units, TensorView<T> weight, TensorView<T> bias)
      : gates_(gates), units_(units), weight_(weight), bias_(bias) {}
  /// The last part adds the sums to weight and bias; with one part alone nothing is kept between.
  void add(const Tensor<T>& features, TensorView<const T> list, bool is_last, int threads);

 private:
  GateRange gates_;
  std::size_t units_;
  TensorView<T> weight_, bias_;
  Tensor<T> sums_;  // after a part that is not the last
};
template <class T>
void add_weight_gradient(const Tensor<T>& features, const Tensor<T>& list, GateRange gates, std::size_t units,
                         TensorView<T> weight, TensorView<T> bias, int threads) {
  WeightGradient<T>(gates, units, weight, bias).add(features, list.view(), true, threads);
}

}  // namespace sluice
