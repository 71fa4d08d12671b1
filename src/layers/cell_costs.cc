// SPDX-License-Identifier: Apache-2.0
#include "layers/cell_costs.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "kernels/gate_math.h"
#include "kernels/machine_peak.h"

namespace sluice {
namespace {

using kernels::CellStage;
using kernels::Instruction;
using kernels::VectorOp;

// Of so many runs the shortest counts, each of calls that take about so long: the clock costs little, and
// another program spoils some of them only.
constexpr int kRuns = 20;
constexpr double kRunNs = 10'000;

template <class Body>
double least_ns(const Body& body) {
  const auto time = [&](std::size_t calls) {
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < calls; ++i) body();
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    return took.count() / static_cast<double>(calls);
  };
  double least = time(1);  // warms the caches
  const auto calls = static_cast<std::size_t>(std::clamp(kRunNs / std::max(least, 1.0), 1.0, 1000.0));
  for (int i = 0; i < kRuns; ++i) least = std::min(least, time(calls));
  return least;
}

// Uniform in [-3, 3]: as gates see them.
template <class T>
void fill(Tensor<T>& values) {
  std::uint32_t state = 1;
  for (T& value : values.span()) {
    state = state * 1664525U + 1013904223U;  // Numerical Recipes
    value = static_cast<T>(state >> 8) * static_cast<T>(6.0 / (1 << 24)) - 3;
  }
}

struct OpTraits {
  std::string_view name;
  std::size_t arguments = 0;  // vectors that it loads
  bool is_arithmetic = false;
};

OpTraits traits_of(VectorOp op) {
  switch (op) {
    case VectorOp::kLoad:
      return {"load", 1};
    case VectorOp::kBroadcast:
      return {"broadcast", 0};
    case VectorOp::kParameter:
      return {"parameter", 1};
    case VectorOp::kConstant:
      return {"constant", 0};
    case VectorOp::kStore:
      return {"store", 1};
    case VectorOp::kAdd:
      return {"add", 2, true};
    case VectorOp::kSub:
      return {"subtract", 2, true};
    case VectorOp::kMul:
      return {"multiply", 2, true};
    case VectorOp::kDiv:
      return {"divide", 2, true};
    case VectorOp::kNeg:
      return {"negate", 1, true};
    case VectorOp::kMax:
      return {"max", 2, true};
    case VectorOp::kMin:
      return {"min", 2, true};
    case VectorOp::kAbs:
      return {"abs", 1, true};
    case VectorOp::kExp:
      return {"exp", 1, true};
    case VectorOp::kLog:
      return {"log", 1, true};
    case VectorOp::kSqrt:
      return {"sqrt", 1, true};
    case VectorOp::kSigmoid:
      return {"sigmoid", 1, true};
    case VectorOp::kTanh:
      return {"tanh", 1, true};
    case VectorOp::kRelu:
      return {"relu", 1, true};
    case VectorOp::kLess:
      return {"less", 2, true};
    case VectorOp::kLessEqual:
      return {"less or equal", 2, true};
    case VectorOp::kSelect:
      return {"select", 3, true};
    case VectorOp::kMulAdd:
      return {"multiply-add", 3, true};
  }
  return {};
}

struct Bound {
  std::string_view limit;
  double ns;
};

// The largest of what an instruction's vectors take. Division, root and logarithm are many operations, or
// slow ones; no array kernel says how long they take, so their bound is one operation's.
Bound bound_of(VectorOp op, const CellBounds& bounds) {
  if (op == VectorOp::kSigmoid) return {"kernel", bounds.sigmoid};
  if (op == VectorOp::kTanh) return {"kernel", bounds.tanh};
  if (op == VectorOp::kExp) return {"kernel", bounds.exp};
  const OpTraits traits = traits_of(op);
  Bound bound{"store", bounds.store};
  const double loads = static_cast<double>(traits.arguments) * bounds.load;
  if (loads > bound.ns) bound = {"load", loads};
  if (traits.is_arithmetic && bounds.operation > bound.ns) bound = {"operation", bounds.operation};
  return bound;
}

// Times a program's steps on rows of its own.
template <class T>
class Measurement {
 public:
  Measurement(const CellProgram<T>& program, std::size_t rows, const CellBounds& bounds)
      : program_(program), bounds_(bounds), rows_(rows) {
    find_areas();
    operands_ = sizes_.size();
    std::size_t units = 0;
    for_each_part([&](const CellStage<T>& part) { units = std::max(units, part.units); });
    need(operands_, units);
    for (const std::size_t size : sizes_) {
      // Rows an odd number of cache lines apart, or those of a power of two would fight for places in L1.
      Tensor<T>& area = areas_.emplace_back(Shape{rows, ((size + kAlign - 1) / kAlign | 1) * kAlign});
      fill(area);
    }
    for (std::size_t r = 0; r < rows; ++r) {
      for (Tensor<T>& area : areas_) pointers_.push_back(&area(r, 0));
    }
    for (std::size_t r = 0; r < rows; ++r) row_areas_.push_back(&pointers_[r * areas_.size()]);
  }

