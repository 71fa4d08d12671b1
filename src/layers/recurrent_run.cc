// SPDX-License-Identifier: Apache-2.0
#include "layers/recurrent_run.h"

#include <omp.h>

#include <algorithm>
#include <numeric>

#include "core/check.h"

namespace sluice {

template <class T>
RecurrentRun<T>::RecurrentRun(std::span<const PackedCell<T>> cells, std::size_t directions,
                              const RecurrentCall<T>& call, const RecurrentPlan& plan)
    : cells_(cells),
      directions_(directions),
      layers_(cells.size() / directions),
      call_(call),
      ahead_steps_(plan.ahead_steps),
      wave_steps_(plan.wave_steps()) {
  // Two in turn; where layers go side by side, one a layer.
  const std::size_t most = call.record != nullptr ? 0 : plan.layer_groups > 1 ? layers_ : 2;
  for (std::size_t i = 0; i < most && i + 1 < layers_; ++i) {
    between_.emplace_back(Shape({call.x.dim(0), call.x.dim(1), directions * cells[0].state_size()}));
  }
  make_groups(plan);
  make_workers(plan);
  if (call.counter != nullptr) make_clocks();
}

template <class T>
void RecurrentRun<T>::make_groups(const RecurrentPlan& plan) {
  const std::size_t batch = call_.x.dim(1);
  std::vector<std::size_t> lengths(batch, call_.x.dim(0));
  std::copy(call_.lengths.begin(), call_.lengths.end(), lengths.begin());
  std::vector<std::size_t> order(batch);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return lengths[a] > lengths[b]; });
  const bool are_equal = batch == 0 || lengths[order.front()] == lengths[order.back()];
  const PackedCell<T>& cell = cells_[0];
  groups_.resize(plan.batch_groups);
  for (std::size_t i = 0; i < batch; ++i) {
    // Rows of equal length stay neighbours, so that threads share no cache lines but at the seams. Others are
    // dealt out one by one, so that at every step all groups have the same number of rows, give or take one.
    Group& group = groups_[are_equal ? i * plan.batch_groups / batch : i % plan.batch_groups];
    group.rows.push_back(order[i]);
    group.lengths.push_back(lengths[order[i]]);
  }
  for (Group& group : groups_) {
    const std::size_t walks = directions_ * plan.layer_groups;
    group.scratch = Tensor<T>({walks, group.rows.size(), cell.scratch_size()});
    group.pre = Tensor<T>({walks, ahead_steps_, group.rows.size(), cell.pre_size()});
    group.done = std::vector<SpinCounter>(plan.layer_groups > 1 ? layers_ : 0);
  }
}

template <class T>
typename RecurrentRun<T>::Worker RecurrentRun<T>::make_worker(Group& group, std::size_t first_direction,
                                                              std::size_t last_direction,
                                                              UnitShare share) const {
  Worker worker;
  worker.group = &group;
  worker.first_direction = first_direction;
  worker.last_direction = last_direction;
  worker.share = share;
  for (std::size_t d = first_direction; d < last_direction; ++d) {
    worker.steps.emplace_back(cells_[0], group.rows.size());
  }
  worker.ahead_x.resize(ahead_steps_ * group.rows.size());
  worker.ahead_pre.resize(ahead_steps_ * group.rows.size());
  if (call_.zoneout != nullptr && call_.c_n != nullptr) {
    worker.c_before = Tensor<T>({group.rows.size(), cells_[0].c_size()});
  }
  return worker;
}

template <class T>
void RecurrentRun<T>::make_workers(const RecurrentPlan& plan) {
  for (Group& group : groups_) {
    alone_.push_back(make_worker(group, 0, directions_, UnitShare{}));
    if (plan.threads() == 1) return;
    // Threads that share units meet after a layer's last step in any case.
    SpinBarrier* layer_barrier = nullptr;
    const bool is_one_team = plan.direction_groups == 1 && plan.layer_groups == 1;
    if (plan.direction_groups > 1 && plan.layer_groups == 1) {
      const std::size_t members = plan.direction_groups * plan.unit_groups;
      layer_barrier = barriers_.emplace_back(std::make_unique<SpinBarrier>(members)).get();
    }
    for (std::size_t i = 0; i < plan.direction_groups * plan.layer_groups; ++i) {
      const std::size_t d = i % plan.direction_groups;
      StepTeam* team = teams_.emplace_back(std::make_unique<StepTeam>(plan.unit_groups, is_one_team)).get();
      for (std::size_t u = 0; u < plan.unit_groups; ++u) {
        Worker& worker = workers_.emplace_back(make_worker(group, directions_ * d / plan.direction_groups,
                                                           directions_ * (d + 1) / plan.direction_groups,
                                                           UnitShare{.index = u, .count = plan.unit_groups}));
        worker.layer_group = i / plan.direction_groups;
        worker.layer_groups = plan.layer_groups;
        worker.layer_barrier = layer_barrier;
        worker.team = team;
      }
    }
  }
}

