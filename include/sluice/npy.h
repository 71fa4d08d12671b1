// SPDX-License-Identifier: Apache-2.0
// NumPy's array files (.npy, format versions 1.0 to 3.0; NEP 1): float32, float64 and int64 in C order.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "sluice/tensor.h"

namespace sluice {

using NpyArray = std::variant<Tensor<float>, Tensor<double>, Tensor<std::int64_t>>;

/// Reads a whole file. Throws FileError (path, byte offset, what was expected) for anything but little-endian
/// float32, float64 or int64 in C order; sizes are checked against the file before memory is taken.
NpyArray load_npy(const std::string& path);

/// Writes a file that NumPy loads. The file at `path` is replaced only when the new one is complete. Throws
/// FileError.
void save_npy(const std::string& path, TensorView<const float> array);
void save_npy(const std::string& path, TensorView<const double> array);
void save_npy(const std::string& path, TensorView<const std::int64_t> array);

}  // namespace sluice