  CellCosts costs() {
    if (program_.pre_size() > 0) add_input_part();
    for (std::size_t stage = 0; stage < program_.stages(); ++stage) {
      for (const auto& reduction : program_.reductions(stage)) add_reduction(stage, reduction);
      for (std::size_t p = 0; p < program_.parts(stage); ++p) add_part(stage, program_.part(stage, p));
    }
    const bool has_pre = program_.pre_size() > 0;
    costs_.whole_ns = least_ns([&] {
                        for (std::size_t stage = 0; stage < program_.stages(); ++stage)
                          program_.run(stage, row_areas_.data(), rows_, UnitShare{}, false, has_pre);
                      }) /
                      static_cast<double>(rows_);
    return std::move(costs_);
  }

 private:
  static constexpr std::size_t kAlign = 64 / sizeof(T);
  static constexpr std::size_t kRepeats = 16;

  template <class Visit>
  void for_each_part(const Visit& visit) const {
    for (std::size_t stage = 0; stage < program_.stages(); ++stage) {
      for (std::size_t p = 0; p < program_.parts(stage); ++p) visit(program_.part(stage, p));
    }
  }
  void need(std::size_t area, std::size_t size) {
    if (area >= sizes_.size()) sizes_.resize(area + 1, 1);
    sizes_[area] = std::max(sizes_[area], size);
  }
  // How far the program reads and writes each area.
  void find_areas() {
    for_each_part([&](const CellStage<T>& part) {
      for (std::size_t i = 0; i < part.instruction_count; ++i) {
        const Instruction<T>& in = part.instructions[i];
        need(in.area, in.offset + (in.op == VectorOp::kBroadcast ? 1 : part.units));
      }
      for (std::size_t p = 0; p < part.product_count; ++p) {
        const kernels::StageProduct<T>& product = part.products[p];
        need(product.area, product.offset + product.matrix.input_size);
        if (!product.can_be_pre) continue;
        need(product.pre_area, program_.pre_size());
        input_area_ = product.area;
        input_multiply_adds_ += multiply_adds(part, product);
      }
    });
    for (std::size_t stage = 0; stage < program_.stages(); ++stage) {
      for (const auto& reduction : program_.reductions(stage)) {
        need(reduction.from.area, reduction.from.offset + reduction.size);
      }
    }
  }
  static double multiply_adds(const CellStage<T>& part, const kernels::StageProduct<T>& product) {
    const std::size_t sums = product.matrix.gates / part.vectors;
    return static_cast<double>(sums * part.units * product.matrix.input_size);
  }

  // `ns`: of all rows.
  void add(std::string_view what, std::size_t stage, double elements, double ns, Bound bound) {
    costs_.steps.push_back(
        {what, bound.limit, stage, elements, ns / static_cast<double>(rows_) / elements, bound.ns});
  }

  void add_input_part() {
    std::vector<const T*> x;
    std::vector<T*> to(rows_);
    for (std::size_t r = 0; r < rows_; ++r) x.push_back(row_areas_[r][input_area_]);
    Tensor<T> made({rows_, program_.pre_size()});
    const double ns = least_ns([&] {
      for (std::size_t r = 0; r < rows_; ++r) to[r] = &made(r, 0);  // which the call changes
      program_.input_part(x.data(), to.data(), rows_, UnitShare{});
    });
    add("input product", 0, input_multiply_adds_, ns, {"operation", bounds_.operation});
  }
  void add_reduction(std::size_t stage, const typename CellProgram<T>::Reduction& reduction) {
    const double ns = least_ns([&] { program_.reduce(reduction, row_areas_.data(), rows_); });
    const bool is_variance = reduction.op == CellOp::kVariance;  // two passes
    const std::string_view name = is_variance ? "variance" : reduction.op == CellOp::kMean ? "mean" : "sum";
    add(name, stage, static_cast<double>(reduction.size), ns, {"load", (is_variance ? 2 : 1) * bounds_.load});
  }
  void add_part(std::size_t stage, const CellStage<T>& part) {
    double products = 0;
    for (std::size_t p = 0; p < part.product_count; ++p) {
      if (!part.products[p].can_be_pre) products += multiply_adds(part, part.products[p]);
    }
    if (products > 0) {
      CellStage<T> alone = part;
      alone.instruction_count = 0;
      add("products", stage, products, run_ns(alone), {"operation", bounds_.operation});
    }
    for (std::size_t i = 0; i < part.instruction_count; ++i) {
      const Instruction<T>& in = part.instructions[i];
      add(traits_of(in.op).name, stage, static_cast<double>(part.units), instruction_ns(part, in),
          bound_of(in.op, bounds_));
    }
  }

