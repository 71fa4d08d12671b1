// SPDX-License-Identifier: Apache-2.0
#include "layers/recurrent_backward.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "core/check.h"
#include "layers/custom_cell_backward.h"
#include "layers/gate_measure.h"
#include "layers/recurrent_cell_backward.h"
#include "layers/sequence.h"

namespace sluice {

template <class T>
RecurrentBackward<T>::RecurrentBackward(const RecurrentNet<T>& net, const StateDict<T>& weights)
    : net_(&net), options_(net.options()), kernels_(&net.cell(0).kernels()) {
  for (std::size_t layer = 0; layer < options_.num_layers; ++layer) {
    for (std::size_t direction = 0; direction < options_.directions(); ++direction) {
      const std::vector<ParameterInfo> names = net.cell_parameters(layer, direction);
      if (options_.kind == CellKind::kCustom) {
        std::vector<TensorView<const T>> found;
        found.reserve(names.size());
        for (const ParameterInfo& info : names) found.push_back(weights.at(info.name, info.shape));
        cells_.emplace_back().custom =
            std::make_unique<const CustomBackwardPrograms<T>>(options_.form(layer), found);
        continue;
      }
      const std::size_t lanes = kernels_->lanes;
      const std::size_t units = options_.hidden_size;
      const TensorView<const T> w = weights.at(names[0].name, names[0].shape);
      const TensorView<const T> u = weights.at(names[1].name, names[1].shape);
      const GradientLists lists = lists_of(options_.kind);
      Tensor<T> w_copy, u_copy;
      const auto transposed = [&](TensorView<const T> rows, GateRange gates) {
        return pack_transposed<T>(rows, list_order(gates, units, lanes));
      };
      const TensorView<const T> w_rows = contiguous(w, w_copy), u_rows = contiguous(u, u_copy);
      Cell cell{transposed(u_rows, lists.state), std::nullopt, {}, nullptr};
      if (lists.state_takes_x) cell.inputs.emplace_back(transposed(w_rows, lists.state));
      if (lists.second) cell.inputs.emplace_back(transposed(w_rows, *lists.second));
      if (lists.second_takes_h) cell.second = transposed(u_rows, *lists.second);
      if (options_.proj_size > 0) {
        const TensorView<const T> weight_hr = weights.at(names.back().name, names.back().shape);
        cell.second = pack_plain<T>(weight_hr.transpose(0, 1), {}, {}, {});
      }
      cells_.push_back(std::move(cell));
    }
  }
}

template <class T>
RecurrentInputGradients<T> RecurrentBackward<T>::run(RecurrentRecord<T>& record,
                                                     const RecurrentOutputGradients<T>& grads,
                                                     std::span<const TensorView<T>> parameters, bool wants_x,
                                                     int threads,
                                                     std::span<RecurrentStatistics> statistics) const {
  const std::size_t steps = record.x.dim(0), batch = record.x.dim(1);
  const std::size_t D = options_.directions(), c_size = options_.c_size(), state_size = options_.state_size();
  const std::string call = std::string(options_.type) + "::backward";
  const bool has_c = c_size > 0;
  if (grads.output) check_shape(call, "output", grads.output.shape(), Shape{steps, batch, D * state_size});
  if (grads.h_n) check_shape(call, "h_n", grads.h_n.shape(), Shape{cells_.size(), batch, state_size});
  if (grads.c_n) check_shape(call, "c_n", grads.c_n.shape(), Shape{cells_.size(), batch, c_size});
  if (grads.c_sequence)
    check_shape(call, "c_sequence", grads.c_sequence.shape(), Shape{steps, batch, D * c_size});
  const std::size_t per_cell = net_->cell_parameters(0, 0).size();
  SLUICE_DCHECK(parameters.size() == per_cell * cells_.size());

  RecurrentInputGradients<T> result;
  result.h0 = Tensor<T>({cells_.size(), batch, state_size});
  if (has_c) result.c0 = Tensor<T>({cells_.size(), batch, c_size});
  if (batch == 0) {
    if (wants_x) result.x = Tensor<T>(record.x.shape());
    return result;
  }
  Tensor<T> h_n_copy, c_n_copy;
  const TensorView<const T> h_n = grads.h_n ? contiguous(grads.h_n, h_n_copy) : grads.h_n;
  const TensorView<const T> c_n = grads.c_n ? contiguous(grads.c_n, c_n_copy) : grads.c_n;
  const BackwardCall<T> work{record, options_, *kernels_, steps, batch, threads};
  Tensor<T> above;  // the gradient of a layer's output, from the layer above
  TensorView<const T> output = grads.output;
  for (std::size_t layer = options_.num_layers; layer-- > 0;) {
    const bool is_top = layer + 1 == options_.num_layers;
    Tensor<T> dropped;
    const TensorView<const T> x = net_->layer_input(layer, record, threads, dropped);
    if (record.recompute) net_->recompute(layer, x, record, threads);
    const Zoneout<T> zoneout = net_->zoneout(layer, record, threads);
    Tensor<T> grad_x;
    if (layer > 0 || wants_x) grad_x = Tensor<T>::uninitialized({steps, batch, x.dim(2)});
    for (std::size_t direction = 0; direction < D; ++direction) {
      const std::size_t index = layer * D + direction;
      const Cell& cell = cells_[index];
      const OuterGradients<T> outer{.output = output,
                                    .c_sequence = is_top ? grads.c_sequence : TensorView<const T>(),
                                    .h_n = h_n ? &h_n(index, 0, 0) : nullptr,
                                    .c_n = c_n ? &c_n(index, 0, 0) : nullptr};
      const auto of_cell = parameters.subspan(index * per_cell, per_cell);
      const auto keep_states = [&](const auto& back) {
        std::copy_n(back.grad_h0().data(), batch * state_size, result.h0.data() + index * batch * state_size);
        if (has_c)
          std::copy_n(back.grad_c0().data(), batch * c_size, result.c0.data() + index * batch * c_size);
      };
      std::optional<GateMeasure<T>> measure;
      if (!statistics.empty()) {
        measure.emplace(cell.custom ? gates_of(options_.form(layer), kernels_->lanes)
                                    : gates_of(options_.kind, options_.hidden_size, kernels_->lanes),
                        kernels_->lanes, steps, batch);
      }
      if (cell.custom) {
        CustomCellBackward<T> back(work, layer, direction, *cell.custom, measure ? &*measure : nullptr);
        back.run(outer, x, of_cell, grad_x);
        if (measure) measure->add_to(statistics[index]);
        keep_states(back);
        continue;
      }
      RecurrentCellBackward<T> back(work, layer, direction, cell.state, cell.second ? &*cell.second : nullptr,
                                    measure ? &*measure : nullptr, options_.zones_out() ? &zoneout : nullptr);
      back.run(outer, x, of_cell, cell.inputs, grad_x);
      if (measure) measure->add_to(statistics[index]);
      keep_states(back);
    }
    if (record.recompute) record.forget(layer);
    if (layer > 0 && record.random && options_.drops_out())
      net_->mask_below(layer, *record.random).apply(grad_x, threads);
    above = std::move(grad_x);
    output = above.view();
  }
  if (wants_x) result.x = std::move(above);
  return result;
}

template class RecurrentBackward<float>;
template class RecurrentBackward<double>;

}  // namespace sluice
