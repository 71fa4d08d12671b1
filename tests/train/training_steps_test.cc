// SPDX-License-Identifier: Apache-2.0
// What many steps of training leave behind: nothing.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <vector>

#include "sluice/loss.h"
#include "sluice/optim.h"
#include "sluice/tape.h"
#include "sluice/trainable.h"
#include "support/count_allocations.h"
#include "support/random.h"

namespace sluice {
namespace {

constexpr const char* kArchitecture = R"([
  {"type": "LSTM", "prefix": "rnn", "input_size": 6, "hidden_size": 20, "num_layers": 2, "bidirectional": true},
  {"type": "LayerNorm", "prefix": "norm", "normalized_shape": 40},
  {"type": "Linear", "prefix": "head", "in_features": 40, "out_features": 3}])";

// Steps of training over batches of all lengths.
class Steps {
 public:
  void run(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) step();
  }

 private:
  void step() {
    const std::size_t steps = 1 + random_.below(60), batch = 1 + random_.below(7);
    std::vector<std::int64_t> lengths;
    for (std::size_t b = 0; b < batch; ++b) {
      lengths.push_back(static_cast<std::int64_t>(1 + random_.below(steps)));
    }
    const Tensor<float> x = random_tensor<float>({steps, batch, 6}, -1, 1, ++seed_);
    const Tensor<float> target = random_tensor<float>({steps, batch, 3}, -1, 1, ++seed_);
    Parameters<float>& parameters = trained_.parameters();
    const Sequential<float>& modules = trained_.model().modules();
    const auto out = modules.record({x.view(), lengths}, tape_, {});
    const auto loss = MSELoss<float>()(out.y.view(), target.view(), {.lengths = lengths, .with_grad = true});
    parameters.zero_grad();
    modules.backward(loss.grad.view(), tape_, parameters, {.wants_input = false});
    adam_.step(parameters);
    trained_.update();
  }

  TrainableModel<float> trained_ = TrainableModel<float>::begin(kArchitecture, 1);
  Adam<float> adam_{trained_.parameters()};
  Tape tape_;
  Random random_{3};
  std::uint64_t seed_ = 0;
};

TEST(TrainingSteps, TakeNoMemoryThatStays) {
  if (!test::can_count_allocations()) GTEST_SKIP() << "the heap of this build cannot be counted";
  Steps steps;
  const auto blocks = [] { return test::allocation_count() - test::free_count(); };
  steps.run(20);  // the optimizer's state, and whatever OpenMP takes once
  const auto before = blocks();
  steps.run(100);
  EXPECT_EQ(blocks(), before);
}

TEST(TrainingSteps, AThousandKeepTheProcessAsLargeAsItWas) {
  if (!test::can_count_allocations()) GTEST_SKIP() << "a sanitizer's heap holds on to what is freed";
  std::ifstream statm("/proc/self/statm");
  if (!statm) GTEST_SKIP() << "this system has no /proc/self/statm";
  const auto resident_bytes = [] {
    std::ifstream file("/proc/self/statm");
    std::size_t total = 0, resident = 0;
    file >> total >> resident;
    return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  };
  Steps steps;
  steps.run(200);
  const std::size_t before = resident_bytes();
  ASSERT_GT(before, 0u);
  steps.run(1000);
  // A leak of one tape a step would be hundreds of megabytes; the heap's own growth is within a few.
  EXPECT_LT(resident_bytes(), before + (std::size_t{8} << 20));
}

}  // namespace
}  // namespace sluice
