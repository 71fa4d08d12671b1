// SPDX-License-Identifier: Apache-2.0
// Binary classification: Linear(10, 1), a sigmoid, and 0.5 as the border between the classes.
#include <cstdio>

#include "sluice/sluice.h"

int main() {
  // Weights as they come from training: PyTorch's names and shapes.
  sluice::StateDict<float> weights;
  weights.set("weight", {{1, 10}, {0.8f, -1.2f, 0.5f, 0.3f, -0.7f, 1.1f, -0.4f, 0.9f, -0.6f, 0.2f}});
  weights.set("bias", {{1}, {-0.1f}});
  const sluice::Linear<float> linear({.in_features = 10, .out_features = 1}, weights);
  const sluice::Sigmoid sigmoid;

  const sluice::Tensor<float> x({4, 10}, {1, 0, 1, 0, 0, 1, 0, 1, 0, 0,    // much of what counts for it
                                          0, 1, 0, 0, 1, 0, 1, 0, 1, 0,    // much of what counts against it
                                          0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    // nothing known: the bias alone
                                          1, 1, 1, 1, 1, 1, 1, 1, 1, 1});  // everything at once
  const sluice::Tensor<float> p = sigmoid(linear.forward(x));
  for (std::size_t row = 0; row < p.dim(0); ++row) {
    std::printf("row %zu: p = %.4f, class %d\n", row, p(row, 0), p(row, 0) >= 0.5f ? 1 : 0);
  }
  return 0;
}
