// SPDX-License-Identifier: Apache-2.0
// A Highway network (Srivastava, Greff, Schmidhuber 2015): each layer's gate chooses between a new value and
// the old one, y = t * tanh(W x + b) + (1 - t) * x. With gates that start out closed, a signal passes through
// fifty layers before any training; through plain layers it dies.
#include <cmath>
#include <cstdio>
#include <random>

#include "sluice/sluice.h"

namespace {

constexpr std::size_t kUnits = 32, kDepth = 50;

/// A square layer with small random weights.
sluice::Linear<float> layer(std::mt19937& random, float bias) {
  sluice::Tensor<float> weight({kUnits, kUnits}), b({kUnits});
  for (float& w : weight.span()) w = (static_cast<float>(random() % 2001) / 1000.0f - 1) * 0.15f;
  for (float& value : b.span()) value = bias;
  sluice::StateDict<float> weights;
  weights.set("weight", std::move(weight));
  weights.set("bias", std::move(b));
  return {{.in_features = kUnits, .out_features = kUnits}, weights};
}

float norm(const sluice::Tensor<float>& x) {
  float sum = 0;
  for (const float value : x.span()) sum += value * value;
  return std::sqrt(sum);
}

}  // namespace

int main() {
  std::mt19937 random(1);
  sluice::Tensor<float> highway({1, kUnits});
  for (std::size_t i = 0; i < kUnits; ++i) highway(0, i) = i % 2 == 0 ? 0.5f : -0.5f;
  sluice::Tensor<float> plain = highway;

  std::printf("%5s  %8s  %8s\n", "layer", "highway", "plain");
  for (std::size_t depth = 0; depth <= kDepth; ++depth) {
    if (depth % 10 == 0) std::printf("%5zu  %8.4f  %8.1e\n", depth, norm(highway), norm(plain));
    const auto candidate = layer(random, 0), gate = layer(random, -4);  // sigmoid(-4) = 0.018: nearly closed
    sluice::highway_gate(gate.forward(highway), sluice::tanh(candidate.forward(highway)), highway, highway);
    plain = sluice::tanh(candidate.forward(plain));
  }
  return norm(highway) > 100 * norm(plain) ? 0 : 1;
}
