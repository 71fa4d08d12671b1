// SPDX-License-Identifier: Apache-2.0
// PyTorch's C++ library, in inference mode but for training. Its own kernels and its oneDNN path are both
// tried, and the faster one is timed.
#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <numeric>

#include "worker.h"

namespace sluice::peers {
namespace {

at::Tensor to_torch(TensorView<const float> view) {
  const std::vector<std::int64_t> sizes(view.shape().dims().begin(), view.shape().dims().end());
  return at::from_blob(const_cast<float*>(view.data()), sizes, at::kFloat).clone();
}

Tensor<float> from_torch(const at::Tensor& tensor) {
  const at::Tensor whole = tensor.contiguous();
  std::vector<std::size_t> sizes(whole.sizes().begin(), whole.sizes().end());
  return Tensor<float>(Shape(sizes),
                       std::span(whole.const_data_ptr<float>(), static_cast<std::size_t>(whole.numel())));
}

// A module's weights, and one call of it.
struct Net {
  Net() = default;
  Net(const Case& c, std::size_t m)
      : is_lstm(c.cell == "lstm"), layers(c.layers), is_bidirectional(c.directions == 2) {
    const StateDict<float> dict = c.weights(m);
    for (std::size_t l = 0; l < c.layers; ++l) {
      for (std::size_t d = 0; d < c.directions; ++d) {
        const std::string suffix = "_l" + std::to_string(l) + (d == 1 ? "_reverse" : "");
        for (const char* name : {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}) {
          weights.push_back(to_torch(dict.at(name + suffix)));
        }
      }
    }
    const auto states = static_cast<std::int64_t>(c.layers * c.directions);
    h = at::zeros({states, static_cast<std::int64_t>(c.B), static_cast<std::int64_t>(c.H)});
    cell = at::zeros_like(h);
  }

  // [T, B, I] -> [T, B, D * H]; the states of the call are kept where `carries`.
  at::Tensor operator()(const at::Tensor& x, bool carries = false) {
    const auto l = static_cast<std::int64_t>(layers);
    if (is_lstm) {
      auto [y, hn, cn] = at::lstm(x, {h, cell}, weights, true, l, 0, is_training, is_bidirectional, false);
      if (carries) h = hn, cell = cn;
      return y;
    }
    auto [y, hn] = at::gru(x, h, weights, true, l, 0, is_training, is_bidirectional, false);
    if (carries) h = hn;
    return y;
  }
  // Rows packed by `batch_sizes`, as PackedSequence has them.
  at::Tensor packed(const at::Tensor& data, const at::Tensor& batch_sizes) {
    const auto l = static_cast<std::int64_t>(layers);
    if (is_lstm) {
      return std::get<0>(
          at::lstm(data, batch_sizes, {h, cell}, weights, true, l, 0, false, is_bidirectional));
    }
    return std::get<0>(at::gru(data, batch_sizes, h, weights, true, l, 0, false, is_bidirectional));
  }

  bool is_lstm = true;
  std::size_t layers = 1;
  bool is_bidirectional = false;
  bool is_training = false;
  std::vector<at::Tensor> weights;
  at::Tensor h, cell;
};

// Chooses between the two paths by trying both.
std::string choose_path(const std::function<void()>& call) {
  at::Context& context = at::globalContext();
  double ns[2];
  for (int on : {0, 1}) {
    context.setUserEnabledMkldnn(on == 1);
    call();
    ns[on] = trial_ns(call);
  }
  const bool on = ns[1] < ns[0];
  context.setUserEnabledMkldnn(on);
  return on ? "oneDNN path" : "its own kernels";
}

class Sequence : public Job {
 public:
  explicit Sequence(const Case& c) : net_(c, 0), x_(to_torch(c.input().view())) {
    setting_ = choose_path([this] { run(); });
  }
  void run() override { y_ = net_(x_); }
  Tensor<float> result() override { return from_torch(y_); }
  std::string setting() const override { return setting_; }

 private:
  Net net_;
  at::Tensor x_, y_;
  std::string setting_;
};

// A padded batch in, a padded batch out, packed in between; rows are sorted by length beforehand.
class Ragged : public Job {
 public:
  explicit Ragged(const Case& c) : c_(c), net_(c, 0), order_(c.B) {
    std::iota(order_.begin(), order_.end(), 0);
    std::stable_sort(order_.begin(), order_.end(),
                     [&](std::int64_t a, std::int64_t b) { return length(a) > length(b); });
    std::vector<std::int64_t> sorted;
    for (const std::int64_t row : order_) sorted.push_back(length(row));
    lengths_ = at::tensor(sorted);
    x_ = to_torch(c.input().view()).index_select(1, at::tensor(order_));
    setting_ = "packed sequence, " + choose_path([this] { run(); });
  }
  void run() override {
    const auto [data, sizes] = at::_pack_padded_sequence(x_, lengths_, false);
    y_ = std::get<0>(
        at::_pad_packed_sequence(net_.packed(data, sizes), sizes, false, 0, static_cast<std::int64_t>(c_.T)));
  }
  Tensor<float> result() override {
    at::Tensor y = at::empty_like(y_);
    y.index_copy_(1, at::tensor(order_), y_);
    return from_torch(y);
  }
  std::string setting() const override { return setting_; }

 private:
  std::int64_t length(std::int64_t row) const { return c_.lengths[static_cast<std::size_t>(row)]; }

