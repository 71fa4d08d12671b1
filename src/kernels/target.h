// SPDX-License-Identifier: Apache-2.0
// Which of the compiled instruction sets the dispatch units run on. The public half is sluice/target.h.
#pragma once

#include <cstdint>

namespace sluice::kernels {

/// Makes Highway's dispatch obey SLUICE_TARGET. Every dispatch unit calls this before it looks up its table,
/// since the first look-up fixes the choice; a later call costs one load. Throws Error if the variable names
/// an instruction set that is not available.
void apply_target_choice();

/// The public name ("avx512", "avx2", ...) of one of Highway's targets: target_name(HWY_TARGET).
const char* target_name(std::int64_t hwy_target);

}  // namespace sluice::kernels
