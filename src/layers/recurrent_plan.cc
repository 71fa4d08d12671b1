// SPDX-License-Identifier: Apache-2.0
#include "layers/recurrent_plan.h"

#include <algorithm>

namespace sluice {
namespace {

// Measured on an x86 server core with AVX-512 (docs/threads.md); other machines differ by small factors,
// which moves the point where threads begin to pay, and nothing else.
constexpr double kVectorFmasPerNs = 8;     // two a cycle
constexpr double kBytesPerNsL2 = 160;      // that one core streams from its own cache
constexpr double kBytesPerNsL2Full = 115;  // from somewhat more than it holds, up and down in turn
constexpr double kBytesPerNsL3 = 85;       // from the cache that cores share
constexpr double kBytesPerNsMemory = 45;
constexpr double kBytesPerNsDetour = 30;   // input parts to memory and back
constexpr double kBytesPerNsExchange = 6;  // state that another core has just written
constexpr double kHidden = 0.80;     // of the lesser of arithmetic and streaming goes on beside the other
constexpr double kMeetingNs = 225;   // a thread, of a barrier between running ones
constexpr double kTeamNs = 10000;    // an OpenMP team to start and end; less where it is still awake
constexpr std::size_t kWaves = 12;   // of a sequence, at least, where layers wait for each other
constexpr double kWorthwhile = 0.8;  // of one thread's time: less gain is not worth a team
constexpr double kStepNs = 20;       // rows moved on, kernels called
constexpr double kGateNs = 0.25;     // an element of a gate

// At which one of `threads` threads streams `bytes` of its own, over and over.
double stream_rate(double bytes, std::size_t threads) noexcept {
  constexpr double kL2 = 3 << 18;  // of a megabyte: other things want room, too
  constexpr double kL2Full = 2 << 20;
  constexpr double kL3 = 32 << 20;
  if (bytes <= kL2) return kBytesPerNsL2;
  if (bytes <= kL2Full) return kBytesPerNsL2Full;
  return bytes * static_cast<double>(threads) <= kL3 ? kBytesPerNsL3 : kBytesPerNsMemory;
}

std::size_t ceil_div(std::size_t a, std::size_t b) noexcept { return (a + b - 1) / b; }

// Time of `rows` rows times a packed matrix of `vector_columns` vectors and `bytes`. The first tile of rows
// reads a block from where it lies, at `rate`, the others from the second cache.
double product_ns(double vector_columns, double bytes, double rate, std::size_t rows,
                  std::size_t tile_rows) noexcept {
  const auto more_tiles = static_cast<double>(ceil_div(rows, tile_rows)) - 1;
  const double arithmetic_ns = vector_columns * static_cast<double>(rows) / kVectorFmasPerNs;
  const double stream_ns = bytes / rate + more_tiles * bytes / kBytesPerNsL2;
  return std::max(arithmetic_ns, stream_ns) + (1 - kHidden) * std::min(arithmetic_ns, stream_ns);
}

// Steps whose input parts are made at once where they are made in advance.
std::size_t ahead_steps(const RecurrentShape& shape, std::size_t rows) noexcept {
  constexpr std::size_t kChunkBytes = std::size_t{128} << 10;  // stays in L2 beside the weights in use
  constexpr std::size_t kWeightShare =
      16;  // or, for few rows, this share of W: reading it again costs little
  constexpr std::size_t kFewestSteps = 4;
  const std::size_t unit_bytes = shape.gates * shape.element_bytes;
  const std::size_t units = ceil_div(shape.hidden_size, shape.lanes) * shape.lanes;
  std::size_t chunk_bytes = kChunkBytes;
  if (rows < shape.tile_rows) {
    chunk_bytes = std::max(chunk_bytes, units * shape.input_size * unit_bytes / kWeightShare);
  }
  return std::min(std::max(chunk_bytes / (rows * units * unit_bytes), kFewestSteps), shape.steps);
}

}  // namespace

double recurrent_cost_ns(const RecurrentShape& shape, const RecurrentPlan& plan) noexcept {
  const std::size_t rows = ceil_div(shape.batch, plan.batch_groups);
  const std::size_t blocks = ceil_div(ceil_div(shape.hidden_size, shape.lanes), plan.unit_groups);
  const auto directions = static_cast<double>(ceil_div(shape.directions, plan.direction_groups));
  const auto vectors = static_cast<double>(blocks * shape.gates);
  const double vector_bytes = static_cast<double>(shape.lanes * shape.element_bytes);
  const auto row_count = static_cast<double>(rows);
  // A layer's step: what one thread does.
  const auto layer_ns = [&](std::size_t input_size) {
    const double w = vectors * static_cast<double>(input_size);
    const double u = vectors * static_cast<double>(shape.state_size);
    const double rate = stream_rate((w + u) * vector_bytes * directions, plan.unit_groups);
    double ns = kStepNs + vectors * row_count * static_cast<double>(shape.lanes) * kGateNs;
    if (plan.ahead_steps == 0) {
      ns += product_ns(w + u, (w + u) * vector_bytes, rate, rows, shape.tile_rows);
    } else {
      const auto ahead = static_cast<double>(plan.ahead_steps);
      const double u_rate = stream_rate(u * vector_bytes * directions, plan.unit_groups);
      ns += product_ns(u, u * vector_bytes, u_rate, rows, shape.tile_rows);
      ns += product_ns(w, w * vector_bytes, rate, rows * plan.ahead_steps, shape.tile_rows) / ahead;
      ns += row_count * vectors * vector_bytes / kBytesPerNsDetour;
    }
    return directions * ns;
  };
  const double first_ns = layer_ns(shape.input_size);
  const double later_ns = layer_ns(shape.directions * shape.state_size);
  // The slowest group of layers is that of the first, or of the second where that has as many.
  const std::size_t layers = ceil_div(shape.layers, plan.layer_groups);
  double step_ns = first_ns + static_cast<double>(layers - 1) * later_ns;
  if (plan.layer_groups > 1 && ceil_div(shape.layers - 1, plan.layer_groups) == layers) {
    step_ns = std::max(step_ns, static_cast<double>(layers) * later_ns);
  }
  if (plan.unit_groups > 1) {
    const double others = 1 - 1 / static_cast<double>(plan.unit_groups);
    const double exchanged =
        directions * row_count * others * static_cast<double>(shape.state_size * shape.element_bytes);
    step_ns +=
        static_cast<double>(layers) *
        (static_cast<double>(shape.stages * plan.unit_groups) * kMeetingNs + exchanged / kBytesPerNsExchange);
  }
  double waiting_ns = 0;
  if (plan.layer_groups > 1) {
    // The state of each step goes to another core; each wave is waited for; and at the start, layer by layer,
    // the groups wait for a first one.
    const auto wave = static_cast<double>(std::min(plan.wave_steps(), shape.steps));
    const double exchanged = row_count * static_cast<double>(shape.state_size * shape.element_bytes);
    step_ns += static_cast<double>(layers) * (exchanged / kBytesPerNsExchange + 2 * kMeetingNs / wave);
    waiting_ns = static_cast<double>(layers * (plan.layer_groups - 1)) * wave * std::max(first_ns, later_ns);
  }
  const double team_ns = plan.threads() > 1 ? kTeamNs : 0;
  return static_cast<double>(shape.steps) * step_ns + waiting_ns + team_ns;
}

RecurrentPlan plan_recurrent(const RecurrentShape& shape, std::size_t threads) noexcept {
  RecurrentPlan best;
  if (shape.batch == 0 || shape.steps == 0) return best;
  double best_ns = recurrent_cost_ns(shape, best);
  // With its input parts in the steps and in advance, a part of them where layers wait for each other; only
  // for less.
  const auto try_groups = [&](std::size_t directions, std::size_t layers, std::size_t batch,
                              std::size_t units) {
    std::size_t ahead = ahead_steps(shape, ceil_div(shape.batch, batch));
    if (layers > 1) ahead = std::min(ahead, shape.steps / kWaves);
    for (const std::size_t steps : {std::size_t{0}, ahead}) {
      if (steps == 1) continue;
      const RecurrentPlan plan{.direction_groups = directions,
                               .layer_groups = layers,
                               .batch_groups = batch,
                               .unit_groups = units,
                               .ahead_steps = steps};
      const double ns = recurrent_cost_ns(shape, plan);
      if (ns >= best_ns) continue;
      best = plan;
      best_ns = ns;
    }
  };
  try_groups(1, 1, 1, 1);
  if (best_ns < 2 * kTeamNs) return best;
  best_ns *= kWorthwhile;
  const std::size_t blocks = ceil_div(shape.hidden_size, shape.lanes);
  // In this order: of equals the one that meets least often wins.
  for (std::size_t batch = std::min(threads, shape.batch); batch >= 1; --batch) {
    const std::size_t rest = threads / batch;
    for (std::size_t directions = 1; directions <= std::min(shape.directions, rest); ++directions) {
      const std::size_t most_layers = shape.directions == 1 ? std::min(shape.layers, rest) : 1;
      for (std::size_t layers = 1; layers <= most_layers; ++layers) {
        try_groups(directions, layers, batch, 1);
        for (std::size_t units = std::min(rest / (directions * layers), blocks); units > 1; units /= 2) {
          try_groups(directions, layers, batch, units);
        }
      }
    }
  }
  return best;
}

}  // namespace sluice
