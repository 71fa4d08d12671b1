// SPDX-License-Identifier: Apache-2.0
#include "layers/packed_weights.h"

#include <algorithm>

#include "core/check.h"

namespace sluice {
namespace {

template <class T>
T sum_of(TensorView<const T> a, TensorView<const T> b, std::size_t i) {
  return (a ? a(i) : T{0}) + (b ? b(i) : T{0});
}

// Copies `columns` columns of source row `row` to packed elements `step` apart.
template <class T>
void pack_row(TensorView<const T> from, std::size_t row, T* to, std::size_t step) {
  const T* source = from.data() + static_cast<std::ptrdiff_t>(row) * from.stride(0);
  const std::ptrdiff_t stride = from.stride(1);
  for (std::size_t k = 0; k < from.dim(1); ++k, source += stride, to += step) *to = *source;
}

// An empty matrix of `units` units, with memory for all blocks. Vectors of a block hold `vector_units` many
// consecutive units each, or the gates of the same units.
template <class T>
PackedWeights<T> empty(std::size_t gates, std::size_t units, std::size_t units_per_block,
                       TensorView<const T> w, TensorView<const T> u) {
  PackedWeights<T> packed;
  packed.kernels = &kernels::packed_gemm<T>();
  const std::size_t lanes = packed.kernels->lanes;
  kernels::PackedMatrix<T>& matrix = packed.matrix;
  matrix.gates = gates;
  matrix.units = units;
  matrix.blocks = (units + units_per_block - 1) / units_per_block;
  matrix.input_size = w.dim(1);
  matrix.state_size = u ? u.dim(1) : 0;
  packed.weights = Tensor<T>({matrix.blocks, matrix.input_size + matrix.state_size, gates, lanes});
  packed.bias = Tensor<T>({matrix.blocks, gates, lanes});
  matrix.weights = packed.weights.data();
  matrix.state_weights = matrix.weights + matrix.blocks * matrix.input_size * gates * lanes;
  matrix.bias = packed.bias.data();
  return packed;
}

// Packs source row `row` (of w and u) and its bias as lane `lane` of vector `gate` of block `block`.
template <class T>
void pack_unit(PackedWeights<T>& packed, std::size_t block, std::size_t gate, std::size_t lane,
               std::size_t row, TensorView<const T> w, TensorView<const T> u) {
  const kernels::PackedMatrix<T>& matrix = packed.matrix;
  const std::size_t lanes = packed.kernels->lanes;
  const std::size_t step = matrix.gates * lanes;
  T* to = packed.weights.data() + gate * lanes + lane;
  pack_row(w, row, to + block * matrix.input_size * step, step);
  to += matrix.blocks * matrix.input_size * step;
  if (u) pack_row(u, row, to + block * matrix.state_size * step, step);
}

}  // namespace

template <class T>
PackedWeights<T> pack_gates(std::size_t gates, TensorView<const T> w, TensorView<const T> u,
                            TensorView<const T> bias_ih, TensorView<const T> bias_hh, bool keep_state_bias) {
  SLUICE_DCHECK(w.rank() == 2 && w.dim(0) % gates == 0 && (!u || u.dim(0) == w.dim(0)));
  const std::size_t lanes = kernels::packed_gemm<T>().lanes;
  const std::size_t units = w.dim(0) / gates;
  PackedWeights<T> packed = empty<T>(gates, units, lanes, w, u);
  if (keep_state_bias) {
    packed.state_bias = Tensor<T>({packed.matrix.blocks, lanes});
    packed.matrix.state_bias = packed.state_bias.data();
  }
  for (std::size_t unit = 0; unit < units; ++unit) {
    const std::size_t block = unit / lanes;
    const std::size_t lane = unit % lanes;
    for (std::size_t gate = 0; gate < gates; ++gate) {
      const std::size_t row = gate * units + unit;
      const bool apart = keep_state_bias && gate + 1 == gates;
      pack_unit(packed, block, gate, lane, row, w, u);
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
  // Four vectors a block run best; fewer where they would be empty.
  const std::size_t vectors = std::clamp<std::size_t>((units + lanes - 1) / lanes, 1, 4);
  PackedWeights<T> packed = empty<T>(vectors, units, vectors * lanes, w, u);
  for (std::size_t unit = 0; unit < units; ++unit) {
    const std::size_t block = unit / (vectors * lanes);
    const std::size_t vector = unit / lanes % vectors;
    const std::size_t lane = unit % lanes;
    pack_unit(packed, block, vector, lane, unit, w, u);
    packed.bias(block, vector, lane) = sum_of(bias, bias_hh, unit);
  }
  return packed;
}

template PackedWeights<float> pack_gates(std::size_t, TensorView<const float>, TensorView<const float>,
                                         TensorView<const float>, TensorView<const float>, bool);
template PackedWeights<double> pack_gates(std::size_t, TensorView<const double>, TensorView<const double>,
                                          TensorView<const double>, TensorView<const double>, bool);
template PackedWeights<float> pack_plain(TensorView<const float>, TensorView<const float>,
                                         TensorView<const float>, TensorView<const float>);
template PackedWeights<double> pack_plain(TensorView<const double>, TensorView<const double>,
                                          TensorView<const double>, TensorView<const double>);

}  // namespace sluice
