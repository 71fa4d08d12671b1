// SPDX-License-Identifier: Apache-2.0
#include "profile/bounds.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>

#include "layers/cell_form.h"
#include "sluice/custom_recurrent.h"
#include "sluice/layers.h"
#include "sluice/recurrent.h"

namespace sluice {
namespace {

constexpr std::string_view kArithmetic = "multiply-adds";
constexpr std::string_view kGates = "gates";

double as_double(std::size_t n) noexcept { return static_cast<double>(n); }

// What goes on at once.
struct Stretch {
  double arithmetic = 0;  // seconds
  BoundRates::Reading reading;

  double seconds() const noexcept { return std::max(arithmetic, reading.seconds); }
  std::string by() const { return arithmetic >= reading.seconds ? std::string(kArithmetic) : reading.from; }
};

Stretch stretch_of(double flops, double elements, const BoundRates& rates) {
  return {flops / rates.flops_per_second, rates.read(elements * as_double(rates.element_bytes))};
}

// A layer's direction, whole, and what takes its time by itself.
struct Whole {
  Bound bound;
  double arithmetic = 0, gates = 0;
  BoundRates::Reading reading;
};

Whole whole_of(const CellWork& work, const BoundCall& call, const BoundRates& rates) {
  const double T = as_double(call.longest());
  if (T == 0) return {};
  const double B = as_double(call.row_steps()) / T;
  const double states = B * work.states, inputs = B * as_double(work.input_size);
  const double weights = work.input_weights + work.recurrent_weights;
  Whole whole;
  whole.bound.flops = 2 * T * B * weights;
  whole.arithmetic = whole.bound.flops / rates.flops_per_second;
  whole.gates = T * B * (work.sigmoids / rates.sigmoid_per_second + work.tanhs / rates.tanh_per_second);

  const Stretch both = stretch_of(2 * B * weights, weights + states + inputs, rates);
  whole.bound.seconds = T * both.seconds();
  whole.bound.by = both.by();
  whole.reading = both.reading;
  whole.reading.seconds *= T;
  double elements = T * (weights + 2 * states + inputs);
  if (T > 1) {
    const Stretch ahead = stretch_of(2 * T * B * work.input_weights, work.input_weights + T * inputs, rates);
    const Stretch step = stretch_of(2 * B * work.recurrent_weights, work.recurrent_weights + states, rates);
    const double seconds = ahead.seconds() + T * step.seconds();
    if (seconds < whole.bound.seconds) {
      whole.bound.seconds = seconds;
      whole.bound.by = ahead.seconds() > T * step.seconds() ? ahead.by() : step.by();
      elements = work.input_weights + T * (inputs + work.recurrent_weights + 2 * states);
    }
    const double reading = ahead.reading.seconds + T * step.reading.seconds;
    if (reading < whole.reading.seconds) {
      const bool is_from_memory = ahead.reading.is_from_memory || step.reading.is_from_memory;
      whole.reading = {reading, step.reading.from, is_from_memory};
    }
  }
  whole.bound.bytes = elements * as_double(rates.element_bytes);
  if (whole.gates > whole.bound.seconds) {
    whole.bound.seconds = whole.gates;
    whole.bound.by = kGates;
  }
  return whole;
}

// The sum of bounds of which one may read while another computes.
Bound side_by_side(std::span<const Whole> wholes) {
  Bound sum;
  double arithmetic = 0, gates = 0, reading = 0;
  const Whole* slowest = wholes.data();
  for (const Whole& whole : wholes) {
    sum.flops += whole.bound.flops;
    sum.bytes += whole.bound.bytes;
    arithmetic += whole.arithmetic;
    gates += whole.gates;
    reading += whole.reading.seconds;
    if (whole.reading.seconds > slowest->reading.seconds) slowest = &whole;
  }
  std::tie(sum.seconds, sum.by) =
      std::max({std::pair(arithmetic, std::string(kArithmetic)), std::pair(reading, slowest->reading.from),
                std::pair(gates, std::string(kGates))});
  return sum;
}

// Of a built-in layer.
struct GateSizes {
  std::size_t gates, sigmoids, tanhs;
  std::size_t cells;  // vectors of H that a step has beside h
};

GateSizes sizes_of(CellKind kind) noexcept {
  switch (kind) {
    case CellKind::kLstm:
      return {.gates = 4, .sigmoids = 3, .tanhs = 2, .cells = 1};
    case CellKind::kGru:
    case CellKind::kGruBefore:
      return {.gates = 3, .sigmoids = 2, .tanhs = 1, .cells = 0};
    case CellKind::kRnnTanh:
      return {.gates = 1, .sigmoids = 0, .tanhs = 1, .cells = 0};
    case CellKind::kRnnRelu:
      return {.gates = 1, .sigmoids = 0, .tanhs = 0, .cells = 0};
    case CellKind::kCustom:
      break;
  }
  return {};
}

CellWork work_of(const CustomCell& cell) {
  const LoweredCell lowered = lower_cell(cell.graph());
  CellWork work{.input_size = lowered.input_size};
  for (const CellNode& node : lowered.nodes) {
    const double size = as_double(node.size);
    if (node.op == CellOp::kSigmoid) work.sigmoids += size;
    if (node.op == CellOp::kTanh) work.tanhs += size;
    for (const CellProduct& product : node.products) {
      const CellNode& operand = lowered.nodes[product.operand];
      const double weights = size * as_double(operand.size);
      const bool is_input = operand.op == CellOp::kInput;
      (is_input ? work.input_weights : work.recurrent_weights) += weights;
    }
  }
  for (const CellState& state : lowered.states) work.states += as_double(state.size);
  return work;
}

std::vector<CellWork> works_of(const RecurrentLayerOptions& options) {
  const std::size_t directions = options.bidirectional ? 2 : 1;
  std::vector<CellWork> works;
  for (std::size_t layer = 0; layer < options.num_layers; ++layer) {
    CellWork work = work_of(
        layer == 0 ? options.cell : options.cell.with_input_size(directions * options.cell.output_size()));
    work.layer = layer;
    for (work.direction = 0; work.direction < directions; ++work.direction) works.push_back(work);
  }
  return works;
}

template <class T>
double parameter_elements(const Module<T>& module) {
  double elements = 0;
  for (const ParameterInfo& info : module.parameters()) elements += as_double(info.shape.size());
  return elements;
}

template <class T>
SweepWork sweep_of(const Module<T>& module, const BoundCall& call, const BoundCall& next) {
  const double in = as_double(call.row_steps() * call.input_size);
  const double out = as_double(next.row_steps() * next.input_size);
  if (dynamic_cast<const Embedding<T>*>(&module) != nullptr) {
    return {.read = in, .written = out};  // of the table, rows that may be few, and near
  }
  if (dynamic_cast<const LastStep<T>*>(&module) != nullptr) return {.read = out, .written = out};
  const std::size_t steps = module.ends_sequence() ? call.row_steps() : next.row_steps();
  SweepWork sweep{.flops = module.flops_per_step(call.input_size) * as_double(steps),
                  .read = parameter_elements(module) + in,
                  .written = out};
  if (const auto* conv = dynamic_cast<const Conv1d<T>*>(&module)) {
    // A stride may leave out some of its input.
    const double taken = as_double(next.row_steps() * conv->options().kernel_size * call.input_size);
    sweep.read = parameter_elements(module) + std::min(in, taken);
  }
  if (const auto* activation = dynamic_cast<const Activation<T>*>(&module)) {
    const ActivationKind kind = activation->kind();
    if (kind == ActivationKind::kTanh) sweep.tanhs = out;
    if (kind == ActivationKind::kSigmoid || kind == ActivationKind::kSilu) sweep.sigmoids = out;
  }
  return sweep;
}

template <class T>
BoundCall call_behind(const Module<T>& module, const BoundCall& call) {
  BoundCall next{call.steps, call.batch, module.output_size(call.input_size), call.lengths};
  if (module.ends_sequence()) {
    next.steps = 1;
    next.lengths.clear();
  }
  if (const auto* conv = dynamic_cast<const Conv1d<T>*>(&module)) {
    next.steps = conv->output_length(call.steps);
    const Conv1dOptions& o = conv->options();
    const std::size_t span = o.dilation * (o.kernel_size - 1) + 1;
    for (std::int64_t& length : next.lengths) {
      const std::size_t padded = static_cast<std::size_t>(length) + 2 * o.padding;
      // A row that is too short for the kernel has no output.
      length = padded < span ? 0 : static_cast<std::int64_t>((padded - span) / o.stride + 1);
    }
  }
  return next;
}

}  // namespace

std::size_t BoundCall::longest() const noexcept {
  if (lengths.empty()) return batch > 0 ? steps : 0;
  return static_cast<std::size_t>(*std::max_element(lengths.begin(), lengths.end()));
}

std::size_t BoundCall::row_steps() const noexcept {
  if (lengths.empty()) return steps * batch;
  return static_cast<std::size_t>(std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0}));
}

