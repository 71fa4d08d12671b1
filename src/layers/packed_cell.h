// SPDX-License-Identifier: Apache-2.0
// One direction of one recurrent layer, packed, and its time step over a list of rows.
//
// A step is one stage or two; a stage needs the whole result of the stage before it, so threads that share
// the units of a step meet between stages:
//     LSTM, GRU, RNN          products, gates and the new state
//     LSTM with projection    the same into scratch m; then h' = W_hr m
//     GRU, reset before       r and z: r * h into scratch, z where h' goes; then n and the new state
// A cell that its user stated has as many as its program (cell_program.h).
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "kernels/packed_gemm.h"
#include "layers/cell_form.h"
#include "layers/cell_program.h"
#include "layers/packed_weights.h"
#include "layers/unit_share.h"
#include "sluice/tensor.h"

namespace sluice {

enum class CellKind { kLstm, kGru, kGruBefore, kRnnTanh, kRnnRelu, kCustom };

/// Rows of weight_ih and weight_hh a hidden unit: 4 for an LSTM, 3 for a GRU, 1 for a plain RNN. Not of
/// custom cells.
constexpr std::size_t gate_count(CellKind kind) noexcept {
  switch (kind) {
    case CellKind::kLstm:
      return 4;
    case CellKind::kGru:
    case CellKind::kGruBefore:
      return 3;
    case CellKind::kRnnTanh:
    case CellKind::kRnnRelu:
      return 1;
    case CellKind::kCustom:
      break;
  }
  return 0;
}

/// The parameters of one cell, in PyTorch's layout; null where there is none.
template <class T>
struct CellWeights {
  TensorView<const T> weight_ih;  // [gates*H, I]
  TensorView<const T> weight_hh;  // [gates*H, H_out]
  TensorView<const T> bias_ih;    // [gates*H]
  TensorView<const T> bias_hh;    // [gates*H]
  TensorView<const T> weight_hr;  // [H_out, H], LSTM with projection
};

template <class T>
class PackedCell;

/// How far a row's pointers move from one step to the next, in elements.
struct RowStrides {
  std::ptrdiff_t x = 0;
  std::ptrdiff_t pre = 0;
  std::ptrdiff_t h = 0;
  std::ptrdiff_t c = 0;  // 0: c is updated in place
  std::ptrdiff_t kept = 0;
  std::ptrdiff_t scratch = 0;  // 0: one step's scratch serves all
};

/// The rows of a step, in the forms that the stages take. Made once, then moved from step to step.
template <class T>
class StepRows {
 public:
  /// Room for `capacity` rows of `cell`, or of another cell of the same kind and sizes.
  StepRows(const PackedCell<T>& cell, std::size_t capacity);

  /// Row r of the next step. `row.h_out` is where h' goes; `scratch` has cell.scratch_size() elements of this
  /// row's own.
  void place(std::size_t r, const kernels::Row<T>& row, T* scratch) noexcept;
  void set_x(std::size_t r, const T* x) noexcept;
  void set_pre(std::size_t r, const T* pre) noexcept;
  /// Steps go through the blocks upwards, or downwards; `advance` turns round.
  void set_downward(bool is_downward) noexcept { is_downward_ = is_downward; }
  /// Moves the first `count` rows on to their next step: h is what h_out was.
  void advance(std::size_t count, const RowStrides& strides) noexcept;

  /// The state of row r that the next step reads: after a step and `advance`, the newest.
  const T* h(std::size_t r) const noexcept { return form_ == Form::kCustom ? areas_[r][kAreaH] : rows_[r].h; }
  const T* c(std::size_t r) const noexcept { return form_ == Form::kCustom ? areas_[r][kAreaC] : rows_[r].c; }

 private:
  friend class PackedCell<T>;
  enum class Form { kPlain, kProjected, kResetBefore, kCustom };

  Form form_;
  bool is_downward_ = false;
  std::vector<kernels::Row<T>> rows_;
  std::vector<const T*> unprojected_;  // kProjected
  std::vector<T*> projected_;
  // kCustom
  std::vector<std::array<T*, kForwardAreas>> areas_;
  std::vector<T* const*> area_rows_;  // to the areas of each row
  Tensor<T> reduced_;                 // [rows, reduced_size]
};

/// Const once made; any number of threads may run it at once. Nothing here takes memory after that.
template <class T>
class PackedCell {
 public:
  PackedCell(CellKind kind, const CellWeights<T>& weights);
  /// A cell that its user stated; `parameters` in the form's order.
  PackedCell(const CellForm& form, std::span<const TensorView<const T>> parameters);

