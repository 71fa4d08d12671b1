// SPDX-License-Identifier: Apache-2.0
// `sluice train` on the built program: what it reports, what it writes, what it refuses.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cli/program.h"
#include "cli/training.h"
#include "golden/golden_file.h"
#include "sluice/gate_statistics.h"
#include "sluice/loss.h"
#include "sluice/trainable.h"

namespace sluice {
namespace {

using testing::architecture_of;
using testing::Ended;
using testing::expect_contains;
using testing::expect_error;
using testing::expect_ok;
using testing::kHidden;
using testing::kInput;
using testing::kOutput;
using testing::kRows;
using testing::kSteps;
using testing::LogLine;
using testing::pattern;
using testing::read_file;
using testing::Train;
using testing::write_file;

double mean_squared_error(const Tensor<double>& a, const Tensor<double>& b) {
  EXPECT_EQ(a.shape(), b.shape());
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a.data()[i] - b.data()[i]) * (a.data()[i] - b.data()[i]);
  return sum / static_cast<double>(a.size());
}

TEST_F(Train, LossesArePyTorchs) {
  const std::vector<std::pair<std::string, std::string>> optimizers = {{"SGD", "--lr 0.1 --momentum 0.9"},
                                                                       {"Adam", "--lr 0.01"},
                                                                       {"AdamW", "--lr 0.01"},
                                                                       {"RMSprop", "--lr 0.005"}};
  for (const std::string kind : {"LSTM", "GRU", "RNN"}) {
    for (const auto& [optimizer, options] : optimizers) {
      SCOPED_TRACE(kind + " " + optimizer);
      expect_ok(program("train " + kind + kData + " --loss MSELoss --optimizer " + optimizer + " " + options +
                        " --batch-size 4 --epochs 20 --save out --log log.csv"));
      const TensorView<const double> want = golden.want(kind + "." + optimizer + ".losses");
      const std::vector<LogLine> got = log();
      ASSERT_EQ(got.size(), want.size());
      for (std::size_t i = 0; i < got.size(); ++i) {
        // Twenty epochs carry rounding from one to the next; the golden tests of training allow the same.
        EXPECT_NEAR(got[i].loss, want(i), 1e-8 * want(i)) << "epoch " << i + 1;
        EXPECT_EQ(got[i].validation, "");
      }
    }
  }
}

TEST_F(Train, WhatRunGivesHasTheLossThatIsReported) {
  expect_ok(train("GRU", "--epochs 10"));
  EXPECT_LT(loss_of("out"), 0.9 * loss_of("GRU"));
  expect_ok(program("run out --input x.npy --dtype float64 --output y.npy"));
  const double want = mean_squared_error(array("y.npy"), array("target.npy"));
  EXPECT_NEAR(loss_of("out"), want, 1e-13 * want);
}

TEST_F(Train, ANewModelBeginsWithItsSeedAndRuns) {
  expect_ok(train("new.json", "--seed 5 --epochs 4 --log log.csv"));
  const std::vector<LogLine> losses = log();
  ASSERT_EQ(losses.size(), 4u);
  EXPECT_LT(losses[3].loss, losses[0].loss);
  expect_ok(program("run out --input x.npy --output y.npy"));
  EXPECT_EQ(array<float>("y.npy").shape(), (Shape{kRows, kSteps, kOutput}));
  expect_ok(program("train new.json --seed 5 --epochs 4 --save again" + std::string(kData) +
                    " --loss MSELoss --optimizer SGD --lr 0.1"));
  expect_same_file("out", "again");
  // At a rate of 0 the first values stay, which are the library's.
  for (const std::string seed : {"5", "6"}) {
    TrainableModel<double>::begin(architecture_of("LSTM"), std::stoull(seed)).save(at("want" + seed));
    loss_of("new.json", "--seed " + seed);
    expect_same_file("same", "want" + seed);
  }
  expect_other_file("want5", "want6");
}

TEST_F(Train, ABareLayerStaysOneInEitherOrderOfDimensions) {
  StateDict<double> layer;
  for (const std::string name : {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"}) {
    layer.set("enc." + name, Tensor<double>(golden.in("LSTM.rnn." + name)));
  }
  save_safetensors(at("lstm"), layer);
  const Tensor<double> target = pattern<double>({kRows, kSteps, kHidden}, 3);
  save_npy(at("target.npy"), target.view());
  expect_ok(train("lstm", "--prefix enc. --batch-first --epochs 5 --log log.csv"));
  EXPECT_LT(log()[4].loss, log()[0].loss);
  EXPECT_TRUE(SafetensorsFile::open(at("out")).metadata().empty());
  EXPECT_EQ(weights("out").at("enc.weight_ih_l0").shape(), (Shape{4 * kHidden, kInput}));
  expect_ok(program("run out --prefix enc. --batch-first --input x.npy --dtype float64 --output y.npy"));
  const double want = mean_squared_error(array("y.npy"), target);
  EXPECT_NEAR(loss_of("out", "--prefix enc. --batch-first"), want, 1e-13 * want);

  save_npy(at("xt.npy"), golden.in("x").transpose(0, 1));
  save_npy(at("tt.npy"), target.view().transpose(0, 1));
  expect_ok(program("train lstm --prefix enc --input xt.npy --target tt.npy --dtype float64 --epochs 5" +
                    std::string(" --loss MSELoss --optimizer SGD --lr 0.1 --save out_t")));
  expect_same_file("out", "out_t");
}

// A bare RNN's file does not say which function it has.
TEST_F(Train, ABareRnnHasTheNonlinearityThatIsAskedFor) {
  StateDict<double> layer;
  for (const std::string name : {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"}) {
    layer.set(name, Tensor<double>(golden.in("RNN.rnn." + name)));
  }
  save_safetensors(at("rnn"), layer);
  const Tensor<double> target = pattern<double>({kRows, kSteps, kHidden}, 3);
  save_npy(at("target.npy"), target.view());
  for (const std::string nonlinearity : {"tanh", "relu"}) {
    const std::string options = "--batch-first --nonlinearity " + nonlinearity;
    expect_ok(train("rnn", options + " --epochs 3"));
    expect_ok(program("run out --input x.npy --dtype float64 --output y.npy " + options));
    const double want = mean_squared_error(array("y.npy"), target);
    EXPECT_NEAR(loss_of("out", options), want, 1e-13 * want);
    ASSERT_EQ(std::rename(at("out").c_str(), at(nonlinearity).c_str()), 0);
  }
  expect_ok(train("rnn", "--batch-first --epochs 3"));
  expect_same_file("tanh", "out");
  expect_other_file("tanh", "relu");
}

TEST_F(Train, AnyNumberOfThreadsGivesTheSameFile) {
  write_file(at("large.json"),
             R"([{"type": "LSTM", "prefix": "rnn", "input_size": 16, "hidden_size": 64, "num_layers": 2},)"
             R"( {"type": "Linear", "prefix": "head", "in_features": 64, "out_features": 3}])");
  save_npy(at("xl.npy"), pattern<float>({20, 32, 16}, 1).view());
  save_npy(at("tl.npy"), pattern<float>({20, 32, 3}, 2).view());
  const std::string command =
      "train large.json --input xl.npy --target tl.npy --loss mse --optimizer adam --lr 0.01 --epochs 2 "
      "--batch-size 24 --clip-grad-norm 0.1 --shuffle --seed 3 ";
  expect_ok(program(command + "--threads 1 --save one --log one.csv"));
  expect_ok(program(command + "--threads 2 --save two --log two.csv"));
  expect_same_file("one", "two");
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(log("one.csv")[i].loss, log("two.csv")[i].loss);
}

TEST_F(Train, ShuffleGoesByItsSeed) {
  const auto shuffled = [&](const std::string& more, const std::string& save) {
    expect_ok(program("train LSTM --batch-size 3 --epochs 2" + std::string(kData) + more +
                      " --loss mse --optimizer SGD --lr 0.1 --save " + save));
  };
  shuffled("", "in_order");
  shuffled(" --shuffle --seed 1", "a");
  shuffled(" --shuffle --seed 1", "b");
  shuffled(" --shuffle --seed 2", "c");
  expect_same_file("a", "b");
  expect_other_file("a", "c");
  expect_other_file("a", "in_order");
  // All rows are there: in one batch the loss is that of any order, but for rounding.
  const double want = loss_of("LSTM");
  EXPECT_NEAR(loss_of("LSTM", "--shuffle"), want, 1e-14 * want);
}

TEST_F(Train, EachEpochHasAnotherOrder) {
  // At a rate of 0 the loss of an epoch, the mean of three batches of 3, 3 and 2 rows, tells its order.
  loss_of("LSTM", "--batch-size 3 --epochs 4 --shuffle");
  const std::vector<LogLine> lines = log("loss.csv");
  EXPECT_FALSE(lines[0].loss == lines[1].loss && lines[1].loss == lines[2].loss &&
               lines[2].loss == lines[3].loss);
  loss_of("LSTM", "--batch-size 3 --epochs 2");
  EXPECT_EQ(log("loss.csv")[0].loss, log("loss.csv")[1].loss);
}

TEST_F(Train, RowsHeldOutAreMeasuredAndNotLearned) {
  const auto rows = [&](const std::string& name, std::size_t first, std::size_t count) {
    save_npy(at(name + "_x.npy"), Tensor<double>(golden.in("x").narrow(0, first, count)).view());
    save_npy(at(name + "_t.npy"), Tensor<double>(golden.in("target").narrow(0, first, count)).view());
    return " --input " + name + "_x.npy --target " + name + "_t.npy --dtype float64 ";
  };
  const std::string first = rows("first", 0, 6), last = rows("last", 6, 2);
  for (const std::string shuffle : {"", " --shuffle"}) {
    const std::string options = "--loss mse --optimizer Adam --lr 0.01 --epochs 3 --batch-size 4" + shuffle;
    expect_ok(program("train LSTM" + std::string(kData) +
                      " --validation-split 0.25 --save split --log s.csv " + options));
    expect_ok(program("train LSTM" + first + "--save only --log o.csv " + options));
    expect_same_file("split", "only");
    ASSERT_EQ(log("s.csv").size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(log("s.csv")[i].loss, log("o.csv")[i].loss);
      EXPECT_EQ(log("o.csv")[i].validation, "");
    }
    expect_ok(program("train split" + last + "--loss mse --optimizer SGD --lr 0 --save same --log l.csv"));
    EXPECT_EQ(std::stod(log("s.csv")[2].validation), log("l.csv")[0].loss);
  }
}

TEST_F(Train, StepsPastARowsLengthCountForNothing) {
  const std::vector<std::int64_t> lengths = {2, 6, 0, 4, 1, 6, 3, 5};
  Tensor<std::int64_t> stored({kRows});
  std::copy(lengths.begin(), lengths.end(), stored.data());
  save_npy(at("lengths.npy"), stored.view());
  expect_ok(train("LSTM", "--lengths lengths.npy --epochs 2 --batch-size 4"));
  ASSERT_TRUE(std::rename(at("out").c_str(), at("clean").c_str()) == 0);
  Tensor<double> x(golden.in("x")), target(golden.in("target"));
  std::size_t steps = 0;
  for (std::size_t row = 0; row < kRows; ++row) {
    for (auto t = static_cast<std::size_t>(lengths[row]); t < kSteps; ++t) {
      for (std::size_t i = 0; i < kInput; ++i) x(row, t, i) = std::numeric_limits<double>::quiet_NaN();
      for (std::size_t i = 0; i < kOutput; ++i) target(row, t, i) = std::numeric_limits<double>::quiet_NaN();
    }
    steps += static_cast<std::size_t>(lengths[row]);
  }
  save_npy(at("x.npy"), x.view());
  save_npy(at("target.npy"), target.view());
  expect_ok(train("LSTM", "--lengths lengths.npy --epochs 2 --batch-size 4"));
  expect_same_file("clean", "out");

  const double got = loss_of("out", "--lengths lengths.npy");
  expect_ok(program("run out --input x.npy --lengths lengths.npy --dtype float64 --output y.npy"));
  const Tensor<double> y = array("y.npy");
  double sum = 0;
  for (std::size_t row = 0; row < kRows; ++row) {
    for (std::size_t t = 0; t < static_cast<std::size_t>(lengths[row]); ++t) {
      for (std::size_t i = 0; i < kOutput; ++i) sum += std::pow(y(row, t, i) - target(row, t, i), 2);
    }
  }
  const double want = sum / static_cast<double>(steps * kOutput);
  EXPECT_NEAR(got, want, 1e-13 * want);
}

TEST_F(Train, AConvolutionsLengthsCountForTheLoss) {
  // Six steps become one; a row of fewer has no output, and so no loss.
  write_file(at("conv.json"),
             R"([{"type": "Conv1d", "in_channels": 3, "out_channels": 2, "kernel_size": 6}])");
  save_npy(at("xc.npy"), golden.in("x").transpose(0, 1));
  Tensor<double> target({1, kRows, kOutput});
  save_npy(at("lengths.npy"), Tensor<std::int64_t>({kRows}, {6, 6, 6, 6, 6, 6, 6, 5}).view());
  const auto trained = [&](double last, const std::string& save) {
    target(0, kRows - 1, 0) = last;
    save_npy(at("tc.npy"), target.view());
    expect_ok(program("train conv.json --input xc.npy --target tc.npy --lengths lengths.npy --loss mse " +
                      std::string("--optimizer SGD --lr 0.1 --log log.csv --save ") + save));
    return log()[0].loss;
  };
  EXPECT_EQ(trained(0, "a"), trained(100, "b"));
  expect_same_file("a", "b");
}

TEST_F(Train, ClippingBoundsTheStep) {
  const auto moved = [&](const std::string& more) {
    expect_ok(train("LSTM", more, "1"));
    const StateDict<double> now = weights("out"), before = weights("LSTM");
    double sum = 0;
    for (const std::string& name : before.names()) {
      const Tensor<double> a(now.at(name)), b(before.at(name));
      for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(a.data()[i] - b.data()[i], 2);
    }
    return std::sqrt(sum);
  };
  const double norm = moved("");
  EXPECT_GT(norm, 0.02);
  EXPECT_NEAR(moved("--clip-grad-norm 0.01"), 0.01 * norm / (norm + 1e-6), 1e-12);
  EXPECT_EQ(moved("--clip-grad-norm 100"), norm);
}

TEST_F(Train, WeightDecayPullsTowardsZero) {
  expect_ok(train("LSTM"));
  const StateDict<double> without = SafetensorsFile::open(at("out")).state_dict<double>();
  const Tensor<double> plain(without.at("head.weight")), first(weights("LSTM").at("head.weight"));
  expect_ok(train("LSTM", "--weight-decay 0.5"));
  const Tensor<double> decayed(weights("out").at("head.weight"));
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_NEAR(decayed.data()[i], plain.data()[i] - 0.1 * 0.5 * first.data()[i], 1e-14);
  }
}

// Each schedule beside runs at the rates that it stands for, one after the other. SGD keeps nothing between.
TEST_F(Train, SchedulesSetTheRateOfEachEpoch) {
  const auto expect_rates = [&](const std::string& schedule, const std::vector<std::string>& rates) {
    SCOPED_TRACE(schedule);
    expect_ok(train(
        "LSTM", "--log log.csv --schedule " + schedule + " --epochs " + std::to_string(rates.size()), "0.3"));
    const std::vector<LogLine> got = log();
    std::string model = "LSTM";
    for (std::size_t i = 0; i < rates.size(); ++i) {
      const std::string next = "epoch" + std::to_string(i);
      expect_ok(program("train " + model + kData + " --loss mse --optimizer SGD --log one.csv --lr " +
                        rates[i] + " --save " + next));
      EXPECT_NEAR(got[i].loss, log("one.csv")[0].loss, 1e-12) << "epoch " << i + 1;
      model = next;
    }
    for (const std::string& name : weights("out").names()) {
      const Tensor<double> a(weights("out").at(name)), b(weights(model).at(name));
      for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a.data()[i], b.data()[i], 1e-12) << name;
    }
  };
  expect_rates("step", {"0.3", "0.3", "0.03", "0.03", "0.003"});
  expect_rates("StepLR", {"0.3", "0.03", "0.003"});
  expect_rates("cosine", {"0.3", "0.15"});
  expect_rates("warmup", {"0.1", "0.14", "0.18", "0.22", "0.26", "0.3", "0.3"});
}

TEST_F(Train, APlateauLowersTheRate) {
  const auto trained = [&](const std::string& more, const std::string& save) {
    expect_ok(
        program("train LSTM --loss mse --optimizer SGD" + std::string(kData) + more + " --save " + save));
  };
  // At such a rate no epoch is better by one part in 10^4; after ten more the rate falls.
  for (const std::string epochs : {"12", "13"}) {
    trained(" --lr 0.00001 --epochs " + epochs, "plain");
    trained(" --lr 0.00001 --schedule plateau --epochs " + epochs, "plateau");
    (epochs == "12") ? expect_same_file("plain", "plateau") : expect_other_file("plain", "plateau");
  }
  // Where the loss falls the rate stays; but what is asked is the loss of the rows held out, if there are
  // any.
  trained(" --lr 0.1 --epochs 20", "plain");
  trained(" --lr 0.1 --schedule plateau --epochs 20", "plateau");
  expect_same_file("plain", "plateau");
  Tensor<double> target(golden.in("target"));
  target(kRows - 1, 0, 0) = std::numeric_limits<double>::quiet_NaN();
  save_npy(at("target.npy"), target.view());
  trained(" --lr 0.1 --validation-split 0.125 --epochs 20", "plain");
  trained(" --lr 0.1 --validation-split 0.125 --schedule plateau --epochs 20", "plateau");
  expect_other_file("plain", "plateau");
}

TEST_F(Train, NamesMayBeSpelledAnyWay) {
  const auto trained = [&](const std::string& loss, const std::string& optimizer, const std::string& save) {
    expect_ok(program("train LSTM --lr 0.01" + std::string(kData) + " --loss " + loss + " --optimizer " +
                      optimizer + " --save " + save));
  };
  trained("MSELoss", "Adam", "want");
  for (const std::string loss : {"mse", "MSE", "mse_loss", "mseloss", "MSELoss"}) {
    trained(loss, "ADAM", "got");
    expect_same_file("want", "got");
  }
  trained("SmoothL1Loss", "RMSprop", "want");
  trained("smooth_l1", "rms_prop", "got");
  expect_same_file("want", "got");
  trained("smooth-l1-loss", "rmsprop", "got");
  expect_same_file("want", "got");
}

TEST_F(Train, EveryLossAndOptimizerTrains) {
  std::vector<std::string> files;
  write_file(at("p.json"), architecture_of("LSTM").substr(0, architecture_of("LSTM").size() - 1) +
                               R"(, {"type": "Sigmoid"}])");
  Tensor<double> target(golden.in("target"));
  for (double& value : target.span()) value = value > 0 ? 1 : 0;
  save_npy(at("target.npy"), target.view());
  for (const std::string loss : {"bce", "bce_with_logits", "mse", "l1", "smooth_l1"}) {
    for (const std::string optimizer : {"sgd", "adam", "adamw", "rmsprop", "adagrad"}) {
      SCOPED_TRACE(loss + " " + optimizer);
      expect_ok(program(std::string("train p.json --lr 0.01 --epochs 8 --log log.csv --save out") + kData +
                        " --loss " + loss + " --optimizer " + optimizer));
      EXPECT_LT(log()[7].loss, log()[0].loss);
      for (const std::string& other : files) EXPECT_TRUE(other != read_file(at("out")));
      files.push_back(read_file(at("out")));
    }
  }
}

TEST_F(Train, ProgressIsALineAnEpoch) {
  const Ended ended = train("LSTM", "--progress --epochs 2 --validation-split 0.5");
  EXPECT_EQ(ended.status, 0);
  EXPECT_TRUE(ended.err.starts_with("epoch 1/2: loss 0.")) << ended.err;
  expect_contains(ended.err, "\nepoch 2/2: loss 0.");
  expect_contains(ended.err, ", validation 0.");
  EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 2);
}

