// SPDX-License-Identifier: Apache-2.0
#include "profile/measure.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "core/profiler.h"
#include "core/threads.h"
#include "profile/hardware_counters.h"
#include "sluice/error.h"
#include "sluice/target.h"

namespace sluice {
namespace {

// Short runs are measured so many seconds of them at once, or that many.
constexpr double kMeasured = 1e-3;
constexpr double kMostRuns = 1000;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n == 0 ? 0 : (values[(n - 1) / 2] + values[n / 2]) / 2;
}

double sum_of(const PhaseSeconds& phases) { return std::accumulate(phases.begin(), phases.end(), 0.0); }

std::string name_of(const ModuleTimes& module) { return module.prefix.empty() ? module.type : module.prefix; }

// What a run spent in one part: a module, or one direction of one layer.
struct PartRun {
  double seconds = 0;
  PhaseSeconds phases{};
  double activations = 0;
  std::size_t threads = 1;
};

// Of some of the module's cells. `threads` are the call's: one that had none of these cells counts as zeros.
PartRun run_of(const std::vector<CellTimes>& cells, std::size_t threads) {
  PartRun run;
  run.threads = threads;
  for (const CellTimes& cell : cells) {
    for (std::size_t phase = 0; phase < kPhases; ++phase) {
      run.phases[phase] += cell.seconds[phase] / static_cast<double>(threads);
    }
    run.activations += static_cast<double>(cell.activations);
  }
  return run;
}

// Of one run.
ProfileTimes divided(ProfileTimes times) {
  const auto runs = static_cast<double>(std::max<std::uint64_t>(times.runs, 1));
  times.seconds /= runs;
  for (ModuleTimes& module : times.modules) {
    module.seconds /= runs;
    for (CellTimes& cell : module.cells) {
      cell.activations =
          static_cast<std::uint64_t>(std::llround(static_cast<double>(cell.activations) / runs));
      for (double& seconds : cell.seconds) seconds /= runs;
    }
  }
  return times;
}

std::size_t threads_of(const std::vector<CellTimes>& cells) {
  std::size_t last = 0;
  for (const CellTimes& cell : cells) last = std::max(last, cell.thread);
  return last + 1;
}

PartRun run_of(const ModuleTimes& module) {
  PartRun run = run_of(module.cells, threads_of(module.cells));
  if (module.cells.empty()) run.phases[static_cast<std::size_t>(Phase::kOther)] = module.seconds;
  run.seconds = module.seconds;
  return run;
}

std::vector<CellTimes> cells_of(const ModuleTimes& module, std::size_t layer, std::size_t direction) {
  std::vector<CellTimes> cells;
  for (const CellTimes& cell : module.cells) {
    if (cell.layer == layer && cell.direction == direction) cells.push_back(cell);
  }
  return cells;
}

// A direction of a layer takes as long as the threads that have it take on the mean.
PartRun run_of(const ModuleTimes& module, std::size_t layer, std::size_t direction) {
  const std::vector<CellTimes> cells = cells_of(module, layer, direction);
  PartRun run = run_of(cells, std::max<std::size_t>(cells.size(), 1));
  run.seconds = sum_of(run.phases);
  return run;
}

PartReport report_of(std::string name, std::string type, const std::vector<PartRun>& runs,
                     double cycles_a_second) {
  PartReport part;
  part.name = std::move(name);
  part.type = std::move(type);
  std::vector<std::size_t> order(runs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return runs[a].seconds < runs[b].seconds; });
  std::vector<double> seconds;
  seconds.reserve(runs.size());
  for (const PartRun& run : runs) seconds.push_back(run.seconds);
  part.seconds_min = runs[order.front()].seconds;
  part.seconds_median = median(seconds);
  const PartRun& middle = runs[order[(runs.size() - 1) / 2]];
  part.phases = middle.phases;
  const double gates = middle.phases[static_cast<std::size_t>(Phase::kGates)];
  if (middle.activations == 0 || gates == 0) return part;
  part.gates_per_second = middle.activations / gates;
  part.ns_per_gate = 1e9 / part.gates_per_second;
  part.elements_per_cycle = part.gates_per_second / static_cast<double>(middle.threads) / cycles_a_second;
  return part;
}

