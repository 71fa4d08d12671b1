// SPDX-License-Identifier: Apache-2.0
// Files that are written whole or not at all.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace sluice {

/// Writes to a new file beside `path`, which takes the place of `path` at commit(). Without commit nothing
/// is left behind and a file at `path` stays as it was. To write several files all or none: finish() each,
/// then commit() each. A device or pipe at `path` (/dev/stdout) is written directly.
class AtomicFile {
 public:
  /// Throws FileError where no file can be made there, or `path` is a folder.
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Throws FileError if no file can be written at `path`; leaves nothing there. Asked before long work.
  static void check(const std::string& path);

  /// Throws FileError (a full disk, for instance).
  void write(std::span<const std::byte> bytes);
  void write(const std::string& text) { write(std::as_bytes(std::span(text.data(), text.size()))); }
  /// All bytes are on the disk after this. Throws FileError.
  void finish();
  /// Puts the file at its place; calls finish() if that has not been done. Throws FileError.
  void commit();
  /// Takes a committed file away again, if there was none before it.
  void revert() noexcept;

  const std::string& path() const noexcept { return path_; }

 private:
  [[noreturn]] void fail(const char* what) const;

  std::string path_;       // as the caller wrote it
  std::string target_;     // where symbolic links lead
  std::string temporary_;  // empty when written directly, or committed
  int fd_ = -1;
  bool replaces_ = false;
  bool is_committed_ = false;
};

/// A file at `path` with this text, written whole or not at all. Throws FileError.
void replace_file(const std::string& path, const std::string& text);

}  // namespace sluice
