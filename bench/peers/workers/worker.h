// SPDX-License-Identifier: Apache-2.0
// What every C++ worker shares: the driver's commands on stdin, answers on stdout, one line of JSON each.
//
//   {"do": "prepare", "folder": F, "threads": N}  loads the case in F, runs it once, writes F/<engine>.npy
//   {"do": "time", "seconds": S}                  runs it for about S seconds: nanoseconds of a call, many
//   times
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sluice/npy.h"
#include "sluice/safetensors.h"
#include "sluice/tensor.h"

namespace sluice::peers {

/// A case as case.json in its folder has it; cases.py writes it. Sizes that a kind does not have are 0.
struct Case {
  std::string folder;
  std::string kind;  // "sequence", "stream", "models", "elementwise", "vad", "train", "train-step", "cell",
                     // "cell-train"
  std::string cell;  // "lstm", "gru"; cases.py's CUSTOM_CELLS
  std::vector<std::string> names;  // parameters of a custom cell
  std::string function;            // "sigmoid", "tanh"
  std::size_t T = 0, B = 0, I = 0, H = 0, layers = 1, directions = 1;
  std::size_t models = 0;             // how many models, each with weights of its own
  std::size_t updates = 0;            // train-step: by Adam, before the parameters are compared
  std::size_t n = 0;                  // elements
  std::vector<std::int64_t> lengths;  // of each row; empty: all T
  int threads = 1;

  std::size_t gates() const { return cell == "lstm" ? 4 : 3; }
  /// What a layer takes: later ones get both directions of the one before.
  std::size_t layer_input(std::size_t layer) const { return layer == 0 ? I : H * directions; }
  std::string path(const std::string& name) const { return folder + "/" + name; }
  /// The file of model m: model0.safetensors, model0.onnx ...
  std::string model(std::size_t m, const std::string& extension) const {
    return path("model" + std::to_string(m) + "." + extension);
  }
  StateDict<float> weights(std::size_t m = 0) const {
    return SafetensorsFile::open(model(m, "safetensors")).state_dict<float>();
  }
  Tensor<float> array(const std::string& name) const { return std::get<Tensor<float>>(load_npy(path(name))); }
  Tensor<float> input() const { return array("x.npy"); }
};

/// A case made ready by one engine: all that can be done once is done.
class Job {
 public:
  virtual ~Job() = default;
  /// One call, as a user would make it again and again.
  virtual void run() = 0;
  /// What the last call made, in the layout that cases.py's reference has.
  virtual Tensor<float> result() = 0;
  /// What setting was chosen, where there was a choice.
  virtual std::string setting() const { return ""; }
};

/// Thrown for a kind of case that an engine has nothing for.
struct Unsupported {
  std::string why;
};

using Maker = std::function<std::unique_ptr<Job>(const Case&)>;

/// Runs `count` jobs shared out over `threads` host threads that stay from call to call.
class HostThreads {
 public:
  /// `enter` runs first on each thread; `work(i)` once for each i below `count` in each call of run().
  HostThreads(int threads, std::size_t count, std::function<void()> enter,
              std::function<void(std::size_t)> work);
  ~HostThreads();
  void run();

 private:
  struct Shared;
  std::unique_ptr<Shared> shared_;
};

/// The elements of all of them, one after the other: what a case of training gives.
Tensor<float> joined(std::span<const TensorView<const float>> parts);
inline Tensor<float> joined(std::initializer_list<TensorView<const float>> parts) {
  return joined(std::span(parts.begin(), parts.size()));
}

/// Answers the driver until stdin ends.
int serve(const std::string& engine, const std::string& version, const Maker& make);

/// Nanoseconds of the fastest of a few calls: to choose between settings.
double trial_ns(const std::function<void()>& call);

}  // namespace sluice::peers
