// SPDX-License-Identifier: Apache-2.0
// JSON from files that are not trusted. The only way in which the library reads JSON.
#pragma once

#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace sluice {

using Json = nlohmann::json;

struct JsonDocument {
  Json value;
  std::map<std::string, std::size_t> key_ends;  ///< where the keys of the outermost object end
};

/// Parses one JSON text. Beyond the grammar it refuses duplicate keys, nesting deeper than 32, and text that
/// is not UTF-8. Throws Error: "byte 17: duplicate key 'x'"; `offset` is added to byte positions.
JsonDocument parse_json(std::string_view text, std::size_t offset = 0);

/// The value as it would stand in a file, shortened for a message.
std::string json_excerpt(const Json& value);

}  // namespace sluice
