// SPDX-License-Identifier: Apache-2.0
#include "cli/resume.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <system_error>

#include "sluice/error.h"
#include "train/options.h"

namespace sluice::cli {
namespace {

std::string text_if(const std::optional<double>& value) { return value ? text_of(*value) : "not given"; }

}  // namespace

CheckpointFacts facts_of(const TrainArguments& arguments, const std::string& architecture,
                         const std::string& data) {
  const TrainArguments& a = arguments;
  std::string one_line;
  for (const char c : architecture) {
    if (c != '\n' && !(c == ' ' && one_line.ends_with(' '))) one_line += c;
  }
  CheckpointFacts facts = {{"--loss", a.loss},
                           {"--optimizer", a.optimizer},
                           {"--dtype", a.dtype},
                           {"--lr", text_of(a.lr)},
                           {"--momentum", text_if(a.momentum)},
                           {"--weight-decay", text_if(a.weight_decay)},
                           {"--clip-grad-norm", text_if(a.clip_grad_norm)},
                           {"--batch-size", std::to_string(a.batch_size)},
                           {"--truncate", std::to_string(a.truncate)},
                           {"--shuffle", a.shuffle ? "given" : "not given"},
                           {"--seed", std::to_string(a.seed)},
                           {"--validation-split", text_of(a.validation_split)},
                           {"--schedule", a.schedule.empty() ? "not given" : a.schedule},
                           {"architecture", one_line},
                           {"data", data}};
  // The rates of these depend on where the training ends.
  if (a.schedule == "cosine" || a.schedule == "step") facts["--epochs"] = std::to_string(a.epochs);
  return facts;
}

void check_facts(const std::string& path, const CheckpointFacts& found, const CheckpointFacts& facts) {
  const auto other = std::find_if(facts.begin(), facts.end(), [&](const auto& expected) {
    return fact(path, found, expected.first) != expected.second;
  });
  if (other == facts.end()) return;
  const auto& [name, value] = *other;
  throw UsageError(path + ": " + name + " is " + fact(path, found, name) + " there, and " + value + " here");
}

const std::string& fact(const std::string& path, const CheckpointFacts& found, const std::string& name) {
  const auto place = found.find(name);
  if (place == found.end())
    throw FileError(path + ": no checkpoint of sluice train: it has no '" + name + "'");
  return place->second;
}

std::uint64_t count_fact(const std::string& path, const CheckpointFacts& found, const std::string& name) {
  const std::string& text = fact(path, found, name);
  std::uint64_t value = 0;
  const std::from_chars_result result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) {
    throw FileError(path + ": '" + name + "' is '" + text + "', expected a whole number");
  }
  return value;
}

}  // namespace sluice::cli
