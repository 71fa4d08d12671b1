// SPDX-License-Identifier: Apache-2.0
#include "layers/recurrent_verbose.h"

#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace sluice {

bool is_verbose() noexcept {
  static const bool verbose = [] {
    const char* value = std::getenv("SLUICE_VERBOSE");
    return value != nullptr && std::string_view(value) == "1";
  }();
  return verbose;
}

std::string describe_call(std::string_view call, std::string_view target, const RecurrentShape& shape,
                          const RecurrentPlan& plan, double took_ns) {
  std::ostringstream line;
  line << "sluice: " << call << " T=" << shape.steps << " B=" << shape.batch << " I=" << shape.input_size
       << " H=" << shape.hidden_size;
  if (shape.state_size != shape.hidden_size) line << " H_out=" << shape.state_size;
  if (shape.layers > 1) line << " layers=" << shape.layers;
  if (shape.directions > 1) line << " directions=" << shape.directions;
  line << " float" << 8 * shape.element_bytes << ' ' << target << ": " << plan.threads()
       << (plan.threads() == 1 ? " thread" : " threads");
  if (plan.threads() > 1) {
    line << " (directions " << plan.direction_groups << " x layers " << plan.layer_groups << " x batch "
         << plan.batch_groups << " x units " << plan.unit_groups << ')';
  }
  line << ", input ";
  if (plan.ahead_steps > 0) {
    line << plan.ahead_steps << " steps ahead";
  } else {
    line << "in step";
  }
  line.precision(4);
  line << ", estimated " << recurrent_cost_ns(shape, plan) * 1e-3 << " us, took " << took_ns * 1e-3 << " us";
  return line.str();
}

void print_verbose(std::string_view call, std::string_view target, const RecurrentShape& shape,
                   const RecurrentPlan& plan, double took_ns) {
  // In one piece, so that lines of calls that run at once stay whole.
  std::fputs((describe_call(call, target, shape, plan, took_ns) + "\n").c_str(), stderr);
}

}  // namespace sluice
