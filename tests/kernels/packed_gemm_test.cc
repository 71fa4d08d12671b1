// SPDX-License-Identifier: Apache-2.0
#include "kernels/packed_gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "layers/packed_linear.h"
#include "layers/packed_weights.h"
#include "sluice/target.h"
#include "support/expect_same_bits.h"
#include "support/random.h"

namespace sluice {
namespace {

// One cell of every kind has weights, a batch and room for results; `Kind` says which.
enum class Kind { kLstm, kGru, kRnnTanh, kRnnRelu, kGruBeforeGates, kGruBeforeCandidate };
constexpr Kind kKinds[] = {Kind::kLstm,           Kind::kGru,
                           Kind::kRnnTanh,        Kind::kRnnRelu,
                           Kind::kGruBeforeGates, Kind::kGruBeforeCandidate};

std::size_t gates_of(Kind kind) {
  switch (kind) {
    case Kind::kLstm:
      return 4;
    case Kind::kGru:
      return 3;
    case Kind::kGruBeforeGates:
      return 2;
    default:
      return 1;
  }
}

template <class T>
typename kernels::PackedGemm<T>::Step step_of(const kernels::PackedGemm<T>& table, Kind kind) {
  switch (kind) {
    case Kind::kLstm:
      return table.lstm_step;
    case Kind::kGru:
      return table.gru_step;
    case Kind::kRnnTanh:
      return table.rnn_tanh_step;
    case Kind::kRnnRelu:
      return table.rnn_relu_step;
    case Kind::kGruBeforeGates:
      return table.gru_before_gates_step;
    default:
      return table.gru_before_candidate_step;
  }
}

template <class T>
struct Cell {
  Cell(Kind kind, std::size_t units, std::size_t inputs, std::size_t batch)
      : kind(kind), units(units), inputs(inputs), batch(batch) {
    std::uint64_t seed = units * 1000 + inputs * 10 + batch;
    const auto random = [&](const Shape& shape) { return random_tensor<T>(shape, -1, 1, seed++); };
    const std::size_t rows = gates_of(kind) * units;
    w = random({rows, inputs});
    u = random({rows, units});
    bias_ih = random({rows});
    bias_hh = random({rows});
    x = random({batch, inputs});
    h = random({batch, units});
    c = random({batch, units});
    entry = random({batch, units});
  }

  PackedWeights<T> pack() const {
    if (gates_of(kind) == 1) return pack_plain<T>(w.view(), u.view(), bias_ih.view(), bias_hh.view());
    return pack_gates<T>(gates_of(kind), w.view(), u.view(), bias_ih.view(), bias_hh.view(),
                         kind == Kind::kGru);
  }

