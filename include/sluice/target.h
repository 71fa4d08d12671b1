// SPDX-License-Identifier: Apache-2.0
// The instruction set that the kernels run on: which there are, which is in use, and how to pin one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice {

/// Instruction sets that this build has kernels for and this machine can run, best first: "avx512", "avx2",
/// "sse4", "scalar", "neon". All with FMA (avx512, avx2, neon) give the same bits; the others do not.
std::vector<std::string> available_targets();

/// The one in use: the best, or the one that the environment variable SLUICE_TARGET names.
std::string active_target();

/// True if the target in use has fused multiply-add, on which "same bits" and the stated error bounds rest.
bool target_has_fma();

/// Pins the instruction set for modules made from now on; modules that exist keep theirs. An empty name means
/// the best. Not for use while another thread makes modules. Throws Error for a name that is not available.
void set_target(std::string_view name);

}  // namespace sluice
