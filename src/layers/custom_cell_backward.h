// SPDX-License-Identifier: Apache-2.0
// The way back through one layer and direction of a recorded call of a cell that its user stated. For
// recurrent_backward.cc.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <tuple>
#include <vector>

#include "core/threads.h"
#include "layers/backward_steps.h"
#include "layers/custom_backward_programs.h"
#include "layers/gate_measure.h"
#include "layers/weight_gradient.h"
#include "sluice/tensor.h"

namespace sluice {

/// The same bits at any number of threads.
template <class T>
class CustomCellBackward : BackwardSteps<T> {
  using Base = BackwardSteps<T>;
  using Base::call_, Base::layer_, Base::direction_, Base::index_, Base::first_step_, Base::last_step_,
      Base::first_time_, Base::at, Base::time, Base::times;
  using typename Base::RowGroup;

 public:
  CustomCellBackward(const BackwardCall<T>& call, std::size_t layer, std::size_t direction,
                     const CustomBackwardPrograms<T>& programs, GateMeasure<T>* measure)
      : Base(call, layer, direction, programs.list_offsets.back(), programs.sums),
        programs_(programs),
        measure_(measure),
        form_(*programs.form),
        back_(*form_.backward),
        list_(make_list()),
        zeros_({std::max(programs.list_offsets.back(), form_.output_size)}),
        start_({call.batch, programs.carry_offsets.back()}) {
    const std::size_t batch = call.batch;
    for (Tensor<T>& carry : carry_) carry = Tensor<T>({batch, programs.carry_offsets.back()});
    if (this->chunks() > 1) seam_ = Tensor<T>({batch, programs.list_offsets.back()});
    if (!back_.input.parts.empty()) {
      grad_x_parts_ = Tensor<T>({this->longest_chunk(), batch, form_.lowered.input_size});
    }
    grad_h0_ = Tensor<T>({batch, form_.output_size});
    grad_c0_ = Tensor<T>({batch, form_.c_size});
  }

