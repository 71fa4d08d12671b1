// SPDX-License-Identifier: Apache-2.0
// A sequence one time step at a time: through a Stream, or, where states are given or asked for, through a
// bare layer's own call with sequences of one step.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "cli/commands.h"
#include "cli/run.h"
#include "sluice/error.h"

namespace sluice::cli {

template <class T>
TensorView<const T> time_first(const Model<T>& model, const Tensor<T>& x) {
  if (x.rank() == 3) return model.batch_first() ? x.view().transpose(0, 1) : x.view();
  return TensorView<const T>(x.data(), {x.dim(0), 1, x.dim(1)});
}

template TensorView<const float> time_first(const Model<float>&, const Tensor<float>&);
template TensorView<const double> time_first(const Model<double>&, const Tensor<double>&);

namespace {

template <class T>
bool is_valid(const Inputs<T>& inputs, std::size_t row, std::size_t step) {
  return inputs.lengths.empty() || static_cast<std::int64_t>(step) < inputs.lengths[row];
}

// [T', B, O], or [1, B, O] for one value, in the order of the model's outputs.
template <class T>
Tensor<T> in_order_of_model(const Model<T>& model, const Inputs<T>& inputs, Tensor<T> y) {
  const bool is_batched = inputs.x.rank() == 3;
  const Shape whole = y.shape();
  if (model.modules().ends_sequence()) {
    return std::move(y).reshaped(is_batched ? Shape{whole[1], whole[2]} : Shape{whole[2]});
  }
  if (!is_batched) return std::move(y).reshaped({whole[0], whole[2]});
  return model.batch_first() ? Tensor<T>(y.view().transpose(0, 1)) : std::move(y);
}

// What the model makes of row b alone, as a whole sequence, at the row's place in y [1, B, O].
template <class T>
void fill_row(const Model<T>& model, const Inputs<T>& inputs, std::size_t b, Tensor<T>& y) {
  const Tensor<T> row(time_first(model, inputs.x).narrow(1, b, 1));
  const Tensor<T> x(model.batch_first() ? row.view().transpose(0, 1) : row.view());
  std::vector<std::int64_t> length;
  if (!inputs.lengths.empty()) length.push_back(inputs.lengths[b]);
  const Tensor<T> value = model.run(x.view(), length);
  std::copy_n(value.data(), value.size(), &y(0, b, 0));
}

// A step cannot throw, so a stream makes NaN of an index that is none; here it is refused, as without --step.
template <class T>
void check_indices(const Embedding<T>& embedding, const Inputs<T>& inputs, TensorView<const T> x) {
  const std::size_t count = embedding.options().num_embeddings;
  for (std::size_t b = 0; b < x.dim(1); ++b) {
    for (std::size_t t = 0; t < x.dim(0) && is_valid(inputs, b, t); ++t) {
      if (x(t, b, 0) >= 0 && x(t, b, 0) < static_cast<T>(count)) continue;
      throw Error("the index at step " + std::to_string(t) + " of row " + std::to_string(b) + " is " +
                  std::to_string(static_cast<std::int64_t>(x(t, b, 0))) +
                  ", expected a whole number in [0, " + std::to_string(count) + ")");
    }
  }
}

template <class T>
Tensor<T> run_stream(const Model<T>& model, const Inputs<T>& inputs, Progress& progress) {
  const TensorView<const T> x = time_first(model, inputs.x);
  const std::size_t steps = x.dim(0);
  const std::size_t batch = x.dim(1);
  const std::size_t features = model.output_size();
  if (const Embedding<T>* embedding = first_embedding(model)) check_indices(*embedding, inputs, x);
  std::optional<Stream<T>> stream;
  try {
    stream.emplace(model.stream(batch));
  } catch (const Error& error) {
    throw UsageError(std::string("--step: ") + error.what());
  }
  const bool is_one_value = model.modules().ends_sequence();
  Tensor<T> y({is_one_value ? 1 : steps, batch, features});
  std::size_t given = 0;  // steps that gave an output; a convolution gives fewer than it takes
  std::vector<bool> has_value(batch);
  for (std::size_t t = 0; t < steps; ++t) {
    const Tensor<T> frame(x.select(0, t));
    const TensorView<const T> out = stream->step(frame.data());
    progress.step_done();
    if (!out) continue;
    const std::size_t place = is_one_value ? 0 : given++;
    for (std::size_t b = 0; b < batch; ++b) {
      if (!is_valid(inputs, b, t)) continue;
      std::copy_n(out.data() + b * features, features, &y(place, b, 0));
      has_value[b] = true;
    }
  }
  if (is_one_value) {
    // A row too short for any output has a value all the same: what follows LastStep makes of zeros.
    for (std::size_t b = 0; b < batch; ++b) {
      if (!has_value[b]) fill_row(model, inputs, b, y);
    }
  } else {
    y = Tensor<T>(TensorView<const T>(y.view()).narrow(0, 0, given));
  }
  return y;
}

// Copies the one step of `from` to step t of `to`; both in the model's order.
template <class T>
void put_step(const Tensor<T>& from, std::size_t time_axis, std::size_t t, Tensor<T>& to) {
  const std::size_t features = to.dim(to.rank() - 1);
  const std::size_t rows = from.size() / std::max<std::size_t>(features, 1);
  const TensorView<T> frame = to.view().select(time_axis, t);
  for (std::size_t b = 0; b < rows; ++b) {
    T* row = frame.data() + (frame.rank() == 2 ? static_cast<std::ptrdiff_t>(b) * frame.stride(0) : 0);
    std::copy_n(from.data() + b * features, features, row);
  }
}

template <class T>
Results<T> run_single_steps(const Model<T>& model, const Inputs<T>& inputs, int threads, Progress& progress) {
  const bool is_batched = inputs.x.rank() == 3;
  const std::size_t time_axis = is_batched && model.batch_first() ? 1 : 0;
  const std::size_t steps = inputs.x.dim(time_axis);
  std::vector<std::size_t> dims(inputs.x.shape().dims().begin(), inputs.x.shape().dims().end());
  dims.back() = model.output_size();
  Results<T> results{Tensor<T>{Shape(dims)}, inputs.h0, inputs.c0};
  for (std::size_t t = 0; t < steps; ++t) {
    std::vector<std::int64_t> lengths;  // of this step: 1, or 0 for a row that has ended and keeps its state
    for (std::size_t b = 0; b < inputs.lengths.size(); ++b) lengths.push_back(is_valid(inputs, b, t) ? 1 : 0);
    RecurrentInput<T> in;
    in.h0 = results.h_n.view();
    in.c0 = results.c_n.view();
    in.lengths = lengths;
    in.threads = threads;
    RecurrentOutput<T> out = model.run_recurrent(inputs.x.view().narrow(time_axis, t, 1), in);
    put_step(out.output, time_axis, t, results.y);
    results.h_n = std::move(out.h_n);
    results.c_n = std::move(out.c_n);
    progress.step_done();
  }
  return results;
}

}  // namespace

template <class T>
Results<T> run_steps(const Model<T>& model, const Inputs<T>& inputs, int threads, Progress& progress) {
  const TensorView<const T> x = time_first(model, inputs.x);
  if (x.dim(0) == 0 || x.dim(1) == 0) return run_whole(model, inputs, threads);  // there is no step to take
  if (inputs.h0.is_null() && inputs.c0.is_null() && !inputs.wants_state) {
    Tensor<T> y = run_stream(model, inputs, progress);
    if (y.size() == 0) return run_whole(model, inputs, threads);  // says what is too short
    return {in_order_of_model(model, inputs, std::move(y)), {}, {}};
  }
  return run_single_steps(model, inputs, threads, progress);
}

template Results<float> run_steps(const Model<float>&, const Inputs<float>&, int, Progress&);
template Results<double> run_steps(const Model<double>&, const Inputs<double>&, int, Progress&);

}  // namespace sluice::cli
