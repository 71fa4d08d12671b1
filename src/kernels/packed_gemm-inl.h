// SPDX-License-Identifier: Apache-2.0
// The packed products and the cells' steps on them, for one element type: included by packed_gemm_f32.cc and
// packed_gemm_f64.cc. packed_gemm.h has the layouts.
//
// A tile is (rows of the batch) x (all gates of one block of units), or one row x two blocks. Its sums begin
// at the bias (or the input part made in advance), stay in registers over W x and U h, and go to memory in
// L1,
//     tile[entry][vector][lane]    vector = gate; for a GRU a fourth has U h of the candidate
// from where the gates take them. Each output is one chain of fused multiply-adds in order of k, whatever the
// tile or the lane count.

#if defined(SLUICE_KERNELS_PACKED_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_KERNELS_PACKED_GEMM_INL_H_
#undef SLUICE_KERNELS_PACKED_GEMM_INL_H_
#else
#define SLUICE_KERNELS_PACKED_GEMM_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>

#include "kernels/cell_gates-inl.h"
#include "kernels/gate_math-inl.h"
#include "kernels/packed_gemm.h"
#include "kernels/packed_products-inl.h"
#include "kernels/target.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A tile in work. Its entries are up to TileRows(gates) rows of one block, or two blocks of one row.
template <typename T>
class Tile {
 public:
  explicit Tile(const PackedMatrix<T>& w) : w_(w) {}

  // Entries: rows [row, row + rows) of blocks [block, block + blocks); one of the counts is 1.
  void Place(std::size_t block, std::size_t blocks, std::size_t row, std::size_t rows) {
    block_ = block;
    blocks_ = blocks;
    row_ = row;
    rows_ = rows;
    fetch_ = 0;
    products_.input = products_.state = {};
    products_.keeps_last_apart = false;
  }
  // The products also fetch `lines` cache lines a k, from line `first` on, of the block `distance` blocks
  // away.
  void Fetch(std::size_t lines, std::size_t first, std::ptrdiff_t distance) {
    fetch_ = lines;
    fetch_first_ = first;
    fetch_distance_ = distance;
  }

  std::size_t entries() const { return rows_ * blocks_; }
  std::size_t rows() const { return rows_; }
  std::size_t first_row() const { return row_; }
  std::size_t row(std::size_t entry) const { return blocks_ == 1 ? row_ + entry : row_; }
  std::size_t block(std::size_t entry) const { return blocks_ == 1 ? block_ : block_ + entry; }
  // An entry's vectors in the tile's own memory.
  T* Vectors(std::size_t entry) { return data_ + entry * kMaxVectors * lanes_; }

  // The sums of an entry begin with `start` and end in `out`, both [gate][lane].
  void SetSums(std::size_t entry, const T* start, T* out) {
    products_.start[entry] = start;
    products_.out[entry] = out;
  }
  // W x[row] is added.
  void SetInput(const T* const* x) { products_.input = MakePart(w_.weights, w_.input_size, x); }
  // U h[row] is added.
  void SetState(const T* const* h) { products_.state = MakePart(w_.state_weights, w_.state_size, h); }
  // The last gate of U h is a sum of its own, one vector farther, which begins with its bias.
  void KeepLastApart() {
    products_.keeps_last_apart = true;
    for (std::size_t e = 0; e < entries(); ++e) products_.state_start[e] = w_.state_bias + block(e) * lanes_;
  }
  void Multiply() {
    const AccumulateFunctions<T>& functions = kAccumulate<T>[w_.gates - 1];
    (blocks_ == 2 ? functions.two_blocks : functions.rows[rows_ - 1][fetch_])(products_);
  }

 private:
  typename Products<T>::Part MakePart(const T* weights, std::size_t depth, const T* const* rows) const {
    const std::size_t stride = depth * w_.gates * lanes_;
    const T* w = weights + block_ * stride;
    const T* ahead = w + fetch_distance_ * static_cast<std::ptrdiff_t>(stride) + fetch_first_ * lanes_;
    return {.weights = w, .depth = depth, .rows = rows, .ahead = ahead};
  }

  const PackedMatrix<T>& w_;
  const std::size_t lanes_ = hn::Lanes(hn::ScalableTag<T>());
  std::size_t block_ = 0, blocks_ = 0, row_ = 0, rows_ = 0;
  std::size_t fetch_ = 0, fetch_first_ = 0;
  std::ptrdiff_t fetch_distance_ = 0;
  Products<T> products_;
  HWY_ALIGN T data_[kMaxTileRows * kMaxVectors * HWY_LANES(T)];
};

