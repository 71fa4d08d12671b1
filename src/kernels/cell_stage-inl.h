// SPDX-License-Identifier: Apache-2.0
// The stages of cells of one's own (cell_stage.h), for one element type: included by cell_stage_f32.cc and
// cell_stage_f64.cc.
//
// A tile is some rows by one block of units, or by several where the rows are few: an entry is a row of a
// block. Each entry has its slots in L1,
//     memory[entry][slot][vector][lane]
// Products take the tile's rows in groups, as many as registers take; an instruction goes over the vectors of
// all entries. So what it costs to look at an instruction is shared
// by a tile.

#if defined(SLUICE_KERNELS_CELL_STAGE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_KERNELS_CELL_STAGE_INL_H_
#undef SLUICE_KERNELS_CELL_STAGE_INL_H_
#else
#define SLUICE_KERNELS_CELL_STAGE_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include "kernels/cell_stage.h"
#include "kernels/gate_math-inl.h"
#include "kernels/packed_products-inl.h"
#include "kernels/several-inl.h"
#include "kernels/target.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Of all entries' slots: 24 KiB at most, so that L1 has room for operands too.
constexpr std::size_t kMaxTileVectors = 384;
static_assert(kMaxSlots * kMaxVectors <= kMaxTileVectors);
constexpr std::size_t kMaxEntries = 32;

template <typename T>
std::size_t MostEntries(const CellStage<T>& stage) {
  return std::min(kMaxEntries, kMaxTileVectors / (stage.slots * stage.vectors));
}

// Of `whole`, what the first `parts` of `all` parts have, as evenly as can be.
constexpr std::size_t Share(std::size_t whole, std::size_t parts, std::size_t all) {
  return (whole * parts + all - 1) / all;
}

// A tile in work.
template <typename T>
class StageTile {
 public:
  // `groups`: how many share the work on a block.
  StageTile(const CellStage<T>& stage, bool has_pre, std::size_t groups)
      : stage_(stage), has_pre_(has_pre), all_groups_(groups) {
    bool is_begun[kMaxSlots];
    for (std::size_t s = 0; s < stage.sums; ++s) {
      pre_[s] = begun_[s] = nullptr;
      is_begun[s] = false;
    }
    for (std::size_t p = 0; p < stage.product_count; ++p) {
      const StageProduct<T>& product = stage.products[p];
      if (!IsMade(product)) continue;
      for (std::size_t s = product.first_slot; s < End(product); ++s) pre_[s] = &product;
    }
    for (std::size_t p = 0; p < stage.product_count; ++p) {
      const StageProduct<T>& product = stage.products[p];
      if (IsMade(product)) continue;
      const std::size_t begin = product.first_slot, end = End(product);
      bool begins = true;
      for (std::size_t s = begin; s < end; ++s) begins &= !is_begun[s] && pre_[s] == pre_[begin];
      if (begins) begun_[begin] = &product;
      for (std::size_t s = begin; s < end; ++s) {
        if (!begins && !is_begun[s]) copied_[copied_count_++] = s;
        is_begun[s] = true;
      }
    }
    for (std::size_t s = 0; s < stage.sums; ++s) {
      if (!is_begun[s]) copied_[copied_count_++] = s;
    }
  }

  // Blocks [block, block + blocks). The products fetch those of the block `distance` blocks away, unless 0.
  void SetBlocks(std::size_t block, std::size_t blocks, bool is_downward, std::ptrdiff_t distance) {
    block_ = block;
    blocks_ = blocks;
    is_downward_ = is_downward;
    distance_ = distance;
  }
  // Rows [0, count), which are groups [first_group, first_group + groups).
  void SetRows(T* const* const* rows, std::size_t count, std::size_t first_group, std::size_t groups) {
    rows_ = rows;
    count_ = count;
    first_group_ = first_group;
    groups_ = groups;
    for (; entries_ < count * blocks_; ++entries_) {
      for (std::size_t v = 0; v < stage_.vectors; ++v)
        at_[entries_ * stage_.vectors + v] = Slots(0, entries_) + v * lanes_;
    }
    vectors_ = count * blocks_ * stage_.vectors;
  }

