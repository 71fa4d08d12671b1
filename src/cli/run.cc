// SPDX-License-Identifier: Apache-2.0
#include "cli/run.h"

#include <string>
#include <utility>
#include <variant>

#include "cli/arrays.h"
#include "cli/commands.h"
#include "sluice/error.h"

namespace sluice::cli {
namespace {

LoadOptions load_options(const RunArguments& arguments) {
  LoadOptions options;
  options.prefix = arguments.prefix.value_or("");
  options.batch_first = arguments.batch_first;
  if (arguments.nonlinearity == "relu") options.nonlinearity = Nonlinearity::kRelu;
  return options;
}

// Options that this model has no use for are refused: a user who gives one expects something of it.
template <class T>
void check_usage(const RunArguments& arguments, const Model<T>& model) {
  const auto refuse = [&](const char* option, const std::string& why) {
    throw UsageError(std::string(option) + " " + why);
  };
  if (!model.bare_layer()) {
    const std::string why =
        "goes with a bare recurrent layer, and " + arguments.model + " has an architecture";
    if (arguments.prefix) refuse("--prefix", why);
    if (arguments.nonlinearity) refuse("--nonlinearity", why);
    if (!arguments.h0.empty()) refuse("--h0", why);
    if (!arguments.c0.empty()) refuse("--c0", why);
    if (!arguments.hn.empty()) refuse("--hn", why);
    if (!arguments.cn.empty()) refuse("--cn", why);
    if (arguments.batch_first && !model.batch_first()) refuse("--batch-first", why + " that says otherwise");
    return;
  }
  const BareLayer& layer = *model.bare_layer();
  if (layer.kind != BareLayer::Kind::kLSTM) {
    const std::string why = "goes with an LSTM, and " + arguments.model + " is none";
    if (!arguments.c0.empty()) refuse("--c0", why);
    if (!arguments.cn.empty()) refuse("--cn", why);
  }
  if (layer.kind != BareLayer::Kind::kRNN && arguments.nonlinearity) {
    refuse("--nonlinearity", "goes with an RNN, and " + arguments.model + " is none");
  }
  if (arguments.step && layer.bidirectional) {
    refuse("--step", "does not go with a bidirectional layer: its second direction begins at the end");
  }
}

template <class T>
std::size_t step_count(const Model<T>& model, const Inputs<T>& inputs) {
  return inputs.x.dim(inputs.x.rank() == 3 && model.batch_first() ? 1 : 0);
}

template <class T>
void run_as(const RunArguments& arguments) {
  Outputs outputs;
  for (const std::string* path : {&arguments.output, &arguments.hn, &arguments.cn}) outputs.expect(*path);
  const Model<T> model = load_model<T>(arguments);
  const Inputs<T> inputs = load_inputs(arguments, model);
  Results<T> results;
  {
    Progress progress(arguments.progress, arguments.step ? step_count(model, inputs) : 0);
    results = arguments.step ? run_steps(model, inputs, arguments.threads, progress)
                             : run_whole(model, inputs, arguments.threads);
  }
  outputs.write(arguments.output, TensorView<const T>(results.y.view()));
  outputs.write(arguments.hn, TensorView<const T>(results.h_n.view()));
  outputs.write(arguments.cn, TensorView<const T>(results.c_n.view()));
  outputs.commit();
  if (arguments.output.empty()) print_summary("y", TensorView<const T>(results.y.view()));
}

}  // namespace

void check_has_weights(const std::string& path) {
  if (!path.ends_with(".json")) return;
  throw FileError(
      path + ": expected a safetensors file with weights, which `sluice train` makes of an architecture");
}

template <class T>
Model<T> load_model(const RunArguments& arguments) {
  check_has_weights(arguments.model);
  Model<T> model = Model<T>::load(arguments.model, load_options(arguments));
  check_usage(arguments, model);
  return model;
}

template <class T>
Inputs<T> load_inputs(const RunArguments& arguments, const Model<T>& model) {
  Inputs<T> inputs;
  inputs.x = model_input(model, load_npy(arguments.input), arguments.input);
  const std::size_t rank = inputs.x.rank();
  if ((rank != 2 && rank != 3) || inputs.x.dim(rank - 1) != model.input_size()) {
    const std::string features = std::to_string(model.input_size()) + "]";
    throw FileError(arguments.input + ": x is " + inputs.x.shape().to_string() + ", expected " +
                    (model.batch_first() ? "[B, T, " : "[T, B, ") + features + " or [T, " + features);
  }
  if (!arguments.h0.empty()) inputs.h0 = load_floats<T>(arguments.h0);
  if (!arguments.c0.empty()) inputs.c0 = load_floats<T>(arguments.c0);
  inputs.wants_state = !arguments.hn.empty() || !arguments.cn.empty();
  if (arguments.lengths.empty()) return inputs;
  const std::size_t batch = rank == 2 ? 1 : inputs.x.dim(model.batch_first() ? 0 : 1);
  const std::size_t steps = inputs.x.dim(rank == 3 && model.batch_first() ? 1 : 0);
  inputs.lengths = load_lengths(arguments.lengths, batch, steps);
  return inputs;
}

template Model<float> load_model(const RunArguments&);
template Model<double> load_model(const RunArguments&);
template Inputs<float> load_inputs(const RunArguments&, const Model<float>&);
template Inputs<double> load_inputs(const RunArguments&, const Model<double>&);

template <class T>
const Embedding<T>* first_embedding(const Model<T>& model) {
  const Module<T>* module = &model.modules();
  while (const auto* inner = dynamic_cast<const Sequential<T>*>(module)) {
    if (inner->size() == 0) return nullptr;
    module = &(*inner)[0];
  }
  return dynamic_cast<const Embedding<T>*>(module);
}

template <class T>
Tensor<T> model_input(const Model<T>& model, NpyArray array, const std::string& path) {
  const bool takes_indices = first_embedding(model) != nullptr;
  auto* indices = std::get_if<Tensor<std::int64_t>>(&array);
  if (indices == nullptr) {
    if (takes_indices)
      throw FileError(path +
                      ": the array is of floats, but the model begins with an Embedding and takes int64");
    return to_floats<T>(std::move(array), path);
  }
  if (!takes_indices) {
    throw FileError(path + ": the array is int64, which only a model that begins with an Embedding takes");
  }
  std::vector<std::size_t> dims(indices->shape().dims().begin(), indices->shape().dims().end());
  if (dims.size() != 1 && dims.size() != 2) {
    throw FileError(path + ": indices are " + indices->shape().to_string() + ", expected " +
                    (model.batch_first() ? "[B, T] or [T]" : "[T, B] or [T]"));
  }
  dims.push_back(1);
  Tensor<T> x{Shape(dims)};
  for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<T>(indices->data()[i]);
  return x;
}

template Tensor<float> model_input(const Model<float>&, NpyArray, const std::string&);
template Tensor<double> model_input(const Model<double>&, NpyArray, const std::string&);
template const Embedding<float>* first_embedding(const Model<float>&);
template const Embedding<double>* first_embedding(const Model<double>&);

template <class T>
Results<T> run_whole(const Model<T>& model, const Inputs<T>& inputs, int threads) {
  if (!model.bare_layer()) {
    return {model.run(inputs.x.view(), inputs.lengths, RunOptions{threads}), {}, {}};
  }
  RecurrentInput<T> in;
  in.h0 = inputs.h0.view();
  in.c0 = inputs.c0.view();
  in.lengths = inputs.lengths;
  in.threads = threads;
  RecurrentOutput<T> out = model.run_recurrent(inputs.x.view(), in);
  return {std::move(out.output), std::move(out.h_n), std::move(out.c_n)};
}

template Results<float> run_whole(const Model<float>&, const Inputs<float>&, int);
template Results<double> run_whole(const Model<double>&, const Inputs<double>&, int);

void run(const RunArguments& arguments) {
  if (arguments.dtype == "float64") {
    run_as<double>(arguments);
  } else {
    run_as<float>(arguments);
  }
}

}  // namespace sluice::cli
