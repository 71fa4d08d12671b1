// SPDX-License-Identifier: Apache-2.0
#include "layers/weight_gradient.h"

#include <algorithm>
#include <vector>

#include "core/threads.h"
#include "kernels/packed_gemm.h"
#include "kernels/transpose.h"
#include "layers/packed_linear.h"
#include "sluice/tensor.h"

namespace sluice {
namespace {

// A block of b is packed for so many k at once: with 4 vectors of floats 64 KiB, which stay in the second
// cache while all rows of a go over them.
constexpr std::size_t kChunk = 256;
constexpr std::size_t kVectors = 4;

// The part of one thread: rows [begin, end) of a. Each thread packs b for itself, which costs one copy for
// 2 (end - begin) operations.
template <class T>
void add_range(const kernels::PackedGemm<T>& kernels, const T* a, std::size_t a_stride, std::size_t begin,
               std::size_t end, const T* b, std::size_t k_count, T* sums, std::size_t n_count) noexcept {
  const std::size_t lanes = kernels.lanes;
  std::fill_n(sums + begin * n_count, (end - begin) * n_count, T{0});
  const Tensor<T> no_bias({kVectors * lanes});
  Tensor<T> packed = Tensor<T>::uninitialized({kChunk, kVectors * lanes});
  std::vector<const T*> rows(end - begin);
  std::vector<T*> out(end - begin);
  for (std::size_t k = 0; k < k_count; k += kChunk) {
    const std::size_t depth = std::min(kChunk, k_count - k);
    for (std::size_t m = begin; m < end; ++m) rows[m - begin] = a + m * a_stride + k;
    for (std::size_t n = 0; n < n_count; n += kVectors * lanes) {
      const std::size_t width = std::min(kVectors * lanes, n_count - n);
      for (std::size_t i = 0; i < depth; ++i) {
        std::copy_n(b + (k + i) * n_count + n, width, packed.data() + i * width);
      }
      for (std::size_t m = begin; m < end; ++m) out[m - begin] = sums + m * n_count + n;
      kernels::PackedMatrix<T> matrix;
      matrix.weights = packed.data();
      matrix.bias = no_bias.data();
      matrix.gates = width / lanes;
      matrix.units = width;
      matrix.blocks = 1;
      matrix.input_size = depth;
      kernels.add_product(matrix, rows.data(), out.data(), end - begin, {0, 1});
    }
  }
}

// sums[m, n] = sum over k of a[m, k] b[k, n], k in order; sums [m_count, n_count] contiguous, n_count a
// multiple of the lanes.
template <class T>
void multiply(const Tensor<T>& a, const Tensor<T>& b, Tensor<T>& sums, int threads) {
  const kernels::PackedGemm<T>& kernels = kernels::packed_gemm<T>();
  const std::size_t m_count = a.dim(0), k_count = a.dim(1), n_count = sums.dim(1);
  // Whole tiles a thread.
  const std::size_t tile = kernels.tile_rows[kVectors - 1];
  const std::size_t operations = std::max<std::size_t>(tile * k_count * n_count, 1);
  parallel_ranges((m_count + tile - 1) / tile, kOperationsPerThread / operations + 1, threads,
                  [&](std::size_t begin, std::size_t end) {
                    add_range(kernels, a.data(), k_count, begin * tile, std::min(end * tile, m_count),
                              b.data(), k_count, sums.data(), n_count);
                  });
}

}  // namespace

template <class T>
Tensor<T> transposed_features(TensorView<const T> x, std::span<const std::int64_t> lengths, int threads) {
  Tensor<T> all = transposed_steps<T>(
      x.dim(0), x.dim(1), x.dim(2),
      [&](std::size_t t) {
        return FeatureRows<T>{x.data() + static_cast<std::ptrdiff_t>(t) * x.stride(0), x.stride(1)};
      },
      threads);
  clear_past_lengths(all, lengths);
  return all;
}

template <class T>
Tensor<T> transposed_steps(std::size_t steps, std::size_t batch, std::size_t features,
                           const std::function<FeatureRows<T>(std::size_t)>& rows_at, int threads) {
  Tensor<T> all = Tensor<T>::uninitialized({features + 1, steps * batch});
  std::fill_n(all.data() + features * steps * batch, steps * batch, T{1});
  const auto transpose = kernels::transpose_kernel<T>();
  parallel_ranges(steps, kMovesPerThread / (batch * features + 1) + 1, threads,
                  [&](std::size_t begin, std::size_t end) {
                    for (std::size_t t = begin; t < end && batch > 0; ++t) {
                      const FeatureRows<T> rows = rows_at(t);
                      transpose(rows.data, rows.stride, all.data() + t * batch,
                                static_cast<std::ptrdiff_t>(steps * batch), batch, features);
                    }
                  });
  return all;
}

template <class T>
void clear_past_lengths(Tensor<T>& all, std::span<const std::int64_t> lengths) noexcept {
  const std::size_t batch = lengths.size();
  for (std::size_t row = 0; row < batch; ++row) {
    for (std::size_t k = static_cast<std::size_t>(lengths[row]) * batch + row; k < all.dim(1); k += batch) {
      for (std::size_t f = 0; f < all.dim(0); ++f) all(f, k) = T{0};
    }
  }
}

template <class T>
Tensor<T> padded_gradients(TensorView<const T> grad, std::span<const std::int64_t> lengths) {
  const std::size_t steps = grad.dim(0), batch = grad.dim(1), n = grad.dim(2);
  const std::size_t lanes = kernels::packed_gemm<T>().lanes;
  Tensor<T> list({steps, batch, (n + lanes - 1) / lanes * lanes});
  for (std::size_t b = 0; b < batch; ++b) {
    const std::size_t length = lengths.empty() ? steps : static_cast<std::size_t>(lengths[b]);
    for (std::size_t t = 0; t < length && n > 0; ++t) std::copy_n(&grad(t, b, 0), n, &list(t, b, 0));
  }
  return list;
}

template <class T>
void add_weight_gradient(const Tensor<T>& features, const Tensor<T>& list, GateRange gates, std::size_t units,
                         TensorView<T> weight, TensorView<T> bias, int threads) {
  const std::size_t columns = features.dim(0) - 1;
  const std::size_t width = list.dim(list.rank() - 1);
  const std::size_t lanes = kernels::packed_gemm<T>().lanes;
  Tensor<T> sums = Tensor<T>::uninitialized({columns + 1, width});
  multiply(features, list, sums, threads);
  // From [feature][blocks of lanes][gate][lane] to [gate][unit][feature].
  const auto transpose = kernels::transpose_kernel<T>();
  const std::size_t blocks = (units + lanes - 1) / lanes;
  parallel_ranges(blocks, kMovesPerThread / (lanes * gates.count * (columns + 1)) + 1, threads,
                  [&](std::size_t begin, std::size_t end) {
                    Tensor<T> rows({lanes, columns});
                    for (std::size_t i = begin * gates.count; i < end * gates.count; ++i) {
                      const std::size_t unit = i / gates.count * lanes, gate = i % gates.count;
                      const std::size_t count = std::min(lanes, units - unit);
                      const std::size_t first = (gates.first + gate) * units + unit;
                      if (weight) {
                        transpose(sums.data() + i * lanes, static_cast<std::ptrdiff_t>(width), rows.data(),
                                  static_cast<std::ptrdiff_t>(columns), columns, count);
                        for (std::size_t u = 0; u < count; ++u) {
                          T* const to = &weight(first + u, 0);
                          for (std::size_t k = 0; k < columns; ++k) to[k] += rows(u, k);
                        }
                      }
                      for (std::size_t u = 0; bias && u < count; ++u) {
                        bias(first + u) += sums(columns, i * lanes + u);
                      }
                    }
                  });
}

template Tensor<float> transposed_features(TensorView<const float>, std::span<const std::int64_t>, int);
template Tensor<double> transposed_features(TensorView<const double>, std::span<const std::int64_t>, int);
template Tensor<float> transposed_steps(std::size_t, std::size_t, std::size_t,
                                        const std::function<FeatureRows<float>(std::size_t)>&, int);
template Tensor<double> transposed_steps(std::size_t, std::size_t, std::size_t,
                                         const std::function<FeatureRows<double>(std::size_t)>&, int);
template void clear_past_lengths(Tensor<float>&, std::span<const std::int64_t>) noexcept;
template void clear_past_lengths(Tensor<double>&, std::span<const std::int64_t>) noexcept;
template Tensor<float> padded_gradients(TensorView<const float>, std::span<const std::int64_t>);
template Tensor<double> padded_gradients(TensorView<const double>, std::span<const std::int64_t>);
template void add_weight_gradient(const Tensor<float>&, const Tensor<float>&, GateRange, std::size_t,
                                  TensorView<float>, TensorView<float>, int);
template void add_weight_gradient(const Tensor<double>&, const Tensor<double>&, GateRange, std::size_t,
                                  TensorView<double>, TensorView<double>, int);

}  // namespace sluice
