// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "sluice/recurrent.h"
#include "support/recurrent_cases.h"

namespace sluice {
namespace {

using test::describe;
using test::every_kind;
using test::random_net;

template <class T>
class RecurrentStepper : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(RecurrentStepper, Types);

TYPED_TEST(RecurrentStepper, KeepsEveryModulesPromises) {
  using T = TypeParam;
  const auto weights = [](const RecurrentOptions& options) { return test::random_weights<T>(options); };
  const auto lstm = test::options_of(CellKind::kLstm, 5, 20, 3, false, 7);
  test::expect_module_promises<T>(
      LSTM<T>({.input_size = 5, .hidden_size = 20, .num_layers = 3, .proj_size = 7}, weights(lstm)),
      random_tensor<T>({10, 7, 5}, -1, 1, 1));
  const auto gru = test::options_of(CellKind::kGru, 5, 20, 2);
  for (const GRUReset reset : {GRUReset::kAfter, GRUReset::kBefore}) {
    test::expect_module_promises<T>(
        GRU<T>({.input_size = 5, .hidden_size = 20, .num_layers = 2, .reset = reset}, weights(gru)),
        random_tensor<T>({10, 7, 5}, -1, 1, 1));
  }
  const auto rnn = test::options_of(CellKind::kRnnTanh, 5, 20, 2);
  for (const Nonlinearity nonlinearity : {Nonlinearity::kTanh, Nonlinearity::kRelu}) {
    test::expect_module_promises<T>(
        RNN<T>({.input_size = 5, .hidden_size = 20, .num_layers = 2, .nonlinearity = nonlinearity},
               weights(rnn)),
        random_tensor<T>({10, 7, 5}, -1, 1, 1));
  }
}

TYPED_TEST(RecurrentStepper, GivesTheBitsOfTheWholeSequenceAtAnyBatch) {
  using T = TypeParam;
  for (const RecurrentOptions& options : every_kind(9, 37, 2)) {
    SCOPED_TRACE(describe(options));
    const RecurrentNet<T> net = random_net<T>(options);
    for (const std::size_t batch : {1, 2, 3, 6, 7, 13, 33}) {
      const Tensor<T> x = random_tensor<T>({6, batch, 9}, -1, 1, batch);
      const auto want = net.forward(x, {}, SequenceLayout::kTimeFirst);
      const auto stepper = net.stepper(batch, 9);
      for (std::size_t t = 0; t < 6; ++t) {
        const T* y = stepper->step(x.data() + t * batch * 9);
        expect_same_bits<T>(TensorView<const T>(y, Shape({batch, options.state_size()})),
                            want.output.view().select(0, t));
      }
    }
  }
}

// NeuralAmpModelerCore 218, 49: the first call too takes no memory, for any number of layers.
TYPED_TEST(RecurrentStepper, TakesNoMemoryFromTheFirstStepOn) {
  using T = TypeParam;
  if (!test::can_count_allocations()) GTEST_SKIP() << "the heap of this build cannot be counted";
  for (const RecurrentOptions& options : every_kind(4, 40, 3)) {
    SCOPED_TRACE(describe(options));
    const RecurrentNet<T> net = random_net<T>(options);
    const auto stepper = net.stepper(5, 4);
    const Tensor<T> x({5, 4});
    EXPECT_EQ(test::heap_calls_during([&] { stepper->step(x.data()); }), 0u);
    EXPECT_EQ(test::heap_calls_during([&] { stepper->reset(); }), 0u);
  }
}

TYPED_TEST(RecurrentStepper, MakesNoSystemCall) {
  using T = TypeParam;
  for (const RecurrentOptions& options : every_kind(4, 40, 3)) {
    SCOPED_TRACE(describe(options));
    const RecurrentNet<T> net = random_net<T>(options);
    const auto stepper = net.stepper(5, 4);
    const Tensor<T> x({5, 4});
    const auto outcome = test::run_without_system_calls([&] {
      for (int i = 0; i < 3; ++i) stepper->step(x.data());
      stepper->reset();
    });
    if (outcome == test::Confined::kUnavailable) GTEST_SKIP() << "no seccomp here, or a sanitizer";
    EXPECT_EQ(outcome, test::Confined::kReturned);
  }
}

// cudnn.torch 348: a reset that had no effect until the batch size changed.
TYPED_TEST(RecurrentStepper, ResetAfterAnyNumberOfStepsIsAFreshStart) {
  using T = TypeParam;
  for (const RecurrentOptions& options : every_kind(4, 18, 2)) {
    SCOPED_TRACE(describe(options));
    const RecurrentNet<T> net = random_net<T>(options);
    const Tensor<T> x = random_tensor<T>({3, 4}, -1, 1, 9);
    const Shape shape({3, options.state_size()});
    const Tensor<T> fresh(TensorView<const T>(net.stepper(3, 4)->step(x.data()), shape));
    const auto stepper = net.stepper(3, 4);
    for (int steps = 0; steps < 4; ++steps) {
      for (int s = 0; s < steps; ++s) stepper->step(x.data());
      stepper->reset();
      expect_same_bits<T>(TensorView<const T>(stepper->step(x.data()), shape), fresh.view());
      stepper->reset();
    }
  }
}

TYPED_TEST(RecurrentStepper, RefusesWhatItCannotDo) {
  using T = TypeParam;
  const auto both_ways = random_net<T>(test::options_of(CellKind::kLstm, 4, 8, 1, true));
  EXPECT_EQ(test::message_of<Error>([&] { (void)both_ways.stepper(1, 4); }),
            "Net::stepper: a bidirectional network needs the whole sequence, and cannot run step by step");
  const auto net = random_net<T>(test::options_of(CellKind::kLstm, 4, 8));
  EXPECT_EQ(test::message_of<ShapeError>([&] { (void)net.stepper(1, 5); }),
            "Net: the input has 5 features, expected 4");
}

TYPED_TEST(RecurrentStepper, NoRowsIsNoWork) {
  using T = TypeParam;
  const auto net = random_net<T>(test::options_of(CellKind::kLstm, 4, 8));
  const T nothing[1] = {};
  EXPECT_NE(net.stepper(0, 4)->step(nothing), nullptr);
}

}  // namespace
}  // namespace sluice
