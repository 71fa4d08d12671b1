// SPDX-License-Identifier: Apache-2.0
#include "cli/gate_log.h"

#include <utility>

#include "core/atomic_file.h"
#include "train/options.h"

namespace sluice::cli {
GateLog::GateLog(std::string gates_path, std::string gradients_path)
    : gates_path_(std::move(gates_path)), gradients_path_(std::move(gradients_path)) {}

void GateLog::end_epoch(std::size_t epoch) {
  if (!is_wanted()) return;
  for (const RecurrentStatistics& layer : statistics_.layers) {
    const std::string place = std::to_string(epoch) + "," + layer.module + "," + std::to_string(layer.layer) +
                              (layer.direction == 0 ? ",forward," : ",reverse,");
    for (const SaturationCount& count : layer.gates) {
      texts_.gates += place + std::string(count.gate) + "," + text_of(count.below()) + "," +
                      text_of(count.above()) + "\n";
    }
    for (std::size_t t = 0; t < layer.gradients.size(); ++t) {
      if (layer.gradients[t].runs == 0) continue;
      texts_.gradients += place + std::to_string(t) + "," + text_of(layer.gradients[t].mean()) + "\n";
    }
  }
  statistics_ = {};
}

void GateLog::write() const {
  if (!gates_path_.empty()) replace_file(gates_path_, texts_.gates);
  if (!gradients_path_.empty()) replace_file(gradients_path_, texts_.gradients);
}

}  // namespace sluice::cli
