// SPDX-License-Identifier: Apache-2.0
#include "io/cell_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "cells/cell_check.h"
#include "cells/cell_graph.h"
#include "io/option_reader.h"
#include "sluice/error.h"

namespace sluice {
namespace {

// A file is not taken at its word. Slices of everything make work, and memory, that grow with the square of
// the values: 0.2 s and 80 MB at this limit.
constexpr std::size_t kMaxValues = 500;
constexpr std::size_t kMaxSize = std::size_t{1} << 20;

constexpr const char* kInputName = "x";
constexpr char kNoName = '#';  // begins a name that is for the file alone

struct Operation {
  const char* name;
  CellOp op;
  std::size_t args;
};
constexpr std::array<Operation, 22> kOperations{
    {{"add", CellOp::kAdd, 2},       {"sub", CellOp::kSub, 2},
     {"mul", CellOp::kMul, 2},       {"div", CellOp::kDiv, 2},
     {"neg", CellOp::kNeg, 1},       {"max", CellOp::kMax, 2},
     {"min", CellOp::kMin, 2},       {"abs", CellOp::kAbs, 1},
     {"exp", CellOp::kExp, 1},       {"log", CellOp::kLog, 1},
     {"sqrt", CellOp::kSqrt, 1},     {"sigmoid", CellOp::kSigmoid, 1},
     {"tanh", CellOp::kTanh, 1},     {"relu", CellOp::kRelu, 1},
     {"less", CellOp::kLess, 2},     {"less_equal", CellOp::kLessEqual, 2},
     {"select", CellOp::kSelect, 3}, {"matrix", CellOp::kMatrix, 1},
     {"vector", CellOp::kVector, 0}, {"scalar", CellOp::kScalar, 0},
     {"slice", CellOp::kSlice, 1},   {"layer_norm", CellOp::kLayerNorm, 3}}};

const Operation& read_operation(OptionReader& options) {
  const std::string name = options.text("op");
  std::string expected;
  for (const Operation& operation : kOperations) {
    if (name == operation.name) return operation;
    expected += (expected.empty() ? "one of " : ", ") + std::string(operation.name);
  }
  options.fail("op", expected);
}

std::size_t read_size(OptionReader& options, const char* name, std::size_t least = 1) {
  const std::size_t size = options.size(name, least);
  if (size > kMaxSize) options.fail(name, "at most " + std::to_string(kMaxSize));
  return size;
}

std::string read_name(OptionReader& options, const char* name) {
  const std::string text = options.text(name);
  const bool has_control =
      std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; });
  if (text.empty() || has_control) options.fail(name, "a name, without control characters");
  return text;
}

using Argument = std::variant<double, std::string>;  // a number, or a value's name

Argument argument_of(const Json& value, const OptionReader& options, const char* name,
                     const std::string& expected) {
  if (value.is_number()) return value.get<double>();
  if (!value.is_string()) options.fail(name, expected);
  return value.get<std::string>();
}

class Reader {
 public:
  Reader(const Json& object, const std::string& place) : cell_(object, place, R"({"name": "LSTM", ...})") {}

  CustomCell read() {
    graph_.name = read_name(cell_, "name");
    graph_.input_size = read_size(cell_, "input_size");
    const std::string input = cell_.has("input") ? read_name(cell_, "input") : kInputName;
    add_leaf(
        input,
        {.op = CellOp::kInput, .name = input == kInputName ? "" : authors_name(input), .where = "the input"});
    read_states();
    read_values();
    for (std::size_t i = 0; i < drafts_.size(); ++i) make(i);
    read_next();
    graph_.output = node_of(operand(cell_, "output", "the output"), "the output");
    cell_.finish();
    check_all_needed();
    return CustomCell(std::make_shared<const CellGraph>(in_order(graph_)));
  }

 private:
  // A value as the text has it, its node's arguments and parameter not yet found.
  struct Draft {
    std::string name{};
    CellNode node{};
    std::vector<Argument> args{};
    std::string parameter{};
    std::size_t parameter_size = 1;  // rows, of a matrix
    std::size_t made = kNoNode;      // in the graph
    bool is_open = false;            // waits for its arguments
  };

  static std::string authors_name(const std::string& name) { return name.front() == kNoName ? "" : name; }

  void add_name(const std::string& name, const std::string& where) {
    if (names_.emplace(name, drafts_.size()).second) return;
    throw_cell_error(graph_, "there are two values named '" + name + "'", where);
  }

  // The input, or a state.
  void add_leaf(const std::string& name, CellNode node) {
    add_name(name, node.where);
    node.size = checked_size(graph_, node);
    drafts_.push_back({.name = name, .node = node, .made = graph_.nodes.size()});
    graph_.nodes.push_back(std::move(node));
  }

