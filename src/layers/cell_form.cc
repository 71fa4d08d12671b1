// SPDX-License-Identifier: Apache-2.0
#include "layers/cell_form.h"

#include "sluice/error.h"

namespace sluice {

CellForm::CellForm(const CustomCell& cell)
    : lowered(lower_cell(cell.graph())), output_size(lowered.nodes[lowered.output].size) {
  for (std::size_t s = 0; s < lowered.states.size(); ++s) {
    const CellState& state = lowered.states[s];
    // A state that keeps its old value has no place of its own in the output.
    if (!h_state && state.next == lowered.output && state.size == output_size) h_state = s;
    c_offsets.push_back(c_size);
    if (!is_in_h(s)) c_size += state.size;
  }
  try {
    backward = derive_backward(lowered);
  } catch (const Error& error) {
    why_no_backward = error.what();  // which is no reason not to run it
  }
}

std::vector<std::size_t> saved_offsets(const LoweredCell& cell, const std::vector<std::size_t>& saved) {
  constexpr std::size_t kAlign = 16;  // so that vectors cross no cache lines
  std::vector<std::size_t> offsets{0};
  for (const std::size_t node : saved) {
    offsets.push_back(offsets.back() + (cell.nodes[node].size + kAlign - 1) / kAlign * kAlign);
  }
  return offsets;
}

}  // namespace sluice
