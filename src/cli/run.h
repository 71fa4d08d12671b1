// SPDX-License-Identifier: Apache-2.0
// Running a model on loaded arrays: the whole sequence at once, or step by step.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/progress.h"
#include "sluice/model.h"
#include "sluice/npy.h"
#include "sluice/tensor.h"

namespace sluice::cli {

template <class T>
struct Inputs {
  Tensor<T> x;       ///< as the model takes it; indices [..., 1] where it begins with an Embedding
  Tensor<T> h0, c0;  ///< null: zeros
  std::vector<std::int64_t> lengths;  ///< empty: all steps
  bool wants_state = false;           ///< h_n or c_n are asked for
};

template <class T>
struct Results {
  Tensor<T> y;
  Tensor<T> h_n, c_n;  ///< of a bare layer
};

/// Throws FileError for ARCHITECTURE.json, which has no weights to run with.
void check_has_weights(const std::string& path);
/// The model that the arguments name. Throws UsageError for options that it has no use for, FileError.
template <class T>
Model<T> load_model(const RunArguments& arguments);
/// Throws FileError for an array that does not fit the model.
template <class T>
Inputs<T> load_inputs(const RunArguments& arguments, const Model<T>& model);

/// x as [T, B, I], whatever the order of its dimensions.
template <class T>
TensorView<const T> time_first(const Model<T>& model, const Tensor<T>& x);

/// An array as the model takes it: indices become whole numbers of T with a dimension of 1 for the features,
/// floats stay. `path` is where it came from. Throws FileError for floats where there should be indices, and
/// the reverse.
template <class T>
Tensor<T> model_input(const Model<T>& model, NpyArray array, const std::string& path);

/// The Embedding that the model begins with, if it does.
template <class T>
const Embedding<T>* first_embedding(const Model<T>& model);

/// Throws Error for inputs that do not fit the model.
template <class T>
Results<T> run_whole(const Model<T>& model, const Inputs<T>& inputs, int threads);

/// The same bits, one time step at a time. Throws UsageError where the model cannot run so.
template <class T>
Results<T> run_steps(const Model<T>& model, const Inputs<T>& inputs, int threads, Progress& progress);

}  // namespace sluice::cli