  Case c_;
  Net net_;
  std::vector<std::int64_t> order_;
  at::Tensor lengths_, x_, y_;
  std::string setting_;
};

class Stepped : public Job {
 public:
  explicit Stepped(const Case& c) : net_(c, 0), x_(to_torch(c.input().view())), y_(at::empty_like(x_)) {
    setting_ = choose_path([this] { run(); });
    net_.h.zero_();
    net_.cell.zero_();
  }
  void run() override {
    for (std::int64_t t = 0; t < x_.size(0); ++t) y_[t].copy_(net_(x_.narrow(0, t, 1), true)[0]);
  }
  Tensor<float> result() override { return from_torch(y_); }
  std::string setting() const override { return setting_; }

 private:
  Net net_;
  at::Tensor x_, y_;
  std::string setting_;
};

class Models : public Job {
 public:
  explicit Models(const Case& c)
      : x_(to_torch(c.input().view())),
        outputs_(c.models),
        threads_(
            c.threads, c.models, [] { at::set_num_threads(1); },
            [this](std::size_t m) {
              const c10::InferenceMode guard;
              outputs_[m] = nets_[m](x_[static_cast<std::int64_t>(m)]);
            }) {
    for (std::size_t m = 0; m < c.models; ++m) nets_.emplace_back(c, m);
    setting_ = choose_path([this] { run(); });
  }
  void run() override { threads_.run(); }
  Tensor<float> result() override { return from_torch(at::stack(outputs_)); }
  std::string setting() const override { return setting_; }

 private:
  at::Tensor x_;
  std::vector<Net> nets_;
  std::vector<at::Tensor> outputs_;
  std::string setting_;
  HostThreads threads_;
};

// Forward and backward; in "train-step" all of a step: loss, and Adam in its fused form.
class Training : public Job {
 public:
  explicit Training(const Case& c) : c_(c) {
    const c10::InferenceMode off(false);
    x_ = to_torch(c.input().view()).set_requires_grad(c.kind == "train");
    given_ = to_torch(c.array("given.npy").view());
    restart();
    setting_ = choose_path([this] { run(); });
  }
  void run() override {
    const c10::InferenceMode off(false);
    y_ = net_(x_);
    if (c_.kind == "train") {
      std::vector<at::Tensor> wanted{x_};
      wanted.insert(wanted.end(), net_.weights.begin(), net_.weights.end());
      grads_ = torch::autograd::grad({y_}, wanted, {given_});
      return;
    }
    grads_ = torch::autograd::grad({at::mse_loss(y_, given_)}, net_.weights);
    const at::NoGradGuard no_grad;
    at::_foreach_add_(steps_, 1);
    at::_fused_adam_(net_.weights, grads_, averages_, squares_, {}, steps_, 1e-3, 0.9, 0.999, 0, 1e-8, false,
                     false);
  }
  Tensor<float> result() override {
    const c10::InferenceMode off(false);
    std::vector<at::Tensor> parts = grads_;
    if (c_.kind == "train") {
      parts.insert(parts.begin(), y_.detach());
    } else {
      restart();
      for (std::size_t i = 0; i < c_.updates; ++i) run();
      parts = net_.weights;
    }
    for (at::Tensor& part : parts) part = part.detach().flatten();
    return from_torch(at::cat(parts));
  }
  std::string setting() const override { return setting_; }

 private:
  void restart() {
    net_ = Net(c_, 0);
    net_.is_training = true;
    averages_.clear(), squares_.clear(), steps_.clear();
    for (at::Tensor& weight : net_.weights) {
      averages_.push_back(at::zeros_like(weight));
      squares_.push_back(at::zeros_like(weight));
      steps_.push_back(at::zeros({}));
      weight.set_requires_grad(true);
    }
  }

  Case c_;
  Net net_;
  at::Tensor x_, given_, y_;
  std::vector<at::Tensor> grads_, averages_, squares_, steps_;
  std::string setting_;
};

class Elementwise : public Job {
 public:
  explicit Elementwise(const Case& c)
      : is_sigmoid_(c.function == "sigmoid"), x_(to_torch(c.input().view())), y_(at::empty_like(x_)) {}
  void run() override {
    if (is_sigmoid_) {
      at::sigmoid_out(y_, x_);
    } else {
      at::tanh_out(y_, x_);
    }
  }
  Tensor<float> result() override { return from_torch(y_); }

 private:
  bool is_sigmoid_;
  at::Tensor x_, y_;
};

std::unique_ptr<Job> make(const Case& c) {
  at::set_num_threads(c.threads);
  if (c.kind == "sequence" && c.lengths.empty()) return std::make_unique<Sequence>(c);
  if (c.kind == "sequence") return std::make_unique<Ragged>(c);
  if (c.kind == "stream") return std::make_unique<Stepped>(c);
  if (c.kind == "models") return std::make_unique<Models>(c);
  if (c.kind.starts_with("train")) return std::make_unique<Training>(c);
  if (c.kind == "elementwise") return std::make_unique<Elementwise>(c);
  throw Unsupported{"compared with ONNX Runtime alone"};
}

}  // namespace
}  // namespace sluice::peers

int main() {
  const c10::InferenceMode guard;
  return sluice::peers::serve("torch", TORCH_VERSION, &sluice::peers::make);
}