  const Json& short_list(const char* name) {
    const Json& list = cell_.list(name);
    if (list.size() <= kMaxValues) return list;
    throw Error(cell_.place() + ": option '" + name + "' has " + std::to_string(list.size()) +
                " entries, expected at most " + std::to_string(kMaxValues));
  }

  void read_states() {
    std::size_t i = 0;
    for (const Json& state : short_list("states")) {
      OptionReader options(state, cell_.place() + ".states[" + std::to_string(i) + "]",
                           R"({"name": "h", "size": 64})");
      const std::string name = read_name(options, "name");
      const std::size_t size = read_size(options, "size");
      options.finish();
      graph_.states.push_back({.name = name, .size = size, .node = graph_.nodes.size()});
      add_leaf(name, {.op = CellOp::kState, .index = i, .where = "state '" + name + "'"});
      ++i;
    }
  }

  void read_values() {
    std::size_t i = 0;
    for (const Json& value : short_list("values")) {
      OptionReader options(value, cell_.place() + ".values[" + std::to_string(i++) + "]",
                           R"({"name": "f", "op": "sigmoid", "args": ["pre_f"]})");
      if (options.has("name")) options.name_type("'" + read_name(options, "name") + "'");
      read_value(options);
      options.finish();
    }
  }

  void read_value(OptionReader& options) {
    const Operation& operation = read_operation(options);
    Draft draft;
    draft.node.op = operation.op;
    if (operation.args > 0) draft.args = read_arguments(options, operation);
    switch (operation.op) {
      case CellOp::kMatrix:
        draft.parameter = read_name(options, "parameter");
        draft.parameter_size = read_size(options, "rows");
        break;
      case CellOp::kVector:
        draft.parameter = read_name(options, "parameter");
        draft.parameter_size = read_size(options, "size");
        break;
      case CellOp::kScalar:
        draft.parameter = read_name(options, "parameter");
        break;
      case CellOp::kSlice:
        draft.node.first = read_size(options, "first", 0);
        draft.node.size = read_size(options, "size");
        break;
      case CellOp::kLayerNorm:
        draft.node.value = options.number("eps", 1e-5);
        if (draft.node.value < 0) options.fail("eps", "at least 0");
        break;
      default:
        break;
    }
    // A parameter by itself needs no other name than its own.
    const bool is_parameter = operation.op == CellOp::kVector || operation.op == CellOp::kScalar;
    draft.name = is_parameter && !options.has("name") ? draft.parameter : read_name(options, "name");
    draft.node.where = "value '" + draft.name + "'";
    if (!is_parameter || draft.name != draft.parameter) draft.node.name = authors_name(draft.name);
    add_name(draft.name, draft.node.where);
    drafts_.push_back(std::move(draft));
  }

  static std::vector<Argument> read_arguments(OptionReader& options, const Operation& operation) {
    const std::string expected = "a list of " + std::to_string(operation.args) +
                                 (operation.args == 1 ? " value's name" : " values' names or numbers");
    const Json& list = options.required("args", expected);
    if (!list.is_array() || list.size() != operation.args) options.fail("args", expected);
    std::vector<Argument> args;
    for (const Json& value : list) args.push_back(argument_of(value, options, "args", expected));
    const bool has_value = std::any_of(args.begin(), args.end(), [](const Argument& arg) {
      return std::holds_alternative<std::string>(arg);
    });
    if (!has_value) options.fail("args", "a value's name among them");
    return args;
  }

  std::size_t draft_named(const std::string& name, const std::string& where) const {
    const auto it = names_.find(name);
    if (it != names_.end()) return it->second;
    throw_cell_error(graph_, "there is no value, state or input named '" + name + "'", where);
  }

  // The first argument that is not in the graph yet.
  std::size_t missing_argument(const Draft& draft) const {
    for (const Argument& arg : draft.args) {
      if (std::holds_alternative<double>(arg)) continue;
      const std::size_t found = draft_named(std::get<std::string>(arg), draft.node.where);
      if (drafts_[found].made == kNoNode) return found;
    }
    return kNoNode;
  }

  // Puts a value into the graph, after those that it is made of.
  void make(std::size_t from) {
    std::vector<std::size_t> open;  // each is an argument of the one before
    std::size_t wanted = from;
    for (;;) {
      if (drafts_[wanted].is_open) throw_cycle(open, wanted);
      if (drafts_[wanted].made == kNoNode) {
        drafts_[wanted].is_open = true;
        open.push_back(wanted);
      }
      while (!open.empty() && missing_argument(drafts_[open.back()]) == kNoNode) {
        make_node(drafts_[open.back()]);
        open.pop_back();
      }
      if (open.empty()) return;
      wanted = missing_argument(drafts_[open.back()]);
    }
  }

