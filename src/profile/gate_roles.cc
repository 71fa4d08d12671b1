// SPDX-License-Identifier: Apache-2.0
#include "profile/gate_roles.h"

#include <algorithm>
#include <cstddef>
#include <optional>

namespace sluice {
namespace {

// constant + slope * gate, where gate is a node; any, where slope is 0.
struct Line {
  double constant = 0;
  double slope = 0;
  std::size_t gate = 0;

  bool is(double value) const noexcept { return slope == 0 && constant == value; }
};
using MaybeLine = std::optional<Line>;  // none: something else

MaybeLine scaled(const Line& a, double by) { return Line{a.constant * by, a.slope * by, a.gate}; }

MaybeLine sum(const MaybeLine& a, const MaybeLine& b) {
  if (!a || !b || (a->slope != 0 && b->slope != 0 && a->gate != b->gate)) return std::nullopt;
  return Line{a->constant + b->constant, a->slope + b->slope, a->slope != 0 ? a->gate : b->gate};
}

MaybeLine difference(const MaybeLine& a, const MaybeLine& b) {
  return b ? sum(a, scaled(*b, -1)) : std::nullopt;
}

MaybeLine product(const MaybeLine& a, const MaybeLine& b) {
  if ((a && a->is(0)) || (b && b->is(0))) return Line{};
  if (!a || !b || (a->slope != 0 && b->slope != 0)) return std::nullopt;
  return a->slope == 0 ? scaled(*b, a->constant) : scaled(*a, b->constant);
}

// What the nodes of a cell have to do with one of its states, elementwise.
class StateShare {
 public:
  StateShare(const LoweredCell& cell, std::size_t state)
      : cell_(cell), state_(state), values_(cell.nodes.size()), shares_(cell.nodes.size()) {
    for (std::size_t i = 0; i < cell.nodes.size(); ++i) {
      values_[i] = value(i);
      shares_[i] = share(cell.nodes[i]);
    }
  }

  // By what the old state is multiplied on its way to the new one.
  const MaybeLine& of_next() const { return shares_[cell_.states[state_].next]; }

 private:
  MaybeLine value(std::size_t index) const {
    const CellNode& node = cell_.nodes[index];
    const auto arg = [&](std::size_t i) { return values_[node.args[i]]; };
    switch (node.op) {
      case CellOp::kConstant:
        return Line{node.value};
      case CellOp::kSigmoid:
        return Line{0, 1, index};
      case CellOp::kAdd:
        return sum(arg(0), arg(1));
      case CellOp::kSub:
        return difference(arg(0), arg(1));
      case CellOp::kNeg:
        return difference(Line{}, arg(0));
      case CellOp::kMul:
        return product(arg(0), arg(1));
      case CellOp::kMulAdd:
        return sum(product(arg(0), arg(1)), arg(2));
      default:
        return std::nullopt;
    }
  }

  MaybeLine share(const CellNode& node) const {
    const auto arg = [&](std::size_t i) { return shares_[node.args[i]]; };
    const auto of_product = [&] {
      return sum(product(arg(0), values_[node.args[1]]), product(arg(1), values_[node.args[0]]));
    };
    switch (node.op) {
      case CellOp::kState:
        if (node.index != state_) return Line{};
        return node.size == cell_.states[state_].size ? MaybeLine(Line{1}) : std::nullopt;
      case CellOp::kAdd:
        return sum(arg(0), arg(1));
      case CellOp::kSub:
        return difference(arg(0), arg(1));
      case CellOp::kNeg:
        return difference(Line{}, arg(0));
      case CellOp::kMul:
        return of_product();
      case CellOp::kMulAdd:
        return sum(of_product(), arg(2));
      case CellOp::kSigmoid:
      case CellOp::kTanh:
      case CellOp::kRelu:
      case CellOp::kProducts:
        return Line{};  // of a gate or a candidate, which sees the state, and does not keep it
      default:
        const bool has_none = std::all_of(node.args.begin(), node.args.end(),
                                          [&](std::size_t of) { return shares_[of] && shares_[of]->is(0); });
        return has_none ? MaybeLine(Line{}) : std::nullopt;
    }
  }

