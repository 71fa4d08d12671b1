// SPDX-License-Identifier: Apache-2.0
#include "core/spare_memory.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <utility>

#include "sluice/tensor.h"

namespace sluice {
namespace {

constexpr std::size_t kMegabyte = std::size_t{1} << 20;

TEST(SpareMemory, GivesTheSmallestBlockThatFitsAndNoneThatWouldBeHalfEmpty) {
  SpareMemory memory;
  void* const small = std::malloc(5 * kMegabyte);
  void* const large = std::malloc(8 * kMegabyte);
  EXPECT_TRUE(memory.give(large, 8 * kMegabyte));
  EXPECT_TRUE(memory.give(small, 5 * kMegabyte));
  EXPECT_EQ(memory.bytes(), 13 * kMegabyte);
  EXPECT_EQ(memory.take(9 * kMegabyte), nullptr);
  EXPECT_EQ(memory.take(2 * kMegabyte), nullptr);
  EXPECT_EQ(memory.take(5 * kMegabyte), small);
  EXPECT_EQ(memory.take(5 * kMegabyte), large);
  EXPECT_EQ(memory.take(5 * kMegabyte), nullptr);
  EXPECT_EQ(memory.bytes(), 0u);
  std::free(small);
  std::free(large);
}

TEST(SpareMemory, WhatAWholeStepHasNoUseForGoesBack) {
  SpareMemory memory;
  memory.begin_step();
  memory.give(std::malloc(5 * kMegabyte), 5 * kMegabyte);
  memory.begin_step();
  EXPECT_EQ(memory.bytes(), 5 * kMegabyte);
  memory.begin_step();
  EXPECT_EQ(memory.bytes(), 0u);
}

#ifdef __linux__
TEST(SpareMemory, LargeTensorsOfAScopeComeFromItAndReturn) {
  SpareMemory memory;
  const Shape shape{4 * kMegabyte};
  const void* place = nullptr;
  {
    const SpareMemory::Scope scope(memory);
    EXPECT_EQ(SpareMemory::active(), &memory);
    Tensor<float> tensor = Tensor<float>::uninitialized(shape);
    place = tensor.data();
    tensor(3) = 5;
  }
  EXPECT_EQ(SpareMemory::active(), nullptr);
  EXPECT_GE(memory.bytes(), 16 * kMegabyte);
  {
    const SpareMemory::Scope scope(memory);
    const Tensor<float> zeros(shape);
    EXPECT_EQ(zeros.data(), place);
    EXPECT_EQ(zeros(3), 0.0f);  // whatever stood there
    EXPECT_EQ(memory.bytes(), 0u);
    const Tensor<float> small({100});
  }
  EXPECT_GE(memory.bytes(), 16 * kMegabyte);
  const std::size_t before = memory.bytes();
  { const Tensor<float> outside(shape); }
  EXPECT_EQ(memory.bytes(), before);
}

TEST(SpareMemory, ATensorMayOutliveTheMemoryItCameFrom) {
  Tensor<float> tensor;
  {
    SpareMemory memory;
    const SpareMemory::Scope scope(memory);
    { const Tensor<float> first({4 * kMegabyte}); }
    tensor = Tensor<float>({4 * kMegabyte});
  }
  EXPECT_EQ(tensor(7), 0.0f);
}
#endif

}  // namespace
}  // namespace sluice
