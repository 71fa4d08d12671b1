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
#include "kernels/partial-inl.h"
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

// tile[row][gate] += sum over k of x[row][k] * w[k][gate], k in order; the last gate's accumulator is vector
// `last`. Few rows are bound by how fast the weights stream, in one sweep that the hardware can prefetch;
// several blocks at once for a single row were not faster (docs/decisions.md).
template <std::size_t kRows, std::size_t kGates, typename T>
HWY_NOINLINE void Accumulate(const T* HWY_RESTRICT w, std::size_t depth, const T* const* x,
                             T* HWY_RESTRICT tile, std::size_t last) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const std::size_t lanes = hn::Lanes(d);
  const auto accumulator = [&](std::size_t row, std::size_t gate) HWY_ATTR {
    return tile + (row * kMaxVectors + (gate + 1 == kGates ? last : gate)) * lanes;
  };
  V acc[kRows][kGates];
  const T* HWY_RESTRICT in[kRows];
#pragma GCC unroll 8
  for (std::size_t r = 0; r < kRows; ++r) {
    in[r] = x[r];
#pragma GCC unroll 4
    for (std::size_t g = 0; g < kGates; ++g) acc[r][g] = hn::Load(d, accumulator(r, g));
  }
  for (std::size_t k = 0; k < depth; ++k) {
    V weights[kGates];
#pragma GCC unroll 4
    for (std::size_t g = 0; g < kGates; ++g) weights[g] = hn::Load(d, w + g * lanes);
#pragma GCC unroll 8
    for (std::size_t r = 0; r < kRows; ++r) {
      const V value = hn::Set(d, in[r][k]);
#pragma GCC unroll 4
      for (std::size_t g = 0; g < kGates; ++g) acc[r][g] = hn::MulAdd(value, weights[g], acc[r][g]);
    }
    w += kGates * lanes;
  }
#pragma GCC unroll 8
  for (std::size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (std::size_t g = 0; g < kGates; ++g) hn::Store(acc[r][g], d, accumulator(r, g));
  }
}

template <typename T>
using AccumulateFunction = void (*)(const T*, std::size_t, const T* const*, T*, std::size_t);

// [rows - 1][gates - 1]
template <typename T, std::size_t... kRows>
constexpr std::array<std::array<AccumulateFunction<T>, kMaxVectors>, sizeof...(kRows)> AccumulateFunctions(
    std::index_sequence<kRows...>) {
  return {{{&Accumulate<kRows + 1, 1, T>, &Accumulate<kRows + 1, 2, T>, &Accumulate<kRows + 1, 3, T>,
            &Accumulate<kRows + 1, 4, T>}...}};
}
template <typename T>
constexpr auto kAccumulate = AccumulateFunctions<T>(std::make_index_sequence<kTileRows>());

// A tile in work: up to kTileRows rows of one block.
template <typename T>
class Tile {
 public:
  explicit Tile(const PackedMatrix<T>& w) : w_(w) {}

  void Place(std::size_t block, std::size_t rows) {
    block_ = block;
    rows_ = rows;
  }
  std::size_t block() const { return block_; }
  std::size_t rows() const { return rows_; }
  T* Vectors(std::size_t row) { return data_ + row * kMaxVectors * lanes_; }

  // Adds the columns [first, first + depth) of the matrix times x[row]; the last gate goes to vector `last`.
  void Add(std::size_t first, std::size_t depth, const T* const* x, std::size_t last) {
    const std::size_t column = block_ * (w_.input_size + w_.state_size) + first;
    kAccumulate<T>[rows_ - 1][w_.gates - 1](w_.weights + column * w_.gates * lanes_, depth, x, data_, last);
  }

 private:
  const PackedMatrix<T>& w_;
  const std::size_t lanes_ = hn::Lanes(hn::ScalableTag<T>());
  std::size_t block_ = 0, rows_ = 0;
  HWY_ALIGN T data_[kTileRows * kMaxVectors * HWY_LANES(T)];
};

// Calls visit(tile, first row) for all tiles of blocks [begin, end) x rows [0, count). Rows are shared out
// evenly, so that no tile is much smaller than the others.
template <typename T, class Visit>
void ForEachTile(const PackedMatrix<T>& w, std::size_t count, std::size_t begin, std::size_t end,
                 const Visit& visit) {
  Tile<T> tile(w);
  for (std::size_t block = begin; block < end; ++block) {
    std::size_t tiles = (count + kTileRows - 1) / kTileRows;
    for (std::size_t first = 0; first < count; --tiles) {
      const std::size_t rows = (count - first + tiles - 1) / tiles;
      tile.Place(block, rows);
      visit(tile, first);
      first += rows;
    }
  }
}