  // Fetches what the instructions load, to come while the products run.
  void Fetch() const {
    for (std::size_t i = 0; i < stage_.instruction_count; ++i) {
      const Instruction<T>& in = stage_.instructions[i];
      if (in.op != VectorOp::kLoad) continue;
      const std::size_t first = block_ * slot_size_;
      const std::size_t n = std::min(blocks_ * slot_size_, stage_.units - first);
      for (std::size_t r = 0; r < count_; ++r) FetchRange(rows_[r][in.area] + in.offset, first, n);
    }
  }

  void Multiply() {
    const hn::ScalableTag<T> d;
    for (std::size_t i = 0; i < copied_count_; ++i) {
      const std::size_t slot = copied_[i];
      for (std::size_t b = 0; b < blocks_; ++b) {
        for (std::size_t r = 0; r < count_; ++r) {
          const T* const from = Start(b, r, slot);
          T* const to = Slots(b, r) + slot * slot_size_;
          for (std::size_t j = 0; j < slot_size_; j += lanes_) hn::Store(hn::LoadU(d, from + j), d, to + j);
        }
      }
    }
    for (std::size_t p = 0; p < stage_.product_count; ++p) {
      const StageProduct<T>* const product = &stage_.products[p];
      if (IsMade(*product)) continue;
      // Two that add to the same sums go in one sweep, in which these stay in registers.
      const StageProduct<T>* second = p + 1 < stage_.product_count ? product + 1 : nullptr;
      if (second != nullptr && !IsMade(*second) && second->first_slot == product->first_slot &&
          second->matrix.gates == product->matrix.gates) {
        ++p;
      } else {
        second = nullptr;
      }
      Add(*product, second);
    }
  }

  void Execute(const Instruction<T>& in) {
    const hn::ScalableTag<T> d;
    const V zero = hn::Zero(d), one = hn::Set(d, 1);
    const std::size_t to = in.to * slot_size_, a = in.a * slot_size_, area = in.area, offset = in.offset;
    const T* const data = in.data;
    T* const* const* const rows = rows_;
    switch (in.op) {
      case VectorOp::kLoad:
        return ForEachVector([=](std::size_t row, std::size_t unit, std::size_t n, T* slots) HWY_ATTR {
          const T* const from = rows[row][area] + offset + unit;
          hn::Store(LoadUnits(d, from, n), d, slots + to);
        });
      case VectorOp::kStore:
        return ForEachVector([=](std::size_t row, std::size_t unit, std::size_t n, T* slots) HWY_ATTR {
          StoreUnits(d, hn::Load(d, slots + a), rows[row][area] + offset + unit, n);
        });
      case VectorOp::kBroadcast:
        return ForEachVector([=](std::size_t row, std::size_t, std::size_t, T* slots)
                                 HWY_ATTR { hn::Store(hn::Set(d, rows[row][area][offset]), d, slots + to); });
      case VectorOp::kParameter:
        return ForEachVector([=](std::size_t, std::size_t unit, std::size_t, T* slots)
                                 HWY_ATTR { hn::Store(hn::LoadU(d, data + unit), d, slots + to); });
      case VectorOp::kConstant:
        return Map(in, [value = hn::Set(d, in.value)]() HWY_ATTR { return value; });
      case VectorOp::kAdd:
        return Map(in, [](V a, V b) HWY_ATTR { return hn::Add(a, b); });
      case VectorOp::kSub:
        return Map(in, [](V a, V b) HWY_ATTR { return hn::Sub(a, b); });
      case VectorOp::kMul:
        return Map(in, [](V a, V b) HWY_ATTR { return hn::Mul(a, b); });
      case VectorOp::kDiv:
        return Map(in, [](V a, V b) HWY_ATTR { return hn::Div(a, b); });
      case VectorOp::kNeg:
        return Map(in, [](V a) HWY_ATTR { return hn::Neg(a); });
      case VectorOp::kMax:
        return Map(in, [](V a, V b) HWY_ATTR { return KeepNaN(b, hn::IfThenElse(hn::Lt(a, b), b, a)); });
      case VectorOp::kMin:
        return Map(in, [](V a, V b) HWY_ATTR { return KeepNaN(b, hn::IfThenElse(hn::Lt(b, a), b, a)); });
      case VectorOp::kAbs:
        return Map(in, [](V a) HWY_ATTR { return hn::Abs(a); });
      case VectorOp::kExp:
        return Map(in, [d](V a) HWY_ATTR { return Exp(d, a); });
      case VectorOp::kLog:
        return Map(in, [d](V a) HWY_ATTR { return Log(d, a); });
      case VectorOp::kSqrt:
        return Map(in, [](V a) HWY_ATTR { return hn::Sqrt(a); });
      case VectorOp::kSigmoid:
        return Map(in, [d](V a) HWY_ATTR { return Sigmoid(d, a); });
      case VectorOp::kTanh:
        return MapInStep(
            in, [d](auto a) HWY_ATTR __attribute__((always_inline)) { return Tanh(d, a); });
      case VectorOp::kRelu:
        return Map(in, [d](V a) HWY_ATTR { return Relu(d, a); });
      case VectorOp::kLess:
        return Map(in, [one](V a, V b) HWY_ATTR { return hn::IfThenElseZero(hn::Lt(a, b), one); });
      case VectorOp::kLessEqual:
        return Map(in, [one](V a, V b) HWY_ATTR { return hn::IfThenElseZero(hn::Le(a, b), one); });
      case VectorOp::kSelect:  // not by Ne, which is false of NaN on some targets
        return Map(in, [zero](V a, V b, V c) HWY_ATTR { return hn::IfThenElse(hn::Eq(a, zero), c, b); });
      case VectorOp::kMulAdd:
        return Map(in, [](V a, V b, V c) HWY_ATTR { return hn::MulAdd(a, b, c); });
    }
  }

