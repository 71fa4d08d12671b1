// SPDX-License-Identifier: Apache-2.0
// The least time that a module's work can take on this machine: from its shapes and the machine's limits.
//
// One direction of one layer, T steps of B rows. Of each step's products those with the input can be made in
// advance, and then W and x are read once a call, U and the states once a step:
//     in advance   max(arithmetic, reading) of the input part + T max(arithmetic, reading) of a step
//     in step      T max(arithmetic, reading) of both
// The lesser of the two, and of a single step the second, is what the products take. Arithmetic is FLOPs by
// the peak of fused multiply-adds. Reading goes over the same bytes again and again, so each cache gives as
// much of them as it holds and the next one the rest; what comes from memory comes beside the last cache's
// part. Gates are elements of sigmoid and tanh by their stand-alone speed. They can go on beside the
// products, so the bound is the larger of the two.
//
// Layers and directions come one after the other: their bounds are added up. That holds for threads that have
// them side by side too, each with its own part of the machine; but of memory one thread can have more than
// its part while another computes. So where several threads read from there, arithmetic, reading and gates
// are added up each, and the bound is the largest sum. Any other module is one sweep: the largest of its
// arithmetic, reading its input and parameters, writing its output, and its gates.
//
// All is the least that must be done, however threads share it: no padding, no weights read twice, no
// waiting. Writing takes no less than reading as much, and can go on beside it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "layers/recurrent_net.h"
#include "sluice/module.h"
#include "sluice/profile.h"

namespace sluice {

/// How fast a machine is, as bounds take it; all threads together.
struct BoundRates {
  struct Reading {
    double seconds = 0;
    std::string from;             ///< what takes most of them: "L2"
    bool is_from_memory = false;  ///< some of it
  };
  double flops_per_second = 0;
  std::function<Reading(double bytes)> read;  ///< once over so many bytes that are read again and again
  double sigmoid_per_second = 0, tanh_per_second = 0;
  std::size_t element_bytes = sizeof(float);
};

/// Of a machine as measured. Elements of 8 bytes: half of float32's arithmetic and gates, which is no less
/// than there is.
BoundRates bound_rates(const MachineLimits& machine, std::size_t element_bytes);

/// What a row's step of one direction of one layer has to do.
struct CellWork {
  std::size_t layer = 0;
  std::size_t direction = 0;
  std::size_t input_size = 0;
  double input_weights = 0, recurrent_weights = 0;  ///< elements of matrices: a multiply-add each
  double states = 0;                                ///< elements that are read, and as many that are written
  double sigmoids = 0, tanhs = 0;
};

/// A call. Steps past a row's length are no work: bounds are those of steps with the mean number of rows,
/// which is no more than that of the steps themselves.
struct BoundCall {
  std::size_t steps = 0;
  std::size_t batch = 0;
  std::size_t input_size = 0;
  std::vector<std::int64_t> lengths{};  ///< [batch]; empty: all have all steps

  /// Of the longest row.
  std::size_t longest() const noexcept;
  /// Of all rows together.
  std::size_t row_steps() const noexcept;
};

struct CellBound {
  std::size_t layer = 0, direction = 0;
  Bound bound;
  double activations = 0;  ///< sigmoids and tanhs of the call
};

struct ModuleBound {
  Bound bound;
  double activations = 0;
  std::vector<CellBound> cells;  ///< of a recurrent layer: [layer][direction]
  BoundCall next;                ///< what the module behind it is called with
};

/// The layers and directions of LSTM, GRU, RNN and Recurrent; none of any other module.
template <class T>
std::vector<CellWork> cell_works(const Module<T>& module);
/// Those of a network of built-in cells.
std::vector<CellWork> cell_works(const RecurrentOptions& options);

/// What goes over its input once, in elements.
struct SweepWork {
  double flops = 0, read = 0, written = 0;
  double sigmoids = 0, tanhs = 0;
};
ModuleBound sweep_bound(const SweepWork& work, const BoundRates& rates);

/// Of layers and directions that one module has.
ModuleBound recurrent_bound(std::span<const CellWork> works, const BoundCall& call, int threads,
                            const BoundRates& rates);

/// Of any module; one that the profiler does not know is bound by what it says of its FLOPs, its parameters,
/// its input and its output. Throws ShapeError where the module does not take that many features.
template <class T>
ModuleBound module_bound(const Module<T>& module, const BoundCall& call, const MachineLimits& machine);

/// Of parts that come one after the other: `by` is what takes most of the sum.
Bound add_bounds(std::span<const Bound> bounds);

}  // namespace sluice
