// SPDX-License-Identifier: Apache-2.0
// 10^8 doubles through sigmoid and tanh (and a tenth of them through the others) on every instruction set,
// against references in long double, which on x86 has 11 bits more. Half of the inputs are uniform over the
// numbers themselves (every exponent alike), half over the line where the functions bend.
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
#include "reference/gate_math.h"
#include "support/expect_ulp.h"
#include "support/for_each_target.h"
#include "support/random.h"

namespace sluice {
namespace {

constexpr std::int64_t kBlock = 1 << 13;

using Table = kernels::GateMath<double>;

struct Function {
  const char* name;
  Table::Map Table::*kernel;
  long double (*reference)(long double);
  double bound;  // in ULP
  double low, high;
  bool monotone;
  std::int64_t inputs;
};

struct Found {
  double ulp = 0, input = 0;
  bool is_outside = false, is_disordered = false;
};

void fill(std::vector<double>& x, std::uint64_t seed) {
  Random random(seed);
  for (std::size_t i = 0; i < x.size(); i += 2) {
    // 2^-80 .. 2^10, either sign: below that sigmoid is 1/2 and tanh x is x.
    const std::uint64_t exponent = 1023 - 80 + random.below(90);
    const std::uint64_t bits = random.bits();
    x[i] = std::bit_cast<double>((bits & 0x800FFFFFFFFFFFFF) | exponent << 52);
    x[i + 1] = random.uniform(-760, 40) * (i % 8 == 0 ? 1 : 1.0 / 32);
  }
}

void check_block(const Function& f, const Table& table, const std::vector<double>& x,
                 const std::vector<long double>& want, std::vector<double>& y, Found& found) {
  const std::size_t n = x.size();
  (table.*f.kernel)(x.data(), y.data(), n);
  for (std::size_t i = 0; i < n; ++i) {
    const double error = ulp_distance(y[i], want[i]);
    if (!(error <= found.ulp)) found.ulp = error, found.input = x[i];
    if (!(y[i] >= f.low && y[i] <= f.high)) found.is_outside = true;
  }
  if (!f.monotone) return;
  std::vector<double> next(n), y_next(n);
  for (std::size_t i = 0; i < n; ++i) next[i] = std::bit_cast<double>(std::bit_cast<std::uint64_t>(x[i]) + 1);
  (table.*f.kernel)(next.data(), y_next.data(), n);
  for (std::size_t i = 0; i < n; ++i)
    if (x[i] > 0 ? y_next[i] < y[i] : y_next[i] > y[i]) found.is_disordered = true;
}

void run(const Function& f) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<const Table*> tables;
  for_each_target([&](const std::string&) { tables.push_back(&kernels::gate_math<double>()); });
  std::vector<Found> found(tables.size());
#pragma omp parallel
  {
    std::vector<double> x(kBlock), y(kBlock), first(kBlock);
    std::vector<long double> want(kBlock);
    std::vector<Found> mine(tables.size());
#pragma omp for schedule(dynamic, 16)
    for (std::int64_t block = 0; block < f.inputs / kBlock + 1; ++block) {
      fill(x, static_cast<std::uint64_t>(block));
      for (std::size_t i = 0; i < x.size(); ++i) want[i] = f.reference(x[i]);
      for (std::size_t t = 0; t < tables.size(); ++t) {
        if (std::string(tables[t]->target) == "scalar" && block % 61 != 0) continue;
        if (t > 0 && tables[t]->has_fma) {
          (tables[t]->*f.kernel)(x.data(), y.data(), x.size());
          if (std::memcmp(y.data(), first.data(), y.size() * sizeof(double)) == 0) {
            mine[t] = mine[0];
            continue;
          }
          ADD_FAILURE() << f.name << ": other bits on " << tables[t]->target << ", block " << block;
        }
        check_block(f, *tables[t], x, want, y, mine[t]);
        if (t == 0) first = y;
      }
    }
#pragma omp critical
    for (std::size_t t = 0; t < tables.size(); ++t) {
      if (mine[t].ulp > found[t].ulp) found[t].ulp = mine[t].ulp, found[t].input = mine[t].input;
      found[t].is_outside |= mine[t].is_outside;
      found[t].is_disordered |= mine[t].is_disordered;
    }
  }
  for (std::size_t t = 0; t < tables.size(); ++t) {
    std::printf("%-12s %-8s largest error %.4f ULP at %.17g (double)\n", f.name, tables[t]->target,
                found[t].ulp, found[t].input);
    EXPECT_LE(found[t].ulp, f.bound) << f.name << " at " << found[t].input;
    EXPECT_FALSE(found[t].is_outside) << f.name;
    EXPECT_FALSE(found[t].is_disordered) << f.name;
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("%-12s %.1f s for %.0e doubles\n", f.name, seconds.count(), static_cast<double>(f.inputs));
}

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(ExhaustiveDouble, Sigmoid) {
  run({"sigmoid", &Table::sigmoid, &reference::sigmoid, 1.5, 0, 1, true, 100'000'000});
}
TEST(ExhaustiveDouble, Tanh) { run({"tanh", &Table::tanh, &reference::tanh, 1.5, -1, 1, true, 100'000'000}); }
TEST(ExhaustiveDouble, LogSigmoid) {
  run({"log_sigmoid", &Table::log_sigmoid, &reference::log_sigmoid, 2, -kInfinity, 0, false, 10'000'000});
}
TEST(ExhaustiveDouble, Silu) {
  run({"silu", &Table::silu, &reference::silu, 3, -0.3, kInfinity, false, 10'000'000});
}

}  // namespace
}  // namespace sluice
