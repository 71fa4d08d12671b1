// SPDX-License-Identifier: Apache-2.0
#include "io/option_reader.h"

#include <utility>

#include "sluice/error.h"

namespace sluice {
namespace {

constexpr std::uint64_t kSizeLimit = std::uint64_t{1} << 31;  // four times it, squared, still fits in 64 bits

}  // namespace

OptionReader::OptionReader(const Json& object, std::string place, const std::string& example)
    : object_(object), place_(std::move(place)) {
  if (!object.is_object()) {
    throw Error(place_ + " is " + json_excerpt(object) + ", expected an object such as " + example);
  }
}

const Json* OptionReader::find(const char* name) {
  known_.insert(name);
  const auto it = object_.find(name);
  return it == object_.end() ? nullptr : &*it;
}

void OptionReader::fail(const char* name, const std::string& expected) const {
  const auto it = object_.find(name);
  if (it == object_.end()) throw Error(place_ + ": option '" + name + "' is missing, expected " + expected);
  throw Error(place_ + ": option '" + name + "' is " + json_excerpt(*it) + ", expected " + expected);
}

std::string OptionReader::text(const char* name, std::optional<std::string> otherwise) {
  const Json* value = find(name);
  if (value == nullptr && otherwise) return *otherwise;
  if (value == nullptr || !value->is_string()) fail(name, "a string");
  return value->get<std::string>();
}

std::string OptionReader::choice(const char* name, const std::vector<std::string>& choices) {
  const Json* value = find(name);
  if (value == nullptr) return choices[0];
  std::string expected;
  for (const std::string& choice : choices) {
    if (value->is_string() && value->get<std::string>() == choice) return choice;
    expected += (expected.empty() ? "\"" : " or \"") + choice + "\"";
  }
  fail(name, expected);
}

bool OptionReader::boolean(const char* name, bool otherwise) {
  const Json* value = find(name);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) fail(name, "true or false");
  return value->get<bool>();
}

std::size_t OptionReader::size(const char* name, std::size_t least, std::optional<std::size_t> otherwise) {
  const Json* value = find(name);
  if (value == nullptr && otherwise) return *otherwise;
  if (value != nullptr && value->is_array() && value->size() == 1) value = &(*value)[0];
  if (value == nullptr || !value->is_number_unsigned() || value->get<std::uint64_t>() < least ||
      value->get<std::uint64_t>() >= kSizeLimit) {
    fail(name, "a whole number, at least " + std::to_string(least) + " and below 2^31");
  }
  return static_cast<std::size_t>(value->get<std::uint64_t>());
}

double OptionReader::number(const char* name, double otherwise) {
  const Json* value = find(name);
  if (value == nullptr) return otherwise;
  if (!value->is_number()) fail(name, "a number");
  return value->get<double>();
}

const Json& OptionReader::list(const char* name) {
  const Json* value = find(name);
  if (value == nullptr || !value->is_array()) fail(name, "a list");
  return *value;
}

const Json& OptionReader::required(const char* name, const std::string& expected) {
  const Json* value = find(name);
  if (value == nullptr) fail(name, expected);
  return *value;
}

std::int64_t OptionReader::integer(const char* name) {
  const Json* value = find(name);
  if (value == nullptr || !value->is_number_integer()) fail(name, "a whole number");
  return value->get<std::int64_t>();
}

bool OptionReader::is_null(const char* name) {
  const Json* value = find(name);
  return value == nullptr || value->is_null();
}

void OptionReader::finish() const {
  for (const auto& [name, value] : object_.items()) {
    if (!known_.contains(name)) throw Error(place_ + ": unknown option '" + name + "'");
  }
}

}  // namespace sluice
