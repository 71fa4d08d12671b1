// SPDX-License-Identifier: Apache-2.0
// gates.csv and gradients.csv: what GateStatistics found in each epoch of `sluice train`.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "sluice/gate_statistics.h"

namespace sluice::cli {

class GateLog {
 public:
  /// Where the files go; empty: not wanted.
  GateLog(std::string gates_path, std::string gradients_path);

  /// Where an epoch's batches add what they measure; null where neither file is wanted.
  GateStatistics* statistics() noexcept { return is_wanted() ? &statistics_ : nullptr; }
  /// Adds the epoch's lines, and begins the next epoch.
  void end_epoch(std::size_t epoch);
  /// Writes the files anew. Throws FileError.
  void write() const;

  /// What the files hold, for a checkpoint.
  struct Texts {
    std::string gates = "epoch,module,layer,direction,gate,below,above\n";
    std::string gradients = "epoch,module,layer,direction,step,norm\n";
  };
  bool is_wanted() const noexcept { return !gates_path_.empty() || !gradients_path_.empty(); }
  const Texts& texts() const noexcept { return texts_; }
  void go_on(Texts texts) { texts_ = std::move(texts); }

 private:
  std::string gates_path_;
  std::string gradients_path_;
  Texts texts_;
  GateStatistics statistics_;
};

}  // namespace sluice::cli
