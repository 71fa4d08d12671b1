// SPDX-License-Identifier: Apache-2.0
#include "sluice/trainable.h"

#include <map>
#include <utility>
#include <vector>

#include "io/architecture.h"
#include "sluice/custom_recurrent.h"
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
  if (const auto* custom = dynamic_cast<const Recurrent<T>*>(&module)) {
    const RecurrentLayerOptions& options = custom->options();
    const std::string own = options.cell.parameters().front().name + "_l0";
    init::reset_parameters(parameters, options, name.substr(0, name.size() - own.size()), seed);
    return;
  }
  init::reset_parameters(parameters, module.type(), name.substr(0, name.rfind("weight")), seed);
}

}  // namespace

template <class T>
TrainableModel<T> TrainableModel<T>::load(const std::string& path, const LoadOptions& options) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  TrainableModel trained(Model<T>::load(file, options));
  trained.parameters_.load(file.state_dict<T>());
  return trained;
}

template <class T>
TrainableModel<T> TrainableModel<T>::begin(const std::string& architecture, std::uint64_t seed) {
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
  if (!model_.bare_layer()) metadata[kArchitectureKey] = model_.architecture();
  save_safetensors(path, parameters_.state_dict(), metadata);
}

template class TrainableModel<float>;
template class TrainableModel<double>;

}  // namespace sluice
