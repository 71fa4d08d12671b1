// SPDX-License-Identifier: Apache-2.0
#include "sluice/target.h"

#include <atomic>
#include <cstdlib>
#include <string>

#include "hwy/highway.h"
#include "hwy/targets.h"
#include "kernels/target.h"
#include "sluice/error.h"

namespace sluice {
namespace {

// Highway numbers its targets so that a lower bit is a better target.
std::int64_t best_of(std::int64_t targets) { return targets & -targets; }

// What this build has kernels for and the machine can run. HWY_TARGETS is what this file is compiled for,
// with the same definitions as the dispatch units. The fall-back needs no support from the machine.
std::int64_t available_mask() {
  static const std::int64_t mask =
      (hwy::SupportedTargets() & HWY_TARGETS) | (HWY_TARGETS & (HWY_EMU128 | HWY_SCALAR));
  return mask;
}

std::string available_names() {
  std::string names;
  for (const std::string& name : available_targets()) names += (names.empty() ? "" : ", ") + name;
  return names;
}

std::atomic<std::int64_t> active{0};  // 0: not chosen yet

// Highway keeps one choice for the whole program, and every look-up of a table reads it.
void choose(std::string_view source, std::string_view name) {
  for (std::int64_t rest = available_mask(); rest != 0; rest &= rest - 1) {
    const std::int64_t target = best_of(rest);
    if (!name.empty() && name != kernels::target_name(target)) continue;
    hwy::SetSupportedTargetsForTest(name.empty() ? 0 : target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    active = target;
    return;
  }
  throw Error(std::string(source) + ": there is no instruction set \"" + std::string(name) +
              "\" here, expected one of " + available_names());
}

}  // namespace

namespace kernels {

void apply_target_choice() {
  if (active != 0) return;
  const char* name = std::getenv("SLUICE_TARGET");
  choose("SLUICE_TARGET", name == nullptr ? "" : name);
}

const char* target_name(std::int64_t hwy_target) {
  switch (hwy_target) {
    case HWY_AVX3:
      return "avx512";
    case HWY_AVX2:
      return "avx2";
    case HWY_SSE4:
      return "sse4";
    case HWY_NEON:
      return "neon";
    case HWY_EMU128:
    case HWY_SCALAR:
      return "scalar";
    default:
      return hwy::TargetName(hwy_target);
  }
}

}  // namespace kernels

std::vector<std::string> available_targets() {
  std::vector<std::string> names;
  for (std::int64_t rest = available_mask(); rest != 0; rest &= rest - 1)
    names.emplace_back(kernels::target_name(best_of(rest)));
  return names;
}

std::string active_target() {
  kernels::apply_target_choice();
  return kernels::target_name(active);
}

bool target_has_fma() {
  kernels::apply_target_choice();
  return (active & (HWY_SSE4 | HWY_SSSE3 | HWY_EMU128 | HWY_SCALAR)) == 0;
}

void set_target(std::string_view name) { choose("set_target", name); }

}  // namespace sluice
