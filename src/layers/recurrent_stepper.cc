// SPDX-License-Identifier: Apache-2.0
// A recurrent network one time step at a time: the same kernels on the same rows as a whole sequence, so the
// same bits.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "core/profiler.h"
#include "layers/recurrent_net.h"
#include "layers/walk_clock.h"
#include "layers/zoneout.h"
#include "sluice/error.h"

namespace sluice {
namespace {

// h is held twice, since a step reads all of the old h while it writes the new: steps read one and write the
// other in turn, and each turn has its list of rows made in advance.
template <class T>
class RecurrentStepper final : public Stepper<T> {
 public:
  RecurrentStepper(const RecurrentNet<T>& net, std::size_t batch) : net_(net), batch_(batch) {
    const RecurrentOptions& options = net.options();
    const PackedCell<T>& cell = net.cell(0);
    h_ = Tensor<T>({2, options.num_layers, batch, options.state_size()});
    c_ = Tensor<T>({options.num_layers, batch, options.c_size()});
    scratch_ = Tensor<T>({batch, cell.scratch_size()});
    h_share_ = ZoneoutShare<T>(options.zoneout_h);
    c_share_ = ZoneoutShare<T>(options.zoneout_c);
    if (options.zones_out() && c_.size() > 0) c_before_ = Tensor<T>({batch, options.c_size()});
    for (std::size_t turn = 0; turn < 2; ++turn) {
      for (std::size_t layer = 0; layer < options.num_layers; ++layer) {
        rows_[turn].emplace_back(cell, batch);
        rows_[turn].back().set_downward(turn == 1);
        place_rows(turn, layer);
      }
    }
  }

  const T* step(const T* x) noexcept override {
    if (counter_ != nullptr) return step_counted(x);
    return step_layers(x, [](std::size_t, bool) {});
  }

  void reset() noexcept override {
    std::fill_n(h_.data(), h_.size(), T{0});
    std::fill_n(c_.data(), c_.size(), T{0});
    turn_ = 0;
  }

  void set_profiler(Profiler* profiler) override {
    counter_ = nullptr;
    splits_.clear();
    if (profiler == nullptr) return;
    Profiler::State& state = profiler->state();
    is_outermost_ = !state.is_running;
    ModuleCounter& counter = is_outermost_ ? counter_of(state, net_, net_.options().type) : *state.current;
    for (std::size_t layer = 0; layer < net_.options().num_layers; ++layer) {
      splits_.push_back(split_step(counter, net_.cell(layer), layer, 0, 0,
                                   net_.options().layer_input_size(layer), batch_, false));
    }
    counter.call_ticks.assign(1, 0);
    counter_ = &counter;
  }

 private:
  const T* step_counted(const T* x) noexcept {
    Profiler::State& state = counter_->state;
    const bool is_timed = is_outermost_ ? state.begin_step() : state.weight > 0;
    if (!is_timed) return step_layers(x, [](std::size_t, bool) {});
    const std::uint64_t begin = is_outermost_ ? state.step_begin : now_ticks();
    std::uint64_t last = begin, of_products = 0;
    const T* const y = step_layers(x, [&](std::size_t layer, bool is_mixing) {
      const std::uint64_t now = now_ticks();
      if (net_.options().zones_out() && !is_mixing) {
        of_products = now - last;
        return;
      }
      const CellSplit::Steps taken{.steps = 1,
                                   .rows = batch_,
                                   .ticks = now - last,
                                   .mixing = is_mixing ? now - last - of_products : 0};
      count(layer, taken, last);
      last = now;
    });
    counter_->call_ticks.assign(1, last - begin);
    if (is_outermost_) {
      state.finish(*counter_, begin, last - begin, state.weight);
      state.end_step(last);
    }
    return y;
  }

  void count(std::size_t layer, const CellSplit::Steps& taken, std::uint64_t begin) noexcept {
    Profiler::State& state = counter_->state;
    const auto ticks = splits_[layer].add(taken, {}, state.weight);
    for (std::size_t phase = 0; state.has_trace() && phase < kPhases; ++phase) {
      if (ticks[phase] == 0) continue;
      state.keep_span(*counter_, splits_[layer].counter, static_cast<Phase>(phase), state.last_timed - 1,
                      begin, ticks[phase]);
      begin += ticks[phase];
    }
  }

