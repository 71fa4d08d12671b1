// SPDX-License-Identifier: Apache-2.0
#include "sluice/random.h"

#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

namespace sluice {
namespace {

using Block = std::array<std::uint32_t, 4>;

std::uint64_t half(const Block& block, std::uint64_t index) noexcept {
  const std::size_t at = 2 * (index % 2);
  return std::uint64_t{block[at + 1]} << 32 | block[at];
}

double unit_double(std::uint64_t bits) noexcept { return static_cast<double>(bits >> 11) * 0x1p-53; }
float unit_float(std::uint32_t bits) noexcept { return static_cast<float>(bits >> 8) * 0x1p-24F; }

std::array<double, 2> two_normals(const Block& block) noexcept {
  // 1 - u is in (0, 1], where the logarithm is finite.
  const double radius = std::sqrt(-2 * std::log(1 - unit_double(half(block, 0))));
  const double angle = 2 * std::numbers::pi * unit_double(half(block, 1));
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

// The upper 64 bits of the product, from 32-bit halves.
std::uint64_t high_product(std::uint64_t a, std::uint64_t b) noexcept {
  const std::uint64_t a0 = a & 0xFFFFFFFF, a1 = a >> 32;
  const std::uint64_t b0 = b & 0xFFFFFFFF, b1 = b >> 32;
  const std::uint64_t middle = a1 * b0 + (a0 * b0 >> 32);
  const std::uint64_t other = a0 * b1 + (middle & 0xFFFFFFFF);
  return a1 * b1 + (middle >> 32) + (other >> 32);
}

// to[i] = number first + i, where `numbers_of` makes kNumbers of a block.
template <std::size_t kNumbers, class T, class MakeBlock, class NumbersOf>
void fill(std::span<T> to, std::uint64_t first, const MakeBlock& make_block, const NumbersOf& numbers_of) {
  for (std::size_t i = 0; i < to.size();) {
    const std::array<T, kNumbers> numbers = numbers_of(make_block((first + i) / kNumbers));
    for (std::size_t j = (first + i) % kNumbers; j < kNumbers && i < to.size(); ++j) to[i++] = numbers[j];
  }
}

}  // namespace

Block RandomStream::block(std::uint64_t index) const noexcept {
  return philox4x32({static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32),
                     static_cast<std::uint32_t>(stream_), static_cast<std::uint32_t>(stream_ >> 32)},
                    {static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32)});
}

std::uint64_t RandomStream::bits(std::uint64_t index) const noexcept { return half(block(index / 2), index); }

double RandomStream::uniform(std::uint64_t index) const noexcept { return unit_double(bits(index)); }

float RandomStream::uniform_float(std::uint64_t index) const noexcept {
  return unit_float(block(index / 4)[index % 4]);
}

double RandomStream::normal(std::uint64_t index) const noexcept {
  return two_normals(block(index / 2))[index % 2];
}

std::uint64_t RandomStream::below(std::uint64_t n, std::uint64_t index) const noexcept {
  return high_product(n, bits(index));
}

void RandomStream::fill_uniform(std::span<float> to, std::uint64_t first) const noexcept {
  fill<4>(
      to, first, [this](std::uint64_t i) { return block(i); },
      [](const Block& b) {
        return std::array{unit_float(b[0]), unit_float(b[1]), unit_float(b[2]), unit_float(b[3])};
      });
}

void RandomStream::fill_uniform(std::span<double> to, std::uint64_t first) const noexcept {
  fill<2>(
      to, first, [this](std::uint64_t i) { return block(i); },
      [](const Block& b) {
        return std::array{unit_double(half(b, 0)), unit_double(half(b, 1))};
      });
}

void RandomStream::fill_normal(std::span<double> to, std::uint64_t first) const noexcept {
  fill<2>(
      to, first, [this](std::uint64_t i) { return block(i); }, two_normals);
}

std::vector<std::size_t> random_permutation(std::size_t n, const RandomStream& random) {
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (std::size_t i = n; i > 1; --i) std::swap(order[i - 1], order[random.below(i, i - 1)]);
  return order;
}

}  // namespace sluice
