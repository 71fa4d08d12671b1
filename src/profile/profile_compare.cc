// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <string>

#include "profile/figures.h"
#include "profile/svg.h"
#include "sluice/error.h"
#include "sluice/profile.h"

namespace sluice {
namespace {

std::string change_text(double before, double after) {
  return before > 0 && after > 0 ? text_of("%+.1f %%", 100 * (after / before - 1)) : "-";
}

// By so much machines' peaks may differ from one measurement to the next.
constexpr double kSamePeak = 1.1;

std::string data_text(const ProfileReport& report) {
  return report.is_random_data ? "drawn at random" : "given";
}

// What else changed than the speed: the reader should know that it is not one measurement twice.
std::string differences(const ProfileReport& before, const ProfileReport& after) {
  std::string text;
  const auto compare = [&](const char* what, const std::string& was, const std::string& is) {
    if (was == is) return;
    text += std::string("  ") + what + ": " + plain_text(was) + " before, " + plain_text(is) + " after\n";
  };
  compare("model", before.model, after.model);
  compare("type", before.dtype, after.dtype);
  compare("steps", std::to_string(before.steps), std::to_string(after.steps));
  compare("rows", std::to_string(before.batch), std::to_string(after.batch));
  compare("features", std::to_string(before.input_size), std::to_string(after.input_size));
  compare("steps within lengths", percent_text(before.valid_share), percent_text(after.valid_share));
  compare("data", data_text(before), data_text(after));
  compare("threads", std::to_string(before.threads), std::to_string(after.threads));
  compare("instructions", before.machine.target, after.machine.target);
  const double was = before.machine.flops, is = after.machine.flops;
  if (was > kSamePeak * is || is > kSamePeak * was) {
    compare("machine's peak", rate_text(was, "FLOP/s"), rate_text(is, "FLOP/s"));
  }
  const auto note = [&](const char* when, const std::string& unsteady) {
    if (!unsteady.empty()) text += std::string("  ") + when + ", " + unsteady + "\n";
  };
  note("before", unsteady_text(before));
  note("after", unsteady_text(after));
  return text;
}

}  // namespace

ProfileComparison compare_profiles(const ProfileReport& before, const ProfileReport& after) {
  if (!(before.seconds_min > 0) || !(after.seconds_min > 0)) {
    throw Error("compare_profiles: the runs took " + text_of("%g", before.seconds_min) + " s and " +
                text_of("%g", after.seconds_min) + " s, expected more than 0");
  }
  // By name, and the how manieth of that name: unnamed modules may share their type's.
  const auto key = [](std::map<std::string, int>& seen, const std::string& name) {
    return name + "\n" + std::to_string(seen[name]++);
  };
  std::map<std::string, const PartReport*> old_parts;
  std::map<std::string, int> seen_before, seen_after;
  for_each_part(before.parts,
                [&](const PartReport& part, std::size_t) { old_parts[key(seen_before, part.name)] = &part; });

  Columns columns;
  columns.add({"", "before", "after", "change", "of bound", "of bound"});
  const auto add = [&](const std::string& name, double was, double is, double old_share, double new_share) {
    const auto figure = [](double value, std::string (*text)(double)) {
      return value > 0 ? text(value) : "-";
    };
    columns.add({name, figure(was, seconds_text), figure(is, seconds_text), change_text(was, is),
                 figure(old_share, percent_text), figure(new_share, percent_text)});
  };
  add("a run", before.seconds_min, after.seconds_min, before.share_of_bound, after.share_of_bound);
  for_each_part(after.parts, [&](const PartReport& part, std::size_t depth) {
    const auto old = old_parts.find(key(seen_after, part.name));
    const PartReport* was = old == old_parts.end() ? nullptr : old->second;
    add(std::string(2 * depth, ' ') + plain_text(part.name), was ? was->seconds_min : 0, part.seconds_min,
        was ? was->share_of_bound : 0, part.share_of_bound);
    if (was) old_parts.erase(old);
  });
  for (const auto& [name, part] : old_parts) {
    add(plain_text(part->name), part->seconds_min, 0, part->share_of_bound, 0);
  }
  return {differences(before, after) + columns.text(2), after.seconds_min / before.seconds_min - 1};
}

}  // namespace sluice