  // Calls after(layer, is_mixing) when a layer's step is done, and when its states are mixed.
  template <class After>
  const T* step_layers(const T* x, const After& after) noexcept {
    const std::size_t layers = net_.options().num_layers;
    const std::size_t input_size = net_.options().input_size;
    for (std::size_t b = 0; b < batch_; ++b) rows_[turn_][0].set_x(b, x + b * input_size);
    for (std::size_t layer = 0; layer < layers; ++layer) {
      if (c_before_.size() > 0)
        std::copy_n(c_.data() + layer * c_before_.size(), c_before_.size(), c_before_.data());
      net_.cell(layer).step(rows_[turn_][layer], batch_);
      after(layer, false);
      if (!net_.options().zones_out()) continue;
      mix_old_states(layer);
      after(layer, true);
    }
    turn_ = 1 - turn_;
    return h(turn_, layers - 1);
  }

  // h of a layer that steps of turn `turn` read.
  T* h(std::size_t turn, std::size_t layer) noexcept {
    const RecurrentOptions& options = net_.options();
    return h_.data() + (turn * options.num_layers + layer) * batch_ * options.state_size();
  }

  void mix_old_states(std::size_t layer) noexcept {
    mix_states<T>(h_share_.at(0, 0, 0), h(turn_, layer), h(1 - turn_, layer),
                  batch_ * net_.options().state_size());
    if (c_before_.size() == 0) return;
    mix_states<T>(c_share_.at(0, 0, 0), c_before_.data(), c_.data() + layer * c_before_.size(),
                  c_before_.size());
  }

  void place_rows(std::size_t turn, std::size_t layer) noexcept {
    const RecurrentOptions& options = net_.options();
    const std::size_t c_size = c_.dim(2);
    for (std::size_t b = 0; b < batch_; ++b) {
      kernels::Row<T> row;
      // A layer above the first reads what the layer below has just written.
      if (layer > 0) row.x = h(1 - turn, layer - 1) + b * options.state_size();
      row.h = h(turn, layer) + b * options.state_size();
      row.h_out = h(1 - turn, layer) + b * options.state_size();
      if (c_size > 0) {
        row.c_out = c_.data() + (layer * batch_ + b) * c_size;
        row.c = row.c_out;
      }
      rows_[turn][layer].place(b, row, scratch_.data() + b * scratch_.dim(1));
    }
  }

  const RecurrentNet<T>& net_;
  std::size_t batch_;
  Tensor<T> h_;                                   // [turn][layer][B][H_out]
  Tensor<T> c_;                                   // [layer][B][H]
  Tensor<T> scratch_;                             // [B][scratch_size], in turn for all layers
  std::array<std::vector<StepRows<T>>, 2> rows_;  // [turn][layer]
  std::size_t turn_ = 0;
  ZoneoutShare<T> h_share_, c_share_;
  ModuleCounter* counter_ = nullptr;  // where time is counted
  std::vector<CellSplit> splits_;     // of each layer
  bool is_outermost_ = false;
  Tensor<T> c_before_;  // [B][H] of a layer, where an LSTM zones out
};

}  // namespace

template <class T>
std::unique_ptr<Stepper<T>> RecurrentNet<T>::stepper(std::size_t batch, std::size_t input_size) const {
  output_size(input_size);
  if (options_.is_bidirectional) {
    throw Error(std::string(options_.type) +
                "::stepper: a bidirectional network needs the whole sequence, and cannot run step by step");
  }
  return std::make_unique<RecurrentStepper<T>>(*this, batch);
}

template std::unique_ptr<Stepper<float>> RecurrentNet<float>::stepper(std::size_t, std::size_t) const;
template std::unique_ptr<Stepper<double>> RecurrentNet<double>::stepper(std::size_t, std::size_t) const;

}  // namespace sluice
