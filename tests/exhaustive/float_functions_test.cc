// SPDX-License-Identifier: Apache-2.0
// Every float there is through each function of gate_math.h on every instruction set of this machine, against
// references in double: the largest error in ULP, range, order from each float to the next, NaN.
#include <gtest/gtest.h>

#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "kernels/gate_math.h"
#include "support/for_each_target.h"

namespace sluice {
namespace {

// Floats in order: bit patterns 0 .. 0x7F800000 are 0 .. infinity, the patterns after that are NaN.
constexpr std::uint32_t kInfinityBits = 0x7F800000;
constexpr std::uint32_t kBlock = 1 << 14;

// References in double: glibc's exp and log1p are within 1 ULP of double, 2^-29 of a float's, and what
// follows adds a few of those.
double sigmoid_reference(double x) {
  const double e = std::exp(-std::fabs(x));
  return (x < 0 ? e : 1.0) / (1.0 + e);
}

double tanh_reference(double x) {
  const double a = std::fabs(x);
  double y;
  if (a < 0.25) {  // Taylor; the next term is below 2^-37 of the first
    const double u = a * a;
    y = a + a * u *
                (-1.0 / 3 +
                 u * (2.0 / 15 +
                      u * (-17.0 / 315 +
                           u * (62.0 / 2835 + u * (-1382.0 / 155925 +
                                                   u * (21844.0 / 6081075 + u * (-929569.0 / 638512875)))))));
  } else {
    const double e = std::exp(-2 * a);
    y = (1 - e) / (1 + e);
  }
  return x < 0 ? -y : y;
}

double exp_reference(double x) { return std::exp(x); }
double log_sigmoid_reference(double x) { return std::fmin(x, 0.0) - std::log1p(std::exp(-std::fabs(x))); }
double silu_reference(double x) { return std::isinf(x) ? (x < 0 ? -0.0 : x) : x * sigmoid_reference(x); }

// |got - want| in units of the spacing of floats at `want`.
double ulp_error(float got, double want) {
  const auto exponent = static_cast<std::int64_t>(std::bit_cast<std::uint64_t>(want) >> 52 & 0x7FF) - 1023;
  const std::int64_t spacing = (exponent < -126 ? -126 : exponent) - 23;
  const double inverse = std::bit_cast<double>(static_cast<std::uint64_t>(1023 - spacing) << 52);
  return std::fabs(static_cast<double>(got) - want) * inverse;
}

// g++ and clang make a version of the function for each, and the program takes what the machine has.
#if defined(__x86_64__) && defined(__linux__)
#define SLUICE_FOR_EACH_MACHINE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define SLUICE_FOR_EACH_MACHINE
#endif

struct Function {
  const char* name;
  kernels::GateMath<float>::Map kernels::GateMath<float>::*kernel;
  double (*reference)(double);
  double bound_fma, bound;  // in ULP
  float low, high;          // of the results
  bool monotone;
  bool negative_only;  // defined for x <= 0
  int stride;          // every how many-th block of 16384 floats is looked at
};

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Found {
  double ulp = 0;
  float input = 0;
  std::uint64_t out_of_range = 0, out_of_order = 0;  // blocks
  float range_input = 0, order_input = 0;

  void merge(const Found& other) {
    if (other.ulp > ulp) ulp = other.ulp, input = other.input;
    if (other.out_of_range > 0) range_input = other.range_input;
    if (other.out_of_order > 0) order_input = other.order_input;
    out_of_range += other.out_of_range;
    out_of_order += other.out_of_order;
  }
};

// One block of neighbouring floats; x[0] belongs to the block before, so that its order is seen too. The
// common case is a loop without branches, for the compiler to vectorise.
SLUICE_FOR_EACH_MACHINE void check_block(const Function& f, const std::vector<float>& x,
                                         const std::vector<double>& want, const std::vector<float>& y,
                                         Found& found) {
  const std::size_t n = x.size();
  const float direction = !f.monotone ? 0.0f : std::signbit(x.back()) ? -1.0f : 1.0f;
  double worst = 0;
  int outside = 0, disorder = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double error = ulp_error(y[i], want[i]);
    worst = error > worst ? error : worst;
    outside |= static_cast<int>(!(y[i] >= f.low)) | static_cast<int>(!(y[i] <= f.high));
  }
  for (std::size_t i = 1; i < n; ++i) disorder |= y[i] * direction < y[i - 1] * direction;
  if (worst > found.ulp) {
    found.ulp = worst;
    for (std::size_t i = 0; i < n; ++i)
      if (ulp_error(y[i], want[i]) == worst) found.input = x[i];
  }
  if (outside) ++found.out_of_range, found.range_input = x[0];
  if (disorder) ++found.out_of_order, found.order_input = x[0];
}

// All floats of one sign, zero to infinity. The scalar target, which is slow, sees every 61st block.
void check_sign(const Function& f, bool negative, const std::vector<const kernels::GateMath<float>*>& tables,
                std::vector<Found>& found) {
  const std::int64_t blocks = kInfinityBits / kBlock + 1;
#pragma omp parallel
  {
    std::vector<float> x(kBlock + 1), y(kBlock + 1), first(kBlock + 1);
    std::vector<double> want(kBlock + 1);
    std::vector<Found> mine(tables.size());
#pragma omp for schedule(dynamic, 64)
    for (std::int64_t block = 0; block < blocks; ++block) {
      if (block % f.stride != 0) continue;
      const std::uint32_t begin = block == 0 ? 0 : static_cast<std::uint32_t>(block) * kBlock - 1;
      const std::uint32_t end = std::min(static_cast<std::uint32_t>(block + 1) * kBlock, kInfinityBits + 1);
      x.resize(end - begin);
      y.resize(x.size());
      want.resize(x.size());
      for (std::uint32_t i = 0; i < x.size(); ++i) {
        x[i] = std::bit_cast<float>(begin + i);
        if (negative) x[i] = -x[i];
        want[i] = f.reference(x[i]);
      }
      bool checked_fma = false;
      for (std::size_t t = 0; t < tables.size(); ++t) {
        if (std::string(tables[t]->target) == "scalar" && block % 61 != 0) continue;
        (tables[t]->*f.kernel)(x.data(), y.data(), x.size());
        // Targets with FMA have equal bits, so what holds for the first holds for the others.
        if (tables[t]->has_fma && checked_fma) {
          if (std::memcmp(first.data(), y.data(), y.size() * sizeof(float)) == 0) {
            mine[t] = mine[0];
            continue;
          }
          ADD_FAILURE() << f.name << ": other bits on " << tables[t]->target << " than on "
                        << tables[0]->target << " between " << x.front() << " and " << x.back();
        }
        check_block(f, x, want, y, mine[t]);
        if (tables[t]->has_fma && !checked_fma) {
          first = y;
          checked_fma = true;
        }
      }
    }
#pragma omp critical
    for (std::size_t t = 0; t < tables.size(); ++t) found[t].merge(mine[t]);
  }
}

void check_nan(const Function& f, const kernels::GateMath<float>& table) {
  std::vector<float> x(kBlock), y(kBlock);
  for (const std::uint32_t sign : {0u, 0x80000000u}) {
    for (std::uint32_t bits = kInfinityBits + 1; bits < 0x80000000u; bits += kBlock) {
      const std::uint32_t n = std::min(kBlock, 0x80000000u - bits);
      for (std::uint32_t i = 0; i < n; ++i) x[i] = std::bit_cast<float>((bits + i) | sign);
      (table.*f.kernel)(x.data(), y.data(), n);
      std::uint32_t numbers = 0;
      for (std::uint32_t i = 0; i < n; ++i) numbers += y[i] == y[i];
      ASSERT_EQ(numbers, 0u) << f.name << " on " << table.target << " makes numbers of NaN, block " << bits;
    }
  }
}

void run(const Function& f) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<const kernels::GateMath<float>*> tables;
  for_each_target([&](const std::string&) { tables.push_back(&kernels::gate_math<float>()); });
  std::vector<Found> found(tables.size());
  if (!f.negative_only) check_sign(f, false, tables, found);
  check_sign(f, true, tables, found);
  for (std::size_t t = 0; t < tables.size(); ++t) {
    const Found& result = found[t];
    std::printf("%-12s %-8s largest error %.4f ULP at %.9g (%a)\n", f.name, tables[t]->target, result.ulp,
                static_cast<double>(result.input), static_cast<double>(result.input));
    EXPECT_LE(result.ulp, tables[t]->has_fma ? f.bound_fma : f.bound) << f.name << " at " << result.input;
    EXPECT_EQ(result.out_of_range, 0u) << f.name << " after " << result.range_input;
    EXPECT_EQ(result.out_of_order, 0u) << f.name << " after " << result.order_input;
    if (std::string(tables[t]->target) != "scalar") check_nan(f, *tables[t]);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("%-12s %.1f s for %s\n", f.name, seconds.count(),
              f.stride == 1 ? "all 2^32 inputs" : "every 5th block of 16384 inputs");
}

using Table = kernels::GateMath<float>;

TEST(ExhaustiveFloat, Sigmoid) {
  run({"sigmoid", &Table::sigmoid, &sigmoid_reference, 1.0, 1.1, 0.0f, 1.0f, true, false, 1});
}
TEST(ExhaustiveFloat, Tanh) {
  run({"tanh", &Table::tanh, &tanh_reference, 1.0001, 1.1, -1.0f, 1.0f, true, false, 1});
}
TEST(ExhaustiveFloat, Exp) { run({"exp", &Table::exp, &exp_reference, 1.1, 1.1, 0.0f, 1.0f, true, true, 5}); }
TEST(ExhaustiveFloat, LogSigmoid) {
  run({"log_sigmoid", &Table::log_sigmoid, &log_sigmoid_reference, 2.0, 2.0, -kInfinity, 0.0f, false, false,
       5});
}
TEST(ExhaustiveFloat, Silu) {
  run({"silu", &Table::silu, &silu_reference, 2.0, 2.1, -0.3f, kInfinity, false, false, 5});
}

}  // namespace
}  // namespace sluice