template <class T>
void RecurrentRun<T>::make_clocks() {
  ModuleCounter& counter = *call_.counter;
  counter.call_ticks.assign(std::max<std::size_t>(workers_.size(), 1), 0);
  const auto make = [&](Worker& worker, std::size_t thread) {
    worker.clock = WalkClock(&counter, thread);
    worker.splits.resize(cells_.size());
    for (std::size_t layer = worker.layer_group; layer < layers_; layer += worker.layer_groups) {
      for (std::size_t d = worker.first_direction; d < worker.last_direction; ++d) {
        worker.splits[layer * directions_ + d] =
            split_step(counter, cells_[layer * directions_ + d], layer, d, thread, layer_input(layer).dim(2),
                       worker.group->rows.size(), ahead_steps_ > 0);
      }
    }
  };
  for (std::size_t i = 0; i < workers_.size(); ++i) make(workers_[i], i);
  for (Worker& worker : alone_) make(worker, 0);
}

template <class T>
void RecurrentRun<T>::run() noexcept {
  if (workers_.empty()) {
    run_alone();
    return;
  }
  if (call_.counter == nullptr) {
    run_team();
    return;
  }
  const std::uint64_t begin = now_ticks();
  run_team();
  // What the first thread was not at work, it waited for the others.
  const std::uint64_t took = now_ticks() - begin;
  std::uint64_t& counted = call_.counter->call_ticks[0];
  const CellSplit& first = workers_[0].splits[workers_[0].first_direction];
  first.counter->add(Phase::kWaiting, took - std::min(took, counted));
  counted = took;
}

template <class T>
void RecurrentRun<T>::run_alone() noexcept {
  for (Worker& worker : alone_) run_worker(worker);
}

template <class T>
void RecurrentRun<T>::run_team() noexcept {
  TeamWatch watch(workers_.size());
#pragma omp parallel num_threads(static_cast <int>(workers_.size()))
  {
    const auto thread = static_cast<std::size_t>(omp_get_thread_num());
    if (static_cast<std::size_t>(omp_get_num_threads()) == workers_.size()) {
      run_worker(workers_[thread]);
      watch.add_waiting(workers_[thread].waited_ns);
    } else if (thread == 0) {
      run_alone();
    }
    watch.end_thread();
  }
  for (const auto& team : teams_) watch.add_waiting(team->waited_ns());
  time_in_vain_ = watch.time_in_vain();
}

template <class T>
void RecurrentRun<T>::run_worker(Worker& worker) noexcept {
  if (worker.clock.is_on()) worker.clock.begin_worker();
  for (std::size_t layer = worker.layer_group; layer < layers_; layer += worker.layer_groups) {
    Walk walks[2];
    std::size_t count = 0;
    for (std::size_t d = worker.first_direction; d < worker.last_direction; ++d) {
      walks[count++] = start_walk(worker, layer, d);
    }
    // Both directions step by step share their meetings; without meetings one after the other keeps its
    // weights in the cache.
    bool is_done = true;
    if (worker.share.count > 1) {
      is_done = walk(worker, std::span(walks, count));
    } else {
      for (std::size_t i = 0; i < count; ++i) walk(worker, std::span(&walks[i], 1));
    }
    if (!is_done) break;
    if (worker.layer_barrier != nullptr) {
      worker.waited_ns += worker.layer_barrier->wait();
      if (worker.clock.is_on()) worker.clock.lap(Phase::kWaiting);
    }
  }
  if (worker.clock.is_on()) worker.clock.end_worker();
}

template <class T>
TensorView<const T> RecurrentRun<T>::layer_input(std::size_t layer) const noexcept {
  if (layer == 0) return call_.x;
  if (call_.record != nullptr) return call_.record->outputs[layer - 1].view();
  return between_[(layer - 1) % between_.size()].view();
}

template <class T>
TensorView<T> RecurrentRun<T>::layer_output(std::size_t layer) noexcept {
  if (layer + 1 == layers_) return call_.y;
  if (call_.record != nullptr) return call_.record->outputs[layer].view();
  return between_[layer % between_.size()].view();
}

