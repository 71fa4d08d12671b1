// SPDX-License-Identifier: Apache-2.0
// Checks of options, with messages that name the class, the option, what came and what was expected.
#pragma once

#include <array>
#include <charconv>
#include <limits>
#include <string>
#include <string_view>

#include "sluice/error.h"

namespace sluice {

/// The shortest text that reads back as the same number; "inf", "-inf" and "nan" too.
inline std::string text_of(double value) {
  std::array<char, 32> text{};
  const std::to_chars_result result = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), result.ptr};
}

/// "Adam: lr is -1, expected at least 0 and finite"
inline void check_option(std::string_view type, std::string_view option, double value, bool is_good,
                         std::string_view expected) {
  if (is_good) return;
  throw Error(std::string(type) + ": " + std::string(option) + " is " + text_of(value) + ", expected " +
              std::string(expected));
}

/// NaN is neither.
inline void check_not_negative(std::string_view type, std::string_view option, double value) {
  check_option(type, option, value, value >= 0 && value <= std::numeric_limits<double>::max(),
               "at least 0 and finite");
}

}  // namespace sluice
