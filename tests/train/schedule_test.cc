// SPDX-License-Identifier: Apache-2.0
// States and errors; that the rates are PyTorch's is in tests/golden/optim_test.cc.
#include "sluice/schedule.h"

#include <gtest/gtest.h>

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

std::vector<std::unique_ptr<Schedule>> all_schedules() {
  std::vector<std::unique_ptr<Schedule>> all;
  all.push_back(std::make_unique<StepLR>(0.3, StepLROptions{.step_size = 3, .gamma = 0.7}));
  all.push_back(std::make_unique<CosineAnnealingLR>(0.3, CosineAnnealingLROptions{.T_max = 11}));
  all.push_back(std::make_unique<LinearLR>(0.3, LinearLROptions{.total_iters = 9}));
  all.push_back(std::make_unique<ReduceLROnPlateau>(
      0.3, ReduceLROnPlateauOptions{.factor = 0.7, .patience = 1, .cooldown = 2}));
  return all;
}

TEST(Schedules, SavedAndLoadedAtAnyEpochGoOnWithTheSameBits) {
  constexpr std::size_t kEpochs = 25;
  const std::vector<double> metric = random_vector<double>(kEpochs, 0, 1, 4);
  for (std::size_t k = 0; k < 4; ++k) {
    for (std::size_t middle = 0; middle < kEpochs; ++middle) {
      const auto straight = std::move(all_schedules()[k]);
      const auto resumed = std::move(all_schedules()[k]);
      SCOPED_TRACE(straight->type());
      for (std::size_t epoch = 0; epoch < middle; ++epoch) straight->step(metric[epoch]);
      resumed->load_state(straight->state());
      EXPECT_EQ(resumed->epoch(), middle);
      expect_same_bits(resumed->lr(), straight->lr());
      for (std::size_t epoch = middle; epoch < kEpochs; ++epoch) {
        expect_same_bits(resumed->step(metric[epoch]), straight->step(metric[epoch]));
      }
      EXPECT_LT(straight->lr(), 0.31);
    }
  }
}

TEST(Schedules, StateIsALineOfText) {
  StepLR step(0.25, {.step_size = 2, .gamma = 0.5});
  for (int epoch = 0; epoch < 3; ++epoch) step.step();
  EXPECT_EQ(step.state(), "StepLR epoch=3 lr=0.125");
  ReduceLROnPlateau plateau(0.5);
  EXPECT_EQ(plateau.state(), "ReduceLROnPlateau epoch=0 lr=0.5 bad_epochs=0 best=inf cooldown_left=0");
  plateau.step(0.75);
  plateau.step(0.875);
  EXPECT_EQ(plateau.state(), "ReduceLROnPlateau epoch=2 lr=0.5 bad_epochs=1 best=0.75 cooldown_left=0");
}

TEST(Schedules, ClosedFormsGiveAnyEpoch) {
  StepLR step(0.25, {.step_size = 2, .gamma = 0.5});
  CosineAnnealingLR cosine(0.25, {.T_max = 4, .eta_min = 0.05});
  LinearLR linear(0.25, {.start_factor = 0.5, .total_iters = 3});
  EXPECT_EQ(step.at(5), 0.0625);
  EXPECT_EQ(cosine.at(4), 0.05);
  EXPECT_EQ(linear.at(0), 0.125);
  EXPECT_EQ(linear.at(100), 0.25);
  for (std::size_t epoch = 0; epoch < 10; ++epoch) {
    EXPECT_EQ(step.lr(), step.at(epoch));
    EXPECT_EQ(cosine.lr(), cosine.at(epoch));
    EXPECT_EQ(linear.lr(), linear.at(epoch));
    step.step();
    cosine.step();
    linear.step();
  }
}

