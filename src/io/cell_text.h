// SPDX-License-Identifier: Apache-2.0
// The text form of cells, as a part of other JSON.
#pragma once

#include <string>

#include "core/json.h"
#include "sluice/cell_text.h"

namespace sluice {

/// As cell_from_json(). `place` says where the object stands, for messages.
CustomCell read_cell(const Json& object, const std::string& place);

}  // namespace sluice