  /// As RecurrentCellBackward::run.
  void run(const OuterGradients<T>& outer, TensorView<const T> x, std::span<const TensorView<T>> parameters,
           Tensor<T>& grad_x) {
    start(outer);
    const auto operations = static_cast<std::size_t>(programs_.step.multiply_adds());
    const std::vector<RowGroup> groups = this->make_groups(operations);
    ParameterGradients gradients = parameter_gradients(parameters);
    for (std::size_t chunk = this->chunks(); chunk-- > 0;) {
      begin_chunk(chunk);
      parallel_ranges(groups.size(), 1, call_.threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t group = begin; group < end; ++group) walk_rows(groups[group], outer, x);
      });
      add_parameter_gradients(gradients, x, chunk == 0);
      if (!grad_x.is_null()) add_to_input(grad_x);
    }
    for (Scalar& scalar : gradients.scalars) {
      for (const T term : scalar.terms.span()) scalar.grad(0) += term;
    }
    for (std::size_t row = 0; row < call_.batch; ++row) finish_row(row);
  }

  const Tensor<T>& grad_h0() const noexcept { return grad_h0_; }  // [B, H_out]
  const Tensor<T>& grad_c0() const noexcept { return grad_c0_; }  // [B, C]

 private:
  Tensor<T> make_list() const {
    const Shape shape{this->longest_chunk(), call_.batch, programs_.list_offsets.back()};
    bool has_gaps = false;
    for (std::size_t i = 0; i < back_.lists.size(); ++i) {
      has_gaps = has_gaps || back_.nodes[back_.lists[i]].size !=
                                 programs_.list_offsets[i + 1] - programs_.list_offsets[i];
    }
    return has_gaps ? Tensor<T>(shape) : Tensor<T>::uninitialized(shape);
  }
  // From c as the record has it to gradients of all states one after the other, or back.
  template <class Visit>
  void for_each_c(const Visit& visit) const {
    for (std::size_t s = 0; s < form_.lowered.states.size(); ++s) {
      if (!form_.is_in_h(s))
        visit(form_.c_offsets[s], programs_.carry_offsets[s], form_.lowered.states[s].size);
    }
  }

  void start(const OuterGradients<T>& outer) {
    for (std::size_t row = 0; row < call_.batch; ++row) {
      T* const to = start_.data() + row * start_.dim(1);
      if (outer.h_n != nullptr && form_.h_state) {
        std::copy_n(outer.h_n + row * form_.output_size, form_.output_size,
                    to + programs_.carry_offsets[*form_.h_state]);
      }
      if (outer.c_n == nullptr) continue;
      for_each_c([&](std::size_t c, std::size_t carry, std::size_t size) {
        std::copy_n(outer.c_n + row * form_.c_size + c, size, to + carry);
      });
    }
  }

  void begin_chunk(std::size_t chunk) noexcept {
    if (chunk + 1 < this->chunks()) {
      std::copy_n(at(list_, this->time_of_seam(), 0), seam_.size(), seam_.data());
    }
    this->set_chunk(chunk);
    this->clear_past_lengths_of(list_);
    this->clear_past_lengths_of(grad_x_parts_);
  }

  // The chunk's steps of some rows.
  void walk_rows(const RowGroup& group, const OuterGradients<T>& outer, TensorView<const T> x) {
    const std::vector<std::size_t>& order = group.rows;
    const std::size_t scratch_size = programs_.scratch_size, reduced_size = programs_.reduced_size;
    Tensor<T> scratch({order.size(), scratch_size}), reduced({order.size(), reduced_size});
    Tensor<T> measured;
    if (measure_ != nullptr) measured = Tensor<T>({start_.dim(1)});
    std::vector<std::array<T*, kBackwardAreas>> areas(order.size());
    std::vector<T* const*> rows;
    for (std::size_t i = 0; i < order.size(); ++i) {
      areas[i].fill(nullptr);
      areas[i][kBackScratch] = scratch.data() + i * scratch_size;
      areas[i][kBackReduced] = reduced.data() + i * reduced_size;
      rows.push_back(areas[i].data());
    }
    std::size_t active = 0;
    bool is_downward = false;
    for (std::size_t step = std::min(group.longest, last_step_); step-- > first_step_;
         is_downward = !is_downward) {
      while (active < order.size() && call_.length(order[active]) > step) ++active;
      for (std::size_t i = 0; i < active; ++i) {
        place_row(areas[i], order[i], step, outer, x);
        if (measure_ != nullptr) measure_row(areas[i], order[i], step, measured);
      }
      for (const auto& product : programs_.state_products) {
        if (!programs_.is_fused[product.state]) run(product.program, rows.data(), active, is_downward);
      }
      run(programs_.step, rows.data(), active, is_downward);
    }
    if (first_step_ > 0) return;
    // The states before the first step: what was made elementwise, and products with its lists.
    for (std::size_t i = 0; i < active; ++i) {
      areas[i][kBackCarry] = carry_[0].data() + order[i] * carry_[0].dim(1);
      areas[i][kBackLater] = areas[i][kBackList];
    }
    for (const auto& product : programs_.state_products)
      run(product.program, rows.data(), active, is_downward);
  }
  static void run(const CellProgram<T>& program, T* const* const* rows, std::size_t count,
                  bool is_downward) noexcept {
    for (std::size_t stage = 0; stage < program.stages(); ++stage) {
      program.run(stage, rows, count, UnitShare{}, is_downward, false);
    }
  }

  // Makes the whole gradient of the states as this step left them, which the step makes on its way and does
  // not keep.
  void measure_row(std::array<T*, kBackwardAreas> areas, std::size_t row, std::size_t step,
                   Tensor<T>& states) noexcept {
    std::copy_n(areas[kBackCarry], states.size(), states.data());
    areas[kBackCarry] = states.data();
    T* const* const rows[] = {areas.data()};
    for (const auto& product : programs_.state_products) run(product.program, rows, 1, false);
    const T* grad = states.data();
    std::size_t size = states.size();
    if (form_.h_state) {
      size = form_.output_size;
      T* const output = states.data() + programs_.carry_offsets[*form_.h_state];
      add_to(areas[kBackGradOutput], output, size);
      grad = output;
    }
    measure_->add_gradient(time(row, step), row, grad, size);
    measure_->count(row, areas[kBackKept]);
  }

  void place_row(std::array<T*, kBackwardAreas>& areas, std::size_t row, std::size_t step,
                 const OuterGradients<T>& outer, TensorView<const T> x) noexcept {
    // Kernels take areas to write to and to read from alike.
    const auto readable = [](const T* p) { return const_cast<T*>(p); };
    const std::size_t t = time(row, step);
    const bool is_last = step + 1 == call_.length(row);
    areas[kBackX] = readable(&x(t, row, 0));
    areas[kBackH] = readable(this->state_before(this->h_states(), row, step));
    areas[kBackHOut] = readable(this->state_at(this->h_states(), row, step));
    if (form_.c_size > 0) {
      areas[kBackC] = readable(this->state_before(this->c_states(), row, step));
      areas[kBackCOut] = readable(this->state_at(this->c_states(), row, step));
    }
    const Tensor<T>& kept = call_.record.kept[index_];
    areas[kBackKept] = readable(kept.data()) + (t * call_.batch + row) * kept.dim(2);
    areas[kBackGradOutput] =
        outer.output ? readable(&outer.output(t, row, direction_ * form_.output_size)) : zeros_.data();
    Tensor<T>& known = is_last ? start_ : carry_[(step + 1) % 2];
    areas[kBackCarry] = known.data() + row * known.dim(1);
    areas[kBackCarryOut] = carry_[step % 2].data() + row * known.dim(1);
    areas[kBackLater] = is_last                  ? zeros_.data()
                        : step + 1 == last_step_ ? seam_.data() + row * seam_.dim(1)
                                                 : at(list_, time(row, step + 1), row);
    areas[kBackList] = at(list_, t, row);
    if (!grad_x_parts_.is_null()) areas[kBackGradX] = at(grad_x_parts_, t, row);
    if (outer.c_sequence) {
      const T* const grad = &outer.c_sequence(t, row, direction_ * form_.c_size);
      for_each_c([&](std::size_t c, std::size_t carry, std::size_t size) {
        add_to(grad + c, areas[kBackCarry] + carry, size);
      });
    }
  }

  void finish_row(std::size_t row) noexcept {
    const Tensor<T>& all = call_.length(row) == 0 ? start_ : carry_[0];
    const T* const from = all.data() + row * all.dim(1);
    if (form_.h_state) {
      std::copy_n(from + programs_.carry_offsets[*form_.h_state], form_.output_size,
                  grad_h0_.data() + row * form_.output_size);
    }
    for_each_c([&](std::size_t c, std::size_t carry, std::size_t size) {
      std::copy_n(from + carry, size, grad_c0_.data() + row * form_.c_size + c);
    });
  }

  // A scalar's, or that of a vector of one element, from a list of many.
  struct Scalar {
    TensorView<T> grad;
    Tensor<T> terms;
  };
  // The gradient of a matrix and of a vector beside it, from neighbouring lists; of either alone.
  struct ListGradient {
    const CellBackward::MatrixGradient* matrix = nullptr;  // the first one's
    const CellBackward::VectorGradient* vector = nullptr;
    std::size_t size = 0;  // rows, and elements
    std::size_t offset = 0;
    std::size_t width = 0;
    std::optional<WeightGradient<T>> gradient{};
  };
  struct ParameterGradients {
    std::vector<ListGradient> lists;
    std::vector<Scalar> scalars;
  };
  bool is_wide(const CellBackward::VectorGradient& vector, std::size_t size) const {
    return form_.lowered.parameters[vector.parameter].shape.size() > 1 || size == 1;
  }
  // Adds a list's gradient, or has the one before go on with it: rows of the same matrix, with the same
  // operand, and elements of the same vector, that come next.
  void add_list(std::vector<ListGradient>& lists, std::size_t list,
                const CellBackward::MatrixGradient* matrix,
                const CellBackward::VectorGradient* vector) const {
    const std::size_t offset = programs_.list_offsets[list];
    ListGradient made{.matrix = matrix,
                      .vector = vector,
                      .size = back_.nodes[back_.lists[list]].size,
                      .offset = offset,
                      .width = programs_.list_offsets[list + 1] - offset};
    for (ListGradient& before : lists) {
      if ((before.matrix == nullptr) != (matrix == nullptr) ||
          (before.vector == nullptr) != (vector == nullptr)) {
        continue;
      }
      bool follows = before.size == before.width && before.offset + before.width == offset;
      if (matrix != nullptr) {
        const CellBackward::Operand &a = before.matrix->operand, &b = matrix->operand;
        follows = follows && before.matrix->parameter == matrix->parameter &&
                  before.matrix->first_row + before.size == matrix->first_row && a.from == b.from &&
                  a.index == b.index && a.first == b.first;
      }
      if (vector != nullptr) {
        follows = follows && is_wide(*vector, made.size) && is_wide(*before.vector, before.size) &&
                  before.vector->parameter == vector->parameter &&
                  before.vector->first + before.size == vector->first;
      }
      if (!follows) continue;
      before.size += made.size;
      before.width += made.width;
      return;
    }
    lists.push_back(std::move(made));
  }
  ParameterGradients parameter_gradients(std::span<const TensorView<T>> parameters) const {
    ParameterGradients made;
    std::vector<bool> is_done(back_.vectors.size(), false);
    for (std::size_t v = 0; v < back_.vectors.size(); ++v)
      is_done[v] = !parameters[back_.vectors[v].parameter];
    for (const CellBackward::MatrixGradient& matrix : back_.matrices) {
      if (!parameters[matrix.parameter]) continue;
      // A vector that the same list goes to comes with it, since features end with ones.
      const CellBackward::VectorGradient* vector = nullptr;
      for (std::size_t v = 0; v < back_.vectors.size() && vector == nullptr; ++v) {
        if (is_done[v] || back_.vectors[v].list != matrix.list) continue;
        is_done[v] = true;
        vector = &back_.vectors[v];
      }
      add_list(made.lists, matrix.list, &matrix, vector);
    }
    for (std::size_t v = 0; v < back_.vectors.size(); ++v) {
      if (!is_done[v]) add_list(made.lists, back_.vectors[v].list, nullptr, &back_.vectors[v]);
    }
    made.scalars.reserve(made.lists.size());
    for (ListGradient& list : made.lists) {
      TensorView<T> weight, bias;
      if (list.matrix != nullptr) {
        weight = parameters[list.matrix->parameter].narrow(0, list.matrix->first_row, list.size);
      }
      if (list.vector != nullptr && is_wide(*list.vector, list.size)) {
        bias = parameters[list.vector->parameter].narrow(0, list.vector->first, list.size);
      } else if (list.vector != nullptr) {
        made.scalars.push_back({parameters[list.vector->parameter], Tensor<T>({list.size})});
        bias = made.scalars.back().terms.view();
      }
      list.gradient.emplace(GateRange{}, list.size, weight, bias);
    }
    return made;
  }

  void add_parameter_gradients(ParameterGradients& gradients, TensorView<const T> x, bool is_last) {
    // Operands of several matrices are turned once.
    std::map<std::tuple<int, std::size_t, std::size_t, std::size_t>, Tensor<T>> turned;
    for (ListGradient& list : gradients.lists) {
      std::tuple<int, std::size_t, std::size_t, std::size_t> key{-1, 0, 0, 0};
      std::size_t columns = 0;
      if (list.matrix != nullptr) {
        const CellBackward::Operand& operand = list.matrix->operand;
        columns = form_.lowered.parameters[list.matrix->parameter].shape[1];
        key = {static_cast<int>(operand.from), operand.index, operand.first, columns};
      }
      auto features = turned.find(key);
      if (features == turned.end())
        features = turned.emplace(key, features_of(list.matrix, columns, x)).first;
      const TensorView<const T> values =
          TensorView<const T>(list_.view()).narrow(0, 0, times()).narrow(2, list.offset, list.width);
      list.gradient->add(features->second, values, is_last, call_.threads);
    }
  }
  // [size + 1, T*B] of the chunk.
  Tensor<T> features_of(const CellBackward::MatrixGradient* matrix, std::size_t size,
                        TensorView<const T> x) const {
    using From = CellBackward::Operand::From;
    if (matrix == nullptr) return this->transposed_chunk(x, 0, 0);  // ones alone
    const CellBackward::Operand& operand = matrix->operand;
    const std::size_t first = operand.first;
    const bool is_h =
        operand.from != From::kInput && operand.from != From::kSaved && form_.is_in_h(operand.index);
    const std::size_t offset = is_h || operand.from == From::kInput || operand.from == From::kSaved
                                   ? first
                                   : form_.c_offsets[operand.index] + first;
    switch (operand.from) {
      case From::kState:
        return this->transposed_before(is_h ? this->h_states() : this->c_states(), offset, size);
      case From::kNextState: {
        const auto states = is_h ? this->h_states() : this->c_states();
        return this->transposed_chunk(states.sequence->view(), direction_ * states.size + offset, size);
      }
      case From::kSaved:
        return this->transposed_chunk(call_.record.kept[index_].view(),
                                      programs_.kept_offsets[operand.index] + first, size);
      case From::kInput:
        break;
    }
    return this->transposed_chunk(x, first, size);
  }

  // The gradient of x, of this chunk.
  void add_to_input(Tensor<T>& grad_x) {
    const std::size_t features = grad_x.dim(2), rows = times() * call_.batch;
    const bool covers =
        !programs_.input_products.empty() && programs_.input_products[0].linear.out() == features;
    T* const grad = &grad_x(first_time_, 0, 0);
    if (direction_ == 0 && !covers) std::fill_n(grad, rows * features, T{0});
    bool is_first = direction_ == 0 && covers;
    const std::size_t width = programs_.list_offsets.back();
    for (const auto& product : programs_.input_products) {
      const TensorView<const T> list = TensorView<const T>(list_.view())
                                           .narrow(0, 0, times())
                                           .narrow(2, product.list_offset, width - product.list_offset);
      this->add_input_gradient(product.linear, list, grad_x, product.first, is_first);
      is_first = false;
    }
    if (grad_x_parts_.is_null()) return;
    parallel_ranges(rows * features, kMovesPerThread, call_.threads, [&](std::size_t begin, std::size_t end) {
      add_to(grad_x_parts_.data() + begin, grad + begin, end - begin);
    });
  }

  const CustomBackwardPrograms<T>& programs_;
  GateMeasure<T>* measure_;  // or null
  const CellForm& form_;
  const CellBackward& back_;
  Tensor<T> list_;                  // [chunk, B, lists]; zeros between lists
  Tensor<T> zeros_;                 // what a last step reads
  Tensor<T> start_;                 // [B, states]: gradients of final states
  std::array<Tensor<T>, 2> carry_;  // [B, states], of even and odd steps; zeros where no step makes a part
  Tensor<T> seam_;                  // [B, lists] of the step after the chunk
  Tensor<T> grad_x_parts_;          // [chunk, B, I]
  Tensor<T> grad_h0_, grad_c0_;
};

}  // namespace sluice
