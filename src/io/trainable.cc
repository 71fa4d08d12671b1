// SPDX-License-Identifier: Apache-2.0
#include "sluice/trainable.h"

#include <map>
#include <utility>
#include <vector>

#include "io/json.h"
#include "sluice/error.h"
#include "sluice/init.h"
#include "sluice/safetensors.h"

namespace sluice {
namespace {

// First values of all modules in `module`. A module's prefix is what stands before its first parameter's
// name.
template <class T>
void begin_parameters(const Module<T>& module, Parameters<T>& parameters, std::uint64_t seed) {
  if (const auto* list = dynamic_cast<const Sequential<T>*>(&module)) {
    for (std::size_t i = 0; i < list->size(); ++i) begin_parameters((*list)[i], parameters, seed);
    return;
  }
  const std::vector<ParameterInfo> infos = module.parameters();
  if (infos.empty()) return;
  const std::string& name = infos.front().name;
  init::reset_parameters(parameters, module.type(), name.substr(0, name.rfind("weight")), seed);
}

// Throws Error if a module of the architecture cannot be trained: a cell, whose parameters a layer holds
// under other names.
void check_trainable(const Json& value) {
  if (value.is_array()) {
    for (const Json& element : value) check_trainable(element);
    return;
  }
  if (!value.is_object()) return;
  std::string type;
  if (value.contains("type") && value["type"].is_string()) type = value["type"].get<std::string>();
  if (type.ends_with("Cell")) {
    throw Error("the architecture has " + type + ", which this version does not train; a layer of one is " +
                type.substr(0, type.size() - 4));
  }
  for (const auto& [key, inner] : value.items()) check_trainable(inner);
}

}  // namespace

template <class T>
TrainableModel<T> TrainableModel<T>::load(const std::string& path, const LoadOptions& options) {
  TrainableModel trained(Model<T>::load(path, options));
  try {
    check_trainable(parse_json(trained.model_.architecture()).value);
  } catch (const Error& error) {
    throw FileError(path + ": " + error.what());
  }
  trained.parameters_.load(SafetensorsFile::open(path).template state_dict<T>());
  return trained;
}

template <class T>
TrainableModel<T> TrainableModel<T>::begin(const std::string& architecture, std::uint64_t seed) {
  check_trainable(parse_json(architecture).value);
  StateDict<T> zeros;
  zeros.make_missing([](const std::string&, const Shape& shape) { return Tensor<T>(shape); });
  TrainableModel trained(Model<T>::from_architecture(architecture, zeros));
  begin_parameters<T>(trained.model_.modules(), trained.parameters_, seed);
  trained.update();
  return trained;
}

template <class T>
void TrainableModel<T>::save(const std::string& path) const {
  std::map<std::string, std::string> metadata;
  if (!model_.bare_layer()) metadata["sluice.architecture"] = model_.architecture();
  save_safetensors(path, parameters_.state_dict(), metadata);
}

template class TrainableModel<float>;
template class TrainableModel<double>;

}  // namespace sluice
