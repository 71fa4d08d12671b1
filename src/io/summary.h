// SPDX-License-Identifier: Apache-2.0
// What is in a model file, in numbers: for `sluice inspect`.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "sluice/custom_recurrent.h"
#include "sluice/model.h"
#include "sluice/safetensors.h"

namespace sluice {

struct ParameterSummary {
  std::string name;
  std::string dtype;  ///< in the file
  Shape shape;
  std::size_t bytes = 0;  ///< in the file
};

struct ModuleSummary {
  std::string type;
  std::size_t input_size = 0;
  std::size_t output_size = 0;
  double flops_per_step = 0;  ///< multiplications and additions, for one row
  std::vector<ParameterSummary> parameters;
  std::optional<RecurrentLayerOptions> custom;  ///< of layers of a cell of one's own

  std::size_t parameter_count() const;
  std::size_t bytes() const;
};

struct ModelSummary {
  std::string path;
  std::string kind;  ///< "model" (with an architecture), "layer" or "cell"
  bool batch_first = false;
  std::size_t input_size = 0;
  std::size_t output_size = 0;
  std::size_t parameter_count = 0;
  std::size_t bytes = 0;
  double flops_per_step = 0;
  std::vector<ModuleSummary> modules;  ///< in order; those in a Sequential one by one
  std::string architecture;            ///< JSON
};

/// Throws FileError where the file is no model.
ModelSummary summarize(const std::string& path, const LoadOptions& options);

/// One JSON object with the members above, `architecture` as JSON.
std::string to_json(const ModelSummary& summary);

}  // namespace sluice
