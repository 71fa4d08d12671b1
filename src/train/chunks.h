// SPDX-License-Identifier: Apache-2.0
// The elements of all parameters that train, cut into pieces that threads share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "core/threads.h"
#include "sluice/parameters.h"

namespace sluice {

/// Elements [begin, end) of one parameter.
struct Chunk {
  std::size_t parameter;
  std::size_t begin, end;
};

/// Elements of a chunk at most. The cuts depend on the shapes alone, so that a sum by chunks has one order.
inline constexpr std::size_t kChunkElements = std::size_t{1} << 14;

/// Elements a thread must have before a second one is woken.
inline constexpr std::size_t kElementsPerTrainingThread = std::size_t{1} << 15;

/// Of all parameters that are not frozen, in order.
template <class T>
std::vector<Chunk> chunks_that_train(const Parameters<T>& parameters) {
  std::vector<Chunk> chunks;
  chunks.reserve(parameters.count() + parameters.values().size() / kChunkElements);
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    if (parameters.is_frozen(i)) continue;
    const std::size_t size = parameters.shape(i).size();
    for (std::size_t begin = 0; begin < size; begin += kChunkElements) {
      chunks.push_back({i, begin, std::min(begin + kChunkElements, size)});
    }
  }
  return chunks;
}

/// Calls body(index, chunk) for each, shared among threads. `body` must not throw.
template <class Body>
void for_each_chunk(const std::vector<Chunk>& chunks, int threads, const Body& body) {
  std::size_t elements = 0;
  for (const Chunk& chunk : chunks) elements += chunk.end - chunk.begin;
  // Chunks may be small, so it is elements that say how many threads are worth waking.
  const std::size_t most_ranges = std::max<std::size_t>(elements / kElementsPerTrainingThread, 1);
  const std::size_t grain = (chunks.size() + most_ranges - 1) / most_ranges;
  parallel_ranges(chunks.size(), grain, threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) body(i, chunks[i]);
  });
}

}  // namespace sluice
