// SPDX-License-Identifier: Apache-2.0
// The arithmetic of a cell as a graph of values: as its author stated it (CellGraph), made ready to run
// (LoweredCell), and its way back (CellBackward).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "sluice/module.h"

namespace sluice {

enum class CellOp : std::uint8_t {
  // Leaves. `first` is the first element of the leaf that the value has.
  kInput,     // x
  kState,     // `index`: which state, as the step before left it
  kVector,    // `index`: which parameter
  kScalar,    // `index`: which parameter
  kConstant,  // `value`
  // Elementwise; an argument of size 1 counts for all elements.
  kAdd,
  kSub,
  kMul,
  kDiv,
  kNeg,
  kMax,
  kMin,
  kAbs,
  kExp,
  kLog,
  kSqrt,
  kSigmoid,
  kTanh,
  kRelu,
  kLess,       // a < b, as 1 or 0
  kLessEqual,  // a <= b
  kSelect,     // a != 0 ? b : c
  // In a CellGraph only.
  kMatrix,     // `index`: parameter, applied to args[0]
  kSlice,      // `first`: of args[0]
  kLayerNorm,  // args: a, weight, bias; `value`: eps
  // In a LoweredCell and a CellBackward only.
  kMulAdd,    // a * b + c, rounded once
  kProducts,  // the sum of `biases`, then of `products`, each element one chain of fused multiply-adds
  kSum,       // over the elements of args[0]: size 1
  kMean,      // the same
  kVariance,  // the mean of (a - mean)^2: size 1
  // In a CellBackward only.
  kSaved,       // `index`: into CellBackward::saved
  kNextState,   // `index`: which state, as this step left it
  kGradOutput,  // of this step's output, from outside
  kGradNext,    // `index`: of a state as this step left it, through the steps after
  // In the programs that layers make of it only.
  kLater,  // `index`: which list, as the step after left it
};

/// Rows [first_row, first_row + size) of a matrix parameter, times the value `operand`, where size is that of
/// the node that has it. Transposed: those rows, as many as the operand has elements, the other way: the
/// result has the matrix's columns.
struct CellProduct {
  std::size_t parameter;
  std::size_t first_row;
  std::size_t operand;
  bool is_transposed = false;
};

/// Elements [first, first + size) of a vector parameter, where size is that of the node that has it.
struct CellBias {
  std::size_t parameter;
  std::size_t first;
};

/// Arguments stand before the nodes that take them.
struct CellNode {
  CellOp op = CellOp::kConstant;
  std::size_t size = 1;
  std::vector<std::size_t> args{};
  std::size_t index = 0;
  std::size_t first = 0;
  double value = 0;
  std::vector<CellProduct> products{};
  std::vector<CellBias> biases{};
  std::string name{};   // given by the author, or empty
  std::string where{};  // "file.cc:12", or the text form's node: for messages
};

struct CellState {
  std::string name;
  std::size_t size = 0;
  std::size_t node = 0;  // its kState
  std::size_t next = 0;  // what it becomes
};

/// As stated; checked.
struct CellGraph {
  std::string name;
  std::size_t input_size = 0;
  std::vector<CellNode> nodes;
  std::vector<CellState> states;
  std::vector<ParameterInfo> parameters;
  std::size_t output = 0;
};

/// Simplified: equal values stand once, constants are folded, what nothing needs is gone; slices have moved
/// down to leaves and to rows of matrices; layer normalisation is arithmetic on kMean and kVariance; a * b +
/// c is kMulAdd (of two products the first); sums with matrices are kProducts: the vector parameters among
/// their terms as biases, in order, then the products, those of the input first and the others in order; what
/// else is added, afterwards. A sum that is needed elsewhere too is a value of its own.
struct LoweredCell {
  std::size_t input_size = 0;
  std::vector<CellNode> nodes;
  std::vector<CellState> states;  // `node` means nothing here
  std::vector<ParameterInfo> parameters;
  std::size_t output = 0;
};
LoweredCell lower_cell(const CellGraph& graph);

/// One step of the way back, as a graph of its own, simplified too. Leaves are kInput, kState, kVector,
/// kScalar, kConstant and those marked above.
struct CellBackward {
  /// Nodes of the LoweredCell that a recorded step keeps: what costs more to make again than to read. Inputs,
  /// old states and new states need no keeping. A parameter is one where a matrix is applied to it.
  std::vector<std::size_t> saved;

  std::vector<CellNode> nodes;

  /// Nodes whose values of every step are kept until the end, since gradients of parameters, of the input or
  /// of the states before are products with them. A `list` below is an index into this.
  std::vector<std::size_t> lists;

  /// A part of a gradient that is made elementwise: elements [first, first + size of the node). Parts of one
  /// gradient do not overlap.
  struct Part {
    std::size_t first;
    std::size_t node;
  };
  /// W[first_row, + size of the list)^T times list `list`, added to elements [first, ..).
  struct TransposedProduct {
    std::size_t parameter;
    std::size_t first_row;
    std::size_t list;
    std::size_t first;
  };
  struct Gradient {
    std::vector<Part> parts;
    std::vector<TransposedProduct> products;
  };
  /// Of each state as the step before left it. kGradNext of the step before is all of it.
  std::vector<Gradient> states;
  Gradient input;

  /// What a product of the forward step was applied to.
  struct Operand {
    enum class From { kInput, kState, kNextState, kSaved } from;
    std::size_t index;  // state, or into `saved`
    std::size_t first;
  };
  /// grad of rows [first_row, ..) += list x operand, summed over all steps and rows.
  struct MatrixGradient {
    std::size_t parameter;
    std::size_t first_row;
    Operand operand;
    std::size_t list;
  };
  /// grad of elements [first, ..) += list, summed; a list of size 1 for a scalar's, or one of any size, whose
  /// elements are summed too.
  struct VectorGradient {
    std::size_t parameter;
    std::size_t first;
    std::size_t list;
  };
  std::vector<MatrixGradient> matrices;
  std::vector<VectorGradient> vectors;
};
/// Throws Error where slices of one state, or of the input, overlap in parts: they cannot be trained.
CellBackward derive_backward(const LoweredCell& cell);

}  // namespace sluice
