// SPDX-License-Identifier: Apache-2.0
#include "cli/training_log.h"

#include <charconv>
#include <cstdio>
#include <sstream>
#include <string_view>
#include <system_error>

#include "sluice/error.h"

namespace sluice::cli {
namespace {

constexpr const char* kHeader = "epoch,loss,validation_loss,seconds";

double read_number(std::string_view text) {
  double value = 0;
  const std::from_chars_result result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) {
    throw Error("'" + std::string(text) + "' is not a number");
  }
  return value;
}

}  // namespace

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

std::string write_log(std::span<const Epoch> epochs) {
  std::string text = std::string(kHeader) + "\n";
  for (std::size_t i = 0; i < epochs.size(); ++i) {
    const auto& [loss, validation_loss, seconds] = epochs[i];
    text += std::to_string(i + 1) + "," + number(loss) + "," +
            (validation_loss ? number(*validation_loss) : "") + "," + number(seconds) + "\n";
  }
  return text;
}

std::vector<Epoch> read_log(const std::string& text) {
  std::istringstream lines(text);
  std::string line;
  if (!std::getline(lines, line) || line != kHeader) throw Error("the log has no line of names");
  std::vector<Epoch> epochs;
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string epoch, loss, validation_loss, seconds;
    std::getline(fields, epoch, ',');
    std::getline(fields, loss, ',');
    std::getline(fields, validation_loss, ',');
    std::getline(fields, seconds);
    if (epoch != std::to_string(epochs.size() + 1)) {
      throw Error("the log has epoch '" + epoch + "', expected " + std::to_string(epochs.size() + 1));
    }
    epochs.push_back({read_number(loss), {}, read_number(seconds)});
    if (!validation_loss.empty()) epochs.back().validation_loss = read_number(validation_loss);
  }
  return epochs;
}

}  // namespace sluice::cli
