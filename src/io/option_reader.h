// SPDX-License-Identifier: Apache-2.0
// The options of one module of an architecture, each checked for its type, and all accounted for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/json.h"

namespace sluice {

/// Reads a JSON object's members by name. Every message names the place ("architecture[1] (LSTM)"), the
/// option, what it is and what was expected. All throw Error.
class OptionReader {
 public:
  /// `place` says where the object stands, and `example` what it looks like. Throws unless it is an object.
  OptionReader(const Json& object, std::string place,
               const std::string& example = R"({"type": "LSTM", ...})");

  const std::string& place() const noexcept { return place_; }
  /// From here on messages say the type too.
  void name_type(const std::string& type) { place_ += " (" + type + ")"; }

  bool has(const char* name) const { return object_.contains(name); }
  std::string text(const char* name, std::optional<std::string> otherwise = {});
  /// One of `choices`; the first if it is not there.
  std::string choice(const char* name, const std::vector<std::string>& choices);
  bool boolean(const char* name, bool otherwise);
  /// A whole number in [least, 2^31). Where PyTorch takes a tuple of one dimension, [n] is n.
  std::size_t size(const char* name, std::size_t least, std::optional<std::size_t> otherwise = {});
  double number(const char* name, double otherwise);
  const Json& list(const char* name);
  /// Of any type.
  const Json& required(const char* name, const std::string& expected);
  std::int64_t integer(const char* name);
  /// True where the option is not there, or null.
  bool is_null(const char* name);
  /// Takes note of an option that changes nothing when a model is run: any value will do.
  void ignore(const char* name) { known_.insert(name); }

  /// Throws if there is an option that nobody asked for.
  void finish() const;
  [[noreturn]] void fail(const char* name, const std::string& expected) const;

 private:
  const Json* find(const char* name);

  const Json& object_;
  std::string place_;
  std::set<std::string> known_;
};

}  // namespace sluice
