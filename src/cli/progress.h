// SPDX-License-Identifier: Apache-2.0
// Tells on stderr how long work goes on, and how far it is.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <thread>

namespace sluice::cli {

/// While it lives, a line on stderr says every second how much time has gone by, and which step of how many
/// is done where that is known, and a last one how it ended. `wanted` not given: only where stderr is a
/// terminal, and only after two seconds.
class Progress {
 public:
  /// `total` steps; 0 if only the time is known.
  Progress(std::optional<bool> wanted, std::size_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void step_done() noexcept { done_.fetch_add(1, std::memory_order_relaxed); }

 private:
  void watch(double first_seconds);
  void print(double seconds) const;

  std::size_t total_;
  bool is_terminal_;
  std::atomic<std::size_t> done_{0};
  std::mutex mutex_;
  std::condition_variable ended_;
  bool is_over_ = false;
  bool ends_with_line_ = false;
  std::thread watcher_;
};

}  // namespace sluice::cli