TEST(Schedules, ALoadThatThrowsChangesNothing) {
  ReduceLROnPlateau plateau(0.5);
  plateau.step(0.75);
  const std::string before = plateau.state();
  const auto expect_refused = [&](const std::string& text) {
    EXPECT_EQ(message_of<Error>([&] { plateau.load_state(text); }),
              "ReduceLROnPlateau::load_state: '" + text + "' is not one of its states");
    EXPECT_EQ(plateau.state(), before);
  };
  expect_refused("");
  expect_refused("StepLR epoch=3 lr=0.125");
  expect_refused("ReduceLROnPlateau epoch=3 lr=0.125");
  expect_refused("ReduceLROnPlateau epoch=3 lr=0.125 bad_epochs=0 best=1 cooldown_left=0 more=1");
  expect_refused("ReduceLROnPlateau epoch=3 lr=0.125 bad_epochs=0 best=1 best=1 cooldown_left=0");
  expect_refused("ReduceLROnPlateau epoch=-3 lr=0.125 bad_epochs=0 best=1 cooldown_left=0");
  expect_refused("ReduceLROnPlateau epoch=3 lr=nan bad_epochs=0 best=1 cooldown_left=0");
  expect_refused("ReduceLROnPlateau epoch=3 lr=0.125x bad_epochs=0 best=1 cooldown_left=0");
  expect_refused("ReduceLROnPlateau epoch=3 lr= bad_epochs=0 best=1 cooldown_left=0");
  expect_refused("ReduceLROnPlateau epoch lr=1 bad_epochs=0 best=1 cooldown_left=0");
  EXPECT_EQ(message_of<Error>([&] {
              plateau.load_state("ReduceLROnPlateau epoch=3 lr=1 bad_epochs=0.5 best=1 cooldown_left=0");
            }),
            "ReduceLROnPlateau::load_state: bad_epochs is 0.5 and cooldown_left is 0, expected counts");
  EXPECT_EQ(plateau.state(), before);
}

TEST(Schedules, BadOptionsAreNamed) {
  const auto message = [](const auto& make) { return message_of<Error>(make); };
  EXPECT_EQ(message([] { StepLR(-1, {}); }), "StepLR: lr is -1, expected at least 0 and finite");
  EXPECT_EQ(message([] { StepLR(1, {.step_size = 0}); }), "StepLR: step_size is 0, expected at least 1");
  EXPECT_EQ(message([] { StepLR(1, {.gamma = -1}); }), "StepLR: gamma is -1, expected at least 0 and finite");
  EXPECT_EQ(message([] { CosineAnnealingLR(1, {.T_max = 0}); }),
            "CosineAnnealingLR: T_max is 0, expected at least 1");
  EXPECT_EQ(message([] { CosineAnnealingLR(1, {.eta_min = -1}); }),
            "CosineAnnealingLR: eta_min is -1, expected at least 0 and finite");
  EXPECT_EQ(message([] { LinearLR(1, {.start_factor = 0}); }),
            "LinearLR: start_factor is 0, expected above 0 and at most 1");
  EXPECT_EQ(message([] { LinearLR(1, {.end_factor = 2}); }), "LinearLR: end_factor is 2, expected 0 to 1");
  EXPECT_EQ(message([] { LinearLR(1, {.total_iters = 0}); }),
            "LinearLR: total_iters is 0, expected at least 1");
  EXPECT_EQ(message([] { ReduceLROnPlateau(1, {.factor = 1}); }),
            "ReduceLROnPlateau: factor is 1, expected at least 0 and below 1");
  EXPECT_EQ(message([] { ReduceLROnPlateau(1, {.threshold = -1}); }),
            "ReduceLROnPlateau: threshold is -1, expected at least 0 and finite");
  EXPECT_EQ(message([] { ReduceLROnPlateau(1, {.min_lr = -1}); }),
            "ReduceLROnPlateau: min_lr is -1, expected at least 0 and finite");
  EXPECT_EQ(message([] { ReduceLROnPlateau(1, {.eps = -1}); }),
            "ReduceLROnPlateau: eps is -1, expected at least 0 and finite");
}

}  // namespace
}  // namespace sluice
