// SPDX-License-Identifier: Apache-2.0
// What every optimizer promises; that each is PyTorch's is in tests/golden/optim_test.cc.
#include "sluice/optim.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "sluice/error.h"
#include "support/expect_same_bits.h"
#include "support/module_promises.h"
#include "support/random.h"

namespace sluice {
namespace {

using test::message_of;

template <class T>
using OptimizerPtr = std::unique_ptr<Optimizer<T>>;

/// Each class with every buffer that it can have, and with the fewest.
template <class T>
std::vector<OptimizerPtr<T>> all_optimizers(const Parameters<T>& p) {
  std::vector<OptimizerPtr<T>> all;
  all.push_back(std::make_unique<SGD<T>>(p, SGDOptions{.lr = 0.1, .weight_decay = 0.01}));
  all.push_back(std::make_unique<SGD<T>>(p, SGDOptions{.lr = 0.1, .momentum = 0.9, .dampening = 0.5}));
  all.push_back(std::make_unique<SGD<T>>(p, SGDOptions{.lr = 0.1, .momentum = 0.9, .nesterov = true}));
  all.push_back(std::make_unique<Adam<T>>(p, AdamOptions{.lr = 0.01, .weight_decay = 0.01}));
  all.push_back(std::make_unique<AdamW<T>>(p, AdamWOptions{.lr = 0.01, .amsgrad = true}));
  all.push_back(std::make_unique<RMSprop<T>>(p));
  all.push_back(std::make_unique<RMSprop<T>>(p, RMSpropOptions{.momentum = 0.9, .centered = true}));
  all.push_back(std::make_unique<Adagrad<T>>(
      p, AdagradOptions{.lr = 0.1, .lr_decay = 0.01, .initial_accumulator_value = 0.1}));
  return all;
}
constexpr std::size_t kOptimizers = 8;

template <class T>
void set_random(std::span<T> to, std::uint64_t seed) {
  Random random(seed);
  for (T& v : to) v = static_cast<T>(random.uniform(-1, 1));
}

/// Parameters of which only the tensors' elements are random, and a step's gradients.
template <class T>
Parameters<T> random_parameters(const std::vector<ParameterInfo>& infos, std::uint64_t seed) {
  Parameters<T> parameters(infos);
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    set_random(std::span(parameters.value(i).data(), parameters.value(i).size()), seed + i);
  }
  return parameters;
}

template <class T>
void set_gradients(Parameters<T>& parameters, std::uint64_t seed) {
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    set_random(std::span(parameters.grad(i).data(), parameters.grad(i).size()), 1000 * seed + i);
  }
}

template <class T>
void train(Optimizer<T>& optimizer, Parameters<T>& parameters, std::size_t first, std::size_t last,
           int threads = 1) {
  for (std::size_t step = first; step < last; ++step) {
    set_gradients(parameters, step);
    optimizer.step(parameters, {.threads = threads});
  }
}

std::vector<ParameterInfo> infos_of_sizes(const std::vector<std::size_t>& sizes) {
  std::vector<ParameterInfo> infos;
  for (const std::size_t size : sizes) {
    std::string name = "w";
    name += std::to_string(infos.size());
    infos.push_back({name, {size}});
  }
  return infos;
}

template <class T>
void expect_bits_of(const Parameters<T>& got, const Parameters<T>& want) {
  expect_same_bits<T>(got.values(), want.values());
}

template <class T>
void expect_threads_do_not_matter() {
  // Several chunks of one tensor, and small tensors between large ones.
  const std::vector<ParameterInfo> infos = infos_of_sizes({70001, 1, 0, 16384, 5, 40000, 17});
  for (std::size_t k = 0; k < kOptimizers; ++k) {
    Parameters<T> one = random_parameters<T>(infos, 1);
    const OptimizerPtr<T> optimizer = std::move(all_optimizers(one)[k]);
    train(*optimizer, one, 0, 3);
    for (const int threads : {2, 3, 7, 0}) {
      SCOPED_TRACE(std::string(optimizer->type()) + ", " + std::to_string(threads) + " threads");
      Parameters<T> many = random_parameters<T>(infos, 1);
      train(*all_optimizers(many)[k], many, 0, 3, threads);
      expect_bits_of(many, one);
    }
  }
}

