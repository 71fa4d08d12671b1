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
        x_(c.input()),
        y_({c.n}) {}
  void run() override {
    if (threads_ == 1) return part(0, x_.size());
    const std::size_t share = (x_.size() + threads_ - 1) / threads_;
#pragma omp parallel for num_threads(threads_) schedule(static)
    for (std::size_t t = 0; t < threads_; ++t) {
      const std::size_t begin = std::min(x_.size(), t * share);
      part(begin, std::min(x_.size(), begin + share));
    }
  }
  Tensor<float> result() override { return y_; }

 private:
  void part(std::size_t begin, std::size_t end) {
    if (is_sigmoid_) {
      eigen_logistic(x_.data() + begin, y_.data() + begin, end - begin);
    } else {
      eigen_tanh(x_.data() + begin, y_.data() + begin, end - begin);
    }
  }

  std::size_t threads_;
  bool is_sigmoid_;
  Tensor<float> x_, y_;
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
