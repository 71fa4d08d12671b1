// SPDX-License-Identifier: Apache-2.0
// Runs a test's body on every instruction set that the machine has.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "sluice/target.h"

namespace sluice {

/// Pins each target in turn, best first, and calls body(name); the one in use before is pinned again
/// afterwards.
template <class Body>
void for_each_target(const Body& body) {
  struct Restore {
    std::string name = active_target();
    ~Restore() { set_target(name); }
  } restore;
  for (const std::string& name : available_targets()) {
    SCOPED_TRACE("target " + name);
    set_target(name);
    body(name);
  }
}

}  // namespace sluice
