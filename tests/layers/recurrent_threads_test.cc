// SPDX-License-Identifier: Apache-2.0
// Many threads of the caller's on one const network, and teams that OpenMP does not give in full.
#include <gtest/gtest.h>
#include <omp.h>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "support/recurrent_cases.h"

namespace sluice {
namespace {

using test::expect_same_output;
using test::random_net;
using test::RandomCall;

// PyTorch 41486: models called from a pool of the user's threads. The thread sanitizer watches this one.
TEST(RecurrentThreads, ManyThreadsRunOneConstNetwork) {
  const auto options = test::options_of(CellKind::kLstm, 8, 24, 2, true);
  const RecurrentNet<float> net = random_net<float>(options);
  constexpr std::size_t kThreads = 8;
  std::vector<RecurrentOutput<float>> got(kThreads), want;
  for (std::size_t i = 0; i < kThreads; ++i) {
    const RandomCall<float> call(options, 12, i + 1, i);
    want.push_back(net.forward(call.x, call.input(), SequenceLayout::kTimeFirst));
  }
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const RandomCall<float> call(options, 12, i + 1, i);
      auto in = call.input();
      in.threads = 1;
      for (int repeat = 0; repeat < 5; ++repeat) got[i] = net.forward(call.x, in, SequenceLayout::kTimeFirst);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < kThreads; ++i) expect_same_output(got[i], want[i]);
}

TEST(RecurrentThreads, SteppersOfOneNetworkRunAtOnce) {
  const auto options = test::options_of(CellKind::kGruBefore, 8, 24, 2);
  const RecurrentNet<float> net = random_net<float>(options);
  const Tensor<float> x = random_tensor<float>({20, 8}, -1, 1, 4);
  const auto last_h = [&] {
    const auto stepper = net.stepper(1, 8);
    const float* y = nullptr;
    for (std::size_t t = 0; t < 20; ++t) y = stepper->step(x.data() + t * 8);
    return std::vector<float>(y, y + 24);
  };
  const std::vector<float> want = last_h();
  std::vector<std::vector<float>> got(6);
  std::vector<std::thread> threads;
  for (auto& out : got) threads.emplace_back([&] { out = last_h(); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& out : got) EXPECT_EQ(out, want);
}

// PyTorch 27971, ONNX Runtime 2008, oneDNN 489: memory that grew with every new shape.
TEST(RecurrentThreads, NothingIsKeptForAnyShape) {
  if (!test::can_count_allocations()) GTEST_SKIP() << "the heap of this build cannot be counted";
  const auto options = test::options_of(CellKind::kLstm, 8, 24, 2, true);
  const RecurrentNet<float> net = random_net<float>(options);
  const Tensor<float> x = random_tensor<float>({60, 5, 8}, -1, 1, 4);
  const auto blocks = [] { return test::allocation_count() - test::free_count(); };
  const auto run = [&](std::size_t steps, std::size_t batch) {
    net.forward(x.view().narrow(0, 0, steps).narrow(1, 0, batch), {}, SequenceLayout::kTimeFirst);
  };
  run(60, 5);  // whatever OpenMP takes once
  const std::size_t before = blocks();
  for (std::size_t steps = 0; steps <= 60; ++steps) {
    for (std::size_t batch = 0; batch <= 5; ++batch) run(steps, batch);
  }
  EXPECT_EQ(blocks(), before);
}

// A call in a loop takes over the memory of the call before, its final states as initial ones among it.
TEST(RecurrentThreads, AnOldOutputsMemoryIsUsedAgain) {
  const auto options = test::options_of(CellKind::kLstm, 8, 24, 2);
  const RecurrentNet<float> net = random_net<float>(options);
  const RandomCall<float> call(options, 12, 3);
  const RecurrentInput<float> given = call.input();
  RecurrentInput<float> in;
  in.cell_sequence = true;
  constexpr auto kLayout = SequenceLayout::kTimeFirst;
  const auto again = [&](const RecurrentInput<float>& input, RecurrentOutput<float>& out) {
    const float* memory = out.output.data();
    const float* h_n = out.h_n.data();
    out = net.forward(call.x, input, kLayout, nullptr, std::move(out));
    EXPECT_EQ(out.output.data(), memory);
    return h_n == out.h_n.data();
  };
  RecurrentOutput<float> out = net.forward(call.x, in, kLayout);
  EXPECT_TRUE(again(in, out));  // initial states are zero again
  expect_same_output(out, net.forward(call.x, in, kLayout));

  RecurrentInput<float> carried = in;
  const Tensor<float> h0(out.h_n), c0(out.c_n);
  carried.h0 = h0.view();
  carried.c0 = c0.view();
  const RecurrentOutput<float> want = net.forward(call.x, carried, kLayout);
  carried.h0 = out.h_n.view();
  carried.c0 = out.c_n.view();
  EXPECT_TRUE(again(carried, out));
  expect_same_output(out, want);

  carried.h0 = c0.view();
  carried.c0 = h0.view();
  const RecurrentOutput<float> crossed = net.forward(call.x, carried, kLayout);
  out.h_n = h0;
  out.c_n = c0;
  carried.h0 = out.c_n.view();
  carried.c0 = out.h_n.view();
  again(carried, out);
  expect_same_output(out, crossed);

  again(given, out);  // rows of other lengths: what follows them is zero
  expect_same_output(out, net.forward(call.x, given, kLayout));
  out = net.forward(call.x.view().narrow(1, 0, 2), in, kLayout, nullptr, std::move(out));
  expect_same_output(out, net.forward(call.x.view().narrow(1, 0, 2), in, kLayout));
}

TEST(RecurrentThreads, ARefusedCallLeavesTheOldOutput) {
  const auto options = test::options_of(CellKind::kLstm, 8, 24, 2);
  const RecurrentNet<float> net = random_net<float>(options);
  const RandomCall<float> call(options, 12, 3);
  constexpr auto kLayout = SequenceLayout::kTimeFirst;
  RecurrentOutput<float> out = net.forward(call.x, {}, kLayout);
  const RecurrentOutput<float> want = net.forward(call.x, {}, kLayout);
  RecurrentInput<float> in;
  in.threads = -1;
  EXPECT_THROW(net.forward(call.x, in, kLayout, nullptr, std::move(out)), Error);
  EXPECT_THROW(net.forward(call.x.view().narrow(2, 0, 7), {}, kLayout, nullptr, std::move(out)), ShapeError);
  expect_same_output(out, want);
}

// PyTorch 41486: memory that grew with every thread of the user's that made a call.
TEST(RecurrentThreads, NothingIsKeptForAnyCallingThread) {
  if (!test::can_count_allocations()) GTEST_SKIP() << "the heap of this build cannot be counted";
  const auto options = test::options_of(CellKind::kGru, 8, 24, 2);
  const RecurrentNet<float> net = random_net<float>(options);
  const Tensor<float> x = random_tensor<float>({10, 2, 8}, -1, 1, 4);
  const auto blocks = [] { return test::allocation_count() - test::free_count(); };
  const auto run = [&] {
    std::thread([&] { net.forward(x.view(), {.threads = 1}, SequenceLayout::kTimeFirst); }).join();
  };
  run();  // whatever the first thread of a program takes
  const std::size_t before = blocks();
  for (int i = 0; i < 100; ++i) run();
  EXPECT_EQ(blocks(), before);
}

// More threads than processors that meet at every step: slow, but they come through.
TEST(RecurrentThreads, OversubscribedTeamsComeThrough) {
  const auto options = test::options_of(CellKind::kLstm, 8, 100, 2, true, 30);
  const RecurrentNet<float> net = random_net<float>(options);
  const RandomCall<float> call(options, 20, 2);
  const RecurrentPlan alone{};
  const auto want = net.forward(call.x, call.input(), SequenceLayout::kTimeFirst, &alone);
  const RecurrentPlan crowd{.direction_groups = 2, .batch_groups = 2, .unit_groups = 3};
  std::vector<std::thread> threads;
  std::vector<RecurrentOutput<float>> got(3);
  for (auto& out : got) {
    threads.emplace_back(
        [&] { out = net.forward(call.x, call.input(), SequenceLayout::kTimeFirst, &crowd); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& out : got) expect_same_output(out, want);
}

// One processor for a team of two and a thread that wants it for itself: the team parts on the way, at any
// step of any layer, and what one does alone has the bits of what two would have done.
TEST(RecurrentThreads, ATeamThatPartsComesToTheSameBits) {
  for (const CellKind kind : {CellKind::kLstm, CellKind::kGruBefore}) {
    const auto options = test::options_of(kind, 40, 200, 3, true);
    const RecurrentNet<float> net = random_net<float>(options);
    const RandomCall<float> call(options, 60, 2);
    const RecurrentPlan alone{};
    const auto want = net.forward(call.x, call.input(), SequenceLayout::kTimeFirst, &alone);
    const RecurrentPlan pair{.unit_groups = 2, .ahead_steps = 8};
    std::atomic<bool> is_done{false};
    std::vector<std::jthread> others;
    for (int i = 0; i < 2 * omp_get_num_procs(); ++i) {
      others.emplace_back([&] {
        while (!is_done) {
        }
      });
    }
    std::vector<RecurrentOutput<float>> got;
    for (int repeat = 0; repeat < 4; ++repeat) {
      got.push_back(net.forward(call.x, call.input(), SequenceLayout::kTimeFirst, &pair));
    }
    is_done = true;
    for (const auto& out : got) expect_same_output(out, want);
  }
}

// onnxruntime 3099: inside a parallel region of the caller's, OpenMP gives a team of one; and no team is
// asked for where the plan is the library's own.
TEST(RecurrentThreads, AnIncompleteTeamDoesTheWholeWork) {
  const auto options = test::options_of(CellKind::kGruBefore, 8, 100, 2, true);
  const RecurrentNet<float> net = random_net<float>(options);
  const RandomCall<float> call(options, 9, 5);
  const auto want = net.forward(call.x, call.input(), SequenceLayout::kTimeFirst);
  const RecurrentPlan planned{.direction_groups = 2, .batch_groups = 2, .unit_groups = 2, .ahead_steps = 4};
  RecurrentOutput<float> own_plan, forced_plan;
#pragma omp parallel num_threads(2)
  {
#pragma omp single
    {
      own_plan = net.forward(call.x, call.input(), SequenceLayout::kTimeFirst);
      forced_plan = net.forward(call.x, call.input(), SequenceLayout::kTimeFirst, &planned);
    }
  }
  expect_same_output(own_plan, want);
  expect_same_output(forced_plan, want);
}

}  // namespace
}  // namespace sluice
