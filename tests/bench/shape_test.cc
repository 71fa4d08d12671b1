// SPDX-License-Identifier: Apache-2.0
#include "shape.h"

#include <gtest/gtest.h>

#include <string>

#include "sluice/error.h"

namespace sluice::bench {
namespace {

std::string message_for(const std::string& name) {
  try {
    parse_case(name);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(BenchmarkShape, ReadsEveryPartOfAName) {
  const RecurrentCase shape = parse_case("GruForward/T:25/B:32/I:24/H:512/L:3/D:2/threads:8");
  EXPECT_EQ(shape.cell, RecurrentCase::Cell::kGru);
  EXPECT_EQ(shape.work, RecurrentCase::Work::kForward);
  EXPECT_EQ(shape.steps, 25u);
  EXPECT_EQ(shape.batch, 32u);
  EXPECT_EQ(shape.input_size, 24u);
  EXPECT_EQ(shape.hidden_size, 512u);
  EXPECT_EQ(shape.layers, 3u);
  EXPECT_EQ(shape.directions, 2u);
  EXPECT_EQ(shape.proj_size, 0u);
  EXPECT_EQ(shape.threads, 8);
}

TEST(BenchmarkShape, NamesComeBackAsTheyWent) {
  for (const char* name :
       {"LstmForward/T:25/B:32/I:512/H:512/threads:2", "RnnForward/T:1/B:1/I:1/H:1/threads:1",
        "LstmProjectedForward/T:10/B:3/I:40/H:64/L:2/D:2/P:16/threads:1", "GruStep/B:8/I:64/H:128",
        "RestatedLstmTrain/T:25/B:32/I:512/H:512/threads:2", "LstmStep/B:1/I:64/H:64/L:3",
        "GruTrain/T:25/B:32/I:512/H:512/threads:2", "LstmTrainStep/T:25/B:32/I:24/H:512/L:2/D:2/threads:1"}) {
    EXPECT_EQ(to_name(parse_case(name)), name);
  }
}

TEST(BenchmarkShape, PartsComeInAnyOrderAndDefaultsGoUnnamed) {
  EXPECT_EQ(to_name(parse_case("LstmForward/threads:1/H:4/L:1/D:1/I:3/B:2/T:9")),
            "LstmForward/T:9/B:2/I:3/H:4/threads:1");
}

TEST(BenchmarkShape, ErrorsNameWhatIsWrong) {
  const std::string start = "LstmForward/T:9/B:2/I:3/H:4";
  EXPECT_EQ(
      message_for("Forward/T:1"),
      "shape 'Forward/T:1': begins with 'Forward', expected one of LstmForward, GruForward, RnnForward, "
      "RestatedLstmForward, LstmProjectedForward, LstmStep, GruStep, RnnStep, RestatedLstmStep, LstmTrain, "
      "GruTrain, RnnTrain, RestatedLstmTrain, LstmTrainStep, GruTrainStep, RnnTrainStep, "
      "RestatedLstmTrainStep");
  EXPECT_EQ(message_for(start), "shape '" + start + "': threads is missing");
  EXPECT_EQ(message_for(start + "/threads:1/"), "shape '" + start +
                                                    "/threads:1/': '' is none of B, D, H, I, L, T, threads "
                                                    "with a number (T:25)");
  EXPECT_EQ(message_for(start + "/B:3"), "shape '" + start + "/B:3': B comes twice");
  EXPECT_EQ(message_for(start + "/D:3/threads:1"), "shape '" + start + "/D:3/threads:1': D is 1 or 2");
  EXPECT_EQ(message_for("LstmProjectedForward/T:9/B:2/I:3/H:4/P:4/threads:1"),
            "shape 'LstmProjectedForward/T:9/B:2/I:3/H:4/P:4/threads:1': P must be less than H");
}

TEST(BenchmarkShape, TakesOnlyWhatFitsTheKind) {
  EXPECT_THROW(parse_case("LstmForward/T:9/B:2/I:3/H:4/P:2/threads:1"), Error);
  EXPECT_THROW(parse_case("LstmProjectedForward/T:9/B:2/I:3/H:4/threads:1"), Error);
  EXPECT_THROW(parse_case("LstmStep/B:2/I:3/H:4/threads:1"), Error);
  EXPECT_THROW(parse_case("LstmStep/B:2/I:3/H:4/D:2"), Error);
  EXPECT_THROW(parse_case("LstmTrain/T:9/B:2/I:3/H:4/P:2/threads:1"), Error);
  EXPECT_THROW(parse_case("LstmTrainStep/B:2/I:3/H:4"), Error);
}

TEST(BenchmarkShape, NumbersAreWholeAndPositive) {
  for (const char* number :
       {"", "0", "-1", "+1", " 1", "1x", "1.5", "0x10", "1000000001", "99999999999999999999999"}) {
    EXPECT_THROW(parse_case("LstmStep/B:2/I:3/H:" + std::string(number)), Error) << number;
  }
}

}  // namespace
}  // namespace sluice::bench
