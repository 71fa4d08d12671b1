// SPDX-License-Identifier: Apache-2.0
#include "io/summary.h"

#include <map>
#include <utility>

#include "core/json.h"
#include "sluice/layers.h"

namespace sluice {
namespace {

using Entries = std::map<std::string, const SafetensorsEntry*>;

ModuleSummary summarize_module(const Module<float>& module, std::size_t input_size, const Entries& entries) {
  ModuleSummary summary;
  summary.type = std::string(module.type());
  summary.input_size = input_size;
  summary.output_size = module.output_size(input_size);
  summary.flops_per_step = module.flops_per_step(input_size);
  if (const auto* custom = dynamic_cast<const Recurrent<float>*>(&module)) summary.custom = custom->options();
  for (const ParameterInfo& parameter : module.parameters()) {
    const auto entry = entries.find(parameter.name);
    if (entry == entries.end()) continue;
    summary.parameters.push_back(
        {entry->first, entry->second->dtype, entry->second->shape, entry->second->bytes.size()});
  }
  return summary;
}

void add_modules(const Sequential<float>& modules, std::size_t& features, const Entries& entries,
                 std::vector<ModuleSummary>& all) {
  for (std::size_t i = 0; i < modules.size(); ++i) {
    if (const auto* inner = dynamic_cast<const Sequential<float>*>(&modules[i])) {
      add_modules(*inner, features, entries, all);
    } else {
      all.push_back(summarize_module(modules[i], features, entries));
      features = all.back().output_size;
    }
  }
}

}  // namespace

std::size_t ModuleSummary::parameter_count() const {
  std::size_t count = 0;
  for (const ParameterSummary& parameter : parameters) count += parameter.shape.size();
  return count;
}

std::size_t ModuleSummary::bytes() const {
  std::size_t bytes = 0;
  for (const ParameterSummary& parameter : parameters) bytes += parameter.bytes;
  return bytes;
}

ModelSummary summarize(const std::string& path, const LoadOptions& options) {
  const Model<float> model = Model<float>::load(path, options);
  const SafetensorsFile file = SafetensorsFile::open(path);
  Entries entries;
  for (const SafetensorsEntry& entry : file.entries()) entries.emplace(entry.name, &entry);

  ModelSummary summary;
  summary.path = path;
  const bool is_cell = model.bare_layer() && model.bare_layer()->is_cell;
  summary.kind = is_cell ? "cell" : model.bare_layer() ? "layer" : "model";
  summary.batch_first = model.batch_first();
  summary.input_size = model.input_size();
  summary.output_size = model.output_size();
  summary.architecture = model.architecture();
  std::size_t features = model.input_size();
  add_modules(model.modules(), features, entries, summary.modules);
  for (const ModuleSummary& module : summary.modules) {
    summary.parameter_count += module.parameter_count();
    summary.bytes += module.bytes();
    summary.flops_per_step += module.flops_per_step;
  }
  return summary;
}

std::string to_json(const ModelSummary& summary) {
  Json modules = Json::array();
  for (const ModuleSummary& module : summary.modules) {
    Json parameters = Json::array();
    for (const ParameterSummary& parameter : module.parameters) {
      const std::span<const std::size_t> dims = parameter.shape.dims();
      parameters.push_back({{"name", parameter.name},
                            {"dtype", parameter.dtype},
                            {"shape", std::vector<std::size_t>(dims.begin(), dims.end())},
                            {"bytes", parameter.bytes}});
    }
    modules.push_back({{"type", module.type},
                       {"input_size", module.input_size},
                       {"output_size", module.output_size},
                       {"parameter_count", module.parameter_count()},
                       {"bytes", module.bytes()},
                       {"flops_per_step", module.flops_per_step},
                       {"parameters", std::move(parameters)}});
    if (!module.custom) continue;
    Json states = Json::array();
    for (const CustomCell::State& state : module.custom->cell.states()) {
      states.push_back({{"name", state.name}, {"size", state.size}});
    }
    modules.back()["cell"] = module.custom->cell.name();
    modules.back()["states"] = std::move(states);
  }
  const Json all = {{"path", summary.path},
                    {"kind", summary.kind},
                    {"batch_first", summary.batch_first},
                    {"input_size", summary.input_size},
                    {"output_size", summary.output_size},
                    {"parameter_count", summary.parameter_count},
                    {"bytes", summary.bytes},
                    {"flops_per_step", summary.flops_per_step},
                    {"modules", std::move(modules)},
                    {"architecture", Json::parse(summary.architecture)}};
  return all.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace sluice
