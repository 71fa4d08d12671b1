// SPDX-License-Identifier: Apache-2.0
// A profile as JSON, schema 1 of docs/profile.md, and back. A figure that is not finite is null.
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/json.h"
#include "sluice/error.h"
#include "sluice/profile.h"

namespace sluice {
namespace {

constexpr std::uint64_t kSchema = 1;

// In the order in which they are written, which sorted names would hide.
using OrderedJson = nlohmann::ordered_json;

// The fewest digits that give the float back: as a double it would be written with twice as many.
OrderedJson to_json(float value) {
  if (!std::isfinite(value)) return nullptr;
  char text[32];
  const char* end = std::to_chars(text, text + sizeof text, value).ptr;
  double same = 0;
  std::from_chars(text, end, same);
  return same;
}

OrderedJson to_json(const std::vector<float>& values) {
  OrderedJson list = OrderedJson::array();
  for (const float value : values) list.push_back(to_json(value));
  return list;
}

OrderedJson seconds_per_run(double least, double median) { return {{"min", least}, {"median", median}}; }

void add_bound(OrderedJson& object, const Bound& bound, double share) {
  object["bound_seconds"] = bound.seconds;
  object["bound_by"] = bound.by;
  object["share_of_bound"] = share;
  object["flops"] = bound.flops;
  object["bytes"] = bound.bytes;
}

OrderedJson to_json(const MachineLimits& machine) {
  OrderedJson levels = OrderedJson::array();
  for (const MachineLimits::Level& level : machine.levels) {
    levels.push_back(
        {{"name", level.name}, {"bytes", level.bytes}, {"bytes_per_second", level.bytes_per_second}});
  }
  return {{"target", machine.target},
          {"threads", machine.threads},
          {"flops_per_second", machine.flops},
          {"levels", std::move(levels)},
          {"sigmoid_per_second", machine.sigmoid_per_second},
          {"tanh_per_second", machine.tanh_per_second}};
}

OrderedJson to_json(const HardwareCounts& counts) {
  return {{"is_there", counts.is_there},
          {"why_not", counts.why_not},
          {"cycles", counts.cycles},
          {"instructions", counts.instructions},
          {"cache_misses", counts.cache_misses}};
}

OrderedJson to_json(const std::vector<PartReport>& parts) {
  OrderedJson list = OrderedJson::array();
  for (const PartReport& part : parts) {
    OrderedJson phases = OrderedJson::object();
    for (std::size_t i = 0; i < kPhases; ++i) {
      phases[std::string(phase_name(static_cast<Phase>(i)))] = part.phases[i];
    }
    OrderedJson object = {{"name", part.name},
                          {"type", part.type},
                          {"threads", part.threads},
                          {"seconds_per_run", seconds_per_run(part.seconds_min, part.seconds_median)},
                          {"phases", std::move(phases)}};
    add_bound(object, part.bound, part.share_of_bound);
    object["gates_per_second"] = part.gates_per_second;
    object["ns_per_gate"] = part.ns_per_gate;
    object["elements_per_cycle"] = part.elements_per_cycle;
    object["parts"] = to_json(part.parts);
    list.push_back(std::move(object));
  }
  return list;
}

OrderedJson to_json(const Tensor<float>& heat) {
  OrderedJson rows = OrderedJson::array();
  for (std::size_t u = 0; heat.rank() == 2 && u < heat.dim(0); ++u) {
    OrderedJson row = OrderedJson::array();
    for (std::size_t t = 0; t < heat.dim(1); ++t) row.push_back(to_json(heat(u, t)));
    rows.push_back(std::move(row));
  }
  return rows;
}

OrderedJson to_json(const GateReport& gate) {
  return {{"module", gate.module},
          {"layer", gate.layer},
          {"direction", gate.direction},
          {"gate", gate.gate},
          {"is_tanh", gate.is_tanh},
          {"activations", gate.activations},
          {"shut", gate.shut},
          {"open", gate.open},
          {"mean", gate.mean},
          {"mean_derivative", gate.mean_derivative},
          {"kept_shut", gate.kept_shut},
          {"kept_open", gate.kept_open},
          {"memory_steps", gate.memory_steps},
          {"memory_low", gate.memory_low},
          {"memory_median", gate.memory_median},
          {"memory_high", gate.memory_high},
          {"histogram", gate.histogram},
          {"unit_mean", to_json(gate.unit_mean)},
          {"unit_deviation", to_json(gate.unit_deviation)},
          {"unit_shut", to_json(gate.unit_shut)},
          {"unit_open", to_json(gate.unit_open)},
          {"dead_units", gate.dead_units},
          {"stuck_units", gate.stuck_units},
          {"heat", to_json(gate.heat)}};
}

// The members of an object from a file that is not trusted. Messages name the place: "modules[0].phases".
// What a later version may have added is left alone.
class Members {
 public:
  Members(const Json& value, std::string place) : value_(value), place_(std::move(place)) {
    if (!value.is_object()) fail(place_, value, "an object");
  }

