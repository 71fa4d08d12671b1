// SPDX-License-Identifier: Apache-2.0
#include "sluice/schedule.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numbers>
#include <sstream>
#include <system_error>

#include "sluice/error.h"
#include "train/options.h"

namespace sluice {
namespace {

void check_at_least_one(std::string_view type, std::string_view option, std::size_t value) {
  check_option(type, option, static_cast<double>(value), value >= 1, "at least 1");
}

// False unless all of `text` is a number.
bool read_number(std::string_view text, double& value) {
  const std::from_chars_result result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc() && result.ptr == text.data() + text.size();
}

// Whole numbers that a double holds exactly.
bool is_count(double value) { return value >= 0 && value <= 0x1p53 && value == std::floor(value); }

}  // namespace

Schedule::Schedule(std::string_view type, double lr) : lr_(lr) { check_not_negative(type, "lr", lr); }

double Schedule::step(double metric) {
  lr_ = next(epoch_ + 1, metric);
  ++epoch_;
  return lr_;
}

std::string Schedule::state() const {
  std::string text(type());
  text += " epoch=" + std::to_string(epoch_) + " lr=" + text_of(lr_);
  for (const auto& [name, value] : memory()) text += " " + name + "=" + text_of(value);
  return text;
}

void Schedule::load_state(const std::string& state) {
  const Error error(std::string(type()) + "::load_state: '" + state + "' is not one of its states");
  std::istringstream words(state);
  std::string word;
  if (!(words >> word) || word != type()) throw error;
  std::map<std::string, double> found;
  while (words >> word) {
    const std::size_t equals = std::min(word.find('='), word.size() - 1);
    double value = 0;
    if (!read_number(std::string_view(word).substr(equals + 1), value)) throw error;
    if (!found.emplace(word.substr(0, equals), value).second) throw error;
  }
  const auto epoch = found.extract("epoch");
  const auto lr = found.extract("lr");
  if (epoch.empty() || !is_count(epoch.mapped()) || lr.empty() || !(lr.mapped() >= 0)) throw error;
  const std::map<std::string, double> expected = memory();
  const auto same_name = [](const auto& a, const auto& b) { return a.first == b.first; };
  if (!std::equal(found.begin(), found.end(), expected.begin(), expected.end(), same_name)) throw error;
  set_memory(found);
  epoch_ = static_cast<std::size_t>(epoch.mapped());
  lr_ = lr.mapped();
}

StepLR::StepLR(double lr, const StepLROptions& options)
    : Schedule("StepLR", lr), base_lr_(lr), options_(options) {
  check_at_least_one("StepLR", "step_size", options.step_size);
  check_not_negative("StepLR", "gamma", options.gamma);
}

double StepLR::at(std::size_t epoch) const noexcept {
  const std::size_t falls = epoch / options_.step_size;
  return base_lr_ * std::pow(options_.gamma, static_cast<double>(falls));
}

CosineAnnealingLR::CosineAnnealingLR(double lr, const CosineAnnealingLROptions& options)
    : Schedule("CosineAnnealingLR", lr), base_lr_(lr), options_(options) {
  check_at_least_one("CosineAnnealingLR", "T_max", options.T_max);
  check_not_negative("CosineAnnealingLR", "eta_min", options.eta_min);
}

double CosineAnnealingLR::at(std::size_t epoch) const noexcept {
  const double angle = std::numbers::pi * static_cast<double>(epoch) / static_cast<double>(options_.T_max);
  return options_.eta_min + (base_lr_ - options_.eta_min) * (1 + std::cos(angle)) / 2;
}

LinearLR::LinearLR(double lr, const LinearLROptions& options)
    : Schedule("LinearLR", lr), base_lr_(lr), options_(options) {
  const auto is_share = [](double factor) { return factor >= 0 && factor <= 1; };
  check_option("LinearLR", "start_factor", options.start_factor,
               is_share(options.start_factor) && options.start_factor > 0, "above 0 and at most 1");
  check_option("LinearLR", "end_factor", options.end_factor, is_share(options.end_factor), "0 to 1");
  check_at_least_one("LinearLR", "total_iters", options.total_iters);
  start_at(at(0));
}

double LinearLR::at(std::size_t epoch) const noexcept {
  const auto [start, end, total] = options_;
  return base_lr_ *
         (start + (end - start) * static_cast<double>(std::min(total, epoch)) / static_cast<double>(total));
}

ReduceLROnPlateau::ReduceLROnPlateau(double lr, const ReduceLROnPlateauOptions& options)
    : Schedule("ReduceLROnPlateau", lr),
      options_(options),
      best_(options.mode == PlateauMode::kMin ? std::numeric_limits<double>::infinity()
                                              : -std::numeric_limits<double>::infinity()) {
  check_option("ReduceLROnPlateau", "factor", options.factor, options.factor >= 0 && options.factor < 1,
               "at least 0 and below 1");
  check_not_negative("ReduceLROnPlateau", "threshold", options.threshold);
  check_not_negative("ReduceLROnPlateau", "min_lr", options.min_lr);
  check_not_negative("ReduceLROnPlateau", "eps", options.eps);
}

bool ReduceLROnPlateau::is_better(double metric) const noexcept {
  const bool is_relative = options_.threshold_mode == PlateauThreshold::kRelative;
  if (options_.mode == PlateauMode::kMin) {
    return metric < (is_relative ? best_ * (1 - options_.threshold) : best_ - options_.threshold);
  }
  return metric > (is_relative ? best_ * (options_.threshold + 1) : best_ + options_.threshold);
}

double ReduceLROnPlateau::next(std::size_t, double metric) {
  if (is_better(metric)) {
    best_ = metric;
    bad_epochs_ = 0;
  } else {
    ++bad_epochs_;
  }
  if (cooldown_left_ > 0) {
    --cooldown_left_;
    bad_epochs_ = 0;
  }
  if (bad_epochs_ <= options_.patience) return lr();
  cooldown_left_ = options_.cooldown;
  bad_epochs_ = 0;
  const double reduced = std::max(lr() * options_.factor, options_.min_lr);
  return lr() - reduced > options_.eps ? reduced : lr();
}

std::map<std::string, double> ReduceLROnPlateau::memory() const {
  return {{"best", best_},
          {"bad_epochs", static_cast<double>(bad_epochs_)},
          {"cooldown_left", static_cast<double>(cooldown_left_)}};
}

void ReduceLROnPlateau::set_memory(const std::map<std::string, double>& memory) {
  const double bad_epochs = memory.at("bad_epochs");
  const double cooldown_left = memory.at("cooldown_left");
  if (!is_count(bad_epochs) || !is_count(cooldown_left)) {
    throw Error("ReduceLROnPlateau::load_state: bad_epochs is " + text_of(bad_epochs) +
                " and cooldown_left is " + text_of(cooldown_left) + ", expected counts");
  }
  best_ = memory.at("best");
  bad_epochs_ = static_cast<std::size_t>(bad_epochs);
  cooldown_left_ = static_cast<std::size_t>(cooldown_left);
}

}  // namespace sluice
