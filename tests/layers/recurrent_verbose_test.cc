// SPDX-License-Identifier: Apache-2.0
#include "layers/recurrent_verbose.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

RecurrentShape shape() {
  return {.steps = 25,
          .batch = 32,
          .input_size = 512,
          .hidden_size = 256,
          .state_size = 256,
          .gates = 4,
          .lanes = 16,
          .tile_rows = 6};
}

// The estimate is whatever the cost model says.
std::string estimate(const RecurrentShape& shape, const RecurrentPlan& plan) {
  const std::string line = describe_call("LSTM::forward", "avx512", shape, plan, 0);
  const std::size_t at = line.find("estimated");
  return line.substr(at, line.find(", took") - at);
}

TEST(DescribeCall, TellsShapeAndPlanAndTime) {
  const RecurrentPlan plan{.batch_groups = 2};
  EXPECT_EQ(describe_call("LSTM::forward", "avx512", shape(), plan, 1234567),
            "sluice: LSTM::forward T=25 B=32 I=512 H=256 float32 avx512: 2 threads (directions 1 x layers 1 "
            "x batch 2 x "
            "units 1), "
            "input in step, " +
                estimate(shape(), plan) + ", took 1235 us");
}

TEST(DescribeCall, TellsWhatIsNotPlain) {
  RecurrentShape s = shape();
  s.state_size = 100;
  s.layers = 3;
  s.directions = 2;
  s.element_bytes = 8;
  const RecurrentPlan plan{.ahead_steps = 12};
  EXPECT_EQ(
      describe_call("GRU::forward", "avx2", s, plan, 500),
      "sluice: GRU::forward T=25 B=32 I=512 H=256 H_out=100 layers=3 directions=2 float64 avx2: 1 thread, "
      "input 12 steps ahead, " +
          estimate(s, plan) + ", took 0.5 us");
}

}  // namespace
}  // namespace sluice
