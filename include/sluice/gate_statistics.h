// SPDX-License-Identifier: Apache-2.0
// How near gates are to saturation, and how far back gradients reach: measured by backward() where
// BackwardOptions::statistics asks for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sluice {

/// The activations of one gate. Where most of them are at an end, the gate's slope y (1 - y) is near 0, and
/// what stands before it no longer learns.
struct SaturationCount {
  /// LSTM: input, forget, cell, output; GRU: reset, update, new; RNN with tanh: hidden; a cell of one's own:
  /// the sigmoids and tanhs by the names that they or their arguments were given.
  std::string gate;
  std::uint64_t activations = 0;
  std::uint64_t low = 0;   ///< below 0.01; cell, new and hidden, which are tanhs: below -0.99
  std::uint64_t high = 0;  ///< above 0.99

  /// Shares of the activations; 0 where there are none.
  double below() const noexcept { return share(low); }
  double above() const noexcept { return share(high); }

 private:
  double share(std::uint64_t n) const noexcept {
    return activations == 0 ? 0 : static_cast<double>(n) / static_cast<double>(activations);
  }
};

/// The norm over a batch's rows and units of the gradient of the loss with respect to h of one time step: all
/// that reaches it, from above and from later steps. With a projection h is what it made; a cell of one's own
/// whose output is no state has that of its states.
struct GradientNorm {
  double sum = 0;          ///< of the runs' norms
  std::uint64_t runs = 0;  ///< in which a row had this step

  double mean() const noexcept { return runs == 0 ? 0 : sum / static_cast<double>(runs); }
};

/// One direction of one layer of a recurrent module.
struct RecurrentStatistics {
  std::string module;  ///< the prefix of its parameters, "rnn", or its type where it has none
  std::size_t layer = 0;
  std::size_t direction = 0;  ///< 1: the reverse
  std::vector<SaturationCount> gates;
  std::vector<GradientNorm> gradients;  ///< [T], by time also in the reverse direction
};

/// Each backward() adds its run, as it does to gradients; `= {}` begins anew. Layers stand in the order in
/// which the model runs them. Those below the first that has something to learn are not gone through, and not
/// here. The numbers do not depend on threads.
struct GateStatistics {
  std::vector<RecurrentStatistics> layers;
};

}  // namespace sluice