  Members object(const char* name) const { return {at(name), path(name)}; }

  std::string text(const char* name) const {
    const Json& value = at(name);
    if (!value.is_string()) fail(path(name), value, "a string");
    return value.get<std::string>();
  }
  bool boolean(const char* name) const {
    const Json& value = at(name);
    if (!value.is_boolean()) fail(path(name), value, "true or false");
    return value.get<bool>();
  }
  double number(const char* name) const { return as_number(at(name), path(name)); }
  // What the first versions did not write.
  double number_or_0(const char* name) const { return value_.contains(name) ? number(name) : 0; }
  // That counts or measures something.
  double amount(const char* name) const {
    const double value = number(name);
    if (value < 0) fail(path(name), at(name), "a number that is not negative");
    return value;
  }
  template <class Whole>
  Whole whole(const char* name) const {
    return as_whole<Whole>(at(name), path(name));
  }
  template <class Whole>
  std::vector<Whole> wholes(const char* name) const {
    return each<Whole>(name, as_whole<Whole>);
  }
  std::vector<double> numbers(const char* name) const { return each<double>(name, as_number); }
  std::vector<float> floats(const char* name) const { return each<float>(name, as_float); }
  // Rows of one length.
  Tensor<float> matrix(const char* name) const {
    const auto rows = each<std::vector<float>>(
        name, [](const Json& row, const std::string& place) { return list<float>(row, place, as_float); });
    if (rows.empty()) return {};
    std::vector<float> all;
    for (const std::vector<float>& row : rows) {
      if (row.size() != rows[0].size()) fail(path(name), at(name), "rows of one length");
      all.insert(all.end(), row.begin(), row.end());
    }
    return Tensor<float>({rows.size(), rows[0].size()}, std::span<const float>(all));
  }
  template <class Value, class Read>
  std::vector<Value> objects(const char* name, const Read& read) const {
    return each<Value>(
        name, [&](const Json& value, const std::string& place) { return read(Members(value, place)); });
  }

 private:
  [[noreturn]] static void fail(const std::string& place, const Json& value, const char* expected) {
    throw Error(place + " is " + json_excerpt(value) + ", expected " + expected);
  }

  static double as_number(const Json& value, const std::string& place) {
    if (value.is_null()) return std::numeric_limits<double>::quiet_NaN();
    if (!value.is_number()) fail(place, value, "a number, or null");
    return value.get<double>();
  }
  static float as_float(const Json& value, const std::string& place) {
    const double number = as_number(value, place);
    if (std::abs(number) > static_cast<double>(std::numeric_limits<float>::max())) {
      fail(place, value, "a number in the range of float32");
    }
    return static_cast<float>(number);
  }
  template <class Whole>
  static Whole as_whole(const Json& value, const std::string& place) {
    if (!value.is_number_unsigned() || !std::in_range<Whole>(value.get<std::uint64_t>())) {
      fail(place, value, "a whole number that is not negative");
    }
    return static_cast<Whole>(value.get<std::uint64_t>());
  }

