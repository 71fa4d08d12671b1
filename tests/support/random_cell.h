// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "sluice/custom_cell.h"
#include "support/random.h"

namespace sluice::test {

/// A cell of random arithmetic on values of sizes 1, 4 and 8.
inline CustomCell random_cell(std::uint64_t seed) {
  Random random(seed);
  CellBuilder cell("random");
  std::vector<CellValue> values{cell.input(4),       cell.state("h", 4),  cell.state("c", 8),
                                cell.vector("v", 4), cell.vector("u", 8), cell.scalar("s")};
  const CellValue h = values[1], c = values[2];
  const auto any = [&] { return values[random.below(values.size())]; };
  // One of a size that goes with a's.
  const auto fitting = [&](const CellValue& a) -> CellOperand {
    for (;;) {
      const CellValue b = any();
      if (random.below(8) == 0) return random.uniform(-1, 1);
      if (b.size() == a.size() || b.size() == 1 || a.size() == 1) return b;
    }
  };
  const auto applied = [&](std::size_t rows, const CellValue& a) {
    const std::string name = 'w' + Shape({rows, a.size(), random.below(3)}).to_string();
    return cell.matrix(name, rows, a);
  };
  const auto next = [&]() -> CellValue {
    const CellValue a = any();
    const CellOperand b = fitting(a);
    switch (random.below(20)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return a + b;
      case 4:
        return a - b;
      case 5:
      case 6:
      case 7:
        return a * b;
      case 8:
        return a / (1 + abs(a * b));
      case 9:
        return max(min(a, b), -a);
      case 10:
        return select(a < b, b, a);
      case 11:
        return a <= b;
      case 12:
        return log(1 + exp(tanh(a)));
      case 13:
        return sqrt(abs(a) + 1);
      case 14:
        return sigmoid(a) - relu(tanh(a));
      case 15:
        return layer_norm(a, a.size() == 4 ? values[3] : values[5], a.size() == 8 ? values[4] : values[5],
                          0.1);
      case 16: {
        const std::size_t size = a.size() > 4 ? 4 : 1;
        return slice(a, random.below(a.size() - size + 1), size);
      }
      default:
        return applied(random.below(4) == 0 ? 1 : 4 * (1 + random.below(2)), a);
    }
  };
  for (int i = 0; i < 40; ++i) {
    const CellValue value = next();
    values.push_back(random.below(4) == 0 ? tanh(value) : value);
  }
  // Much of it counts: sums of slices and of squashed values.
  CellValue four = h, eight = c;
  for (const CellValue& value : values) {
    if (value.size() == 8) eight = eight + tanh(value);
    if (value.size() == 8) four = four + slice(value, 2, 4);
    if (value.size() <= 4) four = four + tanh(value);
  }
  cell.next(h, tanh(four));
  cell.next(c, eight);
  return cell.build(applied(4, eight) + four);
}

}  // namespace sluice::test
