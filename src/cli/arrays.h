// SPDX-License-Identifier: Apache-2.0
// Arrays on their way between .npy files and the program.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/atomic_file.h"
#include "sluice/npy.h"
#include "sluice/tensor.h"

namespace sluice::cli {

/// The floating-point array in `path` as T. Throws FileError for whole numbers.
template <class T>
Tensor<T> load_floats(const std::string& path);

/// The same for an array that is loaded already.
template <class T>
Tensor<T> to_floats(NpyArray array, const std::string& path);

/// The int64 array of one dimension in `path`: one length for each of `rows` rows, 0 to `steps`. Throws
/// FileError.
std::vector<std::int64_t> load_lengths(const std::string& path, std::size_t rows, std::size_t steps);

/// All of a text file. Throws FileError.
std::string read_text(const std::string& path);

/// Prints a line about an array: element type, shape, range, mean.
template <class T>
void print_summary(const std::string& name, TensorView<const T> array);

/// Output files, written all or none.
class Outputs {
 public:
  /// Takes note of a file to be; empty paths are no outputs. Throws FileError where it cannot be written,
  /// UsageError if it was named before.
  void expect(const std::string& path);
  /// Writes the array beside its place.
  template <class T>
  void write(const std::string& path, TensorView<const T> array);
  void write_text(const std::string& path, const std::string& text);
  /// Puts all files at their places; if one fails, takes the others away again.
  void commit();

 private:
  std::vector<std::string> paths_;
  std::vector<std::unique_ptr<AtomicFile>> files_;
};

}  // namespace sluice::cli
