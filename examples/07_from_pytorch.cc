// SPDX-License-Identifier: Apache-2.0
// Runs the model that 07_from_pytorch.py saved, and compares with what PyTorch made of the same input:
//   07_from_pytorch FOLDER
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <string>
#include <variant>

#include "sluice/sluice.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: 07_from_pytorch FOLDER\n", stderr);
    return 2;
  }
  const std::string folder = argv[1];
  try {
    const auto model = sluice::load(folder + "/tagger.safetensors");
    const auto x = std::get<sluice::Tensor<float>>(sluice::load_npy(folder + "/x.npy"));
    const auto expected = std::get<sluice::Tensor<float>>(sluice::load_npy(folder + "/y.npy"));

    const sluice::Tensor<float> y = model.run(x);
    if (y.shape() != expected.shape()) throw sluice::ShapeError("y is " + y.shape().to_string());
    float difference = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      difference = std::max(difference, std::fabs(y.span()[i] - expected.span()[i]));
    }
    std::printf("%s -> %s, within %.1e of PyTorch\n", x.shape().to_string().c_str(),
                y.shape().to_string().c_str(), difference);
    return difference < 1e-6f ? 0 : 1;  // both are float32: some 50 rounded sums of terms below 1
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
