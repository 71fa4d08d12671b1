// SPDX-License-Identifier: Apache-2.0
// memcpy: the bound of elementwise work. Not a rival; what it writes is not compared.
#include <gnu/libc-version.h>
#include <omp.h>

#include <algorithm>
#include <cstring>

#include "worker.h"

namespace sluice::peers {
namespace {

class Copy : public Job {
 public:
  explicit Copy(const Case& c) : threads_(c.threads), x_(c.input()), y_({c.n}) {}
  void run() override {
    const std::size_t share =
        (x_.size() + static_cast<std::size_t>(threads_) - 1) / static_cast<std::size_t>(threads_);
    if (threads_ == 1 || x_.size() < 100'000) {
      std::memcpy(y_.data(), x_.data(), x_.size() * sizeof(float));
      return;
    }
#pragma omp parallel for num_threads(threads_) schedule(static)
    for (int t = 0; t < threads_; ++t) {
      const std::size_t begin = std::min(x_.size(), share * static_cast<std::size_t>(t));
      const std::size_t end = std::min(x_.size(), begin + share);
      std::memcpy(y_.data() + begin, x_.data() + begin, (end - begin) * sizeof(float));
    }
  }
  Tensor<float> result() override { return y_; }

 private:
  int threads_;
  Tensor<float> x_, y_;
};

std::unique_ptr<Job> make(const Case& c) {
  if (c.kind == "elementwise") return std::make_unique<Copy>(c);
  throw Unsupported{"a copy is the bound of elementwise work alone"};
}

}  // namespace
}  // namespace sluice::peers

int main() {
  return sluice::peers::serve("copy", std::string("glibc ") + gnu_get_libc_version(), &sluice::peers::make);
}
