// SPDX-License-Identifier: Apache-2.0
// oneDNN's RNN and eltwise primitives: weights in the layout that the primitive asks for (format any),
// reordered once; inference, but for training. GRU is lbr_gru, the form that PyTorch has. Built once for each
// version of oneDNN.
#include <omp.h>

#include <algorithm>

#include "onednn.h"

namespace sluice::peers {
namespace {

// One layer of one direction, or two that are concatenated, over T steps.
struct Layer {
  memory x, y;  // [T, B, I], [T, B, D * H]
  memory state[2],
      cell[2];  // [1, D, B, H], of even and odd calls; none where each sequence begins with zeros
  dnnl::primitive primitive;
  Args args;
};

class LayerMaker {
 public:
  LayerMaker(const Case& c, dnnl::stream& stream, bool has_state)
      : c_(c), stream_(stream), has_state_(has_state) {}

  // `steps`: of one call. `x` is the output of the layer before, if there is one.
  Layer make(const StateDict<float>& weights, std::size_t layer, std::size_t steps, const memory* x) {
    const std::size_t input = c_.layer_input(layer), d = c_.directions, g = c_.gates(), h = c_.H;
    const bool is_lstm = c_.cell == "lstm";
    const std::size_t bias_gates = 4;  // of lbr_gru: u, r, o and the recurrent part of o
    // weights [layer][direction][input][gate][output], from PyTorch's [gate * output][input].
    std::vector<float> w(d * input * g * h), u(d * h * g * h), b(d * bias_gates * h);
    for (std::size_t i = 0; i < d; ++i) {
      const std::string suffix = "_l" + std::to_string(layer) + (i == 1 ? "_reverse" : "");
      lay_out(c_, weights.at("weight_ih" + suffix), input, w.data() + i * input * g * h);
      lay_out(c_, weights.at("weight_hh" + suffix), h, u.data() + i * h * g * h);
      const float* of_x = weights.at("bias_ih" + suffix).data();
      const float* of_h = weights.at("bias_hh" + suffix).data();
      float* bias = b.data() + i * bias_gates * h;
      for (std::size_t gate = 0; gate < g; ++gate) {
        const std::size_t from = source_gate(c_, gate);
        const bool apart = !is_lstm && gate == 2;
        for (std::size_t k = 0; k < h; ++k) {
          bias[gate * h + k] = of_x[from * h + k] + (apart ? 0 : of_h[from * h + k]);
          if (apart) bias[3 * h + k] = of_h[from * h + k];
        }
      }
    }

    using Tag = memory::format_tag;
    const Dims x_dims{dim(steps), dim(c_.B), dim(input)}, y_dims{dim(steps), dim(c_.B), dim(d * h)};
    const Dims w_dims{1, dim(d), dim(input), dim(g), dim(h)}, u_dims{1, dim(d), dim(h), dim(g), dim(h)};
    const Dims b_dims{1, dim(d), dim(bias_gates), dim(h)}, state_dims{1, dim(d), dim(c_.B), dim(h)};
    const memory::desc x_desc(x_dims, kF32, Tag::tnc), y_desc(y_dims, kF32, Tag::tnc);
    const memory::desc w_any(w_dims, kF32, Tag::any), u_any(u_dims, kF32, Tag::any);
    const memory::desc b_desc(b_dims, kF32, Tag::ldgo);
    const memory::desc state_desc =
        has_state_ ? memory::desc(state_dims, kF32, Tag::ldnc) : memory::desc();  // none: zeros
    const auto direction =
        d == 2 ? dnnl::rnn_direction::bidirectional_concat : dnnl::rnn_direction::unidirectional_left2right;

    Layer made;
    memory::desc w_desc, u_desc, scratch_desc;
    const auto take = [&](const auto& description) {
      w_desc = description.weights_layer_desc();
      u_desc = description.weights_iter_desc();
      scratch_desc = description.scratchpad_desc();
    };
    if (is_lstm) {
      const auto description =
          describe<dnnl::lstm_forward>(kInference, direction, x_desc, state_desc, state_desc, w_any, u_any,
                                       b_desc, y_desc, state_desc, state_desc);
      take(description);
      made.primitive = dnnl::lstm_forward(description);
    } else {
      const auto description = describe<dnnl::lbr_gru_forward>(kInference, direction, x_desc, state_desc,
                                                               w_any, u_any, b_desc, y_desc, state_desc);
      take(description);
      made.primitive = dnnl::lbr_gru_forward(description);
    }
    made.x = x != nullptr ? *x : allocate(x_desc);
    made.y = allocate(y_desc);
    const memory bias = allocate(b_desc);
    write(bias, b.data());
    made.args = {{DNNL_ARG_SRC_LAYER, made.x},
                 {DNNL_ARG_WEIGHTS_LAYER, reordered(stream_, plain(w_dims, w.data()), w_desc)},
                 {DNNL_ARG_WEIGHTS_ITER, reordered(stream_, plain(u_dims, u.data()), u_desc)},
                 {DNNL_ARG_BIAS, bias},
                 {DNNL_ARG_SCRATCHPAD, allocate(scratch_desc)},
                 {DNNL_ARG_DST_LAYER, made.y}};
    if (has_state_) {
      const std::vector<float> zeros(d * c_.B * h);
      for (memory* pair : {made.state, made.cell}) {
        for (int i : {0, 1}) {
          pair[i] = allocate(state_desc);
          write(pair[i], zeros.data());
        }
      }
    }
    return made;
  }

