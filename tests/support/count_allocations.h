// SPDX-License-Identifier: Apache-2.0
// Counts what the program takes from and gives back to the heap, on all threads. count_allocations.cc stands
// in for malloc and its kin, so that operator new of every form and C code count alike.
#pragma once

#include <cstddef>

namespace sluice::test {

/// False where the heap is not glibc's own (a sanitizer's, another C library's): counts stay zero there.
bool can_count_allocations() noexcept;

/// Calls since the program began that took memory: malloc, calloc, realloc, aligned_alloc, posix_memalign,
/// memalign.
std::size_t allocation_count() noexcept;

/// Calls since the program began that gave memory back.
std::size_t free_count() noexcept;

/// Calls of either kind while `body` runs.
template <class Body>
std::size_t heap_calls_during(const Body& body) {
  const std::size_t before = allocation_count() + free_count();
  body();
  return allocation_count() + free_count() - before;
}

}  // namespace sluice::test
