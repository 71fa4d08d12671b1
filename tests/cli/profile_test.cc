// SPDX-License-Identifier: Apache-2.0
// `sluice profile` on the built program: what it writes, and how it ends.
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "cli/live.h"
#include "cli/program.h"
#include "core/json.h"
#include "support/sample_profile.h"

namespace sluice {
namespace {

using testing::Ended;
using testing::expect_contains;
using testing::expect_error;
using testing::expect_ok;
using testing::pattern;
using testing::Program;
using testing::read_file;
using testing::write_file;

constexpr std::size_t kInput = 3, kHidden = 8, kSteps = 20, kBatch = 4;

class Profile : public ::testing::Test {
 protected:
  Profile() {
    StateDict<float> weights;
    weights.set("weight_ih_l0", pattern<float>({4 * kHidden, kInput}, 1));
    weights.set("weight_hh_l0", pattern<float>({4 * kHidden, kHidden}, 2));
    weights.set("bias_ih_l0", pattern<float>({4 * kHidden}, 3));
    weights.set("bias_hh_l0", pattern<float>({4 * kHidden}, 4));
    save_safetensors(program.folder / "lstm.safetensors", weights);
    save_npy(program.folder / "x.npy", pattern<float>({kSteps, kBatch, kInput}, 5).view());
    save_npy(program.folder / "lengths.npy", Tensor<std::int64_t>({kBatch}, {5, 20, 10, 5}).view());
  }

  Json json(const std::string& name) const { return Json::parse(read_file(program.folder / name)); }
  std::string text(const std::string& name) const { return read_file(program.folder / name); }

