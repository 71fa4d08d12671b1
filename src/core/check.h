// SPDX-License-Identifier: Apache-2.0
// Checks at the public API's edge, with messages that name call, argument, what was expected and what came.
#pragma once

#include <cassert>
#include <string>
#include <string_view>

#include "sluice/error.h"
#include "sluice/tensor.h"

/// Guards our own logic, in debug builds only.
#define SLUICE_DCHECK(condition) assert(condition)

namespace sluice {

/// "LSTM::forward: x is [10, 4, 63], expected [T, B, 64]"
[[noreturn]] inline void throw_shape_error(std::string_view call, std::string_view argument, const Shape& got,
                                           std::string_view expected) {
  throw ShapeError(std::string(call) + ": " + std::string(argument) + " is " + got.to_string() +
                   ", expected " + std::string(expected));
}

/// Throws ShapeError unless `got` is `expected`.
inline void check_shape(std::string_view call, std::string_view argument, const Shape& got,
                        const Shape& expected) {
  if (!(got == expected)) throw_shape_error(call, argument, got, expected.to_string());
}

}  // namespace sluice