BoundRates bound_rates(const MachineLimits& machine, std::size_t element_bytes) {
  const double share = as_double(sizeof(float)) / as_double(element_bytes);
  BoundRates rates{.flops_per_second = share * machine.flops,
                   .read = {},
                   .sigmoid_per_second = share * machine.sigmoid_per_second,
                   .tanh_per_second = share * machine.tanh_per_second,
                   .element_bytes = element_bytes};
  rates.read = [levels = machine.levels,
                threads = as_double(static_cast<std::size_t>(machine.threads))](double bytes) {
    BoundRates::Reading reading;
    double longest = 0, of_last_cache = 0;
    for (const MachineLimits::Level& level : levels) {
      const double held = level.bytes > 0 ? std::min(bytes, threads * as_double(level.bytes)) : bytes;
      double seconds = held / level.bytes_per_second;
      if (level.bytes == 0) {
        reading.is_from_memory = held > 0;
        seconds = std::max(seconds - of_last_cache, 0.0);  // it comes while the last cache gives its part
      }
      of_last_cache = seconds;
      reading.seconds += seconds;
      if (seconds > longest) {
        longest = seconds;
        reading.from = level.name;
      }
      bytes -= held;
    }
    return reading;
  };
  return rates;
}

std::vector<CellWork> cell_works(const RecurrentOptions& options) {
  const GateSizes sizes = sizes_of(options.kind);
  const std::size_t hidden = options.hidden_size, projected = options.proj_size;
  const std::size_t state = options.state_size();
  std::vector<CellWork> works;
  for (std::size_t layer = 0; layer < options.num_layers; ++layer) {
    for (std::size_t direction = 0; direction < options.directions(); ++direction) {
      CellWork work{.layer = layer, .direction = direction};
      work.input_size = options.layer_input_size(layer);
      work.input_weights = as_double(sizes.gates * hidden * work.input_size);
      work.recurrent_weights = as_double(sizes.gates * hidden * state + hidden * projected);
      work.states = as_double(state + sizes.cells * hidden);
      work.sigmoids = as_double(sizes.sigmoids * hidden);
      work.tanhs = as_double(sizes.tanhs * hidden);
      works.push_back(work);
    }
  }
  return works;
}

