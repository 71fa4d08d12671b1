// SPDX-License-Identifier: Apache-2.0
#include "layers/packed_cell.h"

#include <algorithm>

namespace sluice {
namespace {

// Rows [first, first + count) of a matrix or vector that may be null.
template <class T>
TensorView<const T> narrow_rows(TensorView<const T> view, std::size_t first, std::size_t count) {
  return view ? view.narrow(0, first, count) : view;
}

}  // namespace

template <class T>
PackedCell<T>::PackedCell(CellKind kind, const CellWeights<T>& weights)
    : kind_(kind), is_projected_(!weights.weight_hr.is_null()) {
  const auto& [w, u, bias_ih, bias_hh, weight_hr] = weights;
  switch (kind) {
    case CellKind::kLstm:
      gates_ = pack_gates<T>(4, w, u, bias_ih, bias_hh);
      first_step_ = gates_.kernels->lstm_step;
      if (is_projected_) second_ = pack_plain<T>(weight_hr, {}, {}, {});
      break;
    case CellKind::kGru:
      gates_ = pack_gates<T>(3, w, u, bias_ih, bias_hh, true);
      first_step_ = gates_.kernels->gru_step;
      break;
    case CellKind::kGruBefore: {
      const std::size_t units = w.dim(0) / 3;
      gates_ = pack_gates<T>(2, w.narrow(0, 0, 2 * units), u.narrow(0, 0, 2 * units),
                             narrow_rows(bias_ih, 0, 2 * units), narrow_rows(bias_hh, 0, 2 * units));
      second_ = pack_plain<T>(w.narrow(0, 2 * units, units), u.narrow(0, 2 * units, units),
                              narrow_rows(bias_ih, 2 * units, units), narrow_rows(bias_hh, 2 * units, units));
      second_.matrix.pre_offset = gates_pre_size();
      first_step_ = gates_.kernels->gru_before_gates_step;
      break;
    }
    case CellKind::kRnnTanh:
    case CellKind::kRnnRelu:
      gates_ = pack_plain<T>(w, u, bias_ih, bias_hh);
      first_step_ =
          kind == CellKind::kRnnTanh ? gates_.kernels->rnn_tanh_step : gates_.kernels->rnn_relu_step;
      break;
    case CellKind::kCustom:
      break;
  }
  state_size_ = gates_.matrix.state_size;
  c_size_ = kind == CellKind::kLstm ? hidden_size() : 0;
  stages_ = is_projected_ || kind == CellKind::kGruBefore ? 2 : 1;
}

template <class T>
PackedCell<T>::PackedCell(const CellForm& form, std::span<const TensorView<const T>> parameters)
    : kind_(CellKind::kCustom), state_size_(form.output_size), c_size_(form.c_size) {
  const LoweredCell& cell = form.lowered;
  PackedCache<T> packed;  // both programs have the same matrices
  CellProgramSource<T> source;
  source.cache = &packed;
  source.nodes = cell.nodes;
  source.parameters = parameters;
  source.place = [&](const CellNode& leaf) -> CellPlace {
    if (leaf.op == CellOp::kInput) return {kAreaX, leaf.first};
    if (form.is_in_h(leaf.index)) return {kAreaH, leaf.first};
    return {kAreaC, form.c_offsets[leaf.index] + leaf.first};
  };
  source.stores.push_back({cell.output, {kAreaHOut, 0}});
  for (std::size_t s = 0; s < cell.states.size(); ++s) {
    if (!form.is_in_h(s)) source.stores.push_back({cell.states[s].next, {kAreaCOut, form.c_offsets[s]}});
  }
  source.scratch = kAreaScratch;
  source.reduced = kAreaReduced;
  source.pre = kAreaPre;
  source.replaced = {kAreaC, kAreaCOut};
  CellProgram<T> plain(source);
  const std::vector<std::size_t> saved = form.backward ? form.backward->saved : std::vector<std::size_t>();
  const std::vector<std::size_t> offsets = saved_offsets(cell, saved);
  for (std::size_t i = 0; i < saved.size(); ++i) source.stores.push_back({saved[i], {kAreaKept, offsets[i]}});
  custom_ = std::make_unique<const Custom>(Custom{std::move(plain), CellProgram<T>(source), offsets.back()});
  stages_ = custom_->plain.stages();
}

template <class T>
double PackedCell<T>::multiply_adds() const noexcept {
  if (custom_) return custom_->plain.multiply_adds();
  const auto hidden = static_cast<double>(hidden_size()), state = static_cast<double>(state_size());
  const double of_projection = is_projected_ ? hidden * state : 0;
  return static_cast<double>(gate_count(kind_)) * hidden *
             (static_cast<double>(gates_.matrix.input_size) + state) +
         of_projection;
}

template <class T>
std::size_t PackedCell<T>::tile_rows() const noexcept {
  return custom_ ? custom_->plain.tile_rows() : kernels().tile_rows[gates_.matrix.gates - 1];
}

template <class T>
std::size_t PackedCell<T>::gates() const noexcept {
  return custom_ ? std::max<std::size_t>(custom_->plain.sums(), 1) : gate_count(kind_);
}

template <class T>
std::size_t PackedCell<T>::scratch_size() const noexcept {
  if (custom_) return std::max(custom_->plain.scratch_size(), custom_->recording.scratch_size());
  return is_projected_ || kind_ == CellKind::kGruBefore ? hidden_size() : 0;
}

template <class T>
std::size_t PackedCell<T>::reduced_size() const noexcept {
  return custom_ ? std::max(custom_->plain.reduced_size(), custom_->recording.reduced_size()) : 0;
}

template <class T>
std::size_t PackedCell<T>::kept_size() const noexcept {
  const std::size_t lanes = kernels().lanes;
  const std::size_t padded = (hidden_size() + lanes - 1) / lanes * lanes;
  switch (kind_) {
    case CellKind::kLstm:
    case CellKind::kGru:
      return 4 * padded;
    case CellKind::kGruBefore:
      return 3 * padded;
    case CellKind::kCustom:
      return custom_->kept_size;
    case CellKind::kRnnTanh:
    case CellKind::kRnnRelu:
      break;
  }
  return 0;
}

template <class T>
void PackedCell<T>::input_part(const T* const* x, T** pre, std::size_t rows, UnitShare share) const noexcept {
  if (custom_) return custom_->plain.input_part(x, pre, rows, share);
  const auto run = [&](const kernels::PackedMatrix<T>& matrix) {
    kernels().input_part(matrix, x, pre, rows, share.of(matrix.blocks));
  };
  run(gates_.matrix);
  if (kind_ == CellKind::kGruBefore) run(second_.matrix);
}

template <class T>
void PackedCell<T>::step(std::size_t stage, const StepRows<T>& rows, std::size_t count,
                         UnitShare share) const noexcept {
  if (custom_) {
    if (count == 0) return;
    const T* const* const first = rows.area_rows_[0];
    const CellProgram<T>& program = first[kAreaKept] != nullptr ? custom_->recording : custom_->plain;
    program.run(stage, rows.area_rows_.data(), count, share, rows.is_downward_, first[kAreaPre] != nullptr);
    return;
  }
  const kernels::PackedMatrix<T>& matrix = stage == 0 ? gates_.matrix : second_.matrix;
  const kernels::BlockSweep sweep = share.of(matrix.blocks, rows.is_downward_);
  if (stage == 0) {
    first_step_(matrix, rows.rows_.data(), count, sweep);
  } else if (is_projected_) {
    kernels().linear(matrix, rows.unprojected_.data(), rows.projected_.data(), count, sweep);
  } else {
    kernels().gru_before_candidate_step(matrix, rows.rows_.data(), count, sweep);
  }
}

template <class T>
void PackedCell<T>::step_elementwise(std::size_t stage, const StepRows<T>& rows,
                                     std::size_t count) const noexcept {
  if (custom_) return custom_->plain.run_elementwise(stage, rows.area_rows_.data(), count);
  kernels::PackedMatrix<T> matrix = stage == 0 ? gates_.matrix : second_.matrix;
  matrix.input_size = matrix.state_size = 0;
  const kernels::BlockSweep sweep = {0, matrix.blocks, false};
  if (stage == 0) {
    first_step_(matrix, rows.rows_.data(), count, sweep);
  } else if (!is_projected_) {
    kernels().gru_before_candidate_step(matrix, rows.rows_.data(), count, sweep);
  }
}

template <class T>
double PackedCell<T>::input_share(bool is_ahead) const noexcept {
  if (custom_) return custom_->plain.input_share(kAreaX, is_ahead);
  const auto of_input = static_cast<double>(gate_count(kind_) * hidden_size() * gates_.matrix.input_size);
  return is_ahead ? 0 : of_input / multiply_adds();
}

template <class T>
std::size_t PackedCell<T>::activations() const noexcept {
  switch (kind_) {
    case CellKind::kLstm:  // and of c
      return 5 * hidden_size();
    case CellKind::kGru:
    case CellKind::kGruBefore:
      return 3 * hidden_size();
    case CellKind::kRnnTanh:
      return hidden_size();
    case CellKind::kCustom:
      return custom_->plain.activations();
    case CellKind::kRnnRelu:
      break;
  }
  return 0;
}

template <class T>
StepRows<T>::StepRows(const PackedCell<T>& cell, std::size_t capacity)
    : form_(cell.kind() == CellKind::kCustom      ? Form::kCustom
            : cell.has_projection()               ? Form::kProjected
            : cell.kind() == CellKind::kGruBefore ? Form::kResetBefore
                                                  : Form::kPlain) {
  if (form_ == Form::kCustom) {
    reduced_ = Tensor<T>({capacity, cell.reduced_size()});
    areas_.resize(capacity);
    for (std::size_t r = 0; r < capacity; ++r) {
      areas_[r].fill(nullptr);
      areas_[r][kAreaReduced] = reduced_.data() + r * reduced_.dim(1);
      area_rows_.push_back(areas_[r].data());
    }
    return;
  }
  rows_.resize(capacity);
  if (form_ == Form::kProjected) {
    unprojected_.resize(capacity);
    projected_.resize(capacity);
  }
}

template <class T>
void StepRows<T>::place(std::size_t r, const kernels::Row<T>& row, T* scratch) noexcept {
  if (form_ == Form::kCustom) {
    // Kernels take areas to write to and to read from alike.
    std::array<T*, kForwardAreas>& areas = areas_[r];
    areas[kAreaX] = const_cast<T*>(row.x);
    areas[kAreaPre] = const_cast<T*>(row.pre);
    areas[kAreaH] = const_cast<T*>(row.h);
    areas[kAreaC] = const_cast<T*>(row.c);
    areas[kAreaHOut] = row.h_out;
    areas[kAreaCOut] = row.c_out;
    areas[kAreaKept] = row.kept;
    areas[kAreaScratch] = scratch;
    return;
  }
  rows_[r] = row;
  if (form_ == Form::kProjected) {
    rows_[r].h_out = scratch;
    unprojected_[r] = scratch;
    projected_[r] = row.h_out;
  } else if (form_ == Form::kResetBefore) {
    rows_[r].c_out = scratch;
  }
}

template <class T>
void StepRows<T>::set_x(std::size_t r, const T* x) noexcept {
  if (form_ == Form::kCustom) {
    areas_[r][kAreaX] = const_cast<T*>(x);
  } else {
    rows_[r].x = x;
  }
}

template <class T>
void StepRows<T>::set_pre(std::size_t r, const T* pre) noexcept {
  if (form_ == Form::kCustom) {
    areas_[r][kAreaPre] = const_cast<T*>(pre);
  } else {
    rows_[r].pre = pre;
  }
}

template <class T>
void StepRows<T>::advance(std::size_t count, const RowStrides& strides) noexcept {
  is_downward_ = !is_downward_;
  const auto move_along = [&](kernels::Row<T>& row) {
    row.x += strides.x;
    row.pre += strides.pre;
    row.kept += strides.kept;
  };
  switch (form_) {
    case Form::kPlain:
    case Form::kResetBefore:
      for (std::size_t r = 0; r < count; ++r) {
        kernels::Row<T>& row = rows_[r];
        move_along(row);
        row.h = row.h_out;
        row.h_out += strides.h;
        row.c = row.c_out;
        row.c_out += form_ == Form::kPlain ? strides.c : strides.scratch;
      }
      break;
    case Form::kProjected:
      for (std::size_t r = 0; r < count; ++r) {
        kernels::Row<T>& row = rows_[r];
        move_along(row);
        row.h = projected_[r];
        projected_[r] += strides.h;
        row.h_out += strides.scratch;
        unprojected_[r] += strides.scratch;
        row.c = row.c_out;
        row.c_out += strides.c;
      }
      break;
    case Form::kCustom:
      for (std::size_t r = 0; r < count; ++r) {
        std::array<T*, kForwardAreas>& areas = areas_[r];
        areas[kAreaX] += strides.x;
        areas[kAreaPre] += strides.pre;
        areas[kAreaKept] += strides.kept;
        areas[kAreaScratch] += strides.scratch;
        areas[kAreaH] = areas[kAreaHOut];
        areas[kAreaHOut] += strides.h;
        areas[kAreaC] = areas[kAreaCOut];
        areas[kAreaCOut] += strides.c;
      }
      break;
  }
}

template class StepRows<float>;
template class StepRows<double>;
template class PackedCell<float>;
template class PackedCell<double>;

}  // namespace sluice
