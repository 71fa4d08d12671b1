// SPDX-License-Identifier: Apache-2.0
#include "layers/row_products.h"

#include <algorithm>
#include <vector>

#include "core/threads.h"
#include "kernels/packed_gemm.h"
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

}  // namespace

template <class T>
void add_row_products(const T* a, std::size_t a_stride, std::size_t m_count, const T* b, std::size_t k_count,
                      T* sums, std::size_t n_count, int threads) {
  const kernels::PackedGemm<T>& kernels = kernels::packed_gemm<T>();
  // Whole tiles a thread.
  const std::size_t tile = kernels.tile_rows[kVectors - 1];
  const std::size_t tiles = (m_count + tile - 1) / tile;
  const std::size_t operations = std::max<std::size_t>(tile * k_count * n_count, 1);
  parallel_ranges(tiles, kOperationsPerThread / operations + 1, threads,
                  [&](std::size_t begin, std::size_t end) {
                    add_range(kernels, a, a_stride, begin * tile, std::min(end * tile, m_count), b, k_count,
                              sums, n_count);
                  });
}

template void add_row_products(const float*, std::size_t, std::size_t, const float*, std::size_t, float*,
                               std::size_t, int);
template void add_row_products(const double*, std::size_t, std::size_t, const double*, std::size_t, double*,
                               std::size_t, int);

}  // namespace sluice
