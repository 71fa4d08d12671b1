// SPDX-License-Identifier: Apache-2.0
// oneDNN's way back through LSTM and GRU.
#include <omp.h>

#include <algorithm>
#include <array>
#include <optional>

#include "onednn.h"
#include "sluice/optim.h"
#include "sluice/parameters.h"

namespace sluice::peers {
namespace {

// Forward and backward; in "train-step" all of a step: the loss's gradient, Adam (oneDNN has none, so it is
// sluice's), and the weights in the layouts that forward and backward ask for. Parameters are held in the
// layout of their gradients, whichever that is: Adam goes element by element.
class Training : public Job {
 public:
  explicit Training(const Case& c) : c_(c), stream_(engine()), given_(c.array("given.npy")) {
    omp_set_num_threads(c.threads);
    using Tag = memory::format_tag;
    const memory::desc none, state({1, 1, dim(c.B), dim(c.H)}, kF32, Tag::ldnc);
    const memory::desc x({dim(c.T), dim(c.B), dim(c.I)}, kF32, Tag::tnc);
    const memory::desc y({dim(c.T), dim(c.B), dim(c.H)}, kF32, Tag::tnc);
    const memory::desc w(w_dims(0), kF32, Tag::any), u(w_dims(1), kF32, Tag::any);
    const memory::desc b({1, 1, 4, dim(c.H)}, kF32, Tag::ldgo);
    const auto direction = dnnl::rnn_direction::unidirectional_left2right;
    x_ = allocate(x), y_ = allocate(y), grad_x_ = allocate(x), grad_y_ = allocate(y);
    bias_ = allocate(b), grad_bias_ = allocate(b);
    // With the first state left out, each version makes a wrong gradient of an LSTM's U.
    if (is_lstm()) {
      const auto forward =
          describe<dnnl::lstm_forward>(kTraining, direction, x, state, state, w, u, b, y, none, none);
      make(forward,
           describe_backward<dnnl::lstm_backward>(forward, direction, x, state, state, w, u, b, y, none, none,
                                                  x, state, state, w, u, b, y, none, none));
    } else {
      const auto forward = describe<dnnl::lbr_gru_forward>(kTraining, direction, x, state, w, u, b, y, none);
      make(forward, describe_backward<dnnl::lbr_gru_backward>(forward, direction, x, state, w, u, b, y, none,
                                                              x, state, w, u, b, y, none));
    }
    const memory zeros = allocate(state), grad_h0 = allocate(state), grad_c0 = allocate(state);
    std::fill_n(data(zeros), c.B * c.H, 0.0F);
    for (Args* args : {&forward_args_, &backward_args_}) {
      args->insert({{DNNL_ARG_SRC_ITER, zeros}, {DNNL_ARG_SRC_ITER_C, zeros}});
    }
    backward_args_.insert({{DNNL_ARG_DIFF_SRC_ITER, grad_h0}, {DNNL_ARG_DIFF_SRC_ITER_C, grad_c0}});
    write(x_, c.input().data());
    write(grad_y_, given_.data());
    restart();
  }
  void run() override {
    forward_.execute(stream_, forward_args_);
    parameters_.zero_grad();
    float* const grad_b = data(grad_bias_);
    std::fill_n(grad_b, 4 * c_.H, 0.0F);
    if (is_step()) {
      stream_.wait();
      const float *y = data(y_), *target = given_.data();
      float* grad = data(grad_y_);
      const float scale = 2 / static_cast<float>(given_.size());
#pragma omp parallel for
      for (std::size_t i = 0; i < given_.size(); ++i) grad[i] = scale * (y[i] - target[i]);
    }
    backward_.execute(stream_, backward_args_);
    stream_.wait();
    // Biases are two in PyTorch, whose gradients are one, but for the gate of a GRU that is reset.
    std::copy_n(grad_b, c_.gates() * c_.H, parameters_.grad(2).data());
    std::copy_n(grad_b, c_.gates() * c_.H, parameters_.grad(3).data());
    if (!is_lstm()) std::copy_n(grad_b + 3 * c_.H, c_.H, parameters_.grad(3).data() + 2 * c_.H);
    if (is_step()) {
      adam_->step(parameters_);
      take_parameters();
    }
  }
  Tensor<float> result() override {
    if (!is_step()) {
      Tensor<float> y(given_.shape()), grad_x({c_.T, c_.B, c_.I});
      read(y_, y.data());
      read(grad_x_, grad_x.data());
      return joined({y, grad_x, of_torch(0, true), of_torch(1, true), of_torch(2, true), of_torch(3, true)});
    }
    restart();
    for (std::size_t i = 0; i < c_.updates; ++i) run();
    return joined({of_torch(0, false), of_torch(1, false), of_torch(2, false), of_torch(3, false)});
  }

 private:
  bool is_lstm() const { return c_.cell == "lstm"; }
  bool is_step() const { return c_.kind == "train-step"; }
  // Of W and U.
  std::size_t columns(std::size_t i) const { return i == 0 ? c_.I : c_.H; }
  Dims w_dims(std::size_t i) const { return {1, 1, dim(columns(i)), dim(c_.gates()), dim(c_.H)}; }
  static float* data(const memory& from) { return static_cast<float*>(from.get_data_handle()); }
  memory in_parameters(std::size_t i, bool is_grad) {
    return memory(descs_[i], engine(), (is_grad ? parameters_.grad(i) : parameters_.value(i)).data());
  }

