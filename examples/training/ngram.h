// SPDX-License-Identifier: Apache-2.0
// What the network is measured against: counts of which character follows which n - 1 others.
#pragma once

#include <array>
#include <cmath>
#include <string>
#include <unordered_map>

#include "training/words.h"

namespace training {

class NGram {
 public:
  enum class Smoothing {
    kAdditive,   ///< every count begins at 0.1
    kWittenBell  ///< mixed with the model of one character less, by how many kinds of characters followed
  };

  NGram(const Words& words, std::size_t n, Smoothing smoothing) : n_(n), smoothing_(smoothing) {
    for (const std::string& word : words) {
      for_each_character(word, [&](const std::string& before, std::size_t next) {
        for (std::size_t k = 0; k < n_; ++k) ++counts_[before.substr(k)][next];
      });
    }
  }

  /// As bits_per_character of words.h.
  double bits_per_character(const Words& words) const {
    double sum = 0, characters = 0;
    for (const std::string& word : words) {
      for_each_character(word, [&](const std::string& before, std::size_t next) {
        sum -= std::log2(probability(before, next));
        ++characters;
      });
    }
    return sum / characters;
  }

 private:
  /// With the n - 1 characters before each, and dots where there is none.
  template <class Take>
  void for_each_character(const std::string& word, const Take& take) const {
    const std::string text = std::string(n_ - 1, '.') + word;
    for (std::size_t i = 0; i <= word.size(); ++i) {
      take(text.substr(i, n_ - 1), i < word.size() ? static_cast<std::size_t>(word[i] - 'a' + 1) : 0);
    }
  }

  double probability(const std::string& before, std::size_t next) const {
    const auto found = counts_.find(before);
    double count = 0, all = 0, kinds = 0;
    if (found != counts_.end()) {
      count = found->second[next];
      for (const double c : found->second) {
        all += c;
        kinds += c > 0 ? 1 : 0;
      }
    }
    if (smoothing_ == Smoothing::kAdditive) return (count + 0.1) / (all + 0.1 * kSymbols);
    const double shorter = before.empty() ? 1.0 / kSymbols : probability(before.substr(1), next);
    return all == 0 ? shorter : (count + kinds * shorter) / (all + kinds);
  }

  std::size_t n_;
  Smoothing smoothing_;
  std::unordered_map<std::string, std::array<double, kSymbols>> counts_;  // by what stands before
};

}  // namespace training
