// SPDX-License-Identifier: Apache-2.0
// What a checkpoint of `sluice train` says beside the numbers, and which trainings may go on from it.
#pragma once

#include <string>

#include "cli/commands.h"
#include "sluice/checkpoint.h"

namespace sluice::cli {

/// All that a training's bits depend on but the state that it goes on from: by options' names, and the
/// `architecture` and `data` that the arguments led to.
CheckpointFacts facts_of(const TrainArguments& arguments, const std::string& architecture,
                         const std::string& data);

/// Throws UsageError that names the first of `facts` that the checkpoint at `path`, which says `found`, has
/// not.
void check_facts(const std::string& path, const CheckpointFacts& found, const CheckpointFacts& facts);

/// A fact by its name, and one that is a whole number. Both throw FileError.
const std::string& fact(const std::string& path, const CheckpointFacts& found, const std::string& name);
std::uint64_t count_fact(const std::string& path, const CheckpointFacts& found, const std::string& name);

}  // namespace sluice::cli
