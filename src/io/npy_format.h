// SPDX-License-Identifier: Apache-2.0
// The .npy format on bytes in memory and on files that are not at their place yet.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "core/atomic_file.h"
#include "sluice/npy.h"
#include "sluice/tensor.h"

namespace sluice {

/// load_npy over bytes in memory; `name` stands for the path in messages.
NpyArray parse_npy(std::span<const std::byte> bytes, const std::string& name);

/// Writes a whole .npy file; the caller commits. T is float, double or int64_t.
template <class T>
void write_npy(AtomicFile& file, TensorView<const T> array);

}  // namespace sluice
