// SPDX-License-Identifier: Apache-2.0
#include "profile/gate_advice.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "profile/svg.h"

namespace sluice {
namespace {

// Share of a gate's activations that are below 0.01 or above 0.99 (of tanh: beyond +-0.99).
constexpr double kSaturated = 0.3;
constexpr std::size_t kUnitsNamed = 5;

std::string place_of(const GateReport& gate) { return gate_place(gate.module, gate.layer, gate.direction); }

std::string limits_of(const GateReport& gate) {
  return gate.is_tanh ? "below -0.99 or above 0.99" : "below 0.01 or above 0.99";
}

std::optional<Advice> saturated(const GateReport& gate) {
  const auto all = static_cast<double>(std::max<std::uint64_t>(gate.activations, 1));
  const double shut = static_cast<double>(gate.shut) / all;
  const double both = shut + static_cast<double>(gate.open) / all;
  if (gate.kept_shut != gate.kept_open) {
    const bool is_kept_open = gate.kept_open > gate.kept_shut;
    const double forgets = is_kept_open ? shut : both - shut;
    if (forgets <= kSaturated) return std::nullopt;  // where it keeps, it remembers
    return Advice{.where = place_of(gate),
                  .what = (is_kept_open ? "raise the bias of gate " : "lower the bias of gate ") + gate.gate +
                          " before training " + (is_kept_open ? "(1 is usual)" : "(to -1, say)"),
                  .figure = text_of("%.0f", 100 * forgets) + " % of its activations are " +
                            (is_kept_open ? "below 0.01" : "above 0.99") +
                            ": half of its units remember at most " +
                            text_of("%.1f steps", gate.memory_median)};
  }
  if (both <= kSaturated) return std::nullopt;
  return Advice{.where = place_of(gate),
                .what = gate.is_tanh ? "in place of tanh in " + gate.gate +
                                           " take one of the ReLU family (RNN's relu, cells::li_gru), or "
                                           "layer normalisation"
                                     : "train with layer normalisation before gate " + gate.gate +
                                           " (cells::layer_norm_lstm)",
                .figure = text_of("%.0f", 100 * both) + " % of activations of " + gate.gate + " are " +
                          limits_of(gate) + ": gradients pass by " + text_of("%.3f", gate.mean_derivative) +
                          " on average"};
}

std::string list_of(const std::vector<std::size_t>& units) {
  std::string list;
  for (std::size_t i = 0; i < std::min(units.size(), kUnitsNamed); ++i) {
    list += (i == 0 ? "" : ", ") + std::to_string(units[i]);
  }
  return units.size() > kUnitsNamed ? list + ", ..." : list;
}

// "1 of 8 units are always below 0.01: 3"
std::string units_text(const GateReport& gate, const std::vector<std::size_t>& units,
                       const std::string& what) {
  return std::to_string(units.size()) + " of " + std::to_string(gate.unit_mean.size()) + " units " + what +
         ": " + list_of(units);
}

std::optional<Advice> dead(const GateReport& gate) {
  if (gate.dead_units.empty()) return std::nullopt;
  const bool is_open = gate.unit_open[gate.dead_units[0]] == 1;
  return Advice{.where = place_of(gate),
                .what = "leave out the units that gate " + gate.gate + " keeps at 0, or train them anew",
                .figure = units_text(gate, gate.dead_units,
                                     is_open ? "are always above 0.99" : "are always below 0.01")};
}

std::optional<Advice> stuck(const GateReport& gate) {
  if (gate.stuck_units.empty()) return std::nullopt;
  std::vector<std::size_t> low, high, others;
  for (const std::size_t unit : gate.stuck_units) {
    (gate.unit_shut[unit] == 1 ? low : gate.unit_open[unit] == 1 ? high : others).push_back(unit);
  }
  std::string figure;
  const auto add = [&](const std::vector<std::size_t>& units, const std::string& what) {
    if (units.empty()) return;
    if (!figure.empty()) figure += "; ";
    figure += units_text(gate, units, what);
  };
  // Of a gate that keeps, units are stuck only where it forgets.
  const auto end = [&](const char* text, double kept) {
    const bool forgets = kept == 0 && gate.kept_shut != gate.kept_open;
    return std::string("are always ") + text + (forgets ? " and remember nothing" : "");
  };
  add(low, end(gate.is_tanh ? "below -0.99" : "below 0.01", gate.kept_shut));
  add(high, end("above 0.99", gate.kept_open));
  add(others, "deviate by less than 0.001");
  return Advice{.where = place_of(gate),
                .what = "gate " + gate.gate + " is a constant in some units, which a bias could replace",
                .figure = figure};
}

}  // namespace

std::vector<Advice> gate_advice(const GateReport& gate) {
  std::vector<Advice> all;
  for (std::optional<Advice> one : {saturated(gate), dead(gate), stuck(gate)}) {
    if (one) all.push_back(*std::move(one));
  }
  return all;
}

std::string gate_place(const std::string& module, std::size_t layer, std::size_t direction) {
  return module + (module.empty() ? "l" : " l") + std::to_string(layer) + (direction == 0 ? "" : " reverse");
}

}  // namespace sluice
