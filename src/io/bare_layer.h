// SPDX-License-Identifier: Apache-2.0
// What a bare recurrent layer or cell is, from the names and shapes of its state_dict().
#pragma once

#include <string>

#include "core/json.h"
#include "sluice/model.h"
#include "sluice/state_dict.h"

namespace sluice {

struct FoundLayer {
  BareLayer layer;
  std::string prefix;  // with its dot
};

/// Kind, sizes, layers, directions and projection. Throws Error where there is no such layer, or a shape does
/// not fit the others.
template <class T>
FoundLayer find_bare_layer(const StateDict<T>& weights, const std::string& prefix);

/// The architecture that says the same.
Json bare_layer_architecture(const FoundLayer& found, const LoadOptions& options);

}  // namespace sluice
