// SPDX-License-Identifier: Apache-2.0
#include "sluice/checkpoint.h"

#include <type_traits>

#include "sluice/error.h"
#include "sluice/safetensors.h"

namespace sluice {
namespace {

constexpr const char* kModel = "model.";
constexpr const char* kOptimizer = "optimizer.";
constexpr const char* kType = "optimizer";

template <class T>
void load(const SafetensorsFile& file, Parameters<T>& parameters, Optimizer<T>& optimizer) {
  const std::string own_type = std::is_same_v<T, double> ? "F64" : "F32";
  StateDict<T> values;
  const StateDict<T> all = file.state_dict<T>();
  for (const SafetensorsEntry& entry : file.entries()) {
    if (entry.dtype != own_type) {
      throw Error("tensor '" + entry.name + "' is " + entry.dtype + ", expected " + own_type +
                  ": a training goes on in the type that it began in");
    }
    if (entry.name.starts_with(kModel)) {
      const std::string name = entry.name.substr(std::string(kModel).size());
      parameters.index_of(name);  // throws where there is no such parameter
      values.borrow(name, all.at(entry.name), nullptr);
    } else if (!entry.name.starts_with(kOptimizer)) {
      throw Error("tensor '" + entry.name + "' belongs neither to the model nor to the optimizer");
    }
  }
  // Throws before anything changes.
  for (const ParameterInfo& info : parameters.infos()) values.at(info.name, info.shape);
  optimizer.load_state_dict(all, kOptimizer);
  parameters.load(values);
}

}  // namespace

template <class T>
void save_checkpoint(const std::string& path, const Parameters<T>& parameters, const Optimizer<T>& optimizer,
                     const CheckpointFacts& facts) {
  if (facts.contains(kType)) throw Error("save_checkpoint: the fact 'optimizer' is the optimizer's type");
  StateDict<T> all;
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    all.borrow(kModel + parameters.name(i), parameters.value(i), nullptr);
  }
  const StateDict<T> state = optimizer.state_dict(kOptimizer);
  for (const std::string& name : state.names()) all.borrow(name, state.at(name), nullptr);
  CheckpointFacts metadata = facts;
  metadata[kType] = optimizer.type();
  save_safetensors(path, all, metadata);
}

template <class T>
CheckpointFacts load_checkpoint(const std::string& path, Parameters<T>& parameters, Optimizer<T>& optimizer) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  CheckpointFacts facts = file.metadata();
  try {
    const auto type = facts.find(kType);
    if (type == facts.end()) throw Error("the metadata has no 'optimizer': this is not a checkpoint");
    if (type->second != optimizer.type()) {
      throw Error("the checkpoint is of " + type->second + ", expected " + std::string(optimizer.type()));
    }
    load(file, parameters, optimizer);
  } catch (const FileError&) {
    throw;
  } catch (const Error& error) {
    throw FileError(path + ": " + error.what());
  }
  facts.erase(kType);
  return facts;
}

template void save_checkpoint(const std::string&, const Parameters<float>&, const Optimizer<float>&,
                              const CheckpointFacts&);
template void save_checkpoint(const std::string&, const Parameters<double>&, const Optimizer<double>&,
                              const CheckpointFacts&);
template CheckpointFacts load_checkpoint(const std::string&, Parameters<float>&, Optimizer<float>&);
template CheckpointFacts load_checkpoint(const std::string&, Parameters<double>&, Optimizer<double>&);

}  // namespace sluice
