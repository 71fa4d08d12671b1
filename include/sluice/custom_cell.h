// SPDX-License-Identifier: Apache-2.0
// A recurrent cell of one's own, stated once as arithmetic on values: the library checks it, runs it on its
// packed kernels and derives its way back.
//
//   sluice::CellBuilder cell("LSTM");
//   const auto x = cell.input(I), h = cell.state("h", H), c = cell.state("c", H);
//   const auto gates = cell.matrix("weight_ih", 4 * H, x) + cell.vector("bias_ih", 4 * H) +
//                      cell.matrix("weight_hh", 4 * H, h) + cell.vector("bias_hh", 4 * H);
//   const auto [i, f, g, o] = sluice::split<4>(gates);
//   const auto c_new = sigmoid(f) * c + sigmoid(i) * tanh(g);
//   const auto h_new = sigmoid(o) * tanh(c_new);
//   cell.next(c, c_new);
//   cell.next(h, h_new);
//   const sluice::CustomCell lstm = cell.build(h_new);
//
// Recurrent (custom_recurrent.h) makes layers of it.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sluice/module.h"
#include "sluice/tensor.h"

namespace sluice {

struct CellGraph;

/// A line of the author's code, for messages. (std::source_location, which clang has from 16 on.)
struct SourceLine {
  const char* file;
  int line;
  static constexpr SourceLine current(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

/// A value of a cell's arithmetic: `size()` numbers of each row. Belongs to the builder that made it, which
/// must be alive wherever it is used.
class CellValue {
 public:
  std::size_t size() const noexcept;
  /// Names it, for messages, pictures and the text form. Throws Error where it or another one of the cell's
  /// values, states and parameters has that name.
  CellValue named(const std::string& name, SourceLine where = SourceLine::current()) const;

 private:
  friend struct CellAccess;
  friend class CellOperand;
  CellValue(CellGraph* graph, std::size_t node) : graph_(graph), node_(node) {}
  CellGraph* graph_;
  std::size_t node_;
};

/// What an operation takes: a value or a number, and the line where that was written, for messages.
class CellOperand {
 public:
  CellOperand(const CellValue& value,  // NOLINT(google-explicit-constructor)
              SourceLine where = SourceLine::current())
      : graph_(value.graph_), node_(value.node_), where_(where) {}
  CellOperand(double number,  // NOLINT(google-explicit-constructor)
              SourceLine where = SourceLine::current())
      : number_(number), where_(where) {}

 private:
  friend struct CellAccess;
  CellGraph* graph_ = nullptr;  // null: a number
  std::size_t node_ = 0;
  double number_ = 0;
  SourceLine where_;
};

// Elementwise. Sizes are equal, or one of them is 1 and counts for all elements. Each throws ShapeError,
// which names both values and the line; Error where values of two builders meet, or two numbers.
CellValue operator+(CellOperand a, CellOperand b);
CellValue operator-(CellOperand a, CellOperand b);
CellValue operator*(CellOperand a, CellOperand b);
CellValue operator/(CellOperand a, CellOperand b);
CellValue operator-(CellOperand a);
// 1 where true, 0 where false, also where one is NaN. No gradient passes.
CellValue operator<(CellOperand a, CellOperand b);
CellValue operator<=(CellOperand a, CellOperand b);
CellValue operator>(CellOperand a, CellOperand b);
CellValue operator>=(CellOperand a, CellOperand b);
/// `yes` where `condition` is not 0, else `no`.
CellValue select(CellOperand condition, CellOperand yes, CellOperand no);
/// The one sigmoid; tanh is 2 sigmoid(2x) - 1's own kernel. Functions' names are the field's.
CellValue sigmoid(CellOperand a);
CellValue tanh(CellOperand a);
CellValue relu(CellOperand a);
CellValue exp(CellOperand a);
CellValue log(CellOperand a);
CellValue sqrt(CellOperand a);
CellValue abs(CellOperand a);
/// NaN where one of them is. Of equal ones each gets half of the gradient, as in PyTorch.
CellValue max(CellOperand a, CellOperand b);
CellValue min(CellOperand a, CellOperand b);

/// (a - mean) / sqrt(variance + eps) * weight + bias over the elements of a row (Ba et al. 2016; the biased
/// variance, as torch.nn.LayerNorm). weight and bias are vectors of a's size, or numbers.
CellValue layer_norm(CellOperand a, CellOperand weight, CellOperand bias, double eps = 1e-5);
/// Elements [first, first + size).
CellValue slice(CellOperand a, std::size_t first, std::size_t size);
/// N slices of equal size. Throws ShapeError unless N divides a's size.
template <std::size_t N>
std::array<CellValue, N> split(CellOperand a);
/// The size of each of `parts` equal slices. Throws as split().
std::size_t split_size(CellOperand a, std::size_t parts);

/// A finished cell: immutable, cheap to copy.
class CustomCell {
 public:
  struct State {
    std::string name;
    std::size_t size;
  };
  const std::string& name() const noexcept;
  std::size_t input_size() const noexcept;
  std::size_t output_size() const noexcept;
  /// In the order in which they were made.
  std::vector<State> states() const;
  /// In the order of their first use, from the states' next values and the output left to right: matrices
  /// [rows, columns], vectors [size], scalars [1].
  std::vector<ParameterInfo> parameters() const;
  /// The same arithmetic for an input of another size: the matrices that are applied to the input have other
  /// columns. Throws ShapeError where the input takes part elementwise and the sizes no longer fit. Slices of
  /// the input keep their elements. For layers of a stack.
  CustomCell with_input_size(std::size_t size) const;

  /// For the library's own use.
  const CellGraph& graph() const noexcept { return *graph_; }
  explicit CustomCell(std::shared_ptr<const CellGraph> graph) : graph_(std::move(graph)) {}

 private:
  std::shared_ptr<const CellGraph> graph_;
};

/// States a cell. Every call checks names and shapes when it is made.
class CellBuilder {
 public:
  explicit CellBuilder(std::string name);
  ~CellBuilder();
  CellBuilder(const CellBuilder&) = delete;
  CellBuilder& operator=(const CellBuilder&) = delete;

  /// The cell's input of one step; once.
  CellValue input(std::size_t size, SourceLine where = SourceLine::current());
  /// A state, as the step before left it.
  CellValue state(const std::string& name, std::size_t size, SourceLine where = SourceLine::current());
  /// A matrix parameter [rows, a.size()], applied to `a`. The same name again, with the same shape, is the
  /// same parameter.
  CellValue matrix(const std::string& name, std::size_t rows, CellOperand a);
  /// A parameter of `size` elements, the same for all rows.
  CellValue vector(const std::string& name, std::size_t size, SourceLine where = SourceLine::current());
  /// A parameter [1].
  CellValue scalar(const std::string& name, SourceLine where = SourceLine::current());
  /// What a state becomes. Once a state.
  void next(const CellValue& state, CellOperand value);
  /// Ends: the cell's output of one step. Throws Error where a state has no next value.
  CustomCell build(CellOperand output);

 private:
  std::unique_ptr<CellGraph> graph_;
};

template <std::size_t N>
std::array<CellValue, N> split(CellOperand a) {
  const std::size_t size = split_size(a, N);
  return [&]<std::size_t... k>(std::index_sequence<k...>) {
    return std::array<CellValue, N>{slice(a, k * size, size)...};
  }
  (std::make_index_sequence<N>());
}

}  // namespace sluice
