// SPDX-License-Identifier: Apache-2.0
// The way back through one layer and direction of a recorded call of a built-in cell: the walk from the last
// step to the first, and the products that follow it. For recurrent_backward.cc.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/threads.h"
#include "layers/backward_steps.h"
#include "layers/gate_measure.h"
#include "layers/packed_linear.h"
#include "layers/packed_weights.h"
#include "layers/weight_gradient.h"
#include "layers/zoneout.h"
#include "sluice/tensor.h"

namespace sluice {

/// The lists of a cell, as the products take them. `state` goes with h of the step before; `input` with x.
///   LSTM, RNN           one list for both
///   GRU                 r, z, n as U h and as W x enter them
///   GRU, reset before   r, z; and n, which goes with r h in place of h
struct GradientLists {
  GateRange state;
  std::optional<GateRange> second;
  bool state_takes_x;
  bool second_takes_h;
};
inline GradientLists lists_of(CellKind kind) noexcept {
  switch (kind) {
    case CellKind::kLstm:
      return {{0, 4}, std::nullopt, true, false};
    case CellKind::kGru:
      return {{0, 3}, GateRange{0, 3}, false, false};
    case CellKind::kGruBefore:
      return {{0, 2}, GateRange{2, 1}, true, true};
    case CellKind::kRnnTanh:
    case CellKind::kRnnRelu:
    case CellKind::kCustom:
      break;
  }
  return {{0, 1}, std::nullopt, true, false};
}

/// The rows of a weight [gates*units, N] in the order of a list: [blocks][gates][lanes].
inline std::vector<std::size_t> list_order(GateRange gates, std::size_t units, std::size_t lanes) {
  const std::size_t blocks = (units + lanes - 1) / lanes;
  std::vector<std::size_t> order(blocks * gates.count * lanes, kNoRow);
  for (std::size_t i = 0; i < units * gates.count; ++i) {
    const std::size_t unit = i / gates.count, gate = i % gates.count;
    order[(unit / lanes * gates.count + gate) * lanes + unit % lanes] = (gates.first + gate) * units + unit;
  }
  return order;
}

/// The same bits at any number of threads.
template <class T>
class RecurrentCellBackward : BackwardSteps<T> {
  using Base = BackwardSteps<T>;
  using Base::call_, Base::layer_, Base::direction_, Base::index_, Base::first_step_, Base::last_step_,
      Base::first_time_, Base::at, Base::time, Base::times;
  using typename Base::RowGroup;

 public:
  RecurrentCellBackward(const BackwardCall<T>& call, std::size_t layer, std::size_t direction,
                        const PackedWeights<T>& state, const PackedWeights<T>* second,
                        GateMeasure<T>* measure, const Zoneout<T>* zoneout)
      : Base(call, layer, direction, width_of(call, true) + width_of(call, false),
             width_of(call, true) * (call.options.layer_input_size(layer) + call.options.state_size())),
        lists_(lists_of(call.options.kind)),
        state_(state),
        second_(second),
        measure_(measure),
        zoneout_(zoneout) {
    const std::size_t width = width_of(call, true), longest = this->longest_chunk();
    pre_ = Tensor<T>::uninitialized({longest, call.batch, width});
    if (lists_.second) pre_second_ = Tensor<T>::uninitialized({longest, call.batch, width_of(call, false)});
    if (this->chunks() > 1) seam_ = Tensor<T>::uninitialized({call.batch, width});
    if (zoneout != nullptr) {
      const std::size_t H = call.options.hidden_size, state_size = call.options.state_size();
      grad_h_ = Tensor<T>({call.batch, state_size});
      old_h_ = Tensor<T>({call.batch, state_size});
      old_c_ = Tensor<T>({call.batch, H});
      new_c_ = Tensor<T>({call.batch, H});
      const Tensor<T> zeros({state_size, 1});
      no_weights_ = pack_plain<T>(zeros.view(), {}, {}, {});
    }
    if (call.options.proj_size > 0) projected_ = Tensor<T>({longest, call.batch, call.options.proj_size});
    const std::size_t batch = call.batch;
    carry_ = Tensor<T>({batch, call.options.hidden_size});
    last_ = Tensor<T>({batch, call.options.state_size()});
    grad_h0_ = Tensor<T>({batch, call.options.state_size()});
  }

