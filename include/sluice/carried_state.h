// SPDX-License-Identifier: Apache-2.0
// States that go from one recorded run to the next, so that long sequences are trained in windows: truncated
// back-propagation through time (Williams and Peng 1990).
//
//   CarriedState carried;  // of one batch of sequences; another one begins with another
//   for (std::size_t first = 0; first < x.dim(0); first += window) {
//     const std::size_t steps = std::min(window, x.dim(0) - first);
//     const auto out = modules.record({x.narrow(0, first, steps)}, tape, {.carried = &carried});
//     ...  // loss, backward, a step of the optimizer, update
//   }
#pragma once

#include <map>
#include <string>
#include <variant>

#include "sluice/error.h"
#include "sluice/tensor.h"

namespace sluice {

/// What recurrent modules leave at the end of a run, and begin the next with, as values: no gradient goes
/// back through them. One serves a whole model, since each module has its own names: its prefix + "h"
/// [L, B, H_out] and, for an LSTM, + "c" [L, B, H]. Window by window the outputs have the bits of the whole
/// sequence, as long as the values of the parameters stay. A row of length 0 keeps its state. Belongs to one
/// thread at a time.
class CarriedState {
 public:
  /// The state of that name, to be read or set; null, which stands for zeros, if there is none yet. Throws
  /// Error for one of another element type.
  template <class T>
  Tensor<T>& at(const std::string& name) {
    auto& state = states_.try_emplace(name, Tensor<T>()).first->second;
    if (auto* found = std::get_if<Tensor<T>>(&state)) return *found;
    throw Error("CarriedState: '" + name + "' has another element type");
  }
  /// The next run begins with zeros.
  void clear() noexcept { states_.clear(); }

 private:
  std::map<std::string, std::variant<Tensor<float>, Tensor<double>>> states_;
};

}  // namespace sluice
