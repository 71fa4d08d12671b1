// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>

namespace sluice::cli {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

Progress::Progress(std::optional<bool> wanted, std::size_t total)
    : total_(total), is_terminal_(::isatty(STDERR_FILENO) == 1) {
  if (!wanted.value_or(is_terminal_)) return;
  ends_with_line_ = wanted.has_value();
  const double first_seconds = wanted ? 1 : 2;
  watcher_ = std::thread([this, first_seconds] { watch(first_seconds); });
}

Progress::~Progress() {
  if (!watcher_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  ended_.notify_one();
  watcher_.join();
}

void Progress::watch(double first_seconds) {
  const Clock::time_point start = Clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  std::unique_lock lock(mutex_);
  std::chrono::duration<double> wait(first_seconds);
  while (!ended_.wait_for(lock, wait, [this] { return is_over_; })) {
    print(seconds());
    ends_with_line_ = true;
    wait = std::chrono::duration<double>(1);
  }
  if (!ends_with_line_) return;
  print(seconds());
  if (is_terminal_) std::fputc('\n', stderr);
}

void Progress::print(double seconds) const {
  // On a terminal the line is written over; in a log each stands for itself.
  const char* begin = is_terminal_ ? "\r" : "";
  const char* end = is_terminal_ ? "" : "\n";
  if (total_ == 0) {
    std::fprintf(stderr, "%ssluice: running, %.1f s%s", begin, seconds, end);
  } else {
    std::fprintf(stderr, "%ssluice: step %zu of %zu, %.1f s%s", begin, done_.load(std::memory_order_relaxed),
                 total_, seconds, end);
  }
  std::fflush(stderr);
}

}  // namespace sluice::cli
