// SPDX-License-Identifier: Apache-2.0
#include "profile/measure.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "core/threads.h"
#include "profile/hardware_counters.h"
#include "sluice/error.h"
#include "sluice/target.h"

namespace sluice {
namespace {

// The index of the median, of two the lesser.
std::size_t median_at(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  return order[(order.size() - 1) / 2];
}

double sum_of(const PhaseSeconds& phases) { return std::accumulate(phases.begin(), phases.end(), 0.0); }

std::string name_of(const ModuleTimes& module) { return module.prefix.empty() ? module.type : module.prefix; }

// What a run spent in one part: a module, or one direction of one layer.
struct PartRun {
  double seconds = 0;
  PhaseSeconds phases{};
  double activations = 0;
  double threads = 1;           // that the module ran on, the mean
  std::size_t own_threads = 0;  // that had the part; 0: not counted
};

// A part, and what it spent in each measurement.
struct Part {
  std::string name, type;
  std::size_t layer = 0, direction = 0;  // of a module's part
  std::vector<PartRun> runs{};
  std::vector<Part> parts{};  // of a module: its layers and directions
};

// Of those cells of a module that are of this layer and direction. Threads count alike, as the module's time
// is that of all of them: so parts add up to it, also those that stand side by side on threads of their own.
PartRun run_of(const ModuleTimes& module, double threads, std::size_t runs, std::size_t layer,
               std::size_t direction) {
  PartRun run;
  run.threads = threads;
  for (const CellTimes& cell : module.cells) {
    if (cell.layer != layer || cell.direction != direction) continue;
    for (std::size_t phase = 0; phase < kPhases; ++phase) {
      run.phases[phase] += cell.seconds[phase] / (threads * static_cast<double>(runs));
    }
    run.activations += static_cast<double>(cell.activations) / static_cast<double>(runs);
    ++run.own_threads;
  }
  run.seconds = sum_of(run.phases);
  return run;
}

// The parts of a module as its first times have them, with room for so many measurements.
Part part_of(const ModuleTimes& module, std::size_t measurements) {
  Part part{.name = name_of(module), .type = module.type};
  std::size_t layers = 0, directions = 0;
  for (const CellTimes& cell : module.cells) {
    layers = std::max(layers, cell.layer + 1);
    directions = std::max(directions, cell.direction + 1);
  }
  for (std::size_t layer = 0; layer < layers; ++layer) {
    for (std::size_t direction = 0; direction < directions; ++direction) {
      part.parts.push_back(
          {.name = part.name + " l" + std::to_string(layer) + (direction == 1 ? " reverse" : ""),
           .type = part.type,
           .layer = layer,
           .direction = direction});
      part.parts.back().runs.reserve(measurements);
    }
  }
  part.runs.reserve(measurements);
  return part;
}

void add_run(Part& part, const ModuleTimes& module, std::size_t runs) {
  PartRun whole;
  if (module.seconds > 0) whole.threads = module.thread_seconds / module.seconds;
  for (const CellTimes& cell : module.cells) whole.own_threads = std::max(whole.own_threads, cell.thread + 1);
  if (module.cells.empty()) {
    whole.phases[static_cast<std::size_t>(Phase::kOther)] = module.seconds / static_cast<double>(runs);
  }
  for (Part& one_part : part.parts) {
    one_part.runs.push_back(run_of(module, whole.threads, runs, one_part.layer, one_part.direction));
    const PartRun& one = one_part.runs.back();
    for (std::size_t phase = 0; phase < kPhases; ++phase) whole.phases[phase] += one.phases[phase];
    whole.activations += one.activations;
  }
  whole.seconds = module.seconds / static_cast<double>(runs);
  part.runs.push_back(whole);
}

// All of one run, the median one, so that parts and phases add up to it; and the least of all.
PartReport report_of(const Part& part, std::size_t middle_run, double cycles_a_second) {
  PartReport report;
  report.name = part.name;
  report.type = part.type;
  report.seconds_min =
      std::min_element(part.runs.begin(), part.runs.end(), [](const PartRun& a, const PartRun& b) {
        return a.seconds < b.seconds;
      })->seconds;
  const PartRun& middle = part.runs[middle_run];
  report.seconds_median = middle.seconds;
  report.threads = middle.own_threads;
  report.phases = middle.phases;
  for (const Part& one : part.parts) report.parts.push_back(report_of(one, middle_run, cycles_a_second));
  const double gates = middle.phases[static_cast<std::size_t>(Phase::kGates)];
  if (middle.activations == 0 || gates == 0) return report;
  report.gates_per_second = middle.activations / gates;
  report.ns_per_gate = 1e9 / report.gates_per_second;
  report.elements_per_cycle = report.gates_per_second / middle.threads / cycles_a_second;
  return report;
}

}  // namespace

std::size_t runs_at_once(double seconds_of_run) noexcept {
  constexpr double kMeasured = 1e-3;  // seconds
  constexpr double kMostRuns = 1000;
  return static_cast<std::size_t>(std::clamp(kMeasured / seconds_of_run, 1.0, kMostRuns));
}

void measure(ProfileReport& report, Profiler& profiler, const std::function<void()>& run,
             const MeasureOptions& options) {
  if (options.repeat == 0) throw Error("repeat is 0, expected at least 1");
  report.threads = most_threads(options.threads);
  report.repeat = options.repeat;
  report.machine.target = active_target();
  const auto times_of = [&](std::size_t times) {
    profiler.reset();
    for (std::size_t i = 0; i < times; ++i) run();
    return profiler.read();
  };
  run();  // into the caches, and threads are made
  const ProfileTimes first = times_of(1);
  const std::size_t times = runs_at_once(first.seconds);

  // What is kept stands in memory taken in advance: a run should find the heap as the one before left it.
  std::vector<Part> parts;
  for (const ModuleTimes& module : first.modules) parts.push_back(part_of(module, options.repeat));
  std::vector<double> seconds;
  seconds.reserve(options.repeat);
  for (std::size_t i = 0; i < options.repeat; ++i) {
    const ProfileTimes read = times_of(times);
    seconds.push_back(read.seconds / static_cast<double>(times));
    for (std::size_t at = 0; at < parts.size(); ++at) add_run(parts[at], read.modules.at(at), times);
  }
  report.seconds_min = *std::min_element(seconds.begin(), seconds.end());
  const std::size_t middle_run = median_at(seconds);
  report.seconds_median = seconds[middle_run];
  const double cycles_a_second = cycles_per_second();
  for (const Part& part : parts) report.parts.push_back(report_of(part, middle_run, cycles_a_second));
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
  report.longest = report.steps;
  if (!options.lengths.empty()) {
    report.longest =
        static_cast<std::size_t>(*std::max_element(options.lengths.begin(), options.lengths.end()));
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
