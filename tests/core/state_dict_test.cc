// SPDX-License-Identifier: Apache-2.0
#include "sluice/state_dict.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "sluice/error.h"
#include "support/module_promises.h"

namespace sluice {
namespace {

using test::message_of;

TEST(StateDict, GivesWhatWasSetByName) {
  StateDict<float> weights;
  weights.set("b", Tensor<float>({2}, {1, 2}));
  weights.set("a", Tensor<float>({1}, {3}));
  EXPECT_EQ(weights.at("b")(1), 2);
  EXPECT_EQ(weights.names(), (std::vector<std::string>{"a", "b"}));
  weights.set("b", Tensor<float>({1}, {7}));
  EXPECT_EQ(weights.at("b", {1})(0), 7);
  EXPECT_EQ(weights.size(), 2u);
  EXPECT_FALSE(weights.contains("c"));
}

TEST(StateDict, KeepsTheOwnerOfBorrowedMemory) {
  auto owner = std::make_shared<Tensor<float>>(Shape{1});
  StateDict<float> weights;
  weights.borrow("x", owner->view(), owner);
  EXPECT_EQ(weights.at("x").data(), owner->data());
  EXPECT_EQ(owner.use_count(), 2);
  weights.set("x", Tensor<float>({1}));
  EXPECT_EQ(owner.use_count(), 1);
}

TEST(StateDict, AMissingNameIsNamedWithThoseThatThereAre) {
  StateDict<float> weights;
  for (const char* name : {"w0", "w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8", "w9"}) {
    weights.set(name, Tensor<float>({1}));
  }
  EXPECT_EQ(
      message_of<Error>([&] { weights.at("weight_ih_l0"); }),
      "no tensor named 'weight_ih_l0'; there are 10: 'w0', 'w1', 'w2', 'w3', 'w4', 'w5', 'w6', 'w7', ...");
}

TEST(StateDict, AnotherShapeIsRefusedWithBoth) {
  StateDict<float> weights;
  weights.set("w", Tensor<float>({2, 3}));
  EXPECT_EQ(message_of<ShapeError>([&] {
              weights.at("w", {3, 2});
            }),
            "tensor 'w' is [2, 3], expected [3, 2]");
}

}  // namespace
}  // namespace sluice
