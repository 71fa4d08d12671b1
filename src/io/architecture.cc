// SPDX-License-Identifier: Apache-2.0
#include "io/architecture.h"

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "io/cell_text.h"
#include "io/option_reader.h"
#include "sluice/custom_recurrent.h"
#include "sluice/error.h"

namespace sluice {
namespace {

constexpr const char* kTypes =
    "Embedding, LSTM, GRU, RNN, Recurrent, LSTMCell, GRUCell, RNNCell, Linear, Conv1d, LayerNorm, LastStep, "
    "MeanOverTime, "
    "Sigmoid, Tanh, ReLU, SiLU, LogSigmoid, Hardsigmoid, HardSigmoidONNX, Softmax, Dropout, Sequential";

// The prefix of a module's parameters: joined with that of the module it stands in by a dot, as in PyTorch.
std::string join_prefix(const std::string& outer, const std::string& inner) {
  if (inner.empty()) return outer;
  return outer + inner + (inner.back() == '.' ? "" : ".");
}

template <class T>
class Builder {
 public:
  Builder(const StateDict<T>& weights, const std::string& name) : weights_(weights), name_(name) {}

  BuiltModel<T> build(const Json& list) {
    BuiltModel<T> model;
    add_modules(list, name_, "", /*is_nested=*/false, model.modules);
    if (model.modules.size() == 0) throw Error(name_ + ": there is no module");
    if (!features_) throw Error(name_ + ": no module says how many features come in");
    check_all_used();
    model.batch_first = batch_first_.value_or(false);
    model.takes_indices = takes_indices_;
    model.input_size = input_size_;
    model.output_size = *features_;
    return model;
  }

 private:
  // Appends the modules of `list` to `sequence`.
  void add_modules(const Json& list, const std::string& place, const std::string& prefix, bool is_nested,
                   Sequential<T>& sequence) {
    if (!list.is_array()) throw Error(place + " is " + json_excerpt(list) + ", expected a list of modules");
    for (std::size_t i = 0; i < list.size(); ++i) {
      OptionReader options(list[i], place + "[" + std::to_string(i) + "]");
      const std::string type = options.text("type");
      options.name_type(type);
      // A module in a Sequential is named by its index, unless it says otherwise.
      const std::string own = options.text("prefix", is_nested ? std::to_string(i) : "");
      add_module(type, options, join_prefix(prefix, own), sequence);
    }
  }

  void add_module(const std::string& type, OptionReader& options, const std::string& prefix,
                  Sequential<T>& sequence) {
    try {
      std::unique_ptr<Module<T>> module = make_module(type, options, prefix);
      options.finish();
      if (type != "Sequential") {
        has_modules_ = true;
        // Dropout takes any number of features, and gives as many.
        if (type != "Dropout") features_ = output_features(*module, options);
      }
      sequence.add(std::move(module));
    } catch (const Error& error) {
      const std::string what = error.what();
      if (what.starts_with(name_)) throw;
      throw Error(options.place() + ": " + what);
    }
  }

  std::unique_ptr<Module<T>> make_module(const std::string& type, OptionReader& options,
                                         const std::string& prefix) {
    if (type == "LSTM") return make_lstm(options, prefix, false);
    if (type == "GRU") return make_gru(options, prefix, false);
    if (type == "RNN") return make_rnn(options, prefix, false);
    if (type == "Recurrent") return make_custom(options, prefix);
    if (type == "LSTMCell") return make_lstm(options, prefix, true);
    if (type == "GRUCell") return make_gru(options, prefix, true);
    if (type == "RNNCell") return make_rnn(options, prefix, true);
    if (type == "Embedding") return make_embedding(options, prefix);
    if (type == "Linear") return make_linear(options, prefix);
    if (type == "Conv1d") return make_conv1d(options, prefix);
    if (type == "LayerNorm") return make_layer_norm(options, prefix);
    if (type == "Dropout") return make_dropout(options);
    if (type == "LastStep") return std::make_unique<LastStep<T>>();
    if (type == "MeanOverTime") return std::make_unique<MeanOverTime<T>>();
    if (type == "Sequential") {
      auto inner = std::make_unique<Sequential<T>>();
      add_modules(options.list("modules"), options.place() + ".modules", prefix, /*is_nested=*/true, *inner);
      return inner;
    }
    return make_activation(type, options);
  }

  // --- recurrent layers: `is_cell` for a cell that is run over time as a layer ---

