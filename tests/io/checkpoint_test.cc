// SPDX-License-Identifier: Apache-2.0
#include "sluice/checkpoint.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "sluice/error.h"
#include "sluice/optim.h"
#include "sluice/safetensors.h"
#include "support/files.h"
#include "support/random.h"

namespace sluice {
namespace {

class Checkpoint : public ::testing::Test {
 protected:
  std::string path(const std::string& name = "c.safetensors") const { return folder_ / name; }

  testing::TempFolder folder_;
};

template <class T>
Parameters<T> make_parameters() {
  Parameters<T> parameters(
      {{"rnn.weight_ih_l0", {12, 3}}, {"rnn.bias_ih_l0", {12}}, {"head.weight", {1, 4}}});
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    const Tensor<T> drawn = random_tensor<T>(parameters.shape(i), -1, 1, i + 1);
    std::copy_n(drawn.data(), drawn.size(), parameters.value(i).data());
  }
  return parameters;
}

// A step with gradients that depend on its number.
template <class T>
void step(Parameters<T>& parameters, Optimizer<T>& optimizer, std::uint64_t number) {
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    const Tensor<T> drawn = random_tensor<T>(parameters.shape(i), -1, 1, 100 * number + i);
    std::copy_n(drawn.data(), drawn.size(), parameters.grad(i).data());
  }
  optimizer.step(parameters);
}

template <class T>
std::vector<T> values_of(const Parameters<T>& parameters) {
  return {parameters.values().begin(), parameters.values().end()};
}

template <class T, class Make>
void expect_goes_on(const std::string& path, const Make& make) {
  Parameters<T> straight = make_parameters<T>();
  const std::unique_ptr<Optimizer<T>> one = make(straight);
  for (std::uint64_t i = 0; i < 3; ++i) step(straight, *one, i);
  save_checkpoint(path, straight, *one, {{"epoch", "3"}, {"schedule", "StepLR 3"}});
  for (std::uint64_t i = 3; i < 6; ++i) step(straight, *one, i);

  Parameters<T> resumed(straight.infos());
  const std::unique_ptr<Optimizer<T>> other = make(resumed);
  const CheckpointFacts facts = load_checkpoint(path, resumed, *other);
  EXPECT_EQ(facts, (CheckpointFacts{{"epoch", "3"}, {"schedule", "StepLR 3"}}));
  for (std::uint64_t i = 3; i < 6; ++i) step(resumed, *other, i);
  EXPECT_EQ(values_of(resumed), values_of(straight));
}

template <class T, class Made, class Options>
auto makes(const Options& options) {
  return [options](const Parameters<T>& parameters) -> std::unique_ptr<Optimizer<T>> {
    return std::make_unique<Made>(parameters, options);
  };
}

template <class T>
void expect_every_optimizer_goes_on(const std::string& path) {
  expect_goes_on<T>(path, makes<T, SGD<T>>(SGDOptions{.lr = 0.1, .momentum = 0.9}));
  expect_goes_on<T>(path, makes<T, Adam<T>>(AdamOptions{.amsgrad = true}));
  expect_goes_on<T>(path, makes<T, RMSprop<T>>(RMSpropOptions{.centered = true}));
}

TEST_F(Checkpoint, GoesOnWithTheSameBits) {
  expect_every_optimizer_goes_on<float>(path());
  expect_every_optimizer_goes_on<double>(path());
}

TEST_F(Checkpoint, WhatDoesNotFitIsRefusedAndChangesNothing) {
  Parameters<float> parameters = make_parameters<float>();
  Adam<float> adam(parameters);
  step(parameters, adam, 1);
  save_checkpoint(path(), parameters, adam);
  const std::vector<float> before = values_of(parameters);
  const auto expect_refused = [&](const std::string& file, auto& into, auto& optimizer,
                                  const std::string& what) {
    try {
      load_checkpoint(file, into, optimizer);
      ADD_FAILURE() << "taken: " << what;
    } catch (const FileError& error) {
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
    }
  };
  AdamW<float> adamw(parameters);
  expect_refused(path(), parameters, adamw, "is of Adam, expected AdamW");

  Parameters<double> doubles = make_parameters<double>();
  Adam<double> double_adam(doubles);
  expect_refused(path(), doubles, double_adam, "is F32, expected F64");

  Parameters<float> larger(
      {{"rnn.weight_ih_l0", {12, 3}}, {"rnn.bias_ih_l0", {12}}, {"head.weight", {1, 5}}});
  Adam<float> larger_adam(larger);
  expect_refused(path(), larger, larger_adam, "head.weight");
  for (const float value : larger.values()) ASSERT_EQ(value, 0.0f);

  Parameters<float> fewer({{"rnn.weight_ih_l0", {12, 3}}});
  Adam<float> fewer_adam(fewer);
  expect_refused(path(), fewer, fewer_adam, "head.weight");

  StateDict<float> plain = parameters.state_dict();
  save_safetensors(path("plain.safetensors"), plain);
  expect_refused(path("plain.safetensors"), parameters, adam, "not a checkpoint");
  EXPECT_EQ(values_of(parameters), before);
  EXPECT_THROW(save_checkpoint(path(), parameters, adam, {{"optimizer", "x"}}), Error);
}

TEST_F(Checkpoint, AHalfWrittenFileIsRefused) {
  Parameters<float> parameters = make_parameters<float>();
  Adam<float> adam(parameters);
  step(parameters, adam, 1);
  save_checkpoint(path(), parameters, adam);
  std::filesystem::resize_file(path(), std::filesystem::file_size(path()) / 2);
  EXPECT_THROW(load_checkpoint(path(), parameters, adam), FileError);
}

}  // namespace
}  // namespace sluice
