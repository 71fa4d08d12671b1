// SPDX-License-Identifier: Apache-2.0
// A layered drawing, as Sugiyama et al. (1981) have it: each box in the layer below those that lead to it; an
// order within the layers that has few crossings; then places.
#pragma once

#include <cstddef>
#include <vector>

namespace sluice {

/// A box, or a place where a line passes a layer.
struct LayeredVertex {
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  /// Of a box. kTop: what none of these leads to stands near where it is used. kBottom: in the last layer.
  enum class Role { kTop, kBetween, kBottom };

  Role role = Role::kBetween;
  double width = 0;
  std::vector<std::size_t> above{};  ///< neighbours; of a box one an argument, in their order

  // What arrange_layers makes.
  std::size_t line = kNone;  ///< the box whose line passes here
  std::size_t layer = 0;
  double x = 0;  ///< of the middle
  std::vector<std::size_t> under{};

  bool is_box() const noexcept { return line == kNone; }
};

/// Takes boxes that stand behind those above them, those of the last layer behind all. Gives them their
/// places, with those of passing lines behind them.
std::vector<LayeredVertex> arrange_layers(std::vector<LayeredVertex> boxes);

}  // namespace sluice