TEST(Optimizers, AnyNumberOfThreadsGivesTheSameBits) {
  expect_threads_do_not_matter<float>();
  expect_threads_do_not_matter<double>();
}

// Elements are independent: one in a tensor of any size has the bits that it has alone.
template <class T>
void expect_sizes_do_not_matter() {
  const std::vector<std::size_t> sizes{0, 1, 15, 16, 17};
  const std::vector<ParameterInfo> infos = infos_of_sizes(sizes);
  for (std::size_t k = 0; k < kOptimizers; ++k) {
    Parameters<T> all = random_parameters<T>(infos, 3);
    const OptimizerPtr<T> optimizer = std::move(all_optimizers(all)[k]);
    SCOPED_TRACE(optimizer->type());
    Parameters<T> alone = random_parameters<T>(infos_of_sizes({1, 1, 1, 1}), 0);
    for (std::size_t i = 1; i < sizes.size(); ++i) {
      alone.value(i - 1)(0) = all.value(i)(sizes[i] - 1);
    }
    const OptimizerPtr<T> other = std::move(all_optimizers(alone)[k]);
    for (std::size_t step = 0; step < 3; ++step) {
      set_gradients(all, step);
      for (std::size_t i = 1; i < sizes.size(); ++i) alone.grad(i - 1)(0) = all.grad(i)(sizes[i] - 1);
      optimizer->step(all);
      other->step(alone);
    }
    for (std::size_t i = 1; i < sizes.size(); ++i) {
      expect_same_bits(all.value(i)(sizes[i] - 1), alone.value(i - 1)(0));
      EXPECT_EQ(all.values()[all.offset(i) + sizes[i] - 1], all.value(i)(sizes[i] - 1));
    }
    std::size_t zeros = 0;
    for (const T v : all.values()) zeros += v == 0 ? 1 : 0;
    EXPECT_EQ(zeros, all.values().size() - all.element_count());
  }
}

TEST(Optimizers, AnElementMovesAsItWouldAloneAtEverySize) {
  expect_sizes_do_not_matter<float>();
  expect_sizes_do_not_matter<double>();
}

TEST(Optimizers, EmptyModelsStep) {
  Parameters<float> none;
  for (const auto& optimizer : all_optimizers(none)) {
    optimizer->step(none);
    EXPECT_EQ(optimizer->state_dict().size(), 0u);
  }
}

// With eps = 0 an element whose gradients were all zero moves by 0/0; what lies between tensors must not.
TEST(Optimizers, WhatLiesBetweenTensorsStaysZero) {
  Parameters<float> parameters = random_parameters<float>(infos_of_sizes({3, 5}), 1);
  Adam<float> adam(parameters, {.eps = 0});
  train<float>(adam, parameters, 0, 2);
  for (const float v : parameters.values()) EXPECT_TRUE(std::isfinite(v));
}

TEST(Optimizers, FrozenParametersAreNotTouchedAndCountNoSteps) {
  for (std::size_t k = 0; k < kOptimizers; ++k) {
    Parameters<double> parameters = random_parameters<double>(infos_of_sizes({20, 30, 40}), 5);
    parameters.freeze("w1");
    const OptimizerPtr<double> optimizer = std::move(all_optimizers(parameters)[k]);
    SCOPED_TRACE(optimizer->type());
    const Tensor<double> before(parameters.value(1));
    train(*optimizer, parameters, 0, 4);
    expect_same_bits<double>(parameters.value(1), before.view());
    EXPECT_EQ(optimizer->step_count(0), 4u);
    EXPECT_EQ(optimizer->step_count(1), 0u);
    EXPECT_FALSE(optimizer->state_dict().contains("w1.step"));
    // Once it thaws it starts as a new one: as if the four steps had not been.
    parameters.unfreeze("w1");
    train(*optimizer, parameters, 4, 6);
    EXPECT_EQ(optimizer->step_count(1), 2u);
    Parameters<double> fresh = random_parameters<double>(infos_of_sizes({20, 30, 40}), 5);
    train(*all_optimizers(fresh)[k], fresh, 4, 6);
    expect_same_bits<double>(parameters.value(1), fresh.value(1));
  }
}

