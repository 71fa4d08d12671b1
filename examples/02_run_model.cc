// SPDX-License-Identifier: Apache-2.0
// Loads a trained model from a safetensors file and runs it over a sequence: 02_run_model MODEL.safetensors
#include <cstdio>

#include "sluice/sluice.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: 02_run_model MODEL.safetensors\n", stderr);
    return 2;
  }
  const auto model = sluice::load(argv[1]);
  sluice::Tensor<float> x({50, model.input_size()});  // 50 time steps
  for (std::size_t t = 0; t < x.dim(0); ++t) x(t, t % x.dim(1)) = 1;
  const sluice::Tensor<float> y = model.run(x);
  std::printf("%s -> %s, last: %.6f\n", x.shape().to_string().c_str(), y.shape().to_string().c_str(),
              y.span().back());
}
