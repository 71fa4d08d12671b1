// SPDX-License-Identifier: Apache-2.0
// The packed products and the cells' steps on them, for one element type: included by packed_gemm_f32.cc and
// packed_gemm_f64.cc. packed_gemm.h has the layouts.
//
// A tile is (rows of the batch) x (all gates of one block of units), accumulated in registers over a range of
// k and kept between ranges in a scratch tile in L1:
//     tile[row][vector][lane]    vector = gate; for a GRU a fourth has U h of the candidate
// so a step is: tile = bias (or the input part made in advance); tile += W x; tile += U h; gates. Each output
// is one chain of fused multiply-adds in order of k, whatever the tile, the range or the lane count.
//
// No arrays of scalable vectors: on SVE machines the NEON target runs.

#if defined(SLUICE_KERNELS_PACKED_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_KERNELS_PACKED_GEMM_INL_H_
#undef SLUICE_KERNELS_PACKED_GEMM_INL_H_
#else
#define SLUICE_KERNELS_PACKED_GEMM_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "kernels/cell_gates-inl.h"
#include "kernels/gate_math-inl.h"
#include "kernels/packed_gemm.h"
#include "kernels/target.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Registers decide the tile: rows x 4 gates of accumulators, 4 vectors of weights, and one broadcast fit in
// 32 registers with 6 rows (24 + 4 + 1), in 16 with 3 (weights then come from memory operands).
#if HWY_TARGET == HWY_AVX3 || HWY_ARCH_ARM_A64
constexpr std::size_t kTileRows = 6;
#else
constexpr std::size_t kTileRows = 3;
#endif
constexpr std::size_t kMaxVectors = 4;  // of a row of the tile
// One row alone takes several blocks at once, to have enough independent chains: FMA latency (4) x ports (2).
constexpr std::size_t kSingleRowBlocks = 2;

// acc[row][gate] += sum over k of x[row][k] * w[k][gate], k in order. `blocks` many blocks, whose weights are
// `block_stride` apart, lie side by side in each row of the tile (`row_stride` elements); the last gate's
// accumulator is vector `last`.
template <std::size_t kRows, std::size_t kGates, std::size_t kBlocks, typename T>
HWY_NOINLINE void Accumulate(const T* HWY_RESTRICT w, std::size_t block_stride, std::size_t depth,
                             const T* const* x, T* HWY_RESTRICT tile, std::size_t row_stride,
                             std::size_t last) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const std::size_t lanes = hn::Lanes(d);
  constexpr std::size_t kVectors = kGates * kBlocks;
  V acc[kRows][kVectors];
  const T* HWY_RESTRICT in[kRows];
  const auto offset = [&](std::size_t v) HWY_ATTR {
    const std::size_t gate = v % kGates;
    const std::size_t block = v / kGates;
    return block * kMaxVectors * lanes + (gate + 1 == kGates ? last : gate) * lanes;
  };
#pragma GCC unroll 8
  for (std::size_t r = 0; r < kRows; ++r) {
    in[r] = x[r];
#pragma GCC unroll 16
    for (std::size_t v = 0; v < kVectors; ++v) acc[r][v] = hn::Load(d, tile + r * row_stride + offset(v));
  }
  for (std::size_t k = 0; k < depth; ++k) {
    V weights[kVectors];
#pragma GCC unroll 16
    for (std::size_t v = 0; v < kVectors; ++v) {
      weights[v] = hn::Load(d, w + (v / kGates) * block_stride + (v % kGates) * lanes);
    }
#pragma GCC unroll 8
    for (std::size_t r = 0; r < kRows; ++r) {
      const V value = hn::Set(d, in[r][k]);
#pragma GCC unroll 16
      for (std::size_t v = 0; v < kVectors; ++v) acc[r][v] = hn::MulAdd(value, weights[v], acc[r][v]);
    }
    w += kGates * lanes;
  }
#pragma GCC unroll 8
  for (std::size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (std::size_t v = 0; v < kVectors; ++v) hn::Store(acc[r][v], d, tile + r * row_stride + offset(v));
  }
}

template <typename T>
using AccumulateFunction = void (*)(const T*, std::size_t, std::size_t, const T* const*, T*, std::size_t,
                                    std::size_t);

// [rows - 1][gates - 1]
template <typename T, std::size_t kBlocks, std::size_t... kRows>
constexpr std::array<std::array<AccumulateFunction<T>, kMaxVectors>, sizeof...(kRows)> AccumulateFunctions(
    std::index_sequence<kRows...>) {
  return {{{&Accumulate<kRows + 1, 1, kBlocks, T>, &Accumulate<kRows + 1, 2, kBlocks, T>,
            &Accumulate<kRows + 1, 3, kBlocks, T>, &Accumulate<kRows + 1, 4, kBlocks, T>}...}};
}
template <typename T>
constexpr auto kAccumulate = AccumulateFunctions<T, 1>(std::make_index_sequence<kTileRows>());
template <typename T>
constexpr auto kAccumulateSingleRow = AccumulateFunctions<T, kSingleRowBlocks>(std::make_index_sequence<1>());

