// SPDX-License-Identifier: Apache-2.0
// What each step of a cell's program costs, beside what it must: for benchmarks and profiles.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "layers/cell_program.h"

namespace sluice {

/// The machine's limits on one thread, in ns of an element, from L1.
struct CellBounds {
  double load = 0;
  double store = 0;
  double operation = 0;  ///< of one vector operation; a multiply-add is one
  /// The array kernels (kernels/gate_math.h).
  double sigmoid = 0;
  double tanh = 0;
  double exp = 0;
};
/// Some milliseconds: the best of many short runs.
template <class T>
CellBounds measure_cell_bounds();

struct CellCost {
  std::string_view what;   ///< "input product", "products", "mean", "sigmoid"
  std::string_view limit;  ///< what its bound is: "load", "store", "operation", "kernel"
  std::size_t stage = 0;
  double elements = 0;  ///< of a row: values made, or multiply-adds
  double ns = 0;        ///< of an element
  double bound_ns = 0;
};

struct CellCosts {
  /// In the order in which they run: of each stage, first the reductions, then of each of its parts the
  /// products, all at once, and each instruction by itself, over and over on a tile in L1.
  std::vector<CellCost> steps;
  /// Of a row: all of a step as it runs, but the input product if there is one.
  double whole_ns = 0;
};

/// `rows` rows at once on one thread, on numbers of its own. Takes memory, and some milliseconds.
template <class T>
CellCosts measure_cell_costs(const CellProgram<T>& program, std::size_t rows, const CellBounds& bounds);

extern template CellBounds measure_cell_bounds<float>();
extern template CellBounds measure_cell_bounds<double>();
extern template CellCosts measure_cell_costs(const CellProgram<float>&, std::size_t, const CellBounds&);
extern template CellCosts measure_cell_costs(const CellProgram<double>&, std::size_t, const CellBounds&);

}  // namespace sluice
