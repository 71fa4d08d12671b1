// SPDX-License-Identifier: Apache-2.0
#include "layers/recurrent_net.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/check.h"
#include "core/profiler.h"
#include "core/threads.h"
#include "layers/recurrent_run.h"
#include "layers/recurrent_verbose.h"
#include "layers/sequence.h"

namespace sluice {
namespace {

void check_options(const RecurrentOptions& options) {
  const std::string type(options.type);
  const auto require_positive = [&](std::size_t value, const char* name) {
    if (value == 0) throw Error(type + ": " + name + " is 0, expected at least 1");
  };
  require_positive(options.input_size, "input_size");
  require_positive(options.hidden_size, "hidden_size");
  require_positive(options.num_layers, "num_layers");
  check_drop_probability(type, "dropout", options.dropout);
  check_drop_probability(type, "zoneout_h", options.zoneout_h);
  check_drop_probability(type, "zoneout_c", options.zoneout_c);
  if (options.proj_size >= options.hidden_size) {
    throw Error(type + ": proj_size is " + std::to_string(options.proj_size) +
                ", expected less than hidden_size " + std::to_string(options.hidden_size));
  }
  if (options.names == ParameterNames::kCell &&
      (options.num_layers > 1 || options.is_bidirectional || options.proj_size > 0)) {
    throw Error(type + ": a cell has one layer, one direction and no projection");
  }
}

// to = from, row by row; [T, B, F] both, from contiguous, to with neighbouring features.
template <class T>
void copy_rows(TensorView<const T> from, TensorView<T> to) noexcept {
  for (std::size_t t = 0; t < from.dim(0); ++t) {
    for (std::size_t b = 0; b < from.dim(1); ++b) std::copy_n(&from(t, b, 0), from.dim(2), &to(t, b, 0));
  }
}

}  // namespace

template <class T>
RecurrentNet<T>::RecurrentNet(const RecurrentOptions& options, const StateDict<T>& weights,
                              const std::string& prefix)
    : options_(options), prefix_(prefix) {
  check_options(options);
  for (std::size_t layer = 0; layer < options.num_layers; ++layer) {
    for (std::size_t direction = 0; direction < options.directions(); ++direction) {
      std::vector<TensorView<const T>> found;
      for (const ParameterInfo& info : cell_parameters(layer, direction)) {
        found.push_back(weights.at(info.name, info.shape));
      }
      if (options.kind == CellKind::kCustom) {
        cells_.emplace_back(options.form(layer), found);
        continue;
      }
      CellWeights<T> parts;
      parts.weight_ih = found[0];
      parts.weight_hh = found[1];
      std::size_t n = 2;
      if (options.has_bias) {
        parts.bias_ih = found[2];
        parts.bias_hh = found[3];
        n = 4;
      }
      if (options.proj_size > 0) parts.weight_hr = found[n];
      cells_.emplace_back(options.kind, parts);
    }
  }
}

template <class T>
std::vector<ParameterInfo> RecurrentNet<T>::cell_parameters(std::size_t layer, std::size_t direction) const {
  std::string suffix;
  if (options_.names == ParameterNames::kLayers) {
    suffix = "_l" + std::to_string(layer) + (direction == 1 ? "_reverse" : "");
  }
  const auto name = [&](const std::string& stem) { return prefix_ + stem + suffix; };
  if (options_.kind == CellKind::kCustom) {
    std::vector<ParameterInfo> parameters = options_.form(layer).lowered.parameters;
    for (ParameterInfo& info : parameters) info.name = name(info.name);
    return parameters;
  }
  const std::size_t rows = Shape({gate_count(options_.kind), options_.hidden_size}).size();
  std::vector<ParameterInfo> parameters{{name("weight_ih"), Shape({rows, options_.layer_input_size(layer)})},
                                        {name("weight_hh"), Shape({rows, options_.state_size()})}};
  if (options_.has_bias) {
    parameters.push_back({name("bias_ih"), Shape({rows})});
    parameters.push_back({name("bias_hh"), Shape({rows})});
  }
  if (options_.proj_size > 0) {
    parameters.push_back({name("weight_hr"), Shape({options_.proj_size, options_.hidden_size})});
  }
  return parameters;
}

template <class T>
std::vector<ParameterInfo> RecurrentNet<T>::parameters() const {
  std::vector<ParameterInfo> all;
  for (std::size_t layer = 0; layer < options_.num_layers; ++layer) {
    for (std::size_t direction = 0; direction < options_.directions(); ++direction) {
      for (ParameterInfo& info : cell_parameters(layer, direction)) all.push_back(std::move(info));
    }
  }
  return all;
}

template <class T>
std::size_t RecurrentNet<T>::output_size(std::size_t input_size) const {
  check_features(options_.type, input_size, options_.input_size);
  return options_.directions() * options_.state_size();
}

template <class T>
std::string RecurrentNet<T>::name() const {
  const std::string name = prefix_.ends_with('.') ? prefix_.substr(0, prefix_.size() - 1) : prefix_;
  return name.empty() ? std::string(options_.type) : name;
}

template <class T>
double RecurrentNet<T>::flops_per_step() const noexcept {
  double multiply_adds = 0;
  for (const PackedCell<T>& cell : cells_) multiply_adds += cell.multiply_adds();
  return 2 * multiply_adds;
}

template <class T>
RecurrentShape RecurrentNet<T>::shape(std::size_t steps, std::size_t batch) const noexcept {
  return {.steps = steps,
          .batch = batch,
          .input_size = options_.input_size,
          .hidden_size = cells_[0].units(),
          .state_size = options_.state_size(),
          .gates = cells_[0].gates(),
          .directions = options_.directions(),
          .layers = options_.num_layers,
          .stages = cells_[0].stages(),
          .lanes = cells_[0].kernels().lanes,
          .tile_rows = cells_[0].tile_rows(),
          .element_bytes = sizeof(T)};
}

template <class T>
void RecurrentNet<T>::check_input(std::string_view call, TensorView<const T> x, const RecurrentInput<T>& in,
                                  std::size_t steps, std::size_t batch) const {
  const std::size_t cells = cells_.size();
  if (in.h0)
    check_shape(call, "h0", in.h0.shape(), state_shape(x.rank(), cells, batch, options_.state_size()));
  if (options_.c_size() > 0) {
    if (in.c0) {
      check_shape(call, "c0", in.c0.shape(), state_shape(x.rank(), cells, batch, options_.c_size()));
    }
  } else {
    if (in.c0) throw Error(std::string(call) + ": c0 is given, but only an LSTM has a cell state");
    if (in.cell_sequence) {
      throw Error(std::string(call) + ": cell_sequence is set, but only an LSTM has a cell state");
    }
  }
  if (in.threads < 0) {
    throw Error(std::string(call) + ": threads is " + std::to_string(in.threads) + ", expected 0 or more");
  }
  if (in.lengths.empty()) return;
  if (in.lengths.size() != batch) {
    throw ShapeError(std::string(call) + ": lengths has " + std::to_string(in.lengths.size()) +
                     " entries, expected one for each of " + std::to_string(batch) + " rows");
  }
  for (std::size_t b = 0; b < batch; ++b) {
    if (in.lengths[b] >= 0 && static_cast<std::uint64_t>(in.lengths[b]) <= steps) continue;
    throw Error(std::string(call) + ": lengths[" + std::to_string(b) + "] is " +
                std::to_string(in.lengths[b]) + ", expected 0 to " + std::to_string(steps));
  }
}

template <class T>
RecurrentOutput<T> RecurrentNet<T>::forward(TensorView<const T> x, const RecurrentInput<T>& in,
                                            SequenceLayout layout, const RecurrentPlan* plan,
                                            RecurrentOutput<T>&& reuse, RecurrentRecord<T>* record) const {
  const std::string call = std::string(options_.type) + "::forward";
  const std::size_t rank = x.rank();
  const bool is_batch_first = layout == SequenceLayout::kBatchFirst;
  if ((rank != 2 && rank != 3) || x.dim(rank - 1) != options_.input_size) {
    const std::string features = std::to_string(options_.input_size) + "]";
    throw_shape_error(call, "x", x.shape(),
                      (is_batch_first ? "[B, T, " : "[T, B, ") + features + " or [T, " + features);
  }
  TensorView<const T> sequence = time_first(x, layout);
  const std::size_t steps = sequence.dim(0);
  const std::size_t batch = sequence.dim(1);
  check_input(call, x, in, steps, batch);
  if (record != nullptr && options_.kind == CellKind::kCustom && !options_.form(0).backward) {
    throw Error(call + ": " + options_.form(0).why_no_backward);
  }

  Profiler* const profiler = record == nullptr ? in.profiler : nullptr;
  const RunClock run_clock(profiler);
  const ModuleClock clock(profiler, *this, options_.type);

  // The kernels read features that lie side by side.
  Tensor<T> copy;
  if (sequence.stride(2) != 1 && sequence.dim(2) != 1) {
    copy = Tensor<T>(sequence);
    sequence = copy.view();
  }
  const std::size_t directions = options_.directions();
  const bool has_c = options_.c_size() > 0;
  const auto make_sequence = [&](Tensor<T>& old, std::size_t features) {
    const Shape shape = sequence_shape(rank, layout, steps, batch, directions * features);
    if (old.is_null() || old.shape() != shape) old = Tensor<T>::uninitialized(shape);
    // Whole rows are written to the end; what follows a shorter one is zero.
    if (!in.lengths.empty()) std::fill_n(old.data(), old.size(), T{0});
  };
  const auto make_state = [&](Tensor<T>& old, TensorView<const T> initial, std::size_t features) {
    const Shape shape = state_shape(rank, cells_.size(), batch, features);
    const bool fits = !old.is_null() && old.shape() == shape;
    if (initial) {
      const bool is_old = fits && initial.data() == old.data() && initial.is_contiguous();
      return is_old ? std::move(old) : Tensor<T>(initial);
    }
    if (!fits) return Tensor<T>(shape);
    std::fill_n(old.data(), old.size(), T{0});
    return std::move(old);
  };
  RecurrentOutput<T> out = std::move(reuse);
  make_sequence(out.output, options_.state_size());
  // Both before either replaces what the other's initial value may lie in.
  Tensor<T> h_n = make_state(out.h_n, in.h0, options_.state_size());
  Tensor<T> c_n = has_c ? make_state(out.c_n, in.c0, options_.c_size()) : Tensor<T>();
  out.h_n = std::move(h_n);
  out.c_n = std::move(c_n);
  if (in.cell_sequence) {
    make_sequence(out.c_sequence, options_.c_size());
  } else {
    out.c_sequence = {};
  }

  RecurrentCall<T> work{.x = sequence,
                        .lengths = in.lengths,
                        .y = time_first(out.output.view(), layout),
                        .c_sequence = {},
                        .h_n = out.h_n.data(),
                        .c_n = out.c_n.data()};
  work.counter = clock.counter();
  if (in.cell_sequence) work.c_sequence = time_first(out.c_sequence.view(), layout);
  if (record != nullptr) {
    start_record(sequence, in, *record);
    record->copy = std::move(copy);
    work.record = record;
  }
  const Zoneout<T> zoneout{ZoneoutShare<T>(options_.zoneout_h), ZoneoutShare<T>(options_.zoneout_c)};
  if (options_.zones_out()) work.zoneout = &zoneout;
  if (record != nullptr && (record->recompute || record->random)) {
    run_layers(work, in.threads);
  } else {
    for (std::size_t layer = 0; record != nullptr && layer < options_.num_layers; ++layer) {
      make_room(layer, *record);
    }
    const RecurrentShape sizes = shape(steps, batch);
    const auto threads = static_cast<std::size_t>(thread_limit(in.threads));
    run_cells(cells_, work, sizes, plan != nullptr ? *plan : plan_recurrent(sizes, threads));
  }
  if (record != nullptr && !record->recompute) {
    record->outputs.back() = Tensor<T>(TensorView<const T>(work.y));
    if (in.cell_sequence) copy_rows<T>(record->cells.back().view(), work.c_sequence);
  }
  return out;
}

template <class T>
void RecurrentNet<T>::run_cells(std::span<const PackedCell<T>> cells, const RecurrentCall<T>& work,
                                const RecurrentShape& sizes, RecurrentPlan plan) const {
  // States are mixed row by row after a step, so a row belongs to one thread.
  if (work.zoneout != nullptr) {
    plan = {.batch_groups = std::clamp<std::size_t>(plan.threads(), 1, std::max<std::size_t>(sizes.batch, 1)),
            .ahead_steps = plan.ahead_steps};
  }
  const BusyThreads busy(plan.threads());
  RecurrentRun<T> run(cells, options_.directions(), work, plan);
  const std::int64_t start = is_verbose() ? steady_now_ns() : 0;
  run.run();
  if (is_verbose()) {
    print_verbose(std::string(options_.type) + "::forward", cells_[0].kernels().target, sizes, plan,
                  static_cast<double>(steady_now_ns() - start));
  }
  // Rows of unlike lengths wait, too, but that the plan knows.
  constexpr double kFarAbovePlan = 3;
  const std::int64_t took = run.time_in_vain();
  if (took > 0 && static_cast<double>(took) > kFarAbovePlan * recurrent_cost_ns(sizes, plan)) {
    StarvedTeams::add(took);
  }
}

// What a record holds of every call.
template <class T>
void RecurrentNet<T>::start_record(TensorView<const T> x, const RecurrentInput<T>& in,
                                   RecurrentRecord<T>& record) const {
  const std::size_t steps = x.dim(0);
  const std::size_t batch = x.dim(1);
  const bool has_c = options_.c_size() > 0;
  RecurrentRecord<T> made;
  made.random = record.random;
  made.recompute = record.recompute;
  made.x = x;
  made.lengths.assign(in.lengths.begin(), in.lengths.end());
  const auto state = [&](TensorView<const T> given, std::size_t features) {
    Tensor<T> copy = given ? Tensor<T>(given) : Tensor<T>({cells_.size(), batch, features});
    return std::move(copy).reshaped({cells_.size(), batch, features});
  };
  made.h0 = state(in.h0, options_.state_size());
  if (has_c) made.c0 = state(in.c0, options_.c_size());
  made.outputs.resize(options_.num_layers);
  made.cells.resize(has_c ? options_.num_layers : 0);
  made.kept.resize(cells_.size());
  made.scratch.resize(cells_.size());
  // The last layer's output is the call's own, and copied when it is there. Others are read by the layer
  // above past a row's length, too.
  for (std::size_t layer = 0; layer + 1 < options_.num_layers; ++layer) {
    made.outputs[layer] = Tensor<T>({steps, batch, options_.directions() * options_.state_size()});
  }
  record = std::move(made);
}

// And what a layer writes for its way back.
template <class T>
void RecurrentNet<T>::make_room(std::size_t layer, RecurrentRecord<T>& record) const {
  const std::size_t steps = record.x.dim(0), batch = record.x.dim(1), directions = options_.directions();
  if (!record.cells.empty()) {
    record.cells[layer] = Tensor<T>({steps, batch, directions * options_.c_size()});
  }
  for (std::size_t index = layer * directions; index < (layer + 1) * directions; ++index) {
    record.kept[index] = Tensor<T>::uninitialized({steps, batch, cells_[index].kept_size()});
    record.scratch[index] = Tensor<T>::uninitialized({steps, batch, cells_[index].kept_scratch_size()});
  }
}

template <class T>
DropoutMask RecurrentNet<T>::mask_below(std::size_t layer, const RandomStream& first) const noexcept {
  return {options_.dropout, options_.has_variational_dropout,
          RandomStream(first.seed(), first.stream() + layer - 1)};
}

template <class T>
TensorView<const T> RecurrentNet<T>::layer_input(std::size_t layer, const RecurrentRecord<T>& record,
                                                 int threads, Tensor<T>& storage) const {
  if (layer == 0) return record.x;
  const Tensor<T>& below = record.outputs[layer - 1];
  if (!record.random || !options_.drops_out()) return below.view();
  storage = below;
  mask_below(layer, *record.random).apply(storage, threads);
  return storage.view();
}

template <class T>
Zoneout<T> RecurrentNet<T>::zoneout(std::size_t layer, const RecurrentRecord<T>& record, int threads) const {
  Zoneout<T> made;
  if (!options_.zones_out()) return made;
  SLUICE_DCHECK(record.random.has_value());
  const std::size_t D = options_.directions(), L = options_.num_layers;
  std::uint64_t mask = record.random->stream() + (options_.drops_out() ? L - 1 : 0) + layer;
  const auto share = [&](double p, std::size_t features) {
    const RandomStream random(record.random->seed(), mask);
    mask += L;
    return ZoneoutShare<T>(p, random, Shape{record.x.dim(0), record.x.dim(1), D * features}, threads);
  };
  if (options_.zoneout_h > 0) made.h = share(options_.zoneout_h, options_.state_size());
  if (options_.zoneout_c > 0) made.c = share(options_.zoneout_c, options_.c_size());
  return made;
}

// A recorded call, one layer after the other.
template <class T>
void RecurrentNet<T>::run_layers(const RecurrentCall<T>& work, int threads) const {
  RecurrentRecord<T>& record = *work.record;
  const std::size_t states = options_.directions() * work.x.dim(1);
  for (std::size_t layer = 0; layer < options_.num_layers; ++layer) {
    const bool is_last = layer + 1 == options_.num_layers;
    RecurrentCall<T> one = work;
    Tensor<T> storage;
    one.x = layer_input(layer, record, threads, storage);
    const Zoneout<T> zoned = record.random ? zoneout(layer, record, threads) : Zoneout<T>();
    if (record.random && options_.zones_out()) one.zoneout = &zoned;
    if (!is_last) {
      one.y = record.outputs[layer].view();
      one.c_sequence = {};
    }
    one.h_n += layer * states * options_.state_size();
    if (one.c_n != nullptr) one.c_n += layer * states * options_.c_size();
    if (record.recompute) {
      one.record = nullptr;
    } else {
      make_room(layer, record);
    }
    run_layer(layer, one, threads);
  }
}

template <class T>
void RecurrentNet<T>::run_layer(std::size_t layer, RecurrentCall<T> work, int threads) const {
  work.first_layer = layer;
  RecurrentShape sizes = shape(work.x.dim(0), work.x.dim(1));
  sizes.input_size = options_.layer_input_size(layer);
  sizes.layers = 1;
  const std::size_t directions = options_.directions();
  run_cells(std::span(cells_).subspan(layer * directions, directions), work, sizes,
            plan_recurrent(sizes, static_cast<std::size_t>(thread_limit(threads))));
}

template <class T>
void RecurrentNet<T>::recompute(std::size_t layer, TensorView<const T> x, RecurrentRecord<T>& record,
                                int threads) const {
  const std::size_t directions = options_.directions();
  Tensor<T>& output = record.outputs[layer];
  if (output.is_null()) output = Tensor<T>({x.dim(0), x.dim(1), directions * options_.state_size()});
  make_room(layer, record);
  const auto initial = [&](const Tensor<T>& all) {
    return all.is_null() ? Tensor<T>() : Tensor<T>(all.view().narrow(0, layer * directions, directions));
  };
  Tensor<T> h_n = initial(record.h0), c_n = initial(record.c0);
  const Zoneout<T> zoned = zoneout(layer, record, threads);
  run_layer(layer,
            {.x = x,
             .lengths = record.lengths,
             .y = output.view(),
             .c_sequence = {},
             .h_n = h_n.data(),
             .c_n = c_n.data(),
             .record = &record,
             .zoneout = options_.zones_out() ? &zoned : nullptr},
            threads);
}

template <class T>
SequenceOutput<T> RecurrentNet<T>::run(const Sequence<T>& in, const RunOptions& options) const {
  if (in.x.rank() != 3) {
    throw_shape_error(std::string(options_.type) + "::run", "x", in.x.shape(),
                      "[T, B, " + std::to_string(options_.input_size) + "]");
  }
  const RecurrentInput<T> input{
      .lengths = in.lengths, .threads = options.threads, .profiler = options.profiler};
  RecurrentOutput<T> out = forward(in.x, input, SequenceLayout::kTimeFirst);
  return {std::move(out.output), same_lengths(in)};
}

template class RecurrentNet<float>;
template class RecurrentNet<double>;

}  // namespace sluice