// A tile in work: up to kTileRows rows of one block, or one row of up to kSingleRowBlocks blocks.
template <typename T>
class Tile {
 public:
  explicit Tile(const PackedMatrix<T>& w)
      : w_(w), block_stride_((w.input_size + w.state_size) * w.gates * lanes_) {}

  void Place(std::size_t block, std::size_t blocks, std::size_t rows) {
    block_ = block;
    blocks_ = blocks;
    rows_ = rows;
  }
  // One row's vectors of the i-th block of this tile.
  T* Vectors(std::size_t row, std::size_t i) {
    return data_ + (row * row_blocks() + i) * kMaxVectors * lanes_;
  }

  // Adds the columns [first, first + depth) of the matrix times x[row]; the last gate goes to vector `last`.
  void Add(std::size_t first, std::size_t depth, const T* const* x, std::size_t last) {
    const T* weights = w_.weights + block_ * block_stride_ + first * w_.gates * lanes_;
    const auto function =
        blocks_ > 1 ? kAccumulateSingleRow<T>[0][w_.gates - 1] : kAccumulate<T>[rows_ - 1][w_.gates - 1];
    function(weights, block_stride_, depth, x, data_, row_blocks() * kMaxVectors * lanes_, last);
  }

 private:
  std::size_t row_blocks() const { return rows_ == 1 ? kSingleRowBlocks : 1; }

  const PackedMatrix<T>& w_;
  const std::size_t lanes_ = hn::Lanes(hn::ScalableTag<T>());
  const std::size_t block_stride_;
  std::size_t block_ = 0, blocks_ = 0, rows_ = 0;
  HWY_ALIGN T data_[std::max(kTileRows, kSingleRowBlocks) * kMaxVectors * HWY_LANES(T)];
};

// Calls visit(tile, block, blocks, first row, rows) for all tiles of blocks [begin, end) x rows [0, count).
// Rows are shared out evenly, so that no tile is much smaller than the others.
template <typename T, class Visit>
void ForEachTile(const PackedMatrix<T>& w, std::size_t count, std::size_t begin, std::size_t end,
                 const Visit& visit) {
  Tile<T> tile(w);
  if (count == 1) {
    for (std::size_t block = begin; block < end; block += kSingleRowBlocks) {
      const std::size_t blocks = std::min(kSingleRowBlocks, end - block);
      tile.Place(block, blocks, 1);
      visit(tile, block, blocks, 0, 1);
    }
    return;
  }
  for (std::size_t block = begin; block < end; ++block) {
    std::size_t tiles = (count + kTileRows - 1) / kTileRows;
    for (std::size_t first = 0; first < count; --tiles) {
      const std::size_t rows = (count - first + tiles - 1) / tiles;
      tile.Place(block, 1, rows);
      visit(tile, block, 1, first, rows);
      first += rows;
    }
  }
}

// The last block's vectors may hold less than a vector of units: these move `n` of them.
template <class D, typename T>
hn::Vec<D> LoadUnits(D d, const T* p, std::size_t n) {
  if (HWY_LIKELY(n >= hn::Lanes(d))) return hn::LoadU(d, p);
  HWY_ALIGN T buffer[HWY_LANES(T)] = {};
  std::copy_n(p, n, buffer);
  return hn::Load(d, buffer);
}
template <class D, typename T>
void StoreUnits(D d, hn::Vec<D> v, T* p, std::size_t n) {
  if (HWY_LIKELY(n >= hn::Lanes(d))) {
    hn::StoreU(v, d, p);
    return;
  }
  HWY_ALIGN T buffer[HWY_LANES(T)];
  hn::Store(v, d, buffer);
  std::copy_n(buffer, n, p);
}

template <typename T>
void CopyVectors(const T* from, T* to, std::size_t vectors) {
  const hn::ScalableTag<T> d;
  for (std::size_t v = 0; v < vectors; ++v) {
    hn::Store(hn::LoadU(d, from + v * hn::Lanes(d)), d, to + v * hn::Lanes(d));
  }
}

// bias + W x of one tile, for all its rows.
template <typename T>
void AddInput(const PackedMatrix<T>& w, Tile<T>& tile, std::size_t block, std::size_t blocks,
              const T* const* x, std::size_t rows) {
  const std::size_t vectors = w.gates * hn::Lanes(hn::ScalableTag<T>());
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t i = 0; i < blocks; ++i) {
      CopyVectors(w.bias + (block + i) * vectors, tile.Vectors(r, i), w.gates);
    }
  }
  tile.Add(0, w.input_size, x, w.gates - 1);
}