TEST(Optimizers, LearningRateOfZeroMovesNothing) {
  Parameters<double> parameters = random_parameters<double>(infos_of_sizes({33}), 5);
  const Tensor<double> before(parameters.value(0));
  for (const auto& optimizer : all_optimizers(parameters)) {
    optimizer->set_lr(0);
    EXPECT_EQ(optimizer->lr(), 0);
    train(*optimizer, parameters, 0, 2);
    expect_same_bits<double>(parameters.value(0), before.view());
  }
}

template <class T>
void expect_resumed_as_straight() {
  const std::vector<ParameterInfo> infos = infos_of_sizes({17, 1, 300, 0});
  for (std::size_t k = 0; k < kOptimizers; ++k) {
    Parameters<T> straight = random_parameters<T>(infos, 8);
    straight.freeze("w1");
    const OptimizerPtr<T> first = std::move(all_optimizers(straight)[k]);
    SCOPED_TRACE(first->type());
    train(*first, straight, 0, 5);

    Parameters<T> resumed(infos);
    resumed.load(straight.state_dict());
    const OptimizerPtr<T> second = std::move(all_optimizers(resumed)[k]);
    second->load_state_dict(first->state_dict("optimizer."), "optimizer.");
    EXPECT_EQ(second->step_count(0), 5u);
    EXPECT_EQ(second->step_count(1), 0u);
    EXPECT_EQ(second->state_dict().names(), first->state_dict().names());

    straight.unfreeze("w1");
    train(*first, straight, 5, 9);
    train(*second, resumed, 5, 9);
    expect_bits_of(resumed, straight);

    // It counts: without its state the optimizer goes another way. (Without momentum SGD has none.)
    Parameters<T> forgetful(infos);
    forgetful.load(straight.state_dict());
    train(*all_optimizers(forgetful)[k], forgetful, 9, 11);
    train(*first, straight, 9, 11);
    EXPECT_EQ(same_bits(forgetful.value(0)(0), straight.value(0)(0)), k == 0);
  }
}

TEST(Optimizers, SavedAndLoadedInTheMiddleGoOnWithTheSameBits) {
  expect_resumed_as_straight<float>();
  expect_resumed_as_straight<double>();
}

TEST(Optimizers, StateHasPyTorchsNames) {
  using Names = std::vector<std::string>;
  Parameters<float> p = random_parameters<float>({{"weight_ih_l0", {2, 3}}}, 1);
  const auto names_of = [&](Optimizer<float>&& optimizer) {
    optimizer.step(p);
    const StateDict<float> state = optimizer.state_dict("o.");
    EXPECT_EQ(state.at("o.weight_ih_l0.step", Shape())(), 1);
    Names names;
    for (const std::string& name : state.names()) {
      if (name == "o.weight_ih_l0.step") continue;
      names.push_back(name);
      EXPECT_EQ(state.at(name).shape(), Shape({2, 3}));
    }
    return names;
  };
  EXPECT_EQ(names_of(SGD<float>(p)), Names{});
  EXPECT_EQ(names_of(SGD<float>(p, {.momentum = 0.5})), Names{"o.weight_ih_l0.momentum_buffer"});
  EXPECT_EQ(names_of(Adam<float>(p)), (Names{"o.weight_ih_l0.exp_avg", "o.weight_ih_l0.exp_avg_sq"}));
  EXPECT_EQ(names_of(AdamW<float>(p, {.amsgrad = true})),
            (Names{"o.weight_ih_l0.exp_avg", "o.weight_ih_l0.exp_avg_sq", "o.weight_ih_l0.max_exp_avg_sq"}));
  EXPECT_EQ(names_of(RMSprop<float>(p)), Names{"o.weight_ih_l0.square_avg"});
  EXPECT_EQ(
      names_of(RMSprop<float>(p, {.momentum = 0.5, .centered = true})),
      (Names{"o.weight_ih_l0.grad_avg", "o.weight_ih_l0.momentum_buffer", "o.weight_ih_l0.square_avg"}));
  EXPECT_EQ(names_of(Adagrad<float>(p)), Names{"o.weight_ih_l0.sum"});
}

