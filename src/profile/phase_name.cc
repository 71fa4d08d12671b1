// SPDX-License-Identifier: Apache-2.0
#include "sluice/profile.h"

namespace sluice {

std::string_view phase_name(Phase phase) noexcept {
  constexpr std::string_view kNames[kPhases] = {"input", "recurrent", "gates", "waiting", "other"};
  return kNames[static_cast<std::size_t>(phase)];
}

}  // namespace sluice