 private:
  using V = hn::Vec<hn::ScalableTag<T>>;

  // Whether rows have the product in advance.
  bool IsMade(const StageProduct<T>& product) const { return has_pre_ && product.can_be_pre; }

  std::size_t End(const StageProduct<T>& product) const {
    return product.first_slot + product.matrix.gates / stage_.vectors;
  }

  // Slot 0 of a row's entry. A row beyond the last is the first of the next block.
  T* Slots(std::size_t block, std::size_t row) {
    return memory_ + (block * count_ + row) * stage_.slots * slot_size_;
  }
  // What a sum, and those beside it in the same product, begin with: the biases, or what was made in advance.
  const T* Start(std::size_t block, std::size_t row, std::size_t slot) const {
    const StageProduct<T>* const pre = pre_[slot];
    if (pre == nullptr) return stage_.bias + ((block_ + block) * stage_.sums + slot) * slot_size_;
    return rows_[row][pre->pre_area] + pre->pre_offset + (block_ + block) * pre->matrix.gates * lanes_ +
           (slot - pre->first_slot) * slot_size_;
  }

  // Both products, which add to the same slots; `second` may be null.
  void Add(const StageProduct<T>& product, const StageProduct<T>* second) {
    const AccumulateFunctions<T>& functions = kAccumulate<T>[product.matrix.gates - 1];
    const std::size_t gates = product.matrix.gates, slot = product.first_slot;
    const bool begins = begun_[slot] == &product;
    const T* operands[2][kMaxEntries];
    for (std::size_t r = 0; r < count_; ++r) {
      operands[0][r] = rows_[r][product.area] + product.offset;
      if (second != nullptr) operands[1][r] = rows_[r][second->area] + second->offset;
    }
    Products<T> products;
    // The next block's cache lines, one a gate and k, are shared out among the groups.
    const std::size_t lines = distance_ == 0 ? 0 : (gates + all_groups_ - 1) / all_groups_;
    // One row of one block has too few sums for the latency of a multiply-add to be hidden.
    const std::size_t most_at_once = count_ == 1 ? 2 : 1;
    std::size_t at_once;
    for (std::size_t done = 0; done < blocks_; done += at_once) {
      at_once = std::min(blocks_ - done, most_at_once);
      const std::size_t b = is_downward_ ? blocks_ - done - at_once : done;
      std::size_t first = 0;
      for (std::size_t g = 0; g < groups_; ++g) {
        const std::size_t rows = Share(count_ - first, 1, groups_ - g);
        for (std::size_t e = 0; e < rows * at_once; ++e) {
          const std::size_t entry_block = at_once == 2 ? b + e : b, row = at_once == 2 ? 0 : first + e;
          products.out[e] = Slots(entry_block, row) + slot * slot_size_;
          products.start[e] = begins ? Start(entry_block, row, slot) : products.out[e];
        }
        const std::size_t line = std::min((first_group_ + g) * lines, gates);
        products.input = MakePart(product, b, operands[0] + first, line);
        if (second != nullptr) products.state = MakePart(*second, b, operands[1] + first, line);
        (at_once == 2 ? functions.two_blocks
                      : functions.rows[rows - 1][std::min(lines, gates - line)])(products);
        first += rows;
      }
    }
  }
  typename Products<T>::Part MakePart(const StageProduct<T>& product, std::size_t block,
                                      const T* const* operands, std::size_t line) const {
    const PackedMatrix<T>& w = product.matrix;
    const std::size_t stride = w.input_size * w.gates * lanes_;
    const T* const weights = w.weights + (block_ + block) * stride;
    const T* const ahead = weights + distance_ * static_cast<std::ptrdiff_t>(stride) + line * lanes_;
    return {.weights = weights, .depth = w.input_size, .rows = operands, .ahead = ahead};
  }

