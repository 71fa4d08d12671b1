// SPDX-License-Identifier: Apache-2.0
#include "layers/recurrent_plan.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

// An LSTM of equal input and hidden size on AVX-512 in float.
RecurrentShape lstm(std::size_t steps, std::size_t batch, std::size_t size, std::size_t directions = 1,
                    std::size_t layers = 1) {
  return {.steps = steps,
          .batch = batch,
          .input_size = size,
          .hidden_size = size,
          .state_size = size,
          .gates = 4,
          .directions = directions,
          .layers = layers,
          .stages = 1,
          .lanes = 16,
          .tile_rows = 6,
          .element_bytes = 4};
}

// PyTorch 4703, 42094; oneDNN 837: more threads made small networks slower.
TEST(RecurrentPlan, SmallWorkStaysOnOneThread) {
  EXPECT_EQ(plan_recurrent(lstm(63, 1, 32, 2), 8).threads(), 1u);
  EXPECT_EQ(plan_recurrent(lstm(100, 1, 64), 8).threads(), 1u);
  EXPECT_EQ(plan_recurrent(lstm(1, 4, 64), 8).threads(), 1u);
}

TEST(RecurrentPlan, NothingToDoTakesOneThread) {
  EXPECT_EQ(plan_recurrent(lstm(0, 32, 512), 8).threads(), 1u);
  EXPECT_EQ(plan_recurrent(lstm(10, 0, 512), 8).threads(), 1u);
}

TEST(RecurrentPlan, OneThreadIsAlwaysObeyed) {
  EXPECT_EQ(plan_recurrent(lstm(100, 64, 1024, 2, 3), 1).threads(), 1u);
}

TEST(RecurrentPlan, LargeBatchesSplitTheirRows) {
  const RecurrentPlan plan = plan_recurrent(lstm(25, 32, 512), 2);
  EXPECT_EQ(plan.batch_groups, 2u);
  EXPECT_EQ(plan.unit_groups, 1u);
}

TEST(RecurrentPlan, FewRowsOfALargeStateReadOnlyTheirShareOfTheWeights) {
  RecurrentShape shape = lstm(25, 16, 1024);
  shape.gates = 3;
  shape.tile_rows = 8;
  const RecurrentPlan plan = plan_recurrent(shape, 2);
  EXPECT_EQ(plan.batch_groups, 1u);
  EXPECT_EQ(plan.unit_groups, 2u);
}

TEST(RecurrentPlan, OneRowOfALargeStateSplitsItsUnits) {
  const RecurrentPlan plan = plan_recurrent(lstm(100, 1, 512), 2);
  EXPECT_EQ(plan.batch_groups, 1u);
  EXPECT_EQ(plan.unit_groups, 2u);
  EXPECT_GT(plan.ahead_steps, 1u);
}

TEST(RecurrentPlan, ASmallStateIsNotSplitAmongAllOfManyThreads) {
  EXPECT_EQ(plan_recurrent(lstm(100, 1, 256), 16).unit_groups, 8u);
  EXPECT_EQ(plan_recurrent(lstm(50, 1, 1792), 16).unit_groups, 16u);
}

TEST(RecurrentPlan, OneRowBothWaysTakesTheDirectionsSideBySide) {
  const RecurrentPlan plan = plan_recurrent(lstm(100, 1, 128, 2), 2);
  EXPECT_EQ(plan.direction_groups, 2u);
  EXPECT_EQ(plan.unit_groups, 1u);
}

TEST(RecurrentPlan, OneRowOfAStackTakesItsLayersSideBySide) {
  const RecurrentPlan plan = plan_recurrent(lstm(1000, 1, 128, 1, 2), 2);
  EXPECT_EQ(plan.layer_groups, 2u);
  EXPECT_EQ(plan.unit_groups, 1u);
  EXPECT_EQ(plan_recurrent(lstm(1000, 1, 128, 1, 1), 2).layer_groups, 1u);
}

// No plan of any shape has more threads than allowed, more groups than there is to share, or a higher
// estimate than one thread.
TEST(RecurrentPlan, StaysWithinWhatItWasGiven) {
  for (const std::size_t batch : {1, 3, 32, 1000}) {
    for (const std::size_t size : {1, 16, 100, 1024}) {
      for (const std::size_t directions : {1, 2}) {
        for (const std::size_t threads : {1, 2, 3, 8, 64}) {
          const RecurrentShape shape = lstm(200, batch, size, directions, 2);
          const RecurrentPlan plan = plan_recurrent(shape, threads);
          EXPECT_LE(plan.threads(), threads);
          EXPECT_LE(plan.batch_groups, batch);
          EXPECT_LE(plan.direction_groups, directions);
          EXPECT_LE(plan.layer_groups, directions == 1 ? shape.layers : 1);
          EXPECT_LE(plan.unit_groups, (size + 15) / 16);
          EXPECT_LE(plan.ahead_steps, shape.steps);
          EXPECT_LE(recurrent_cost_ns(shape, plan),
                    recurrent_cost_ns(shape, plan_recurrent(shape, 1)) * 1.0000001);
        }
      }
    }
  }
}

}  // namespace
}  // namespace sluice