TEST_F(Train, WrongUsage) {
  const std::string data = "train LSTM --input x.npy --target target.npy --save o ";
  const std::string all = data + "--loss mse --optimizer Adam --lr 0.1 ";
  expect_refused(data + "--loss mse --lr 0.1", 2, "--optimizer is required");
  expect_refused(data + "--loss hinge --optimizer SGD --lr 0.1", 2,
                 "--loss is hinge, expected one of BCELoss, BCEWithLogitsLoss, CrossEntropyLoss");
  expect_refused(data + "--loss loss --optimizer SGD --lr 0.1", 2, "--loss is loss");
  expect_refused(data + "--loss mse --optimizer LBFGS --lr 0.1", 2, "--optimizer is LBFGS");
  expect_refused(all + "--schedule cyclic", 2, "--schedule is cyclic");
  expect_refused(all + "--momentum 0.9", 2, "--momentum goes with SGD and RMSprop, not with Adam");
  expect_refused(all + "--dtype float16", 2, "--dtype");
  expect_refused(all + "--threads 0", 2, "--threads");
  expect_refused(all + "--batch-size 0", 2, "--batch-size");
  expect_refused(all + "--epochs 0", 2, "--epochs");
  expect_refused(all + "--validation-split 1.5", 2, "--validation-split");
  expect_refused(all + "--validation-split 1", 2, "no row to train on");
  expect_refused(all + "--clip-grad-norm -1", 2, "--clip-grad-norm");
  expect_refused(data + "--loss mse --optimizer SGD --lr -1", 2, "--lr");
  expect_refused(data + "--loss mse --optimizer SGD --lr 1 --momentum -1", 2, "--momentum");
  expect_refused(all + "--weight-decay -1", 2, "--weight-decay");
  expect_refused(all + "--log o", 2, "named for two outputs");
  expect_refused(all + "--prefix rnn.", 2, "--prefix goes with a bare recurrent layer");
  expect_refused(all + "--nonlinearity relu", 2, "--nonlinearity goes with a bare recurrent layer");
  expect_refused(all + "--nonlinearity sigmoid", 2, "--nonlinearity");
  StateDict<double> bare;
  for (const std::string name : {"weight_ih_l0", "weight_hh_l0"}) {
    bare.set(name, Tensor<double>(golden.in("LSTM.rnn." + name)));
  }
  save_safetensors(at("bare"), bare);
  expect_refused("train bare --nonlinearity relu --input x.npy --target target.npy --save o --loss mse " +
                     std::string("--optimizer Adam --lr 0.1"),
                 2, "--nonlinearity goes with an RNN, and bare is none");
  std::string time_first = architecture_of("LSTM");
  time_first.replace(time_first.find("true"), 4, "false");
  write_file(at("time.json"), time_first);
  expect_refused("train time.json --batch-first --input x.npy --target target.npy --save o --loss mse " +
                     std::string("--optimizer Adam --lr 0.1"),
                 2, "--batch-first goes with a bare recurrent layer");
}

