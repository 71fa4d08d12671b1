// SPDX-License-Identifier: Apache-2.0
// Proof that code makes no system call, and so takes no lock that can sleep: the kernel kills it if it does.
#pragma once

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>

#include "support/count_allocations.h"

namespace sluice::test {

enum class Confined { kReturned, kKilled, kUnavailable };

/// From now on this thread may make no system call but exit. A filter, since the strict mode of seccomp also
/// forbids to read the processor's counter of time. False where the system has none.
inline bool forbid_system_calls() {
  std::array<sock_filter, 4> allow_exit = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL),
  }};
  const sock_fprog program = {static_cast<unsigned short>(allow_exit.size()), allow_exit.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// Runs `body` in a child process that may only exit.
/// Unavailable where the system has no seccomp, or a sanitizer makes calls of its own.
template <class Body>
Confined run_without_system_calls(const Body& body) {
  constexpr int kNoSeccomp = 77;
  if (!can_count_allocations()) return Confined::kUnavailable;
  const pid_t child = fork();
  if (child == 0) {
    if (!forbid_system_calls()) _exit(kNoSeccomp);
    body();
    syscall(SYS_exit, 0);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return Confined::kUnavailable;
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNoSeccomp) return Confined::kUnavailable;
  return WIFEXITED(status) ? Confined::kReturned : Confined::kKilled;
}

}  // namespace sluice::test
