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

// Throws Error if a module of the architecture drops out: running ignores that, training must not.
void refuse_dropout(const Json& value) {
  if (value.is_array()) {
    for (const Json& element : value) refuse_dropout(element);
    return;
  }
  if (!value.is_object()) return;
  const bool is_dropout = value.contains("type") && value["type"] == "Dropout";
  for (const auto& [key, inner] : value.items()) {
    if ((key == "dropout" || (is_dropout && key == "p")) && inner.is_number() && inner.get<double>() > 0) {
      throw Error("the architecture has dropout, which this version does not train with");
    }
    refuse_dropout(inner);
  }
  if (is_dropout && !value.contains("p")) {
    throw Error("the architecture has dropout, which this version does not train with");
  }
}

template <class T>
void check_trainable(const Model<T>& model) {
  refuse_dropout(parse_json(model.architecture()).value);
}

}  // namespace

template <class T>
TrainableModel<T> TrainableModel<T>::load(const std::string& path, const LoadOptions& options) {
  TrainableModel trained(Model<T>::load(path, options));
  check_trainable(trained.model_);
  trained.parameters_.load(SafetensorsFile::open(path).template state_dict<T>());
  return trained;
}

template <class T>
TrainableModel<T> TrainableModel<T>::begin(const std::string& architecture, std::uint64_t seed) {
  StateDict<T> zeros;
  zeros.make_missing([](const std::string&, const Shape& shape) { return Tensor<T>(shape); });
  TrainableModel trained(Model<T>::from_architecture(architecture, zeros));
  check_trainable(trained.model_);
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