  template <class Options>
  Options read_recurrent(OptionReader& options, const std::string& prefix, bool is_cell) {
    Options read;
    read.is_cell = is_cell;
    read.input_size = options.size("input_size", 1);
    read.hidden_size = options.size("hidden_size", 1);
    read.bias = options.boolean("bias", true);
    read.batch_first = options.boolean("batch_first", false);
    if (!is_cell) {
      read.num_layers = options.size("num_layers", 1, 1);
      read.bidirectional = options.boolean("bidirectional", false);
      read.dropout = options.number("dropout", 0);
      read.variational_dropout = options.boolean("variational_dropout", false);
      read.zoneout_h = options.number("zoneout_h", 0);
      check_layers(read.num_layers, prefix + "weight_ih");
    }
    agree_on_batch_first(read.batch_first, options);
    return read;
  }

  // Before anything is made for so many layers. Each has the parameter `name`.
  void check_layers(std::size_t num_layers, const std::string& name) const {
    const std::string last = name + "_l" + std::to_string(num_layers - 1);
    if (weights_.contains(last) || weights_.makes_missing()) return;
    throw Error("num_layers is " + std::to_string(num_layers) + ", but there is no tensor '" + last + "'");
  }

  void agree_on_batch_first(bool batch_first, const OptionReader& options) {
    if (batch_first_ && *batch_first_ != batch_first) {
      options.fail("batch_first", "the value of the recurrent modules before it: all must agree");
    }
    batch_first_ = batch_first;
  }

  std::unique_ptr<Module<T>> make_lstm(OptionReader& options, const std::string& prefix, bool is_cell) {
    LSTMOptions read = read_recurrent<LSTMOptions>(options, prefix, is_cell);
    if (!is_cell) {
      read.proj_size = options.size("proj_size", 0, 0);
      read.zoneout_c = options.number("zoneout_c", 0);
    }
    return used(std::make_unique<LSTM<T>>(read, weights_, prefix));
  }

  std::unique_ptr<Module<T>> make_gru(OptionReader& options, const std::string& prefix, bool is_cell) {
    GRUOptions read = read_recurrent<GRUOptions>(options, prefix, is_cell);
    if (options.choice("reset", {"after", "before"}) == "before") read.reset = GRUReset::kBefore;
    return used(std::make_unique<GRU<T>>(read, weights_, prefix));
  }

  std::unique_ptr<Module<T>> make_rnn(OptionReader& options, const std::string& prefix, bool is_cell) {
    RNNOptions read = read_recurrent<RNNOptions>(options, prefix, is_cell);
    if (options.choice("nonlinearity", {"tanh", "relu"}) == "relu") read.nonlinearity = Nonlinearity::kRelu;
    return used(std::make_unique<RNN<T>>(read, weights_, prefix));
  }

  std::unique_ptr<Module<T>> make_custom(OptionReader& options, const std::string& prefix) {
    constexpr std::size_t kMostLayers = 100;  // of a cell without parameters, whose layers nothing counts
    RecurrentLayerOptions read{
        .cell = read_cell(options.required("cell", "a cell's values"), options.place() + ".cell")};
    read.num_layers = options.size("num_layers", 1, 1);
    read.bidirectional = options.boolean("bidirectional", false);
    read.batch_first = options.boolean("batch_first", false);
    read.dropout = options.number("dropout", 0);
    read.variational_dropout = options.boolean("variational_dropout", false);
    const std::vector<ParameterInfo> parameters = read.cell.parameters();
    if (!parameters.empty()) {
      check_layers(read.num_layers, prefix + parameters.front().name);
    } else if (read.num_layers > kMostLayers) {
      options.fail("num_layers", "at most " + std::to_string(kMostLayers) + " of a cell without parameters");
    }
    agree_on_batch_first(read.batch_first, options);
    own_input_size_ = read.cell.input_size();
    return used(std::make_unique<Recurrent<T>>(read, weights_, prefix));
  }

  // --- the rest ---

  std::unique_ptr<Module<T>> make_embedding(OptionReader& options, const std::string& prefix) {
    if (has_modules_) throw Error("an Embedding takes indices, so it can only be the first module");
    EmbeddingOptions read;
    read.num_embeddings = options.size("num_embeddings", 1);
    read.embedding_dim = options.size("embedding_dim", 1);
    for (const char* name : {"padding_idx", "norm_type", "scale_grad_by_freq", "sparse"})
      options.ignore(name);
    refuse_unless_null(options, "max_norm");
    takes_indices_ = true;
    return used(std::make_unique<Embedding<T>>(read, weights_, prefix));
  }

