// SPDX-License-Identifier: Apache-2.0
// Stages of cells of one's own on every instruction set: each operation, and sums of products, against plain
// loops; how a stage is cut; what must not be touched.
#include "kernels/cell_stage.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "kernels/gate_math.h"
#include "reference/gate_math.h"
#include "sluice/target.h"
#include "support/expect_same_bits.h"
#include "support/expect_ulp.h"
#include "support/for_each_target.h"
#include "support/random.h"

namespace sluice {
namespace {

using kernels::cell_stages;
using kernels::CellStage;
using kernels::Instruction;
using kernels::StageProduct;
using kernels::VectorOp;

constexpr std::size_t kUnits[] = {1, 15, 16, 17, 33};
constexpr std::size_t kRows[] = {1, 2, 5, 6, 7, 13, 70};
constexpr std::size_t kVectors[] = {1, 2, 4};

template <class T>
class CellStageTest : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(CellStageTest, Types);

std::size_t blocks_of(std::size_t units, std::size_t block) { return (units + block - 1) / block; }

// The areas of some rows, with a guard behind each.
template <class T>
class Areas {
 public:
  static constexpr T kGuard = 12345;
  Areas(std::size_t rows, std::vector<std::size_t> sizes) : sizes_(std::move(sizes)), areas_(rows) {
    for (auto& row : areas_)
      for (const std::size_t size : sizes_) row.emplace_back(size + 1, kGuard);
    for (auto& row : areas_) {
      pointers_.emplace_back();
      for (auto& area : row) pointers_.back().push_back(area.data());
    }
    for (auto& row : pointers_) rows_.push_back(row.data());
  }
  Areas(Areas&&) = default;  // a copy's pointers would be those of the original
  Areas& operator=(Areas&&) = default;
  T* operator()(std::size_t row, std::size_t area) { return areas_[row][area].data(); }
  void fill(std::size_t row, std::size_t area, const std::vector<T>& values) {
    std::copy_n(values.begin(), sizes_[area], areas_[row][area].begin());
  }
  void run(const CellStage<T>& stage, kernels::BlockSweep sweep, bool has_pre = false) {
    cell_stages<T>().run(stage, rows_.data(), rows_.size(), sweep, has_pre);
  }
  void run(const CellStage<T>& stage) { run(stage, {0, stage.blocks}); }
  void expect_guards() const {
    for (const auto& row : areas_)
      for (const auto& area : row) EXPECT_EQ(area.back(), kGuard);
  }

