// SPDX-License-Identifier: Apache-2.0
#include "sluice/tensor.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "sluice/error.h"

namespace sluice {
namespace {

constexpr std::size_t kHuge = std::numeric_limits<std::size_t>::max() / 2;

Tensor<float> counting(const Shape& shape) {
  Tensor<float> tensor(shape);
  for (std::size_t i = 0; i < tensor.size(); ++i) tensor.data()[i] = static_cast<float>(i);
  return tensor;
}

TEST(Shape, KnowsItsRankSizeAndText) {
  const Shape shape{2, 3, 4};
  EXPECT_EQ(shape.rank(), 3u);
  EXPECT_EQ(shape.size(), 24u);
  EXPECT_EQ(shape[2], 4u);
  EXPECT_EQ(shape.to_string(), "[2, 3, 4]");
  EXPECT_EQ(Shape().size(), 1u);
  EXPECT_EQ(Shape().to_string(), "[]");
  EXPECT_EQ((Shape{5, 0}).size(), 0u);
  EXPECT_NE((Shape{2, 3}), (Shape{3, 2}));
  EXPECT_NE((Shape{2}), (Shape{2, 1}));
}

TEST(Shape, RefusesTooManyDimensionsAndElements) {
  EXPECT_THROW((Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}), ShapeError);
  EXPECT_NO_THROW((Shape{kHuge}));
  EXPECT_THROW((Shape{kHuge, 3}), ShapeError);
  // Also beside a zero: strides are computed from the other dimensions.
  EXPECT_THROW((Shape{0, kHuge, 3}), ShapeError);
}

TEST(Tensor, IsZeroAlignedAndOwnsItsMemory) {
  for (const std::size_t n : {0, 1, 15, 16, 17}) {
    const Tensor<float> tensor({n});
    ASSERT_NE(tensor.data(), nullptr);
    EXPECT_FALSE(tensor.is_null());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.data()) % 64, 0u);
    for (const float value : tensor.span()) EXPECT_EQ(value, 0);
  }
  EXPECT_TRUE(Tensor<float>().is_null());
  EXPECT_EQ(Tensor<float>().size(), 0u);
  EXPECT_TRUE(Tensor<float>().view().is_null());
}

TEST(Tensor, RefusesWhatCannotBe) {
  EXPECT_THROW(Tensor<double>({kHuge}), ShapeError);
  EXPECT_THROW(Tensor<float>({2, 2}, {1, 2, 3}), ShapeError);
  EXPECT_THROW(Tensor<float>({2, 2}).reshaped({5}), ShapeError);
}

TEST(Tensor, CopiesCopyAndMovesLeaveNothing) {
  Tensor<float> a({2}, {1, 2});
  Tensor<float> b = a;
  b(0) = 9;
  EXPECT_EQ(a(0), 1);
  const float* data = a.data();
  const Tensor<float> c = std::move(a);
  EXPECT_EQ(c.data(), data);
  EXPECT_TRUE(a.is_null());  // NOLINT(bugprone-use-after-move): that it is empty is what is tested
  EXPECT_EQ(a.size(), 0u);
  b = Tensor<float>({3});
  EXPECT_EQ(b.shape(), (Shape{3}));
}

TEST(Tensor, ReshapesInPlace) {
  Tensor<float> a = counting({2, 3});
  const float* data = a.data();
  const Tensor<float> b = std::move(a).reshaped({3, 2});
  EXPECT_EQ(b.data(), data);
  EXPECT_EQ(b(2, 1), 5);
}

TEST(TensorView, TransposesSelectsAndNarrowsWithoutMovingElements) {
  const Tensor<float> tensor = counting({2, 3, 4});
  const TensorView<const float> view = tensor.view();
  EXPECT_TRUE(view.is_contiguous());
  const auto transposed = view.transpose(0, 2);
  EXPECT_EQ(transposed.shape(), (Shape{4, 3, 2}));
  EXPECT_FALSE(transposed.is_contiguous());
  const auto selected = view.select(1, 2);
  EXPECT_EQ(selected.shape(), (Shape{2, 4}));
  const auto narrowed = view.narrow(2, 1, 2);
  EXPECT_EQ(narrowed.shape(), (Shape{2, 3, 2}));
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      for (std::size_t k = 0; k < 4; ++k) {
        EXPECT_EQ(&transposed(k, j, i), &view(i, j, k));
        EXPECT_EQ(&selected(i, k), &view(i, 2, k));
        EXPECT_EQ(&narrowed(i, j, k % 2), &view(i, j, k % 2 + 1));
      }
    }
  }
}

TEST(TensorView, ACopyOfAnyViewIsContiguousInItsOrder) {
  const Tensor<float> tensor = counting({2, 3});
  const Tensor<float> copy(tensor.view().transpose(0, 1));
  EXPECT_EQ(copy.shape(), (Shape{3, 2}));
  EXPECT_EQ(std::vector<float>(copy.span().begin(), copy.span().end()),
            (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_TRUE(Tensor<float>(TensorView<const float>()).is_null());
}

TEST(TensorView, StridesOfDimensionsOfOneDoNotMatter) {
  const Tensor<float> tensor = counting({1, 4});
  EXPECT_TRUE(tensor.view().transpose(0, 1).is_contiguous());
  EXPECT_TRUE(tensor.view().narrow(1, 1, 0).is_contiguous());
}

TEST(TensorView, NullIsToldFromEmpty) {
  EXPECT_FALSE(TensorView<const float>());
  EXPECT_TRUE(Tensor<float>({0}).view());
}

}  // namespace
}  // namespace sluice