 private:
  const Case& c_;
  dnnl::stream& stream_;
  bool has_state_;
};

// oneDNN has no lengths of rows: shorter ones run on over what pads them, and the outputs past their length
// are not looked at.
class Sequence : public Job {
 public:
  explicit Sequence(const Case& c) : stream_(engine()) {
    omp_set_num_threads(c.threads);
    LayerMaker maker(c, stream_, false);
    for (std::size_t l = 0; l < c.layers; ++l) {
      layers_.push_back(maker.make(c.weights(), l, c.T, l == 0 ? nullptr : &layers_.back().y));
    }
    write(layers_[0].x, c.input().data());
    y_ = Tensor<float>({c.T, c.B, c.directions * c.H});
    if (!c.lengths.empty()) setting_ = "rows padded to the longest: it has no lengths";
  }
  void run() override {
    for (const Layer& layer : layers_) layer.primitive.execute(stream_, layer.args);
    stream_.wait();
  }
  Tensor<float> result() override {
    read(layers_.back().y, y_.data());
    return y_;
  }
  std::string setting() const override { return setting_; }

 private:
  dnnl::stream stream_;
  std::vector<Layer> layers_;
  Tensor<float> y_;
  std::string setting_;
};

// One step a call of the primitive; two sets of states take turns.
class Stepped : public Job {
 public:
  explicit Stepped(const Case& c) : stream_(engine()), x_(c.input()), y_({c.T, c.B, c.H}) {
    omp_set_num_threads(c.threads);
    layer_ = LayerMaker(c, stream_, true).make(c.weights(), 0, 1, nullptr);
    for (int i : {0, 1}) {
      turn_[i] = layer_.args;
      turn_[i].insert({{DNNL_ARG_SRC_ITER, layer_.state[i]}, {DNNL_ARG_DST_ITER, layer_.state[1 - i]}});
      if (c.cell == "lstm") {
        turn_[i].insert({{DNNL_ARG_SRC_ITER_C, layer_.cell[i]}, {DNNL_ARG_DST_ITER_C, layer_.cell[1 - i]}});
      }
    }
  }
  void run() override {
    for (std::size_t t = 0; t < x_.dim(0); ++t) {
      write(layer_.x, &x_(t, 0, 0));
      layer_.primitive.execute(stream_, turn_[now_]);
      stream_.wait();
      now_ = 1 - now_;
      read(layer_.y, &y_(t, 0, 0));
    }
  }
  Tensor<float> result() override { return y_; }

 private:
  dnnl::stream stream_;
  Tensor<float> x_, y_;
  Layer layer_;
  Args turn_[2];
  int now_ = 0;
};

class Models : public Job {
 public:
  explicit Models(const Case& c)
      : c_(c),
        stream_(engine()),
        threads_(
            c.threads, c.models, [] { omp_set_num_threads(1); },
            [this](std::size_t m) {
              // A stream for each thread: they are not to be shared.
              thread_local dnnl::stream stream(engine());
              layers_[m].primitive.execute(stream, layers_[m].args);
              stream.wait();
            }) {
    const Tensor<float> x = c.input();
    LayerMaker maker(c_, stream_, false);
    for (std::size_t m = 0; m < c.models; ++m) {
      layers_.push_back(maker.make(c.weights(m), 0, c.T, nullptr));
      write(layers_[m].x, &x(m, 0, 0, 0));
    }
  }
  void run() override { threads_.run(); }
  Tensor<float> result() override {
    Tensor<float> all({c_.models, c_.T, c_.B, c_.H});
    for (std::size_t m = 0; m < c_.models; ++m) read(layers_[m].y, &all(m, 0, 0, 0));
    return all;
  }

 private:
  Case c_;
  dnnl::stream stream_;
  std::vector<Layer> layers_;
  HostThreads threads_;
};

class Elementwise : public Job {
 public:
  explicit Elementwise(const Case& c) : stream_(engine()), y_({c.n}) {
    omp_set_num_threads(c.threads);
    const memory::desc desc({dim(c.n)}, kF32, memory::format_tag::a);
    const auto algorithm =
        c.function == "sigmoid" ? dnnl::algorithm::eltwise_logistic : dnnl::algorithm::eltwise_tanh;
#if DNNL_VERSION_MAJOR >= 3
    primitive_ =
        dnnl::eltwise_forward(describe<dnnl::eltwise_forward>(kInference, algorithm, desc, desc, 0.0F, 0.0F));
#else
    primitive_ =
        dnnl::eltwise_forward(describe<dnnl::eltwise_forward>(kInference, algorithm, desc, 0.0F, 0.0F));
#endif
    const memory x = allocate(desc);
    write(x, c.input().data());
    args_ = {{DNNL_ARG_SRC, x}, {DNNL_ARG_DST, allocate(desc)}};
  }
  void run() override {
    primitive_.execute(stream_, args_);
    stream_.wait();
  }
  Tensor<float> result() override {
    read(args_.at(DNNL_ARG_DST), y_.data());
    return y_;
  }

 private:
  dnnl::stream stream_;
  Tensor<float> y_;
  dnnl::primitive primitive_;
  Args args_;
};

std::unique_ptr<Job> make(const Case& c) {
  if (c.kind == "sequence") return std::make_unique<Sequence>(c);
  if (c.kind == "stream") return std::make_unique<Stepped>(c);
  if (c.kind == "models") return std::make_unique<Models>(c);
  if (c.kind.starts_with("train")) return make_training(c);
  if (c.kind == "elementwise") return std::make_unique<Elementwise>(c);
  throw Unsupported{"it runs no whole networks"};
}

}  // namespace
}  // namespace sluice::peers

int main(int, char** argv) {
  const dnnl_version_t* v = dnnl_version();
  const std::string version =
      std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
  // The engine's name is the program's: onednn, onednn-debian ...
  const std::string program(argv[0]);
  return sluice::peers::serve(program.substr(program.rfind('/') + 1), version, &sluice::peers::make);
}