// A float holds no whole number after 2^24; PyTorch's count stays there too.
TEST(Optimizers, TheCountOfStepsStaysAt2To24) {
  Parameters<float> p = random_parameters<float>({{"w", {1}}}, 1);
  SGD<float> sgd(p);
  StateDict<float> state;
  state.set("w.step", Tensor<float>({}, {16777215}));
  sgd.load_state_dict(state);
  sgd.step(p);
  EXPECT_EQ(sgd.step_count(0), 16777216u);
  sgd.step(p);
  EXPECT_EQ(sgd.step_count(0), 16777216u);
  sgd.load_state_dict(sgd.state_dict());
  EXPECT_EQ(sgd.step_count(0), 16777216u);
}

TEST(Optimizers, ALoadThatThrowsChangesNothing) {
  Parameters<float> p = random_parameters<float>({{"a", {2}}, {"b", {3}}}, 1);
  Adam<float> adam(p);
  train<float>(adam, p, 0, 2);
  const auto expect_refused = [&](const StateDict<float>& state, const std::string& message) {
    EXPECT_EQ(message_of<Error>([&] { adam.load_state_dict(state, "o."); }), message);
    EXPECT_EQ(adam.step_count(0), 2u);
  };
  const auto good = [] {
    StateDict<float> state;
    for (const char* name : {"o.a.exp_avg", "o.a.exp_avg_sq"}) state.set(name, Tensor<float>({2}));
    state.set("o.a.step", Tensor<float>({}, {7}));
    state.set("elsewhere", Tensor<float>({1}));
    return state;
  };
  StateDict<float> state = good();
  state.set("o.b.step", Tensor<float>({}, {1}));
  EXPECT_EQ(message_of<Error>([&] { adam.load_state_dict(state, "o."); }),
            "no tensor named 'o.b.exp_avg'; there are 5: 'elsewhere', 'o.a.exp_avg', 'o.a.exp_avg_sq', "
            "'o.a.step', 'o.b.step'");
  EXPECT_EQ(adam.step_count(0), 2u);
  state = good();
  state.set("o.a.momentum_buffer", Tensor<float>({2}));
  expect_refused(state, "Adam::load_state_dict: 'o.a.momentum_buffer' is no state of this optimizer");
  state = good();
  state.set("o.a.exp_avg_sq", Tensor<float>({3}));
  expect_refused(state, "tensor 'o.a.exp_avg_sq' is [3], expected [2]");
  for (const auto& [count, text] :
       {std::pair(0.5F, "0.5"), std::pair(0.F, "0"), std::pair(-1.F, "-1"), std::pair(1e9F, "1e+09"),
        std::pair(std::numeric_limits<float>::quiet_NaN(), "nan")}) {
    state = good();
    state.set("o.a.step", Tensor<float>({}, {count}));
    expect_refused(state, std::string("Adam::load_state_dict: 'o.a.step' is ") + text +
                              ", expected a whole number from 1 to 2^24");
  }
  adam.load_state_dict(good(), "o.");
  EXPECT_EQ(adam.step_count(0), 7u);
  EXPECT_EQ(adam.step_count(1), 0u);
}

TEST(Optimizers, OtherParametersAreRefused) {
  Parameters<float> p({{"a", {2}}, {"b", {3}}});
  Adam<float> adam(p);
  Parameters<float> fewer({{"a", {2}}});
  EXPECT_EQ(message_of<Error>([&] { adam.step(fewer); }), "Adam::step: there are 1 parameters, expected 2");
  Parameters<float> named({{"a", {2}}, {"c", {3}}});
  EXPECT_EQ(message_of<Error>([&] { adam.step(named); }),
            "Adam::step: parameter 1 is 'c' [3], expected 'b' [3]");
  Parameters<float> shaped({{"a", {2}}, {"b", {4}}});
  EXPECT_EQ(message_of<Error>([&] { adam.step(shaped); }),
            "Adam::step: parameter 1 is 'b' [4], expected 'b' [3]");
  EXPECT_EQ(adam.step_count(0), 0u);
}

