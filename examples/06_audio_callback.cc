// SPDX-License-Identifier: Apache-2.0
// A model in an audio callback, as in a guitar amplifier plug-in: LSTM(1, 32) and Linear(32, 1), one step a
// sample. `Stream::step` takes no memory, no lock and no system call, so it may run where a late answer is a
// crackle.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <random>

#include "sluice/sluice.h"

constexpr std::size_t kHidden = 32, kBlock = 64, kBlocks = 500;

/// Any trained weights would do; these are random.
sluice::Sequential<float> amplifier() {
  std::mt19937 random(1);
  sluice::StateDict<float> weights;
  const auto fill = [&](const char* name, const sluice::Shape& shape) {
    sluice::Tensor<float> values(shape);
    for (float& value : values.span()) value = static_cast<float>(random() % 2001) / 5000.0f - 0.2f;
    weights.set(name, std::move(values));
  };
  fill("rnn.weight_ih_l0", {4 * kHidden, 1});
  fill("rnn.weight_hh_l0", {4 * kHidden, kHidden});
  fill("rnn.bias_ih_l0", {4 * kHidden});
  fill("rnn.bias_hh_l0", {4 * kHidden});
  fill("head.weight", {1, kHidden});
  fill("head.bias", {1});
  sluice::Sequential<float> model;
  model.add(sluice::LSTM<float>({.input_size = 1, .hidden_size = kHidden}, weights, "rnn."));
  model.add(sluice::Linear<float>({.in_features = kHidden, .out_features = 1}, weights, "head."));
  return model;
}

/// What the sound system calls for each block, on its own thread.
void callback(sluice::Stream<float>& stream, const float* in, float* out) noexcept {
  for (std::size_t i = 0; i < kBlock; ++i) out[i] = stream.step(in + i)(0, 0);
}

int main() {
  const auto model = amplifier();
  sluice::Stream<float> stream(model, 1, 1);  // all memory is taken here, before the sound starts
  sluice::Tensor<float> in({kBlocks * kBlock, 1, 1}), out(in.shape());
  for (std::size_t i = 0; i < in.size(); ++i) in(i, 0, 0) = std::sin(0.0576f * static_cast<float>(i));

  double worst_us = 0;
  for (std::size_t i = 0; i < in.size(); i += kBlock) {
    const auto start = std::chrono::steady_clock::now();
    callback(stream, in.data() + i, out.data() + i);
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
    worst_us = std::max(worst_us, took.count());
  }
  std::printf("worst callback %.0f us, deadline %.0f us (%zu samples at 48 kHz)\n", worst_us,
              1e6 * kBlock / 48000, kBlock);
  const auto whole = model.run({.x = in.view()}, {}).y;  // the whole signal at once
  return std::equal(out.span().begin(), out.span().end(), whole.span().begin()) ? 0 : 1;
}