  Kind kind;
  std::size_t units, inputs, batch;
  Tensor<T> w, u, bias_ih, bias_hh, x, h, c;
  Tensor<T> entry;  // what h_out holds on entry, and c_out c: the second half of GRU's other form reads both
};

template <class T>
struct Result {
  Tensor<T> h, c;
};

enum class InputPart { kInStep, kInAdvance };

// One step of rows [first, first + count) on blocks cut at `cut`; guards past each row must stay as they are.
template <class T>
Result<T> run(const Cell<T>& cell, InputPart input_part, std::size_t first, std::size_t count,
              std::size_t cut = 0, bool is_downward = false) {
  const PackedWeights<T> packed = cell.pack();
  const kernels::PackedGemm<T>& table = *packed.kernels;
  const std::size_t pre_size = packed.matrix.blocks * packed.matrix.gates * table.lanes;
  const std::size_t stride = cell.units + 1;
  const T guard = std::numeric_limits<T>::quiet_NaN();
  Tensor<T> pre({count, pre_size}), h_out({count, stride}), c_out({count, stride});
  std::vector<const T*> inputs(count);
  std::vector<T*> pres(count);
  std::vector<kernels::Row<T>> rows(count);
  for (std::size_t r = 0; r < count; ++r) {
    const std::size_t b = first + r;
    std::copy_n(&cell.entry(b, 0), cell.units, &h_out(r, 0));
    std::copy_n(&cell.c(b, 0), cell.units, &c_out(r, 0));
    h_out(r, cell.units) = c_out(r, cell.units) = guard;
    inputs[r] = cell.x.data() + b * cell.inputs;
    pres[r] = pre.data() + r * pre_size;
    rows[r] = {.x = input_part == InputPart::kInStep ? inputs[r] : nullptr,
               .pre = pres[r],
               .h = cell.h.data() + b * cell.units,
               .c = cell.c.data() + b * cell.units,
               .h_out = &h_out(r, 0),
               .c_out = &c_out(r, 0)};
  }
  const auto step = step_of(table, cell.kind);
  const std::size_t ends[] = {std::min(cut, packed.matrix.blocks), packed.matrix.blocks};
  std::size_t begin = 0;
  for (const std::size_t end : ends) {
    if (input_part == InputPart::kInAdvance)
      table.input_part(packed.matrix, inputs.data(), pres.data(), count, {begin, end, is_downward});
    step(packed.matrix, rows.data(), count, {begin, end, is_downward});
    begin = end;
  }
  Result<T> result{Tensor<T>({count, cell.units}), Tensor<T>({count, cell.units})};
  for (std::size_t r = 0; r < count; ++r) {
    EXPECT_TRUE(std::isnan(h_out(r, cell.units)) && std::isnan(c_out(r, cell.units)));
    std::copy_n(&h_out(r, 0), cell.units, result.h.data() + r * cell.units);
    std::copy_n(&c_out(r, 0), cell.units, result.c.data() + r * cell.units);
  }
  return result;
}

// The papers' formulas in double, from pre-activations summed in double.
template <class T>
Result<double> reference(const Cell<T>& cell) {
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  Result<double> result{Tensor<double>({cell.batch, cell.units}), Tensor<double>({cell.batch, cell.units})};
  for (std::size_t b = 0; b < cell.batch; ++b) {
    for (std::size_t j = 0; j < cell.units; ++j) {
      const auto input = [&](std::size_t gate) {
        const std::size_t row = gate * cell.units + j;
        double sum = cell.bias_ih(row);
        for (std::size_t k = 0; k < cell.inputs; ++k) sum += double{cell.w(row, k)} * cell.x(b, k);
        return sum;
      };
      const Tensor<T>& operand = cell.kind == Kind::kGruBeforeCandidate ? cell.c : cell.h;
      const auto state = [&](std::size_t gate) {
        const std::size_t row = gate * cell.units + j;
        double sum = cell.bias_hh(row);
        for (std::size_t k = 0; k < cell.units; ++k) sum += double{cell.u(row, k)} * operand(b, k);
        return sum;
      };
      const auto both = [&](std::size_t gate) { return input(gate) + state(gate); };
      const double h = cell.h(b, j), c = cell.c(b, j);
      double& h_out = result.h(b, j);
      double& c_out = result.c(b, j);
      switch (cell.kind) {
        case Kind::kLstm:
          c_out = sigmoid(both(1)) * c + sigmoid(both(0)) * std::tanh(both(2));
          h_out = sigmoid(both(3)) * std::tanh(c_out);
          break;
        case Kind::kGru: {
          const double n = std::tanh(input(2) + sigmoid(both(0)) * state(2));
          h_out = (1 - sigmoid(both(1))) * n + sigmoid(both(1)) * h;
          break;
        }
        case Kind::kRnnTanh:
          h_out = std::tanh(both(0));
          break;
        case Kind::kRnnRelu:
          h_out = std::max(both(0), 0.0);
          break;
        case Kind::kGruBeforeGates:
          c_out = sigmoid(both(0)) * h;
          h_out = sigmoid(both(1));
          break;
        case Kind::kGruBeforeCandidate: {
          const double z = cell.entry(b, j);
          h_out = z * h + (1 - z) * std::tanh(both(0));
          break;
        }
      }
    }
  }
  return result;
}

template <class T>
class PackedGemmTest : public testing::Test {
 protected:
  void TearDown() override { set_target(""); }
};
using Elements = testing::Types<float, double>;
TYPED_TEST_SUITE(PackedGemmTest, Elements);

TYPED_TEST(PackedGemmTest, StepMatchesDoubleReferenceOnEveryTarget) {
  using T = TypeParam;
  for (const std::string& target : available_targets()) {
    set_target(target);
    for (const Kind kind : kKinds) {
      for (const std::size_t units : {1, 7, 15, 16, 17, 40}) {
        for (const std::size_t batch : {1, 2, 6, 7}) {
          const Cell<T> cell(kind, units, 5, batch);
          const Result<T> got = run(cell, InputPart::kInStep, 0, batch);
          const Result<double> want = reference(cell);
          // A chain of n = 5 + units products of values below 1 in magnitude, with biases below 2, is off by
          // at most n (n + 2) eps / 2 (Higham 2002, 3.1, with sums bounded by n + 2); no gate's slope is
          // above 1, a cell multiplies values up to 2, and each of its dozen roundings adds an eps: a factor
          // of 4 covers it.
          const double n = 5.0 + static_cast<double>(units);
          const double bound = 4 * (n * (n + 2) / 2 + 12) * std::numeric_limits<T>::epsilon();
          for (std::size_t i = 0; i < got.h.size(); ++i) {
            ASSERT_NEAR(got.h.data()[i], want.h.data()[i], bound)
                << target << " kind " << static_cast<int>(kind) << " units " << units << " batch " << batch;
            if (kind == Kind::kLstm || kind == Kind::kGruBeforeGates) {
              ASSERT_NEAR(got.c.data()[i], want.c.data()[i], bound);
            }
          }
        }
      }
    }
  }
}

TYPED_TEST(PackedGemmTest, BitsDoNotDependOnHowTheStepIsCut) {
  using T = TypeParam;
  for (const std::string& target : available_targets()) {
    set_target(target);
    for (const Kind kind : kKinds) {
      for (const std::size_t units : {5, 33, 70}) {
        const Cell<T> cell(kind, units, 19, 13);
        const Result<T> whole = run(cell, InputPart::kInStep, 0, 13);
        const auto expect_equal = [&](const Result<T>& part, std::size_t first, std::size_t count) {
          const auto rows = [&](const Tensor<T>& t) {
            return t.span().subspan(first * units, count * units);
          };
          SCOPED_TRACE(target + " units " + std::to_string(units) + " from row " + std::to_string(first));
          expect_same_bits<T>(part.h.span(), rows(whole.h));
          expect_same_bits<T>(part.c.span(), rows(whole.c));
        };
        expect_equal(run(cell, InputPart::kInAdvance, 0, 13), 0, 13);
        for (const std::size_t cut : {1, 2}) expect_equal(run(cell, InputPart::kInStep, 0, 13, cut), 0, 13);
        expect_equal(run(cell, InputPart::kInAdvance, 0, 13, 1, true), 0, 13);
        for (std::size_t row = 0; row < 13; ++row) {
          expect_equal(run(cell, InputPart::kInStep, row, 1), row, 1);
          expect_equal(run(cell, InputPart::kInAdvance, row, 1), row, 1);
          expect_equal(run(cell, InputPart::kInAdvance, row, 1, 2, true), row, 1);
        }
        for (std::size_t count = 2; count < 13; ++count)
          expect_equal(run(cell, InputPart::kInStep, 13 - count, count), 13 - count, count);
      }
    }
  }
}

// Weights of more than 12 MiB, of which a tile fetches the next block's: tiles of all rows and fetches of one
// or two cache lines, up and down, against rows alone, which fetch nothing.
TYPED_TEST(PackedGemmTest, FetchingAheadChangesNoBit) {
  using T = TypeParam;
  for (const Kind kind : {Kind::kLstm, Kind::kGru}) {
    constexpr std::size_t kBatch = 26;
    const Cell<T> cell(kind, 1050, 17, kBatch);
    const PackedWeights<T> packed = cell.pack();
    ASSERT_GT(packed.weights.size() * sizeof(T), std::size_t{12} << 20);
    for (const std::size_t count : {9, 14, 26}) {
      for (const bool is_downward : {false, true}) {
        const Result<T> rows = run(cell, InputPart::kInStep, 0, count, 0, is_downward);
        const Result<T> last = run(cell, InputPart::kInStep, count - 1, 1);
        SCOPED_TRACE(std::to_string(count));
        expect_same_bits<T>(rows.h.span().subspan((count - 1) * cell.units), last.h.span());
        expect_same_bits<T>(rows.c.span().subspan((count - 1) * cell.units), last.c.span());
      }
    }
  }
}

TYPED_TEST(PackedGemmTest, EveryTargetWithFmaGivesTheSameBits) {
  using T = TypeParam;
  for (const Kind kind : kKinds) {
    for (const std::size_t units : {1, 16, 50}) {
      const Cell<T> cell(kind, units, 30, 7);
      set_target("");
      if (!target_has_fma()) GTEST_SKIP() << "this machine has no instruction set with FMA";
      const Result<T> best = run(cell, InputPart::kInStep, 0, 7);
      for (const std::string& target : available_targets()) {
        set_target(target);
        if (!target_has_fma()) continue;
        const Result<T> other = run(cell, InputPart::kInStep, 0, 7);
        SCOPED_TRACE(target + " units " + std::to_string(units));
        expect_same_bits<T>(best.h.span(), other.h.span());
        expect_same_bits<T>(best.c.span(), other.c.span());
      }
    }
  }
}

TYPED_TEST(PackedGemmTest, LinearMatchesDoubleReference) {
  using T = TypeParam;
  for (const std::string& target : available_targets()) {
    set_target(target);
    for (const std::size_t out : {1, 15, 16, 17, 33, 64, 65, 130}) {
      for (const std::size_t in : {0, 1, 7, 64}) {
        for (const std::size_t rows : {0, 1, 2, 5, 6, 7, 100}) {
          const Tensor<T> w = random_tensor<T>({out, in}, -1, 1, 1), bias = random_tensor<T>({out}, -1, 1, 2);
          const Tensor<T> x = random_tensor<T>({rows, in}, -1, 1, 3);
          Tensor<T> y({rows, out});
          const PackedLinear<T> linear(w.view(), bias.view());
          linear.run(x.data(), static_cast<std::ptrdiff_t>(in), y.data(), static_cast<std::ptrdiff_t>(out),
                     rows);
          for (std::size_t r = 0; r < rows; ++r) {
            for (std::size_t o = 0; o < out; ++o) {
              long double want = bias(o), magnitude = std::abs(want);
              for (std::size_t k = 0; k < in; ++k) {
                const long double product = static_cast<long double>(w(o, k)) * x(r, k);
                want += product;
                magnitude += std::abs(product);
              }
              // At most two roundings a term (one where fused), each off by eps/2 of at most `magnitude`
              // and the roundings before it.
              const long double eps = std::numeric_limits<T>::epsilon();
              const long double bound = static_cast<long double>(in) * magnitude * eps * (1 + 200 * eps);
              ASSERT_LE(std::abs(y(r, o) - want), bound) << target << " " << out << "x" << in << " row " << r;
            }
          }
        }
      }
    }
  }
}

TYPED_TEST(PackedGemmTest, LinearGivesTheSameBitsAtAnyThreadCount) {
  using T = TypeParam;
  const Tensor<T> w = random_tensor<T>({300, 200}, -1, 1, 4), x = random_tensor<T>({101, 200}, -1, 1, 5);
  const PackedLinear<T> linear(w.view());
  Tensor<T> one({101, 300}), many({101, 300});
  linear.run(x.data(), 200, one.data(), 300, 101, 1);
  linear.run(x.data(), 200, many.data(), 300, 101, 4);
  expect_same_bits<T>(one.span(), many.span());
}

TEST(PackedWeights, StridedWeightsPackAsContiguousOnes) {
  const Tensor<float> transposed = random_tensor<float>({9, 20}, -1, 1, 6);
  const Tensor<float> w(transposed.view().transpose(0, 1));
  const PackedWeights<float> a = pack_gates<float>(4, w.view(), {}, {}, {});
  const PackedWeights<float> b = pack_gates<float>(4, transposed.view().transpose(0, 1), {}, {}, {});
  expect_same_bits<float>(a.weights.span(), b.weights.span());
}

}  // namespace
}  // namespace sluice
