// SPDX-License-Identifier: Apache-2.0
#include "profile/gate_counts.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sluice {
namespace {

constexpr std::size_t kMostCells = 128;  // of a heat map, each way
constexpr double kStuckDeviation = 0.001;
constexpr std::uint64_t kFewestActivations = 32;  // of a unit, to say what it always does
// What a gate lets in over all steps of a row, of a state that is to be called 0.
constexpr double kLetIn = 0.01;
constexpr double kLongestMemory = 1e6;  // a gate whose every activation rounds to 1 forgets nothing

// Sigmoids and tanhs that a custom cell's step keeps nowhere, since they are its new states.
std::vector<GatePlace> gates_in_states(const CellForm& form, std::size_t direction, std::size_t lanes) {
  std::vector<GatePlace> places;
  const std::vector<CellNode>& nodes = form.lowered.nodes;
  const std::vector<std::size_t>& saved = form.backward->saved;
  for (std::size_t s = 0; s < form.lowered.states.size(); ++s) {
    const CellState& state = form.lowered.states[s];
    const CellNode& node = nodes[state.next];
    if (node.op != CellOp::kSigmoid && node.op != CellOp::kTanh) continue;
    if (std::find(saved.begin(), saved.end(), state.next) != saved.end()) continue;
    std::string name = node.name.empty() ? nodes[node.args[0]].name : node.name;
    if (name.empty()) name = state.name;
    const bool is_h = form.is_in_h(s);
    const std::size_t first =
        is_h ? direction * form.output_size : direction * form.c_size + form.c_offsets[s];
    places.push_back(
        {.gate = {std::move(name), node.op == CellOp::kTanh, node.size, first, lanes, state.next},
         .in = is_h ? GatePlace::In::kOutput : GatePlace::In::kCell});
  }
  return places;
}

}  // namespace

template <class T>
std::vector<GatePlace> gate_places(const RecurrentNet<T>& net) {
  const RecurrentOptions& options = net.options();
  const bool is_custom = options.kind == CellKind::kCustom;
  const std::size_t lanes = net.cell(0).kernels().lanes;
  std::vector<GatePlace> all;
  for (std::size_t layer = 0; layer < options.num_layers; ++layer) {
    const std::vector<GateRole> roles =
        is_custom ? gate_roles(options.form(layer).lowered) : std::vector<GateRole>();
    for (std::size_t direction = 0; direction < options.directions(); ++direction) {
      std::vector<GatePlace> places;
      for (MeasuredGate& gate : is_custom ? gates_of(options.form(layer), lanes)
                                          : gates_of(options.kind, options.hidden_size, lanes)) {
        places.push_back({.gate = std::move(gate)});
      }
      if (options.kind == CellKind::kRnnTanh) {  // which keeps nothing but h
        places[0].gate.first = direction * options.hidden_size;
        places[0].in = GatePlace::In::kOutput;
      }
      if (is_custom) {
        for (GatePlace& place : gates_in_states(options.form(layer), direction, lanes)) {
          places.push_back(std::move(place));
        }
      }
      for (GatePlace& place : places) {
        place.layer = layer;
        place.direction = direction;
        place.role = is_custom ? roles[place.gate.node] : gate_role(options.kind, place.gate.name);
        all.push_back(std::move(place));
      }
    }
  }
  return all;
}

TimeColumns::TimeColumns(std::size_t all_steps, std::size_t batch, std::span<const std::int64_t> lengths) {
  const auto length = [&](std::size_t row) {
    return lengths.empty() ? all_steps : static_cast<std::size_t>(lengths[row]);
  };
  for (std::size_t row = 0; row < batch; ++row) steps = std::max(steps, length(row));
  count = std::min(steps, kMostCells);
  of_unit.resize(count);
  for (std::size_t row = 0; row < batch; ++row) {
    activations += length(row);
    for (std::size_t t = 0; t < length(row); ++t) ++of_unit[of(t)];
  }
}