// The last block's vectors may hold less than a vector of units: these move at most `n` of them.
template <class D, typename T>
hn::Vec<D> LoadUnits(D d, const T* p, std::size_t n) {
  return HWY_LIKELY(n >= hn::Lanes(d)) ? hn::LoadU(d, p) : LoadPart(d, p, n);
}
template <class D, typename T>
void StoreUnits(D d, hn::Vec<D> v, T* p, std::size_t n) {
  if (HWY_LIKELY(n >= hn::Lanes(d))) {
    hn::StoreU(v, d, p);
  } else {
    StorePart(v, d, p, n);
  }
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
void StartWithInput(const PackedMatrix<T>& w, Tile<T>& tile, const T* const* x) {
  const std::size_t size = w.gates * hn::Lanes(hn::ScalableTag<T>());
  for (std::size_t r = 0; r < tile.rows(); ++r) {
    CopyVectors(w.bias + tile.block() * size, tile.Vectors(r), w.gates);
  }
  tile.Add(0, w.input_size, x, w.gates - 1);
}

template <typename T>
void InputPart(const PackedMatrix<T>& w, const T* const* x, T* const* pre_out, std::size_t rows,
               std::size_t begin, std::size_t end) {
  const std::size_t size = w.gates * hn::Lanes(hn::ScalableTag<T>());
  ForEachTile(w, rows, begin, end, [&](Tile<T>& tile, std::size_t first) HWY_ATTR {
    StartWithInput(w, tile, x + first);
    for (std::size_t r = 0; r < tile.rows(); ++r) {
      CopyVectors(tile.Vectors(r), pre_out[first + r] + tile.block() * size, w.gates);
    }
  });
}

// A plain matrix has several neighbouring vectors of units a block: finish(d, v, unit, n) takes each, with
// `n` units (and perhaps more than a vector) left from `unit` on.
template <typename T, class Finish>
void ForEachVector(const PackedMatrix<T>& w, const T* vectors, std::size_t block, const Finish& finish) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t unit = block * w.gates * lanes;
  for (std::size_t v = 0; v < w.gates && unit < w.units; ++v, unit += lanes) {
    finish(d, hn::Load(d, vectors + v * lanes), unit, w.units - unit);
  }
}

template <typename T>
void LinearRows(const PackedMatrix<T>& w, const T* const* x, T* const* y, std::size_t rows, std::size_t begin,
                std::size_t end) {
  ForEachTile(w, rows, begin, end, [&](Tile<T>& tile, std::size_t first) HWY_ATTR {
    StartWithInput(w, tile, x + first);
    for (std::size_t r = 0; r < tile.rows(); ++r) {
      ForEachVector(w, tile.Vectors(r), tile.block(),
                    [&](auto d, auto v, std::size_t unit, std::size_t n)
                        HWY_ATTR { StoreUnits(d, v, y[first + r] + unit, n); });
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

template <typename T>
struct RnnTanhStep {
  static constexpr bool kHasStatePart = false;
  static void Finish(const PackedMatrix<T>& w, const T* pre, const Row<T>& row, std::size_t block) {
    ForEachVector(w, pre, block, [&](auto d, auto v, std::size_t unit, std::size_t n) HWY_ATTR {
      StoreUnits(d, Tanh(d, v), row.h_out + unit, n);
    });
  }
};

template <typename T>
struct RnnReluStep {
  static constexpr bool kHasStatePart = false;
  static void Finish(const PackedMatrix<T>& w, const T* pre, const Row<T>& row, std::size_t block) {
    ForEachVector(w, pre, block, [&](auto d, auto v, std::size_t unit, std::size_t n) HWY_ATTR {
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
    ForEachVector(w, pre, block, [&](auto d, auto v, std::size_t unit, std::size_t n) HWY_ATTR {
      const auto z = LoadUnits(d, row.c + unit, n);
      const auto h = LoadUnits(d, row.h_out + unit, n);
      const auto kept = hn::Mul(hn::Sub(hn::Set(d, T{1}), z), Tanh(d, v));
      StoreUnits(d, hn::MulAdd(z, h, kept), row.h_out + unit, n);
    });
  }
};

// One time step of all rows for the units of blocks [begin, end). All rows of a call have x, or all have pre.
template <class Cell, typename T>
void Step(const PackedMatrix<T>& w, const Row<T>* rows, std::size_t count, std::size_t begin,
          std::size_t end) {
  const std::size_t lanes = hn::Lanes(hn::ScalableTag<T>());
  const std::size_t size = w.gates * lanes;
  ForEachTile(w, count, begin, end, [&](Tile<T>& tile, std::size_t first) HWY_ATTR {
    const Row<T>* tile_rows = rows + first;
    const T* states[kTileRows];
    for (std::size_t r = 0; r < tile.rows(); ++r) states[r] = tile_rows[r].h;
    if (tile_rows[0].x != nullptr) {
      const T* inputs[kTileRows];
      for (std::size_t r = 0; r < tile.rows(); ++r) inputs[r] = tile_rows[r].x;
      StartWithInput(w, tile, inputs);
    } else {
      for (std::size_t r = 0; r < tile.rows(); ++r) {
        CopyVectors(tile_rows[r].pre + tile.block() * size, tile.Vectors(r), w.gates);
      }
    }
    if constexpr (Cell::kHasStatePart) {
      for (std::size_t r = 0; r < tile.rows(); ++r) {
        CopyVectors(w.state_bias + tile.block() * lanes, tile.Vectors(r) + size, 1);
      }
    }
    tile.Add(w.input_size, w.state_size, states, w.gates - (Cell::kHasStatePart ? 0 : 1));
    for (std::size_t r = 0; r < tile.rows(); ++r) {
      Cell::Finish(w, tile.Vectors(r), tile_rows[r], tile.block());
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