  double run_ns(const CellStage<T>& stage) const {
    return least_ns([&] {
      kernels::cell_stages<T>().run(stage, row_areas_.data(), rows_, {0, stage.blocks}, true);
    });
  }
  // What a stage takes longer in which it comes more often. Its arguments are numbers of our own, and it does
  // not replace them, or it would go on with what it made.
  double instruction_ns(const CellStage<T>& part, Instruction<T> in) const {
    constexpr std::uint16_t kArguments = 3;
    in.b = in.b == in.a ? 0 : 1;
    in.a = 0;
    in.c = 2;
    in.to = kArguments;
    std::vector<Instruction<T>> instructions;
    for (std::uint16_t slot = 0; slot < kArguments; ++slot) {
      instructions.push_back(
          {.op = VectorOp::kLoad, .to = slot, .area = static_cast<std::uint16_t>(operands_)});
    }
    instructions.insert(instructions.end(), 1 + kRepeats, in);
    CellStage<T> stage = part;  // of as large a tile
    stage.slots = std::max<std::size_t>(part.slots, kArguments + 1);
    stage.sums = 0;
    stage.product_count = 0;
    stage.instructions = instructions.data();
    stage.instruction_count = instructions.size();
    const double often = run_ns(stage);
    stage.instruction_count -= kRepeats;
    return std::max(0.0, often - run_ns(stage)) / kRepeats;
  }

  const CellProgram<T>& program_;
  const CellBounds& bounds_;
  std::size_t rows_;
  std::vector<std::size_t> sizes_;  // [area]
  std::size_t operands_ = 0;        // the area that is not the program's
  std::uint16_t input_area_ = 0;
  double input_multiply_adds_ = 0;
  std::vector<Tensor<T>> areas_;
  std::vector<T*> pointers_;          // [row][area]
  std::vector<T* const*> row_areas_;  // into pointers_
  CellCosts costs_;
};

}  // namespace

template <class T>
CellBounds measure_cell_bounds() {
  constexpr std::size_t kInCache = std::size_t{16} << 10;  // bytes
  constexpr std::size_t kElements = kInCache / sizeof(T);
  // For more bytes C libraries have other instructions, which may be slower.
  constexpr std::size_t kStored = 2048 / sizeof(T);  // elements
  Tensor<T> x({kElements}), y({kElements});
  Tensor<float> floats({kInCache / sizeof(float)});
  fill(x);
  const kernels::GateMath<T>& math = kernels::gate_math<T>();
  const kernels::MachinePeak& peak = kernels::machine_peak();
  const auto each = [&](const auto& body) { return least_ns(body) / static_cast<double>(kElements); };
  constexpr double kFloats = std::is_same_v<T, double> ? 2 : 1;  // that an element takes the place of
  constexpr std::size_t kIterations = 1000;
  double operations = 0;
  const double peak_ns = least_ns([&] { operations = peak.multiply_add(kIterations); });
  void* (*volatile set)(void*, int, std::size_t) = &std::memset;  // which is not left out
  return {
      .load = each([&] { (void)peak.read(floats.data(), floats.size(), 1); }),
      .store = least_ns([&] { set(y.data(), 0, kStored * sizeof(T)); }) / static_cast<double>(kStored),
      .operation = 2 * peak_ns / operations * kFloats,
      .sigmoid = each([&] { math.sigmoid(x.data(), y.data(), kElements); }),
      .tanh = each([&] { math.tanh(x.data(), y.data(), kElements); }),
      .exp = each([&] { math.exp(x.data(), y.data(), kElements); }),
  };
}

template <class T>
CellCosts measure_cell_costs(const CellProgram<T>& program, std::size_t rows, const CellBounds& bounds) {
  return Measurement<T>(program, rows, bounds).costs();
}

template CellBounds measure_cell_bounds<float>();
template CellBounds measure_cell_bounds<double>();
template CellCosts measure_cell_costs(const CellProgram<float>&, std::size_t, const CellBounds&);
template CellCosts measure_cell_costs(const CellProgram<double>&, std::size_t, const CellBounds&);

}  // namespace sluice
