// SPDX-License-Identifier: Apache-2.0
// The products of a tile with a packed matrix (packed_gemm.h), as the built-in cells' steps and the cells of
// one's own have them, and what both need around them.
//
// No arrays of scalable vectors: on SVE machines the NEON target runs.

#if defined(SLUICE_KERNELS_PACKED_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_KERNELS_PACKED_PRODUCTS_INL_H_
#undef SLUICE_KERNELS_PACKED_PRODUCTS_INL_H_
#else
#define SLUICE_KERNELS_PACKED_PRODUCTS_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "kernels/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t kMaxVectors = 4;  // of a row of the tile
// Registers decide the tile: rows x gates of accumulators, a vector of weights a gate, and one broadcast fit
// in 32 registers with 6 x 4 or 8 x 3 accumulators, in 16 with half as many (weights then come from memory
// operands).
#if HWY_TARGET == HWY_AVX3 || HWY_ARCH_ARM_A64
constexpr std::size_t kAccumulators = 24;
#else
constexpr std::size_t kAccumulators = 12;
#endif
constexpr std::size_t kMaxTileRows = kAccumulators / 3;
constexpr std::size_t TileRows(std::size_t gates) { return std::min(kAccumulators / gates, kMaxTileRows); }

// Weights that no core's own cache holds: while one block is in work, the next is fetched.
constexpr std::size_t kFarBytes = std::size_t{12} << 20;
constexpr std::size_t kMaxFetch = 2;  // cache lines fetched a k

// The operands of a tile: up to kMaxTileRows entries, which are rows of one block, or blocks of one row.
template <typename T>
struct Products {
  // One of the two products: columns of W times x, or of U times h.
  struct Part {
    const T* weights = nullptr;  // [depth][gate][lane] of the (first) block
    std::size_t depth = 0;
    const T* const* rows = nullptr;
    const T* ahead = nullptr;  // what to fetch beside
  };
  const T* start[kMaxTileRows];  // an entry's [gate][lane] before the first product
  T* out[kMaxTileRows];          // and after the second
  Part input, state;
  // GRU: what the last gate starts with before the second product. That sum then goes to one vector more, and
  // the first product's last gate stays where it is.
  const T* state_start[kMaxTileRows];
  bool keeps_last_apart = false;
};

// out[entry][gate] = start + sum over k of rows[row][k] * weights[k][gate], k in order, part after part. Each
// k also fetches kFetch cache lines from `ahead`, which moves on as the weights do.
template <std::size_t kRows, std::size_t kBlocks, std::size_t kGates, std::size_t kFetch, typename T>
HWY_NOINLINE void Accumulate(const Products<T>& p) {
  static_assert(kRows == 1 || kBlocks == 1);
  constexpr std::size_t kEntries = kRows * kBlocks;
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const std::size_t lanes = hn::Lanes(d);
  V acc[kEntries][kGates];
#pragma GCC unroll 8
  for (std::size_t e = 0; e < kEntries; ++e) {
#pragma GCC unroll 4
    for (std::size_t g = 0; g < kGates; ++g) acc[e][g] = hn::LoadU(d, p.start[e] + g * lanes);
  }
  std::size_t last = kGates - 1;
  for (const auto* part : {&p.input, &p.state}) {
    const std::size_t depth = part->depth;
    const T* HWY_RESTRICT w = part->weights;
    const T* ahead = part->ahead;
    const std::size_t block_stride = depth * kGates * lanes;
    const T* HWY_RESTRICT in[kRows];
    if (part == &p.state && p.keeps_last_apart) {
#pragma GCC unroll 8
      for (std::size_t e = 0; e < kEntries; ++e) {
        hn::StoreU(acc[e][kGates - 1], d, p.out[e] + last * lanes);
        acc[e][kGates - 1] = hn::LoadU(d, p.state_start[e]);
      }
      ++last;
    }
    if (depth == 0) continue;
#pragma GCC unroll 8
    for (std::size_t r = 0; r < kRows; ++r) in[r] = part->rows[r];
    for (std::size_t k = 0; k < depth; ++k) {
      if constexpr (kFetch > 0) {
#pragma GCC unroll 2
        for (std::size_t i = 0; i < kFetch; ++i) hwy::Prefetch(ahead + i * lanes);
        ahead += kGates * lanes;
      }
#pragma GCC unroll 2
      for (std::size_t b = 0; b < kBlocks; ++b) {
        V weights[kGates];
#pragma GCC unroll 4
        for (std::size_t g = 0; g < kGates; ++g) weights[g] = hn::Load(d, w + b * block_stride + g * lanes);
#pragma GCC unroll 8
        for (std::size_t r = 0; r < kRows; ++r) {
          const V value = hn::Set(d, in[r][k]);
#pragma GCC unroll 4
          for (std::size_t g = 0; g < kGates; ++g) {
            acc[r + b][g] = hn::MulAdd(value, weights[g], acc[r + b][g]);
          }
        }
      }
      w += kGates * lanes;
    }
  }
#pragma GCC unroll 8
  for (std::size_t e = 0; e < kEntries; ++e) {
#pragma GCC unroll 4
    for (std::size_t g = 0; g < kGates; ++g) {
      hn::StoreU(acc[e][g], d, p.out[e] + (g + 1 == kGates ? last : g) * lanes);
    }
  }
}

template <typename T>
using AccumulateFunction = void (*)(const Products<T>&);

template <typename T>
struct AccumulateFunctions {
  AccumulateFunction<T> rows[kMaxTileRows][kMaxFetch + 1];  // [rows - 1][cache lines fetched a k]
  AccumulateFunction<T> two_blocks;
};
template <typename T, std::size_t kGates, std::size_t... kRows>
constexpr AccumulateFunctions<T> MakeAccumulateFunctions(std::index_sequence<kRows...>) {
  return {{{&Accumulate<kRows + 1, 1, kGates, 0, T>, &Accumulate<kRows + 1, 1, kGates, 1, T>,
            &Accumulate<kRows + 1, 1, kGates, 2, T>}...},
          &Accumulate<1, 2, kGates, 0, T>};
}
// [gates - 1]
template <typename T, std::size_t... kGates>
constexpr std::array<AccumulateFunctions<T>, kMaxVectors> AllAccumulateFunctions(
    std::index_sequence<kGates...>) {
  return {MakeAccumulateFunctions<T, kGates + 1>(std::make_index_sequence<TileRows(kGates + 1)>())...};
}
template <typename T>
constexpr auto kAccumulate = AllAccumulateFunctions<T>(std::make_index_sequence<kMaxVectors>());

// Fetches the cache lines of p[first, first + n), of nothing if p is null.
template <typename T>
void FetchRange(const T* p, std::size_t first, std::size_t n) {
  constexpr std::size_t kLine = 64 / sizeof(T);
  if (p == nullptr) return;
  for (std::size_t i = first; i < first + n; i += kLine) hwy::Prefetch(p + i);
}

// The last block's vectors may hold less than a vector of units: these move at most `n` of them.
template <class D, typename T>
hn::Vec<D> LoadUnits(D d, const T* p, std::size_t n) {
  return HWY_LIKELY(n >= hn::Lanes(d)) ? hn::LoadU(d, p) : LoadPart(d, p, n);
}
template <class D, typename T>
void StoreUnits(D d, hn::Vec<D> v, T* p, std::size_t n) {
  if (HWY_LIKELY(n >= hn::Lanes(d))) {
    hn::StoreU(v, d, p);
  } else {
    StorePart(v, d, p, n);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels
HWY_AFTER_NAMESPACE();

#endif  // SLUICE_KERNELS_PACKED_PRODUCTS_INL_H_
