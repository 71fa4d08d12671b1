// SPDX-License-Identifier: Apache-2.0
// Where a training stands, in one file: a run that is killed at any moment and goes on from its last
// checkpoint gives the bits of one that was not.
#pragma once

#include <map>
#include <string>

#include "sluice/optim.h"
#include "sluice/parameters.h"

namespace sluice {

/// Facts that the caller keeps beside the numbers: the epoch, Schedule::state(), the seed ...
using CheckpointFacts = std::map<std::string, std::string>;

/// Writes a safetensors file with every parameter as "model." + its name, the optimizer's state as
/// "optimizer." + its names, and the facts as metadata. The file at `path` is replaced only when the new one
/// is complete. Throws FileError; Error for a fact named "optimizer", which is the optimizer's type.
template <class T>
void save_checkpoint(const std::string& path, const Parameters<T>& parameters, const Optimizer<T>& optimizer,
                     const CheckpointFacts& facts = {});

/// Takes all that back, to the bit, and returns the facts. Throws FileError that names what is missing, left
/// over, of another shape or element type, or for another optimizer; parameters and optimizer are then as
/// before.
template <class T>
CheckpointFacts load_checkpoint(const std::string& path, Parameters<T>& parameters, Optimizer<T>& optimizer);

extern template void save_checkpoint(const std::string&, const Parameters<float>&, const Optimizer<float>&,
                                     const CheckpointFacts&);
extern template void save_checkpoint(const std::string&, const Parameters<double>&, const Optimizer<double>&,
                                     const CheckpointFacts&);
extern template CheckpointFacts load_checkpoint(const std::string&, Parameters<float>&, Optimizer<float>&);
extern template CheckpointFacts load_checkpoint(const std::string&, Parameters<double>&, Optimizer<double>&);

}  // namespace sluice
