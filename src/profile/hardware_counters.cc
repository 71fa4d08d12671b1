// SPDX-License-Identifier: Apache-2.0
#include "profile/hardware_counters.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#if defined(__linux__)
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace sluice {

#if defined(__linux__)
namespace {

constexpr std::array<std::uint64_t, 3> kEvents = {PERF_COUNT_HW_CPU_CYCLES, PERF_COUNT_HW_INSTRUCTIONS,
                                                  PERF_COUNT_HW_CACHE_MISSES};

// One event of one thread; closed with it.
class Event {
 public:
  Event(pid_t thread, std::uint64_t what) {
    perf_event_attr wanted{};
    wanted.type = PERF_TYPE_HARDWARE;
    wanted.size = sizeof(wanted);
    wanted.config = what;
    wanted.disabled = 1;
    wanted.exclude_kernel = 1;  // else perf_event_paranoid would have to be 1 or less
    wanted.exclude_hv = 1;
    wanted.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
    file_ = static_cast<int>(syscall(SYS_perf_event_open, &wanted, thread, -1, -1, 0));
  }
  ~Event() {
    if (file_ >= 0) close(file_);
  }
  Event(Event&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  Event& operator=(Event&&) = delete;

  bool is_open() const noexcept { return file_ >= 0; }
  void enable() const noexcept { ioctl(file_, PERF_EVENT_IOC_ENABLE, 0); }
  void disable() const noexcept { ioctl(file_, PERF_EVENT_IOC_DISABLE, 0); }
  // Where there were more events than counters, for the time it did not count, too.
  double count() const noexcept {
    std::array<std::uint64_t, 3> values{};  // the count, time enabled, time running
    if (read(file_, values.data(), sizeof(values)) != static_cast<ssize_t>(sizeof(values))) return 0;
    if (values[2] == 0) return 0;
    return static_cast<double>(values[0]) * static_cast<double>(values[1]) / static_cast<double>(values[2]);
  }

 private:
  int file_ = -1;
};

std::string why_closed(int error) {
  const std::string call = "perf_event_open: ";
  switch (error) {
    case ENOENT:
    case ENODEV:
    case EOPNOTSUPP:
      return call + "this machine has no hardware counters (a virtual machine often shows none)";
    case EACCES:
    case EPERM:
      return call +
             "not allowed: /proc/sys/kernel/perf_event_paranoid must be 2 or less, and a container "
             "needs the capability PERFMON";
    case ENOSYS:
      return call + "this kernel, or the container's filter of system calls, does not have it";
    default:
      return call + std::strerror(error);
  }
}

}  // namespace

HardwareCounts count_hardware(const std::function<void()>& work) {
  HardwareCounts counts;
  std::vector<std::array<Event, 3>> threads;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    const auto thread = static_cast<pid_t>(std::stol(entry.path().filename().string()));
    errno = 0;
    std::array<Event, 3> events = {Event(thread, kEvents[0]), Event(thread, kEvents[1]),
                                   Event(thread, kEvents[2])};
    const int error = errno;
    if (!std::all_of(events.begin(), events.end(), [](const Event& e) { return e.is_open(); })) {
      work();
      counts.why_not = why_closed(error);
      return counts;
    }
    threads.push_back(std::move(events));
  }
  for (const auto& events : threads) {
    for (const Event& event : events) event.enable();
  }
  work();
  for (const auto& events : threads) {
    for (const Event& event : events) event.disable();
    counts.cycles += events[0].count();
    counts.instructions += events[1].count();
    counts.cache_misses += events[2].count();
  }
  counts.is_there = counts.cycles > 0;
  if (!counts.is_there) counts.why_not = "the hardware counters that the system shows do not count";
  return counts;
}
#else
HardwareCounts count_hardware(const std::function<void()>& work) {
  work();
  HardwareCounts counts;
  counts.why_not = "perf_event is Linux's";
  return counts;
}
#endif

double cycles_per_second() {
  using Clock = std::chrono::steady_clock;
  constexpr int kAdditions = 100'000;
  double most = 0;
  for (int i = 0; i < 10; ++i) {
    std::uint64_t sum = 1;
    volatile std::uint64_t one = 1;
    const std::uint64_t step = one;  // of a constant some processors make no addition
    const Clock::time_point start = Clock::now();
    for (int j = 0; j < kAdditions / 10; ++j) {
      // Ten that the compiler cannot make one.
      for (int k = 0; k < 10; ++k) {
        sum += step;
        asm volatile("" : "+r"(sum));
      }
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    most = std::max(most, kAdditions / seconds);
  }
  return most;
}

}  // namespace sluice
