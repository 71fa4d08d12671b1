// SPDX-License-Identifier: Apache-2.0
// A model from its description: the JSON list of modules that docs/formats.md tells of.
#pragma once

#include <cstddef>
#include <string>

#include "core/json.h"
#include "sluice/layers.h"
#include "sluice/recurrent.h"
#include "sluice/state_dict.h"

namespace sluice {

/// In a file's metadata.
inline constexpr const char* kArchitectureKey = "sluice.architecture";

template <class T>
struct BuiltModel {
  Sequential<T> modules;
  bool batch_first = false;
  bool takes_indices = false;  // begins with an Embedding
  std::size_t input_size = 0;  // 1 for an Embedding
  std::size_t output_size = 0;
};

/// Builds the modules in order. Every option is checked, sizes fit from module to module, and every tensor of
/// `weights` is used. Throws Error (ShapeError too) that names the module and the option or tensor; `name`
/// stands for the list in messages.
template <class T>
BuiltModel<T> build_architecture(const Json& list, const StateDict<T>& weights,
                                 const std::string& name = "architecture");

}  // namespace sluice
