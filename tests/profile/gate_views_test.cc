// SPDX-License-Identifier: Apache-2.0
// What files and the table say of gates.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "sluice/profile.h"
#include "support/sample_profile.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;
using testing::sample_profile;

TEST(GateViews, FilesHaveTheMemoryOfUnits) {
  ProfileReport report = sample_profile();
  GateReport& gate = report.gates[1];
  gate.kept_shut = 0.25;
  gate.kept_open = 0.75;
  gate.memory_low = 1.5;
  gate.memory_median = 2;
  gate.memory_high = 12.5;
  const GateReport back = profile_from_json(profile_json(report)).gates[1];
  EXPECT_EQ(back.kept_shut, 0.25);
  EXPECT_EQ(back.kept_open, 0.75);
  EXPECT_EQ(back.memory_low, 1.5);
  EXPECT_EQ(back.memory_median, 2);
  EXPECT_EQ(back.memory_high, 12.5);
}

TEST(GateViews, FilesOfTheFirstVersionsAreRead) {
  Json json = Json::parse(profile_json(sample_profile()));
  for (const char* name : {"kept_shut", "kept_open", "memory_low", "memory_median", "memory_high"}) {
    EXPECT_EQ(json["gates"][1].erase(name), 1U) << name;
  }
  const GateReport back = profile_from_json(json.dump()).gates[1];
  EXPECT_EQ(back.memory_steps, sample_profile().gates[1].memory_steps);
  EXPECT_EQ(back.kept_open, 0);
  EXPECT_EQ(back.memory_median, 0);
}

TEST(GateViews, TheTableHasTheMedianMemoryAndItsRange) {
  ProfileReport report = sample_profile();
  report.gates[1].memory_low = 1.5;
  report.gates[1].memory_median = 2;
  report.gates[1].memory_high = 12.34;
  EXPECT_NE(profile_table(report, false).find(" 2 steps (1.5 to 12.3) "), std::string::npos);
}

}  // namespace
}  // namespace sluice