// Calls visit(tile) for all tiles of rows [0, count) x the blocks of the sweep. Rows are shared out evenly,
// so that no tile is much smaller than the others.
template <typename T, class Visit>
void ForEachTile(const PackedMatrix<T>& w, std::size_t count, BlockSweep sweep, const Visit& visit) {
  const std::size_t column_bytes = w.blocks * w.gates * hn::Lanes(hn::ScalableTag<T>()) * sizeof(T);
  const bool are_far = column_bytes * (w.input_size + w.state_size) > kFarBytes;
  const std::size_t tile_rows = TileRows(w.gates);
  const std::size_t tiles = (count + tile_rows - 1) / tile_rows;
  const std::size_t blocks = sweep.end - sweep.begin;
  Tile<T> tile(w);
  std::size_t done = 0;
  // First of the n blocks that come next.
  const auto next = [&](std::size_t n) {
    return sweep.is_downward ? sweep.end - done - n : sweep.begin + done;
  };
  if (count == 1) {
    // One row of one block has too few sums for the latency of a multiply-add to be hidden.
    for (; done + 2 <= blocks; done += 2) {
      tile.Place(next(2), 2, 0, 1);
      visit(tile);
    }
  }
  for (; done < blocks; ++done) {
    const std::size_t block = next(1);
    // The next block's cache lines, one a gate and k, are shared out among this block's tiles. A single tile
    // streams, and the hardware does it.
    const bool fetches = are_far && tiles > 1 && done + 1 < blocks;
    const std::size_t lines = fetches ? (w.gates + tiles - 1) / tiles : 0;
    std::size_t first = 0;
    for (std::size_t i = 0; i < tiles; ++i) {
      const std::size_t rows = (count - first + tiles - i - 1) / (tiles - i);
      tile.Place(block, 1, first, rows);
      if (i * lines < w.gates) {
        tile.Fetch(std::min(lines, w.gates - i * lines), i * lines, sweep.is_downward ? -1 : 1);
      }
      visit(tile);
      first += rows;
    }
  }
}

template <typename T>
void InputPart(const PackedMatrix<T>& w, const T* const* x, T* const* pre_out, std::size_t rows,
               BlockSweep sweep) {
  const std::size_t size = w.gates * hn::Lanes(hn::ScalableTag<T>());
  ForEachTile(w, rows, sweep, [&](Tile<T>& tile) HWY_ATTR {
    for (std::size_t e = 0; e < tile.entries(); ++e) {
      const std::size_t at = tile.block(e) * size;
      tile.SetSums(e, w.bias + at, pre_out[tile.row(e)] + w.pre_offset + at);
    }
    tile.SetInput(x + tile.first_row());
    tile.Multiply();
  });
}

