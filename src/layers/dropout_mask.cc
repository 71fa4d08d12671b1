// SPDX-License-Identifier: Apache-2.0
#include "layers/dropout_mask.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>

#include "core/threads.h"
#include "sluice/error.h"

namespace sluice {
namespace {

constexpr std::size_t kBlocks = 32;  // of the generator, side by side: then its rounds become vector code
constexpr std::size_t kChunk = 4 * kBlocks;
constexpr std::size_t kChunksPerThread = 256;  // about 40 us, several times what a team costs

// The words of blocks first, first + 1, ... in order: philox4x32 of each, in loops over all of them.
void fill_words(const RandomStream& random, std::uint64_t first, std::array<std::uint32_t, kChunk>& words) {
  std::array<std::array<std::uint32_t, kBlocks>, 4> c;
  for (std::size_t j = 0; j < kBlocks; ++j) {
    c[0][j] = static_cast<std::uint32_t>(first + j);
    c[1][j] = static_cast<std::uint32_t>((first + j) >> 32);
    c[2][j] = static_cast<std::uint32_t>(random.stream());
    c[3][j] = static_cast<std::uint32_t>(random.stream() >> 32);
  }
  auto key0 = static_cast<std::uint32_t>(random.seed());
  auto key1 = static_cast<std::uint32_t>(random.seed() >> 32);
  for (int round = 0; round < 10; ++round) {
    for (std::size_t j = 0; j < kBlocks; ++j) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c[0][j], p1 = std::uint64_t{0xCD9E8D57} * c[2][j];
      c[0][j] = static_cast<std::uint32_t>(p1 >> 32) ^ c[1][j] ^ key0;
      c[2][j] = static_cast<std::uint32_t>(p0 >> 32) ^ c[3][j] ^ key1;
      c[1][j] = static_cast<std::uint32_t>(p1);
      c[3][j] = static_cast<std::uint32_t>(p0);
    }
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  for (std::size_t j = 0; j < kBlocks; ++j) {
    for (std::size_t word = 0; word < 4; ++word) words[4 * j + word] = c[word][j];
  }
}

}  // namespace

template <class T>
void DropoutMask::apply(Tensor<T>& values, int threads) const {
  const auto bound = static_cast<std::uint64_t>(std::llround(p_ * 0x1p32));
  if (bound == 0) return;
  const auto last_dropped = static_cast<std::uint32_t>(bound - 1);
  const T scale = static_cast<T>(1 / (1 - p_));  // infinite where all is dropped, and then never used
  const std::size_t period = is_variational_ ? values.dim(1) * values.dim(2) : values.size();
  if (values.size() == 0) return;
  parallel_ranges((period + kChunk - 1) / kChunk, kChunksPerThread, threads,
                  [&](std::size_t begin, std::size_t end) {
                    std::array<std::uint32_t, kChunk> words;
                    std::array<T, kChunk> factors;
                    for (std::size_t chunk = begin; chunk < end; ++chunk) {
                      fill_words(random_, chunk * kBlocks, words);
                      for (std::size_t i = 0; i < kChunk; ++i) {
                        factors[i] = words[i] > last_dropped ? scale : T{0};
                      }
                      const std::size_t count = std::min(kChunk, period - chunk * kChunk);
                      for (std::size_t at = chunk * kChunk; at < values.size(); at += period) {
                        T* const to = values.data() + at;
                        for (std::size_t i = 0; i < count; ++i) to[i] *= factors[i];
                      }
                    }
                  });
}

void check_drop_probability(std::string_view type, const char* name, double p) {
  if (p >= 0 && p <= 1) return;
  throw Error(std::string(type) + ": " + name + " is " + std::to_string(p) + ", expected 0 to 1");
}

RandomSource& random_source(std::string_view type, const RecordOptions& options) {
  if (options.random != nullptr) return *options.random;
  throw Error(
      std::string(type) +
      "::record: it drops out or zones out, but RecordOptions::random is null; expected a RandomSource");
}

template void DropoutMask::apply(Tensor<float>&, int) const;
template void DropoutMask::apply(Tensor<double>&, int) const;

}  // namespace sluice
