// SPDX-License-Identifier: Apache-2.0
#include "profile/set_bounds.h"

#include <algorithm>
#include <utility>

#include "profile/figures.h"
#include "profile/machine_limits.h"
#include "sluice/layers.h"

namespace sluice {
namespace {

// Clocks and the moods of a machine allow so much.
constexpr double kHighestShare = 1.02;

// The modules that a profiler counts, in their order: none that holds others, none that does nothing.
template <class T>
void collect_bounds(const Module<T>& module, BoundCall& call, const MachineLimits& machine,
                    std::vector<ModuleBound>& bounds) {
  if (const auto* sequential = dynamic_cast<const Sequential<T>*>(&module)) {
    for (std::size_t i = 0; i < sequential->size(); ++i) {
      collect_bounds((*sequential)[i], call, machine, bounds);
    }
    return;
  }
  if (dynamic_cast<const Dropout<T>*>(&module) != nullptr) return;
  bounds.push_back(module_bound(module, call, machine));
  call = bounds.back().next;
}

void set_bound(PartReport& part, const Bound& bound) {
  part.bound = bound;
  part.share_of_bound = part.seconds_min > 0 ? bound.seconds / part.seconds_min : 0;
}

double highest_share(const ProfileReport& report) {
  double highest = report.share_of_bound;
  for_each_part(report.parts, [&](const PartReport& part, std::size_t) {
    highest = std::max(highest, part.share_of_bound);
  });
  return highest;
}

}  // namespace

void set_bounds(ProfileReport& report, const PartBounds& bounds_on, const MachineLimits& machine) {
  report.machine = machine;
  const std::vector<ModuleBound> bounds = bounds_on(machine);
  std::vector<Bound> all;
  for (std::size_t i = 0; i < std::min(bounds.size(), report.parts.size()); ++i) {
    PartReport& part = report.parts[i];
    set_bound(part, bounds[i].bound);
    all.push_back(bounds[i].bound);
    // Both are [layer][direction].
    for (std::size_t j = 0; j < std::min(bounds[i].cells.size(), part.parts.size()); ++j) {
      set_bound(part.parts[j], bounds[i].cells[j].bound);
    }
  }
  report.bound = add_bounds(all);
  report.share_of_bound = report.seconds_min > 0 ? report.bound.seconds / report.seconds_min : 0;
}

void set_bounds_here(ProfileReport& report, const PartBounds& bounds, bool fresh) {
  set_bounds(report, bounds, machine_limits(report.threads, fresh));
  if (highest_share(report) <= kHighestShare) return;
  set_bounds(report, bounds, raised_limits(report.machine));
}

template <class T>
PartBounds bounds_of(const Module<T>& module, const Sequence<T>& in) {
  BoundCall call{in.x.dim(0), in.x.dim(1), in.x.dim(2), {in.lengths.begin(), in.lengths.end()}};
  return [&module, call = std::move(call)](const MachineLimits& machine) {
    std::vector<ModuleBound> bounds;
    BoundCall next = call;
    collect_bounds(module, next, machine, bounds);
    return bounds;
  };
}

template PartBounds bounds_of(const Module<float>&, const Sequence<float>&);
template PartBounds bounds_of(const Module<double>&, const Sequence<double>&);

}  // namespace sluice
