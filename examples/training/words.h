// SPDX-License-Identifier: Apache-2.0
// Words as a language model sees them: symbols 1 to 26 are a to z, 0 stands before a word and after it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <numbers>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "sluice/sluice.h"

namespace training {

using Words = std::vector<std::string>;

inline constexpr std::size_t kSymbols = 27;

struct SplitWords {
  Words training, held_out;
};

/// The words of a list, a line each, that have 2 to 15 letters of a to z; every tenth is held out. Throws
/// FileError.
inline SplitWords read_words(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw sluice::FileError(path + ": cannot be read");
  SplitWords words;
  std::size_t count = 0;
  for (std::string line; std::getline(file, line);) {
    const bool is_plain = std::all_of(line.begin(), line.end(), [](char c) { return c >= 'a' && c <= 'z'; });
    if (!is_plain || line.size() < 2 || line.size() > 15) continue;
    (count++ % 10 == 0 ? words.held_out : words.training).push_back(line);
  }
  if (words.training.empty()) throw sluice::FileError(path + ": has no words of a to z");
  return words;
}

/// Words side by side, padded to the longest: after `x` [T, B, 1], a step's symbol, comes `next` [T, B].
/// For "so": x is 0, s, o and next s, o, 0, so that the word's end is foretold like any letter.
struct WordBatch {
  sluice::Tensor<float> x;
  sluice::Tensor<std::int64_t> next;
  std::vector<std::int64_t> lengths;  // [B] letters, and one for the end
};

inline WordBatch make_batch(const Words& words, std::span<const std::int64_t> rows) {
  WordBatch batch;
  for (const std::int64_t row : rows) {
    batch.lengths.push_back(static_cast<std::int64_t>(words[static_cast<std::size_t>(row)].size() + 1));
  }
  const auto longest =
      static_cast<std::size_t>(*std::max_element(batch.lengths.begin(), batch.lengths.end()));
  batch.x = sluice::Tensor<float>({longest, rows.size(), 1});
  batch.next = sluice::Tensor<std::int64_t>({longest, rows.size()});
  for (std::size_t b = 0; b < rows.size(); ++b) {
    const std::string& word = words[static_cast<std::size_t>(rows[b])];
    for (std::size_t t = 0; t < word.size(); ++t) {
      batch.next(t, b) = word[t] - 'a' + 1;
      batch.x(t + 1, b, 0) = static_cast<float>(word[t] - 'a' + 1);
    }
  }
  return batch;
}

/// Bits that the model needs for a character of the words, their ends counting as characters: the mean of
/// -log2 of the probabilities that it gives to what comes.
inline double bits_per_character(const sluice::Model<float>& model, const Words& words) {
  constexpr std::size_t kBatch = 256;
  const sluice::CrossEntropyLoss<float> cross_entropy({.reduction = sluice::Reduction::kSum});
  double sum = 0;
  std::size_t characters = 0;
  for (std::size_t first = 0; first < words.size(); first += kBatch) {
    std::vector<std::int64_t> rows(std::min(kBatch, words.size() - first));
    std::iota(rows.begin(), rows.end(), static_cast<std::int64_t>(first));
    const WordBatch batch = make_batch(words, rows);
    const auto out = model.modules().run({batch.x, batch.lengths}, {});
    sum += cross_entropy(out.y, batch.next, {.lengths = out.lengths}).value;
    for (const std::int64_t length : batch.lengths) characters += static_cast<std::size_t>(length);
  }
  return sum / static_cast<double>(characters) / std::numbers::ln2;
}

}  // namespace training