  // Each takes all vectors through one instruction. What does not change is in local variables, since a store
  // of a vector could be, for all that the compiler knows, to a member.

  // visit(row, first unit, how many there are from there on, slot 0).
  template <class Visit>
  HWY_INLINE void ForEachVector(const Visit visit) {
    const std::size_t count = count_, vectors = blocks_ * stage_.vectors,
                      entry_size = stage_.slots * slot_size_;
    std::size_t unit = block_ * slot_size_;
    for (std::size_t i = 0; i < vectors; ++i, unit += lanes_) {
      T* slots = Slots(i / stage_.vectors, 0) + i % stage_.vectors * lanes_;
      const std::size_t n = unit < stage_.units ? stage_.units - unit : 0;
      for (std::size_t r = 0; r < count; ++r, slots += entry_size) visit(r, unit, n, slots);
    }
  }
  template <class Formula>
  HWY_INLINE void Map(const Instruction<T>& in, const Formula formula) {
    const hn::ScalableTag<T> d;
    const std::size_t n = vectors_, to = in.to * slot_size_;
    const std::size_t a = in.a * slot_size_, b = in.b * slot_size_, c = in.c * slot_size_;
    for (std::size_t i = 0; i < n; ++i) {
      T* const at = at_[i];
      V value;
      if constexpr (std::is_invocable_v<Formula>) {
        value = formula();
      } else if constexpr (std::is_invocable_v<Formula, V>) {
        value = formula(hn::Load(d, at + a));
      } else if constexpr (std::is_invocable_v<Formula, V, V>) {
        value = formula(hn::Load(d, at + a), hn::Load(d, at + b));
      } else {
        value = formula(hn::Load(d, at + a), hn::Load(d, at + b), hn::Load(d, at + c));
      }
      hn::Store(value, d, at + to);
    }
  }
  // Measured: of the long formulas only tanh gains by it, 12 %; sigmoid and exp lose 10 % and more.
  template <class Formula>
  HWY_INLINE void MapInStep(const Instruction<T>& in, const Formula formula) {
    const hn::ScalableTag<T> d;
    const std::size_t n = vectors_, to = in.to * slot_size_, a = in.a * slot_size_;
    std::size_t i = 0;
    for (; kInStep > 1 && i + kInStep <= n; i += kInStep) {
      Several<V, kInStep> v;
#pragma GCC unroll 8
      for (std::size_t k = 0; k < kInStep; ++k) v.v[k] = hn::Load(d, at_[i + k] + a);
      v = formula(v);
#pragma GCC unroll 8
      for (std::size_t k = 0; k < kInStep; ++k) hn::Store(v.v[k], d, at_[i + k] + to);
    }
    for (; i < n; ++i) hn::Store(formula(hn::Load(d, at_[i] + a)), d, at_[i] + to);
  }
  // `other`, or NaN where x is.
  static HWY_INLINE V KeepNaN(V x, V other) { return hn::IfThenElse(hn::IsNaN(x), x, other); }