 private:
  std::vector<std::size_t> sizes_;
  std::vector<std::vector<std::vector<T>>> areas_;
  std::vector<std::vector<T*>> pointers_;
  std::vector<T* const*> rows_;
};

// y = op(a, b, c) on vectors of any length, as rows of `units`.
template <class T>
std::vector<T> apply(VectorOp op, const std::vector<T>& a, const std::vector<T>& b, const std::vector<T>& c,
                     std::size_t units, std::size_t vectors) {
  const std::size_t count = (a.size() + units - 1) / units;
  Areas<T> areas(count, {units, units, units, units});
  const std::vector<T>* const inputs[] = {&a, &b, &c};
  for (std::size_t r = 0; r < count; ++r) {
    for (std::size_t i = 0; i < 3; ++i) {
      std::vector<T> part(units, T(1));
      for (std::size_t u = 0; u < units && r * units + u < a.size(); ++u)
        part[u] = (*inputs[i])[r * units + u];
      areas.fill(r, i, part);
    }
  }
  const Instruction<T> program[] = {{.op = VectorOp::kLoad, .to = 0, .area = 0},
                                    {.op = VectorOp::kLoad, .to = 1, .area = 1},
                                    {.op = VectorOp::kLoad, .to = 2, .area = 2},
                                    {.op = op, .to = 0, .a = 0, .b = 1, .c = 2},
                                    {.op = VectorOp::kStore, .a = 0, .area = 3}};
  const CellStage<T> stage{.units = units,
                           .blocks = blocks_of(units, vectors * cell_stages<T>().lanes),
                           .vectors = vectors,
                           .slots = 3,
                           .instructions = program,
                           .instruction_count = std::size(program)};
  areas.run(stage);
  areas.expect_guards();
  std::vector<T> y(a.size());
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = areas(i / units, 3)[i % units];
  return y;
}

template <class T>
T plain(VectorOp op, T a, T b, T c) {
  switch (op) {
    case VectorOp::kAdd:
      return a + b;
    case VectorOp::kSub:
      return a - b;
    case VectorOp::kMul:
      return a * b;
    case VectorOp::kDiv:
      return a / b;
    case VectorOp::kNeg:
      return -a;
    case VectorOp::kMax:
      return std::isnan(a) || std::isnan(b) ? a + b : a < b ? b : a;
    case VectorOp::kMin:
      return std::isnan(a) || std::isnan(b) ? a + b : b < a ? b : a;
    case VectorOp::kAbs:
      return std::abs(a);
    case VectorOp::kSqrt:
      return std::sqrt(a);
    case VectorOp::kRelu:
      return a < 0 ? 0 : a;
    case VectorOp::kLess:
      return a < b;
    case VectorOp::kLessEqual:
      return a <= b;
    case VectorOp::kSelect:
      return a != 0 ? b : c;
    default:  // kMulAdd
      return target_has_fma() ? std::fma(a, b, c) : a * b + c;
  }
}

template <class T>
std::vector<T> edges() {
  using Limits = std::numeric_limits<T>;
  return {T(0),
          T(-0.0),
          T(1),
          T(-1),
          T(2.5),
          Limits::infinity(),
          -Limits::infinity(),
          Limits::quiet_NaN(),
          Limits::max(),
          Limits::lowest(),
          Limits::min(),
          Limits::denorm_min(),
          -Limits::denorm_min()};
}

TYPED_TEST(CellStageTest, ExactOperationsMatchPlainLoops) {
  using T = TypeParam;
  std::vector<T> a, b, c;
  for (const T x : edges<T>()) {
    for (const T y : edges<T>()) {
      for (const T z : {T(3), T(-0.0), std::numeric_limits<T>::quiet_NaN()}) {
        a.push_back(x);
        b.push_back(y);
        c.push_back(z);
      }
    }
  }
  for (std::uint64_t seed = 0; std::vector<T>* const v : {&a, &b, &c}) {
    const std::vector<T> more = random_vector<T>(100, -2, 2, seed++);
    v->insert(v->end(), more.begin(), more.end());
  }
  for_each_target([&](const std::string&) {
    for (const VectorOp op :
         {VectorOp::kAdd, VectorOp::kSub, VectorOp::kMul, VectorOp::kDiv, VectorOp::kNeg, VectorOp::kMax,
          VectorOp::kMin, VectorOp::kAbs, VectorOp::kSqrt, VectorOp::kRelu, VectorOp::kLess,
          VectorOp::kLessEqual, VectorOp::kSelect, VectorOp::kMulAdd}) {
      SCOPED_TRACE("operation " + std::to_string(static_cast<int>(op)));
      std::vector<T> want(a.size());
      for (std::size_t i = 0; i < a.size(); ++i) want[i] = plain(op, a[i], b[i], c[i]);
      for (const std::size_t units : kUnits) {
        for (const std::size_t vectors : kVectors) expect_same_bits(apply(op, a, b, c, units, vectors), want);
      }
    }
  });
}

TYPED_TEST(CellStageTest, GatesAreTheLibrarysOwn) {
  using T = TypeParam;
  std::vector<T> x = random_vector<T>(1000, -20, 20, 1);
  const std::vector<T> wide = random_vector<T>(100, -800, 800, 2), special = edges<T>();
  x.insert(x.begin() + 500, wide.begin(), wide.end());
  x.insert(x.end(), special.begin(), special.end());
  for_each_target([&](const std::string&) {
    const kernels::GateMath<T>& math = kernels::gate_math<T>();
    std::vector<T> want(x.size());
    for (const auto& [op, kernel] : {std::pair(VectorOp::kSigmoid, math.sigmoid),
                                     {VectorOp::kTanh, math.tanh},
                                     {VectorOp::kExp, math.exp}}) {
      kernel(x.data(), want.data(), x.size());
      for (const std::size_t units : kUnits) expect_same_bits(apply(op, x, x, x, units, 1), want);
      expect_same_bits(apply(op, x, x, x, 33, 4), want);
    }
  });
}

// Beyond x <= 0, of which the exhaustive tests are.
TYPED_TEST(CellStageTest, ExpIsAccurateEverywhere) {
  using T = TypeParam;
  std::vector<T> x = random_vector<T>(20000, -2, 2, 3);
  const std::vector<T> wide =
      random_vector<T>(20000, sizeof(T) == 4 ? -104 : -746, sizeof(T) == 4 ? 88.72 : 709.78, 4);
  x.insert(x.end(), wide.begin(), wide.end());
  for_each_target([&](const std::string&) {
    const std::vector<T> y = apply(VectorOp::kExp, x, x, x, 64, 1);
    for (std::size_t i = 0; i < x.size(); ++i)
      expect_ulp(y[i], std::exp(static_cast<long double>(x[i])), target_has_fma() ? 1.1 : 1.6);
    constexpr T kInfinity = std::numeric_limits<T>::infinity();
    const std::vector<T> special{0, -0.0, kInfinity, -kInfinity, 1000, std::numeric_limits<T>::quiet_NaN()};
    expect_same_bits(apply(VectorOp::kExp, special, special, special, 6, 1),
                     std::vector<T>{1, 1, kInfinity, 0, kInfinity, std::numeric_limits<T>::quiet_NaN()});
  });
}

// Random bits: all exponents, subnormal numbers too; and near 1, where the logarithm vanishes.
template <class T>
std::vector<T> for_log() {
  Random random(5);
  std::vector<T> x;
  for (int i = 0; i < 40000; ++i) {
    x.push_back(std::ldexp(
        static_cast<T>(random.uniform(1, 2)),
        static_cast<int>(random.below(sizeof(T) == 4 ? 277 : 2098)) - (sizeof(T) == 4 ? 149 : 1074)));
    x.push_back(static_cast<T>(random.uniform(0.5, 2)));
    x.push_back(static_cast<T>(1 + random.uniform(-1, 1) * std::ldexp(1, -static_cast<int>(i % 50))));
  }
  return x;
}

TYPED_TEST(CellStageTest, LogIsAccurateEverywhere) {
  using T = TypeParam;
  using Limits = std::numeric_limits<T>;
  const std::vector<T> x = for_log<T>();
  for_each_target([&](const std::string&) {
    const std::vector<T> y = apply(VectorOp::kLog, x, x, x, 64, 1);
    for (std::size_t i = 0; i < x.size(); ++i)
      ASSERT_LE(ulp_distance(y[i], std::log(static_cast<long double>(x[i]))), 1) << x[i];
    const std::vector<T> special{0,
                                 T(-0.0),
                                 1,
                                 Limits::infinity(),
                                 -Limits::infinity(),
                                 T(-1),
                                 -Limits::denorm_min(),
                                 Limits::quiet_NaN()};
    const T nan = Limits::quiet_NaN(), infinity = Limits::infinity();
    expect_same_bits(apply(VectorOp::kLog, special, special, special, 8, 1),
                     std::vector<T>{-infinity, -infinity, 0, infinity, nan, nan, nan, nan});
    const std::vector<T> least{Limits::denorm_min()};
    expect_ulp(apply(VectorOp::kLog, least, least, least, 1, 1)[0],
               std::log(static_cast<long double>(least[0])), 1);
  });
}

TYPED_TEST(CellStageTest, LogHasTheSameBitsOnAllTargetsWithFma) {
  using T = TypeParam;
  const std::vector<T> x = for_log<T>();
  std::vector<T> first;
  for_each_target([&](const std::string&) {
    if (!target_has_fma()) return;
    const std::vector<T> y = apply(VectorOp::kLog, x, x, x, 64, 1);
    if (first.empty()) first = y;
    expect_same_bits(y, first);
  });
}

// What does not come from a slot: x + one element of each row, times a parameter, less a constant. Old values
// are loaded before new ones are stored. Areas begin before what is used.
TYPED_TEST(CellStageTest, LeavesComeFromRowsParametersAndConstants) {
  using T = TypeParam;
  for_each_target([&](const std::string&) {
    for (const std::size_t units : kUnits) {
      for (const std::size_t rows : kRows) {
        for (const std::size_t vectors : kVectors) {
          const std::size_t block = vectors * cell_stages<T>().lanes, blocks = blocks_of(units, block);
          std::vector<T> parameter = random_vector<T>(blocks * block, -1, 1, 6);
          const Instruction<T> program[] = {
              {.op = VectorOp::kBroadcast, .to = 1, .area = 1, .offset = 2},
              {.op = VectorOp::kLoad, .to = 0, .area = 0, .offset = 3},
              {.op = VectorOp::kParameter, .to = 2, .data = parameter.data()},
              {.op = VectorOp::kConstant, .to = 3, .value = T(0.25)},
              {.op = VectorOp::kAdd, .to = 4, .a = 0, .b = 1},
              {.op = VectorOp::kMul, .to = 4, .a = 4, .b = 2},
              {.op = VectorOp::kSub, .to = 4, .a = 4, .b = 3},
              {.op = VectorOp::kStore, .a = 4, .area = 0, .offset = 3},
          };
          const CellStage<T> stage{.units = units,
                                   .blocks = blocks,
                                   .vectors = vectors,
                                   .slots = 5,
                                   .instructions = program,
                                   .instruction_count = std::size(program)};
          Areas<T> areas(rows, {units + 3, 4});
          std::vector<std::vector<T>> before, broadcast;
          for (std::size_t r = 0; r < rows; ++r) {
            before.push_back(random_vector<T>(units + 3, -1, 1, 7 + r));
            broadcast.push_back(random_vector<T>(4, -1, 1, 100 + r));
            areas.fill(r, 0, before[r]);
            areas.fill(r, 1, broadcast[r]);
          }
          areas.run(stage);
          areas.expect_guards();
          for (std::size_t r = 0; r < rows; ++r) {
            for (std::size_t i = 0; i < units + 3; ++i) {
              const T want =
                  i < 3 ? before[r][i] : (before[r][i] + broadcast[r][2]) * parameter[i - 3] - T(0.25);
              expect_same_bits(areas(r, 0)[i], want);
            }
          }
        }
      }
    }
  });
}

// A matrix [sum][unit][k] in the layout of a stage's product.
template <class T>
Tensor<T> pack(const Tensor<T>& w, std::size_t blocks, std::size_t block) {
  const std::size_t sums = w.shape()[0], units = w.shape()[1], inputs = w.shape()[2];
  Tensor<T> packed({blocks, inputs, sums, block});
  for (std::size_t s = 0; s < sums; ++s)
    for (std::size_t u = 0; u < units; ++u)
      for (std::size_t k = 0; k < inputs; ++k) packed(u / block, k, s, u % block) = w(s, u, k);
  return packed;
}

struct Range {
  std::size_t first_slot, sums, inputs;
  bool can_be_pre = false;
};

// Sums of products as a chain of (fused) multiply-adds each, for all cuts of the sweep.
template <class T>
void check_products(std::size_t sums, const std::vector<Range>& ranges, std::size_t vectors,
                    std::size_t units, std::size_t rows, bool has_pre) {
  const std::size_t block = vectors * cell_stages<T>().lanes, blocks = blocks_of(units, block);
  const auto multiply_add = [](T a, T b, T c) { return target_has_fma() ? std::fma(a, b, c) : a * b + c; };
  const Tensor<T> bias = random_tensor<T>({sums, units}, -1, 1, 1);
  Tensor<T> packed_bias({blocks, sums, block});
  for (std::size_t s = 0; s < sums; ++s)
    for (std::size_t u = 0; u < units; ++u) packed_bias(u / block, s, u % block) = bias(s, u);

  // Area 0: out, [sum][unit]. Area 1: what is multiplied, from 1 on. Area 2: made in advance, from 3 on.
  std::size_t depth = 1, pre_size = 3;
  std::vector<Tensor<T>> packed;
  std::vector<StageProduct<T>> products;
  std::vector<Tensor<T>> weights;
  for (const Range& range : ranges) {
    weights.push_back(random_tensor<T>({range.sums, units, range.inputs}, -1, 1, 10 + weights.size()));
    packed.push_back(pack(weights.back(), blocks, block));
    StageProduct<T> product;
    product.matrix = {.weights = packed.back().data(),
                      .gates = range.sums * vectors,
                      .units = units,
                      .blocks = blocks,
                      .input_size = range.inputs};
    product.area = 1;
    product.offset = depth;
    product.first_slot = static_cast<std::uint16_t>(range.first_slot);
    product.can_be_pre = range.can_be_pre;
    product.pre_area = 2;
    product.pre_offset = pre_size;
    products.push_back(product);
    depth += range.inputs;
    if (range.can_be_pre) pre_size += blocks * range.sums * block;
  }
  std::vector<Instruction<T>> program;
  for (std::size_t s = 0; s < sums; ++s)
    program.push_back(
        {.op = VectorOp::kStore, .a = static_cast<std::uint16_t>(s), .area = 0, .offset = s * (units + 1)});
  const CellStage<T> stage{.units = units,
                           .blocks = blocks,
                           .vectors = vectors,
                           .slots = sums + 1,
                           .sums = sums,
                           .bias = packed_bias.data(),
                           .products = products.data(),
                           .product_count = products.size(),
                           .instructions = program.data(),
                           .instruction_count = program.size()};

  const auto fresh = [&] {
    Areas<T> areas(rows, {sums * (units + 1), depth, pre_size});
    for (std::size_t r = 0; r < rows; ++r) {
      areas.fill(r, 0, std::vector<T>(sums * (units + 1), Areas<T>::kGuard));
      areas.fill(r, 1, random_vector<T>(depth, -1, 1, 20 + r));
      areas.fill(r, 2, random_vector<T>(pre_size, -1, 1, 50 + r));
    }
    return areas;
  };
  Areas<T> areas = fresh();
  std::vector<std::vector<T>> want(rows, std::vector<T>(sums * (units + 1), Areas<T>::kGuard));
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t s = 0; s < sums; ++s) {
      for (std::size_t u = 0; u < units; ++u) {
        T& sum = want[r][s * (units + 1) + u];
        sum = bias(s, u);
        for (std::size_t p = 0; p < ranges.size(); ++p) {
          const Range& range = ranges[p];
          if (s < range.first_slot || s >= range.first_slot + range.sums) continue;
          const std::size_t own = s - range.first_slot;
          if (has_pre && range.can_be_pre) {
            sum = areas(r, 2)[products[p].pre_offset + (u / block * range.sums + own) * block + u % block];
            continue;
          }
          for (std::size_t k = 0; k < range.inputs; ++k)
            sum = multiply_add(areas(r, 1)[products[p].offset + k], weights[p](own, u, k), sum);
        }
      }
    }
  }
  for (const bool is_downward : {false, true}) {
    for (const std::size_t cut : {std::size_t{0}, std::size_t{1}, blocks - 1}) {
      areas = fresh();
      areas.run(stage, {0, std::min(cut, blocks), is_downward}, has_pre);
      const std::size_t done = std::min(cut * block, units);
      for (std::size_t r = 0; r < rows && done < units; ++r)
        expect_same_bits(areas(r, 0)[done], Areas<T>::kGuard);  // not yet
      areas.run(stage, {std::min(cut, blocks), blocks, is_downward}, has_pre);
      areas.expect_guards();
      for (std::size_t r = 0; r < rows; ++r)
        expect_same_bits(std::vector<T>(areas(r, 0), areas(r, 0) + want[r].size()), want[r]);
    }
  }
}

