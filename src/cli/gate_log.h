// SPDX-License-Identifier: Apache-2.0
// gates.csv and gradients.csv: what GateStatistics found in each epoch of `sluice train`.
#pragma once

#include <cstddef>
#include <string>

#include "sluice/gate_statistics.h"

namespace sluice::cli {

class GateLog {
 public:
  /// Where the files go; empty: not wanted.
  GateLog(std::string gates_path, std::string gradients_path);

  /// Where an epoch's batches add what they measure; null where neither file is wanted.
  GateStatistics* statistics() noexcept { return is_wanted() ? &statistics_ : nullptr; }
  /// Adds the epoch's lines, writes the files anew, and begins the next epoch. Throws FileError.
  void end_epoch(std::size_t epoch);

 private:
  bool is_wanted() const noexcept { return !gates_path_.empty() || !gradients_path_.empty(); }

  std::string gates_path_;
  std::string gradients_path_;
  std::string gates_ = "epoch,module,layer,direction,gate,below,above\n";
  std::string gradients_ = "epoch,module,layer,direction,step,norm\n";
  GateStatistics statistics_;
};

}  // namespace sluice::cli
