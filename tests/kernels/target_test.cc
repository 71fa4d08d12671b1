// SPDX-License-Identifier: Apache-2.0
#include "sluice/target.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "sluice/error.h"

namespace sluice {
namespace {

TEST(Target, EveryAvailableOneCanBePinned) {
  for (const std::string& name : available_targets()) {
    set_target(name);
    EXPECT_EQ(active_target(), name);
    EXPECT_EQ(target_has_fma(), name != "sse4" && name != "scalar");
  }
  set_target("");
  EXPECT_EQ(active_target(), available_targets().front());
}

TEST(Target, UnknownNameIsRefusedAndChangesNothing) {
  const std::string before = active_target();
  try {
    set_target("avx1024");
    FAIL() << "no error";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("avx1024"), std::string::npos) << message;
    EXPECT_NE(message.find(before), std::string::npos) << message;
  }
  EXPECT_EQ(active_target(), before);
}

TEST(Target, BestStandsFirst) {
  const std::vector<std::string> names = available_targets();
  ASSERT_FALSE(names.empty());
  EXPECT_EQ(std::count(names.begin(), names.end(), names.front()), 1);
}

}  // namespace
}  // namespace sluice
