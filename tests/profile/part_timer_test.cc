// SPDX-License-Identifier: Apache-2.0
// A model run by hand: its parts make the whole, are told by phase where they are cells, and cost little.
#include "sluice/part_timer.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cmath>
#include <numeric>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/error.h"
#include "sluice/layers.h"
#include "sluice/sigmoid.h"
#include "support/count_allocations.h"
#include "support/expect_same_bits.h"
#include "support/recurrent_cases.h"
#include "support/system_calls.h"

namespace sluice {
namespace {

double sum_of(const PhaseSeconds& phases) { return std::accumulate(phases.begin(), phases.end(), 0.0); }
double phase(const PartReport& part, Phase of) { return part.phases[static_cast<std::size_t>(of)]; }

// A convolution, an LSTMCell, a loop of its own.
class ByHand {
 public:
  static constexpr std::size_t kLength = 20, kHidden = 64, kRows = 3;

  ByHand() : conv_(make_conv()), cell_(make_cell()) {}

  void time_with(PartTimer& timer) {
    timer_ = &timer;
    conv_part_ = timer.add_part(conv_, kLength, 1, 4);
    cell_part_ = timer.add_part(cell_, kRows);
    tail_ = timer.add_part("tail", {.flops = 0, .bytes = 4.0 * kHidden, .sigmoids = kHidden * kRows});
    seldom_ = timer.add_part("seldom");
  }

  void run() noexcept {
    if (timer_ != nullptr) timer_->begin_run();
    conv_.forward_channels_last(kLength, x_.data(), features_.data(), nullptr);
    if (timer_ != nullptr) timer_->end_part(conv_part_);
    for (int i = 0; i < 2; ++i) {
      cell_.step(kRows, features_.data(), h_.data(), c_.data(), h_next_.data(), c_.data());
      std::swap(h_, h_next_);
      if (timer_ != nullptr) timer_->end_part(cell_part_);
    }
    sigmoid(std::span<const float>(h_), std::span<float>(y_));
    if (timer_ != nullptr) timer_->end_part(tail_);
    if (timer_ != nullptr) timer_->end_run();
  }

  const std::vector<float>& y() const { return y_; }

 private:
  static Conv1d<float> make_conv() {
    StateDict<float> weights;
    weights.set("conv.weight", random_tensor<float>({8, 4, 5}, -1, 1, 1));
    weights.set("conv.bias", random_tensor<float>({8}, -1, 1, 2));
    return {{.in_channels = 4, .out_channels = 8, .kernel_size = 5}, weights, "conv."};
  }
  static LSTMCell<float> make_cell() {
    StateDict<float> weights;
    weights.set("cell.weight_ih", random_tensor<float>({4 * kHidden, 16}, -1, 1, 3));
    weights.set("cell.weight_hh", random_tensor<float>({4 * kHidden, kHidden}, -0.1F, 0.1F, 4));
    weights.set("cell.bias_ih", random_tensor<float>({4 * kHidden}, -1, 1, 5));
    weights.set("cell.bias_hh", random_tensor<float>({4 * kHidden}, -1, 1, 6));
    return {{.input_size = 16, .hidden_size = kHidden}, weights, "cell."};
  }

