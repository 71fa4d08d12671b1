// SPDX-License-Identifier: Apache-2.0
// A stage of a cell that its user stated: products with packed matrices, and the arithmetic that follows
// while the sums are hot. A stage's program is the same for all rows and units; it runs tile by tile, a tile
// being some rows of one block of units or some blocks of a few rows, and each of its instructions goes over
// the whole tile at once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/packed_gemm.h"

namespace sluice::kernels {

enum class VectorOp : std::uint8_t {
  kLoad,       // to = units of row area `area`, from `offset` on
  kBroadcast,  // to = the one element of row area `area` at `offset`
  kParameter,  // to = units of `data`: the same for all rows; padded with zeros to whole blocks
  kConstant,   // to = `value`
  kStore,      // units of row area `area`, from `offset` on = a; nothing past the last unit is written
  kAdd,
  kSub,
  kMul,
  kDiv,
  kNeg,
  kMax,
  kMin,
  kAbs,
  kExp,
  kLog,
  kSqrt,
  kSigmoid,
  kTanh,
  kRelu,
  kLess,
  kLessEqual,
  kSelect,
  kMulAdd,
};

/// Slots are vectors of a tile's entry.
template <class T>
struct Instruction {
  VectorOp op = VectorOp::kConstant;
  std::uint16_t to = 0;
  std::uint16_t a = 0, b = 0, c = 0;
  std::uint16_t area = 0;
  std::size_t offset = 0;
  T value = 0;
  const T* data = nullptr;
};

/// W, applied to a part of a row: added to slots [first_slot, first_slot + sums).
template <class T>
struct StageProduct {
  PackedMatrix<T> matrix;  // weights, input_size; gates = sums * vectors, [sum][vector]; blocks; no bias
  std::uint16_t area = 0;
  std::size_t offset = 0;
  std::uint16_t first_slot = 0;
  /// Where rows have this product, biases included, made in advance: in area `pre_area` from `pre_offset` on,
  /// as [blocks][sum][vector][lane]. Used if the stage is run with has_pre.
  bool can_be_pre = false;
  std::uint16_t pre_area = 0;
  std::size_t pre_offset = 0;
};

/// Borrowed pointers and sizes. A block is `vectors` neighbouring vectors of units, 1 to 4.
template <class T>
struct CellStage {
  std::size_t units = 0;
  std::size_t blocks = 0;  // ceil(units / (vectors * lanes))
  std::size_t vectors = 1;
  std::size_t slots = 0;
  /// Slots [0, sums) begin with bias [blocks][sum][vector][lane], and products add to them in order.
  std::size_t sums = 0;
  const T* bias = nullptr;
  const StageProduct<T>* products = nullptr;
  std::size_t product_count = 0;
  const Instruction<T>* instructions = nullptr;
  std::size_t instruction_count = 0;
};

/// Most slots of a stage.
inline constexpr std::size_t kMaxSlots = 48;

template <class T>
struct CellStages {
  const char* target;
  std::size_t lanes;
  /// rows[r][area]: where a row's areas lie. Rows are independent. Blocks of the sweep only. Within a tile
  /// all instructions run in order, so that what is loaded before it is stored is the old value.
  void (*run)(const CellStage<T>& stage, T* const* const* rows, std::size_t count, BlockSweep sweep,
              bool has_pre);
};

template <class T>
const CellStages<T>& cell_stages();
template <>
const CellStages<float>& cell_stages<float>();
template <>
const CellStages<double>& cell_stages<double>();

}  // namespace sluice::kernels
