// SPDX-License-Identifier: Apache-2.0
#include "layers/packed_linear.h"

#include <algorithm>
#include <array>

#include "core/threads.h"

namespace sluice {

template <class T>
void PackedLinear<T>::run(const T* x, std::ptrdiff_t x_stride, T* y, std::ptrdiff_t y_stride,
                          std::size_t rows) const noexcept {
  // Row pointers on the stack, a chunk at a time; large enough for the weights to be read once for many rows.
  constexpr std::size_t kChunk = 96;
  std::array<const T*, kChunk> inputs;
  std::array<T*, kChunk> outputs;
  for (std::size_t first = 0; first < rows; first += kChunk) {
    const std::size_t count = std::min(kChunk, rows - first);
    for (std::size_t r = 0; r < count; ++r) {
      inputs[r] = x + static_cast<std::ptrdiff_t>(first + r) * x_stride;
      outputs[r] = y + static_cast<std::ptrdiff_t>(first + r) * y_stride;
    }
    run(inputs.data(), outputs.data(), count);
  }
}

template <class T>
void PackedLinear<T>::run(const T* x, std::ptrdiff_t x_stride, T* y, std::ptrdiff_t y_stride,
                          std::size_t rows, int threads) const {
  const std::size_t operations = std::max<std::size_t>(in() * out(), 1);
  parallel_ranges(rows, kOperationsPerThread / operations + 1, threads,
                  [&](std::size_t begin, std::size_t end) {
                    run(x + static_cast<std::ptrdiff_t>(begin) * x_stride, x_stride,
                        y + static_cast<std::ptrdiff_t>(begin) * y_stride, y_stride, end - begin);
                  });
}

template class PackedLinear<float>;
template class PackedLinear<double>;

}  // namespace sluice