  template <class Value, class Read>
  static std::vector<Value> list(const Json& value, const std::string& place, const Read& read) {
    if (!value.is_array()) fail(place, value, "a list");
    std::vector<Value> values;
    for (std::size_t i = 0; i < value.size(); ++i) {
      values.push_back(read(value[i], place + "[" + std::to_string(i) + "]"));
    }
    return values;
  }
  template <class Value, class Read>
  std::vector<Value> each(const char* name, const Read& read) const {
    return list<Value>(at(name), path(name), read);
  }

  std::string path(const char* name) const { return place_ + "." + name; }
  const Json& at(const char* name) const {
    const auto it = value_.find(name);
    if (it == value_.end()) throw Error(path(name) + " is missing");
    return *it;
  }

  const Json& value_;
  std::string place_;
};

Bound read_bound(const Members& in) {
  return {in.amount("flops"), in.amount("bytes"), in.amount("bound_seconds"), in.text("bound_by")};
}

MachineLimits read_machine(const Members& in) {
  MachineLimits machine;
  machine.target = in.text("target");
  machine.threads = in.whole<int>("threads");
  machine.flops = in.amount("flops_per_second");
  machine.levels = in.objects<MachineLimits::Level>("levels", [](const Members& level) {
    return MachineLimits::Level{level.text("name"), level.whole<std::size_t>("bytes"),
                                level.amount("bytes_per_second")};
  });
  machine.sigmoid_per_second = in.amount("sigmoid_per_second");
  machine.tanh_per_second = in.amount("tanh_per_second");
  return machine;
}

HardwareCounts read_hardware(const Members& in) {
  return {in.boolean("is_there"), in.text("why_not"), in.amount("cycles"), in.amount("instructions"),
          in.amount("cache_misses")};
}

// The parser's limit of depth ends the recursion.
PartReport read_part(const Members& in) {
  PartReport part;
  part.name = in.text("name");
  part.type = in.text("type");
  part.threads = in.whole<std::size_t>("threads");
  const Members seconds = in.object("seconds_per_run");
  part.seconds_min = seconds.amount("min");
  part.seconds_median = seconds.amount("median");
  const Members phases = in.object("phases");
  for (std::size_t i = 0; i < kPhases; ++i) {
    part.phases[i] = phases.amount(std::string(phase_name(static_cast<Phase>(i))).c_str());
  }
  part.bound = read_bound(in);
  part.share_of_bound = in.amount("share_of_bound");
  part.gates_per_second = in.amount("gates_per_second");
  part.ns_per_gate = in.amount("ns_per_gate");
  part.elements_per_cycle = in.amount("elements_per_cycle");
  part.parts = in.objects<PartReport>("parts", read_part);
  return part;
}

GateReport read_gate(const Members& in) {
  GateReport gate;
  gate.module = in.text("module");
  gate.layer = in.whole<std::size_t>("layer");
  gate.direction = in.whole<std::size_t>("direction");
  gate.gate = in.text("gate");
  gate.is_tanh = in.boolean("is_tanh");
  gate.activations = in.whole<std::uint64_t>("activations");
  gate.shut = in.whole<std::uint64_t>("shut");
  gate.open = in.whole<std::uint64_t>("open");
  gate.mean = in.number("mean");
  gate.mean_derivative = in.number("mean_derivative");
  gate.kept_shut = in.number_or_0("kept_shut");
  gate.kept_open = in.number_or_0("kept_open");
  gate.memory_steps = in.number("memory_steps");
  gate.memory_low = in.number_or_0("memory_low");
  gate.memory_median = in.number_or_0("memory_median");
  gate.memory_high = in.number_or_0("memory_high");
  gate.histogram = in.wholes<std::uint64_t>("histogram");
  gate.unit_mean = in.floats("unit_mean");
  gate.unit_deviation = in.floats("unit_deviation");
  gate.unit_shut = in.floats("unit_shut");
  gate.unit_open = in.floats("unit_open");
  gate.dead_units = in.wholes<std::size_t>("dead_units");
  gate.stuck_units = in.wholes<std::size_t>("stuck_units");
  gate.heat = in.matrix("heat");
  return gate;
}

ProfileReport read_report(const Members& in) {
  ProfileReport report;
  report.model = in.text("model");
  report.dtype = in.text("dtype");
  report.steps = in.whole<std::size_t>("steps");
  report.batch = in.whole<std::size_t>("batch");
  report.input_size = in.whole<std::size_t>("input_size");
  report.longest = in.whole<std::size_t>("longest");
  report.valid_share = in.amount("valid_share");
  report.threads = in.whole<int>("threads");
  report.repeat = in.whole<std::size_t>("repeat");
  report.load_seconds = in.amount("load_seconds");
  const Members seconds = in.object("seconds_per_run");
  report.seconds_min = seconds.amount("min");
  report.seconds_median = seconds.amount("median");
  report.bound = read_bound(in);
  report.share_of_bound = in.amount("share_of_bound");
  report.machine = read_machine(in.object("machine"));
  report.hardware = read_hardware(in.object("hardware"));
  report.parts = in.objects<PartReport>("modules", read_part);
  report.is_random_data = in.boolean("is_random_data");
  report.gates = in.objects<GateReport>("gates", read_gate);
  report.gradient_norms = in.numbers("gradient_norms");
  report.advice = in.objects<Advice>("advice", [](const Members& advice) {
    return Advice{advice.text("where"), advice.text("what"), advice.text("figure"),
                  advice.boolean("is_measured")};
  });
  report.trace = in.objects<TraceSpan>("trace", [](const Members& span) {
    return TraceSpan{span.text("name"), span.whole<std::size_t>("thread"), span.amount("begin"),
                     span.amount("seconds"), span.whole<std::size_t>("step")};
  });
  return report;
}

}  // namespace

std::string profile_json(const ProfileReport& report) {
  OrderedJson all = {{"schema", kSchema},
                     {"model", report.model},
                     {"dtype", report.dtype},
                     {"steps", report.steps},
                     {"batch", report.batch},
                     {"input_size", report.input_size},
                     {"longest", report.longest},
                     {"valid_share", report.valid_share},
                     {"threads", report.threads},
                     {"repeat", report.repeat},
                     {"load_seconds", report.load_seconds},
                     {"seconds_per_run", seconds_per_run(report.seconds_min, report.seconds_median)}};
  add_bound(all, report.bound, report.share_of_bound);
  all["machine"] = to_json(report.machine);
  all["hardware"] = to_json(report.hardware);
  all["modules"] = to_json(report.parts);
  all["is_random_data"] = report.is_random_data;
  OrderedJson gates = OrderedJson::array();
  for (const GateReport& gate : report.gates) gates.push_back(to_json(gate));
  all["gates"] = std::move(gates);
  all["gradient_norms"] = report.gradient_norms;
  OrderedJson advice = OrderedJson::array();
  for (const Advice& one : report.advice) {
    advice.push_back(
        {{"where", one.where}, {"what", one.what}, {"figure", one.figure}, {"is_measured", one.is_measured}});
  }
  all["advice"] = std::move(advice);
  OrderedJson trace = OrderedJson::array();
  for (const TraceSpan& span : report.trace) {
    trace.push_back({{"name", span.name},
                     {"thread", span.thread},
                     {"begin", span.begin},
                     {"seconds", span.seconds},
                     {"step", span.step}});
  }
  all["trace"] = std::move(trace);

  // A member a line: lists of thousands of numbers would otherwise take a line each.
  std::string text = "{";
  for (const auto& [name, value] : all.items()) {
    text += text.size() == 1 ? "\n\"" : ",\n\"";
    text += name + "\": " + value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  }
  return text + "\n}\n";
}

ProfileReport profile_from_json(std::string_view json) {
  const JsonDocument document = parse_json(json);
  const Members in(document.value, "profile");
  const auto schema = in.whole<std::uint64_t>("schema");
  if (schema != kSchema) {
    throw Error("profile.schema is " + std::to_string(schema) + ", expected " + std::to_string(kSchema));
  }
  return read_report(in);
}

}  // namespace sluice
