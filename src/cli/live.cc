// SPDX-License-Identifier: Apache-2.0
#include "cli/live.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <thread>

#include "profile/figures.h"
#include "profile/svg.h"

namespace sluice::cli {
namespace {

constexpr auto kBetweenScreens = std::chrono::milliseconds(100);
constexpr double kSecondsThrough = 8;  // the levels go through the sequence in this time

volatile std::sig_atomic_t was_interrupted = 0;

// Ctrl-C ends the loop, and the terminal is as it was.
class Interrupt {
 public:
  Interrupt() {
    was_interrupted = 0;
    before_ = std::signal(SIGINT, [](int) { was_interrupted = 1; });
  }
  ~Interrupt() { std::signal(SIGINT, before_); }
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

 private:
  void (*before_)(int);
};

std::size_t terminal_width() {
  winsize size{};
  const bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return is_known ? size.ws_col : 80;
}

// The mean over units at a place in time.
double level_of(const GateReport& gate, double place) {
  if (gate.heat.rank() != 2 || gate.heat.size() == 0) return gate.mean;
  const std::size_t units = gate.heat.dim(0), times = gate.heat.dim(1);
  const std::size_t t = std::min(static_cast<std::size_t>(place * static_cast<double>(times)), times - 1);
  double sum = 0;
  for (std::size_t u = 0; u < units; ++u) sum += static_cast<double>(gate.heat(u, t));
  return sum / static_cast<double>(units);
}

std::string bar_of(double share, std::size_t width) {
  const double filled = std::clamp(share, 0.0, 1.0) * static_cast<double>(width);
  const auto full = static_cast<std::size_t>(std::lround(filled));
  return std::string(full, '#') + std::string(width - full, '.');
}

}  // namespace

std::string live_screen(const ProfileReport& report, const ProfileTimes& times, double place,
                        std::size_t width) {
  const double run = times.runs == 0 ? 0 : times.seconds / static_cast<double>(times.runs);
  const double steps = static_cast<double>(report.steps);
  std::string screen = plain_text(report.model) + ": " + std::to_string(times.runs) + " runs, " +
                       seconds_text(run) + " each, " + rate_text(run > 0 ? steps / run : 0, "") +
                       " steps a second\n";
  PhaseSeconds phases{};
  double all = 0;
  for (const ModuleTimes& module : times.modules) {
    for (const CellTimes& cell : module.cells) {
      for (std::size_t i = 0; i < kPhases; ++i) phases[i] += cell.seconds[i];
    }
  }
  for (const double seconds : phases) all += seconds;
  for (std::size_t i = 0; all > 0 && i < kPhases; ++i) {
    screen += std::string(phase_name(static_cast<Phase>(i))) + " " + percent_text(phases[i] / all) +
              (i + 1 < kPhases ? "  " : "\n");
  }
  screen +=
      "step " + text_of("%.0f", std::floor(place * steps)) + " of " + std::to_string(report.steps) + "\n\n";
  std::size_t longest = 0;
  for (const GateReport& gate : report.gates) longest = std::max(longest, gate_name(gate).size());
  const std::size_t bar = width > longest + 30 ? std::min<std::size_t>(width - longest - 20, 60) : 10;
  for (const GateReport& gate : report.gates) {
    const double level = level_of(gate, place);
    std::string name = plain_text(gate_name(gate));
    name.resize(longest, ' ');
    screen += name + text_of(" %6.3f ", level) + bar_of(gate.is_tanh ? (level + 1) / 2 : level, bar) + "\n";
  }
  std::string cut;
  std::size_t column = 0;
  for (const char c : screen) {
    column = c == '\n' ? 0 : column + 1;
    if (column <= width) cut += c;
  }
  return cut;
}

void run_live(const ProfileReport& report, const Profiler& profiler, std::optional<std::size_t> repeat,
              const std::function<void()>& run) {
  const Interrupt interrupt;
  const auto start = std::chrono::steady_clock::now();
  const auto draw = [&] {
    const std::chrono::duration<double> since = std::chrono::steady_clock::now() - start;
    const double place = std::fmod(since.count() / kSecondsThrough, 1);
    std::string screen = "\x1b[H";  // to the top, and over what is there
    for (const char c : live_screen(report, profiler.read(), place, terminal_width())) {
      if (c == '\n') screen += "\x1b[K";
      screen += c;
    }
    std::fputs((screen + "\x1b[J").c_str(), stdout);
    std::fflush(stdout);
  };
  std::mutex mutex;
  std::condition_variable ended;
  bool is_over = false;
  std::fputs("\x1b[2J\x1b[?25l", stdout);  // an empty screen, no cursor
  std::thread screen([&] {
    std::unique_lock lock(mutex);
    do {
      draw();
    } while (!ended.wait_for(lock, kBetweenScreens, [&] { return is_over; }));
    draw();
  });
  const auto end = [&] {
    {
      const std::lock_guard lock(mutex);
      is_over = true;
    }
    ended.notify_one();
    screen.join();
    std::fputs("\x1b[?25h", stdout);
    std::fflush(stdout);
  };
  try {
    for (std::size_t i = 0; was_interrupted == 0 && (!repeat || i < *repeat); ++i) run();
  } catch (...) {
    end();
    throw;
  }
  end();
}

}  // namespace sluice::cli