  // Adds to the gradients of the cell's `parameters`, in the order of cell_parameters, and, unless `grad_x`
  // is null, the gradient of x [T, B, I] to that; the first direction begins it.
  void run(const OuterGradients<T>& outer, TensorView<const T> x, std::span<const TensorView<T>> parameters,
           const std::vector<PackedLinear<T>>& inputs, Tensor<T>& grad_x) {
    const std::size_t batch = call_.batch, H = call_.options.hidden_size;
    if (outer.c_n != nullptr) std::copy_n(outer.c_n, batch * H, carry_.data());
    const std::vector<RowGroup> groups = this->make_groups(pre_.dim(2) * call_.options.state_size());
    const bool has_bias = call_.options.has_bias;
    const TensorView<T> bias_ih = has_bias ? parameters[2] : TensorView<T>();
    const TensorView<T> bias_hh = has_bias ? parameters[3] : TensorView<T>();
    const GateRange second = lists_.second.value_or(GateRange{});
    WeightGradient<T> input(lists_.state, H, parameters[0], bias_ih);
    WeightGradient<T> input_second(second, H, parameters[0], bias_ih);
    WeightGradient<T> state(lists_.state, H, parameters[1], bias_hh);
    WeightGradient<T> state_second(second, H, parameters[1], bias_hh);
    // One gate of P units.
    WeightGradient<T> projection(GateRange{}, call_.options.proj_size, parameters.back(), TensorView<T>());
    for (std::size_t chunk = this->chunks(); chunk-- > 0;) {
      begin_chunk(chunk);
      parallel_ranges(groups.size(), 1, call_.threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t group = begin; group < end; ++group) walk_rows(groups[group], outer);
      });
      const bool is_last = chunk == 0;
      const TensorView<const T> list = pre_.view().narrow(0, 0, times());
      const TensorView<const T> list_second =
          lists_.second ? pre_second_.view().narrow(0, 0, times()) : TensorView<const T>();
      if (parameters[0] || bias_ih) {
        const Tensor<T> features = this->transposed_chunk(x, 0, x.dim(2));
        if (lists_.state_takes_x) input.add(features, list, is_last, call_.threads);
        if (lists_.second) input_second.add(features, list_second, is_last, call_.threads);
      }
      if (parameters[1] || bias_hh) {
        state.add(this->transposed_before(this->h_states(), 0, call_.options.state_size()), list, is_last,
                  call_.threads);
        if (lists_.second_takes_h)
          state_second.add(transposed_scratch(), list_second, is_last, call_.threads);
      }
      if (call_.options.proj_size > 0 && parameters.back()) {
        const Tensor<T> padded = padded_gradients<T>(projected_.view().narrow(0, 0, times()), {});
        projection.add(transposed_scratch(), padded.view(), is_last, call_.threads);
      }
      if (grad_x.is_null()) continue;
      std::size_t i = 0;
      const auto add = [&](TensorView<const T> of) {
        this->add_input_gradient(inputs[i], of, grad_x, 0, direction_ == 0 && i == 0);
        ++i;
      };
      if (lists_.state_takes_x) add(list);
      if (lists_.second) add(list_second);
    }
  }

  const Tensor<T>& grad_h0() const noexcept { return grad_h0_; }  // [B, H_out]
  const Tensor<T>& grad_c0() const noexcept { return carry_; }    // [B, H], LSTM

 private:
  // Of a row of the list that goes with h, and of the second one.
  static std::size_t width_of(const BackwardCall<T>& call, bool is_first) noexcept {
    const GradientLists lists = lists_of(call.options.kind);
    const std::size_t lanes = call.kernels.lanes;
    const std::size_t gates = is_first ? lists.state.count : lists.second ? lists.second->count : 0;
    return gates * ((call.options.hidden_size + lanes - 1) / lanes * lanes);
  }
  void begin_chunk(std::size_t chunk) noexcept {
    if (chunk + 1 < this->chunks()) {
      std::copy_n(at(pre_, this->time_of_seam(), 0), seam_.size(), seam_.data());
    }
    this->set_chunk(chunk);
    for (Tensor<T>* list : {&pre_, &pre_second_, &projected_}) this->clear_past_lengths_of(*list);
  }
  bool carries_h() const noexcept {
    return call_.options.kind == CellKind::kGru || call_.options.kind == CellKind::kGruBefore;
  }
  const T* output_of(std::size_t row, std::size_t step) const noexcept {
    return this->state_at(this->h_states(), row, step);
  }
  const T* h_before(std::size_t row, std::size_t step) const noexcept {
    return this->state_before(this->h_states(), row, step);
  }
  const T* c_of(std::size_t row, std::size_t step) const noexcept {
    return this->state_at(this->c_states(), row, step);
  }
  const T* c_before(std::size_t row, std::size_t step) const noexcept {
    return this->state_before(this->c_states(), row, step);
  }

  // All but `later`, `grad`.
  kernels::BackwardRow<T> make_row(std::size_t row, std::size_t step) noexcept {
    const std::size_t t = time(row, step);
    const std::size_t H = call_.options.hidden_size;
    kernels::BackwardRow<T> made;
    const Tensor<T>& kept = call_.record.kept[index_];
    if (kept.dim(2) > 0) made.kept = kept.data() + (t * call_.batch + row) * kept.dim(2);
    made.carry = carry_.data() + row * H;
    made.pre = at(pre_, t, row);
    if (lists_.second) made.pre_x = at(pre_second_, t, row);
    switch (call_.options.kind) {
      case CellKind::kLstm:
        made.before = c_before(row, step);
        made.state = c_of(row, step);
        break;
      case CellKind::kGru:
      case CellKind::kGruBefore:
        made.before = h_before(row, step);
        break;
      case CellKind::kRnnTanh:
      case CellKind::kRnnRelu:
        made.state = output_of(row, step);
        break;
      case CellKind::kCustom:
        break;
    }
    return made;
  }

  // The chunk's steps of some rows.
  void walk_rows(const RowGroup& group, const OuterGradients<T>& outer) {
    const std::vector<std::size_t>& order = group.rows;
    const std::size_t H = call_.options.hidden_size, state_size = call_.options.state_size();
    const Tensor<T> zeros({pre_.dim(2)});
    std::vector<kernels::BackwardRow<T>> rows(order.size());
    std::vector<const T*> from(order.size());
    std::vector<T*> to(order.size());
    std::size_t active = 0;
    bool is_downward = false;
    for (std::size_t step = std::min(group.longest, last_step_); step-- > first_step_;
         is_downward = !is_downward) {
      while (active < order.size() && call_.length(order[active]) > step) ++active;
      for (std::size_t i = 0; i < active; ++i) {
        const std::size_t row = order[i];
        const std::size_t t = time(row, step);
        const bool is_last = step + 1 == call_.length(row);
        rows[i] = make_row(row, step);
        rows[i].later = is_last                  ? zeros.data()
                        : step + 1 == last_step_ ? seam_.data() + row * seam_.dim(1)
                                                 : at(pre_, time(row, step + 1), row);
        if (outer.output) rows[i].grad = &outer.output(t, row, direction_ * state_size);
        if (is_last && outer.h_n != nullptr) {
          T* const sum = last_.data() + row * state_size;
          std::copy_n(outer.h_n + row * state_size, state_size, sum);
          if (outer.output) add_to(rows[i].grad, sum, state_size);
          rows[i].grad = sum;
        }
        if (outer.c_sequence) add_to(&outer.c_sequence(t, row, direction_ * H), rows[i].carry, H);
      }
      if (measure_ != nullptr) measure_step(order, rows, from, to, active, step);
      run_step(order, rows, from, to, active, step, is_downward);
    }
    if (first_step_ == 0) finish_rows(order, from, to, outer.h_n);
  }

  // Makes the gradient of h that run_step makes on its way and does not keep: grad + U^T later + carry, and
  // what zoneout brought back.
  void measure_step(const std::vector<std::size_t>& order, const std::vector<kernels::BackwardRow<T>>& rows,
                    std::vector<const T*>& from, std::vector<T*>& to, std::size_t active,
                    std::size_t step) noexcept {
    const std::size_t state_size = call_.options.state_size();
    for (std::size_t i = 0; i < active; ++i) {
      from[i] = rows[i].later;
      to[i] = grad_h0_.data() + order[i] * state_size;  // which finish_rows writes in the end
    }
    call_.kernels.linear(state_.matrix, from.data(), to.data(), active, {0, state_.matrix.blocks});
    for (std::size_t i = 0; i < active; ++i) {
      const std::size_t row = order[i];
      if (rows[i].grad != nullptr) add_to(rows[i].grad, to[i], state_size);
      if (carries_h()) add_to(rows[i].carry, to[i], state_size);
      if (zoneout_ != nullptr) add_to(old_h_.data() + row * state_size, to[i], state_size);
      measure_->add_gradient(time(row, step), row, to[i], state_size);
      // A plain RNN keeps nothing but h.
      measure_->count(row, rows[i].kept != nullptr ? rows[i].kept : output_of(row, step));
    }
  }

  void run_step(const std::vector<std::size_t>& order, std::vector<kernels::BackwardRow<T>>& rows,
                std::vector<const T*>& from, std::vector<T*>& to, std::size_t active, std::size_t step,
                bool is_downward) noexcept {
    const auto sweep = [is_downward](const PackedWeights<T>& weights) {
      return kernels::BlockSweep{0, weights.matrix.blocks, is_downward};
    };
    const kernels::PackedGemm<T>& kernels = call_.kernels;
    const PackedWeights<T>& state = zoneout_ != nullptr ? no_weights_ : state_;
    if (zoneout_ != nullptr) begin_zoned_step(order, rows, from, to, active, step, sweep(state_));
    switch (call_.options.kind) {
      case CellKind::kLstm:
        if (call_.options.proj_size > 0) {
          // The gradient of h, which the projection made, and then of m, from which it made it.
          for (std::size_t i = 0; i < active; ++i) {
            from[i] = rows[i].later;
            to[i] = at(projected_, time(order[i], step), order[i]);
          }
          kernels.linear(state.matrix, from.data(), to.data(), active, sweep(state));
          for (std::size_t i = 0; i < active; ++i) {
            if (rows[i].grad != nullptr) add_to(rows[i].grad, to[i], call_.options.proj_size);
            rows[i].grad = nullptr;
            rows[i].later = to[i];
          }
          kernels.lstm_backward(second_->matrix, rows.data(), active, sweep(*second_));
        } else {
          kernels.lstm_backward(state.matrix, rows.data(), active, sweep(state));
        }
        break;
      case CellKind::kGru:
        kernels.gru_backward(state.matrix, rows.data(), active, sweep(state));
        break;
      case CellKind::kGruBefore:
        kernels.gru_before_candidate_backward(state.matrix, rows.data(), active, sweep(state));
        for (std::size_t i = 0; i < active; ++i) {
          rows[i].grad = nullptr;
          rows[i].later = rows[i].pre_x;
        }
        kernels.gru_before_gates_backward(second_->matrix, rows.data(), active, sweep(*second_));
        break;
      case CellKind::kRnnTanh:
        kernels.rnn_tanh_backward(state.matrix, rows.data(), active, sweep(state));
        break;
      case CellKind::kRnnRelu:
        kernels.rnn_relu_backward(state.matrix, rows.data(), active, sweep(state));
        break;
      case CellKind::kCustom:
        break;
    }
    if (zoneout_ != nullptr) end_zoned_step(order, active);
  }

  // The gradient of each mixed state goes to the old one and to the new one by their shares: that of the new
  // h stands in grad_h_ then, and `rows` are such that the kernels add nothing to it.
  void begin_zoned_step(const std::vector<std::size_t>& order, std::vector<kernels::BackwardRow<T>>& rows,
                        std::vector<const T*>& from, std::vector<T*>& to, std::size_t active,
                        std::size_t step, kernels::BlockSweep sweep) noexcept {
    const std::size_t H = call_.options.hidden_size, state_size = call_.options.state_size();
    const std::size_t lanes = call_.kernels.lanes;
    for (std::size_t i = 0; i < active; ++i) {
      from[i] = rows[i].later;
      to[i] = grad_h_.data() + order[i] * state_size;
    }
    call_.kernels.linear(state_.matrix, from.data(), to.data(), active, sweep);
    for (std::size_t i = 0; i < active; ++i) {
      const std::size_t row = order[i], t = time(row, step);
      T* const grad = to[i];
      T* const old_h = old_h_.data() + row * state_size;
      T* const carry = carry_.data() + row * H;
      const auto h_share = zoneout_->h.at(t, row, direction_ * state_size);
      if (rows[i].grad != nullptr) add_to(rows[i].grad, grad, state_size);
      add_to(old_h, grad, state_size);
      for (std::size_t k = 0; k < state_size; ++k) {
        old_h[k] = h_share[k] * grad[k];
        grad[k] *= 1 - h_share[k];
      }
      rows[i].grad = grad;
      rows[i].later = kNoGradient;
      if (call_.options.kind != CellKind::kLstm) continue;
      T* const old_c = old_c_.data() + row * H;
      T* const new_c = new_c_.data() + row * H;
      const auto c_share = zoneout_->c.at(t, row, direction_ * H);
      for (std::size_t k = 0; k < H; ++k) {
        old_c[k] = c_share[k] * carry[k];
        carry[k] *= 1 - c_share[k];
        // c before it was mixed, from which h was made.
        const T* const gates = rows[i].kept + k / lanes * 4 * lanes + k % lanes;
        new_c[k] = gates[lanes] * rows[i].before[k] + gates[0] * gates[2 * lanes];
      }
      rows[i].state = new_c;
    }
  }
  // What the kernels carry on to the step before is then of the old states alone.
  void end_zoned_step(const std::vector<std::size_t>& order, std::size_t active) noexcept {
    const std::size_t H = call_.options.hidden_size;
    for (std::size_t i = 0; i < active; ++i) {
      T* const carry = carry_.data() + order[i] * H;
      if (call_.options.kind == CellKind::kLstm) add_to(old_c_.data() + order[i] * H, carry, H);
      if (!carries_h()) continue;
      add_to(carry, old_h_.data() + order[i] * H, H);
      std::fill_n(carry, H, T{0});
    }
  }

  // The gradient of h0, from the first step's.
  void finish_rows(const std::vector<std::size_t>& order, std::vector<const T*>& from, std::vector<T*>& to,
                   const T* h_n) noexcept {
    const std::size_t state_size = call_.options.state_size();
    std::size_t count = 0;
    for (const std::size_t row : order) {
      T* const grad = grad_h0_.data() + row * state_size;
      if (call_.length(row) == 0) {
        if (h_n != nullptr) std::copy_n(h_n + row * state_size, state_size, grad);
        continue;
      }
      from[count] = at(pre_, time(row, 0), row);
      to[count++] = grad;
    }
    call_.kernels.linear(state_.matrix, from.data(), to.data(), count, {0, state_.matrix.blocks});
    if (zoneout_ != nullptr) {
      for (const std::size_t row : order) {
        if (call_.length(row) > 0)
          add_to(old_h_.data() + row * state_size, grad_h0_.data() + row * state_size, state_size);
      }
    }
    if (!carries_h()) return;
    for (const std::size_t row : order) {
      if (call_.length(row) > 0)
        add_to(carry_.data() + row * state_size, grad_h0_.data() + row * state_size, state_size);
    }
  }

  // r h, or m, of each step of the chunk: its scratch, [H + 1, T*B].
  Tensor<T> transposed_scratch() const {
    return this->transposed_chunk(call_.record.scratch[index_].view(), 0, call_.options.hidden_size);
  }

  GradientLists lists_;
  const PackedWeights<T>& state_;
  const PackedWeights<T>* second_;
  GateMeasure<T>* measure_;             // or null
  const Zoneout<T>* zoneout_;           // null: none
  static constexpr T kNoGradient[1]{};  // what no_weights_ reads
  PackedWeights<T> no_weights_;         // [H_out, 1] zeros, in place of state_
  Tensor<T> pre_;                       // [chunk, B, list]
  Tensor<T> pre_second_;                // [chunk, B, list]
  Tensor<T> projected_;                 // [chunk, B, P]: gradients of h
  Tensor<T> seam_;                      // [B, list] of the step after the chunk
  Tensor<T> carry_;                     // [B, H]
  Tensor<T> last_;                      // [B, H_out]: gradients of the last step's output and of h_n
  Tensor<T> grad_h0_;                   // [B, H_out]
  Tensor<T> grad_h_;                    // zoneout: [B, H_out], of the new h
  Tensor<T> old_h_;                     // [B, H_out], of the old h by its share
  Tensor<T> old_c_;                     // [B, H], of the old c
  Tensor<T> new_c_;                     // [B, H]
};

}  // namespace sluice
