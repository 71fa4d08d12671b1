// SPDX-License-Identifier: Apache-2.0
// The rows that `sluice train` goes through: from files to batches, and to windows of them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "sluice/model.h"
#include "sluice/tensor.h"

namespace sluice::cli {

/// All rows, rows first, as they come from the files.
template <class T>
struct Data {
  Tensor<T> x;                        ///< [B, T, I]
  Tensor<T> target;                   ///< [B, T, F], or [B, 1, F] for a model that gives one value
  Tensor<std::int64_t> classes;       ///< the same without the last dimension, where the loss takes classes
  std::vector<std::int64_t> lengths;  ///< [B], or empty
  std::size_t rows() const noexcept { return x.dim(0); }
  std::size_t steps() const noexcept { return x.dim(1); }
  /// "x [8, 6, 3], target [8, 6, 2], lengths"
  std::string to_string() const;
};

/// Some of the rows, time first, as a module takes them.
template <class T>
struct Batch {
  Tensor<T> x;
  Tensor<T> target;
  Tensor<std::int64_t> classes;
  std::vector<std::int64_t> lengths;
};

/// The same, of a batch that lives elsewhere.
template <class T>
struct BatchView {
  TensorView<const T> x, target;
  TensorView<const std::int64_t> classes;
  std::vector<std::int64_t> lengths;

  explicit BatchView(const Batch<T>& batch)
      : x(batch.x.view()),
        target(batch.target.view()),
        classes(batch.classes.view()),
        lengths(batch.lengths) {}
};

/// The files that the arguments name. Throws FileError where they do not fit the model or one another.
template <class T>
Data<T> load_data(const TrainArguments& arguments, const Model<T>& model);

/// The rows `order`.
template <class T>
Batch<T> make_batch(const Data<T>& data, std::span<const std::size_t> order);

/// The steps of a batch in windows of `steps` in order of time, the last of what is left; without those in
/// which no row has a step. 0: the batch as it is.
template <class T>
std::vector<BatchView<T>> windows_of(const Batch<T>& batch, std::size_t steps);

}  // namespace sluice::cli