  [[noreturn]] void throw_cycle(const std::vector<std::size_t>& open, std::size_t again) const {
    constexpr std::size_t kMostNames = 10;
    std::string way = "'" + drafts_[again].name + "'";
    const auto first = std::find(open.begin(), open.end(), again);
    for (auto it = first + 1; it != open.end(); ++it) {
      if (static_cast<std::size_t>(it - first) == kMostNames) {
        way += " from ...";
        break;
      }
      way += " from '" + drafts_[*it].name + "'";
    }
    throw_cell_error(graph_, "a cycle: " + way + " from '" + drafts_[again].name + "' itself",
                     drafts_[again].node.where);
  }

  void make_node(Draft& draft) {
    CellNode node = draft.node;
    for (const Argument& arg : draft.args) node.args.push_back(node_of(arg, node.where));
    if (!draft.parameter.empty()) {
      Shape shape{draft.parameter_size};
      if (node.op == CellOp::kMatrix) shape = {draft.parameter_size, graph_.nodes[node.args[0]].size};
      node.index = add_parameter(graph_, draft.parameter, shape, node.where);
    }
    if (!node.name.empty()) check_name(graph_, node.name, node.where);
    node.size = checked_size(graph_, node);
    draft.made = graph_.nodes.size();
    draft.is_open = false;
    graph_.nodes.push_back(std::move(node));
  }

  // A number becomes a constant.
  std::size_t node_of(const Argument& arg, const std::string& where) {
    if (const auto* name = std::get_if<std::string>(&arg)) return drafts_[draft_named(*name, where)].made;
    graph_.nodes.push_back({.op = CellOp::kConstant, .value = std::get<double>(arg), .where = where});
    return graph_.nodes.size() - 1;
  }

  static Argument operand(OptionReader& options, const char* name, const std::string& what) {
    const std::string expected = what + ": a value's name or a number";
    return argument_of(options.required(name, expected), options, name, expected);
  }

  void read_next() {
    OptionReader next(cell_.required("next", "what each state becomes"), cell_.place() + ".next",
                      R"({"h": "h_new"})");
    for (CellState& state : graph_.states) {
      const std::string where = "next of '" + state.name + "'";
      state.next = node_of(operand(next, state.name.c_str(), "what the state becomes"), where);
      check_next(graph_, state, state.next, where);
    }
    next.finish();
  }

  // A value that nothing needs is a slip of the pen, and its parameters would be trained to no end.
  void check_all_needed() const {
    std::vector<bool> needed(graph_.nodes.size(), false);
    needed[graph_.output] = true;
    for (const CellState& state : graph_.states) needed[state.node] = needed[state.next] = true;
    for (std::size_t i = graph_.nodes.size(); i-- > 0;) {
      if (!needed[i]) continue;
      for (const std::size_t arg : graph_.nodes[i].args) needed[arg] = true;
    }
    for (const Draft& draft : drafts_) {
      if (needed[draft.made] || draft.node.op == CellOp::kInput) continue;
      throw_cell_error(graph_, "neither the output nor a next state needs '" + draft.name + "'",
                       draft.node.where);
    }
  }

  OptionReader cell_;
  CellGraph graph_;
  std::vector<Draft> drafts_;
  std::map<std::string, std::size_t> names_;  // into drafts_
};

using OrderedJson = nlohmann::ordered_json;

