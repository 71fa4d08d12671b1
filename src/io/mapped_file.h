// SPDX-License-Identifier: Apache-2.0
// A file's bytes, mapped where the file system can and read otherwise (pipes).
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace sluice {

/// Read-only bytes of a whole file. A file that somebody shortens while it is mapped ends the program
/// (SIGBUS), as with every mapping: replace model files (rename), never rewrite them in place.
class MappedFile {
 public:
  /// Throws FileError where there is no such file, it cannot be read, or it is a folder.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
  std::unique_ptr<std::byte[]> read_;  // where the file could not be mapped
};

}  // namespace sluice