template <typename T>
void AddProduct(const PackedMatrix<T>& w, const T* const* x, T* const* sums, std::size_t rows,
                BlockSweep sweep) {
  const std::size_t size = w.gates * hn::Lanes(hn::ScalableTag<T>());
  ForEachTile(w, rows, sweep, [&](Tile<T>& tile) HWY_ATTR {
    for (std::size_t e = 0; e < tile.entries(); ++e) {
      T* const sum = sums[tile.row(e)] + tile.block(e) * size;
      tile.SetSums(e, sum, sum);
    }
    tile.SetInput(x + tile.first_row());
    tile.Multiply();
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
void LinearRows(const PackedMatrix<T>& w, const T* const* x, T* const* y, std::size_t rows,
                BlockSweep sweep) {
  const std::size_t size = w.gates * hn::Lanes(hn::ScalableTag<T>());
  ForEachTile(w, rows, sweep, [&](Tile<T>& tile) HWY_ATTR {
    for (std::size_t e = 0; e < tile.entries(); ++e) {
      tile.SetSums(e, w.bias + tile.block(e) * size, tile.Vectors(e));
    }
    tile.SetInput(x + tile.first_row());
    tile.Multiply();
    for (std::size_t e = 0; e < tile.entries(); ++e) {
      ForEachVector(w, tile.Vectors(e), tile.block(e),
                    [&](auto d, auto v, std::size_t unit, std::size_t n)
                        HWY_ATTR { StoreUnits(d, v, y[tile.row(e)] + unit, n); });
    }
  });
}

// The cells: what follows when an entry's vectors are complete. `unit` is the block's first. Where
// kHasOutput, all entries of a tile run Finish, and then all run Output on what that left in their vectors.
// U takes h, or r h where kTakesReset.

template <typename T>
struct LstmStep {
  static constexpr std::size_t kKept = 4;
  static constexpr bool kTakesReset = false;
  static constexpr bool kHasStatePart = false;
  static constexpr bool kHasOutput = true;
  static void Finish(const PackedMatrix<T>& w, T* pre, const Row<T>& row, std::size_t block) {
    const hn::ScalableTag<T> d;
    const std::size_t lanes = hn::Lanes(d);
    const std::size_t unit = block * lanes;
    const std::size_t n = w.units - unit;
    auto i = hn::Load(d, pre);
    auto f = hn::Load(d, pre + lanes);
    auto g = hn::Load(d, pre + 2 * lanes);
    auto o = hn::Load(d, pre + 3 * lanes);
    const auto c = LstmCellState(d, i, f, g, o, LoadUnits(d, row.c + unit, n));
    StoreUnits(d, c, row.c_out + unit, n);
    if (row.kept != nullptr) {
      T* const kept = row.kept + 4 * unit;
      hn::StoreU(i, d, kept);
      hn::StoreU(f, d, kept + lanes);
      hn::StoreU(g, d, kept + 2 * lanes);
      hn::StoreU(o, d, kept + 3 * lanes);
    }
    hn::Store(c, d, pre);
    hn::Store(o, d, pre + lanes);
  }
  static void Output(const PackedMatrix<T>& w, const T* pre, const Row<T>& row, std::size_t block) {
    const hn::ScalableTag<T> d;
    const std::size_t unit = block * hn::Lanes(d);
    const auto h = LstmOutput(d, hn::Load(d, pre + hn::Lanes(d)), hn::Load(d, pre));
    StoreUnits(d, h, row.h_out + unit, w.units - unit);
  }
};

template <typename T>
struct GruStep {
  static constexpr std::size_t kKept = 4;
  static constexpr bool kTakesReset = false;
  static constexpr bool kHasStatePart = true;
  static constexpr bool kHasOutput = true;
  static void Finish(const PackedMatrix<T>&, T* pre, const Row<T>& row, std::size_t block) {
    const hn::ScalableTag<T> d;
    const std::size_t lanes = hn::Lanes(d);
    auto r = hn::Load(d, pre);
    auto z = hn::Load(d, pre + lanes);
    const auto n_h = hn::Load(d, pre + 3 * lanes);
    const auto n = GruCandidate(d, r, z, hn::Load(d, pre + 2 * lanes), n_h);
    if (row.kept != nullptr) {
      T* const kept = row.kept + 4 * block * lanes;
      hn::StoreU(r, d, kept);
      hn::StoreU(z, d, kept + lanes);
      hn::StoreU(n_h, d, kept + 3 * lanes);
    }
    hn::Store(n, d, pre);
    hn::Store(z, d, pre + lanes);
  }
  static void Output(const PackedMatrix<T>& w, const T* pre, const Row<T>& row, std::size_t block) {
    const hn::ScalableTag<T> d;
    const std::size_t unit = block * hn::Lanes(d);
    const std::size_t n = w.units - unit;
    auto candidate = hn::Load(d, pre);
    const auto h = GruOutput(d, hn::Load(d, pre + hn::Lanes(d)), candidate, LoadUnits(d, row.h + unit, n));
    StoreUnits(d, h, row.h_out + unit, n);
    if (row.kept != nullptr) hn::StoreU(candidate, d, row.kept + 4 * unit + 2 * hn::Lanes(d));
  }
};

template <typename T>
struct RnnTanhStep {
  static constexpr std::size_t kKept = 0;
  static constexpr bool kTakesReset = false;
  static constexpr bool kHasStatePart = false;
  static constexpr bool kHasOutput = false;
  static void Finish(const PackedMatrix<T>& w, const T* pre, const Row<T>& row, std::size_t block) {
    ForEachVector(w, pre, block, [&](auto d, auto v, std::size_t unit, std::size_t n) HWY_ATTR {
      StoreUnits(d, Tanh(d, v), row.h_out + unit, n);
    });
  }
};

template <typename T>
struct RnnReluStep {
  static constexpr std::size_t kKept = 0;
  static constexpr bool kTakesReset = false;
  static constexpr bool kHasStatePart = false;
  static constexpr bool kHasOutput = false;
  static void Finish(const PackedMatrix<T>& w, const T* pre, const Row<T>& row, std::size_t block) {
    ForEachVector(w, pre, block, [&](auto d, auto v, std::size_t unit, std::size_t n) HWY_ATTR {
      StoreUnits(d, Relu(d, v), row.h_out + unit, n);
    });
  }
};

// Reset before the product, first half: c_out = r * h, h_out = z.
template <typename T>
struct GruBeforeGatesStep {
  static constexpr std::size_t kKept = 3;
  static constexpr bool kTakesReset = false;
  static constexpr bool kHasStatePart = false;
  static constexpr bool kHasOutput = false;
  static void Finish(const PackedMatrix<T>& w, const T* pre, const Row<T>& row, std::size_t block) {
    const hn::ScalableTag<T> d;
    const std::size_t lanes = hn::Lanes(d);
    const std::size_t unit = block * lanes;
    const std::size_t n = w.units - unit;
    const auto r = Sigmoid(d, hn::Load(d, pre));
    const auto z = Sigmoid(d, hn::Load(d, pre + lanes));
    StoreUnits(d, hn::Mul(r, LoadUnits(d, row.h + unit, n)), row.c_out + unit, n);
    StoreUnits(d, z, row.h_out + unit, n);
    if (row.kept != nullptr) {
      hn::StoreU(r, d, row.kept + 3 * unit);
      hn::StoreU(z, d, row.kept + 3 * unit + lanes);
    }
  }
};

// Second half: n = tanh(...), h' = z * h + (1 - z) * n.
template <typename T>
struct GruBeforeCandidateStep {
  static constexpr std::size_t kKept = 0;
  static constexpr bool kTakesReset = true;
  static constexpr bool kHasStatePart = false;
  static constexpr bool kHasOutput = false;
  static void Finish(const PackedMatrix<T>& w, const T* pre, const Row<T>& row, std::size_t block) {
    ForEachVector(w, pre, block, [&](auto d, auto v, std::size_t unit, std::size_t n) HWY_ATTR {
      const auto z = LoadUnits(d, row.h_out + unit, n);
      const auto h = LoadUnits(d, row.h + unit, n);
      const auto candidate = Tanh(d, v);
      const auto update = hn::Mul(hn::Sub(hn::Set(d, T{1}), z), candidate);
      StoreUnits(d, hn::MulAdd(z, h, update), row.h_out + unit, n);
      if (row.kept != nullptr) hn::StoreU(candidate, d, row.kept + 3 * unit + 2 * hn::Lanes(d));
    });
  }
};

// One time step of all rows for the units of the sweep's blocks. All rows of a call have x, or all have pre.
template <class Cell, typename T>
void Step(const PackedMatrix<T>& w, const Row<T>* rows, std::size_t count, BlockSweep sweep) {
  const std::size_t lanes = hn::Lanes(hn::ScalableTag<T>());
  const std::size_t size = w.gates * lanes;
  ForEachTile(w, count, sweep, [&](Tile<T>& tile) HWY_ATTR {
    const Row<T>* tile_rows = rows + tile.first_row();
    const T* inputs[kMaxTileRows];
    const T* states[kMaxTileRows];
    for (std::size_t r = 0; r < tile.rows(); ++r) {
      inputs[r] = tile_rows[r].x;
      states[r] = Cell::kTakesReset ? tile_rows[r].c_out : tile_rows[r].h;
    }
    const bool has_pre = tile_rows[0].x == nullptr;
    for (std::size_t e = 0; e < tile.entries(); ++e) {
      const T* start = has_pre ? rows[tile.row(e)].pre + w.pre_offset : w.bias;
      tile.SetSums(e, start + tile.block(e) * size, tile.Vectors(e));
    }
    if (!has_pre) tile.SetInput(inputs);
    tile.SetState(states);
    if (Cell::kHasStatePart) tile.KeepLastApart();
    for (std::size_t e = 0; e < tile.entries(); ++e) {
      FetchRange(rows[tile.row(e)].kept, tile.block(e) * Cell::kKept * lanes, Cell::kKept * lanes);
    }
    tile.Multiply();
    for (std::size_t e = 0; e < tile.entries(); ++e) {
      Cell::Finish(w, tile.Vectors(e), rows[tile.row(e)], tile.block(e));
    }
    if constexpr (Cell::kHasOutput) {
      for (std::size_t e = 0; e < tile.entries(); ++e) {
        Cell::Output(w, tile.Vectors(e), rows[tile.row(e)], tile.block(e));
      }
    }
  });
}

// The way back: what follows when a vector of W later is complete. `unit` is the vector's first, with `n`
// units left; what is kept and what is written are whole vectors, zero past the last unit, since the
// gradients are.

struct LstmBackwardStep {
  static constexpr std::size_t kKept = 4, kPre = 4, kPreX = 0;
  template <class D, class V, typename T>
  static HWY_INLINE void Finish(D d, V grad_h, const BackwardRow<T>& row, std::size_t unit, std::size_t n) {
    const std::size_t lanes = hn::Lanes(d);
    const T* const kept = row.kept + 4 * unit;
    V i = hn::LoadU(d, kept);
    V f = hn::LoadU(d, kept + lanes);
    V g = hn::LoadU(d, kept + 2 * lanes);
    V o = hn::LoadU(d, kept + 3 * lanes);
    V grad_c = LoadUnits(d, row.carry + unit, n);
    LstmBackward(d, i, f, g, o, LoadUnits(d, row.before + unit, n), LoadUnits(d, row.state + unit, n), grad_h,
                 grad_c);
    StoreUnits(d, grad_c, row.carry + unit, n);
    T* const pre = row.pre + 4 * unit;
    hn::StoreU(i, d, pre);
    hn::StoreU(f, d, pre + lanes);
    hn::StoreU(g, d, pre + 2 * lanes);
    hn::StoreU(o, d, pre + 3 * lanes);
  }
};

struct GruBackwardStep {
  static constexpr std::size_t kKept = 4, kPre = 3, kPreX = 3;
  template <class D, class V, typename T>
  static HWY_INLINE void Finish(D d, V grad, const BackwardRow<T>& row, std::size_t unit, std::size_t n) {
    const std::size_t lanes = hn::Lanes(d);
    const T* const kept = row.kept + 4 * unit;
    V r = hn::LoadU(d, kept);
    V z = hn::LoadU(d, kept + lanes);
    V candidate = hn::LoadU(d, kept + 2 * lanes);
    const V grad_h = hn::Add(grad, LoadUnits(d, row.carry + unit, n));
    const V carry = GruOutputBackward(d, z, candidate, LoadUnits(d, row.before + unit, n), grad_h);
    StoreUnits(d, carry, row.carry + unit, n);
    const V grad_n_h = GruCandidateBackward(d, r, hn::LoadU(d, kept + 3 * lanes), candidate);
    for (T* const pre : {row.pre + 3 * unit, row.pre_x + 3 * unit}) {
      hn::StoreU(r, d, pre);
      hn::StoreU(z, d, pre + lanes);
    }
    hn::StoreU(grad_n_h, d, row.pre + 3 * unit + 2 * lanes);
    hn::StoreU(candidate, d, row.pre_x + 3 * unit + 2 * lanes);
  }
};

struct RnnTanhBackwardStep {
  static constexpr std::size_t kKept = 0, kPre = 1, kPreX = 0;
  template <class D, class V, typename T>
  static HWY_INLINE void Finish(D d, V grad_h, const BackwardRow<T>& row, std::size_t unit, std::size_t n) {
    hn::StoreU(TanhBackward(d, LoadUnits(d, row.state + unit, n), grad_h), d, row.pre + unit);
  }
};

// PyTorch's choice at 0: no gradient.
struct RnnReluBackwardStep {
  static constexpr std::size_t kKept = 0, kPre = 1, kPreX = 0;
  template <class D, class V, typename T>
  static HWY_INLINE void Finish(D d, V grad_h, const BackwardRow<T>& row, std::size_t unit, std::size_t n) {
    const auto is_active = hn::Gt(LoadUnits(d, row.state + unit, n), hn::Zero(d));
    hn::StoreU(hn::IfThenElseZero(is_active, grad_h), d, row.pre + unit);
  }
};

struct GruBeforeCandidateBackwardStep {
  static constexpr std::size_t kKept = 3, kPre = 2, kPreX = 1;
  template <class D, class V, typename T>
  static HWY_INLINE void Finish(D d, V grad, const BackwardRow<T>& row, std::size_t unit, std::size_t n) {
    const std::size_t lanes = hn::Lanes(d);
    V z = hn::LoadU(d, row.kept + 3 * unit + lanes);
    V candidate = hn::LoadU(d, row.kept + 3 * unit + 2 * lanes);
    const V grad_h = hn::Add(grad, LoadUnits(d, row.carry + unit, n));
    const V carry = GruOutputBackward(d, z, candidate, LoadUnits(d, row.before + unit, n), grad_h);
    StoreUnits(d, carry, row.carry + unit, n);
    hn::StoreU(z, d, row.pre + 2 * unit + lanes);
    hn::StoreU(candidate, d, row.pre_x + unit);
  }
};

// `grad` is that of r h.
struct GruBeforeGatesBackwardStep {
  static constexpr std::size_t kKept = 3, kPre = 2, kPreX = 0;
  template <class D, class V, typename T>
  static HWY_INLINE void Finish(D d, V grad, const BackwardRow<T>& row, std::size_t unit, std::size_t n) {
    const V r = hn::LoadU(d, row.kept + 3 * unit);
    const V carry = hn::MulAdd(grad, r, LoadUnits(d, row.carry + unit, n));
    StoreUnits(d, carry, row.carry + unit, n);
    const V grad_r = hn::Mul(grad, LoadUnits(d, row.before + unit, n));
    hn::StoreU(SigmoidBackward(d, r, grad_r), d, row.pre + 2 * unit);
  }
};

// One step of the way back of all rows for the units of the sweep's blocks.
template <class Cell, typename T>
void BackwardStep(const PackedMatrix<T>& w, const BackwardRow<T>* rows, std::size_t count, BlockSweep sweep) {
  const std::size_t size = w.gates * hn::Lanes(hn::ScalableTag<T>());
  ForEachTile(w, count, sweep, [&](Tile<T>& tile) HWY_ATTR {
    const T* later[kMaxTileRows];
    for (std::size_t r = 0; r < tile.rows(); ++r) later[r] = rows[tile.first_row() + r].later;
    for (std::size_t e = 0; e < tile.entries(); ++e) {
      tile.SetSums(e, w.bias + tile.block(e) * size, tile.Vectors(e));
    }
    tile.SetInput(later);
    for (std::size_t e = 0; e < tile.entries(); ++e) {
      const BackwardRow<T>& row = rows[tile.row(e)];
      const std::size_t unit = tile.block(e) * size, n = std::min(size, w.units - unit);
      for (const T* p : {row.grad, row.before, row.state}) FetchRange(p, unit, n);
      FetchRange(row.kept, Cell::kKept * unit, Cell::kKept * n);
      FetchRange(row.pre, Cell::kPre * unit, Cell::kPre * n);
      FetchRange(row.pre_x, Cell::kPreX * unit, Cell::kPreX * n);
    }
    tile.Multiply();
    for (std::size_t e = 0; e < tile.entries(); ++e) {
      const BackwardRow<T>& row = rows[tile.row(e)];
      ForEachVector(w, tile.Vectors(e), tile.block(e),
                    [&](auto d, auto v, std::size_t unit, std::size_t n) HWY_ATTR {
                      if (row.grad != nullptr) v = hn::Add(v, LoadUnits(d, row.grad + unit, n));
                      Cell::Finish(d, v, row, unit, n);
                    });
    }
  });
}

template <typename T>
const PackedGemm<T>* Table() {
  static const PackedGemm<T> table{
      .target = target_name(HWY_TARGET),
      .lanes = hn::Lanes(hn::ScalableTag<T>()),
      .tile_rows = {TileRows(1), TileRows(2), TileRows(3), TileRows(4)},
      .input_part = &InputPart<T>,
      .linear = &LinearRows<T>,
      .lstm_step = &Step<LstmStep<T>, T>,
      .gru_step = &Step<GruStep<T>, T>,
      .rnn_tanh_step = &Step<RnnTanhStep<T>, T>,
      .rnn_relu_step = &Step<RnnReluStep<T>, T>,
      .gru_before_gates_step = &Step<GruBeforeGatesStep<T>, T>,
      .gru_before_candidate_step = &Step<GruBeforeCandidateStep<T>, T>,
      .add_product = &AddProduct<T>,
      .lstm_backward = &BackwardStep<LstmBackwardStep, T>,
      .gru_backward = &BackwardStep<GruBackwardStep, T>,
      .rnn_tanh_backward = &BackwardStep<RnnTanhBackwardStep, T>,
      .rnn_relu_backward = &BackwardStep<RnnReluBackwardStep, T>,
      .gru_before_candidate_backward = &BackwardStep<GruBeforeCandidateBackwardStep, T>,
      .gru_before_gates_backward = &BackwardStep<GruBeforeGatesBackwardStep, T>,
  };
  return &table;
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels
HWY_AFTER_NAMESPACE();

#endif  // SLUICE_KERNELS_PACKED_GEMM_INL_H_