  Conv1d<float> conv_;
  LSTMCell<float> cell_;
  std::vector<float> x_ = std::vector<float>(std::size_t{4} * kLength, 0.5F),
                     features_ = std::vector<float>(128);
  std::vector<float> h_ = std::vector<float>(kRows * kHidden), h_next_ = h_, c_ = h_, y_ = h_;
  PartTimer* timer_ = nullptr;
  std::size_t conv_part_ = 0, cell_part_ = 0, tail_ = 0, seldom_ = 0;
};

// Others use the machine meanwhile, and may stop any one measurement.
template <class Body>
bool happens(const Body& body) {
  for (int i = 0; i < 50; ++i) {
    if (body()) return true;
  }
  return false;
}

TEST(PartTimer, CountsRunsAndTellsPartsApart) {
  ByHand model;
  Profiler profiler;
  PartTimer timer(profiler);
  model.time_with(timer);
  for (int i = 0; i < 100; ++i) model.run();
  const ProfileTimes times = profiler.read();
  EXPECT_EQ(times.runs, 100u);
  ASSERT_EQ(times.modules.size(), 4u);
  const std::array<std::string, 4> names{"conv", "cell", "tail", "seldom"};
  const std::array<std::string, 4> types{"Conv1d", "LSTMCell", "function", "function"};
  double sum = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(times.modules[i].prefix, names[i]);
    EXPECT_EQ(times.modules[i].type, types[i]);
    EXPECT_EQ(times.modules[i].seconds > 0, i < 3) << i;
    sum += times.modules[i].seconds;
  }
  EXPECT_LE(sum, times.seconds * (1 + 1e-9));
  // Two steps a run, of which some are timed and stand for all.
  ASSERT_EQ(times.modules[1].cells.size(), 1u);
  const CellTimes& cell = times.modules[1].cells[0];
  EXPECT_EQ(cell.steps, 200u);
  EXPECT_EQ(cell.activations, 200u * ByHand::kRows * 5 * ByHand::kHidden);
  EXPECT_NEAR(sum_of(cell.seconds), times.modules[1].seconds, 0.001 * times.modules[1].seconds);
}

TEST(PartTimer, PartsMakeTheWholeInAReport) {
  ByHand model;
  Profiler profiler;
  PartTimer timer(profiler);
  model.time_with(timer);
  ProfileReport report;
  EXPECT_TRUE(happens([&] {
    report = profile_parts(timer, [&] { model.run(); },
                           {.repeat = 5, .threads = 1, .trace_spans = 100, .model = "by hand"});
    double parts = 0;
    for (const PartReport& part : report.parts) parts += sum_of(part.phases);
    return std::fabs(parts - report.seconds_median) <= 0.03 * report.seconds_median;
  }));
  EXPECT_EQ(report.model, "by hand");
  EXPECT_EQ(report.dtype, "float32");
  EXPECT_EQ(report.batch, ByHand::kRows);
  ASSERT_EQ(report.parts.size(), 4u);
  EXPECT_EQ(report.parts[3].seconds_min, 0);
  EXPECT_EQ(report.parts[0].bound.flops, 2.0 * 16 * 8 * 4 * 5);
  EXPECT_EQ(report.parts[1].bound.flops, 2.0 * ByHand::kRows * 4 * ByHand::kHidden * (16 + ByHand::kHidden));
  EXPECT_EQ(report.parts[2].bound.by, "gates");
  EXPECT_GT(report.share_of_bound, 0);
  EXPECT_GT(report.parts[1].gates_per_second, 0);
  EXPECT_EQ(phase(report.parts[0], Phase::kOther), sum_of(report.parts[0].phases));
  ASSERT_FALSE(report.trace.empty());
  EXPECT_EQ(report.trace[0].name, "conv");
  // The views take it as they take a module's.
  EXPECT_NE(profile_table(report, false).find("by hand: float32, 1 thread, 5 runs"), std::string::npos);
  EXPECT_EQ(profile_from_json(profile_json(report)).parts.size(), 4u);
}

TEST(PartTimer, ChangesNothingAndTakesNoMemory) {
  ByHand plain, timed;
  Profiler profiler;
  PartTimer timer(profiler);
  timed.time_with(timer);
  for (int i = 0; i < 20; ++i) {
    plain.run();
    timed.run();
  }
  EXPECT_EQ(plain.y(), timed.y());
  const auto outcome = test::run_without_system_calls([&] {
    for (int i = 0; i < 40; ++i) timed.run();
  });
  if (outcome != test::Confined::kUnavailable) {
    EXPECT_EQ(outcome, test::Confined::kReturned);
  }
  if (!test::can_count_allocations()) GTEST_SKIP() << "this heap does not count";
  EXPECT_EQ(test::heap_calls_during([&] {
              for (int i = 0; i < 40; ++i) timed.run();
            }),
            0u);
}

TEST(PartTimer, AnotherThreadMayRead) {
  ByHand model;
  Profiler profiler;
  PartTimer timer(profiler);
  model.time_with(timer);
  std::atomic<bool> is_over{false};
  std::uint64_t seen = 0;
  std::thread reader([&] {
    while (!is_over) seen = profiler.read().runs;
  });
  for (int i = 0; i < 2000; ++i) model.run();
  is_over = true;
  reader.join();
  EXPECT_LE(seen, 2000u);
  EXPECT_EQ(profiler.read().runs, 2000u);
}

TEST(PartTimer, OfOneThatIsGoneOnlyTimesAreLeft) {
  ByHand first, second;
  Profiler profiler;
  {
    PartTimer timer(profiler);
    first.time_with(timer);
    first.run();
  }
  PartTimer timer(profiler);
  second.time_with(timer);
  EXPECT_EQ(profiler.read().modules.size(), 3u + 4u);
  profiler.reset();
  second.run();
  EXPECT_EQ(profiler.read().modules.size(), 4u);
}

TEST(PartTimer, RefusesWhatCannotBe) {
  const ByHand model;
  Profiler profiler;
  PartTimer timer(profiler);
  const Linear<float> linear({3, 2}, [] {
    StateDict<float> weights;
    weights.set("weight", Tensor<float>({2, 3}));
    weights.set("bias", Tensor<float>({2}));
    return weights;
  }());
  EXPECT_THROW(timer.add_part(linear, 1, 1, 4), ShapeError);
  EXPECT_THROW(profile_parts(timer, [] {}), Error);
  EXPECT_THROW(profile_parts(timer, [&] { timer.begin_run(), timer.end_run(); }, {.repeat = 0}), Error);
}

}  // namespace
}  // namespace sluice
