// SPDX-License-Identifier: Apache-2.0
// What the training examples share: tables of numbers from files, and their scale.
#pragma once

#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "sluice/error.h"

namespace training {

using Table = std::vector<std::vector<double>>;

/// The rows of a file of numbers with commas between them, without its first `header_lines`. Throws FileError
/// for a file that cannot be read or has no rows, and for a row that has not `columns` numbers.
inline Table read_csv(const std::string& path, std::size_t header_lines, std::size_t columns) {
  std::ifstream file(path);
  if (!file) throw sluice::FileError(path + ": cannot be read");
  Table rows;
  std::string line;
  for (std::size_t number = 1; std::getline(file, line); ++number) {
    if (number <= header_lines) continue;
    std::vector<double>& row = rows.emplace_back();
    std::istringstream cells(line);
    double value = 0;
    char comma = 0;
    while (cells >> value) {
      row.push_back(value);
      cells >> comma;
    }
    if (row.size() != columns) {
      throw sluice::FileError(path + ": line " + std::to_string(number) + " has " +
                              std::to_string(row.size()) + " numbers, expected " + std::to_string(columns));
    }
  }
  if (rows.empty()) throw sluice::FileError(path + ": has no rows");
  return rows;
}

/// What brings numbers to mean 0 and deviation 1. It must be taken from the training rows alone: what is held
/// out is not known yet.
struct Scale {
  double mean = 0, deviation = 1;
  explicit Scale(const std::vector<double>& values) {
    double sum = 0, squares = 0;
    for (const double value : values) sum += value;
    mean = sum / static_cast<double>(values.size());
    for (const double value : values) squares += (value - mean) * (value - mean);
    deviation = std::sqrt(squares / static_cast<double>(values.size()));
  }
  float operator()(double value) const { return static_cast<float>((value - mean) / deviation); }
};

}  // namespace training
