// SPDX-License-Identifier: Apache-2.0
// What a training's epochs came to, and log.csv, which says it.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace sluice::cli {

struct Epoch {
  double loss = 0;
  std::optional<double> validation_loss;
  double seconds = 0;
};

/// Enough digits to give the same double again.
std::string number(double value);

/// "epoch,loss,validation_loss,seconds" and a line for each, from epoch 1 on.
std::string write_log(std::span<const Epoch> epochs);
/// The reverse. Throws Error for a text that write_log does not give.
std::vector<Epoch> read_log(const std::string& text);

}  // namespace sluice::cli
