// SPDX-License-Identifier: Apache-2.0
// Eigen's elementwise functions, compiled for this machine (eigen_logistic.cc). It has no threads of its own
// for them: OpenMP shares the array out where that helps.
#include <omp.h>

#include <Eigen/src/Core/util/Macros.h>

#include <algorithm>

#include "../eigen_logistic.h"
#include "worker.h"

namespace sluice::peers {
namespace {

class Elementwise : public Job {
 public:
  explicit Elementwise(const Case& c)
      : threads_(c.n >= 100'000 ? static_cast<std::size_t>(c.threads) : 1),
        is_sigmoid_(c.function == "sigmoid"),
        x_(c.input()) {}
  void run() override {
    if (threads_ == 1) return part(0, x_.size());
    const std::size_t share = (x_.size() / threads_ + 15) / 16 * 16;
#pragma omp parallel for num_threads(threads_) schedule(static)
    for (std::size_t t = 0; t < threads_; ++t) {
      part(std::min(x_.size(), t * share),
           t + 1 == threads_ ? x_.size() : std::min(x_.size(), (t + 1) * share));
    }
  }
  Tensor<float> result() override { return x_; }

 private:
  void part(std::size_t begin, std::size_t end) {
    float* x = x_.data() + begin;
    if (is_sigmoid_) {
      eigen_logistic(x, x, end - begin);
    } else {
      eigen_tanh(x, x, end - begin);
    }
  }

  std::size_t threads_;
  bool is_sigmoid_;
  Tensor<float> x_;
};

std::unique_ptr<Job> make(const Case& c) {
  if (c.kind == "elementwise") return std::make_unique<Elementwise>(c);
  throw Unsupported{"it has no recurrent layers"};
}

}  // namespace
}  // namespace sluice::peers

int main() {
  const std::string version = std::to_string(EIGEN_WORLD_VERSION) + "." +
                              std::to_string(EIGEN_MAJOR_VERSION) + "." + std::to_string(EIGEN_MINOR_VERSION);
  return sluice::peers::serve("eigen", version, &sluice::peers::make);
}
