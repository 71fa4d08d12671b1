// SPDX-License-Identifier: Apache-2.0
// Advice on threads and rows that is measured on the spot.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "sluice/module.h"
#include "sluice/profile.h"

namespace sluice {

/// One way to run a model, and what its runs took.
struct Trial {
  int threads = 1;
  std::vector<double> seconds;
};

/// `own` first, then those of 1, 2, 4, 8, ... below `most`, and `most`, that are others.
std::vector<int> threads_to_try(int own, int most);

/// Measures each of `runs` once, then each once more, `repeat` times: whatever else the machine does meets
/// them alike. Before a measurement there is a run that does not count, as its threads may have to be made
/// and its data fetched. Returns seconds of a run by run and round; short runs are measured many at a time.
std::vector<std::vector<double>> seconds_in_turns(std::span<const std::function<void()>> runs,
                                                  std::size_t repeat);

/// The fastest of `trials`; the first, which is the report's own, unless another is faster by its least and
/// by its median.
const Trial& fastest_of(std::span<const Trial> trials);
/// What there is to say of threads, and of twice the rows beside `once`; nothing where that does not help.
std::optional<Advice> threads_advice(const ProfileReport& report, std::span<const Trial> trials);
std::optional<Advice> rows_advice(const ProfileReport& report, const Trial& once, const Trial& twice);

/// Measures what advice says of threads and rows, whether the report had any or not, and puts that in its
/// place.
template <class T>
void try_advice(ProfileReport& report, const Module<T>& module, const Sequence<T>& in);

}  // namespace sluice
