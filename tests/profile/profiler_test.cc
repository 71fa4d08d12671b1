// SPDX-License-Identifier: Apache-2.0
// Where a Profiler says that the time went: the parts make the whole, on any number of threads, in calls and
// in streams, and looking changes nothing.
#include "sluice/profile.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/profiler.h"
#include "core/threads.h"
#include "profile/hardware_counters.h"
#include "sluice/cells/lem.h"
#include "sluice/cells/lstm_kin.h"
#include "sluice/custom_recurrent.h"
#include "sluice/error.h"
#include "sluice/layers.h"
#include "sluice/recurrent.h"
#include "sluice/stream.h"
#include "support/count_allocations.h"
#include "support/expect_same_bits.h"
#include "support/recurrent_cases.h"
#include "support/system_calls.h"

namespace sluice {
namespace {

StateDict<float> weights_of(const RecurrentOptions& options, const std::string& prefix) {
  StateDict<float> weights;
  for (const ParameterInfo& info : test::parameters_of(options)) {
    weights.set(prefix + info.name, random_tensor<float>(info.shape, -0.2F, 0.2F, 1));
  }
  return weights;
}
LSTM<float> lstm(std::size_t input, std::size_t hidden, std::size_t layers = 1, bool both = false,
                 const std::string& prefix = "") {
  return {{.input_size = input, .hidden_size = hidden, .num_layers = layers, .bidirectional = both},
          weights_of(test::options_of(CellKind::kLstm, input, hidden, layers, both), prefix),
          prefix};
}
GRU<float> gru(std::size_t input, std::size_t hidden, GRUReset reset = GRUReset::kAfter) {
  return {{.input_size = input, .hidden_size = hidden, .reset = reset},
          weights_of(test::options_of(CellKind::kGru, input, hidden), "")};
}
Recurrent<float> custom(const CustomCell& cell) {
  StateDict<float> weights;
  for (const ParameterInfo& info : cell.parameters()) {
    weights.set(info.name + "_l0", random_tensor<float>(info.shape, -0.2F, 0.2F, 1));
  }
  return {{.cell = cell}, weights};
}
// Two LSTM layers, and what stands around them.
Sequential<float> model(std::size_t input, std::size_t hidden) {
  StateDict<float> head;
  head.set("head.weight", random_tensor<float>({5, hidden}, -1, 1, 3));
  head.set("head.bias", random_tensor<float>({5}, -1, 1, 4));
  Sequential<float> all, inner;
  inner.add(lstm(input, hidden, 2, false, "rnn.")).add(Activation<float>("SiLU"));
  all.add(std::move(inner)).add(Linear<float>({hidden, 5}, head, "head."));
  return all;
}

double sum_of(const PhaseSeconds& phases) { return std::accumulate(phases.begin(), phases.end(), 0.0); }
double phase(const CellTimes& cell, Phase of) { return cell.seconds[static_cast<std::size_t>(of)]; }

std::map<std::size_t, double> seconds_by_thread(const ModuleTimes& module) {
  std::map<std::size_t, double> seconds;
  for (const CellTimes& cell : module.cells) seconds[cell.thread] += sum_of(cell.seconds);
  return seconds;
}

// Rounded to ticks: 3 % are the promise, and by construction it is far less. A call may have fewer threads
// than the one before.
void expect_parts_make_the_whole(const ProfileTimes& times) {
  double modules = 0;
  for (const ModuleTimes& module : times.modules) {
    modules += module.seconds;
    double all = 0;
    for (const auto& [thread, seconds] : seconds_by_thread(module)) {
      EXPECT_LE(seconds, 1.001 * module.seconds) << module.type << " thread " << thread;
      all += seconds;
    }
    if (module.cells.empty()) all = module.seconds;
    EXPECT_NEAR(all, module.thread_seconds, 0.001 * all) << module.type;
  }
  EXPECT_LE(modules, times.seconds * (1 + 1e-9));
}

// Whether `body` is true once in many tries: others use the machine meanwhile, and may stop any one of them
// between two readings of the clock.
template <class Body>
bool happens(const Body& body) {
  for (int i = 0; i < 50; ++i) {
    if (body()) return true;
  }
  return false;
}
bool modules_make_the_whole(const ProfileTimes& times) {
  double modules = 0;
  for (const ModuleTimes& module : times.modules) modules += module.seconds;
  return modules >= 0.97 * times.seconds;
}

// Of the first cell; what the gates, measured apart, leave of its steps.
bool has_products(const ProfileTimes& times) {
  const CellTimes& cell = times.modules[0].cells[0];
  return phase(cell, Phase::kInput) > 0 && phase(cell, Phase::kRecurrent) > 0;
}

template <class M>
ProfileTimes times_of(const M& module, const Tensor<float>& x, int threads, int runs = 3) {
  Profiler profiler;
  for (int i = 0; i < runs; ++i) {
    StarvedTeams::forget();
    module.run({x.view()}, {.threads = threads, .profiler = &profiler});
  }
  return profiler.read();
}

TEST(Profiler, PhasesOfBuiltInCellsMakeTheWhole) {
  const Tensor<float> x = random_tensor<float>({60, 4, 48}, -1, 1, 1);
  for (const int threads : {1, 2}) {
    for (const ProfileTimes& times :
         {times_of(lstm(48, 96), x, threads), times_of(lstm(48, 64, 3, true), x, threads),
          times_of(gru(48, 96), x, threads), times_of(gru(48, 96, GRUReset::kBefore), x, threads)}) {
      ASSERT_EQ(times.modules.size(), 1u);
      EXPECT_EQ(times.runs, 3u);
      expect_parts_make_the_whole(times);
      for (const CellTimes& cell : times.modules[0].cells) {
        EXPECT_GT(phase(cell, Phase::kGates), 0);
      }
    }
  }
  EXPECT_TRUE(happens([&] { return modules_make_the_whole(times_of(lstm(48, 96), x, 1)); }));
  EXPECT_TRUE(happens([&] { return has_products(times_of(lstm(48, 96), x, 1)); }));
}

TEST(Profiler, PhasesOfCustomCellsMakeTheWhole) {
  const Tensor<float> x = random_tensor<float>({60, 4, 48}, -1, 1, 1);
  for (const int threads : {1, 2}) {
    for (const CustomCell& cell : {cells::lstm(48, 96), cells::lem(48, 64, 0.5)}) {
      const ProfileTimes times = times_of(custom(cell), x, threads);
      ASSERT_EQ(times.modules.size(), 1u);
      EXPECT_EQ(times.modules[0].type, "Recurrent");
      expect_parts_make_the_whole(times);
      EXPECT_GT(phase(times.modules[0].cells[0], Phase::kGates), 0);
    }
  }
  EXPECT_TRUE(happens([&] { return modules_make_the_whole(times_of(custom(cells::lstm(48, 96)), x, 1)); }));
  EXPECT_TRUE(happens([&] { return has_products(times_of(custom(cells::lstm(48, 96)), x, 1)); }));
}

TEST(Profiler, ModulesOfAModelMakeTheWholeAndHaveTheirNames) {
  const Sequential<float> all = model(48, 96);
  const Tensor<float> x = random_tensor<float>({100, 4, 48}, -1, 1, 1);
  const ProfileTimes times = times_of(all, x, 1);
  ASSERT_EQ(times.modules.size(), 3u);
  EXPECT_EQ(times.modules[0].type, "LSTM");
  EXPECT_EQ(times.modules[0].prefix, "rnn");
  EXPECT_EQ(times.modules[1].type, "SiLU");
  EXPECT_EQ(times.modules[1].prefix, "");
  EXPECT_EQ(times.modules[2].prefix, "head");
  EXPECT_EQ(times.modules[0].cells.size(), 2u);
  EXPECT_TRUE(times.modules[2].cells.empty());
  expect_parts_make_the_whole(times);
  EXPECT_TRUE(happens([&] { return modules_make_the_whole(times_of(all, x, 1)); }));
}

TEST(Profiler, StepsAndActivationsAreCountedByLayerDirectionAndThread) {
  const Tensor<float> x = random_tensor<float>({20, 6, 16}, -1, 1, 1);
  for (const int threads : {1, 2}) {
    const ProfileTimes times = times_of(lstm(16, 40, 2, true), x, threads, 5);
    std::map<std::pair<std::size_t, std::size_t>, std::uint64_t> activations;
    std::set<std::size_t> of_threads;
    for (const CellTimes& cell : times.modules[0].cells) {
      EXPECT_EQ(cell.steps, 5u * 20u);
      activations[{cell.layer, cell.direction}] += cell.activations;
      of_threads.insert(cell.thread);
    }
    EXPECT_EQ(activations.size(), 4u);
    for (const auto& [cell, count] : activations) EXPECT_EQ(count, 5u * 20u * 6u * 5u * 40u);
    EXPECT_LE(of_threads.size(), static_cast<std::size_t>(threads));
  }
}

TEST(Profiler, CallsOnOneThreadAndOnTwoMakeTheWholeTogether) {
  const Tensor<float> x = random_tensor<float>({60, 32, 48}, -1, 1, 1);
  const LSTM<float> layer = lstm(48, 96);
  Profiler profiler;
  for (const int threads : {1, 2, 1, 1, 2})
    layer.run({x.view()}, {.threads = threads, .profiler = &profiler});
  expect_parts_make_the_whole(profiler.read());
}

TEST(Profiler, ACallIsOnItsOwnThreadWhereTeamsWaitInVain) {
  if (most_threads(2) < 2) GTEST_SKIP() << "one processor";
  const Tensor<float> x = random_tensor<float>({60, 32, 48}, -1, 1, 1);
  const LSTM<float> layer = lstm(48, 96);
  const auto threads = [&] {
    Profiler profiler;
    layer.run({x.view()}, {.threads = 2, .profiler = &profiler});
    return seconds_by_thread(profiler.read().modules.at(0)).size();
  };
  EXPECT_TRUE(happens([&] {
    StarvedTeams::forget();
    return threads() == 2;
  }));
  EXPECT_TRUE(happens([&] {
    StarvedTeams::forget();
    StarvedTeams::add(100'000'000);
    return threads() == 1;
  }));
  StarvedTeams::forget();
}

// Every way in which a plan shares the work.
TEST(Profiler, EveryPlanCountsEveryStepOfEveryThread) {
  const RecurrentOptions options = test::options_of(CellKind::kLstm, 24, 70, 3);
  const RecurrentOptions both = test::options_of(CellKind::kLstm, 24, 70, 2, true);
  const auto check = [](const RecurrentOptions& of, RecurrentPlan plan, bool is_ragged) {
    const RecurrentNet<float> net = test::random_net<float>(of);
    test::RandomCall<float> call(of, 40, 6);
    Profiler profiler;
    RecurrentInput<float> in = call.input(is_ragged);
    in.profiler = &profiler;
    const RecurrentOutput<float> got = net.forward(call.x, in, SequenceLayout::kTimeFirst, &plan);
    in.profiler = nullptr;
    test::expect_same_output(got, net.forward(call.x, in, SequenceLayout::kTimeFirst, &plan));
    const ProfileTimes times = profiler.read();
    ASSERT_EQ(times.modules.size(), 1u);
    expect_parts_make_the_whole(times);
    std::uint64_t activations = 0, rows = 0;
    for (const CellTimes& cell : times.modules[0].cells) activations += cell.activations;
    for (std::size_t b = 0; b < 6; ++b) rows += is_ragged ? static_cast<std::uint64_t>(call.lengths[b]) : 40;
    EXPECT_EQ(activations, rows * 5 * 70 * of.num_layers * of.directions());
    EXPECT_EQ(seconds_by_thread(times.modules[0]).size(), plan.threads());
    double waiting = 0;
    for (const CellTimes& cell : times.modules[0].cells) waiting += phase(cell, Phase::kWaiting);
    EXPECT_EQ(waiting > 0, plan.threads() > 1);
  };
  for (const std::size_t ahead : {0, 7}) {
    for (const bool is_ragged : {false, true}) {
      check(options, {.ahead_steps = ahead}, is_ragged);
      check(options, {.batch_groups = 2, .ahead_steps = ahead}, is_ragged);
      check(options, {.unit_groups = 2, .ahead_steps = ahead}, is_ragged);
      check(options, {.layer_groups = 2, .ahead_steps = ahead}, is_ragged);
      check(both, {.direction_groups = 2, .ahead_steps = ahead}, is_ragged);
      check(both, {.unit_groups = 2, .ahead_steps = ahead}, is_ragged);
    }
  }
}

// The kernel's gates do not depend on how deep its products are: at eight times the input they are about as
// long, while the input's products are longer.
TEST(Profiler, DeeperProductsGoToTheProductsPhase) {
  const auto least = [](std::size_t input, Phase of) {
    const RecurrentNet<float> net = test::random_net<float>(test::options_of(CellKind::kLstm, input, 64));
    const Tensor<float> x = random_tensor<float>({100, 8, input}, -1, 1, 1);
    const RecurrentPlan in_step;
    double seconds = 1;
    for (int i = 0; i < 20; ++i) {
      Profiler profiler;
      RecurrentInput<float> in;
      in.profiler = &profiler;
      net.forward(x, in, SequenceLayout::kTimeFirst, &in_step);
      seconds = std::min(seconds, phase(profiler.read().modules[0].cells[0], of));
    }
    return seconds;
  };
  EXPECT_TRUE(happens([&] { return least(512, Phase::kInput) > 3 * least(64, Phase::kInput); }));
  EXPECT_TRUE(happens([&] { return least(512, Phase::kGates) < 2 * least(64, Phase::kGates); }));
}

TEST(Profiler, ZoneoutsMixingIsCounted) {
  RecurrentOptions options = test::options_of(CellKind::kLstm, 24, 40, 2);
  options.zoneout_h = 0.1;
  options.zoneout_c = 0.2;
  const RecurrentNet<float> net = test::random_net<float>(options);
  const test::RandomCall<float> call(options, 30, 6);
  Profiler profiler;
  RecurrentInput<float> in = call.input();
  in.profiler = &profiler;
  net.forward(call.x, in, SequenceLayout::kTimeFirst);
  expect_parts_make_the_whole(profiler.read());
}

// As a Softmax is on processors whose counter goes at 25 MHz: reports take the same modules from every run.
TEST(Profiler, AModuleThatIsShorterThanATickIsListed) {
  Profiler profiler;
  const int module = 0;
  profiler.state().finish(profiler.state().add_module(&module, "Softmax", ""), now_ticks(), 0);
  ASSERT_EQ(profiler.read().modules.size(), 1u);
  EXPECT_LT(profiler.read().modules[0].seconds, 1e-6);
}

TEST(Profiler, ResetForgetsAndAnotherModelAtTheSameAddressIsMeasuredAnew) {
  const Tensor<float> x = random_tensor<float>({20, 2, 16}, -1, 1, 1);
  Profiler profiler;
  {
    const LSTM<float> layer = lstm(16, 64);
    layer.run({x.view()}, {.threads = 1, .profiler = &profiler});
  }
  profiler.reset();
  EXPECT_EQ(profiler.read().runs, 0u);
  EXPECT_EQ(profiler.read().seconds, 0);
  EXPECT_TRUE(profiler.read().modules.empty());
  const LSTM<float> layer = lstm(16, 8);
  layer.run({x.view()}, {.threads = 1, .profiler = &profiler});
  ASSERT_EQ(profiler.read().modules.size(), 1u);
  const CellTimes cell = profiler.read().modules[0].cells.at(0);
  EXPECT_EQ(cell.activations, 20u * 2u * 5u * 8u);
  // The gates of 64 units would take longer than a whole step of 8.
  EXPECT_TRUE(happens([&] {
    profiler.reset();
    layer.run({x.view()}, {.threads = 1, .profiler = &profiler});
    return phase(profiler.read().modules[0].cells.at(0), Phase::kRecurrent) > 0;
  }));
}

TEST(Profiler, RecordedCallsAndCallsThatThrowCountNothing) {
  const LSTM<float> layer = lstm(16, 8);
  const Tensor<float> x = random_tensor<float>({4, 2, 16}, -1, 1, 1), wrong({4, 2, 15});
  Profiler profiler;
  RecurrentInput<float> in;
  in.profiler = &profiler;
  Tape tape;
  layer.record(x.view(), in, tape);
  EXPECT_THROW(layer.forward(wrong.view(), in), ShapeError);
  EXPECT_EQ(profiler.read().runs, 0u);
  EXPECT_TRUE(profiler.read().modules.empty());
}

TEST(Profiler, CustomInputHasAProfilerToo) {
  const Recurrent<float> layers = custom(cells::lem(16, 8, 0.5));
  Profiler profiler;
  CustomInput<float> in;
  in.profiler = &profiler;
  layers.forward(random_tensor<float>({4, 2, 16}, -1, 1, 1).view(), in);
  EXPECT_EQ(profiler.read().runs, 1u);
  EXPECT_EQ(profiler.read().modules.size(), 1u);
}

// --- streams ---

TEST(StreamProfiler, CountsStepsWithTheSameBits) {
  const Sequential<float> all = model(16, 40);
  Stream<float> plain(all, 2, 16), counted(all, 2, 16);
  Profiler profiler;
  counted.set_profiler(&profiler);
  const Tensor<float> x = random_tensor<float>({100, 2, 16}, -1, 1, 1);
  for (std::size_t t = 0; t < 100; ++t) {
    expect_same_bits<float>(counted.step(x.data() + t * 32), plain.step(x.data() + t * 32));
  }
  const ProfileTimes times = profiler.read();
  EXPECT_EQ(times.runs, 100u);
  ASSERT_EQ(times.modules.size(), 3u);
  ASSERT_EQ(times.modules[0].cells.size(), 2u);
  for (const CellTimes& cell : times.modules[0].cells) {
    EXPECT_EQ(cell.steps, 100u);
    EXPECT_EQ(cell.activations, 100u * 2u * 5u * 40u);
    EXPECT_GT(phase(cell, Phase::kGates), 0);
  }
  expect_parts_make_the_whole(times);
  counted.set_profiler(nullptr);
  counted.step(x.data());
  EXPECT_EQ(profiler.read().runs, 100u);
}

TEST(StreamProfiler, ABareLayersStreamCountsToo) {
  const GRU<float> layer = gru(16, 40);
  Stream<float> stream(layer, 3, 16);
  Profiler profiler;
  stream.set_profiler(&profiler);
  const Tensor<float> x = random_tensor<float>({3, 16}, -1, 1, 1);
  for (int i = 0; i < 50; ++i) stream.step(x.data());
  const ProfileTimes times = profiler.read();
  EXPECT_EQ(times.runs, 50u);
  ASSERT_EQ(times.modules.size(), 1u);
  EXPECT_EQ(times.modules[0].cells.at(0).steps, 50u);
  expect_parts_make_the_whole(times);
}

// Of a convolution with a stride most steps end early. Those that are timed must not go in turns with it.
TEST(StreamProfiler, StepsThatComeInTurnsAreCountedAsOftenAsTheyAre) {
  for (const std::size_t stride : {2u, 4u, 8u}) {
    StateDict<float> weights;
    weights.set("weight", random_tensor<float>({8, 4, stride}, -1, 1, 1));
    weights.set("bias", random_tensor<float>({8}, -1, 1, 2));
    Sequential<float> all;
    all.add(Conv1d<float>({.in_channels = 4, .out_channels = 8, .kernel_size = stride, .stride = stride},
                          weights))
        .add(lstm(8, 16));
    Stream<float> stream(all, 1, 4);
    Profiler profiler;
    stream.set_profiler(&profiler);
    const std::vector<float> x(4, 0.5F);
    constexpr std::uint64_t kSteps = 40'000;
    for (std::uint64_t i = 0; i < kSteps; ++i) stream.step(x.data());
    const ProfileTimes times = profiler.read();
    EXPECT_EQ(times.runs, kSteps);
    ASSERT_EQ(times.modules.size(), 2u) << stride;
    const auto steps = static_cast<double>(times.modules[1].cells.at(0).steps);
    const double truth = static_cast<double>(kSteps) / static_cast<double>(stride);
    EXPECT_NEAR(steps, truth, 0.25 * truth) << stride;
  }
}

// A module whose stepper cannot be counted.
class Refuses final : public Module<float> {
 public:
  std::string_view type() const noexcept override { return "Refuses"; }
  std::size_t output_size(std::size_t input_size) const override { return input_size; }
  double flops_per_step(std::size_t) const override { return 0; }
  SequenceOutput<float> run(const Sequence<float>& in, const RunOptions&) const override {
    return {Tensor<float>(in.x), {}};
  }
  std::unique_ptr<Stepper<float>> stepper(std::size_t, std::size_t) const override {
    struct Same final : Stepper<float> {
      const float* step(const float* x) noexcept override { return x; }
      void reset() noexcept override {}
      void set_profiler(Profiler* profiler) override {
        if (profiler != nullptr) throw Error("not here");
      }
    };
    return std::make_unique<Same>();
  }
};

TEST(StreamProfiler, APartThatThrowsLeavesAllAsItWas) {
  Sequential<float> all;
  all.add(lstm(8, 16)).add(Refuses());
  Stream<float> stream(all, 1, 8);
  Profiler profiler;
  EXPECT_THROW(stream.set_profiler(&profiler), Error);
  const std::vector<float> x(8, 0.5F);
  stream.step(x.data());
  EXPECT_EQ(profiler.read().runs, 0u);
  const Tensor<float> sequence = random_tensor<float>({3, 1, 8}, -1, 1, 1);
  all.run({sequence.view()}, {.threads = 1, .profiler = &profiler});
  EXPECT_EQ(profiler.read().runs, 1u);
  EXPECT_EQ(profiler.read().modules.size(), 2u);
}

TEST(StreamProfiler, StepsTakeNoMemoryAndMakeNoSystemCalls) {
  if (!test::can_count_allocations()) GTEST_SKIP() << "this heap is not glibc's own";
  const Sequential<float> all = model(16, 40);
  Stream<float> stream(all, 2, 16);
  Profiler profiler;
  stream.set_profiler(&profiler);
  const Tensor<float> x = random_tensor<float>({2, 16}, -1, 1, 1);
  const auto steps = [&] {
    for (int i = 0; i < 100; ++i) stream.step(x.data());
  };
  EXPECT_EQ(test::heap_calls_during(steps), 0u);
  EXPECT_NE(test::run_without_system_calls(steps), test::Confined::kKilled);
}

TEST(Profiler, ACallTakesNoMoreMemoryForMoreSteps) {
  if (!test::can_count_allocations()) GTEST_SKIP() << "this heap is not glibc's own";
  const LSTM<float> layer = lstm(16, 40);
  Profiler profiler;
  RecurrentInput<float> in;
  in.threads = 1;
  in.profiler = &profiler;
  const auto calls = [&](std::size_t steps) {
    const Tensor<float> x({steps, 1, 16});
    layer.forward(x.view(), in);
    return test::heap_calls_during([&] { layer.forward(x.view(), in); });
  };
  EXPECT_EQ(calls(500), calls(50));
}

// With the thread sanitizer this shows that any thread may read.
TEST(Profiler, AnotherThreadReadsWhileCallsRun) {
  Profiler profiler;
  std::atomic<bool> is_over{false};
  std::thread reader([&] {
    std::uint64_t last = 0;
    while (!is_over) {
      const ProfileTimes times = profiler.read();
      EXPECT_GE(times.runs, last);
      last = times.runs;
      profiler.trace();
    }
  });
  const Tensor<float> x = random_tensor<float>({50, 4, 48}, -1, 1, 1);
  profiler.enable_trace(1000);
  const Sequential<float> all = model(48, 96);
  for (int i = 0; i < 10; ++i) all.run({x.view()}, {.threads = 2, .profiler = &profiler});
  const RecurrentNet<float> net = test::random_net<float>(test::options_of(CellKind::kLstm, 48, 70, 2));
  RecurrentInput<float> in;
  in.profiler = &profiler;
  const RecurrentPlan plan{.unit_groups = 2, .ahead_steps = 5};
  for (int i = 0; i < 10; ++i) net.forward(x, in, SequenceLayout::kTimeFirst, &plan);
  Stream<float> stream(all, 4, 48);
  stream.set_profiler(&profiler);
  for (int i = 0; i < 50; ++i) stream.step(x.data());
  is_over = true;
  reader.join();
  EXPECT_EQ(profiler.read().runs, 70u);
}

// --- traces ---

TEST(ProfilerTrace, HasASpanAStepAndPhaseInOrder) {
  const Sequential<float> all = model(16, 40);
  Profiler profiler;
  profiler.enable_trace(10'000);
  all.run({random_tensor<float>({30, 2, 16}, -1, 1, 1).view()}, {.threads = 1, .profiler = &profiler});
  std::map<std::string, std::set<std::size_t>> steps;
  double end = 0;
  for (const TraceSpan& span : profiler.trace()) {
    steps[span.name].insert(span.step);
    EXPECT_EQ(span.thread, 0u);
    EXPECT_GE(span.begin, end - 1e-9) << span.name;  // one thread does one thing at a time
    end = span.begin + span.seconds;
  }
  EXPECT_EQ(steps["rnn l0 gates"].size(), 30u);
  // What gates leave of a step: perhaps nothing, where a sanitizer makes them slow.
  EXPECT_LE(steps["rnn l0 recurrent"].size(), 30u);
  EXPECT_EQ(steps["rnn l1 gates"].size(), 30u);
  EXPECT_EQ(*steps["rnn l1 gates"].rbegin(), 29u);
  EXPECT_GE(steps["rnn l0 input"].size(), 1u);
  EXPECT_EQ(steps["SiLU"].size(), 1u);
  EXPECT_EQ(steps["head"].size(), 1u);
}

TEST(ProfilerTrace, KeepsNoMoreThanWasAskedForAndTakesNoMemoryForIt) {
  const LSTM<float> layer = lstm(16, 40);
  Stream<float> stream(layer, 1, 16);
  const Tensor<float> x = random_tensor<float>({1, 16}, -1, 1, 1);
  Profiler profiler;
  stream.set_profiler(&profiler);
  profiler.enable_trace(25);
  const std::size_t calls = test::heap_calls_during([&] {
    for (int i = 0; i < 100; ++i) stream.step(x.data());
  });
  EXPECT_EQ(calls, 0u);
  EXPECT_EQ(profiler.trace().size(), 25u);
  profiler.enable_trace(0);
  stream.step(x.data());
  EXPECT_TRUE(profiler.trace().empty());
}

// --- measured runs ---

TEST(MeasureRuns, ReportsPartsWhosePhasesMakeTheWhole) {
  const Sequential<float> all = model(48, 96);
  const Tensor<float> x = random_tensor<float>({60, 4, 48}, -1, 1, 1);
  const ProfileReport report =
      measure_runs<float>(all, x.view(), {.repeat = 5, .threads = 1, .trace_spans = 1000});
  EXPECT_EQ(report.steps, 60u);
  EXPECT_EQ(report.batch, 4u);
  EXPECT_EQ(report.input_size, 48u);
  EXPECT_EQ(report.threads, 1);
  EXPECT_EQ(report.repeat, 5u);
  EXPECT_EQ(report.dtype, "float32");
  EXPECT_LE(report.seconds_min, report.seconds_median);
  ASSERT_EQ(report.parts.size(), 3u);
  EXPECT_EQ(report.parts[0].name, "rnn");
  EXPECT_EQ(report.parts[1].name, "SiLU");
  EXPECT_EQ(report.parts[2].name, "head");
  for (const PartReport& part : report.parts) {
    // The phases are those of the median run; of an odd number of runs it is one of them.
    EXPECT_NEAR(sum_of(part.phases), part.seconds_median, 0.03 * part.seconds_median) << part.name;
  }
  ASSERT_EQ(report.parts[0].parts.size(), 2u);
  EXPECT_EQ(report.parts[0].parts[1].name, "rnn l1");
  EXPECT_GT(report.parts[0].gates_per_second, 0);
  EXPECT_NEAR(report.parts[0].ns_per_gate * report.parts[0].gates_per_second, 1e9, 1);
  EXPECT_GT(report.parts[0].elements_per_cycle, 0);
  EXPECT_EQ(report.parts[2].gates_per_second, 0);
  EXPECT_FALSE(report.trace.empty());
  EXPECT_THROW(measure_runs<float>(all, x.view(), {.repeat = 0}), Error);
}

TEST(MeasureRuns, TakesLengthsBothDirectionsAndDoubles) {
  const LSTM<float> layer = lstm(16, 24, 2, true);
  const Tensor<float> x = random_tensor<float>({12, 3, 16}, -1, 1, 1);
  const std::vector<std::int64_t> lengths = {12, 0, 7};
  const ProfileReport report = measure_runs<float>(layer, x.view(), {.repeat = 2, .lengths = lengths});
  ASSERT_EQ(report.parts.size(), 1u);
  EXPECT_EQ(report.parts[0].name, "LSTM");
  ASSERT_EQ(report.parts[0].parts.size(), 4u);
  EXPECT_EQ(report.parts[0].parts[3].name, "LSTM l1 reverse");
  const RNN<double> plain({.input_size = 16, .hidden_size = 24},
                          test::random_weights<double>(test::options_of(CellKind::kRnnTanh, 16, 24)));
  const ProfileReport of_double =
      measure_runs<double>(plain, Tensor<double>({12, 3, 16}).view(), {.repeat = 1});
  EXPECT_EQ(of_double.dtype, "float64");
  EXPECT_GT(of_double.parts.at(0).ns_per_gate, 0);
}

TEST(HardwareCounts, AreThereOrSayWhyNot) {
  volatile double sum = 0;
  bool has_run = false;
  const HardwareCounts counts = count_hardware([&] {
    for (int i = 0; i < 1'000'000; ++i) sum = sum + i;
    has_run = true;
  });
  EXPECT_TRUE(has_run);
  EXPECT_NE(counts.is_there, !counts.why_not.empty());
  if (counts.is_there) {
    EXPECT_GT(counts.instructions, 1e6);
    EXPECT_GT(counts.cycles, 1e5);
  } else {
    EXPECT_EQ(counts.cycles, 0);
  }
}

TEST(HardwareCounts, AProcessorHasAPlausibleNumberOfCyclesASecond) {
  EXPECT_GT(cycles_per_second(), 3e8);
  EXPECT_LT(cycles_per_second(), 1e10);
}

}  // namespace
}  // namespace sluice