TEST_F(Train, BadDataAndFiles) {
  const std::string tail = " --loss mse --optimizer SGD --lr 0.1 --save o ";
  const std::string both = " --input x.npy --target target.npy";
  save_npy(at("narrow.npy"), pattern<double>({kRows, kSteps, 1}, 1).view());
  save_npy(at("few.npy"), pattern<double>({kRows - 1, kSteps, kOutput}, 1).view());
  save_npy(at("short.npy"), pattern<double>({kRows, kSteps - 1, kOutput}, 1).view());
  save_npy(at("flat.npy"), pattern<double>({kRows, kOutput}, 1).view());
  save_npy(at("none.npy"), Tensor<double>({0, kSteps, kInput}).view());
  save_npy(at("long.npy"), Tensor<std::int64_t>({kRows}, {6, 6, 6, 7, 6, 6, 6, 6}).view());
  save_npy(at("two.npy"), Tensor<std::int64_t>({2}, {6, 6}).view());
  for (const std::string name : {"narrow.npy", "few.npy", "flat.npy"}) {
    expect_refused("train LSTM --input x.npy --target " + name + tail, 1, ", expected [8, 6, 2]");
  }
  expect_refused("train LSTM --input x.npy --target short.npy" + tail, 1, "[5, 8, 2]");
  expect_refused("train last.json --input x.npy --target target.npy" + tail, 1, "expected [8, 2]");
  expect_refused("train LSTM --input narrow.npy --target target.npy" + tail, 1, "narrow.npy: x is [8, 6, 1]");
  expect_refused("train LSTM --input flat.npy --target target.npy" + tail, 1, "flat.npy: x is [8, 2]");
  expect_refused("train LSTM --input none.npy --target target.npy" + tail, 1, "no rows");
  expect_refused("train LSTM --input nowhere.npy --target target.npy" + tail, 1, "nowhere.npy");
  expect_refused("train LSTM --input x.npy --target nowhere.npy" + tail, 1, "nowhere.npy");
  expect_refused("train nowhere.json" + both + tail, 1, "nowhere.json: cannot be read");
  expect_refused("train nowhere" + both + tail, 1, "nowhere");
  expect_refused("train LSTM" + both + tail + "--lengths long.npy", 1, "a length is 7, expected 0 to 6");
  expect_refused("train LSTM" + both + tail + "--lengths two.npy", 1, "2 lengths for 8 rows");
  expect_refused("train LSTM" + both + " --loss mse --optimizer SGD --lr 0.1 --save no/where", 1, "no/where");
  expect_refused("train LSTM" + both + tail + "--log no/where.csv", 1, "no/where.csv");
  write_file(at("broken.json"), R"([{"type": "LSTM")");
  expect_refused("train broken.json" + both + tail, 1, "broken.json: ");
  write_file(at("unknown.json"), R"([{"type": "Transformer"}])");
  expect_refused("train unknown.json" + both + tail, 1, "Transformer");
}

