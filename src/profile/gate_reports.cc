// SPDX-License-Identifier: Apache-2.0
#include "profile/gate_reports.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "core/profiler.h"
#include "core/threads.h"
#include "layers/sequence.h"
#include "profile/gate_advice.h"
#include "profile/gate_counts.h"
#include "sluice/custom_recurrent.h"
#include "sluice/gate_statistics.h"
#include "sluice/layers.h"
#include "sluice/parameters.h"
#include "sluice/random.h"
#include "sluice/recurrent_module.h"
#include "sluice/tape.h"

namespace sluice {
namespace {

// The network that a module is, or null.
template <class T>
const RecurrentNet<T>* net_of(const Module<T>& module) {
  const auto* recurrent = dynamic_cast<const RecurrentModule<T>*>(&module);
  return recurrent != nullptr ? &recurrent->net() : nullptr;
}

// Runs a model as run() does, and reports on each recurrent module that it meets.
template <class T>
class GateReporter {
 public:
  GateReporter(int threads, std::size_t kept_bytes) : threads_(threads), kept_bytes_(kept_bytes) {}

  SequenceOutput<T> run(const Module<T>& module, const Sequence<T>& in) {
    if (const auto* sequential = dynamic_cast<const Sequential<T>*>(&module)) {
      return run_in_order(*sequential, in);
    }
    const RecurrentNet<T>* const net = net_of(module);
    SequenceOutput<T> out = net == nullptr ? module.run(in, RunOptions{threads_}) : run_net(*net, in);
    if (const auto nan = first_nan(out.y)) {
      const std::string prefix = prefix_of(module.parameters());
      note_nan(prefix.empty() ? std::string(module.type()) : prefix, "outputs are NaN" + from(*nan));
    }
    return out;
  }
  std::vector<GateReport> take() { return std::move(reports_); }
  std::vector<Advice> take_notes() { return std::move(notes_); }

 private:
  SequenceOutput<T> run_in_order(const Sequential<T>& modules, const Sequence<T>& in) {
    if (modules.size() == 0) return modules.run(in, RunOptions{threads_});
    SequenceOutput<T> out;
    Sequence<T> next = in;
    for (std::size_t i = 0; i < modules.size(); ++i) {
      out = run(modules[i], next);
      next = {out.y.view(), out.lengths};
    }
    return out;
  }

  SequenceOutput<T> run_net(const RecurrentNet<T>& net, const Sequence<T>& in) {
    const RecurrentOptions& options = net.options();
    const bool can_record = options.kind != CellKind::kCustom || options.form(0).backward.has_value();
    const std::vector<GatePlace> places = can_record ? gate_places(net) : std::vector<GatePlace>();
    if (places.empty()) return net.run(in, RunOptions{threads_});
    const std::size_t steps = in.x.dim(0), batch = in.x.dim(1);
    const TimeColumns columns(steps, batch, in.lengths);
    std::vector<GateCounts<T>> gates;
    gates.reserve(places.size());
    for (const GatePlace& place : places) gates.emplace_back(place, net.cell(0).kernels().lanes, columns);

    Tensor<T> y({steps, batch, options.directions() * options.state_size()});
    const RecordedPart part = recorded_part(net, steps, batch, kept_bytes_);
    for (std::size_t row = 0; row < batch; row += part.rows) {
      RecurrentOutput<T> before;
      for (std::size_t t = 0; t < steps; t += part.steps) {
        const std::size_t rows = std::min(part.rows, batch - row), times = std::min(part.steps, steps - t);
        std::vector<std::int64_t> lengths;
        for (std::size_t b = row; !in.lengths.empty() && b < row + rows; ++b) {
          lengths.push_back(std::clamp<std::int64_t>(in.lengths[b] - static_cast<std::int64_t>(t), 0,
                                                     static_cast<std::int64_t>(times)));
        }
        const RecurrentInput<T> input{
            .h0 = before.h_n.view(), .c0 = before.c_n.view(), .lengths = lengths, .threads = threads_};
        RecurrentRecord<T> record;
        before = net.forward(in.x.narrow(0, t, times).narrow(1, row, rows), input, SequenceLayout::kTimeFirst,
                             nullptr, {}, &record);
        copy_part(before.output, y.view().narrow(0, t, times).narrow(1, row, rows));
        count(gates, record, {row, t});
      }
    }
    add_reports(gates, net.name());
    return {std::move(y), same_lengths(in)};
  }

  void add_reports(const std::vector<GateCounts<T>>& gates, const std::string& module) {
    const GatePlace* place =
        nullptr;  // of the first layer and direction with NaN, the gate that has it first
    RowStep first;
    for (const GateCounts<T>& gate : gates) {
      const std::optional<RowStep> nan = gate.first_nan();
      const GatePlace& here = gate.place();
      if (!nan) continue;
      if (place != nullptr && (here.layer != place->layer || here.direction != place->direction)) break;
      if (place != nullptr && !nan->is_before(first, here.direction)) continue;
      place = &here;
      first = *nan;
    }
    if (place != nullptr) {
      note_nan(gate_place(module, place->layer, place->direction),
               "activations of gate " + place->gate.name + " are NaN" + from(first, place->direction == 1));
      return;
    }
    for (const GateCounts<T>& gate : gates) reports_.push_back(gate.report(module));
  }

  // Those that come later have it from the first.
  void note_nan(std::string where, const std::string& figure) {
    if (!notes_.empty()) return;
    notes_.push_back({.where = std::move(where),
                      .what = "look for NaN in its input and its weights",
                      .figure = figure + "; gates that are NaN are left out"});
  }