// `runs` have the same modules each; so many runs of module `at`.
PartReport report_of(const std::vector<ProfileTimes>& runs, std::size_t at, double cycles_a_second) {
  const ModuleTimes& first = runs.front().modules[at];
  std::vector<PartRun> whole;
  whole.reserve(runs.size());
  for (const ProfileTimes& run : runs) whole.push_back(run_of(run.modules[at]));
  PartReport module = report_of(name_of(first), first.type, whole, cycles_a_second);
  std::size_t layers = 0, directions = 0;
  for (const CellTimes& cell : first.cells) {
    layers = std::max(layers, cell.layer + 1);
    directions = std::max(directions, cell.direction + 1);
  }
  for (std::size_t layer = 0; layer < layers; ++layer) {
    for (std::size_t direction = 0; direction < directions; ++direction) {
      std::vector<PartRun> part;
      part.reserve(runs.size());
      for (const ProfileTimes& run : runs) part.push_back(run_of(run.modules[at], layer, direction));
      const std::string name =
          module.name + " l" + std::to_string(layer) + (direction == 1 ? " reverse" : "");
      module.parts.push_back(report_of(name, first.type, part, cycles_a_second));
    }
  }
  return module;
}

}  // namespace

void measure(ProfileReport& report, Profiler& profiler, const std::function<void()>& run,
             const MeasureOptions& options) {
  if (options.repeat == 0) throw Error("repeat is 0, expected at least 1");
  report.threads = thread_limit(options.threads);
  report.repeat = options.repeat;
  report.machine.target = active_target();
  const auto seconds_of = [&](std::size_t times) {
    profiler.reset();
    const std::uint64_t begin = now_ticks();
    for (std::size_t i = 0; i < times; ++i) run();
    return static_cast<double>(now_ticks() - begin) * seconds_per_tick() / static_cast<double>(times);
  };
  run();  // into the caches, and threads are made
  const auto times = static_cast<std::size_t>(std::clamp(kMeasured / seconds_of(1), 1.0, kMostRuns));

  std::vector<ProfileTimes> runs;
  std::vector<double> seconds;
  for (std::size_t i = 0; i < options.repeat; ++i) {
    seconds.push_back(seconds_of(times));
    runs.push_back(divided(profiler.read()));
  }
  report.seconds_min = *std::min_element(seconds.begin(), seconds.end());
  report.seconds_median = median(seconds);
  const double cycles_a_second = cycles_per_second();
  for (std::size_t at = 0; at < runs.front().modules.size(); ++at) {
    report.parts.push_back(report_of(runs, at, cycles_a_second));
  }
  if (options.counts_hardware) report.hardware = count_hardware(run);
  if (options.trace_spans > 0) {
    profiler.enable_trace(options.trace_spans);
    run();
    report.trace = profiler.trace();
    profiler.enable_trace(0);
  }
}

template <class T>
ProfileReport measure_runs(const Module<T>& module, TensorView<const T> x, const MeasureOptions& options) {
  ProfileReport report;
  report.model = options.model.empty() ? std::string(module.type()) : options.model;
  report.dtype = dtype_name<T>();
  report.steps = x.dim(0);
  report.batch = x.dim(1);
  report.input_size = x.dim(2);
  report.is_random_data = options.is_random_data;
  if (!options.lengths.empty()) {
    double valid = 0;
    for (const std::int64_t length : options.lengths) valid += static_cast<double>(length);
    report.valid_share = valid / static_cast<double>(std::max<std::size_t>(report.steps * report.batch, 1));
  }
  Profiler profiler;
  const Sequence<T> in{x, options.lengths};
  measure(
      report, profiler, [&] { module.run(in, {.threads = options.threads, .profiler = &profiler}); },
      options);
  return report;
}

template ProfileReport measure_runs(const Module<float>&, TensorView<const float>, const MeasureOptions&);
template ProfileReport measure_runs(const Module<double>&, TensorView<const double>, const MeasureOptions&);

}  // namespace sluice
