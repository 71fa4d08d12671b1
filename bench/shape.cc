// SPDX-License-Identifier: Apache-2.0
#include "shape.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <map>
#include <set>

#include "sluice/error.h"

namespace sluice::bench {
namespace {

using Cell = RecurrentCase::Cell;
using Work = RecurrentCase::Work;

// A kind of benchmark: the first part of a name, and what must and may follow.
struct Kind {
  std::string_view name;
  Cell cell;
  Work work;
  bool has_projection;

  bool is_step() const { return work == Work::kStep; }
};

constexpr Kind kKinds[] = {
    {"LstmForward", Cell::kLstm, Work::kForward, false},
    {"GruForward", Cell::kGru, Work::kForward, false},
    {"RnnForward", Cell::kRnn, Work::kForward, false},
    {"RestatedLstmForward", Cell::kRestatedLstm, Work::kForward, false},
    {"LstmProjectedForward", Cell::kLstm, Work::kForward, true},
    {"LstmStep", Cell::kLstm, Work::kStep, false},
    {"GruStep", Cell::kGru, Work::kStep, false},
    {"RnnStep", Cell::kRnn, Work::kStep, false},
    {"RestatedLstmStep", Cell::kRestatedLstm, Work::kStep, false},
    {"LstmTrain", Cell::kLstm, Work::kTrain, false},
    {"GruTrain", Cell::kGru, Work::kTrain, false},
    {"RnnTrain", Cell::kRnn, Work::kTrain, false},
    {"RestatedLstmTrain", Cell::kRestatedLstm, Work::kTrain, false},
    {"LstmTrainStep", Cell::kLstm, Work::kTrainStep, false},
    {"GruTrainStep", Cell::kGru, Work::kTrainStep, false},
    {"RnnTrainStep", Cell::kRnn, Work::kTrainStep, false},
    {"RestatedLstmTrainStep", Cell::kRestatedLstm, Work::kTrainStep, false},
};

const Kind& kind_of(const RecurrentCase& shape) {
  return *std::find_if(std::begin(kKinds), std::end(kKinds), [&](const Kind& kind) {
    return kind.cell == shape.cell && kind.work == shape.work &&
           kind.has_projection == (shape.proj_size != 0);
  });
}

[[noreturn]] void refuse(std::string_view name, std::initializer_list<std::string_view> what) {
  std::string message = "shape '";
  message.append(name).append("': ");
  for (const std::string_view part : what) message.append(part);
  throw Error(message);
}

const Kind& find_kind(std::string_view name, std::string_view kind_name) {
  std::string known;
  for (const Kind& kind : kKinds) {
    if (kind.name == kind_name) return kind;
    known.append(known.empty() ? "" : ", ").append(kind.name);
  }
  refuse(name, {"begins with '", kind_name, "', expected one of ", known});
}

// Large enough for any model, and small enough that a product of two cannot overflow.
constexpr std::size_t kLargest = 1'000'000'000;

std::size_t parse_number(std::string_view name, std::string_view part, std::string_view text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > kLargest) {
    refuse(name, {"'", part, "' has no whole number from 1 to ", std::to_string(kLargest)});
  }
  return value;
}

// "T:25" and so on, each key once.
std::map<std::string, std::size_t, std::less<>> parse_parts(std::string_view name, std::string_view parts,
                                                            const std::set<std::string, std::less<>>& keys) {
  std::map<std::string, std::size_t, std::less<>> values;
  while (true) {
    const std::size_t slash = parts.find('/');
    const std::string_view part = parts.substr(0, slash);
    const std::size_t colon = part.find(':');
    const std::string key(part.substr(0, colon));
    if (colon == std::string_view::npos || !keys.contains(key)) {
      std::string known;
      for (const std::string& k : keys) known.append(known.empty() ? "" : ", ").append(k);
      refuse(name, {"'", part, "' is none of ", known, " with a number (T:25)"});
    }
    if (!values.emplace(key, parse_number(name, part, part.substr(colon + 1))).second) {
      refuse(name, {key, " comes twice"});
    }
    if (slash == std::string_view::npos) return values;
    parts.remove_prefix(slash + 1);
  }
}

}  // namespace

std::string to_name(const RecurrentCase& shape) {
  const Kind& kind = kind_of(shape);
  std::string name(kind.name);
  const auto add = [&](const char* key, std::size_t value) {
    name.append("/").append(key).append(":").append(std::to_string(value));
  };
  if (!kind.is_step()) add("T", shape.steps);
  add("B", shape.batch);
  add("I", shape.input_size);
  add("H", shape.hidden_size);
  if (shape.layers != 1) add("L", shape.layers);
  if (shape.directions != 1) add("D", shape.directions);
  if (shape.proj_size != 0) add("P", shape.proj_size);
  if (!kind.is_step()) add("threads", static_cast<std::size_t>(shape.threads));
  return name;
}

RecurrentCase parse_case(std::string_view name) {
  const std::size_t slash = std::min(name.find('/'), name.size());
  const Kind& kind = find_kind(name, name.substr(0, slash));
  std::set<std::string, std::less<>> keys{"B", "I", "H"};
  if (!kind.is_step()) keys.insert({"T", "threads"});
  if (kind.has_projection) keys.insert("P");
  const auto required = keys;
  keys.insert("L");
  if (!kind.is_step()) keys.insert("D");

  const auto values = parse_parts(name, name.substr(std::min(slash + 1, name.size())), keys);
  for (const std::string& key : required) {
    if (!values.contains(key)) refuse(name, {key, " is missing"});
  }
  const auto value = [&](const char* key, std::size_t otherwise) {
    const auto found = values.find(key);
    return found == values.end() ? otherwise : found->second;
  };
  const RecurrentCase shape{.cell = kind.cell,
                            .work = kind.work,
                            .steps = value("T", 1),
                            .batch = value("B", 1),
                            .input_size = value("I", 1),
                            .hidden_size = value("H", 1),
                            .layers = value("L", 1),
                            .directions = value("D", 1),
                            .proj_size = value("P", 0),
                            .threads = static_cast<int>(value("threads", 1))};
  if (shape.directions > 2) refuse(name, {"D is 1 or 2"});
  if (shape.proj_size >= shape.hidden_size) refuse(name, {"P must be less than H"});
  return shape;
}

}  // namespace sluice::bench
