// SPDX-License-Identifier: Apache-2.0
// Everything that the fuzzers start from or have found, through the functions that they call.
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "fuzz/targets.h"
#include "support/files.h"

namespace sluice {
namespace {

// How many files there were.
std::size_t run_corpus(const std::string& format,
                       const std::function<void(std::span<const std::byte>)>& target) {
  std::size_t files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(SLUICE_SOURCE_DIR "/tests/fuzz/corpus/" + format)) {
    SCOPED_TRACE(entry.path().string());
    const std::string bytes = testing::read_file(entry.path().string());
    EXPECT_NO_THROW(target(testing::as_bytes(bytes)));
    ++files;
  }
  return files;
}

TEST(FuzzCorpus, Safetensors) { EXPECT_GE(run_corpus("safetensors", fuzz::safetensors), 20u); }
TEST(FuzzCorpus, Npy) { EXPECT_GE(run_corpus("npy", fuzz::npy), 15u); }
TEST(FuzzCorpus, Architecture) { EXPECT_GE(run_corpus("architecture", fuzz::architecture), 14u); }
TEST(FuzzCorpus, Cell) { EXPECT_GE(run_corpus("cell", fuzz::cell), 14u); }
TEST(FuzzCorpus, Profile) { EXPECT_GE(run_corpus("profile", fuzz::profile), 8u); }

}  // namespace
}  // namespace sluice