template <typename T>
void InputPart(const PackedMatrix<T>& w, const T* const* x, T* const* pre_out, std::size_t rows,
               std::size_t begin, std::size_t end) {
  const std::size_t vectors = w.gates * hn::Lanes(hn::ScalableTag<T>());
  ForEachTile(w, rows, begin, end,
              [&](Tile<T>& tile, std::size_t block, std::size_t blocks, std::size_t first, std::size_t count)
                  HWY_ATTR {
                    AddInput(w, tile, block, blocks, x + first, count);
                    for (std::size_t r = 0; r < count; ++r) {
                      for (std::size_t i = 0; i < blocks; ++i) {
                        CopyVectors(tile.Vectors(r, i), pre_out[first + r] + (block + i) * vectors, w.gates);
                      }
                    }
                  });
}

template <typename T>
void LinearRows(const PackedMatrix<T>& w, const T* const* x, T* const* y, std::size_t rows, std::size_t begin,
                std::size_t end) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  ForEachTile(w, rows, begin, end,
              [&](Tile<T>& tile, std::size_t block, std::size_t blocks, std::size_t first,
                  std::size_t count) HWY_ATTR {
                AddInput(w, tile, block, blocks, x + first, count);
                for (std::size_t r = 0; r < count; ++r) {
                  for (std::size_t i = 0; i < blocks; ++i) {
                    std::size_t unit = (block + i) * w.gates * lanes;
                    const T* vectors = tile.Vectors(r, i);
                    for (std::size_t v = 0; v < w.gates && unit < w.units; ++v, unit += lanes) {
                      StoreUnits(d, hn::Load(d, vectors + v * lanes), y[first + r] + unit, w.units - unit);
                    }
                  }
                }
              });
}

// The cells: what follows when a row's vectors of one block are complete. `unit` is the block's first.

template <typename T>
struct LstmStep {
  static constexpr bool kHasStatePart = false;
  static void Finish(const PackedMatrix<T>& w, const T* pre, const Row<T>& row, std::size_t block) {
    const hn::ScalableTag<T> d;
    const std::size_t lanes = hn::Lanes(d);
    const std::size_t unit = block * lanes;
    const std::size_t n = w.units - unit;
    auto c = LoadUnits(d, row.c + unit, n);
    auto h = hn::Zero(d);
    LstmUpdate(d, hn::Load(d, pre), hn::Load(d, pre + lanes), hn::Load(d, pre + 2 * lanes),
               hn::Load(d, pre + 3 * lanes), c, c, h);
    StoreUnits(d, c, row.c_out + unit, n);
    StoreUnits(d, h, row.h_out + unit, n);
  }
};

template <typename T>
struct GruStep {
  static constexpr bool kHasStatePart = true;
  static void Finish(const PackedMatrix<T>& w, const T* pre, const Row<T>& row, std::size_t block) {
    const hn::ScalableTag<T> d;
    const std::size_t lanes = hn::Lanes(d);
    const std::size_t unit = block * lanes;
    const std::size_t n = w.units - unit;
    auto h = LoadUnits(d, row.h + unit, n);
    GruUpdate(d, hn::Load(d, pre), hn::Load(d, pre + lanes), hn::Load(d, pre + 2 * lanes),
              hn::Load(d, pre + 3 * lanes), h, h);
    StoreUnits(d, h, row.h_out + unit, n);
  }
};

// A plain matrix has several neighbouring vectors of units a block: finish(d, pre, unit, n) makes each.
template <typename T, class FinishVector>
void FinishPlain(const PackedMatrix<T>& w, const T* pre, std::size_t block, const FinishVector& finish) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t unit = block * w.gates * lanes;
  for (std::size_t v = 0; v < w.gates && unit < w.units; ++v, unit += lanes) {
    finish(d, hn::Load(d, pre + v * lanes), unit, w.units - unit);
  }
}

template <typename T>
struct RnnTanhStep {
  static constexpr bool kHasStatePart = false;
  static void Finish(const PackedMatrix<T>& w, const T* pre, const Row<T>& row, std::size_t block) {
    FinishPlain(w, pre, block, [&](auto d, auto v, std::size_t unit, std::size_t n) HWY_ATTR {
      StoreUnits(d, Tanh(d, v), row.h_out + unit, n);
    });
  }
};