// A cell is a layer of one under other names: the same losses, and a file that runs.
TEST_F(Train, CellsTrainAsLayers) {
  for (const std::string kind : {"LSTM", "GRU", "RNN"}) {
    StateDict<double> renamed;
    const StateDict<double> layer = weights(kind);
    for (const std::string& name : layer.names()) {
      renamed.borrow(name.ends_with("_l0") ? name.substr(0, name.size() - 3) : name, layer.at(name), nullptr);
    }
    save_safetensors(at("cell"), renamed, {{"sluice.architecture", architecture_of(kind + "Cell")}});
    expect_ok(train(kind, "--log layer.csv --epochs 3 --momentum 0.9"));
    expect_ok(program("run out --input x.npy --dtype float64 --output layer.npy"));
    expect_ok(train("cell", "--log cell.csv --epochs 3 --momentum 0.9"));
    expect_ok(program("run out --input x.npy --dtype float64 --output cell.npy"));
    const std::vector<LogLine> want = log("layer.csv"), got = log("cell.csv");
    ASSERT_EQ(got.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(got[i].loss, want[i].loss);
    expect_same_file("layer.npy", "cell.npy");
  }
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// At a rate of 0 every batch and epoch is the same model's; so the file is known from the library.
TEST_F(Train, GatesAndGradientsAreWhatTheLibraryMeasures) {
  expect_ok(train("GRU", "--epochs 2 --batch-size 3 --gates g.csv --gradients n.csv", "0"));
  const auto trained = TrainableModel<double>::load(at("GRU"));
  Parameters<double> parameters(trained.parameters().infos());
  parameters.load(weights("GRU"));
  GateStatistics statistics;
  const Tensor<double> x = array("x.npy"), target = array("target.npy");
  for (std::size_t first = 0; first < kRows; first += 3) {
    const std::size_t rows = std::min<std::size_t>(3, kRows - first);
    const auto part = [&](const Tensor<double>& all) {
      return Tensor<double>(all.view().narrow(0, first, rows).transpose(0, 1));
    };
    const Tensor<double> batch = part(x);
    Tape tape;
    const auto out = trained.record({batch.view()}, tape);
    const auto loss = MSELoss<double>()(out.y, part(target), {.with_grad = true});
    trained.model().modules().backward(loss.grad, tape, parameters, {.statistics = &statistics});
  }
  const std::vector<std::string> gates = lines_of(read_file(at("g.csv"))),
                                 norms = lines_of(read_file(at("n.csv")));
  ASSERT_EQ(gates.size(), 1u + 2 * 3);
  ASSERT_EQ(norms.size(), 1u + 2 * kSteps);
  EXPECT_EQ(gates[0], "epoch,module,layer,direction,gate,below,above");
  EXPECT_EQ(norms[0], "epoch,module,layer,direction,step,norm");
  const RecurrentStatistics& layer = statistics.layers.at(0);
  for (std::size_t epoch = 0; epoch < 2; ++epoch) {
    const std::string place = std::to_string(epoch + 1) + ",rnn,0,forward,";
    for (std::size_t i = 0; i < 3; ++i) {
      const std::string& line = gates[1 + 3 * epoch + i];
      const std::string start = place + std::string(layer.gates[i].gate) + ",";
      ASSERT_TRUE(line.starts_with(start)) << line;
      const std::size_t comma = line.rfind(',');
      EXPECT_EQ(std::stod(line.substr(start.size(), comma - start.size())), layer.gates[i].below());
      EXPECT_EQ(std::stod(line.substr(comma + 1)), layer.gates[i].above());
    }
    for (std::size_t t = 0; t < kSteps; ++t) {
      const std::string& line = norms[1 + kSteps * epoch + t];
      const std::string start = place + std::to_string(t) + ",";
      ASSERT_TRUE(line.starts_with(start)) << line;
      EXPECT_EQ(std::stod(line.substr(start.size())), layer.gradients[t].mean());
      EXPECT_GT(layer.gradients[t].mean(), 0);
    }
  }
}

TEST_F(Train, GatesThatAreOpenShowAndChangeNothing) {
  StateDict<double> open;
  const StateDict<double> first = weights("LSTM");
  for (const std::string& name : first.names()) open.borrow(name, first.at(name), nullptr);
  Tensor<double> bias(first.at("rnn.bias_ih_l0"));
  for (std::size_t unit = 0; unit < kHidden; ++unit) bias(kHidden + unit) = 40;
  open.set("rnn.bias_ih_l0", std::move(bias));
  save_safetensors(at("open"), open, {{"sluice.architecture", architecture_of("LSTM")}});
  expect_ok(train("open", "--threads 1 --gates g1.csv --gradients n1.csv"));
  const std::vector<std::string> gates = lines_of(read_file(at("g1.csv")));
  ASSERT_EQ(gates.size(), 5u);
  EXPECT_EQ(gates[2], "1,rnn,0,forward,forget,0,1");
  expect_ok(program("train open" + std::string(kData) +
                    " --loss MSELoss --optimizer SGD --lr 0.1 --save two" +
                    " --threads 2 --gates g2.csv --gradients n2.csv"));
  expect_same_file("out", "two");
  expect_same_file("g1.csv", "g2.csv");
  expect_same_file("n1.csv", "n2.csv");
  expect_ok(
      program("train open" + std::string(kData) + " --loss MSELoss --optimizer SGD --lr 0.1 --save plain"));
  expect_same_file("out", "plain");
  expect_refused("train open" + std::string(kData) + kMse + "0.1 --gates /no/such/folder/g.csv", 1,
                 "/no/such/folder");
}

// What is dropped depends on the seed and on nothing else; running drops nothing.
TEST_F(Train, DropoutIsOfTheSeedAndTheSameOnAnyNumberOfThreads) {
  write_file(at("drop.json"), architecture_of("LSTM", R"(, {"type": "Dropout", "p": 0.3})"));
  const std::string tail =
      std::string(kData) + " --loss mse --optimizer SGD --lr 0.1 --epochs 3 --batch-size 2";
  expect_ok(program("train drop.json --seed 1 --threads 1 --save one" + tail));
  expect_ok(program("train drop.json --seed 1 --threads 2 --save two" + tail));
  expect_ok(program("train drop.json --seed 1 --threads 3 --save three" + tail));
  expect_same_file("one", "two");
  expect_same_file("one", "three");
  expect_ok(program("train one --seed 1 --save same" + tail));
  expect_ok(program("train one --seed 2 --save other" + tail));
  EXPECT_NE(read_file(at("same")), read_file(at("other")));
  expect_ok(program("run one --input x.npy --output a.npy"));
  expect_ok(program("run one --input x.npy --output b.npy --step"));
  expect_same_file("a.npy", "b.npy");
}

TEST_F(Train, ALossOfNanStopsAndLeavesTheOldFile) {
  Tensor<double> x(golden.in("x"));
  x(5, 2, 1) = std::numeric_limits<double>::quiet_NaN();
  save_npy(at("x.npy"), x.view());
  write_file(at("old"), "old");
  const std::string command =
      "train LSTM --batch-size 2 --loss mse --optimizer SGD --lr 0.1" + std::string(kData) + " --save ";
  expect_refused(command + "o --log l.csv", 1, "epoch 1, batch 3: the loss is nan");
  expect_refused(command + "old", 1, "epoch 1, batch 3: the loss is nan");
  EXPECT_EQ(read_file(at("old")), "old");
}

TEST_F(Train, WhatDivergesIsNotSaved) {
  write_file(at("linear.json"), R"([{"type": "Linear", "in_features": 3, "out_features": 2}])");
  save_npy(at("xl.npy"), golden.in("x"));
  const std::string command =
      "train linear.json --input xl.npy --target target.npy --loss mse --optimizer SGD --save ";
  // In float32 the first step already overflows; or the second, at a smaller rate.
  expect_refused(command + "o --lr 1e39", 1, "epoch 1, batch 1: a parameter is no longer finite");
  expect_ok(program(command + "first --lr 1e30"));
  expect_error(program(command + "o --lr 1e30 --epochs 9 --log l.csv"), 1, "epoch 2, batch 1: ");
  expect_same_file("first", "o");
  EXPECT_EQ(log("l.csv").size(), 1u);
}

}  // namespace
}  // namespace sluice