template <class T>
GateCounts<T>::GateCounts(GatePlace place, std::size_t lanes, const TimeColumns& columns)
    : place_(std::move(place)), lanes_(lanes), columns_(&columns) {
  const std::size_t blocks = (place_.gate.units + lanes - 1) / lanes;
  histograms_.resize(blocks * kBins);
  has_begun_.resize(blocks);
  nans_.resize(blocks);
  for (auto* list : {&shifts_, &sums_, &squares_, &derivatives_}) list->resize(blocks * lanes);
  for (auto* list : {&shut_, &open_}) list->resize(blocks * lanes);
  heat_.resize(columns.count * blocks * lanes);
}

template <class T>
void GateCounts<T>::count(std::size_t block, const RecurrentRecord<T>& record, RowStep first) noexcept {
  const MeasuredGate& gate = place_.gate;
  const std::size_t directions = record.kept.size() / record.outputs.size();
  const Tensor<T>& from = place_.in == GatePlace::In::kKept
                              ? record.kept[place_.layer * directions + place_.direction]
                          : place_.in == GatePlace::In::kOutput ? record.outputs[place_.layer]
                                                                : record.cells[place_.layer];
  const std::size_t first_unit = block * lanes_, n = std::min(lanes_, gate.units - first_unit);
  const T* const values = from.data() + gate.first + block * gate.stride;
  const bool is_tanh = gate.is_tanh;
  const T low = is_tanh ? T(-0.99) : T(0.01), high = T(0.99);
  double *const shift = &shifts_[first_unit], *const sum = &sums_[first_unit],
                *const square = &squares_[first_unit], *const derivative = &derivatives_[first_unit];
  std::uint64_t *const shut = &shut_[first_unit], *const open = &open_[first_unit],
                       *const histogram = &histograms_[block * kBins];
  for (std::size_t row = 0; row < from.dim(1); ++row) {
    const std::size_t length =
        record.lengths.empty() ? from.dim(0) : static_cast<std::size_t>(record.lengths[row]);
    for (std::size_t t = 0; t < length; ++t) {
      const T* const y = values + (t * from.dim(1) + row) * from.dim(2);
      if (has_begun_[block] == 0) {
        has_begun_[block] = 1;
        std::copy_n(y, n, shift);
      }
      double* const heat = &heat_[columns_->of(first.step + t) * shifts_.size() + first_unit];
      for (std::size_t i = 0; i < n; ++i) {
        const auto value = static_cast<double>(y[i]);
        const double moved = value - shift[i];
        sum[i] += moved;
        square[i] += moved * moved;
        derivative[i] += is_tanh ? 1 - value * value : value * (1 - value);
        heat[i] += value;
        shut[i] += y[i] < low ? 1 : 0;
        open[i] += y[i] > high ? 1 : 0;
      }
      bool has_nan = false;
      for (std::size_t i = 0; i < n; ++i) {
        const auto value = static_cast<double>(y[i]);
        const double bin = (is_tanh ? (value + 1) / 2 : value) * kBins;
        if (bin >= 0) {
          ++histogram[std::min(static_cast<std::size_t>(bin), kBins - 1)];
        } else {
          has_nan = true;
        }
      }
      if (has_nan) add_nan(block, {first.row + row, first.step + t});
    }
  }
}

template <class T>
void GateCounts<T>::add_nan(std::size_t block, RowStep at) noexcept {
  std::optional<RowStep>& first = nans_[block];
  if (!first || at.is_before(*first, place_.direction)) first = at;
}

template <class T>
std::optional<RowStep> GateCounts<T>::first_nan() const {
  std::optional<RowStep> first;
  for (const std::optional<RowStep>& nan : nans_) {
    if (nan && (!first || nan->is_before(*first, place_.direction))) first = nan;
  }
  return first;
}

template <class T>
bool GateCounts<T>::is_dead(DeadUnit there, double off) const noexcept {
  if (there == DeadUnit::kFromStart) return static_cast<double>(columns_->steps) * off < kLetIn;
  return there == DeadUnit::kAtOnce;
}

