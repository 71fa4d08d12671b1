// SPDX-License-Identifier: Apache-2.0
// safetensors files (huggingface/safetensors, format 0.3 and later): mapped, not copied; written whole or not
// at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sluice/state_dict.h"
#include "sluice/tensor.h"

namespace sluice {

/// One tensor of a file: where its bytes lie.
struct SafetensorsEntry {
  std::string name;
  std::string dtype;  ///< as in the file: "F32", "F64", "F16", "BF16", "I64", ...
  Shape shape;
  std::span<const std::byte> bytes;  ///< in the mapped file
};

/// A mapped file. Cheap to copy; the mapping lives as long as any copy or any StateDict made from it.
class SafetensorsFile {
 public:
  /// Maps the file and checks the whole header: lengths against the file, overlaps, gaps, duplicate keys,
  /// overflow. Throws FileError that names path, byte offset and field. Takes no memory on the file's word.
  static SafetensorsFile open(const std::string& path);
  /// The same over bytes in memory, which must outlive the result; `name` stands for the path in messages.
  static SafetensorsFile parse(std::span<const std::byte> bytes, const std::string& name);

  const std::string& path() const noexcept;
  /// The header's `__metadata__`.
  const std::map<std::string, std::string>& metadata() const noexcept;
  /// All tensors, in the order of their bytes.
  const std::vector<SafetensorsEntry>& entries() const noexcept;

  /// All tensors as T: borrowed where the file holds T itself (and it is aligned), converted otherwise (from
  /// F32, F64, F16, BF16). Throws FileError for a tensor of another type.
  template <class T>
  StateDict<T> state_dict() const;

 private:
  struct Content;
  explicit SafetensorsFile(std::shared_ptr<const Content> content);
  std::shared_ptr<const Content> content_;
};

/// Writes all tensors of `weights`, in order of name, and the metadata, as a file that the `safetensors`
/// package reads. The file at `path` is replaced only when the new one is complete. Throws FileError.
template <class T>
void save_safetensors(const std::string& path, const StateDict<T>& weights,
                      const std::map<std::string, std::string>& metadata = {});

extern template StateDict<float> SafetensorsFile::state_dict<float>() const;
extern template StateDict<double> SafetensorsFile::state_dict<double>() const;
extern template void save_safetensors(const std::string&, const StateDict<float>&,
                                      const std::map<std::string, std::string>&);
extern template void save_safetensors(const std::string&, const StateDict<double>&,
                                      const std::map<std::string, std::string>&);

}  // namespace sluice
