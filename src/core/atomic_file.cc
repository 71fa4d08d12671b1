// SPDX-License-Identifier: Apache-2.0
#include "core/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "sluice/error.h"

namespace sluice {
namespace {

// Where the symbolic links of `path` lead, so that renaming replaces the file and not the link.
std::string follow_links(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), &std::free);
  return real ? std::string(real.get()) : path;
}

// Unlike any that another process or thread makes at the same time.
std::string temporary_name(const std::string& target) {
  static std::atomic<unsigned> count{0};
  const std::size_t slash = target.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : target.substr(0, slash + 1);
  return folder + ".sluice-" + std::to_string(::getpid()) + "-" + std::to_string(count++) + ".tmp";
}

}  // namespace

void AtomicFile::fail(const char* what) const {
  throw FileError(path_ + ": " + what + ": " + std::strerror(errno));
}

AtomicFile::AtomicFile(const std::string& path) : path_(path), target_(follow_links(path)) {
  struct stat info {};
  mode_t mode = 0;
  if (::stat(target_.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) throw FileError(path_ + ": is a folder, cannot be written as a file");
    if (!S_ISREG(info.st_mode)) {
      fd_ = ::open(target_.c_str(), O_WRONLY | O_CLOEXEC);
      if (fd_ < 0) fail("cannot open for writing");
      return;
    }
    if (::access(target_.c_str(), W_OK) != 0) fail("cannot be written");
    replaces_ = true;
    mode = info.st_mode & 07777;
  }
  // A name may be left from a process of the same number that was killed: try the next one.
  for (int attempt = 0; attempt < 100; ++attempt) {
    temporary_ = temporary_name(target_);
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ >= 0 || errno != EEXIST) break;
  }
  if (fd_ < 0) {
    temporary_.clear();
    fail("cannot make a file there");
  }
  if (replaces_) static_cast<void>(::fchmod(fd_, mode));
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::check(const std::string& path) {
  struct stat info {};
  const bool exists = ::stat(path.c_str(), &info) == 0;
  // Opening a pipe for a moment would look like its end to who reads it.
  if (exists && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) return;
  const AtomicFile probe(path);
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    // Linux takes at most about 2 GiB a call.
    const ssize_t n = ::write(fd_, bytes.data(), std::min<std::size_t>(bytes.size(), 1 << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot write");
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void AtomicFile::finish() {
  if (fd_ < 0) return;
  if (!temporary_.empty() && ::fsync(fd_) != 0) fail("cannot write");
  const int closed = ::close(fd_);
  fd_ = -1;
  if (closed != 0) fail("cannot write");
}

void AtomicFile::commit() {
  finish();
  if (temporary_.empty()) return;
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail("cannot put the file in its place");
  temporary_.clear();
  is_committed_ = true;
}

void AtomicFile::revert() noexcept {
  if (is_committed_ && !replaces_) ::unlink(target_.c_str());
  is_committed_ = false;
}

void replace_file(const std::string& path, const std::string& text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace sluice