template <class T>
typename RecurrentRun<T>::Walk RecurrentRun<T>::start_walk(Worker& worker, std::size_t layer,
                                                           std::size_t direction) noexcept {
  const Group& group = *worker.group;
  const std::size_t batch = call_.x.dim(1);
  const PackedCell<T>& cell = cells_[layer * directions_ + direction];
  Walk walk{};
  walk.cell = &cell;
  walk.steps = &worker.steps[direction - worker.first_direction];
  walk.x = layer_input(layer);
  walk.layer = layer;
  walk.direction = direction;
  walk.slot = worker.layer_group * directions_ + direction;
  walk.is_reverse = direction == 1;
  walk.h_n = call_.h_n + (layer * directions_ + direction) * batch * cell.state_size();
  const bool has_c = cell.c_size() > 0;
  if (has_c) walk.c_n = call_.c_n + (layer * directions_ + direction) * batch * cell.c_size();
  RecurrentRecord<T>* const record = call_.record;
  TensorView<T> c_sequence;
  if (has_c && record != nullptr) {
    c_sequence = record->cells[call_.first_layer + layer].view();
  } else if (has_c && layer + 1 == layers_) {
    c_sequence = call_.c_sequence;
  }
  const bool keeps_c = !c_sequence.is_null();
  const TensorView<T> y = layer_output(layer);
  walk.y = y;
  walk.c_sequence = c_sequence;
  const std::ptrdiff_t sign = walk.is_reverse ? -1 : 1;
  const bool has_x = ahead_steps_ == 0 || cell.takes_x_beside_pre();
  walk.strides = {
      .x = has_x ? sign * walk.x.stride(0) : 0,
      .pre = ahead_steps_ > 0 ? static_cast<std::ptrdiff_t>(group.rows.size() * cell.pre_size()) : 0,
      .h = sign * y.stride(0),
      .c = keeps_c ? sign * c_sequence.stride(0) : 0};
  T* scratch = worker.group->scratch.data() + walk.slot * group.rows.size() * cell.scratch_size();
  const std::size_t index = (call_.first_layer + layer) * directions_ + direction;
  if (record != nullptr) {
    walk.strides.kept = sign * static_cast<std::ptrdiff_t>(batch * cell.kept_size());
    walk.strides.scratch = sign * static_cast<std::ptrdiff_t>(batch * cell.kept_scratch_size());
  }
  for (std::size_t r = 0; r < group.rows.size() && group.lengths[r] > 0; ++r) {
    const std::size_t b = group.rows[r];
    const std::size_t time = walk.is_reverse ? group.lengths[r] - 1 : 0;
    kernels::Row<T> row;
    if (has_x) row.x = &walk.x(time, b, 0);
    row.h = walk.h_n + b * cell.state_size();
    row.h_out = &y(time, b, direction * cell.state_size());
    if (has_c) {
      T* c = walk.c_n + b * cell.c_size();
      row.c = c;
      row.c_out = keeps_c ? &c_sequence(time, b, direction * cell.c_size()) : c;
    }
    T* own = scratch + r * cell.scratch_size();
    if (record != nullptr) {
      const std::size_t at = time * batch + b;
      if (cell.kept_size() > 0) row.kept = record->kept[index].data() + at * cell.kept_size();
      if (cell.kept_scratch_size() > 0) own = record->scratch[index].data() + at * cell.kept_scratch_size();
    }
    walk.steps->place(r, row, own);
  }
  return walk;
}

// False if the worker left its team on the way.
template <class T>
bool RecurrentRun<T>::walk(Worker& worker, std::span<Walk> walks) noexcept {
  const Group& group = *worker.group;
  const std::size_t last_step = group.lengths.empty() ? 0 : group.lengths.front();
  const std::size_t stages = cells_[0].stages();
  std::size_t active = group.rows.size();
  const std::size_t steps_below = walks[0].layer * last_step;
  WalkClock& clock = worker.clock;
  const bool is_timed = clock.is_on();
  if (is_timed) {
    const std::size_t first = walks[0].layer * directions_ + walks[0].direction;
    clock.begin_walk(std::span(worker.splits).subspan(first, walks.size()), worker.share);
    clock.lap(Phase::kOther);
  }
  for (std::size_t step = 0; step < last_step; ++step) {
    if (worker.share.count > 1 && !worker.team->is_together(steps_below + step)) {
      if (is_timed) clock.set_share({});
      if (worker.share.index != 0) return false;
      worker.share = {};
    }
    while (group.lengths[active - 1] <= step) --active;
    if (worker.layer_groups > 1) wait_for_layer_below(worker, walks[0], step, last_step);
    if (ahead_steps_ > 0 && step % ahead_steps_ == 0) {
      if (is_timed) clock.end_steps();
      for (std::size_t i = 0; i < walks.size(); ++i) {
        make_ahead(worker, walks[i], step, active);
        if (is_timed) clock.lap(Phase::kInput, i);
      }
    }
    if (!worker.c_before.is_null()) save_c(worker, walks[0], active);
    for (std::size_t stage = 0; stage < stages; ++stage) {
      for (const Walk& walk : walks) walk.cell->step(stage, *walk.steps, active, worker.share);
      if (worker.share.count == 1) continue;
      const std::uint64_t before = is_timed && clock.times_meetings() ? now_ticks() : 0;
      worker.team->meet(steps_below + step, worker.share.index == 0);
      if (before != 0) clock.met(now_ticks() - before);
    }
    if (call_.zoneout != nullptr) mix_old_states(worker, walks[0], step, active);
    for (const Walk& walk : walks) walk.steps->advance(active, walk.strides);
    if (worker.layer_groups > 1 && worker.share.index == 0) {
      worker.group->done[walks[0].layer].set(step + 1);
    }
    if (is_timed) clock.count_step(active);
  }
  if (is_timed) clock.end_steps();
  if (worker.share.index == 0) {
    for (const Walk& walk : walks) finish_walk(worker, walk);
  }
  if (is_timed) clock.lap(Phase::kOther);
  return true;
}