  const LoweredCell& cell_;
  std::size_t state_;
  std::vector<MaybeLine> values_;  // of each node, whatever the state is
  std::vector<MaybeLine> shares_;  // by what the state is multiplied in each node
};

// The value of each node in a unit whose gate is `end`, where it follows from that and from the states that
// are 0, whatever all else is.
std::vector<std::optional<double>> values_at(const LoweredCell& cell, std::size_t gate, double end,
                                             const std::vector<bool>& is_zero) {
  std::vector<std::optional<double>> values(cell.nodes.size());
  const auto sum_of = [](std::optional<double> a, std::optional<double> b) {
    return a && b ? std::optional(*a + *b) : std::nullopt;
  };
  const auto product_of = [](std::optional<double> a, std::optional<double> b) {
    if (a == 0.0 || b == 0.0) return std::optional(0.0);
    return a && b ? std::optional(*a * *b) : std::nullopt;
  };
  for (std::size_t i = 0; i < cell.nodes.size(); ++i) {
    const CellNode& node = cell.nodes[i];
    const auto arg = [&](std::size_t k) { return values[node.args[k]]; };
    if (i == gate) {
      values[i] = end;
      continue;
    }
    switch (node.op) {
      case CellOp::kConstant:
        values[i] = node.value;
        break;
      case CellOp::kState:
        if (is_zero[node.index]) values[i] = 0;
        break;
      case CellOp::kAdd:
        values[i] = sum_of(arg(0), arg(1));
        break;
      case CellOp::kSub:
        values[i] = sum_of(arg(0), product_of(-1, arg(1)));
        break;
      case CellOp::kNeg:
        values[i] = product_of(-1, arg(0));
        break;
      case CellOp::kMul:
        values[i] = product_of(arg(0), arg(1));
        break;
      case CellOp::kMulAdd:
        values[i] = sum_of(product_of(arg(0), arg(1)), arg(2));
        break;
      case CellOp::kTanh:
      case CellOp::kRelu:
      case CellOp::kAbs:
        if (arg(0) == 0.0) values[i] = 0;
        break;
      default:
        break;
    }
  }
  return values;
}

DeadUnit dead_at(const LoweredCell& cell, std::size_t gate, double end) {
  const std::size_t units = cell.nodes[gate].size;
  if (cell.nodes[cell.output].size != units) return DeadUnit::kNo;
  std::vector<bool> is_zero(cell.states.size(), false);
  if (values_at(cell, gate, end, is_zero)[cell.output] == 0.0) return DeadUnit::kAtOnce;
  for (std::size_t s = 0; s < is_zero.size(); ++s) is_zero[s] = cell.states[s].size == units;
  for (;;) {  // until those that are left keep each other at 0
    const std::vector<std::optional<double>> values = values_at(cell, gate, end, is_zero);
    bool has_changed = false;
    for (std::size_t s = 0; s < is_zero.size(); ++s) {
      if (!is_zero[s] || values[cell.states[s].next] == 0.0) continue;
      is_zero[s] = false;
      has_changed = true;
    }
    if (!has_changed) return values[cell.output] == 0.0 ? DeadUnit::kFromStart : DeadUnit::kNo;
  }
}

}  // namespace

GateRole gate_role(CellKind kind, const std::string& gate) {
  if (kind == CellKind::kLstm) {
    if (gate == "forget") return {.kept_open = 1};
    if (gate == "input") return {.dead_shut = DeadUnit::kFromStart};
    if (gate == "output") return {.dead_shut = DeadUnit::kAtOnce};
  }
  if (gate == "update") return {.kept_open = 1, .dead_open = DeadUnit::kFromStart};
  return {};
}

std::vector<GateRole> gate_roles(const LoweredCell& cell) {
  std::vector<GateRole> roles(cell.nodes.size());
  for (std::size_t state = 0; state < cell.states.size(); ++state) {
    const MaybeLine share = StateShare(cell, state).of_next();
    if (!share || share->slope == 0) continue;
    const double shut = share->constant, open = share->constant + share->slope;
    GateRole& role = roles[share->gate];
    const bool is_share = std::min(shut, open) >= 0 && std::max(shut, open) <= 1;
    if (!is_share || role.kept_shut != role.kept_open) continue;
    role.kept_shut = shut;
    role.kept_open = open;
  }
  for (std::size_t i = 0; i < roles.size(); ++i) {
    if (cell.nodes[i].op != CellOp::kSigmoid) continue;
    roles[i].dead_shut = dead_at(cell, i, 0);
    roles[i].dead_open = dead_at(cell, i, 1);
  }
  return roles;
}

}  // namespace sluice
