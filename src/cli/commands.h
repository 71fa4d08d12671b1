// SPDX-License-Identifier: Apache-2.0
// The commands of the `sluice` program. docs/command_line.md says what each option means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

#include "sluice/model.h"

namespace sluice::cli {

/// Options that do not go together: exit status 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct RunArguments {
  std::string model;
  std::string input;
  std::string output;  ///< this and all paths below: empty if not given
  std::string dtype = "float32";
  int threads = 0;
  std::optional<std::string> prefix;
  bool batch_first = false;
  std::string lengths, h0, c0, hn, cn;
  std::optional<std::string> nonlinearity;
  bool step = false;
  std::optional<bool> progress;  ///< not given: where stderr is a terminal and the work is long
};

struct TrainArguments {
  std::string model;  ///< ARCHITECTURE.json or MODEL.safetensors
  std::string input;
  std::string target;
  std::string lengths;  ///< this and all paths below: empty if not given
  std::string save;
  std::string log;
  std::string gates;
  std::string gradients;
  std::string plot;
  std::string resume;
  std::string loss;
  std::string optimizer;
  std::string schedule;
  std::string dtype = "float32";
  std::optional<std::string> prefix;
  bool batch_first = false;
  std::optional<std::string> nonlinearity;
  double lr = 0;
  std::optional<double> momentum;
  std::optional<double> weight_decay;
  std::optional<double> clip_grad_norm;
  std::size_t epochs = 1;
  std::size_t batch_size = 32;
  std::size_t truncate = 0;  ///< steps of a window; 0: all
  bool shuffle = false;
  std::uint64_t seed = 0;
  double validation_split = 0;
  int threads = 0;
  std::optional<bool> progress;
};

struct ProfileArguments {
  std::string model;
  std::string input;  ///< this and all paths below: empty if not given
  std::string lengths;
  std::string shape;  ///< "T,B"
  std::string dtype = "float32";
  std::optional<std::string> prefix;
  bool batch_first = false;
  std::optional<std::string> nonlinearity;
  int threads = 0;
  std::optional<std::size_t> repeat;
  std::string json, trace, html, plot;
  std::string compare;
  std::string fail_slower;  ///< "5%"
  bool gradients = false;
  bool tries_advice = false;
  bool live = false;
  bool fresh_limits = false;
};

struct InspectArguments {
  std::string model;
  std::optional<std::string> prefix;
  bool json = false;
  std::string svg;  ///< empty if not given
};

struct SigmoidArguments {
  std::string input;
  std::string output;
};

/// Each throws UsageError for options that do not go together, sluice::Error for bad data or files.
void run(const RunArguments& arguments);
void train(const TrainArguments& arguments);
void profile(const ProfileArguments& arguments);
void inspect(const InspectArguments& arguments);
void sigmoid(const SigmoidArguments& arguments);

}  // namespace sluice::cli