  static std::string from(RowStep at, bool goes_back = false) {
    return " from step " + std::to_string(at.step) + " of row " + std::to_string(at.row) +
           (goes_back ? " back" : " on");
  }

  static std::optional<RowStep> first_nan(const Tensor<T>& y) {
    for (std::size_t row = 0; row < y.dim(1); ++row) {
      for (std::size_t t = 0; t < y.dim(0); ++t) {
        const T* const values = &y(t, row, 0);
        if (std::any_of(values, values + y.dim(2), [](T value) { return std::isnan(value); })) {
          return RowStep{row, t};
        }
      }
    }
    return std::nullopt;
  }

  void count(std::vector<GateCounts<T>>& gates, const RecurrentRecord<T>& record, RowStep first) const {
    struct Block {
      GateCounts<T>* gate;
      std::size_t block;
    };
    std::vector<Block> blocks;
    for (GateCounts<T>& gate : gates) {
      for (std::size_t block = 0; block < gate.blocks(); ++block) blocks.push_back({&gate, block});
    }
    parallel_ranges(blocks.size(), 1, threads_, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) blocks[i].gate->count(blocks[i].block, record, first);
    });
  }

  static void copy_part(const Tensor<T>& from, TensorView<T> to) noexcept {
    for (std::size_t t = 0; t < from.dim(0); ++t) {
      for (std::size_t b = 0; b < from.dim(1); ++b) std::copy_n(&from(t, b, 0), from.dim(2), &to(t, b, 0));
    }
  }

  int threads_;
  std::size_t kept_bytes_;
  std::vector<GateReport> reports_;
  std::vector<Advice> notes_;
};

}  // namespace

template <class T>
RecordedPart recorded_part(const RecurrentNet<T>& net, std::size_t steps, std::size_t batch,
                           std::size_t kept_bytes) {
  const RecurrentOptions& options = net.options();
  std::size_t elements = 0;  // of a row's step
  for (std::size_t layer = 0; layer < options.num_layers; ++layer) {
    for (std::size_t direction = 0; direction < options.directions(); ++direction) {
      const PackedCell<T>& cell = net.cell(layer, direction);
      elements += cell.kept_size() + cell.kept_scratch_size() + cell.c_size() + cell.state_size();
    }
  }
  // Steps of one row.
  const std::size_t fit =
      std::max<std::size_t>(kept_bytes / std::max<std::size_t>(elements * sizeof(T), 1), 1);
  const std::size_t rows =
      std::clamp<std::size_t>(fit / std::max<std::size_t>(steps, 1), 1, std::max<std::size_t>(batch, 1));
  if (options.is_bidirectional || fit >= steps) return {rows, std::max<std::size_t>(steps, 1)};
  return {rows, fit};
}

template <class T>
std::vector<GateReport> gate_reports(const Module<T>& model, const Sequence<T>& in, int threads,
                                     std::size_t kept_bytes, std::vector<Advice>* notes) {
  check_sequence("gate_reports", in);
  model.output_size(in.x.dim(2));
  GateReporter<T> reporter(threads, kept_bytes);
  reporter.run(model, in);
  if (notes != nullptr) *notes = reporter.take_notes();
  return reporter.take();
}

template <class T>
Tensor<T> square_sum_gradient(const SequenceOutput<T>& out) {
  Tensor<T> grad(out.y);
  for (T& value : grad.span()) value *= 2;
  return grad;
}

template <class T>
std::vector<double> gradient_norms(const Module<T>& model, const StateDict<T>& weights, const Sequence<T>& in,
                                   const LossGradient<T>& loss_gradient, int threads) {
  Parameters<T> parameters(model.parameters());
  parameters.load(weights);
  RandomSource random;
  GateStatistics statistics;
  Tape tape;
  const SequenceOutput<T> out =
      model.record(in, tape, {.threads = threads, .random = &random, .recompute = true});
  const Tensor<T> grad = loss_gradient(out);
  model.backward(grad.view(), tape, parameters,
                 {.wants_input = false, .threads = threads, .statistics = &statistics});
  std::vector<double> norms;
  if (statistics.layers.empty()) return norms;
  const RecurrentStatistics& last = statistics.layers.back();
  norms.resize(last.gradients.size());
  for (const RecurrentStatistics& layer : statistics.layers) {
    if (layer.module != last.module || layer.layer != last.layer) continue;
    for (std::size_t t = 0; t < norms.size(); ++t) norms[t] = std::hypot(norms[t], layer.gradients[t].mean());
  }
  return norms;
}

template RecordedPart recorded_part(const RecurrentNet<float>&, std::size_t, std::size_t, std::size_t);
template RecordedPart recorded_part(const RecurrentNet<double>&, std::size_t, std::size_t, std::size_t);
template std::vector<GateReport> gate_reports(const Module<float>&, const Sequence<float>&, int, std::size_t,
                                              std::vector<Advice>*);
template std::vector<GateReport> gate_reports(const Module<double>&, const Sequence<double>&, int,
                                              std::size_t, std::vector<Advice>*);
template Tensor<float> square_sum_gradient(const SequenceOutput<float>&);
template Tensor<double> square_sum_gradient(const SequenceOutput<double>&);
template std::vector<double> gradient_norms(const Module<float>&, const StateDict<float>&,
                                            const Sequence<float>&, const LossGradient<float>&, int);
template std::vector<double> gradient_norms(const Module<double>&, const StateDict<double>&,
                                            const Sequence<double>&, const LossGradient<double>&, int);

}  // namespace sluice