template <class T>
std::vector<CellWork> cell_works(const Module<T>& module) {
  if (const auto* lstm = dynamic_cast<const LSTM<T>*>(&module)) return cell_works(lstm->net().options());
  if (const auto* gru = dynamic_cast<const GRU<T>*>(&module)) return cell_works(gru->net().options());
  if (const auto* rnn = dynamic_cast<const RNN<T>*>(&module)) return cell_works(rnn->net().options());
  if (const auto* custom = dynamic_cast<const Recurrent<T>*>(&module)) return works_of(custom->options());
  return {};
}

ModuleBound sweep_bound(const SweepWork& work, const BoundRates& rates) {
  ModuleBound result;
  const Stretch stretch = stretch_of(work.flops, std::max(work.read, work.written), rates);
  result.bound = {.flops = work.flops,
                  .bytes = (work.read + work.written) * as_double(rates.element_bytes),
                  .seconds = stretch.seconds(),
                  .by = stretch.by()};
  const double gates = work.sigmoids / rates.sigmoid_per_second + work.tanhs / rates.tanh_per_second;
  if (gates > result.bound.seconds) {
    result.bound.seconds = gates;
    result.bound.by = kGates;
  }
  result.activations = work.sigmoids + work.tanhs;
  return result;
}

ModuleBound recurrent_bound(std::span<const CellWork> works, const BoundCall& call, int threads,
                            const BoundRates& rates) {
  ModuleBound result;
  std::vector<Whole> wholes;
  std::vector<Bound> bounds;
  for (const CellWork& work : works) {
    wholes.push_back(whole_of(work, call, rates));
    bounds.push_back(wholes.back().bound);
    const double activations = as_double(call.row_steps()) * (work.sigmoids + work.tanhs);
    result.cells.push_back({work.layer, work.direction, bounds.back(), activations});
    result.activations += activations;
  }
  const bool may_overlap = threads > 1 && std::any_of(wholes.begin(), wholes.end(), [](const Whole& whole) {
                             return whole.reading.is_from_memory;
                           });
  result.bound = may_overlap && wholes.size() > 1 ? side_by_side(wholes) : add_bounds(bounds);
  return result;
}

template <class T>
ModuleBound module_bound(const Module<T>& module, const BoundCall& call, const MachineLimits& machine) {
  if (const auto* sequential = dynamic_cast<const Sequential<T>*>(&module)) {
    ModuleBound result;
    result.next = call;
    std::vector<Bound> bounds;
    for (std::size_t i = 0; i < sequential->size(); ++i) {
      const ModuleBound one = module_bound((*sequential)[i], result.next, machine);
      bounds.push_back(one.bound);
      result.activations += one.activations;
      result.next = one.next;
    }
    result.bound = add_bounds(bounds);
    return result;
  }
  const BoundRates rates = bound_rates(machine, sizeof(T));
  const BoundCall next = call_behind(module, call);
  const std::vector<CellWork> works = cell_works(module);
  ModuleBound result = works.empty() ? sweep_bound(sweep_of(module, call, next), rates)
                                     : recurrent_bound(works, call, machine.threads, rates);
  result.next = next;
  return result;
}

Bound add_bounds(std::span<const Bound> bounds) {
  Bound sum;
  std::map<std::string, double> seconds;
  for (const Bound& bound : bounds) {
    sum.flops += bound.flops;
    sum.bytes += bound.bytes;
    sum.seconds += bound.seconds;
    seconds[bound.by] += bound.seconds;
  }
  double longest = 0;
  for (const auto& [by, of] : seconds) {
    if (of <= longest) continue;
    longest = of;
    sum.by = by;
  }
  return sum;
}

template std::vector<CellWork> cell_works(const Module<float>&);
template std::vector<CellWork> cell_works(const Module<double>&);
template ModuleBound module_bound(const Module<float>&, const BoundCall&, const MachineLimits&);
template ModuleBound module_bound(const Module<double>&, const BoundCall&, const MachineLimits&);

}  // namespace sluice
