// SPDX-License-Identifier: Apache-2.0
// What benchmarks run on: random numbers and weights, the same in every run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

#include "sluice/state_dict.h"
#include "sluice/tensor.h"

namespace sluice::bench {

/// Uniform in [low, high).
template <class T = float>
Tensor<T> random_tensor(const Shape& shape, T low, T high, std::uint32_t seed = 1) {
  std::minstd_rand generator(seed);
  Tensor<T> values(shape);
  const T scale = (high - low) / static_cast<T>(std::minstd_rand::max());
  for (T& value : values.span()) value = low + scale * static_cast<T>(generator());
  return values;
}

/// PyTorch's names for a stack of recurrent layers of `gates` gates a unit.
inline StateDict<float> random_weights(std::size_t gates, std::size_t input_size, std::size_t hidden_size,
                                       std::size_t layers, std::size_t directions,
                                       std::size_t proj_size = 0) {
  StateDict<float> weights;
  const auto add = [&](const std::string& name, const Shape& shape) {
    weights.set(name,
                random_tensor<float>(shape, -0.05F, 0.05F, static_cast<std::uint32_t>(weights.size() + 1)));
  };
  const std::size_t state_size = proj_size > 0 ? proj_size : hidden_size;
  for (std::size_t layer = 0; layer < layers; ++layer) {
    for (std::size_t direction = 0; direction < directions; ++direction) {
      const std::string suffix = "_l" + std::to_string(layer) + (direction == 1 ? "_reverse" : "");
      add("weight_ih" + suffix, {gates * hidden_size, layer == 0 ? input_size : state_size * directions});
      add("weight_hh" + suffix, {gates * hidden_size, state_size});
      add("bias_ih" + suffix, {gates * hidden_size});
      add("bias_hh" + suffix, {gates * hidden_size});
      if (proj_size > 0) add("weight_hr" + suffix, {proj_size, hidden_size});
    }
  }
  return weights;
}

}  // namespace sluice::bench
