// SPDX-License-Identifier: Apache-2.0
// OpenVINO's CPU plugin on the case's ONNX model: latency hint, float32, one stream of as many threads as are
// asked.
#include <cstring>
#include <openvino/openvino.hpp>

#include "worker.h"

namespace sluice::peers {
namespace {

ov::Core& core() {
  static ov::Core core;
  return core;
}

// `is_pinned`: threads stay on processors of their own, which is right only where one model runs at a time.
ov::CompiledModel compile(const std::string& path, int threads, bool is_pinned = true) {
  return core().compile_model(path, "CPU", ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
                              ov::hint::inference_precision(ov::element::f32),
                              ov::inference_num_threads(threads), ov::num_streams(1),
                              ov::hint::enable_cpu_pinning(is_pinned));
}

Tensor<float> copy_of(const ov::Tensor& tensor, const Shape& shape) {
  return Tensor<float>(shape, std::span(tensor.data<float>(), tensor.get_size()));
}

// The model's y is [T, D, B, H]; the reference has [T, B, D * H].
Tensor<float> directions_last(const ov::Tensor& y, const Case& c) {
  const Tensor<float> raw = copy_of(y, {c.T, c.directions, c.B, c.H});
  return Tensor<float>(raw.view().transpose(1, 2)).reshaped({c.T, c.B, c.directions * c.H});
}

class Whole : public Job {
 public:
  explicit Whole(const Case& c) : c_(c), x_(c.input()) {
    ov::CompiledModel model = compile(c.model(0, "onnx"), c.threads);
    request_ = model.create_infer_request();
    ov::Shape shape = model.input("x").get_shape();
    request_.set_tensor("x", ov::Tensor(ov::element::f32, shape, x_.data()));
    if (!c.lengths.empty()) {
      lengths_.assign(c.lengths.begin(), c.lengths.end());
      request_.set_tensor("lengths", ov::Tensor(ov::element::i32, {c.B}, lengths_.data()));
    }
  }
  void run() override { request_.infer(); }
  Tensor<float> result() override {
    const ov::Tensor y = request_.get_tensor("y");
    return c_.kind == "elementwise" ? copy_of(y, {c_.n}) : directions_last(y, c_);
  }

 private:
  Case c_;
  Tensor<float> x_;
  std::vector<std::int32_t> lengths_;
  ov::InferRequest request_;
};

// One step a call; the states of a call are the tensors of the next.
class Stepped : public Job {
 public:
  explicit Stepped(const Case& c) : c_(c), x_(c.input()), y_({c.T, c.B, c.H}) {
    ov::CompiledModel model = compile(c.model(0, "onnx"), c.threads);
    const std::vector<std::string> states =
        c.cell == "lstm" ? std::vector<std::string>{"h", "c"} : std::vector<std::string>{"h"};
    for (ov::InferRequest& request : requests_) request = model.create_infer_request();
    for (const std::string& state : states) {
      ov::Tensor pair[2];
      for (ov::Tensor& tensor : pair) {
        tensor = ov::Tensor(ov::element::f32, {1, c.B, c.H});
        std::memset(tensor.data(), 0, tensor.get_byte_size());
      }
      for (int i : {0, 1}) {
        requests_[i].set_tensor(state + "0", pair[i]);
        requests_[i].set_tensor(state + "n", pair[1 - i]);
      }
    }
    for (ov::InferRequest& request : requests_) request.set_tensor("x", input_);
  }
  void run() override {
    const std::size_t bytes = input_.get_byte_size();
    for (std::size_t t = 0; t < c_.T; ++t) {
      std::memcpy(input_.data(), &x_(t, 0, 0), bytes);
      ov::InferRequest& request = requests_[now_];
      now_ = 1 - now_;
      request.infer();
      const ov::Tensor y = request.get_tensor("y");
      std::memcpy(&y_(t, 0, 0), y.data(), y.get_byte_size());
    }
  }
  Tensor<float> result() override { return y_; }

 private:
  Case c_;
  Tensor<float> x_, y_;
  ov::Tensor input_{ov::element::f32, {1, c_.B, c_.I}};
  ov::InferRequest requests_[2];
  int now_ = 0;
};

class Models : public Job {
 public:
  explicit Models(const Case& c)
      : c_(c),
        x_(c.input()),
        threads_(
            c.threads, c.models, [] {}, [this](std::size_t m) { requests_[m].infer(); }) {
    for (std::size_t m = 0; m < c.models; ++m) {
      requests_.push_back(compile(c.model(m, "onnx"), 1, false).create_infer_request());
      requests_[m].set_tensor("x", ov::Tensor(ov::element::f32, {c.T, c.B, c.I}, &x_(m, 0, 0, 0)));
    }
  }
  void run() override { threads_.run(); }
  Tensor<float> result() override {
    Tensor<float> all({c_.models, c_.T, c_.B, c_.H});
    for (std::size_t m = 0; m < c_.models; ++m) {
      const Tensor<float> y = directions_last(requests_[m].get_tensor("y"), c_);
      std::copy_n(y.data(), y.size(), &all(m, 0, 0, 0));
    }
    return all;
  }

 private:
  Case c_;
  Tensor<float> x_;
  std::vector<ov::InferRequest> requests_;
  HostThreads threads_;
};

std::unique_ptr<Job> make(const Case& c) {
  if (c.kind == "stream") return std::make_unique<Stepped>(c);
  if (c.kind == "models") return std::make_unique<Models>(c);
  if (c.kind.starts_with("train")) throw Unsupported{"it does not train"};
  if (c.kind == "vad") throw Unsupported{"compared with ONNX Runtime alone"};
  return std::make_unique<Whole>(c);
}

}  // namespace
}  // namespace sluice::peers

int main() {
  const std::string build = ov::get_openvino_version().buildNumber;  // "2026.4.1-22982-..."
  return sluice::peers::serve("openvino", build.substr(0, build.find('-')), &sluice::peers::make);
}
