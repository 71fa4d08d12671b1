// SPDX-License-Identifier: Apache-2.0
// Runs `sluice train` on the golden task, and reads what it wrote.
#pragma once

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <variant>
#include <vector>

#include "cli/program.h"
#include "golden/golden_file.h"

namespace sluice::testing {

// Sizes of training.safetensors.
constexpr std::size_t kRows = 8;
constexpr std::size_t kSteps = 6;
constexpr std::size_t kInput = 3;
constexpr std::size_t kHidden = 5;
constexpr std::size_t kOutput = 2;

struct LogLine {
  double loss;
  std::string validation;  // as it stands there, empty if nothing does
};

inline std::string architecture_of(const std::string& kind, const std::string& more = "") {
  return R"([{"type": ")" + kind +
         R"(", "prefix": "rnn", "input_size": 3, "hidden_size": 5, "batch_first": true})" + more +
         R"(, {"type": "Linear", "prefix": "head", "in_features": 5, "out_features": 2}])";
}

// The golden task: x.npy, target.npy, and LSTM, GRU and RNN with their first weights, in float64.
class Train : public ::testing::Test {
 protected:
  Train() : golden("training") {
    save_npy(at("x.npy"), golden.in("x"));
    save_npy(at("target.npy"), golden.in("target"));
    for (const std::string kind : {"LSTM", "GRU", "RNN"}) {
      StateDict<double> weights;
      for (const std::string part : {"rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0",
                                     "rnn.bias_hh_l0", "head.weight", "head.bias"}) {
        weights.set(part, Tensor<double>(golden.in(kind + "." + part)));
      }
      save_safetensors(at(kind), weights, {{"sluice.architecture", architecture_of(kind)}});
    }
    write_file(at("new.json"), architecture_of("LSTM"));
    write_file(at("last.json"), architecture_of("LSTM", R"(, {"type": "LastStep"})"));
  }

  std::string at(const std::string& name) const { return program.folder / name; }

  static constexpr const char* kData = " --input x.npy --target target.npy --dtype float64";
  static constexpr const char* kMse = " --loss MSELoss --optimizer SGD --save out --lr ";
  // Trains MODEL on the golden task by mean squared error and SGD, into "out".
  Ended train(const std::string& model, const std::string& more = "", const std::string& lr = "0.1") const {
    return program("train " + model + kData + kMse + lr + " " + more);
  }

  std::vector<LogLine> log(const std::string& name = "log.csv") const {
    std::istringstream lines(read_file(at(name)));
    std::string line;
    std::getline(lines, line);
    EXPECT_EQ(line, "epoch,loss,validation_loss,seconds");
    std::vector<LogLine> result;
    while (std::getline(lines, line)) {
      std::istringstream fields(line);
      std::string epoch, loss, validation, seconds;
      std::getline(fields, epoch, ',');
      std::getline(fields, loss, ',');
      std::getline(fields, validation, ',');
      std::getline(fields, seconds, ',');
      result.push_back({std::stod(loss), validation});
      EXPECT_EQ(epoch, std::to_string(result.size()));
      EXPECT_GE(std::stod(seconds), 0.0);
    }
    return result;
  }
  // The loss of a model without training it: the first one at a rate of 0.
  double loss_of(const std::string& model, const std::string& more = "") const {
    expect_ok(program("train " + model + kData + " --loss mse --optimizer SGD --lr 0 --save same" +
                      " --log loss.csv " + more));
    return log("loss.csv").at(0).loss;
  }

  template <class T = double>
  Tensor<T> array(const std::string& name) const {
    return std::get<Tensor<T>>(load_npy(at(name)));
  }
  StateDict<double> weights(const std::string& name) const {
    return SafetensorsFile::open(at(name)).state_dict<double>();
  }
  void expect_same_file(const std::string& a, const std::string& b) const {
    const std::string bytes = read_file(at(a));
    EXPECT_FALSE(bytes.empty()) << a;
    EXPECT_TRUE(bytes == read_file(at(b))) << a << " and " << b << " differ";
  }
  void expect_other_file(const std::string& a, const std::string& b) const {
    EXPECT_FALSE(read_file(at(a)).empty()) << a;
    EXPECT_FALSE(read_file(at(b)).empty()) << b;
    EXPECT_TRUE(read_file(at(a)) != read_file(at(b))) << a << " and " << b << " are the same";
  }
  // The same refusal as expect_error, and no file more than before.
  void expect_refused(const std::string& arguments, int status, const std::string& part) const {
    SCOPED_TRACE(arguments);
    const std::size_t before = program.folder.count();
    expect_error(program(arguments), status, part);
    EXPECT_EQ(program.folder.count(), before);
  }

  Program program;
  golden::GoldenFile<double> golden;
};

}  // namespace sluice::testing
