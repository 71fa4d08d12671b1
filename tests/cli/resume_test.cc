// SPDX-License-Identifier: Apache-2.0
// `sluice train --resume`: a training that goes on, after its end or after a kill, beside one that was never
// stopped.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "cli/training.h"
#include "sluice/checkpoint.h"
#include "support/random.h"

namespace sluice {
namespace {

using testing::architecture_of;
using testing::Ended;
using testing::expect_ok;
using testing::read_file;
using testing::write_file;

// A log without the seconds, the one column that may differ.
std::string without_seconds(const std::string& log) {
  std::string text;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) text += line.substr(0, line.rfind(',')) + "\n";
  return text;
}

class Resume : public testing::Train {
 protected:
  void expect_same_training(const std::string& a, const std::string& b) const {
    expect_same_file(a, b);
    for (const char* ending : {".svg", ".gates", ".gradients"}) expect_same_file(a + ending, b + ending);
    EXPECT_FALSE(read_file(at(a + ".csv")).empty());
    EXPECT_EQ(without_seconds(read_file(at(a + ".csv"))), without_seconds(read_file(at(b + ".csv"))));
  }
  static std::string outputs(const std::string& name) {
    return " --save " + name + " --log " + name + ".csv --plot " + name + ".svg --gates " + name +
           ".gates --gradients " + name + ".gradients ";
  }
};

TEST_F(Resume, ThreeEpochsAndThreeMoreAreSix) {
  const std::string tail = std::string(kData) + " --loss mse --batch-size 3 --shuffle --seed 9 ";
  for (const std::string options :
       {"--optimizer SGD --lr 0.1 --momentum 0.9", "--optimizer Adam --lr 0.01 --clip-grad-norm 0.1",
        "--optimizer AdamW --lr 0.01 --validation-split 0.25", "--optimizer RMSprop --lr 0.01 --truncate 4",
        "--optimizer Adagrad --lr 0.1 --schedule warmup",
        "--optimizer SGD --lr 0.00001 --schedule plateau --validation-split 0.25"}) {
    SCOPED_TRACE(options);
    // Of a plateau the second half tells, 11 epochs on.
    const bool is_long = options.find("plateau") != std::string::npos;
    const std::string half = is_long ? "9" : "3", all = is_long ? "18" : "6";
    // Masks of dropout go on as well.
    write_file(at("drop.json"), architecture_of("LSTM", R"(, {"type": "Dropout", "p": 0.3})"));
    for (const std::string model : {"new.json", "GRU", "drop.json"}) {
      const std::string command = "train " + model + tail + options;
      expect_ok(program(command + outputs("straight") + "--epochs " + all));
      expect_ok(program(command + outputs("half") + "--resume ckpt --epochs " + half));
      expect_other_file("straight", "half");
      // Any number of threads, and other names of outputs.
      expect_ok(program(command + outputs("resumed") + "--resume ckpt --threads 1 --epochs " + all));
      expect_same_training("straight", "resumed");
      std::remove(at("ckpt").c_str());
    }
  }
}

TEST_F(Resume, AFinishedTrainingWritesItsResultsAgain) {
  const std::string command = "train GRU" + std::string(kData) + " --loss mse --optimizer Adam --lr 0.01 ";
  expect_ok(program(command + outputs("first") + "--resume ckpt --epochs 2"));
  const std::string checkpoint = read_file(at("ckpt"));
  const Ended again = program(command + outputs("second") + "--resume ckpt --epochs 2 --progress");
  EXPECT_EQ(again.status, 0);
  EXPECT_EQ(again.err, "ckpt has 2 epochs\n");
  expect_same_training("first", "second");
  EXPECT_EQ(read_file(at("first.csv")), read_file(at("second.csv")));
  EXPECT_EQ(read_file(at("ckpt")), checkpoint);
}

// The rates of these two depend on where the training ends.
TEST_F(Resume, SchedulesThatGoByTheLastEpochKeepIt) {
  for (const std::string schedule : {"cosine", "step"}) {
    const std::string command = "train LSTM" + std::string(kData) +
                                " --loss mse --optimizer SGD --lr 0.1 --schedule " + schedule +
                                " --save out --resume " + schedule;
    expect_ok(program(command + " --epochs 3"));
    expect_refused(command + " --epochs 6", 2, ": --epochs is 3 there, and 6 here");
    expect_ok(program(command + " --epochs 3"));
  }
}

TEST_F(Resume, WhatDoesNotFitIsRefused) {
  const std::string head = "train LSTM" + std::string(kData) + " --save out --resume ckpt --epochs 4 ";
  const std::string plain = head + "--loss mse --optimizer RMSprop --lr 0.1 --batch-size 4 ";
  expect_ok(program(plain));
  const std::string model = read_file(at("out")), checkpoint = read_file(at("ckpt"));
  const auto refused = [&](const std::string& command, int status, const std::string& part) {
    expect_refused(command, status, part);
    EXPECT_EQ(read_file(at("out")), model);
    EXPECT_EQ(read_file(at("ckpt")), checkpoint);
  };
  refused(head + "--loss l1 --optimizer RMSprop --lr 0.1 --batch-size 4", 2,
          "ckpt: --loss is MSELoss there, and L1Loss here");
  refused(head + "--loss mse --optimizer Adam --lr 0.1 --batch-size 4", 2,
          "--optimizer is RMSprop there, and Adam here");
  refused(head + "--loss mse --optimizer RMSprop --lr 0.2 --batch-size 4", 2,
          "--lr is 0.1 there, and 0.2 here");
  refused(head + "--loss mse --optimizer RMSprop --lr 0.1", 2, "--batch-size is 4 there, and 32 here");
  refused(plain + "--shuffle", 2, "--shuffle is not given there, and given here");
  refused(plain + "--seed 1", 2, "--seed is 0 there, and 1 here");
  refused(plain + "--truncate 3", 2, "--truncate is 0 there, and 3 here");
  refused(plain + "--momentum 0.5", 2, "--momentum is not given there, and 0.5 here");
  refused(plain + "--weight-decay 0.5", 2, "--weight-decay is not given there, and 0.5 here");
  refused(plain + "--clip-grad-norm 1", 2, "--clip-grad-norm is not given there, and 1 here");
  refused(plain + "--validation-split 0.25", 2, "--validation-split is 0 there, and 0.25 here");
  refused(plain + "--schedule warmup", 2, "--schedule is not given there, and warmup here");
  refused(plain + "--log ckpt", 2, "named for two outputs");
  std::string other = plain;
  refused(other.replace(other.find("--epochs 4"), 10, "--epochs 3"), 2,
          "--epochs is 3, and ckpt has 4 already");
  other = plain;
  refused(other.replace(other.find("float64"), 7, "float32"), 2,
          "--dtype is float64 there, and float32 here");
  other = plain;
  refused(other.replace(other.find("LSTM"), 4, "GRU"), 2, "\"type\": \"LSTM\"");
  write_file(at("tanh.json"), architecture_of("LSTM", R"(, {"type": "Tanh"})"));
  other = plain;
  refused(other.replace(other.find("LSTM"), 4, "tanh.json"), 2, "ckpt: architecture is [");
  save_npy(at("x7.npy"), golden.in("x").narrow(0, 0, 7));
  save_npy(at("target7.npy"), golden.in("target").narrow(0, 0, 7));
  refused(
      "train LSTM --input x7.npy --target target7.npy --dtype float64 --save out --resume ckpt --epochs 4 "
      "--loss mse --optimizer RMSprop --lr 0.1 --batch-size 4",
      2, "ckpt: data is x [8, 6, 3], target [8, 6, 2] there, and x [7, 6, 3], target [7, 6, 2] here");
}

TEST_F(Resume, OtherFilesAreRefusedAndStay) {
  const std::string command =
      "train LSTM" + std::string(kData) + " --loss mse --optimizer SGD --lr 0.1 --save out --resume ";
  const std::string model = read_file(at("GRU"));
  expect_refused(command + "GRU", 1, "GRU: no checkpoint of sluice train: it has no '--batch-size'");
  EXPECT_EQ(read_file(at("GRU")), model);
  write_file(at("text"), "no checkpoint");
  expect_refused(command + "text", 1, "text: ");
  expect_refused(command + "no/where", 1, "no/where");
  // A checkpoint of the library's, that says nothing of a training.
  const StateDict<double> values = weights("LSTM");
  std::vector<ParameterInfo> infos;
  for (const std::string& name : values.names()) infos.push_back({name, values.at(name).shape()});
  Parameters<double> parameters(infos);
  save_checkpoint(at("bare"), parameters, SGD<double>(parameters));
  expect_refused(command + "bare", 1, "bare: no checkpoint of sluice train: it has no '--batch-size'");
  // One whose facts are damaged.
  expect_ok(program(command + "good --epochs 2"));
  SGD<double> sgd(parameters);
  const CheckpointFacts good = load_checkpoint(at("good"), parameters, sgd);
  const auto damaged = [&](const std::string& name, const std::string& value, const std::string& part) {
    CheckpointFacts facts = good;
    facts[name] = value;
    save_checkpoint(at("bad"), parameters, sgd, facts);
    expect_refused(command + "bad --epochs 3", 1, "bad: " + part);
  };
  damaged("epoch", "1", "the log has 2 epochs, expected 1");
  damaged("epoch", "-1", "'epoch' is '-1', expected a whole number");
  damaged("step", "many", "'step' is 'many', expected a whole number");
  damaged("log", "", "the log has no line of names");
  damaged("log", "epoch,loss,validation_loss,seconds\n1,x,,0\n", "'x' is not a number");
  damaged("log", "epoch,loss,validation_loss,seconds\n2,1,,0\n", "the log has epoch '2', expected 1");
}

TEST_F(Resume, ALossOfNanKeepsTheCheckpoint) {
  const std::string command = "train GRU" + std::string(kData) +
                              " --loss mse --optimizer SGD --lr 1e200 --save out --resume ckpt --epochs ";
  expect_ok(program(command + "1"));
  const std::string checkpoint = read_file(at("ckpt")), model = read_file(at("out"));
  expect_refused(command + "9", 1, "epoch 2, batch 1: ");
  EXPECT_EQ(read_file(at("ckpt")), checkpoint);
  EXPECT_EQ(read_file(at("out")), model);
}

// Starts the program in `folder` and kills it after so long, unless it has ended; true if it had.
bool ends_within(std::chrono::microseconds time, const std::filesystem::path& folder,
                 std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), SLUICE_PROGRAM);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::chdir(folder.c_str()) == 0) ::execv(SLUICE_PROGRAM, pointers.data());
    ::_exit(127);
  }
  std::this_thread::sleep_for(time);
  ::kill(child, SIGKILL);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  if (WIFSIGNALED(status)) return false;
  EXPECT_EQ(WEXITSTATUS(status), 0);
  return true;
}

