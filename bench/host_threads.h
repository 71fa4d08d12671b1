// SPDX-License-Identifier: Apache-2.0
// Threads of a user's own that call the library at the same time.
#pragma once

#include <barrier>
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

namespace sluice::bench {

/// `count` threads, the caller's among them, that live as long as this: a server's threads do not come and go
/// with each call.
class HostThreads {
 public:
  explicit HostThreads(std::size_t count)
      : start_(static_cast<std::ptrdiff_t>(count)), end_(static_cast<std::ptrdiff_t>(count)) {
    for (std::size_t i = 1; i < count; ++i) threads_.emplace_back([this, i] { serve(i); });
  }
  ~HostThreads() {
    body_ = nullptr;
    start_.arrive_and_wait();
  }
  HostThreads(const HostThreads&) = delete;
  HostThreads& operator=(const HostThreads&) = delete;

  /// body(i) on all threads at once, i = 0 on the caller's; returns when all have done. `body` must not
  /// throw.
  void run(const std::function<void(std::size_t)>& body) {
    body_ = &body;
    start_.arrive_and_wait();
    body(0);
    end_.arrive_and_wait();
  }

 private:
  void serve(std::size_t i) {
    for (start_.arrive_and_wait(); body_ != nullptr; start_.arrive_and_wait()) {
      (*body_)(i);
      end_.arrive_and_wait();
    }
  }

  std::barrier<> start_, end_;
  const std::function<void(std::size_t)>* body_ = nullptr;
  std::vector<std::jthread> threads_;  // the last member: they end before what they use
};

}  // namespace sluice::bench