// Where layers go side by side: waits at every wave_steps_-th step for as many steps of the layer below.
template <class T>
void RecurrentRun<T>::wait_for_layer_below(Worker& worker, const Walk& walk, std::size_t step,
                                           std::size_t last_step) const noexcept {
  if (walk.layer == 0 || step % wave_steps_ != 0) return;
  if (worker.clock.is_on()) worker.clock.end_steps();
  worker.waited_ns += worker.group->done[walk.layer - 1].wait_for(std::min(step + wave_steps_, last_step));
  if (worker.clock.is_on()) worker.clock.lap(Phase::kWaiting);
}

// The input parts of steps [step, step + ahead_steps_), this worker's units: pre[step - first][row].
template <class T>
void RecurrentRun<T>::make_ahead(Worker& worker, const Walk& walk, std::size_t first,
                                 std::size_t active) noexcept {
  Group& group = *worker.group;
  const std::size_t rows = group.rows.size();
  const std::size_t pre_size = walk.cell->pre_size();
  T* pre = group.pre.data() + walk.slot * ahead_steps_ * rows * pre_size;
  for (std::size_t r = 0; r < active; ++r) walk.steps->set_pre(r, pre + r * pre_size);
  std::size_t count = 0;
  for (std::size_t s = 0; s < ahead_steps_; ++s) {
    for (std::size_t r = 0; r < active && group.lengths[r] > first + s; ++r) {
      const std::size_t time = walk.is_reverse ? group.lengths[r] - 1 - (first + s) : first + s;
      worker.ahead_x[count] = &walk.x(time, group.rows[r], 0);
      worker.ahead_pre[count] = pre + (s * rows + r) * pre_size;
      ++count;
    }
  }
  walk.cell->input_part(worker.ahead_x.data(), worker.ahead_pre.data(), count, worker.share);
}

template <class T>
void RecurrentRun<T>::save_c(Worker& worker, const Walk& walk, std::size_t active) noexcept {
  const std::size_t H = walk.cell->c_size();
  for (std::size_t r = 0; r < active; ++r) {
    std::copy_n(walk.steps->c(r), H, worker.c_before.data() + r * H);
  }
}

template <class T>
void RecurrentRun<T>::mix_old_states(Worker& worker, const Walk& walk, std::size_t step,
                                     std::size_t active) noexcept {
  const std::size_t state_size = walk.cell->state_size(), H = walk.cell->c_size();
  const Zoneout<T>& zoneout = *call_.zoneout;
  const std::uint64_t begin = worker.clock.is_on() ? now_ticks() : 0;
  for (std::size_t r = 0; r < active; ++r) {
    const std::size_t b = worker.group->rows[r];
    const std::size_t time = walk.is_reverse ? worker.group->lengths[r] - 1 - step : step;
    const std::size_t h_at = walk.direction * state_size, c_at = walk.direction * H;
    mix_states<T>(zoneout.h.at(time, b, h_at), walk.steps->h(r), &walk.y(time, b, h_at), state_size);
    if (walk.c_n == nullptr) continue;
    T* const c = walk.c_sequence ? &walk.c_sequence(time, b, c_at) : walk.c_n + b * H;
    mix_states<T>(zoneout.c.at(time, b, c_at), worker.c_before.data() + r * H, c, H);
  }
  if (worker.clock.is_on()) worker.clock.mixed(now_ticks() - begin);
}

template <class T>
void RecurrentRun<T>::finish_walk(Worker& worker, const Walk& walk) noexcept {
  const Group& group = *worker.group;
  const std::size_t state_size = walk.cell->state_size();
  const std::size_t c_size = walk.cell->c_size();
  for (std::size_t r = 0; r < group.rows.size() && group.lengths[r] > 0; ++r) {
    const std::size_t b = group.rows[r];
    std::copy_n(walk.steps->h(r), state_size, walk.h_n + b * state_size);
    const T* c = walk.steps->c(r);
    if (walk.c_n != nullptr && c != walk.c_n + b * c_size) {
      std::copy_n(c, c_size, walk.c_n + b * c_size);
    }
  }
}

template class RecurrentRun<float>;
template class RecurrentRun<double>;

}  // namespace sluice