template <typename T>
struct RnnReluStep {
  static constexpr bool kHasStatePart = false;
  static void Finish(const PackedMatrix<T>& w, const T* pre, const Row<T>& row, std::size_t block) {
    FinishPlain(w, pre, block, [&](auto d, auto v, std::size_t unit, std::size_t n) HWY_ATTR {
      StoreUnits(d, Relu(d, v), row.h_out + unit, n);
    });
  }
};

// Reset before the product, first half: h_out = r * h, c_out = z.
template <typename T>
struct GruBeforeGatesStep {
  static constexpr bool kHasStatePart = false;
  static void Finish(const PackedMatrix<T>& w, const T* pre, const Row<T>& row, std::size_t block) {
    const hn::ScalableTag<T> d;
    const std::size_t lanes = hn::Lanes(d);
    const std::size_t unit = block * lanes;
    const std::size_t n = w.units - unit;
    const auto r = Sigmoid(d, hn::Load(d, pre));
    StoreUnits(d, hn::Mul(r, LoadUnits(d, row.h + unit, n)), row.h_out + unit, n);
    StoreUnits(d, Sigmoid(d, hn::Load(d, pre + lanes)), row.c_out + unit, n);
  }
};

// Second half: n = tanh(...), h' = z * h + (1 - z) * n, with z in c and h in h_out.
template <typename T>
struct GruBeforeCandidateStep {
  static constexpr bool kHasStatePart = false;
  static void Finish(const PackedMatrix<T>& w, const T* pre, const Row<T>& row, std::size_t block) {
    FinishPlain(w, pre, block, [&](auto d, auto v, std::size_t unit, std::size_t n) HWY_ATTR {
      const auto z = LoadUnits(d, row.c + unit, n);
      const auto h = LoadUnits(d, row.h_out + unit, n);
      const auto kept = hn::Mul(hn::Sub(hn::Set(d, T{1}), z), Tanh(d, v));
      StoreUnits(d, hn::MulAdd(z, h, kept), row.h_out + unit, n);
    });
  }
};

// One time step of all rows for the units of blocks [begin, end).
template <class Cell, typename T>
void Step(const PackedMatrix<T>& w, const Row<T>* rows, std::size_t count, std::size_t begin,
          std::size_t end) {
  const std::size_t lanes = hn::Lanes(hn::ScalableTag<T>());
  const std::size_t vectors = w.gates * lanes;
  ForEachTile(w, count, begin, end,
              [&](Tile<T>& tile, std::size_t block, std::size_t blocks, std::size_t first,
                  std::size_t tile_rows) HWY_ATTR {
                const T* inputs[kTileRows];
                const T* states[kTileRows];
                for (std::size_t r = 0; r < tile_rows; ++r) {
                  inputs[r] = rows[first + r].x;
                  states[r] = rows[first + r].h;
                }
                if (rows[first].x != nullptr) {
                  AddInput(w, tile, block, blocks, inputs, tile_rows);
                } else {
                  for (std::size_t r = 0; r < tile_rows; ++r) {
                    for (std::size_t i = 0; i < blocks; ++i) {
                      CopyVectors(rows[first + r].pre + (block + i) * vectors, tile.Vectors(r, i), w.gates);
                    }
                  }
                }
                if constexpr (Cell::kHasStatePart) {
                  for (std::size_t r = 0; r < tile_rows; ++r) {
                    for (std::size_t i = 0; i < blocks; ++i) {
                      CopyVectors(w.state_bias + (block + i) * lanes, tile.Vectors(r, i) + vectors, 1);
                    }
                  }
                }
                tile.Add(w.input_size, w.state_size, states, w.gates - (Cell::kHasStatePart ? 0 : 1));
                for (std::size_t r = 0; r < tile_rows; ++r) {
                  for (std::size_t i = 0; i < blocks; ++i) {
                    Cell::Finish(w, tile.Vectors(r, i), rows[first + r], block + i);
                  }
                }
              });
}

template <typename T>
const PackedGemm<T>* Table() {
  static const PackedGemm<T> table{
      .target = target_name(HWY_TARGET),
      .lanes = hn::Lanes(hn::ScalableTag<T>()),
      .tile_rows = kTileRows,
      .input_part = &InputPart<T>,
      .linear = &LinearRows<T>,
      .lstm_step = &Step<LstmStep<T>, T>,
      .gru_step = &Step<GruStep<T>, T>,
      .rnn_tanh_step = &Step<RnnTanhStep<T>, T>,
      .rnn_relu_step = &Step<RnnReluStep<T>, T>,
      .gru_before_gates_step = &Step<GruBeforeGatesStep<T>, T>,
      .gru_before_candidate_step = &Step<GruBeforeCandidateStep<T>, T>,
  };
  return &table;
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels
HWY_AFTER_NAMESPACE();

#endif  // SLUICE_KERNELS_PACKED_GEMM_INL_H_
