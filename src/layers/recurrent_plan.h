// SPDX-License-Identifier: Apache-2.0
// How the work of a recurrent network is shared among threads, and when the input part of a step is made in
// advance. Nothing here changes a bit of the result. docs/threads.md tells the reasons.
#pragma once

#include <cstddef>

namespace sluice {

/// What the plan depends on: sizes only, never the time of day.
struct RecurrentShape {
  std::size_t steps = 0;
  std::size_t batch = 0;
  std::size_t input_size = 0;
  std::size_t hidden_size = 0;
  std::size_t state_size = 0;  ///< H_out
  std::size_t gates = 0;
  std::size_t directions = 1;
  std::size_t layers = 1;
  std::size_t stages = 1;
  std::size_t lanes = 1;
  std::size_t tile_rows = 1;
  std::size_t element_bytes = 4;
};

/// A team of direction_groups x layer_groups x batch_groups x unit_groups threads.
///   direction_groups  1, or 2: the two directions side by side; they meet once a layer
///   layer_groups      layers of a stack side by side, each some steps behind the one below; layer l belongs
///   to
///                     group l modulo their number. Only where there is one direction
///   batch_groups      groups of rows, which never meet
///   unit_groups       threads that share the hidden units of the same rows; they meet at each stage of a
///   step
struct RecurrentPlan {
  std::size_t direction_groups = 1;
  std::size_t layer_groups = 1;
  std::size_t batch_groups = 1;
  std::size_t unit_groups = 1;
  /// The input part of this many steps at once is made in advance; 0: each step makes its own.
  std::size_t ahead_steps = 0;
  /// How many steps a layer waits for at once where layers go side by side.
  std::size_t wave_steps() const noexcept { return ahead_steps > 0 ? ahead_steps : 8; }

  std::size_t threads() const noexcept {
    return direction_groups * layer_groups * batch_groups * unit_groups;
  }
};

/// Estimated time of a call under a plan, in ns: what plan_recurrent makes least.
double recurrent_cost_ns(const RecurrentShape& shape, const RecurrentPlan& plan) noexcept;

/// The cheapest plan for at most `threads` threads. One thread where more would not pay.
RecurrentPlan plan_recurrent(const RecurrentShape& shape, std::size_t threads) noexcept;

}  // namespace sluice
