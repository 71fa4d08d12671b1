// SPDX-License-Identifier: Apache-2.0
#include "io/bare_layer.h"

#include "io/architecture.h"
#include "sluice/error.h"

namespace sluice {
namespace {

// A prefix under which there is a recurrent layer: for a message. Empty if there is none.
template <class T>
std::string prefix_that_fits(const StateDict<T>& weights) {
  for (const std::string& name : weights.names()) {
    for (const std::string part : {"weight_ih_l0", "weight_ih"}) {
      if (name.ends_with(part)) return name.substr(0, name.size() - part.size());
    }
  }
  return "";
}

template <class T>
bool has_layer(const StateDict<T>& weights, const std::string& prefix) {
  return weights.contains(prefix + "weight_ih_l0") || weights.contains(prefix + "weight_ih");
}

template <class T>
std::string complete_prefix(const StateDict<T>& weights, std::string prefix) {
  if (!prefix.empty() && prefix.back() != '.') prefix += '.';
  if (has_layer(weights, prefix)) return prefix;
  std::string message = "no recurrent layer: there is no tensor '" + prefix + "weight_ih_l0' or '" + prefix +
                        "weight_ih', and no architecture in the metadata (" + kArchitectureKey + ")";
  const std::string other = prefix_that_fits(weights);
  if (!other.empty()) message += "; there is one under the prefix '" + other + "'";
  throw Error(message);
}

template <class T>
TensorView<const T> matrix(const StateDict<T>& weights, const std::string& name) {
  const TensorView<const T> tensor = weights.at(name);
  if (tensor.rank() != 2 || tensor.dim(0) == 0 || tensor.dim(1) == 0) {
    throw ShapeError("tensor '" + name + "' is " + tensor.shape().to_string() +
                     ", expected two dimensions, none of them 0");
  }
  return tensor;
}

// By the rows of weight_ih a hidden unit: 4 gates, 3, or 1.
BareLayer::Kind kind_of(std::size_t gates) {
  return gates == 4 ? BareLayer::Kind::kLSTM : gates == 3 ? BareLayer::Kind::kGRU : BareLayer::Kind::kRNN;
}

}  // namespace

template <class T>
FoundLayer find_bare_layer(const StateDict<T>& weights, const std::string& given_prefix) {
  FoundLayer found;
  found.prefix = complete_prefix(weights, given_prefix);
  const std::string& prefix = found.prefix;
  BareLayer& layer = found.layer;
  layer.is_cell = !weights.contains(prefix + "weight_ih_l0");
  const std::string suffix = layer.is_cell ? "" : "_l0";
  const TensorView<const T> ih = matrix(weights, prefix + "weight_ih" + suffix);
  const TensorView<const T> hh = matrix(weights, prefix + "weight_hh" + suffix);
  layer.input_size = ih.dim(1);
  const std::size_t rows = ih.dim(0);
  std::size_t gates = 0;
  if (!layer.is_cell && weights.contains(prefix + "weight_hr_l0")) {
    // Only an LSTM has a projection, and then weight_hh [4H, P] does not tell H.
    layer.proj_size = matrix(weights, prefix + "weight_hr_l0").dim(0);
    gates = 4;
  } else {
    gates = rows / hh.dim(1);
  }
  if ((gates != 4 && gates != 3 && gates != 1) || rows % gates != 0 || hh.dim(0) != rows ||
      (layer.proj_size == 0 && gates * hh.dim(1) != rows)) {
    throw ShapeError("weight_ih is " + ih.shape().to_string() + " and weight_hh is " +
                     hh.shape().to_string() +
                     ", expected 4H (LSTM), 3H (GRU) or H (RNN) rows in both, and H columns in weight_hh");
  }
  layer.kind = kind_of(gates);
  layer.hidden_size = rows / gates;
  layer.bias = weights.contains(prefix + "bias_ih" + suffix);
  layer.num_layers = 1;
  if (!layer.is_cell) {
    layer.bidirectional = weights.contains(prefix + "weight_ih_l0_reverse");
    while (weights.contains(prefix + "weight_ih_l" + std::to_string(layer.num_layers))) ++layer.num_layers;
  }
  return found;
}

Json bare_layer_architecture(const FoundLayer& found, const LoadOptions& options) {
  const BareLayer& layer = found.layer;
  std::string type = layer.kind == BareLayer::Kind::kLSTM  ? "LSTM"
                     : layer.kind == BareLayer::Kind::kGRU ? "GRU"
                                                           : "RNN";
  Json module = {{"type", type + (layer.is_cell ? "Cell" : "")},
                 {"prefix", found.prefix},
                 {"input_size", layer.input_size},
                 {"hidden_size", layer.hidden_size},
                 {"bias", layer.bias},
                 {"batch_first", options.batch_first}};
  if (!layer.is_cell) {
    module["num_layers"] = layer.num_layers;
    module["bidirectional"] = layer.bidirectional;
    if (type == "LSTM") module["proj_size"] = layer.proj_size;
  }
  if (type == "RNN") {
    module["nonlinearity"] = options.nonlinearity == Nonlinearity::kRelu ? "relu" : "tanh";
  }
  return Json::array({std::move(module)});
}

template FoundLayer find_bare_layer(const StateDict<float>&, const std::string&);
template FoundLayer find_bare_layer(const StateDict<double>&, const std::string&);

}  // namespace sluice
