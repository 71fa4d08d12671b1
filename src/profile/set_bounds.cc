// SPDX-License-Identifier: Apache-2.0
#include "profile/set_bounds.h"

#include <algorithm>
#include <vector>

#include "profile/bounds.h"
#include "sluice/layers.h"

namespace sluice {
namespace {

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

}  // namespace

template <class T>
void set_bounds(ProfileReport& report, const Module<T>& module, const MachineLimits& machine) {
  report.machine = machine;
  const auto rows = static_cast<std::size_t>(static_cast<double>(report.batch) * report.valid_share);
  BoundCall call{report.steps, std::max<std::size_t>(rows, 1), report.input_size};
  std::vector<ModuleBound> bounds;
  collect_bounds(module, call, machine, bounds);
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

template void set_bounds(ProfileReport&, const Module<float>&, const MachineLimits&);
template void set_bounds(ProfileReport&, const Module<double>&, const MachineLimits&);

}  // namespace sluice
