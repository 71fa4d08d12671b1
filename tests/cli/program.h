// SPDX-License-Identifier: Apache-2.0
// Runs the built program, as a user would.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <string>

#include "sluice/npy.h"
#include "sluice/safetensors.h"
#include "support/files.h"

namespace sluice::testing {

struct Ended {
  int status;
  std::string out;
  std::string err;
};

/// A folder with models and arrays in it, and the program run there.
class Program {
 public:
  /// `arguments` as a shell takes them; names of files are relative to the folder.
  Ended operator()(const std::string& arguments) const {
    const TempFolder streams;
    const std::string command = "cd '" + folder.path().string() + "' && '" SLUICE_PROGRAM "' " + arguments +
                                " >'" + streams / "out" + "' 2>'" + streams / "err" + "' </dev/null";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(streams / "out"),
            read_file(streams / "err")};
  }

  TempFolder folder;
};

/// Different values everywhere, small enough that gates do not saturate.
template <class T>
Tensor<T> pattern(const Shape& shape, std::size_t seed) {
  Tensor<T> tensor(shape);
  for (std::size_t i = 0; i < tensor.size(); ++i) {
    tensor.data()[i] = static_cast<T>(static_cast<int>((i * 37 + seed * 17) % 101) - 50) / T{100};
  }
  return tensor;
}

inline void expect_ok(const Ended& ended) {
  EXPECT_EQ(ended.status, 0) << ended.err;
  EXPECT_EQ(ended.err, "");
}

/// One line "sluice: error: ..." that has `part` in it, and the exit status.
inline void expect_error(const Ended& ended, int status, const std::string& part) {
  EXPECT_EQ(ended.status, status) << ended.err;
  EXPECT_TRUE(ended.err.starts_with("sluice: error: ")) << ended.err;
  EXPECT_EQ(ended.err.find('\n'), ended.err.size() - 1) << ended.err;
  expect_contains(ended.err, part);
}

}  // namespace sluice::testing