  template <class Forward, class Backward>
  void make(const Forward& forward, const Backward& backward) {
    descs_ = {backward.diff_weights_layer_desc(), backward.diff_weights_iter_desc()};
    const auto elements = [&](std::size_t i) { return Shape{descs_[i].get_size() / sizeof(float)}; };
    const Shape bias{c_.gates() * c_.H};
    parameters_ = Parameters<float>({{"w", elements(0)}, {"u", elements(1)}, {"b_ih", bias}, {"b_hh", bias}});
    forward_ = dnnl::primitive(forward.get());
    backward_ = dnnl::primitive(backward.get());
    const memory workspace = allocate(forward.workspace_desc());
    forward_args_ = {{DNNL_ARG_SRC_LAYER, x_},
                     {DNNL_ARG_WEIGHTS_LAYER, weights(0, forward.weights_layer_desc())},
                     {DNNL_ARG_WEIGHTS_ITER, weights(1, forward.weights_iter_desc())},
                     {DNNL_ARG_BIAS, bias_},
                     {DNNL_ARG_DST_LAYER, y_},
                     {DNNL_ARG_WORKSPACE, workspace},
                     {DNNL_ARG_SCRATCHPAD, allocate(forward.scratchpad_desc())}};
    backward_args_ = {{DNNL_ARG_SRC_LAYER, x_},
                      {DNNL_ARG_WEIGHTS_LAYER, weights(0, backward.weights_layer_desc())},
                      {DNNL_ARG_WEIGHTS_ITER, weights(1, backward.weights_iter_desc())},
                      {DNNL_ARG_BIAS, bias_},
                      {DNNL_ARG_DST_LAYER, y_},
                      {DNNL_ARG_DIFF_DST_LAYER, grad_y_},
                      {DNNL_ARG_DIFF_SRC_LAYER, grad_x_},
                      {DNNL_ARG_DIFF_WEIGHTS_LAYER, in_parameters(0, true)},
                      {DNNL_ARG_DIFF_WEIGHTS_ITER, in_parameters(1, true)},
                      {DNNL_ARG_DIFF_BIAS, grad_bias_},
                      {DNNL_ARG_WORKSPACE, workspace},
                      {DNNL_ARG_SCRATCHPAD, allocate(backward.scratchpad_desc())}};
  }
  // W or U in the layout `wanted`, which take_parameters() keeps up to date.
  memory weights(std::size_t i, const memory::desc& wanted) {
    memory from = in_parameters(i, false);
    if (wanted == descs_[i]) return from;
    memory to = allocate(wanted);
    copies_.push_back({dnnl::reorder(from, to), from, to});
    return to;
  }
  void take_parameters() {
    for (Copy& copy : copies_) copy.reorder.execute(stream_, copy.from, copy.to);
    stream_.wait();
    const float *b_ih = parameters_.value(2).data(), *b_hh = parameters_.value(3).data();
    float* const b = data(bias_);
    const std::size_t sums = (is_lstm() ? 4 : 2) * c_.H;
    for (std::size_t i = 0; i < sums; ++i) b[i] = b_ih[i] + b_hh[i];
    for (std::size_t i = sums; i < 3 * c_.H; ++i) b[i] = b_ih[i], b[i + c_.H] = b_hh[i];
  }
  void restart() {
    const StateDict<float> dict = c_.weights();
    for (std::size_t i : {0, 1}) {
      const TensorView<const float> weight = dict.at(i == 0 ? "weight_ih_l0" : "weight_hh_l0");
      std::vector<float> values(weight.size());
      lay_out(c_, weight, columns(i), values.data());
      memory from = plain(w_dims(i), values.data()), to = in_parameters(i, false);
      dnnl::reorder(from, to).execute(stream_, from, to);
      stream_.wait();
      lay_out(c_, dict.at(i == 0 ? "bias_ih_l0" : "bias_hh_l0"), 1, parameters_.value(2 + i).data());
    }
    take_parameters();
    adam_.emplace(parameters_);
  }
  // A value or gradient as PyTorch has it.
  Tensor<float> of_torch(std::size_t i, bool is_grad) {
    const std::size_t n = i < 2 ? columns(i) : 1;
    Tensor<float> ours({c_.gates() * c_.H * n}), theirs(ours.shape());
    if (i < 2) {
      read(reordered(stream_, in_parameters(i, is_grad), {w_dims(i), kF32, memory::format_tag::ldigo}),
           ours.data());
    } else {
      std::copy_n((is_grad ? parameters_.grad(i) : parameters_.value(i)).data(), ours.size(), ours.data());
    }
    for_each_element(c_, n, [&](std::size_t from, std::size_t to) { theirs(to) = ours(from); });
    return theirs;
  }

  struct Copy {
    dnnl::reorder reorder;
    memory from, to;
  };

  Case c_;
  dnnl::stream stream_;
  Tensor<float> given_;  // the gradient of y, or what y should be
  memory x_, y_, grad_x_, grad_y_, bias_, grad_bias_;
  std::array<memory::desc, 2> descs_;  // of W and U and their gradients in parameters_
  Parameters<float> parameters_;       // gates as oneDNN has them
  std::optional<Adam<float>> adam_;
  std::vector<Copy> copies_;
  dnnl::primitive forward_, backward_;
  Args forward_args_, backward_args_;
};

}  // namespace

std::unique_ptr<Job> make_training(const Case& c) { return std::make_unique<Training>(c); }

}  // namespace sluice::peers
