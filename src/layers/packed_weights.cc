// SPDX-License-Identifier: Apache-2.0
#include "layers/packed_weights.h"

#include <algorithm>

#include "core/check.h"
#include "core/threads.h"
#include "kernels/transpose.h"

namespace sluice {
namespace {

template <class T>
T sum_of(TensorView<const T> a, TensorView<const T> b, std::size_t i) {
  return (a ? a(i) : T{0}) + (b ? b(i) : T{0});
}

// A matrix of `units` units, with memory for all blocks, all biases zero. Vectors of a block hold consecutive
// units, or the gates of the same ones.
template <class T>
PackedWeights<T> make(std::size_t gates, std::size_t units, std::size_t units_per_block,
                      std::size_t input_size, std::size_t state_size) {
  PackedWeights<T> packed;
  packed.kernels = &kernels::packed_gemm<T>();
  const std::size_t lanes = packed.kernels->lanes;
  kernels::PackedMatrix<T>& matrix = packed.matrix;
  matrix.gates = gates;
  matrix.units = units;
  matrix.blocks = (units + units_per_block - 1) / units_per_block;
  matrix.input_size = input_size;
  matrix.state_size = state_size;
  packed.weights =
      Tensor<T>::uninitialized({matrix.blocks * (matrix.input_size + matrix.state_size), gates, lanes});
  packed.bias = Tensor<T>({matrix.blocks, gates, lanes});
  matrix.weights = packed.weights.data();
  matrix.state_weights = matrix.weights + matrix.blocks * matrix.input_size * gates * lanes;
  matrix.bias = packed.bias.data();
  return packed;
}

// Packs rows [first, first + count) of a source as the lanes of one vector of a block: `to` is the vector's
// place at k = 0, and it comes again every `step` elements. Lanes past the last row become zero.
template <class T>
void pack_vector(TensorView<const T> from, std::size_t first, std::size_t count, T* to, std::size_t step,
                 std::size_t lanes) {
  const std::size_t columns = from.dim(1);
  const T* source = from.data() + static_cast<std::ptrdiff_t>(first) * from.stride(0);
  if (count < lanes) {
    for (std::size_t k = 0; k < columns; ++k) std::fill_n(to + k * step + count, lanes - count, T{0});
  }
  if (from.stride(1) == 1) {
    kernels::transpose_kernel<T>()(source, from.stride(0), to, static_cast<std::ptrdiff_t>(step), count,
                                   columns);
    return;
  }
  for (std::size_t k = 0; k < columns; ++k, source += from.stride(1)) {
    if (from.stride(0) == 1) {  // a transposed matrix
      std::copy_n(source, count, to + k * step);
      continue;
    }
    for (std::size_t i = 0; i < count; ++i) {
      to[k * step + i] = source[static_cast<std::ptrdiff_t>(i) * from.stride(0)];
    }
  }
}

// Packs rows [first, first + count) of w and u as vector `gate` of block `block`.
template <class T>
void pack_vectors(PackedWeights<T>& packed, std::size_t block, std::size_t gate, std::size_t first,
                  std::size_t count, TensorView<const T> w, TensorView<const T> u) {
  const kernels::PackedMatrix<T>& matrix = packed.matrix;
  const std::size_t lanes = packed.kernels->lanes;
  const std::size_t step = matrix.gates * lanes;
  T* to = packed.weights.data() + gate * lanes;
  pack_vector(w, first, count, to + block * matrix.input_size * step, step, lanes);
  to += matrix.blocks * matrix.input_size * step;
  if (u) pack_vector(u, first, count, to + block * matrix.state_size * step, step, lanes);
}

// Blocks that are worth a thread of their own: about a millisecond's.
template <class T>
std::size_t blocks_per_thread(const kernels::PackedMatrix<T>& matrix, std::size_t lanes) {
  constexpr std::size_t kElements = std::size_t{1} << 20;
  return kElements /
             std::max<std::size_t>((matrix.input_size + matrix.state_size) * matrix.gates * lanes, 1) +
         1;
}

}  // namespace

template <class T>
PackedWeights<T> pack_gates(std::size_t gates, TensorView<const T> w, TensorView<const T> u,
                            TensorView<const T> bias_ih, TensorView<const T> bias_hh, bool keep_state_bias) {
  SLUICE_DCHECK(w.rank() == 2 && w.dim(0) % gates == 0 && (!u || u.dim(0) == w.dim(0)));
  const std::size_t lanes = kernels::packed_gemm<T>().lanes;
  const std::size_t units = w.dim(0) / gates;
  PackedWeights<T> packed = make<T>(gates, units, lanes, w.dim(1), u ? u.dim(1) : 0);
  if (keep_state_bias) {
    packed.state_bias = Tensor<T>({packed.matrix.blocks, lanes});
    packed.matrix.state_bias = packed.state_bias.data();
  }
  parallel_ranges(packed.matrix.blocks, blocks_per_thread(packed.matrix, lanes), 0,
                  [&](std::size_t begin, std::size_t end) {
                    for (std::size_t block = begin; block < end; ++block) {
                      const std::size_t first = block * lanes;
                      for (std::size_t gate = 0; gate < gates; ++gate) {
                        pack_vectors(packed, block, gate, gate * units + first,
                                     std::min(lanes, units - first), w, u);
                      }
                    }
                  });
  for (std::size_t unit = 0; unit < units; ++unit) {
    const std::size_t block = unit / lanes;
    const std::size_t lane = unit % lanes;
    for (std::size_t gate = 0; gate < gates; ++gate) {
      const std::size_t row = gate * units + unit;
      const bool apart = keep_state_bias && gate + 1 == gates;
      packed.bias(block, gate, lane) = sum_of(bias_ih, apart ? TensorView<const T>() : bias_hh, row);
      if (apart && bias_hh) packed.state_bias(block, lane) = bias_hh(row);
    }
  }
  return packed;
}

template <class T>
PackedWeights<T> pack_plain(TensorView<const T> w, TensorView<const T> u, TensorView<const T> bias,
                            TensorView<const T> bias_hh) {
  SLUICE_DCHECK(w.rank() == 2 && (!u || u.dim(0) == w.dim(0)));
  const std::size_t lanes = kernels::packed_gemm<T>().lanes;
  const std::size_t units = w.dim(0);
  const std::size_t depth = w.dim(1), state_depth = u ? u.dim(1) : 0;
  const std::size_t vectors = plain_vectors<T>(units, depth + state_depth, lanes);
  PackedWeights<T> packed = make<T>(vectors, units, vectors * lanes, depth, state_depth);
  parallel_ranges(packed.matrix.blocks, blocks_per_thread(packed.matrix, lanes), 0,
                  [&](std::size_t begin, std::size_t end) {
                    for (std::size_t i = begin * vectors; i < end * vectors; ++i) {
                      // Past the last unit: a vector of zeros.
                      const std::size_t first = std::min(i * lanes, units);
                      pack_vectors(packed, i / vectors, i % vectors, first, std::min(lanes, units - first), w,
                                   u);
                    }
                  });
  for (std::size_t unit = 0; unit < units; ++unit) {
    packed.bias(unit / (vectors * lanes), unit / lanes % vectors, unit % lanes) = sum_of(bias, bias_hh, unit);
  }
  return packed;
}

template <class T>
PackedWeights<T> pack_sums(std::size_t vectors, std::span<const TensorView<const T>> weights,
                           std::span<const TensorView<const T>> biases) {
  const std::size_t lanes = kernels::packed_gemm<T>().lanes;
  const std::size_t units = weights[0].dim(0), depth = weights[0].dim(1), width = vectors * lanes;
  PackedWeights<T> packed = make<T>(weights.size() * vectors, units, width, depth, 0);
  const std::size_t gates = packed.matrix.gates;
  const auto pack_block = [&](std::size_t block) {
    for (std::size_t sum = 0; sum < weights.size(); ++sum) {
      const TensorView<const T> w = weights[sum];
      const std::size_t first = block * width, count = std::min(width, units - first);
      if (w.stride(0) == 1) {  // a transposed matrix: a column's units lie side by side
        T* to = packed.weights.data() + (block * depth * gates + sum * vectors) * lanes;
        for (std::size_t k = 0; k < depth; ++k, to += gates * lanes) {
          std::copy_n(&w(first, k), count, to);
          std::fill_n(to + count, width - count, T{0});
        }
        continue;
      }
      for (std::size_t v = 0; v < vectors; ++v) {
        const std::size_t unit = std::min(first + v * lanes, units);
        pack_vectors<T>(packed, block, sum * vectors + v, unit, std::min(lanes, units - unit), w, {});
      }
    }
  };
  parallel_ranges(packed.matrix.blocks, blocks_per_thread(packed.matrix, lanes), 0,
                  [&](std::size_t begin, std::size_t end) {
                    for (std::size_t block = begin; block < end; ++block) pack_block(block);
                  });
  for (std::size_t sum = 0; sum < biases.size(); ++sum) {
    for (std::size_t unit = 0; unit < units && biases[sum]; ++unit) {
      packed.bias(unit / width, sum * vectors + unit % width / lanes, unit % lanes) = biases[sum](unit);
    }
  }
  return packed;
}

template <class T>
PackedWeights<T> pack_transposed(TensorView<const T> w, std::span<const std::size_t> order) {
  SLUICE_DCHECK(w.rank() == 2 && w.stride(1) == 1);
  const std::size_t lanes = kernels::packed_gemm<T>().lanes;
  const std::size_t units = w.dim(1), depth = order.size();
  const std::size_t vectors = plain_vectors<T>(units, depth, lanes);
  const std::size_t width = vectors * lanes;
  PackedWeights<T> packed = make<T>(vectors, units, width, depth, 0);
  parallel_ranges(packed.matrix.blocks, blocks_per_thread(packed.matrix, lanes), 0,
                  [&](std::size_t begin, std::size_t end) {
                    for (std::size_t block = begin; block < end; ++block) {
                      T* to = packed.weights.data() + block * depth * width;
                      const std::size_t first = block * width, count = std::min(width, units - first);
                      for (const std::size_t row : order) {
                        const std::size_t copied = row == kNoRow ? 0 : count;
                        if (copied > 0) std::copy_n(&w(row, first), copied, to);
                        std::fill_n(to + copied, width - copied, T{0});
                        to += width;
                      }
                    }
                  });
  return packed;
}

template PackedWeights<float> pack_transposed(TensorView<const float>, std::span<const std::size_t>);
template PackedWeights<double> pack_transposed(TensorView<const double>, std::span<const std::size_t>);
template PackedWeights<float> pack_sums(std::size_t, std::span<const TensorView<const float>>,
                                        std::span<const TensorView<const float>>);
template PackedWeights<double> pack_sums(std::size_t, std::span<const TensorView<const double>>,
                                         std::span<const TensorView<const double>>);
template PackedWeights<float> pack_gates(std::size_t, TensorView<const float>, TensorView<const float>,
                                         TensorView<const float>, TensorView<const float>, bool);
template PackedWeights<double> pack_gates(std::size_t, TensorView<const double>, TensorView<const double>,
                                          TensorView<const double>, TensorView<const double>, bool);
template PackedWeights<float> pack_plain(TensorView<const float>, TensorView<const float>,
                                         TensorView<const float>, TensorView<const float>);
template PackedWeights<double> pack_plain(TensorView<const double>, TensorView<const double>,
                                          TensorView<const double>, TensorView<const double>);

}  // namespace sluice
