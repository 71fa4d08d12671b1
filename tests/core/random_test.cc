// SPDX-License-Identifier: Apache-2.0
#include "sluice/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <vector>

#include "support/expect_same_bits.h"

namespace sluice {
namespace {

using Counter = std::array<std::uint32_t, 4>;
using Key = std::array<std::uint32_t, 2>;

// Random123's known answers for philox4x32 with 10 rounds (its file kat_vectors; Salmon et al. 2011).
TEST(Philox, GivesTheKnownAnswers) {
  EXPECT_EQ(philox4x32(Counter{0, 0, 0, 0}, Key{0, 0}),
            (Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr std::uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(philox4x32(Counter{kOnes, kOnes, kOnes, kOnes}, Key{kOnes, kOnes}),
            (Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32(Counter{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, Key{0xa4093822, 0x299f31d0}),
            (Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomStream, CountsBlocksBelowAndStreamsAbove) {
  const RandomStream zero(0, 0);
  EXPECT_EQ(zero.bits(0), 0xe169c58d6627e8d5u);
  EXPECT_EQ(zero.bits(1), 0x9b00dbd8bc57ac4cu);
  const Counter second = philox4x32(Counter{1, 0, 0, 0}, Key{0, 0});
  EXPECT_EQ(zero.bits(2), std::uint64_t{second[1]} << 32 | second[0]);
  const std::uint64_t seed = 0x0123456789abcdef, stream = 0xfedcba9876543210, index = 0x0000123456789abd;
  const Counter far =
      philox4x32(Counter{0x2b3c4d5e, 0x0000091a, 0x76543210, 0xfedcba98}, Key{0x89abcdef, 0x01234567});
  EXPECT_EQ(RandomStream(seed, stream).bits(index), std::uint64_t{far[3]} << 32 | far[2]);
}

TEST(RandomStream, UniformNumbersAreTheUpperBits) {
  const RandomStream zero(0, 0);
  EXPECT_EQ(zero.uniform(0), static_cast<double>(0xe169c58d6627e8d5u >> 11) / 9007199254740992.0);
  EXPECT_EQ(zero.uniform_float(2), static_cast<float>(0xbc57acu) / 16777216.0F);
}

TEST(RandomStream, FillsWithTheNumbersOneByOne) {
  const RandomStream random(7, 11);
  for (const std::uint64_t first : {0, 1, 2, 3, 5, 1000}) {
    for (const std::size_t n : {0, 1, 2, 3, 4, 5, 15, 16, 17, 101}) {
      std::vector<float> floats(n), want_floats(n);
      std::vector<double> doubles(n), want_doubles(n), normals(n), want_normals(n);
      for (std::size_t i = 0; i < n; ++i) {
        want_floats[i] = random.uniform_float(first + i);
        want_doubles[i] = random.uniform(first + i);
        want_normals[i] = random.normal(first + i);
      }
      random.fill_uniform(std::span(floats), first);
      random.fill_uniform(std::span(doubles), first);
      random.fill_normal(normals, first);
      expect_same_bits(floats, want_floats);
      expect_same_bits(doubles, want_doubles);
      expect_same_bits(normals, want_normals);
    }
  }
}

struct Moments {
  double mean = 0, variance = 0, fourth = 0, largest = 0;
};

Moments moments_of(const std::vector<double>& values) {
  Moments m;
  const auto n = static_cast<double>(values.size());
  for (const double v : values) m.mean += v / n;
  for (const double v : values) {
    const double square = (v - m.mean) * (v - m.mean);
    m.variance += square / n;
    m.fourth += square * square / n;
    m.largest = std::max(m.largest, std::abs(v));
  }
  return m;
}

constexpr std::size_t kMany = 1000000;

// Tolerances: five standard deviations of the estimate of a million numbers.
TEST(RandomStream, UniformNumbersHaveTheirMoments) {
  std::vector<double> values(kMany);
  RandomStream(3, 1).fill_uniform(std::span(values));
  const Moments m = moments_of(values);
  EXPECT_NEAR(m.mean, 0.5, 5 * std::sqrt(1.0 / 12 / kMany));
  EXPECT_NEAR(m.variance, 1.0 / 12, 5 * std::sqrt((1.0 / 80 - 1.0 / 144) / kMany));
  EXPECT_LT(m.largest, 1);
  EXPECT_GE(*std::min_element(values.begin(), values.end()), 0);
  std::vector<float> floats(kMany);
  RandomStream(3, 1).fill_uniform(std::span(floats));
  const Moments f = moments_of(std::vector<double>(floats.begin(), floats.end()));
  EXPECT_NEAR(f.mean, 0.5, 5 * std::sqrt(1.0 / 12 / kMany));
  EXPECT_LT(f.largest, 1);
}

TEST(RandomStream, NormalNumbersHaveTheirMoments) {
  std::vector<double> values(kMany);
  RandomStream(3, 2).fill_normal(values);
  const Moments m = moments_of(values);
  EXPECT_NEAR(m.mean, 0, 5 * std::sqrt(1.0 / kMany));
  EXPECT_NEAR(m.variance, 1, 5 * std::sqrt(2.0 / kMany));
  EXPECT_NEAR(m.fourth, 3, 5 * std::sqrt(96.0 / kMany));  // E z^8 - 3^2 = 105 - 9
  EXPECT_GT(m.largest, 4);
  // The two of a pair do not go together.
  double product = 0;
  for (std::size_t i = 0; i < kMany; i += 2) product += values[i] * values[i + 1] / (kMany / 2.0);
  EXPECT_NEAR(product, 0, 5 * std::sqrt(2.0 / kMany));
}

TEST(RandomStream, StreamsAndSeedsDoNotGoTogether) {
  std::vector<double> a(kMany), b(kMany);
  RandomStream(3, 2).fill_uniform(std::span(a));
  for (const RandomStream& other : {RandomStream(3, 3), RandomStream(4, 2), RandomStream(3, 2 + (1ull << 32)),
                                    RandomStream(3 + (1ull << 32), 2)}) {
    other.fill_uniform(std::span(b));
    double covariance = 0;
    for (std::size_t i = 0; i < kMany; ++i) covariance += (a[i] - 0.5) * (b[i] - 0.5) / kMany;
    EXPECT_NEAR(covariance, 0, 5 * (1.0 / 12) / std::sqrt(kMany));
  }
}

TEST(RandomStream, BelowIsInRangeAndEven) {
  const RandomStream random(1, 1);
  std::array<double, 7> counts{};
  constexpr std::size_t kDraws = 70000;
  for (std::size_t i = 0; i < kDraws; ++i) counts.at(random.below(7, i)) += 1;
  // Chi-squared of 6 degrees of freedom: above 33 once in 1e5.
  double chi_squared = 0;
  for (const double count : counts) chi_squared += (count - 10000) * (count - 10000) / 10000;
  EXPECT_LT(chi_squared, 33);
  EXPECT_EQ(random.below(1, 5), 0u);
  // floor(n * bits / 2^64), for which the product's 128 bits are needed.
  const std::uint64_t half = std::uint64_t{1} << 63;
  EXPECT_EQ(random.below(half, 9), random.bits(9) >> 1);
  EXPECT_EQ(random.below(half + (half >> 1), 9),
            (random.bits(9) >> 1) + (random.bits(9) >> 2) +
                (((random.bits(9) & 1) * 2 + (random.bits(9) & 3)) >> 2));
}

TEST(RandomPermutation, HasEachOnce) {
  for (const std::size_t n : {0, 1, 2, 15, 16, 17, 1000}) {
    std::vector<std::size_t> order = random_permutation(n, RandomStream(5, n));
    std::sort(order.begin(), order.end());
    for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(order[i], i);
    EXPECT_EQ(order.size(), n);
  }
}

TEST(RandomPermutation, IsEveryOrderAsOften) {
  std::map<std::vector<std::size_t>, double> counts;
  constexpr std::size_t kDraws = 24000;
  for (std::size_t i = 0; i < kDraws; ++i) counts[random_permutation(4, RandomStream(2, i))] += 1;
  ASSERT_EQ(counts.size(), 24u);
  // Chi-squared of 23 degrees of freedom: above 70 about once in 1e6.
  double chi_squared = 0;
  for (const auto& [order, count] : counts) chi_squared += (count - 1000) * (count - 1000) / 1000;
  EXPECT_LT(chi_squared, 70);
}

TEST(RandomPermutation, DependsOnSeedAndStreamAlone) {
  const auto order = random_permutation(50, RandomStream(1, 2));
  EXPECT_EQ(random_permutation(50, RandomStream(1, 2)), order);
  EXPECT_NE(random_permutation(50, RandomStream(1, 3)), order);
  EXPECT_NE(random_permutation(50, RandomStream(2, 2)), order);
}

}  // namespace
}  // namespace sluice
