// SPDX-License-Identifier: Apache-2.0
#include "core/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>

#include "io/mapped_file.h"
#include "sluice/error.h"
#include "sluice/npy.h"
#include "support/files.h"

namespace sluice {
namespace {

using testing::expect_contains;
using testing::message_of;
using testing::read_file;
using testing::TempFolder;
using testing::write_file;

TEST(AtomicFile, AppearsOnlyAtCommit) {
  TempFolder folder;
  AtomicFile file(folder / "x");
  file.write("new");
  file.finish();
  EXPECT_FALSE(std::filesystem::exists(folder / "x"));
  file.commit();
  EXPECT_EQ(read_file(folder / "x"), "new");
  EXPECT_EQ(folder.count(), 1u);
}

TEST(AtomicFile, LeavesTheOldFileWhenNotCommitted) {
  TempFolder folder;
  write_file(folder / "x", "old");
  {
    AtomicFile file(folder / "x");
    file.write("new");
  }
  EXPECT_EQ(read_file(folder / "x"), "old");
  EXPECT_EQ(folder.count(), 1u);
}

TEST(AtomicFile, KeepsModeAndFollowsLinks) {
  TempFolder folder;
  write_file(folder / "x", "old");
  std::filesystem::permissions(folder / "x", std::filesystem::perms(0640));
  std::filesystem::create_symlink("x", folder / "link");
  AtomicFile file(folder / "link");
  file.write("new");
  file.commit();
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(read_file(folder / "x"), "new");
  EXPECT_EQ(std::filesystem::status(folder / "x").permissions(), std::filesystem::perms(0640));
}

TEST(AtomicFile, NewFilesHaveTheUsualMode) {
  TempFolder folder;
  const mode_t mask = ::umask(0027);
  AtomicFile file(folder / "x");
  file.commit();
  ::umask(mask);
  EXPECT_EQ(std::filesystem::status(folder / "x").permissions(), std::filesystem::perms(0640));
}

TEST(AtomicFile, RefusesFoldersAndPlacesThatAreNot) {
  TempFolder folder;
  expect_contains(message_of<FileError>([&] { AtomicFile file(folder / ""); }), "is a folder");
  expect_contains(message_of<FileError>([&] { AtomicFile file(folder / "no/x"); }), "No such file");
}

TEST(AtomicFile, RevertTakesBackOnlyWhatIsNew) {
  TempFolder folder;
  AtomicFile file(folder / "x");
  file.commit();
  file.revert();
  EXPECT_EQ(folder.count(), 0u);
}

// A full disk, played by the limit on a file's size: the write fails and nothing is left behind.
TEST(AtomicFile, FullDiskLeavesNothing) {
  TempFolder folder;
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Tensor<float> array(Shape{100'000});
  const std::string message = message_of<FileError>([&] { save_npy(folder / "x.npy", array.view()); });
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  expect_contains(message, "x.npy: cannot write: File too large");
  EXPECT_EQ(folder.count(), 0u);
}

TEST(AtomicFile, WritesToDevicesDirectly) {
  AtomicFile file("/dev/null");
  file.write("x");
  file.commit();
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

TEST(MappedFile, GivesTheBytesOfFilesAndOfPipes) {
  TempFolder folder;
  write_file(folder / "x", "abc");
  EXPECT_EQ(MappedFile(folder / "x").bytes().size(), 3u);
  write_file(folder / "empty", "");
  EXPECT_TRUE(MappedFile(folder / "empty").bytes().empty());
  EXPECT_TRUE(MappedFile("/dev/null").bytes().empty());
}

}  // namespace
}  // namespace sluice