  CellKind kind() const noexcept { return kind_; }
  std::size_t hidden_size() const noexcept { return gates_.matrix.units; }
  /// H_out: the projection's size, or hidden_size; a custom cell's output.
  std::size_t state_size() const noexcept { return state_size_; }
  /// Elements of c.
  std::size_t c_size() const noexcept { return c_size_; }
  bool has_projection() const noexcept { return is_projected_; }
  const kernels::PackedGemm<T>& kernels() const noexcept { return kernels::packed_gemm<T>(); }
  double multiply_adds() const noexcept;
  /// Of a custom cell: a step, and one that keeps what the way back needs.
  const CellProgram<T>& program() const noexcept { return custom_->plain; }
  const CellProgram<T>& recording_program() const noexcept { return custom_->recording; }

  /// Most rows of a tile of the first stage.
  std::size_t tile_rows() const noexcept;
  std::size_t stages() const noexcept { return stages_; }
  /// Whether steps take x beside an input part that was made in advance, which may not be all of x's part.
  bool takes_x_beside_pre() const noexcept { return custom_ != nullptr; }
  /// Elements of a row's input part, of all stages.
  std::size_t pre_size() const noexcept {
    return custom_ ? custom_->plain.pre_size() : gates_pre_size() + candidate_pre_size();
  }
  /// Vectors of sums that a unit of the step has, and the units.
  std::size_t gates() const noexcept;
  std::size_t units() const noexcept { return custom_ ? custom_->plain.units() : hidden_size(); }
  /// Elements of scratch that a row needs: LSTM with projection m [H]; GRU, reset before, r h [H].
  std::size_t scratch_size() const noexcept;
  /// Elements that a custom cell's rows need of each thread.
  std::size_t reduced_size() const noexcept;
  /// Elements of scratch that the way back reads.
  std::size_t kept_scratch_size() const noexcept { return custom_ ? 0 : scratch_size(); }
  /// Elements that a row's step keeps for the way back (kernels::Row::kept).
  std::size_t kept_size() const noexcept;

  /// The input parts (bias + W x) of rows that may belong to many steps: pre[r] has pre_size() elements,
  /// aligned to a vector. Does this share's units only. Leaves pre[] changed.
  void input_part(const T* const* x, T** pre, std::size_t rows, UnitShare share) const noexcept;
  /// One stage of a step of the first `count` rows. Rows have x or pre, all the same.
  void step(std::size_t stage, const StepRows<T>& rows, std::size_t count, UnitShare share) const noexcept;
  /// All stages, all units.
  void step(const StepRows<T>& rows, std::size_t count) const noexcept {
    for (std::size_t stage = 0; stage < stages_; ++stage) step(stage, rows, count, UnitShare{});
  }
  /// A stage without its products, of rows that have x: what is left is elementwise. For measurements.
  void step_elementwise(std::size_t stage, const StepRows<T>& rows, std::size_t count) const noexcept;
  /// The share of a step's multiply-adds that are with the input; is_ahead: of steps that have pre.
  double input_share(bool is_ahead) const noexcept;
  /// Sigmoids, tanhs and exponentials of a row's step.
  std::size_t activations() const noexcept;
  /// A step of an LSTM without projection, a GRU or an RNN over rows that the caller made. A GRU that resets
  /// before has its scratch at c_out.
  void step(const kernels::Row<T>* rows, std::size_t count, bool is_downward) const noexcept {
    first_step_(gates_.matrix, rows, count, {0, gates_.matrix.blocks, is_downward});
    if (kind_ != CellKind::kGruBefore) return;
    kernels().gru_before_candidate_step(second_.matrix, rows, count, {0, second_.matrix.blocks, is_downward});
  }

 private:
  friend class StepRows<T>;
  std::size_t gates_pre_size() const noexcept {
    return gates_.matrix.blocks * gates_.matrix.gates * kernels().lanes;
  }
  std::size_t candidate_pre_size() const noexcept {
    return second_.matrix.state_size == 0 ? 0
                                          : second_.matrix.blocks * second_.matrix.gates * kernels().lanes;
  }

  // Two programs: one keeps what the way back needs.
  struct Custom {
    CellProgram<T> plain;
    CellProgram<T> recording;
    std::size_t kept_size;
  };

  CellKind kind_;
  std::size_t state_size_ = 0;
  std::size_t c_size_ = 0;
  bool is_projected_ = false;
  std::size_t stages_ = 1;
  PackedWeights<T> gates_;
  PackedWeights<T> second_;  // the projection, or the candidate of a GRU with its reset before the product
  typename kernels::PackedGemm<T>::Step first_step_ = nullptr;
  std::unique_ptr<const Custom> custom_;
};

extern template class StepRows<float>;
extern template class StepRows<double>;
extern template class PackedCell<float>;
extern template class PackedCell<double>;

}  // namespace sluice