  Program program;
};

TEST_F(Profile, PrintsATable) {
  const Ended ended = program("profile lstm.safetensors --input x.npy --threads 1 --repeat 3");
  expect_ok(ended);
  expect_contains(ended.out,
                  "lstm.safetensors: float32, 20 steps of 4 rows of 3 features, 1 thread, 3 runs\n");
  expect_contains(ended.out, "\nWhere the time goes\n");
  expect_contains(ended.out, "LSTM l0 forget");
  EXPECT_EQ(ended.out.find("at random"), std::string::npos);
}

TEST_F(Profile, WritesEachView) {
  const Ended ended = program(
      "profile lstm.safetensors --input x.npy --lengths lengths.npy --threads 2 --repeat 3 --json r.json "
      "--trace t.json --html r.html --plot r.svg --gradients");
  expect_ok(ended);
  EXPECT_EQ(ended.out, "");
  const Json report = json("r.json");
  EXPECT_EQ(report.at("schema"), 1);
  EXPECT_EQ(report.at("model"), "lstm.safetensors");
  EXPECT_EQ(report.at("threads"), 2);
  EXPECT_EQ(report.at("valid_share"), 0.5);
  EXPECT_EQ(report.at("is_random_data"), false);
  EXPECT_GT(report.at("seconds_per_run").at("min"), 0);
  EXPECT_GT(report.at("bound_seconds"), 0);
  ASSERT_EQ(report.at("modules").size(), 1u);
  EXPECT_EQ(report.at("modules").at(0).at("threads"), 1);  // too small for two
  EXPECT_EQ(report.at("modules").at(0).at("parts").at(0).at("threads"), 1);
  EXPECT_GT(report.at("modules").at(0).at("phases").at("gates"), 0);
  EXPECT_GT(report.at("modules").at(0).at("bound_seconds"), 0);
  EXPECT_GT(report.at("modules").at(0).at("parts").at(0).at("share_of_bound"), 0);
  ASSERT_EQ(report.at("gates").size(), 4u);
  EXPECT_EQ(report.at("gates").at(0).at("activations"), 40 * kHidden);  // the valid steps
  EXPECT_EQ(report.at("gradient_norms").size(), kSteps);
  EXPECT_GT(report.at("gradient_norms").at(0), 0);
  EXPECT_GT(json("t.json").at("traceEvents").size(), kSteps);
  EXPECT_TRUE(text("r.html").starts_with("<!DOCTYPE html>"));
  EXPECT_TRUE(text("r.svg").starts_with("<svg xmlns"));
}

TEST_F(Profile, DrawsDataAtRandom) {
  expect_ok(program("profile lstm.safetensors --shape 7,2 --dtype float64 --repeat 1 --json a.json"));
  const Json report = json("a.json");
  EXPECT_EQ(report.at("is_random_data"), true);
  EXPECT_EQ(report.at("dtype"), "float64");
  EXPECT_EQ(report.at("steps"), 7);
  EXPECT_EQ(report.at("batch"), 2);
  // The same each time.
  expect_ok(program("profile lstm.safetensors --shape 7,2 --dtype float64 --repeat 1 --json b.json"));
  EXPECT_EQ(json("b.json").at("gates"), report.at("gates"));
  const Ended table = program("profile lstm.safetensors --shape 7,2 --repeat 1");
  expect_contains(table.out, "What the gates do, on data drawn at random");
}

TEST_F(Profile, TakesTheBatchFirst) {
  save_npy(program.folder / "bf.npy", pattern<float>({kBatch, kSteps, kInput}, 5).view());
  expect_ok(program("profile lstm.safetensors --input bf.npy --batch-first --repeat 1 --json r.json"));
  EXPECT_EQ(json("r.json").at("steps"), kSteps);
  EXPECT_EQ(json("r.json").at("batch"), kBatch);
}

TEST_F(Profile, FailsWhereARunIsSlowerThanBefore) {
  expect_ok(program("profile lstm.safetensors --input x.npy --threads 1 --repeat 3 --json r.json"));
  const auto with_seconds = [&](const std::string& name, double seconds) {
    Json changed = json("r.json");
    changed["seconds_per_run"]["min"] = seconds;
    write_file(program.folder / name, changed.dump());
  };
  const std::string again = "profile lstm.safetensors --input x.npy --threads 1 --repeat 3 --compare ";
  with_seconds("fast.json", 1e-9);
  with_seconds("slow.json", 10);
  const Ended slower = program(again + "fast.json --fail-slower 5% --json new.json");
  expect_error(slower, 1, "longer than in fast.json, more than 5.0 %");
  expect_contains(slower.out, "before");
  EXPECT_EQ(json("new.json").at("schema"), 1);  // written all the same
  expect_ok(program(again + "slow.json --fail-slower 5%"));
  const Ended shown = program(again + "fast.json");
  expect_ok(shown);
  expect_contains(shown.out, "a run");
  expect_contains(shown.out, "1.00 ns");
}

// What helps depends on the machine, but no advice on rows and threads is left that was not measured.
TEST_F(Profile, MeasuresItsAdvice) {
  const auto rows = [&](const std::string& name) {
    std::vector<Json> found;
    const Json report = json(name);
    for (const Json& advice : report.at("advice")) {
      if (advice.at("what") == "run more rows at once") found.push_back(advice);
    }
    return found;
  };
  // One row waits for its weights.
  const std::string words = "profile '" SLUICE_SOURCE_DIR
                            "/examples/models/words.safetensors' --shape 100,1 --threads 1 --repeat 5 ";
  expect_ok(program(words + "--json r.json"));
  ASSERT_EQ(rows("r.json").size(), 1u);
  EXPECT_EQ(rows("r.json")[0].at("is_measured"), false);
  EXPECT_EQ(json("r.json").at("modules").at(0).at("type"), "Embedding");
  EXPECT_EQ(json("r.json").at("modules").at(0).at("threads"), 0);  // not counted
  expect_ok(program(words + "--try --json tried.json"));
  for (const Json& advice : rows("tried.json")) {
    EXPECT_EQ(advice.at("is_measured"), true);
    expect_contains(advice.at("figure"), "twice the rows take ");
  }
}

TEST_F(Profile, RefusesWrongUsage) {
  const std::string base = "profile lstm.safetensors ";
  expect_error(program(base), 2, "one of --input and --shape is required");
  expect_error(program(base + "--input x.npy --shape 3,1"), 2, "one of --input and --shape is required");
  for (const char* shape :
       {"3", "3,", "0,1", "3,1,2", "-3,1", "a,b", "999999999,999999999", "9999999999,1"}) {
    expect_error(program(base + "--shape " + shape), 2,
                 std::string("--shape is ") + shape + ", expected T,B");
  }
  expect_error(program(base + "--shape 3,1 --lengths lengths.npy"), 2, "--lengths goes with --input");
  expect_error(program(base + "--shape 3,1 --fail-slower 5%"), 2, "--fail-slower goes with --compare");
  for (const char* share : {"x", "5x", "-5%", "nan", "%"}) {
    expect_error(program(base + "--shape 3,1 --compare r.json --fail-slower " + share), 2,
                 std::string("--fail-slower is ") + share + ", expected a percentage");
  }
  expect_error(program(base + "--shape 3,1 --live"), 2, "--live needs a terminal");
  expect_error(program(base + "--shape 3,1 --live --json r.json"), 2, "--live writes no file");
  expect_error(program(base + "--shape 3,1 --repeat 0"), 2, "--repeat");
  for (const char* same : {"a.json", "./a.json", "\"$PWD/a.json\""}) {
    expect_error(program(base + "--shape 3,1 --json a.json --html " + same), 2, "named for two outputs");
    expect_error(program(base + "--shape 3,1 --json " + same + " --html a.json"), 2, "named for two outputs");
  }
}

TEST_F(Profile, RefusesBadDataAndLeavesNoFile) {
  const std::size_t before = program.folder.count();
  expect_error(program("profile none.safetensors --shape 3,1 --json r.json"), 1, "none.safetensors");
  expect_error(program("profile lstm.safetensors --input none.npy --json r.json"), 1, "none.npy");
  write_file(program.folder / "bad.json", "{\"schema\": 2}");
  expect_error(program("profile lstm.safetensors --shape 3,1 --compare bad.json --json r.json"), 1,
               "bad.json: profile.schema is 2, expected 1");
  expect_error(program("profile lstm.safetensors --shape 3,1 --compare none.json"), 1, "none.json");
  expect_error(program("profile lstm.safetensors --shape 3,1 --compare ."), 1,
               ".: is a folder, expected a file");
  Json no_time = Json::parse(profile_json(testing::sample_profile()));
  for (const Json& least : {Json(nullptr), Json(0)}) {
    no_time["seconds_per_run"]["min"] = least;
    write_file(program.folder / "bad.json", no_time.dump());
    // Before the model is opened.
    expect_error(program("profile none.safetensors --shape 3,1 --compare bad.json"), 1,
                 "bad.json: profile.seconds_per_run.min is ");
  }
  save_npy(program.folder / "wide.npy", pattern<float>({4, 1, kInput + 1}, 5).view());
  expect_error(program("profile lstm.safetensors --input wide.npy --json r.json"), 1,
               "wide.npy: x is [4, 1, 4]");
  EXPECT_EQ(program.folder.count(), before + 2);
}

TEST(LiveScreen, HasALevelAGateAndKeepsToTheWidth) {
  const ProfileReport report = testing::sample_profile();
  CellTimes cell;
  cell.seconds = {1e-3, 2e-3, 1e-3, 0, 0};
  ProfileTimes times;
  times.runs = 4;
  times.seconds = 8e-3;
  times.modules.resize(1);
  times.modules[0].cells.push_back(cell);
  const std::string screen = cli::live_screen(report, times, 0.5, 80);
  expect_contains(screen, "speech.safetensors: 4 runs, 2.00 ms each, 48.0 k steps a second\n");
  expect_contains(screen, "input 25.0 %  recurrent 50.0 %  gates 25.0 %  waiting 0.0 %");
  expect_contains(screen, "step 48 of 96\n");
  expect_contains(screen, "\nrnn l1 forget  0.9");
  std::istringstream lines(cli::live_screen(report, times, 1, 30));
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 30u) << line;
}

}  // namespace
}  // namespace sluice
