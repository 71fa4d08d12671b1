// SPDX-License-Identifier: Apache-2.0
// A graph of values (cells/cell_graph.h) made into what kernels run: packed matrices and instructions, in
// stages. A stage needs whole rows of what the stages before it made, so threads that share the units of a
// step meet between stages. Where all rows of a stage have their values elementwise from one another, there
// is one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "cells/cell_graph.h"
#include "kernels/cell_stage.h"
#include "kernels/row_sums.h"
#include "layers/packed_weights.h"
#include "layers/unit_share.h"
#include "sluice/tensor.h"

namespace sluice {

/// A place in a row's memory: from element `offset` of one of its areas on.
struct CellPlace {
  std::uint16_t area = 0;
  std::size_t offset = 0;
};

struct CellStore {
  std::size_t node;
  CellPlace to;
};

/// Matrices that several programs of the same parameters have, packed once. The key says where everything
/// that is packed comes from: pointers, sizes and strides.
template <class T>
using PackedCache = std::map<std::vector<std::uintptr_t>, std::shared_ptr<const PackedWeights<T>>>;

/// What a program is made from.
template <class T>
struct CellProgramSource {
  std::span<const CellNode> nodes;
  std::span<const TensorView<const T>> parameters;
  std::vector<CellStore> stores;
  /// Of a leaf that rows have, not parameters.
  std::function<CellPlace(const CellNode&)> place;
  /// Areas of the program's own: scratch_size() and reduced_size() elements. Each thread has its own of the
  /// second.
  std::uint16_t scratch = 0;
  std::uint16_t reduced = 0;
  /// Where the products with the input may stand that were made in advance; none: they never are.
  std::optional<std::uint16_t> pre;
  /// What is stored in the second of these areas may replace what the first one has in the same place.
  std::optional<std::pair<std::uint16_t, std::uint16_t>> replaced;
  PackedCache<T>* cache = nullptr;  ///< never null; of all programs that are made from these parameters
};

/// Const once made; any number of threads may run it at once. Running takes no memory.
template <class T>
class CellProgram {
 public:
  /// Of the elements of a row.
  struct Reduction {
    CellOp op;
    CellPlace from;
    std::size_t size;
    std::size_t to;  ///< in the area of reduced values
  };

  /// Throws Error where more values are needed at once than a stage has slots.
  explicit CellProgram(const CellProgramSource<T>& source);

  std::size_t stages() const noexcept { return stages_.size(); }
  std::size_t scratch_size() const noexcept { return scratch_size_; }
  std::size_t reduced_size() const noexcept { return reduced_size_; }
  std::size_t pre_size() const noexcept { return pre_size_; }
  /// Sums of products of all stages, and the most units of one.
  std::size_t sums() const noexcept { return sums_; }
  std::size_t units() const noexcept { return units_; }
  /// Most rows of a tile of products.
  std::size_t tile_rows() const noexcept { return tile_rows_; }
  double multiply_adds() const noexcept { return multiply_adds_; }

  /// One stage of the rows, whose areas are rows[r][area]. All rows have the input's products in advance, or
  /// none.
  void run(std::size_t stage, T* const* const* rows, std::size_t count, UnitShare share, bool is_downward,
           bool has_pre) const noexcept;
  /// The input's products in advance: pre[r] has pre_size() elements; this share's units. Leaves pre[]
  /// changed.
  void input_part(const T* const* x, T** pre, std::size_t rows, UnitShare share) const noexcept;
  /// A stage without its products, all units.
  void run_elementwise(std::size_t stage, T* const* const* rows, std::size_t count) const noexcept;
  /// The share of the multiply-adds that are with area `input`; is_ahead: without what was made in advance.
  double input_share(std::uint16_t input, bool is_ahead) const noexcept;
  /// Sigmoids, tanhs and exponentials of a row.
  std::size_t activations() const noexcept;

  /// What a stage consists of: first reductions, then parts.
  std::span<const Reduction> reductions(std::size_t stage) const noexcept {
    return stages_[stage].reductions;
  }
  void reduce(const Reduction& reduction, T* const* const* rows, std::size_t count) const noexcept;
  std::size_t parts(std::size_t stage) const noexcept { return stages_[stage].parts.size(); }
  const kernels::CellStage<T>& part(std::size_t stage, std::size_t i) const noexcept {
    return stages_[stage].parts[i].stage;
  }

 private:
  void reduce(std::size_t stage, T* const* const* rows, std::size_t count) const noexcept;

  // Values of one size that are made together.
  struct Part {
    std::vector<std::shared_ptr<const PackedWeights<T>>> weights;
    std::vector<kernels::StageProduct<T>> products;
    std::vector<kernels::Instruction<T>> instructions;
    std::vector<Tensor<T>> vectors;  // parameters, in whole blocks
    Tensor<T> bias;
    kernels::CellStage<T> stage;  // points to the others' memory, which does not move with them
  };
  struct Stage {
    std::vector<Reduction> reductions;  // before its parts
    std::vector<Part> parts;
  };
  class Compiler;

  const kernels::CellStages<T>* kernels_ = &kernels::cell_stages<T>();
  const kernels::RowSums<T>* row_sums_ = &kernels::row_sums<T>();
  std::uint16_t reduced_ = 0;
  std::vector<Stage> stages_;
  std::vector<const PackedWeights<T>*> input_;  // what can be made in advance
  std::size_t scratch_size_ = 0, reduced_size_ = 0, pre_size_ = 0;
  std::size_t sums_ = 0, units_ = 0, tile_rows_ = 1;
  double multiply_adds_ = 0;
};

extern template class CellProgram<float>;
extern template class CellProgram<double>;

}  // namespace sluice
