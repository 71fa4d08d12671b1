// SPDX-License-Identifier: Apache-2.0
// The public cells: a recurrent net of one layer and one direction, run for one step.
#include "sluice/cells.h"

#include <algorithm>
#include <array>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/check.h"
#include "layers/recurrent_net.h"
#include "layers/recurrent_tape.h"

namespace sluice {
namespace {

RecurrentOptions net_options(std::string_view type, CellKind kind, const CellOptions& options) {
  return {.type = type,
          .kind = kind,
          .names = ParameterNames::kCell,
          .input_size = options.input_size,
          .hidden_size = options.hidden_size,
          .has_bias = options.bias};
}

Shape step_shape(std::size_t rank, std::size_t batch, std::size_t features) {
  return rank == 1 ? Shape({features}) : Shape({batch, features});
}

// A view [B, F] or [F] as a sequence of one step, or as the state of one layer: [1, B, F] or [1, F].
template <class T>
TensorView<const T> as_sequence(TensorView<const T> view) {
  if (!view) return view;
  if (view.rank() == 1) {
    const std::array<std::ptrdiff_t, 2> strides{0, view.stride(0)};
    return {view.data(), Shape({1, view.dim(0)}), strides};
  }
  const std::array<std::ptrdiff_t, 3> strides{0, view.stride(0), view.stride(1)};
  return {view.data(), Shape({1, view.dim(0), view.dim(1)}), strides};
}

// And back.
template <class T>
Tensor<T> as_step(Tensor<T> sequence) {
  if (sequence.is_null()) return sequence;
  const Shape shape(sequence.shape().dims().subspan(1));
  return std::move(sequence).reshaped(shape);
}

// One step of `net`, on the tape if there is one; h_n and c_n come back as [B, H] or [H].
template <class T>
LSTMState<T> run_cell(const RecurrentNet<T>& net, TensorView<const T> x, TensorView<const T> h,
                      TensorView<const T> c, Tape* tape = nullptr) {
  const std::string call = std::string(net.options().type) + (tape != nullptr ? "::record" : "::forward");
  const std::size_t input_size = net.options().input_size;
  if ((x.rank() != 1 && x.rank() != 2) || x.dim(x.rank() - 1) != input_size) {
    const std::string features = std::to_string(input_size) + "]";
    throw_shape_error(call, "x", x.shape(), "[B, " + features + " or [" + features);
  }
  const Shape state = step_shape(x.rank(), x.dim(0), net.options().hidden_size);
  if (h) check_shape(call, "h", h.shape(), state);
  if (c) check_shape(call, "c", c.shape(), state);
  const RecurrentInput<T> in{.h0 = as_sequence(h), .c0 = as_sequence(c)};
  constexpr auto kLayout = SequenceLayout::kTimeFirst;
  RecurrentOutput<T> out = tape != nullptr ? record_call(net, as_sequence(x), in, kLayout, *tape, {})
                                           : net.forward(as_sequence(x), in, kLayout);
  return {as_step(std::move(out.h_n)), as_step(std::move(out.c_n))};
}

template <class T>
CellGradients<T> cell_backward(const RecurrentNet<T>& net, TensorView<const T> grad_h,
                               TensorView<const T> grad_c, Tape& tape, Parameters<T>& parameters,
                               const BackwardOptions& options) {
  const Tape::Step step(tape);
  const auto entry = take_call(net, tape);
  const std::string call = std::string(net.options().type) + "::backward";
  const Shape state = step_shape(entry->rank - 1, entry->record.x.dim(1), net.options().hidden_size);
  if (grad_h) check_shape(call, "grad_h", grad_h.shape(), state);
  if (grad_c) check_shape(call, "grad_c", grad_c.shape(), state);
  RecurrentInputGradients<T> grads = backward_entry<T>(
      net, *entry, {.h_n = as_sequence(grad_h), .c_n = as_sequence(grad_c)}, parameters, options);
  return {as_step(std::move(grads.x)), as_step(std::move(grads.h0)), as_step(std::move(grads.c0))};
}

// Rows on the stack, a chunk at a time: a multiple of every tile, large enough to share the weights.
constexpr std::size_t kChunkRows = 48;

// A step of rows of `net` without memory. They lie behind one another from `first` on; scratch, in c_out,
// those of a chunk, which has at most `chunk` rows.
template <class T>
void step_rows(const RecurrentNet<T>& net, std::size_t batch, const kernels::Row<T>& first,
               std::size_t chunk = kChunkRows) noexcept {
  const PackedCell<T>& cell = net.cell(0);
  // Callers keep h in two buffers in turn, so this turns round from step to step (kernels::BlockSweep).
  const bool is_downward = std::less<const T*>()(first.h_out, first.h);
  std::array<kernels::Row<T>, kChunkRows> rows;
  for (std::size_t done = 0; done < batch; done += chunk) {
    const std::size_t count = std::min(chunk, batch - done);
    for (std::size_t r = 0; r < count; ++r) {
      const std::size_t b = done + r;
      rows[r] = {.x = first.x + b * net.options().input_size,
                 .h = first.h + b * cell.state_size(),
                 .c = first.c + b * cell.c_size(),
                 .h_out = first.h_out + b * cell.state_size(),
                 .c_out = first.c_out + b * cell.c_size() + r * cell.scratch_size()};
    }
    cell.step(rows.data(), count, is_downward);
  }
}

template <class T>
std::unique_ptr<const RecurrentNet<T>> make_net(std::string_view type, CellKind kind,
                                                const CellOptions& options, const StateDict<T>& weights,
                                                const std::string& prefix) {
  return std::make_unique<const RecurrentNet<T>>(net_options(type, kind, options), weights, prefix);
}

}  // namespace

template <class T>
LSTMCell<T>::LSTMCell(const CellOptions& options, const StateDict<T>& weights, const std::string& prefix)
    : options_(options), net_(make_net("LSTMCell", CellKind::kLstm, options, weights, prefix)) {}
template <class T>
LSTMCell<T>::~LSTMCell() = default;
template <class T>
LSTMCell<T>::LSTMCell(LSTMCell&&) noexcept = default;
template <class T>
LSTMCell<T>& LSTMCell<T>::operator=(LSTMCell&&) noexcept = default;

template <class T>
LSTMState<T> LSTMCell<T>::forward(TensorView<const T> x, TensorView<const T> h, TensorView<const T> c) const {
  return run_cell(*net_, x, h, c);
}

template <class T>
void LSTMCell<T>::step(std::size_t batch, const T* x, const T* h, const T* c, T* h_out,
                       T* c_out) const noexcept {
  step_rows<T>(*net_, batch, {.x = x, .h = h, .c = c, .h_out = h_out, .c_out = c_out});
}

template <class T>
LSTMState<T> LSTMCell<T>::record(TensorView<const T> x, TensorView<const T> h, TensorView<const T> c,
                                 Tape& tape) const {
  return run_cell(*net_, x, h, c, &tape);
}
template <class T>
CellGradients<T> LSTMCell<T>::backward(TensorView<const T> grad_h, TensorView<const T> grad_c, Tape& tape,
                                       Parameters<T>& parameters, const BackwardOptions& options) const {
  return cell_backward(*net_, grad_h, grad_c, tape, parameters, options);
}
template <class T>
void LSTMCell<T>::load(const StateDict<T>& weights) {
  net_ = std::make_unique<const RecurrentNet<T>>(net_->options(), weights, net_->prefix());
}
template <class T>
std::vector<ParameterInfo> LSTMCell<T>::parameters() const {
  return net_->parameters();
}
template <class T>
double LSTMCell<T>::flops_per_step() const noexcept {
  return net_->flops_per_step();
}

template <class T>
GRUCell<T>::GRUCell(const CellOptions& options, const StateDict<T>& weights, const std::string& prefix,
                    GRUReset reset)
    : options_(options),
      net_(make_net("GRUCell", reset == GRUReset::kAfter ? CellKind::kGru : CellKind::kGruBefore, options,
                    weights, prefix)) {}
template <class T>
GRUCell<T>::~GRUCell() = default;
template <class T>
GRUCell<T>::GRUCell(GRUCell&&) noexcept = default;
template <class T>
GRUCell<T>& GRUCell<T>::operator=(GRUCell&&) noexcept = default;

template <class T>
Tensor<T> GRUCell<T>::forward(TensorView<const T> x, TensorView<const T> h) const {
  return run_cell(*net_, x, h, {}).h;
}
template <class T>
void GRUCell<T>::step(std::size_t batch, const T* x, const T* h, T* h_out) const noexcept {
  kernels::Row<T> first{.x = x, .h = h, .h_out = h_out};
  const std::size_t scratch_size = net_->cell(0).scratch_size();
  if (scratch_size == 0) return step_rows(*net_, batch, first);
  std::array<T, (std::size_t{16} << 10) / sizeof(T)> scratch;
  std::vector<T> large(scratch_size > scratch.size() ? scratch_size : 0);
  first.c_out = large.empty() ? scratch.data() : large.data();
  step_rows(*net_, batch, first, std::clamp<std::size_t>(scratch.size() / scratch_size, 1, kChunkRows));
}
template <class T>
Tensor<T> GRUCell<T>::record(TensorView<const T> x, TensorView<const T> h, Tape& tape) const {
  return run_cell(*net_, x, h, {}, &tape).h;
}
template <class T>
CellGradients<T> GRUCell<T>::backward(TensorView<const T> grad_h, Tape& tape, Parameters<T>& parameters,
                                      const BackwardOptions& options) const {
  return cell_backward(*net_, grad_h, {}, tape, parameters, options);
}
template <class T>
void GRUCell<T>::load(const StateDict<T>& weights) {
  net_ = std::make_unique<const RecurrentNet<T>>(net_->options(), weights, net_->prefix());
}
template <class T>
std::vector<ParameterInfo> GRUCell<T>::parameters() const {
  return net_->parameters();
}
template <class T>
double GRUCell<T>::flops_per_step() const noexcept {
  return net_->flops_per_step();
}

template <class T>
RNNCell<T>::RNNCell(const CellOptions& options, const StateDict<T>& weights, const std::string& prefix,
                    Nonlinearity nonlinearity)
    : options_(options),
      net_(make_net("RNNCell", nonlinearity == Nonlinearity::kTanh ? CellKind::kRnnTanh : CellKind::kRnnRelu,
                    options, weights, prefix)) {}
template <class T>
RNNCell<T>::~RNNCell() = default;
template <class T>
RNNCell<T>::RNNCell(RNNCell&&) noexcept = default;
template <class T>
RNNCell<T>& RNNCell<T>::operator=(RNNCell&&) noexcept = default;

template <class T>
Tensor<T> RNNCell<T>::forward(TensorView<const T> x, TensorView<const T> h) const {
  return run_cell(*net_, x, h, {}).h;
}
template <class T>
void RNNCell<T>::step(std::size_t batch, const T* x, const T* h, T* h_out) const noexcept {
  step_rows<T>(*net_, batch, {.x = x, .h = h, .h_out = h_out});
}
template <class T>
Tensor<T> RNNCell<T>::record(TensorView<const T> x, TensorView<const T> h, Tape& tape) const {
  return run_cell(*net_, x, h, {}, &tape).h;
}
template <class T>
CellGradients<T> RNNCell<T>::backward(TensorView<const T> grad_h, Tape& tape, Parameters<T>& parameters,
                                      const BackwardOptions& options) const {
  return cell_backward(*net_, grad_h, {}, tape, parameters, options);
}
template <class T>
void RNNCell<T>::load(const StateDict<T>& weights) {
  net_ = std::make_unique<const RecurrentNet<T>>(net_->options(), weights, net_->prefix());
}
template <class T>
std::vector<ParameterInfo> RNNCell<T>::parameters() const {
  return net_->parameters();
}
template <class T>
double RNNCell<T>::flops_per_step() const noexcept {
  return net_->flops_per_step();
}

template class LSTMCell<float>;
template class LSTMCell<double>;
template class GRUCell<float>;
template class GRUCell<double>;
template class RNNCell<float>;
template class RNNCell<double>;

}  // namespace sluice