// Killed at any moment and started with the same command, until it is done. The model that it began with is
// replaced on the way.
TEST_F(Resume, KilledAgainAndAgainItEndsWithTheSameBytes) {
  const std::string command =
      " --input x.npy --target target.npy --loss mse --optimizer Adam --lr 0.01 --epochs 40 "
      "--batch-size 2 --shuffle --seed 4 --validation-split 0.25 --truncate 4 --schedule cosine --threads 1";
  for (const std::string name : {"straight", "killed"}) write_file(at(name), read_file(at("LSTM")));
  const auto start = std::chrono::steady_clock::now();
  expect_ok(program("train straight" + command + outputs("straight") + "--resume other"));
  const std::chrono::duration<double> straight = std::chrono::steady_clock::now() - start;

  std::istringstream words("train killed" + command + outputs("killed") + "--resume ckpt");
  const std::vector<std::string> arguments{std::istream_iterator<std::string>(words), {}};
  Random random(11);
  double longest = straight.count() / 4;
  int kills = 0;
  bool is_done = false;
  for (int run = 0; run < 60 && (!is_done || kills < 3); ++run) {
    if (is_done) {  // sooner than the straight one let expect, as on a machine that is busy no longer
      write_file(at("killed"), read_file(at("LSTM")));
      std::filesystem::remove(at("ckpt"));
      longest /= 4;
      kills = 0;
    }
    const std::chrono::duration<double> time(random.uniform(0, longest));
    is_done = ends_within(std::chrono::duration_cast<std::chrono::microseconds>(time), program.folder.path(),
                          arguments);
    kills += is_done ? 0 : 1;
  }
  EXPECT_GT(kills, 0);
  std::printf("[ killed   ] %d times\n", kills);
  if (!is_done) expect_ok(program("train killed" + command + outputs("killed") + "--resume ckpt"));
  expect_same_training("straight", "killed");
}

}  // namespace
}  // namespace sluice