class Writer {
 public:
  explicit Writer(const CellGraph& graph) : graph_(graph), names_(graph.nodes.size()) {
    for (const CellState& state : graph.states) taken_.insert(state.name);
    for (const ParameterInfo& parameter : graph.parameters) taken_.insert(parameter.name);
    for (const CellNode& node : graph.nodes) taken_.insert(node.name);
    std::vector<bool> is_used(graph.parameters.size(), false);
    std::vector<bool> has_own_name = is_used;  // of a parameter: a value is called as it is
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
      const CellNode& node = graph.nodes[i];
      const bool is_parameter = node.op == CellOp::kVector || node.op == CellOp::kScalar;
      if (is_parameter || node.op == CellOp::kMatrix) is_used[node.index] = true;
      if (node.op == CellOp::kState) {
        names_[i] = graph.states[node.index].name;
      } else if (!node.name.empty()) {
        names_[i] = node.name;
      } else if (node.op == CellOp::kInput) {
        names_[i] = taken_.contains(kInputName) ? unused_name(kInputName) : kInputName;
      } else if (is_parameter && !has_own_name[node.index]) {
        names_[i] = graph.parameters[node.index].name;
        has_own_name[node.index] = true;
      } else if (node.op != CellOp::kConstant) {
        names_[i] = unused_name(is_parameter ? graph.parameters[node.index].name : operation(node).name);
      }
    }
    const auto unused = std::find(is_used.begin(), is_used.end(), false);
    if (unused == is_used.end()) return;
    const auto index = static_cast<std::size_t>(unused - is_used.begin());
    throw Error(graph.name + ": nothing needs parameter '" + graph.parameters[index].name +
                "', so the text form cannot have it");
  }

  std::string text() {
    std::string input, states, values, between;
    OrderedJson next = OrderedJson::object();
    for (const CellState& state : graph_.states) {
      states += (states.empty() ? "" : ", ") + OrderedJson{{"name", state.name}, {"size", state.size}}.dump();
      next[state.name] = operand(state.next);
    }
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      switch (graph_.nodes[i].op) {
        case CellOp::kInput:
          if (names_[i] != kInputName) input = "  \"input\": " + OrderedJson(names_[i]).dump() + ",\n";
          break;
        case CellOp::kState:
        case CellOp::kConstant:
          break;
        default:
          values += between + "\n    " + value(i).dump();
          between = ",";
      }
    }
    return "{\n  \"name\": " + OrderedJson(graph_.name).dump() +
           ",\n  \"input_size\": " + std::to_string(graph_.input_size) + ",\n" + input + "  \"states\": [" +
           states + "],\n  \"values\": [" + values + "\n  ],\n  \"next\": " + next.dump() +
           ",\n  \"output\": " + operand(graph_.output).dump() + "\n}\n";
  }

 private:
  static const Operation& operation(const CellNode& node) {
    return *std::find_if(kOperations.begin(), kOperations.end(),
                         [&](const Operation& known) { return known.op == node.op; });
  }

  // `base` for the file alone, or with a number behind it.
  std::string unused_name(const std::string& base) {
    std::string name = kNoName + base;
    while (!taken_.insert(name).second) {
      name = kNoName + base + std::to_string(++numbers_[base] + 1);
    }
    return name;
  }

  OrderedJson operand(std::size_t index) const {
    const CellNode& node = graph_.nodes[index];
    if (node.op != CellOp::kConstant) return names_[index];
    // Whole numbers as such, but for -0.
    constexpr double kExact = 9007199254740992;  // 2^53
    const bool is_whole = std::trunc(node.value) == node.value && std::abs(node.value) < kExact;
    if (is_whole && !(node.value == 0 && std::signbit(node.value))) {
      return static_cast<std::int64_t>(node.value);
    }
    return node.value;
  }

  OrderedJson value(std::size_t index) const {
    const CellNode& node = graph_.nodes[index];
    const bool has_parameter =
        node.op == CellOp::kMatrix || node.op == CellOp::kVector || node.op == CellOp::kScalar;
    OrderedJson value;
    if (node.op == CellOp::kMatrix || !has_parameter || names_[index] != graph_.parameters[node.index].name) {
      value["name"] = names_[index];
    }
    value["op"] = operation(node).name;
    if (has_parameter) value["parameter"] = graph_.parameters[node.index].name;
    if (node.op == CellOp::kMatrix) value["rows"] = node.size;
    for (const std::size_t arg : node.args) value["args"].push_back(operand(arg));
    if (node.op == CellOp::kSlice) value["first"] = node.first;
    if (node.op == CellOp::kSlice || node.op == CellOp::kVector) value["size"] = node.size;
    if (node.op == CellOp::kLayerNorm) value["eps"] = node.value;
    return value;
  }

  const CellGraph& graph_;
  std::vector<std::string> names_;  // [node]
  std::set<std::string> taken_;
  std::map<std::string, int> numbers_;  // the last one behind each name
};

std::string written(const CellGraph& graph) {
  try {
    return Writer(graph).text();
  } catch (const OrderedJson::exception&) {
    throw Error(graph.name + ": a name is not UTF-8, so the text form cannot have it");
  }
}

}  // namespace

CustomCell read_cell(const Json& object, const std::string& place) { return Reader(object, place).read(); }

std::string cell_to_json(const CustomCell& cell) {
  std::string text = written(cell.graph());
  cell_from_json(text);  // else it would be of no use
  return text;
}

CustomCell cell_from_json(std::string_view json) {
  Json value;
  try {
    value = parse_json(json).value;
  } catch (const Error& error) {
    throw Error(std::string("cell: ") + error.what());
  }
  return read_cell(value, "cell");
}

}  // namespace sluice
