// SPDX-License-Identifier: Apache-2.0
// What sluice throws. A call that throws has changed nothing.
#pragma once

#include <stdexcept>
#include <string>

namespace sluice {

/// Wrong use or bad data. The message names the call, the argument, what was expected and what came.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

/// An argument has the wrong shape.
class ShapeError : public Error {
 public:
  explicit ShapeError(const std::string& message) : Error(message) {}
};

/// A file is missing, unreadable, or not what its format says. The message starts with the path.
class FileError : public Error {
 public:
  explicit FileError(const std::string& message) : Error(message) {}
};

}  // namespace sluice
