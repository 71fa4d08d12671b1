// SPDX-License-Identifier: Apache-2.0
// Proof that code makes no system call, and so takes no lock that can sleep: the kernel kills it if it does.
#pragma once

#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/count_allocations.h"

namespace sluice::test {

enum class Confined { kReturned, kKilled, kUnavailable };

/// Runs `body` in a child process that may only read, write and exit, of which it does only the last.
/// Unavailable where the system has no seccomp, or a sanitizer makes calls of its own.
template <class Body>
Confined run_without_system_calls(const Body& body) {
  constexpr int kNoSeccomp = 77;
  if (!can_count_allocations()) return Confined::kUnavailable;
  const pid_t child = fork();
  if (child == 0) {
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) _exit(kNoSeccomp);
    body();
    syscall(SYS_exit, 0);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return Confined::kUnavailable;
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNoSeccomp) return Confined::kUnavailable;
  return WIFEXITED(status) ? Confined::kReturned : Confined::kKilled;
}

}  // namespace sluice::test
