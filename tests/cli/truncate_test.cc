// SPDX-License-Identifier: Apache-2.0
// `sluice train --truncate`: a step of the optimizer for each window of a sequence.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "cli/training.h"

namespace sluice {
namespace {

using testing::architecture_of;
using testing::expect_ok;
using testing::kRows;
using testing::kSteps;
using testing::LogLine;
using testing::pattern;
using testing::write_file;

using Truncate = testing::Train;

TEST_F(Truncate, LossesArePyTorchs) {
  const golden::GoldenFile<double> file("truncated");
  save_npy(at("x.npy"), file.in("x"));
  save_npy(at("target.npy"), file.in("target"));
  for (const auto& [name, options] : file.cases()) {
    SCOPED_TRACE(name);
    const std::string kind = options.text("kind");
    StateDict<double> weights;
    for (const std::string& full : file.weights().names()) {
      if (!full.starts_with(kind + ".") || full.ends_with("losses") || full.ends_with("epochs")) continue;
      weights.set(full.substr(kind.size() + 1), Tensor<double>(file.in(full)));
    }
    std::string architecture = architecture_of(kind);
    architecture.insert(architecture.find("\"batch_first\""), "\"num_layers\": 2, ");
    save_safetensors(at("model"), weights, {{"sluice.architecture", architecture}});
    const std::vector<std::int64_t> lengths = options.integers("lengths");
    save_npy(at("lengths.npy"), Tensor<std::int64_t>({lengths.size()}, lengths).view());
    expect_ok(program("train model --loss mse --optimizer Adam --lr 0.02 --batch-size 3 --epochs 8 " +
                      std::string(kData) + " --lengths lengths.npy --truncate 3 --save out --log log.csv"));
    const TensorView<const double> want = file.want(name + ".epochs");
    const std::vector<LogLine> got = log();
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i].loss, want(i), 1e-8 * want(i)) << "epoch " << i + 1;
    }
  }
}

TEST_F(Truncate, AWindowOfTheWholeSequenceOrMoreIsNone) {
  for (const std::string model : {"LSTM", "last.json"}) {
    save_npy(at("target.npy"), model == "LSTM" ? Tensor<double>(golden.in("target")).view()
                                               : Tensor<double>(golden.in("target").select(1, 0)).view());
    expect_ok(train(model, "--epochs 3 --batch-size 4 --log plain.csv"));
    ASSERT_EQ(std::rename(at("out").c_str(), at("plain").c_str()), 0);
    for (const std::string window : {"6", "7", "1000000000000"}) {
      expect_ok(train(model, "--epochs 3 --batch-size 4 --log log.csv --truncate " + window));
      expect_same_file("plain", "out");
      for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(log()[i].loss, log("plain.csv")[i].loss);
    }
  }
  save_npy(at("target.npy"), golden.in("target"));
  expect_ok(train("LSTM", "--epochs 3 --batch-size 4 --truncate 5"));
  ASSERT_EQ(std::rename(at("out").c_str(), at("windows").c_str()), 0);
  expect_ok(train("LSTM", "--epochs 3 --batch-size 4"));
  expect_other_file("windows", "out");
}

// At a rate of 0 the state goes on as in the whole sequence, so the windows' losses have its mean.
TEST_F(Truncate, TheStateGoesOnThroughThePaddingOfOtherRows) {
  const double whole = loss_of("GRU");
  for (const std::string window : {"1", "2", "3"}) {
    EXPECT_NEAR(loss_of("GRU", "--truncate " + window), whole, 1e-14 * whole);
  }
  EXPECT_GT(std::abs(loss_of("GRU", "--truncate 4") - whole),
            1e-3 * whole);  // windows of 4 and of 2 count alike
}

TEST_F(Truncate, ModelsThatNeedTheWholeSequenceAreRefused) {
  const std::string tail = " --input x.npy --target target.npy --loss mse --optimizer SGD --lr 0.1 --save o ";
  std::string both = architecture_of("LSTM");
  both.insert(both.find("\"batch_first\""), "\"bidirectional\": true, ");
  both.replace(both.find("\"in_features\": 5"), 16, "\"in_features\": 10");
  write_file(at("both.json"), both);
  expect_refused("train both.json --truncate 5" + tail, 1,
                 "module 0 (LSTM): LSTM::record: cannot run window by window: the second direction");
  expect_ok(program("train both.json --truncate 6" + tail));
  write_file(at("conv.json"), architecture_of("LSTM", R"(, {"type": "Conv1d", "prefix": "conv",
      "in_channels": 5, "out_channels": 5, "kernel_size": 3, "padding": 1})"));
  expect_refused("train conv.json --truncate 2" + tail, 1, "(Conv1d): Conv1d::record: cannot run window by");
  save_npy(at("one.npy"), Tensor<double>(golden.in("target").select(1, 0)).view());
  expect_refused(
      "train last.json --truncate 2 --input x.npy --target one.npy --loss mse --optimizer SGD "
      "--lr 0.1 --save o",
      2, "--truncate goes with a model that has an output for each step, and last.json takes");
  expect_refused("train LSTM --truncate 0" + tail, 2, "--truncate");
  save_npy(at("target.npy"), pattern<double>({kRows, kSteps - 1, 2}, 1).view());
  expect_refused("train LSTM --truncate 5" + tail, 1, "the target is [8, 5, 2], expected [8, 6, 2]");
}

TEST_F(Truncate, ALossOfNanNamesItsWindow) {
  Tensor<double> x(golden.in("x"));
  x(5, 4, 1) = std::numeric_limits<double>::quiet_NaN();
  save_npy(at("x.npy"), x.view());
  expect_refused("train LSTM --batch-size 2 --truncate 2 --loss mse --optimizer SGD --lr 0.1 --save o" +
                     std::string(kData),
                 1, "epoch 1, batch 3, window 3: the loss is nan");
  save_npy(at("lengths.npy"), Tensor<std::int64_t>({kRows}).view());
  expect_refused(
      "train LSTM --truncate 2 --lengths lengths.npy --loss mse --optimizer SGD --lr 0.1 --save o" +
          std::string(kData),
      1, "epoch 1, all batches: no row has a step");
}

}  // namespace
}  // namespace sluice
