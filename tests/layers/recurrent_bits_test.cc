// SPDX-License-Identifier: Apache-2.0
// The promise of equal bits: however a call is cut among threads, rows, steps, layouts and instruction sets.
#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "kernels/packed_gemm.h"
#include "support/for_each_target.h"
#include "support/recurrent_cases.h"

namespace sluice {
namespace {

using test::describe;
using test::every_kind;
using test::expect_same_output;
using test::random_net;
using test::RandomCall;

constexpr RecurrentPlan kAlone{};

template <class T>
class RecurrentBits : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(RecurrentBits, Types);

// All plans that a team of up to six threads can have, with input parts in advance in chunks that do not
// divide the steps. Batch groups may be empty.
std::vector<RecurrentPlan> many_plans(bool is_bidirectional) {
  std::vector<RecurrentPlan> plans;
  for (std::size_t direction = 1; direction <= (is_bidirectional ? 2u : 1u); ++direction) {
    for (std::size_t layer = 1; layer <= (is_bidirectional ? 1u : 3u); ++layer) {
      for (std::size_t batch = 1; batch <= 3; ++batch) {
        for (std::size_t unit = 1; unit <= 3; ++unit) {
          if (direction * layer * batch * unit > 6) continue;
          for (const std::size_t ahead : {0, 3}) plans.push_back({direction, layer, batch, unit, ahead});
        }
      }
    }
  }
  return plans;
}

TYPED_TEST(RecurrentBits, EveryPlanGivesTheBitsOfOneThread) {
  using T = TypeParam;
  for (const bool both_ways : {false, true}) {
    for (const RecurrentOptions& options : every_kind(9, 37, both_ways ? 2 : 4, both_ways)) {
      SCOPED_TRACE(describe(options));
      const RecurrentNet<T> net = random_net<T>(options);
      for (const std::size_t batch : {1, 2, 5}) {
        const RandomCall<T> call(options, 8, batch);
        const auto want = net.forward(call.x, call.input(), SequenceLayout::kTimeFirst, &kAlone);
        for (const RecurrentPlan& plan : many_plans(both_ways)) {
          SCOPED_TRACE(testing::Message() << batch << " rows; plan " << plan.direction_groups << " x "
                                          << plan.layer_groups << " x " << plan.batch_groups << " x "
                                          << plan.unit_groups << ", ahead " << plan.ahead_steps);
          expect_same_output(net.forward(call.x, call.input(), SequenceLayout::kTimeFirst, &plan), want);
        }
      }
    }
  }
}

TYPED_TEST(RecurrentBits, AnyNumberOfThreadsGivesTheSame) {
  using T = TypeParam;
  for (const RecurrentOptions& options : every_kind(33, 70, 2, true)) {
    SCOPED_TRACE(describe(options));
    const RecurrentNet<T> net = random_net<T>(options);
    const RandomCall<T> call(options, 50, 33);
    auto in = call.input();
    in.threads = 1;
    const auto want = net.forward(call.x, in, SequenceLayout::kTimeFirst);
    for (const int threads : {0, 2, 3}) {
      in.threads = threads;
      expect_same_output(net.forward(call.x, in, SequenceLayout::kTimeFirst), want);
    }
  }
}

TYPED_TEST(RecurrentBits, OneRowAloneHasTheBitsItHasInABatchOf33) {
  using T = TypeParam;
  for (const RecurrentOptions& options : every_kind(17, 35, 2, true)) {
    SCOPED_TRACE(describe(options));
    const RecurrentNet<T> net = random_net<T>(options);
    const RandomCall<T> call(options, 6, 33);
    const auto all = net.forward(call.x, call.input(), SequenceLayout::kTimeFirst);
    for (const std::size_t row : {0, 1, 5, 6, 31, 32}) {
      SCOPED_TRACE("row " + std::to_string(row));
      // Over its own length only: what stands past it must not matter (PyTorch 95118).
      const auto length = static_cast<std::size_t>(call.lengths[row]);
      RecurrentInput<T> in;
      in.h0 = call.h0.view().narrow(1, row, 1);
      if (!call.c0.is_null()) in.c0 = call.c0.view().narrow(1, row, 1);
      in.cell_sequence = !call.c0.is_null();
      const auto alone =
          net.forward(call.x.view().narrow(1, row, 1).narrow(0, 0, length), in, SequenceLayout::kTimeFirst);
      const auto here = all.output.view().narrow(1, row, 1);
      expect_same_bits<T>(alone.output.view(), here.narrow(0, 0, length));
      expect_same_bits<T>(here.narrow(0, length, 6 - length), Tensor<T>({6 - length, 1, here.dim(2)}).view());
      expect_same_bits<T>(alone.h_n.view(), all.h_n.view().narrow(1, row, 1));
      if (call.c0.is_null()) continue;
      expect_same_bits<T>(alone.c_n.view(), all.c_n.view().narrow(1, row, 1));
      const auto c_here = all.c_sequence.view().narrow(1, row, 1);
      expect_same_bits<T>(alone.c_sequence.view(), c_here.narrow(0, 0, length));
    }
  }
}

// ncnn's lstm.cpp: 0 * NaN is NaN. What lies in padding reaches nothing.
TYPED_TEST(RecurrentBits, PaddingOfNaNReachesNothing) {
  using T = TypeParam;
  for (const RecurrentOptions& options : every_kind(5, 20, 3, true)) {
    SCOPED_TRACE(describe(options));
    const RecurrentNet<T> net = random_net<T>(options);
    RandomCall<T> call(options, 9, 10);
    for (const std::size_t ahead : {0, 4}) {
      const RecurrentPlan plan{.ahead_steps = ahead};
      const auto want = net.forward(call.x, call.input(), SequenceLayout::kTimeFirst, &plan);
      RandomCall<T> poisoned = call;
      for (std::size_t b = 0; b < 10; ++b) {
        for (auto t = static_cast<std::size_t>(call.lengths[b]); t < 9; ++t) {
          for (std::size_t k = 0; k < 5; ++k) poisoned.x(t, b, k) = std::numeric_limits<T>::quiet_NaN();
        }
      }
      expect_same_output(net.forward(poisoned.x, call.input(), SequenceLayout::kTimeFirst, &plan), want);
    }
  }
}

TYPED_TEST(RecurrentBits, EveryInstructionSetWithFmaGivesTheSame) {
  using T = TypeParam;
  for (const RecurrentOptions& options : every_kind(19, 45, 2, true)) {
    SCOPED_TRACE(describe(options));
    const RandomCall<T> call(options, 7, 8);
    RecurrentOutput<T> want;
    for_each_target([&](const std::string&) {
      const RecurrentNet<T> net = random_net<T>(options);
      auto got = net.forward(call.x, call.input(), SequenceLayout::kTimeFirst);
      if (!target_has_fma()) return;
      if (want.output.is_null()) {
        want = std::move(got);
      } else {
        expect_same_output(got, want);
      }
    });
  }
}

TYPED_TEST(RecurrentBits, ANetKeepsTheInstructionSetThatItWasMadeOn) {
  using T = TypeParam;
  const auto options = test::options_of(CellKind::kLstm, 5, 20);
  const RandomCall<T> call(options, 3, 4);
  for_each_target([&](const std::string&) {
    const RecurrentNet<T> net = random_net<T>(options);
    const auto want = net.forward(call.x, call.input(), SequenceLayout::kTimeFirst);
    for_each_target([&](const std::string&) {
      expect_same_output(net.forward(call.x, call.input(), SequenceLayout::kTimeFirst), want);
    });
  });
}

// The three layouts, from memory of any strides.
TYPED_TEST(RecurrentBits, LayoutsAndStridesDoNotMatter) {
  using T = TypeParam;
  for (const RecurrentOptions& options : every_kind(6, 20, 2, true)) {
    SCOPED_TRACE(describe(options));
    const RecurrentNet<T> net = random_net<T>(options);
    const RandomCall<T> call(options, 5, 4);
    const auto want = net.forward(call.x, call.input(), SequenceLayout::kTimeFirst);

    const Tensor<T> batch_first(call.x.view().transpose(0, 1));
    auto got = net.forward(batch_first, call.input(), SequenceLayout::kBatchFirst);
    expect_same_bits<T>(got.output.view().transpose(0, 1), want.output.view());
    expect_same_bits<T>(got.h_n.view(), want.h_n.view());
    if (!want.c_sequence.is_null()) {
      expect_same_bits<T>(got.c_sequence.view().transpose(0, 1), want.c_sequence.view());
    }
    expect_same_output(
        net.forward(batch_first.view().transpose(0, 1), call.input(), SequenceLayout::kTimeFirst), want);
    // Features apart: [I, T, B] seen as [T, B, I]; and states [B, L*D, H] seen as [L*D, B, H].
    const Tensor<T> features_first(call.x.view().transpose(0, 2).transpose(1, 2));
    const Tensor<T> h0(call.h0.view().transpose(0, 1));
    auto in = call.input();
    in.h0 = h0.view().transpose(0, 1);
    expect_same_output(
        net.forward(features_first.view().transpose(1, 2).transpose(0, 2), in, SequenceLayout::kTimeFirst),
        want);

    in = {};
    const auto alone = net.forward(call.x.view().narrow(1, 2, 1), in, SequenceLayout::kTimeFirst);
    const auto unbatched = net.forward(call.x.view().select(1, 2), in, SequenceLayout::kBatchFirst);
    expect_same_bits<T>(unbatched.output.view(), alone.output.view().select(1, 0));
    expect_same_bits<T>(unbatched.h_n.view(), alone.h_n.view().select(1, 0));
  }
}

TYPED_TEST(RecurrentBits, OneTimeStepRepeatedByAStrideOfZero) {
  using T = TypeParam;
  const auto options = test::options_of(CellKind::kGru, 6, 20, 2, true);
  const RecurrentNet<T> net = random_net<T>(options);
  const Tensor<T> frame = random_tensor<T>({3, 6}, -1, 1, 5);
  const std::array<std::ptrdiff_t, 3> strides{0, 6, 1};
  const TensorView<const T> repeated(frame.data(), Shape({7, 3, 6}), strides);
  const Tensor<T> copied(repeated);
  expect_same_output(net.forward(repeated, {}, SequenceLayout::kTimeFirst),
                     net.forward(copied, {}, SequenceLayout::kTimeFirst));
}

// The final state of one call given to the next: the bits of one call.
TYPED_TEST(RecurrentBits, TwoHalvesOfASequenceAreTheWhole) {
  using T = TypeParam;
  for (const RecurrentOptions& options : every_kind(6, 20, 2)) {
    SCOPED_TRACE(describe(options));
    const RecurrentNet<T> net = random_net<T>(options);
    const RandomCall<T> call(options, 9, 3);
    const auto whole = net.forward(call.x, {}, SequenceLayout::kTimeFirst);
    const auto first = net.forward(call.x.view().narrow(0, 0, 4), {}, SequenceLayout::kTimeFirst);
    RecurrentInput<T> in;
    in.h0 = first.h_n;
    in.c0 = first.c_n;
    const auto second = net.forward(call.x.view().narrow(0, 4, 5), in, SequenceLayout::kTimeFirst);
    expect_same_bits<T>(first.output.view(), whole.output.view().narrow(0, 0, 4));
    expect_same_bits<T>(second.output.view(), whole.output.view().narrow(0, 4, 5));
    expect_same_bits<T>(second.h_n.view(), whole.h_n.view());
  }
}

}  // namespace
}  // namespace sluice
