// SPDX-License-Identifier: Apache-2.0
// What a model does, on the terminal while it runs.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "sluice/profile.h"

namespace sluice::cli {

/// One screen: speed and phases so far, and the level of each gate at `place` of its time, 0 to 1. Lines of
/// at most `width` letters.
std::string live_screen(const ProfileReport& report, const ProfileTimes& times, double place,
                        std::size_t width);

/// Calls run() again and again, `repeat` times or until Ctrl-C, and draws the screen meanwhile. `report` has
/// the gates; `profiler` counts the runs.
void run_live(const ProfileReport& report, const Profiler& profiler, std::optional<std::size_t> repeat,
              const std::function<void()>& run);

}  // namespace sluice::cli
