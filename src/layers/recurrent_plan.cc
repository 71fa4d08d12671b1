// SPDX-License-Identifier: Apache-2.0
#include "layers/recurrent_plan.h"

#include <algorithm>

namespace sluice {
namespace {

// Measured on an x86 server core with AVX-512 (docs/threads.md); other machines differ by small factors,
// which moves the point where threads begin to pay, and nothing else.
constexpr double kVectorFmasPerNs = 6.5;  // two a cycle
constexpr double kMeetingNs = 400;        // a barrier between two running threads
constexpr double kTeamNs = 10000;         // an OpenMP team to start and end; less where it is still awake
constexpr double kWorthwhile = 0.8;       // of one thread's time: less gain is not worth a team
constexpr double kStepNs = 20;            // rows moved on, kernels called

// Bytes a ns that one core streams from the cache level that holds `bytes`.
double stream_rate(double bytes) noexcept {
  constexpr double kL2 = 1 << 20;
  constexpr double kL3 = 32 << 20;
  if (bytes <= kL2) return 150;
  return bytes <= kL3 ? 80 : 20;
}

std::size_t ceil_div(std::size_t a, std::size_t b) noexcept { return (a + b - 1) / b; }

// Steps whose input parts are made at once, which reads W once for all of them; 0 where that does not pay:
// with tiles full of rows the products are bound by arithmetic, and the detour through memory only costs.
std::size_t choose_ahead_steps(const RecurrentShape& shape, std::size_t rows) noexcept {
  constexpr std::size_t kChunkBytes = std::size_t{128} << 10;   // stays in L2 beside the weights in use
  constexpr std::size_t kWeightShare = 16;  // or this share of W, which makes reading it again cheap
  constexpr std::size_t kCrowdedBytes = std::size_t{12} << 20;  // weights that leave no room in a shared L3
  constexpr std::size_t kFewestSteps = 4;
  const std::size_t unit_bytes = shape.gates * shape.element_bytes;
  const std::size_t weight_bytes = shape.hidden_size * (shape.input_size + shape.state_size) * unit_bytes;
  const bool is_bound_by_weights = rows < shape.tile_rows || weight_bytes > kCrowdedBytes;
  if (rows == 0 || shape.steps < 2 || !is_bound_by_weights) return 0;
  const std::size_t units = ceil_div(shape.hidden_size, shape.lanes) * shape.lanes;
  const std::size_t step_bytes = rows * units * unit_bytes;
  const std::size_t input_bytes = shape.hidden_size * shape.input_size * unit_bytes;
  const std::size_t chunk_bytes = std::max(kChunkBytes, input_bytes / kWeightShare);
  return std::min(std::max(chunk_bytes / step_bytes, kFewestSteps), shape.steps);
}

}  // namespace

double recurrent_cost_ns(const RecurrentShape& shape, const RecurrentPlan& plan) noexcept {
  const std::size_t rows = ceil_div(shape.batch, plan.batch_groups);
  const std::size_t blocks = ceil_div(ceil_div(shape.hidden_size, shape.lanes), plan.unit_groups);
  const auto directions = static_cast<double>(ceil_div(shape.directions, plan.direction_groups));
  const auto vectors = static_cast<double>(blocks * shape.gates);
  const auto row_count = static_cast<double>(rows);
  // Per vector of outputs, the columns whose weights stream from memory, and those made in advance.
  const auto layer_ns = [&](std::size_t input_size) {
    const auto ahead = static_cast<double>(plan.ahead_steps > 0 ? input_size : 0);
    const auto swept = static_cast<double>(input_size + shape.state_size) - ahead;
    const double bytes = vectors * swept * static_cast<double>(shape.lanes * shape.element_bytes);
    const double arithmetic_ns = vectors * swept * row_count / kVectorFmasPerNs;
    const double stream_ns = bytes / stream_rate(bytes * directions);
    const double ahead_ns = vectors * ahead * row_count / kVectorFmasPerNs;
    return directions * (std::max(arithmetic_ns, stream_ns) + ahead_ns + kStepNs);
  };
  const auto more_layers = static_cast<double>(shape.layers - 1);
  double step_ns = layer_ns(shape.input_size) + more_layers * layer_ns(shape.directions * shape.state_size);
  if (plan.unit_groups > 1) {
    step_ns += static_cast<double>(shape.layers * shape.stages) * kMeetingNs;
  }
  const double team_ns = plan.threads() > 1 ? kTeamNs : 0;
  return static_cast<double>(shape.steps) * step_ns + team_ns;
}

RecurrentPlan plan_recurrent(const RecurrentShape& shape, std::size_t threads) noexcept {
  const auto with_groups = [&](std::size_t directions, std::size_t batch, std::size_t units) {
    RecurrentPlan plan{.direction_groups = directions, .batch_groups = batch, .unit_groups = units};
    plan.ahead_steps = choose_ahead_steps(shape, ceil_div(shape.batch, batch));
    return plan;
  };
  RecurrentPlan best = with_groups(1, 1, 1);
  const double alone_ns = recurrent_cost_ns(shape, best);
  if (shape.batch == 0 || shape.steps == 0 || alone_ns < 2 * kTeamNs) return best;
  double best_ns = kWorthwhile * alone_ns;
  const std::size_t blocks = ceil_div(shape.hidden_size, shape.lanes);
  // In this order, and only for less: of equals the one that meets least often wins.
  for (std::size_t batch = std::min(threads, shape.batch); batch >= 1; --batch) {
    for (std::size_t directions = 1; directions <= std::min(shape.directions, threads / batch);
         ++directions) {
      const std::size_t units = std::min(threads / (batch * directions), blocks);
      for (const std::size_t unit_groups : {std::size_t{1}, units}) {
        const RecurrentPlan plan = with_groups(directions, batch, unit_groups);
        const double ns = recurrent_cost_ns(shape, plan);
        if (ns >= best_ns) continue;
        best = plan;
        best_ns = ns;
      }
    }
  }
  return best;
}

}  // namespace sluice