  const CellStage<T>& stage_;
  const std::size_t lanes_ = hn::Lanes(hn::ScalableTag<T>());
  const std::size_t slot_size_ = stage_.vectors * lanes_;
  const bool has_pre_;
  const std::size_t all_groups_;
  // Of each slot: the product that was made in advance, or null; the product that takes it, and those beside
  // it, from its start, or null; and the slots that are copied from there.
  const StageProduct<T>* pre_[kMaxSlots];
  const StageProduct<T>* begun_[kMaxSlots];
  std::size_t copied_[kMaxSlots];
  std::size_t copied_count_ = 0;

  T* const* const* rows_ = nullptr;
  std::size_t count_ = 0, first_group_ = 0, groups_ = 0, block_ = 0, blocks_ = 0;
  bool is_downward_ = false;
  std::ptrdiff_t distance_ = 0;
  std::size_t vectors_ = 0;           // of all entries
  T* at_[kMaxEntries * kMaxVectors];  // where each has slot 0: known of `entries_` entries
  std::size_t entries_ = 0;
  HWY_ALIGN T memory_[kMaxTileVectors * HWY_LANES(T)];
};

template <typename T>
void RunStage(const CellStage<T>& stage, T* const* const* rows, std::size_t count, BlockSweep sweep,
              bool has_pre) {
  const std::size_t most_entries = MostEntries(stage);
  std::size_t group_rows = most_entries, weights = 0;
  for (std::size_t p = 0; p < stage.product_count; ++p) {
    const PackedMatrix<T>& w = stage.products[p].matrix;
    group_rows = std::min(group_rows, TileRows(w.gates));
    weights += w.gates * w.input_size * stage.blocks * hn::Lanes(hn::ScalableTag<T>());
  }
  const std::size_t groups = (count + group_rows - 1) / group_rows;
  const std::size_t most_groups = most_entries / group_rows;
  const std::size_t tiles = (groups + most_groups - 1) / most_groups;
  const std::size_t most_blocks = groups == 1 ? most_entries / count : 1;
  const bool fetches = weights * sizeof(T) > kFarBytes && groups > 1;
  StageTile<T> tile(stage, has_pre, groups);
  const std::size_t blocks = sweep.end - sweep.begin;
  std::size_t now;
  for (std::size_t done = 0; done < blocks; done += now) {
    now = std::min(most_blocks, blocks - done);
    const std::size_t block = sweep.is_downward ? sweep.end - done - now : sweep.begin + done;
    tile.SetBlocks(block, now, sweep.is_downward,
                   !fetches || done + now == blocks ? 0
                   : sweep.is_downward              ? -1
                                                    : 1);
    std::size_t first = 0, first_group = 0;
    for (std::size_t i = 0; i < tiles; ++i) {
      const std::size_t tile_groups = Share(groups - first_group, 1, tiles - i);
      const std::size_t tile_count = Share(count - first, tile_groups, groups - first_group);
      tile.SetRows(rows + first, tile_count, first_group, tile_groups);
      tile.Fetch();
      tile.Multiply();
      for (std::size_t j = 0; j < stage.instruction_count; ++j) tile.Execute(stage.instructions[j]);
      first += tile_count;
      first_group += tile_groups;
    }
  }
}

template <typename T>
const CellStages<T>* CellStageTable() {
  static const CellStages<T> table{
      .target = target_name(HWY_TARGET),
      .lanes = hn::Lanes(hn::ScalableTag<T>()),
      .run = &RunStage<T>,
  };
  return &table;
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels
HWY_AFTER_NAMESPACE();

#endif  // SLUICE_KERNELS_CELL_STAGE_INL_H_
