// SPDX-License-Identifier: Apache-2.0
// One call of a recurrent network over whole sequences: its workspace, and the threads that walk through it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/spin_barrier.h"
#include "layers/packed_cell.h"
#include "layers/recurrent_plan.h"
#include "layers/recurrent_record.h"
#include "layers/walk_clock.h"
#include "layers/zoneout.h"
#include "sluice/tensor.h"

namespace sluice {

/// What a call reads and writes, checked by the caller. L layers, D directions, B rows.
template <class T>
struct RecurrentCall {
  TensorView<const T> x;                    // [T, B, I], last stride 1
  std::span<const std::int64_t> lengths{};  // [B], or empty: all T
  TensorView<T> y;                          // [T, B, D*H_out], last stride 1; written up to each row's length
  TensorView<T> c_sequence;                 // [T, B, D*H] for the last layer's c, last stride 1; or null
  T* h_n = nullptr;                         // [L*D, B, H_out]: initial states on entry, final ones on return
  T* c_n = nullptr;                         // [L*D, B, H], LSTM
  RecurrentRecord<T>* record = nullptr;     // null, or where to keep what the way back needs, made to fit
  const Zoneout<T>* zoneout = nullptr;      // null, or what stays of old states: then one thread has a row
  ModuleCounter* counter = nullptr;         // null, or where to count the time
  std::size_t first_layer = 0;              // of the record, that the lowest of these cells is
};

/// Takes all memory when made; `run` takes none, cannot fail, and leaves one thread where the plan says so.
template <class T>
class RecurrentRun {
 public:
  /// cells[layer * directions + direction]. What `call` points to must outlive this.
  RecurrentRun(std::span<const PackedCell<T>> cells, std::size_t directions, const RecurrentCall<T>& call,
               const RecurrentPlan& plan);
  void run() noexcept;
  /// Of the run that is over (TeamWatch).
  std::int64_t time_in_vain() const noexcept { return time_in_vain_; }

 private:
  // Rows of one batch group in order of falling length, so that those still running at a step come first.
  struct Group {
    std::vector<std::size_t> rows;     // indices in the batch
    std::vector<std::size_t> lengths;  // of rows[i]
    Tensor<T> scratch;                 // [walks, rows, scratch_size]; walks that go on at once, D or more
    Tensor<T> pre;                     // [walks, ahead_steps, rows, pre_size]
    std::vector<SpinCounter> done;     // steps of each layer, where layers go side by side
  };

  // What one thread does: some directions and layers of one group of rows, its share of the units.
  struct Worker {
    Group* group = nullptr;
    SpinBarrier* layer_barrier = nullptr;  // all threads of the group, where directions go side by side
    StepTeam* team = nullptr;              // those that share the units of the same directions
    std::int64_t waited_ns = 0;            // for others than those, beyond a bounded spin
    std::size_t first_direction = 0;
    std::size_t last_direction = 0;  // one past
    std::size_t layer_group = 0;     // of layer_groups
    std::size_t layer_groups = 1;
    UnitShare share;
    std::vector<StepRows<T>> steps;  // one a direction
    std::vector<const T*> ahead_x;   // the rows of input parts made in advance
    std::vector<T*> ahead_pre;
    Tensor<T> c_before;  // [rows, H], where states are mixed: a step may write c in place
    WalkClock clock;
    std::vector<CellSplit> splits;  // [layer][direction], where time is counted
  };

  // One layer, one direction: where it reads and writes, and how its rows move through time.
  struct Walk {
    const PackedCell<T>* cell;
    StepRows<T>* steps;
    TensorView<const T> x;
    TensorView<T> y;
    TensorView<T> c_sequence;  // null: in place, in c_n
    RowStrides strides;
    std::size_t layer;
    std::size_t direction;
    std::size_t slot;  // of the group's scratch and pre
    bool is_reverse;
    T* h_n;
    T* c_n;
  };

  void run_alone() noexcept;
  // Apart and never inlined, as run_ranges_in_team in core/threads.h is.
  [[gnu::noinline]] void run_team() noexcept;
  void make_groups(const RecurrentPlan& plan);
  Worker make_worker(Group& group, std::size_t first_direction, std::size_t last_direction,
                     UnitShare share) const;
  void wait_for_layer_below(Worker& worker, const Walk& walk, std::size_t step,
                            std::size_t last_step) const noexcept;
  void make_workers(const RecurrentPlan& plan);
  void make_clocks();
  void run_worker(Worker& worker) noexcept;
  Walk start_walk(Worker& worker, std::size_t layer, std::size_t direction) noexcept;
  bool walk(Worker& worker, std::span<Walk> walks) noexcept;
  void make_ahead(Worker& worker, const Walk& walk, std::size_t step, std::size_t active) noexcept;
  void save_c(Worker& worker, const Walk& walk, std::size_t active) noexcept;
  void mix_old_states(Worker& worker, const Walk& walk, std::size_t step, std::size_t active) noexcept;
  void finish_walk(Worker& worker, const Walk& walk) noexcept;
  TensorView<const T> layer_input(std::size_t layer) const noexcept;
  TensorView<T> layer_output(std::size_t layer) noexcept;

  std::span<const PackedCell<T>> cells_;
  std::size_t directions_;
  std::size_t layers_;
  RecurrentCall<T> call_;
  std::size_t ahead_steps_;
  std::size_t wave_steps_;
  std::vector<Tensor<T>> between_;  // outputs of the layers before the last, in turn
  std::vector<Group> groups_;
  std::vector<std::unique_ptr<SpinBarrier>> barriers_;
  std::vector<std::unique_ptr<StepTeam>> teams_;
  std::vector<Worker> workers_;
  std::int64_t time_in_vain_ = 0;
  std::vector<Worker> alone_;  // one a group: what one thread does where OpenMP gives fewer than planned
};

extern template class RecurrentRun<float>;
extern template class RecurrentRun<double>;

}  // namespace sluice
