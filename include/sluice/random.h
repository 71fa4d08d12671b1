// SPDX-License-Identifier: Apache-2.0
// Random numbers by address: the number of a (seed, stream, index) is a function of these three, so that it
// does not depend on who asks, in which order, or on how many threads.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sluice {

/// The function behind it: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
constexpr std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                                  std::array<std::uint32_t, 2> key) noexcept {
  constexpr int kRounds = 10;
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t p0 = kMultiplier0 * counter[0], p1 = kMultiplier1 * counter[2];
    counter = {static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(p1),
               static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key = {key[0] + kWeyl0, key[1] + kWeyl1};
  }
  return counter;
}

/// One of 2^64 sequences of a seed. A plain value; streams of one seed are independent, so give each use its
/// own. Within a stream the three kinds of numbers below are made of the same bits: a use takes one kind.
class RandomStream {
 public:
  constexpr RandomStream(std::uint64_t seed, std::uint64_t stream) noexcept : seed_(seed), stream_(stream) {}

  /// 64 bits; index i is half (i mod 2) of the generator's block floor(i / 2).
  std::uint64_t bits(std::uint64_t index) const noexcept;
  /// Multiples of 2^-53 in [0, 1), from bits(index).
  double uniform(std::uint64_t index) const noexcept;
  /// Multiples of 2^-24 in [0, 1), from 32 bits: four a block.
  float uniform_float(std::uint64_t index) const noexcept;
  /// Mean 0, variance 1 (Box and Muller 1958, in double): 2j and 2j + 1 are made of uniform(2j) and
  /// uniform(2j + 1). log, sin and cos are the C library's, so another one may give other last bits.
  double normal(std::uint64_t index) const noexcept;
  /// A whole number in [0, n), n > 0: floor(n bits(index) / 2^64). No number is off its share by more than
  /// 2^-64.
  std::uint64_t below(std::uint64_t n, std::uint64_t index) const noexcept;

  /// Numbers first, first + 1, ...: the same as one by one, faster. On the calling thread.
  void fill_uniform(std::span<float> to, std::uint64_t first = 0) const noexcept;
  void fill_uniform(std::span<double> to, std::uint64_t first = 0) const noexcept;
  void fill_normal(std::span<double> to, std::uint64_t first = 0) const noexcept;

  std::uint64_t seed() const noexcept { return seed_; }
  std::uint64_t stream() const noexcept { return stream_; }

 private:
  std::array<std::uint32_t, 4> block(std::uint64_t index) const noexcept;

  std::uint64_t seed_;
  std::uint64_t stream_;
};

/// What training draws from as it goes: the streams of a seed, one after the other. Two numbers, so that a
/// checkpoint can hold it, and a training that goes on with them draws what it would have drawn. Belongs to
/// one thread at a time.
struct RandomSource {
  std::uint64_t seed = 0;
  std::uint64_t next = 0;  ///< streams that were taken so far

  /// The first of `count` streams, which follow each other by number. They are numbered from kStreams, apart
  /// from those of init and from small numbers.
  constexpr RandomStream take(std::uint64_t count = 1) noexcept {
    const RandomStream first(seed, kStreams + next);
    next += count;
    return first;
  }
  static constexpr std::uint64_t kStreams = std::uint64_t{1} << 62;
};

/// 0 .. n-1 in an order in which each is as likely as any (Fisher and Yates; Durstenfeld 1964). Takes the
/// numbers [0, n) of the stream.
std::vector<std::size_t> random_permutation(std::size_t n, const RandomStream& random);

}  // namespace sluice