template <class T>
GateReport GateCounts<T>::report(const std::string& module) const {
  const MeasuredGate& gate = place_.gate;
  const std::size_t units = gate.units;
  const std::uint64_t of_unit = columns_->activations;
  GateReport made;
  made.module = module;
  made.layer = place_.layer;
  made.direction = place_.direction;
  made.gate = gate.name;
  made.is_tanh = gate.is_tanh;
  made.activations = of_unit * units;
  made.kept_shut = place_.role.kept_shut;
  made.kept_open = place_.role.kept_open;
  made.histogram.resize(kBins);
  for (std::size_t i = 0; i < histograms_.size(); ++i) made.histogram[i % kBins] += histograms_[i];
  for (auto* list : {&made.unit_mean, &made.unit_deviation, &made.unit_shut, &made.unit_open}) {
    list->resize(units);
  }
  if (of_unit == 0) return made;

  const auto n = static_cast<double>(of_unit);
  double means = 0, derivatives = 0;
  std::vector<double> unit_means;
  for (std::size_t unit = 0; unit < units; ++unit) {
    const double moved = sums_[unit] / n, mean = shifts_[unit] + moved;
    const double deviation = std::sqrt(std::max(squares_[unit] / n - moved * moved, 0.0));
    means += mean;
    derivatives += derivatives_[unit];
    made.shut += shut_[unit];
    made.open += open_[unit];
    unit_means.push_back(mean);
    made.unit_mean[unit] = static_cast<float>(mean);
    made.unit_deviation[unit] = static_cast<float>(deviation);
    made.unit_shut[unit] = static_cast<float>(static_cast<double>(shut_[unit]) / n);
    made.unit_open[unit] = static_cast<float>(static_cast<double>(open_[unit]) / n);
    if (of_unit < kFewestActivations) continue;
    const bool is_shut = shut_[unit] == of_unit, is_open = open_[unit] == of_unit;
    const GateRole& role = place_.role;
    const bool has_long_memory =
        role.kept_shut > role.kept_open ? is_shut : role.kept_open > role.kept_shut && is_open;
    if ((is_shut && is_dead(role.dead_shut, mean)) || (is_open && is_dead(role.dead_open, 1 - mean))) {
      made.dead_units.push_back(unit);
    } else if (!has_long_memory && (is_shut || is_open || deviation < kStuckDeviation)) {
      made.stuck_units.push_back(unit);
    }
  }
  made.mean = means / static_cast<double>(units);
  made.mean_derivative = derivatives / static_cast<double>(made.activations);
  if (made.kept_shut != made.kept_open) {
    const auto memory = [&](double gate_mean) {
      const double kept = made.kept_shut + (made.kept_open - made.kept_shut) * gate_mean;
      return std::min(1 / (1 - kept), kLongestMemory);
    };
    made.memory_steps = memory(made.mean);
    for (double& mean : unit_means) mean = memory(mean);
    std::sort(unit_means.begin(), unit_means.end());
    // The least that so many percent of the units do not exceed.
    const auto quantile = [&](std::size_t percent) { return unit_means[(percent * units + 99) / 100 - 1]; };
    made.memory_low = quantile(10);
    made.memory_median = quantile(50);
    made.memory_high = quantile(90);
  }

  const std::size_t lines = std::min(units, kMostCells), columns = columns_->count;
  std::vector<double> sums(lines * columns);
  std::vector<std::uint64_t> units_of(lines);
  for (std::size_t unit = 0; unit < units; ++unit) {
    const std::size_t line = unit * lines / units;
    ++units_of[line];
    for (std::size_t c = 0; c < columns; ++c) sums[line * columns + c] += heat_[c * shifts_.size() + unit];
  }
  made.heat = Tensor<float>({lines, columns});
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const std::uint64_t count = units_of[i / columns] * columns_->of_unit[i % columns];
    made.heat.data()[i] = static_cast<float>(sums[i] / static_cast<double>(count));
  }
  return made;
}

template std::vector<GatePlace> gate_places(const RecurrentNet<float>&);
template std::vector<GatePlace> gate_places(const RecurrentNet<double>&);
template class GateCounts<float>;
template class GateCounts<double>;

}  // namespace sluice
