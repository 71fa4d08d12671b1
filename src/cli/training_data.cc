// SPDX-License-Identifier: Apache-2.0
#include "cli/training_data.h"

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "cli/arrays.h"
#include "cli/run.h"
#include "sluice/error.h"

namespace sluice::cli {
namespace {

bool takes_classes(const std::string& loss) { return loss == "CrossEntropyLoss" || loss == "NLLLoss"; }

// `dims` of a file in the order [B, T, ...]: a model that is not batch first has [T, B, ...].
template <class U>
Tensor<U> rows_first(const Tensor<U>& array, bool batch_first) {
  return batch_first ? array : Tensor<U>(array.view().transpose(0, 1));
}

template <class T>
std::string expected_shape(const Model<T>& model, std::size_t rows, std::size_t steps, bool with_features) {
  const std::string features = with_features ? ", " + std::to_string(model.output_size()) : "";
  const std::string b = std::to_string(rows), t = std::to_string(steps);
  if (model.modules().ends_sequence()) return "[" + b + features + "]";
  return "[" + (model.batch_first() ? b + ", " + t : t + ", " + b) + features + "]";
}

// Rows `order` of [B, T, ...] as [T, b, ...].
template <class U>
Tensor<U> gather(const Tensor<U>& all, std::span<const std::size_t> order) {
  if (all.is_null()) return {};
  std::vector<std::size_t> dims(all.shape().dims().begin(), all.shape().dims().end());
  const std::size_t steps = dims[1];
  dims[0] = steps;
  dims[1] = order.size();
  Tensor<U> some{Shape(std::span<const std::size_t>(dims))};
  const std::size_t frame = steps == 0 ? 0 : all.size() / all.dim(0) / steps;
  for (std::size_t t = 0; t < steps; ++t) {
    for (std::size_t b = 0; b < order.size(); ++b) {
      std::copy_n(all.data() + (order[b] * steps + t) * frame, frame,
                  some.data() + (t * order.size() + b) * frame);
    }
  }
  return some;
}

}  // namespace

template <class T>
Data<T> load_data(const TrainArguments& arguments, const Model<T>& model) {
  Data<T> data;
  const Tensor<T> x = model_input(model, load_npy(arguments.input), arguments.input);
  if (x.rank() != 3 || x.dim(2) != model.input_size()) {
    throw FileError(arguments.input + ": x is " + x.shape().to_string() + ", expected " +
                    (model.batch_first() ? "[B, T, " : "[T, B, ") + std::to_string(model.input_size()) + "]");
  }
  data.x = rows_first(x, model.batch_first());
  const std::size_t rows = data.rows(), steps = data.x.dim(1);
  if (rows == 0) throw FileError(arguments.input + ": there are no rows to train on");
  const bool has_classes = takes_classes(arguments.loss);
  const bool is_one_value = model.modules().ends_sequence();
  const bool is_truncated = arguments.truncate > 0 && arguments.truncate < steps;
  if (is_one_value && is_truncated) {
    throw UsageError("--truncate goes with a model that has an output for each step, and " + arguments.model +
                     " takes the sequence to one value");
  }
  // Brings the target to [B, T, ...], with T = 1 for one value.
  const auto arrange = [&](const auto& array) {
    const std::size_t rank = array.rank() + (has_classes ? 1 : 0);
    const bool fits = is_one_value ? rank == 2 && array.dim(0) == rows
                                   : rank == 3 && array.dim(model.batch_first() ? 0 : 1) == rows;
    const bool has_steps = !is_truncated || array.dim(model.batch_first() ? 1 : 0) == steps;
    if (!fits || !has_steps || (!has_classes && array.dim(array.rank() - 1) != model.output_size())) {
      throw FileError(arguments.target + ": the target is " + array.shape().to_string() + ", expected " +
                      expected_shape(model, rows, steps, !has_classes));
    }
    auto arranged = is_one_value ? array : rows_first(array, model.batch_first());
    if (!is_one_value) return arranged;
    const Shape shape = has_classes ? Shape{rows, 1} : Shape{rows, 1, array.dim(1)};
    return std::move(arranged).reshaped(shape);
  };
  NpyArray target = load_npy(arguments.target);
  auto* classes = std::get_if<Tensor<std::int64_t>>(&target);
  if (has_classes != (classes != nullptr)) {
    throw FileError(arguments.target + ": the array is " + (classes != nullptr ? "int64" : "of floats") +
                    ", and " + arguments.loss + " takes " + (has_classes ? "classes as int64" : "floats"));
  }
  if (has_classes) {
    data.classes = arrange(*classes);
  } else {
    data.target = arrange(to_floats<T>(std::move(target), arguments.target));
  }
  if (arguments.lengths.empty()) return data;
  data.lengths = load_lengths(arguments.lengths, rows, steps);
  return data;
}

template <class T>
std::string Data<T>::to_string() const {
  return "x " + x.shape().to_string() + ", target " +
         (classes.is_null() ? target.shape() : classes.shape()).to_string() +
         (lengths.empty() ? "" : ", lengths");
}

template <class T>
Batch<T> make_batch(const Data<T>& data, std::span<const std::size_t> order) {
  Batch<T> batch{gather(data.x, order), gather(data.target, order), gather(data.classes, order), {}};
  for (const std::size_t row : order) {
    if (!data.lengths.empty()) batch.lengths.push_back(data.lengths[row]);
  }
  return batch;
}

template <class T>
std::vector<BatchView<T>> windows_of(const Batch<T>& batch, std::size_t steps) {
  if (steps == 0) return {BatchView<T>(batch)};
  std::vector<BatchView<T>> windows;
  for (std::size_t first = 0; first < batch.x.dim(0); first += steps) {
    const std::size_t count = std::min(steps, batch.x.dim(0) - first);
    BatchView<T> window(batch);
    window.x = window.x.narrow(0, first, count);
    if (window.target) window.target = window.target.narrow(0, first, count);
    if (window.classes) window.classes = window.classes.narrow(0, first, count);
    bool has_steps = window.lengths.empty();
    for (std::int64_t& length : window.lengths) {
      length = std::clamp<std::int64_t>(length - static_cast<std::int64_t>(first), 0,
                                        static_cast<std::int64_t>(count));
      has_steps = has_steps || length > 0;
    }
    if (has_steps) windows.push_back(std::move(window));
  }
  return windows;
}

template struct Data<float>;
template struct Data<double>;
template Data<float> load_data(const TrainArguments&, const Model<float>&);
template Data<double> load_data(const TrainArguments&, const Model<double>&);
template Batch<float> make_batch(const Data<float>&, std::span<const std::size_t>);
template Batch<double> make_batch(const Data<double>&, std::span<const std::size_t>);
template std::vector<BatchView<float>> windows_of(const Batch<float>&, std::size_t);
template std::vector<BatchView<double>> windows_of(const Batch<double>&, std::size_t);

}  // namespace sluice::cli
