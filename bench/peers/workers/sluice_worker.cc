// SPDX-License-Identifier: Apache-2.0
// sluice through its public interface.
#include <omp.h>

#include <fstream>

#include "sluice/cells/gru_kin.h"
#include "sluice/cells/lstm_kin.h"
#include "sluice/sluice.h"
#include "vad/network.h"
#include "worker.h"

namespace sluice::peers {
namespace {

class Sequence : public Job {
 public:
  explicit Sequence(const Case& c)
      : model_(load(c.model(0, "safetensors"))), x_(c.input()), lengths_(c.lengths) {
    in_.lengths = lengths_;
    in_.threads = c.threads;
  }
  void run() override { out_ = model_.run_recurrent(x_, in_, std::move(out_)); }
  Tensor<float> result() override { return Tensor<float>(out_.output.view()); }

 private:
  Model<float> model_;
  Tensor<float> x_;
  std::vector<std::int64_t> lengths_;
  RecurrentInput<float> in_;
  RecurrentOutput<float> out_;
};

// Many streams stepped together: one call is T steps, the state is carried on. A Stream steps on the caller's
// thread; a layer's call with sequences of one step may use more. The faster one is timed.
class Stepped : public Job {
 public:
  explicit Stepped(const Case& c)
      : model_(load(c.model(0, "safetensors"))),
        stream_(model_.stream(c.B)),
        x_(c.input()),
        y_({c.T, c.B, c.H}) {
    in_.threads = c.threads;
    run_calls();
    calls_ = trial_ns([this] { run_calls(); }) < trial_ns([this] { run_stream(); });
    stream_.reset();
    state_ = {};
  }
  void run() override { calls_ ? run_calls() : run_stream(); }
  Tensor<float> result() override { return y_; }
  std::string setting() const override { return calls_ ? "a call a step" : "Stream"; }

 private:
  void run_stream() {
    for (std::size_t t = 0; t < x_.dim(0); ++t) {
      const TensorView<const float> y = stream_.step(&x_(t, 0, 0));
      std::copy_n(y.data(), y.size(), &y_(t, 0, 0));
    }
  }
  void run_calls() {
    for (std::size_t t = 0; t < x_.dim(0); ++t) {
      in_.h0 = state_.h_n;
      in_.c0 = state_.c_n;
      state_ = model_.run_recurrent(x_.view().narrow(0, t, 1), in_);
      std::copy_n(state_.output.data(), state_.output.size(), &y_(t, 0, 0));
    }
  }

  Model<float> model_;
  Stream<float> stream_;
  RecurrentInput<float> in_;
  RecurrentOutput<float> state_;
  Tensor<float> x_, y_;
  bool calls_ = false;
};

class Models : public Job {
 public:
  explicit Models(const Case& c)
      : x_(c.input()),
        outputs_(c.models),
        threads_(
            c.threads, c.models, [] {},
            [this](std::size_t m) {
              outputs_[m] = models_[m].run(x_.view().select(0, m), {}, {.threads = 1});
            }) {
    for (std::size_t m = 0; m < c.models; ++m) models_.push_back(load(c.model(m, "safetensors")));
  }
  void run() override { threads_.run(); }
  Tensor<float> result() override {
    const Shape one = outputs_[0].shape();
    Tensor<float> all({outputs_.size(), one[0], one[1], one[2]});
    for (std::size_t m = 0; m < outputs_.size(); ++m) {
      std::copy_n(outputs_[m].data(), outputs_[m].size(), &all(m, 0, 0, 0));
    }
    return all;
  }

 private:
  Tensor<float> x_;  // [models, T, B, I]
  std::vector<Model<float>> models_;
  std::vector<Tensor<float>> outputs_;
  HostThreads threads_;
};

class Elementwise : public Job {
 public:
  explicit Elementwise(const Case& c) : is_sigmoid_(c.function == "sigmoid"), x_(c.input()), y_({c.n}) {
    omp_set_num_threads(c.threads);
  }
  void run() override {
    if (is_sigmoid_) {
      sigmoid(x_.view(), y_.view());
    } else {
      tanh(x_.view(), y_.view());
    }
  }
  Tensor<float> result() override { return y_; }

 private:
  bool is_sigmoid_;
  Tensor<float> x_, y_;
};

// The speech model, one window after the other; a call is one window.
class Speech : public Job {
 public:
  explicit Speech(const Case& c) : detector_(c.weights()), x_(c.input()), y_({x_.dim(0)}) {}
  void run() override {
    const std::span<const float, vad::kWindow> window(&x_(next_, 0), vad::kWindow);
    y_(next_) = detector_.step(window);
    if (++next_ == x_.dim(0)) {
      next_ = 0;
      detector_.reset();
    }
  }
  Tensor<float> result() override {
    while (next_ != 0) run();
    return y_;
  }

