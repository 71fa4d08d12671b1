// SPDX-License-Identifier: Apache-2.0
// What every module promises, checked on any of them: step by step gives the bits of a whole sequence, a row
// of a batch the bits of that row alone, any number of threads the same bits, a reset stepper those of a
// fresh one, and a step calls the heap neither to take nor to give.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "sluice/module.h"
#include "sluice/tensor.h"
#include "support/count_allocations.h"
#include "support/expect_same_bits.h"
#include "support/random.h"
#include "support/system_calls.h"

namespace sluice::test {

/// Uniform in [-1, 1).
template <class T>
Tensor<T> uniform_tensor(const Shape& shape, std::uint64_t seed) {
  return random_tensor<T>(shape, -1, 1, seed);
}

/// Equal shapes and bits, of views with any strides.
template <class T>
void expect_equal_bits(TensorView<const T> got, TensorView<const T> want) {
  expect_same_bits<T>(got, want);
}

/// The outputs of a stepper over x [T, B, F]: one a step that has one.
template <class T>
std::vector<Tensor<T>> step_through(Stepper<T>& stepper, const Tensor<T>& x, std::size_t features_out) {
  std::vector<Tensor<T>> outputs;
  for (std::size_t t = 0; t < x.dim(0); ++t) {
    const Tensor<T> frame(x.view().select(0, t));
    const T* const y = stepper.step(frame.data());
    if (y != nullptr) outputs.emplace_back(TensorView<const T>(y, {x.dim(1), features_out}));
  }
  return outputs;
}

template <class T>
void expect_step_equals_run(const Module<T>& module, const Tensor<T>& x) {
  const Tensor<T> want = module.run({x.view()}, {}).y;
  const auto stepper = module.stepper(x.dim(1), x.dim(2));
  const std::vector<Tensor<T>> got = step_through(*stepper, x, module.output_size(x.dim(2)));
  if (module.ends_sequence()) {
    ASSERT_FALSE(got.empty());
    expect_same_bits<T>(got.back(), want.view().select(0, 0));
    return;
  }
  ASSERT_EQ(got.size(), want.dim(0));
  for (std::size_t t = 0; t < got.size(); ++t) {
    SCOPED_TRACE("step " + std::to_string(t));
    expect_same_bits<T>(got[t], want.view().select(0, t));
  }
}

template <class T>
void expect_rows_independent(const Module<T>& module, const Tensor<T>& x) {
  const Tensor<T> all = module.run({x.view()}, {}).y;
  for (std::size_t b = 0; b < x.dim(1); ++b) {
    SCOPED_TRACE("row " + std::to_string(b));
    const Tensor<T> alone = module.run({x.view().narrow(1, b, 1)}, {}).y;
    expect_same_bits<T>(alone.view(), all.view().narrow(1, b, 1));
  }
}

template <class T>
void expect_threads_agree(const Module<T>& module, const Tensor<T>& x) {
  const Tensor<T> one = module.run({x.view()}, {.threads = 1}).y;
  for (const int threads : {2, 3, 7}) {
    SCOPED_TRACE(std::to_string(threads) + " threads");
    expect_same_bits<T>(module.run({x.view()}, {.threads = threads}).y, one.view());
  }
}

/// NaN before the reset must leave no trace after it.
template <class T>
void expect_reset_is_fresh(const Module<T>& module, const Tensor<T>& x) {
  const std::size_t features_out = module.output_size(x.dim(2));
  const auto fresh = module.stepper(x.dim(1), x.dim(2));
  const std::vector<Tensor<T>> want = step_through(*fresh, x, features_out);
  const auto used = module.stepper(x.dim(1), x.dim(2));
  Tensor<T> poison(x.shape());
  for (T& v : poison.span()) v = std::numeric_limits<T>::quiet_NaN();
  for (const std::size_t steps : {std::size_t{1}, x.dim(0)}) {
    step_through(*used, Tensor<T>(poison.view().narrow(0, 0, steps)), features_out);
    used->reset();
    const std::vector<Tensor<T>> got = step_through(*used, x, features_out);
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t t = 0; t < got.size(); ++t) expect_same_bits<T>(got[t], want[t].view());
    used->reset();
  }
}

template <class T>
void expect_step_takes_no_memory(const Module<T>& module, const Tensor<T>& x) {
  if (!can_count_allocations()) return;
  const auto stepper = module.stepper(x.dim(1), x.dim(2));
  const Tensor<T> steps = x;
  const std::size_t calls = heap_calls_during([&] {
    for (std::size_t t = 0; t < steps.dim(0); ++t) stepper->step(steps.data() + t * x.dim(1) * x.dim(2));
    stepper->reset();
    for (std::size_t t = 0; t < steps.dim(0); ++t) stepper->step(steps.data() + t * x.dim(1) * x.dim(2));
  });
  EXPECT_EQ(calls, 0u);
}

template <class T>
void expect_step_makes_no_system_call(const Module<T>& module, const Tensor<T>& x) {
  const auto stepper = module.stepper(x.dim(1), x.dim(2));
  EXPECT_NE(run_without_system_calls([&] {
              for (std::size_t t = 0; t < x.dim(0); ++t) stepper->step(x.data() + t * x.dim(1) * x.dim(2));
              stepper->reset();
            }),
            Confined::kKilled);
}

/// All of the above on x [T, B, F].
template <class T>
void expect_module_promises(const Module<T>& module, const Tensor<T>& x) {
  expect_step_equals_run(module, x);
  expect_rows_independent(module, x);
  expect_threads_agree(module, x);
  expect_reset_is_fresh(module, x);
  expect_step_takes_no_memory(module, x);
  expect_step_makes_no_system_call(module, x);
}

/// The message of the Error (or of a type derived from it) that body() throws.
template <class E, class Body>
std::string message_of(const Body& body) {
  try {
    body();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    return std::string("another exception: ") + error.what();
  }
  return "nothing was thrown";
}

}  // namespace sluice::test
