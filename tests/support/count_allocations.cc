// SPDX-License-Identifier: Apache-2.0
#include "support/count_allocations.h"

#include <atomic>
#include <cerrno>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLUICE_TEST_OWN_HEAP 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SLUICE_TEST_OWN_HEAP 0
#endif
#endif
#ifndef SLUICE_TEST_OWN_HEAP
#ifdef __GLIBC__
#define SLUICE_TEST_OWN_HEAP 1
#else
#define SLUICE_TEST_OWN_HEAP 0
#endif
#endif

namespace {

std::atomic<std::size_t> allocations{0};
std::atomic<std::size_t> frees{0};

}  // namespace

namespace sluice::test {

bool can_count_allocations() noexcept { return SLUICE_TEST_OWN_HEAP != 0; }
std::size_t allocation_count() noexcept { return allocations.load(); }
std::size_t free_count() noexcept { return frees.load(); }

}  // namespace sluice::test

#if SLUICE_TEST_OWN_HEAP

// The names under which glibc exports its own heap, for programs that replace malloc (malloc(3), "Replacing
// malloc").
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* p, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void __libc_free(void* p);

void* malloc(std::size_t size) {
  ++allocations;
  return __libc_malloc(size);
}

void* calloc(std::size_t count, std::size_t size) {
  ++allocations;
  return __libc_calloc(count, size);
}

void* realloc(void* p, std::size_t size) {
  ++allocations;
  return __libc_realloc(p, size);
}

void* memalign(std::size_t alignment, std::size_t size) {
  ++allocations;
  return __libc_memalign(alignment, size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) { return memalign(alignment, size); }

int posix_memalign(void** p, std::size_t alignment, std::size_t size) {
  void* const memory = memalign(alignment, size);
  if (memory == nullptr) return ENOMEM;
  *p = memory;
  return 0;
}

void free(void* p) {
  if (p != nullptr) ++frees;
  __libc_free(p);
}
}

#endif  // SLUICE_TEST_OWN_HEAP
