// SPDX-License-Identifier: Apache-2.0
#include "sluice/part_timer.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/profiler.h"
#include "layers/recurrent_net.h"
#include "layers/walk_clock.h"
#include "profile/advice.h"
#include "profile/bounds.h"
#include "profile/measure.h"
#include "profile/set_bounds.h"
#include "sluice/error.h"

namespace sluice {

struct PartTimer::State {
  struct Part {
    ModuleCounter& counter;
    std::optional<CellSplit> split{};  // of a cell
    std::size_t rows = 0;
    std::function<ModuleBound(const MachineLimits&)> bound;
  };

  std::size_t add(Part part);
  ModuleCounter& counter_of_part(std::string_view type, std::string name) {
    return profiler.state().add_module(nullptr, type, std::move(name));
  }
  template <class T>
  std::size_t add_cell(const RecurrentNet<T>& net, std::size_t batch);

  Profiler& profiler;
  std::deque<Part> parts{};
  std::string dtype = "float32";
  std::size_t rows = 1;    // that cells have, at most
  std::uint64_t last = 0;  // when the part before ended
};

std::size_t PartTimer::State::add(Part part) {
  part.counter.is_always_listed = true;
  part.counter.call_ticks.assign(part.split ? 1 : 0, 0);
  parts.push_back(std::move(part));
  return parts.size() - 1;
}

template <class T>
std::size_t PartTimer::State::add_cell(const RecurrentNet<T>& net, std::size_t batch) {
  const RecurrentOptions& options = net.options();
  dtype = dtype_name<T>();
  rows = std::max(rows, batch);
  ModuleCounter& counter = counter_of_part(options.type, prefix_of(net.parameters()));
  return add({.counter = counter,
              .split = split_step(counter, net.cell(0), 0, 0, 0, options.input_size, batch, false),
              .rows = batch,
              .bound = [works = cell_works(options), batch](const MachineLimits& machine) {
                return recurrent_bound(works, {1, batch, works[0].input_size}, machine.threads,
                                       bound_rates(machine, sizeof(T)));
              }});
}

PartTimer::PartTimer(Profiler& profiler) : state_(new State{.profiler = profiler}) {}
PartTimer::~PartTimer() {
  for (State::Part& part : state_->parts) part.counter.is_always_listed = false;
}

template <class T>
std::size_t PartTimer::add_part(const Module<T>& module, std::size_t steps, std::size_t batch,
                                std::size_t input_size) {
  module.output_size(input_size);  // throws
  state_->dtype = dtype_name<T>();
  ModuleCounter& counter = state_->counter_of_part(module.type(), prefix_of(module.parameters()));
  return state_->add({.counter = counter, .bound = [&module, steps, batch, input_size](const auto& machine) {
                        return module_bound(module, {steps, batch, input_size}, machine);
                      }});
}

template <class T>
std::size_t PartTimer::add_part(const LSTMCell<T>& cell, std::size_t batch) {
  return state_->add_cell(cell.net(), batch);
}
template <class T>
std::size_t PartTimer::add_part(const GRUCell<T>& cell, std::size_t batch) {
  return state_->add_cell(cell.net(), batch);
}
template <class T>
std::size_t PartTimer::add_part(const RNNCell<T>& cell, std::size_t batch) {
  return state_->add_cell(cell.net(), batch);
}

std::size_t PartTimer::add_part(const std::string& name, const PartWork& work) {
  return state_->add(
      {.counter = state_->counter_of_part("function", name), .bound = [work](const auto& machine) {
         return sweep_bound({.flops = work.flops,
                             .read = work.bytes / sizeof(float),
                             .sigmoids = work.sigmoids,
                             .tanhs = work.tanhs},
                            bound_rates(machine, sizeof(float)));
       }});
}

void PartTimer::begin_run() noexcept {
  Profiler::State& profiler = state_->profiler.state();
  if (profiler.begin_step()) state_->last = profiler.step_begin;
}

void PartTimer::end_part(std::size_t part) noexcept {
  Profiler::State& profiler = state_->profiler.state();
  if (profiler.weight == 0) return;
  State::Part& of = state_->parts[part];
  const std::uint64_t begin = state_->last;
  state_->last = now_ticks();
  const std::uint64_t took = state_->last - begin;
  if (of.split) {
    of.split->add({.steps = 1, .rows = of.rows, .ticks = took}, {}, profiler.weight);
    of.counter.call_ticks[0] = took;
  }
  profiler.finish(of.counter, begin, took, profiler.weight);
}

void PartTimer::end_run() noexcept {
  Profiler::State& profiler = state_->profiler.state();
  if (profiler.weight > 0) profiler.end_step(now_ticks());
}

ProfileReport profile_parts(PartTimer& timer, const std::function<void()>& run,
                            const MeasureOptions& options) {
  const PartTimer::State& state = timer.state();
  state.profiler.reset();
  run();
  if (state.profiler.read().runs == 0) throw Error("profile_parts: run() began no run of the timer's");
  ProfileReport report;
  report.model = options.model.empty() ? "parts" : options.model;
  report.dtype = state.dtype;
  report.steps = report.longest = 1;
  report.batch = state.rows;
  report.is_random_data = options.is_random_data;
  measure(report, state.profiler, run, options);
  set_bounds_here(
      report,
      [&](const MachineLimits& machine) {
        std::vector<ModuleBound> bounds;
        for (const PartTimer::State::Part& part : state.parts) bounds.push_back(part.bound(machine));
        return bounds;
      },
      options.fresh_limits);
  report.advice = advice_for(report);
  return report;
}

template std::size_t PartTimer::add_part(const Module<float>&, std::size_t, std::size_t, std::size_t);
template std::size_t PartTimer::add_part(const Module<double>&, std::size_t, std::size_t, std::size_t);
template std::size_t PartTimer::add_part(const LSTMCell<float>&, std::size_t);
template std::size_t PartTimer::add_part(const LSTMCell<double>&, std::size_t);
template std::size_t PartTimer::add_part(const GRUCell<float>&, std::size_t);
template std::size_t PartTimer::add_part(const GRUCell<double>&, std::size_t);
template std::size_t PartTimer::add_part(const RNNCell<float>&, std::size_t);
template std::size_t PartTimer::add_part(const RNNCell<double>&, std::size_t);

}  // namespace sluice