TYPED_TEST(CellStageTest, SumsAreChainsThatBeginWithTheBias) {
  using T = TypeParam;
  for_each_target([&](const std::string&) {
    for (const std::size_t units : kUnits) {
      for (const std::size_t rows : kRows) {
        for (std::size_t sums = 1; sums <= 4; ++sums) {
          for (const std::size_t vectors : kVectors) {
            if (sums * vectors > 4) continue;
            SCOPED_TRACE(std::to_string(units) + " units, " + std::to_string(rows) + " rows, " +
                         std::to_string(sums) + " sums, " + std::to_string(vectors) + " vectors");
            for (const bool has_pre : {false, true})
              check_products<T>(sums, {{0, sums, 3, true}, {0, sums, 5}, {0, sums, 1}}, vectors, units, rows,
                                has_pre);
          }
        }
      }
    }
  });
}

// Sums that have no product, or that begin in the middle of one's: those of a GRU whose n's two halves stay
// apart, and others.
TYPED_TEST(CellStageTest, ProductsMayShareSomeOfTheirSums) {
  using T = TypeParam;
  for_each_target([&](const std::string&) {
    for (const std::size_t units : kUnits) {
      for (const std::size_t rows : kRows) {
        SCOPED_TRACE(std::to_string(units) + " units, " + std::to_string(rows) + " rows");
        for (const bool has_pre : {false, true}) {
          check_products<T>(4, {{0, 3, 3, true}, {1, 3, 4}}, 1, units, rows, has_pre);
          check_products<T>(6, {{1, 2, 3, true}, {0, 4, 4}, {5, 1, 2, true}}, 1, units, rows, has_pre);
          check_products<T>(5, {{0, 2, 3}, {2, 2, 2}, {0, 2, 1}}, 2, units, rows, has_pre);
          check_products<T>(3, {}, 2, units, rows, has_pre);
          check_products<T>(2, {{1, 1, 0}}, 1, units, rows, has_pre);
          check_products<T>(kernels::kMaxSlots - 1, {{40, 1, 3}}, 4, units, rows, has_pre);
        }
      }
    }
  });
}

// Weights of more than 12 MiB, of which the groups of rows fetch the next block's, one or two cache lines a
// k.
TYPED_TEST(CellStageTest, FetchingAheadChangesNoBit) {
  using T = TypeParam;
  constexpr std::size_t kGates = 4, kManyUnits = 260;
  const std::size_t inputs = (std::size_t{13} << 20) / (kGates * kManyUnits * sizeof(T));
  for (const std::size_t rows : {7, 25})
    check_products<T>(kGates, {{0, kGates, inputs}, {0, kGates, 3}}, 1, kManyUnits, rows, false);
}

}  // namespace
}  // namespace sluice
