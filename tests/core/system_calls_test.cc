// SPDX-License-Identifier: Apache-2.0
// The tool with which other tests prove that a step makes no system call: it must see one.
#include "support/system_calls.h"

#include <gtest/gtest.h>

namespace sluice::test {
namespace {

TEST(SystemCalls, OneIsSeen) {
  const Confined none = run_without_system_calls([] {});
  if (none == Confined::kUnavailable) GTEST_SKIP() << "no seccomp here, or a sanitizer";
  EXPECT_EQ(none, Confined::kReturned);
  EXPECT_EQ(run_without_system_calls([] { syscall(SYS_getppid); }), Confined::kKilled);
}

}  // namespace
}  // namespace sluice::test
