// SPDX-License-Identifier: Apache-2.0
// What the files of bench/ offer to main: each registers its benchmarks, by the names that they are printed
// with.
#pragma once

#include <string>
#include <vector>

#include "shape.h"

namespace sluice::bench {

void register_gate_math();     ///< kernels/: elementwise kernels by themselves, beside Eigen's
void register_activations();   ///< cells/: sigmoid, tanh and their gradients, as a user calls them
void register_gates();         ///< cells/: the fused gates
void register_cells();         ///< layers/: LSTMCell, GRUCell, RNNCell
void register_recurrent();     ///< layers/: LSTM, GRU, RNN: whole sequences, and one step at a time
void register_host_threads();  ///< layers/: several threads of the caller's at once
void register_loading();       ///< io/: from a file to a model that is ready

/// One recurrent benchmark of any shape.
void register_case(const RecurrentCase& shape);

/// layers/: tables of what each step of these cells of the library costs; of all, where none is named. Throws
/// Error for a name that is none.
void print_cell_costs(const std::vector<std::string>& names);

}  // namespace sluice::bench
