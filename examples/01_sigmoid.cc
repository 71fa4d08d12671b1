// SPDX-License-Identifier: Apache-2.0
// The sigmoid alone: over an array, and why a saturated gate stops learning.
#include <cstdio>

#include "sluice/sluice.h"

int main() {
  const sluice::Tensor<float> x({5}, {-2, -1, 0, 1, 2});
  const sluice::Tensor<float> y = sluice::sigmoid(x);
  for (std::size_t i = 0; i < x.size(); ++i) std::printf("sigmoid(%+.0f) = %.4f\n", x(i), y(i));

  // Far from 0 the output hardly moves: the gradient y (1 - y) vanishes, on the right even to exactly 0,
  // where 1 - y is less than a float32 can hold beside y. On the left nothing is lost: y itself is tiny, and
  // exact to the last digits.
  std::printf("\n%6s  %-12s %-12s\n", "x", "sigmoid(x)", "gradient");
  const sluice::Tensor<float> far({7}, {-100, -20, -10, 0, 10, 20, 100});
  const sluice::Tensor<float> saturated = sluice::sigmoid(far);
  const sluice::Tensor<float> ones({7}, {1, 1, 1, 1, 1, 1, 1});
  const sluice::Tensor<float> gradient = sluice::sigmoid_backward(saturated, ones);
  for (std::size_t i = 0; i < far.size(); ++i) {
    std::printf("%6.0f  %-12.5g %-12.5g\n", far(i), saturated(i), gradient(i));
  }
  return 0;
}