TEST(Optimizers, BadOptionsAreNamed) {
  const Parameters<float> p({{"a", {2}}});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto message = [](const auto& make) { return message_of<Error>(make); };
  EXPECT_EQ(message([&] { SGD<float>(p, {.lr = -1}); }), "SGD: lr is -1, expected at least 0 and finite");
  EXPECT_EQ(message([&] { SGD<float>(p, {.momentum = nan}); }),
            "SGD: momentum is nan, expected at least 0 and finite");
  EXPECT_EQ(message([&] { SGD<float>(p, {.dampening = nan}); }), "SGD: dampening is nan, expected finite");
  EXPECT_EQ(message([&] { SGD<float>(p, {.weight_decay = -0.5}); }),
            "SGD: weight_decay is -0.5, expected at least 0 and finite");
  EXPECT_EQ(message([&] { SGD<float>(p, {.nesterov = true}); }),
            "SGD: nesterov with momentum 0 and dampening 0, expected momentum above 0 and dampening 0");
  EXPECT_EQ(message([&] { Adam<float>(p, {.lr = nan}); }), "Adam: lr is nan, expected at least 0 and finite");
  EXPECT_EQ(message([&] {
              Adam<float>(p, {.betas = {1, 0.9}});
            }),
            "Adam: betas[0] is 1, expected at least 0 and below 1");
  EXPECT_EQ(message([&] {
              AdamW<float>(p, {.betas = {0.9, -0.1}});
            }),
            "AdamW: betas[1] is -0.1, expected at least 0 and below 1");
  EXPECT_EQ(message([&] { AdamW<float>(p, {.eps = -1}); }),
            "AdamW: eps is -1, expected at least 0 and finite");
  EXPECT_EQ(message([&] { AdamW<float>(p, {.weight_decay = nan}); }),
            "AdamW: weight_decay is nan, expected at least 0 and finite");
  EXPECT_EQ(message([&] { RMSprop<float>(p, {.alpha = 1.5}); }), "RMSprop: alpha is 1.5, expected 0 to 1");
  EXPECT_EQ(message([&] { RMSprop<float>(p, {.eps = -1}); }),
            "RMSprop: eps is -1, expected at least 0 and finite");
  EXPECT_EQ(message([&] { RMSprop<float>(p, {.weight_decay = -1}); }),
            "RMSprop: weight_decay is -1, expected at least 0 and finite");
  EXPECT_EQ(message([&] { RMSprop<float>(p, {.momentum = -1}); }),
            "RMSprop: momentum is -1, expected at least 0 and finite");
  EXPECT_EQ(message([&] { Adagrad<float>(p, {.lr_decay = -1}); }),
            "Adagrad: lr_decay is -1, expected at least 0 and finite");
  EXPECT_EQ(message([&] { Adagrad<float>(p, {.weight_decay = -1}); }),
            "Adagrad: weight_decay is -1, expected at least 0 and finite");
  EXPECT_EQ(message([&] { Adagrad<float>(p, {.initial_accumulator_value = -1}); }),
            "Adagrad: initial_accumulator_value is -1, expected at least 0 and finite");
  EXPECT_EQ(message([&] { Adagrad<float>(p, {.eps = -1}); }),
            "Adagrad: eps is -1, expected at least 0 and finite");
  SGD<float> sgd(p, {.lr = 0.5});
  EXPECT_EQ(message([&] { sgd.set_lr(std::numeric_limits<double>::infinity()); }),
            "SGD: lr is inf, expected at least 0 and finite");
  EXPECT_EQ(sgd.lr(), 0.5);
}

TEST(Optimizers, MemoryDoesNotGrowAfterTheFirstStep) {
  if (!test::can_count_allocations()) return;
  Parameters<float> p = random_parameters<float>(infos_of_sizes({17, 300}), 1);
  for (const auto& optimizer : all_optimizers(p)) {
    optimizer->step(p, {.threads = 1});
    const std::size_t calls = test::heap_calls_during([&] {
      for (int i = 0; i < 100; ++i) optimizer->step(p, {.threads = 1});
    });
    EXPECT_EQ(calls, 100u * 2) << optimizer->type();  // a list of chunks, taken and given back by each step
  }
}

}  // namespace
}  // namespace sluice