  static void refuse_unless_null(OptionReader& options, const char* name) {
    if (!options.is_null(name)) options.fail(name, "null: it changes the table when a model is run");
  }

  std::unique_ptr<Module<T>> make_linear(OptionReader& options, const std::string& prefix) {
    LinearOptions read;
    read.in_features = options.size("in_features", 1);
    read.out_features = options.size("out_features", 1);
    read.bias = options.boolean("bias", true);
    return used(std::make_unique<Linear<T>>(read, weights_, prefix));
  }

  std::unique_ptr<Module<T>> make_conv1d(OptionReader& options, const std::string& prefix) {
    Conv1dOptions read;
    read.in_channels = options.size("in_channels", 1);
    read.out_channels = options.size("out_channels", 1);
    read.kernel_size = options.size("kernel_size", 1);
    read.stride = options.size("stride", 1, 1);
    read.padding = options.size("padding", 0, 0);
    read.dilation = options.size("dilation", 1, 1);
    read.groups = options.size("groups", 1, 1);
    read.bias = options.boolean("bias", true);
    options.choice("padding_mode", {"zeros"});
    return used(std::make_unique<Conv1d<T>>(read, weights_, prefix));
  }

  std::unique_ptr<Module<T>> make_layer_norm(OptionReader& options, const std::string& prefix) {
    LayerNormOptions read;
    read.normalized_shape = options.size("normalized_shape", 1);
    read.eps = options.number("eps", read.eps);
    read.elementwise_affine = options.boolean("elementwise_affine", true);
    read.bias = options.boolean("bias", true);
    return used(std::make_unique<LayerNorm<T>>(read, weights_, prefix));
  }

  std::unique_ptr<Module<T>> make_dropout(OptionReader& options) {
    DropoutOptions read;
    read.p = options.number("p", read.p);
    read.variational = options.boolean("variational", false);
    options.ignore("inplace");
    return std::make_unique<Dropout<T>>(read);
  }

  std::unique_ptr<Module<T>> make_activation(const std::string& type, OptionReader& options) {
    std::unique_ptr<Activation<T>> module;
    try {
      module = std::make_unique<Activation<T>>(type);
    } catch (const Error&) {
      throw Error(std::string("unknown type, expected one of ") + kTypes);
    }
    options.ignore("inplace");
    if (type == "Softmax" && options.has("dim") && options.integer("dim") != -1) {
      options.fail("dim", "-1: over the features");
    }
    return module;
  }

  // --- accounts ---

  std::unique_ptr<Module<T>> used(std::unique_ptr<Module<T>> module) {
    for (const ParameterInfo& parameter : module->parameters()) used_.insert(parameter.name);
    return module;
  }

  std::size_t output_features(const Module<T>& module, OptionReader& options) {
    if (features_) return module.output_size(*features_);
    for (const char* name : {"input_size", "in_features", "in_channels", "normalized_shape"}) {
      if (options.has(name)) {
        input_size_ = options.size(name, 1);
        return module.output_size(input_size_);
      }
    }
    if (own_input_size_) {
      input_size_ = *own_input_size_;
      return module.output_size(input_size_);
    }
    if (!takes_indices_) {
      throw Error("the first module must be one that says how many features come in (LSTM, Linear, ...)");
    }
    input_size_ = 1;
    return module.output_size(input_size_);
  }

  void check_all_used() const {
    for (const std::string& name : weights_.names()) {
      if (!used_.contains(name)) throw Error("tensor '" + name + "' belongs to no module of the " + name_);
    }
  }

  const StateDict<T>& weights_;
  const std::string& name_;
  std::set<std::string> used_;
  std::optional<std::size_t> features_;        // that come out of the modules so far
  std::optional<std::size_t> own_input_size_;  // of the last module of a cell of one's own
  std::optional<bool> batch_first_;
  bool has_modules_ = false;
  std::size_t input_size_ = 0;
  bool takes_indices_ = false;
};

}  // namespace

template <class T>
BuiltModel<T> build_architecture(const Json& list, const StateDict<T>& weights, const std::string& name) {
  return Builder<T>(weights, name).build(list);
}

template BuiltModel<float> build_architecture(const Json&, const StateDict<float>&, const std::string&);
template BuiltModel<double> build_architecture(const Json&, const StateDict<double>&, const std::string&);

}  // namespace sluice