 private:
  vad::SpeechDetector<float> detector_;
  Tensor<float> x_, y_;  // [windows, 512], [windows]
  std::size_t next_ = 0;
};

// Forward and backward; in "train-step" all of a step: loss, Adam, and the weights packed anew.
class Training : public Job {
 public:
  explicit Training(const Case& c)
      : c_(c),
        trained_(load_trained()),
        adam_(trained_.parameters()),
        x_(c.input()),
        given_(c.array("given.npy")) {
    omp_set_num_threads(c.threads);
  }
  void run() override {
    const Module<float>& net = trained_.model().modules();
    Parameters<float>& parameters = trained_.parameters();
    y_ = net.record({x_.view()}, tape_, {}).y;
    parameters.zero_grad();
    if (c_.kind == "train") {
      grad_x_ = net.backward(given_, tape_, parameters, {});
      return;
    }
    const LossOutput<float> loss = MSELoss<float>()(y_, given_, {.with_grad = true});
    net.backward(loss.grad, tape_, parameters, {.wants_input = false});
    adam_.step(parameters);
    trained_.update();
  }
  Tensor<float> result() override {
    Parameters<float>& parameters = trained_.parameters();
    if (c_.kind == "train") {
      return joined(
          {y_, grad_x_, parameters.grad(0), parameters.grad(1), parameters.grad(2), parameters.grad(3)});
    }
    trained_ = load_trained();
    adam_ = Adam<float>(parameters);
    for (std::size_t i = 0; i < c_.updates; ++i) run();
    return joined({parameters.value(0), parameters.value(1), parameters.value(2), parameters.value(3)});
  }

 private:
  TrainableModel<float> load_trained() const {
    return TrainableModel<float>::load(c_.model(0, "safetensors"));
  }

  Case c_;
  TrainableModel<float> trained_;
  Adam<float> adam_;
  Tape tape_;
  Tensor<float> x_, given_, y_, grad_x_;
};

CustomCell custom_cell(const Case& c) {
  if (c.cell == "lstm") return cells::lstm(c.I, c.H);
  if (c.cell == "peephole-lstm") return cells::peephole_lstm(c.I, c.H);
  if (c.cell == "layer-norm-lstm") return cells::layer_norm_lstm(c.I, c.H);
  return cells::li_gru(c.I, c.H);
}

// A custom cell, forward or, with a tape, forward and backward. "sluice-builtin" has the built-in LSTM in its
// place.
class Cell : public Job {
 public:
  Cell(const Case& c, bool is_builtin)
      : c_(c), trains_(c.kind == "cell-train"), net_(make_net(c, is_builtin)), x_(c.input()) {
    omp_set_num_threads(c.threads);
    if (!trains_) return;
    parameters_ = Parameters<float>(net_->parameters());
    parameters_.load(c.weights());
    given_ = c.array("given.npy");
  }
  void run() override {
    if (!trains_) {
      y_ = net_->run({x_.view()}, {}).y;
      return;
    }
    y_ = net_->record({x_.view()}, tape_, {}).y;
    parameters_.zero_grad();
    grad_x_ = net_->backward(given_, tape_, parameters_, {});
  }
  Tensor<float> result() override {
    if (!trains_) return y_;
    std::vector<TensorView<const float>> parts{y_, grad_x_};
    for (const std::string& name : c_.names) parts.push_back(parameters_.grad(name + "_l0"));
    return joined(parts);
  }

 private:
  static std::unique_ptr<Module<float>> make_net(const Case& c, bool is_builtin) {
    if (!is_builtin)
      return std::make_unique<Recurrent<float>>(RecurrentLayerOptions{.cell = custom_cell(c)}, c.weights());
    if (c.cell != "lstm") throw Unsupported{"of custom cells only the LSTM is built in, too"};
    return std::make_unique<LSTM<float>>(LSTMOptions{.input_size = c.I, .hidden_size = c.H}, c.weights());
  }

  Case c_;
  bool trains_;
  std::unique_ptr<Module<float>> net_;
  Parameters<float> parameters_;
  Tape tape_;
  Tensor<float> x_, given_, y_, grad_x_;
};

std::unique_ptr<Job> make(const Case& c) {
  if (c.kind.starts_with("cell")) return std::make_unique<Cell>(c, false);
  if (c.kind == "sequence") return std::make_unique<Sequence>(c);
  if (c.kind == "stream") return std::make_unique<Stepped>(c);
  if (c.kind == "models") return std::make_unique<Models>(c);
  if (c.kind == "vad") return std::make_unique<Speech>(c);
  if (c.kind.starts_with("train")) return std::make_unique<Training>(c);
  return std::make_unique<Elementwise>(c);
}

}  // namespace
}  // namespace sluice::peers

// "builtin" as an argument: the engine sluice-builtin.
int main(int argc, char**) {
  using namespace sluice::peers;
  if (argc == 1) return serve("sluice", sluice::active_target(), &make);
  return serve("sluice-builtin", sluice::active_target(),
               [](const Case& c) { return std::make_unique<Cell>(c, true); });
}
