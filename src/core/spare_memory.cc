// SPDX-License-Identifier: Apache-2.0
#include "core/spare_memory.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace sluice {
namespace {

thread_local SpareMemory* active_memory = nullptr;

}  // namespace

SpareMemory::Scope::Scope(SpareMemory& memory) noexcept : before_(active_memory) { active_memory = &memory; }
SpareMemory::Scope::~Scope() { active_memory = before_; }

SpareMemory* SpareMemory::active() noexcept { return active_memory; }

SpareMemory::~SpareMemory() {
  for (const Block& block : blocks_) std::free(block.memory);
}

void SpareMemory::begin_step() noexcept {
  ++step_;
  const auto is_idle = [&](const Block& block) { return block.step + 1 < step_; };
  for (const Block& block : blocks_) {
    if (is_idle(block)) std::free(block.memory);
  }
  blocks_.erase(std::remove_if(blocks_.begin(), blocks_.end(), is_idle), blocks_.end());
}

void* SpareMemory::take(std::size_t bytes) noexcept {
  // The smallest that holds it, and none that would be half empty.
  auto best = blocks_.end();
  for (auto block = blocks_.begin(); block != blocks_.end(); ++block) {
    if (block->bytes < bytes || block->bytes / 2 > bytes) continue;
    if (best == blocks_.end() || block->bytes < best->bytes) best = block;
  }
  if (best == blocks_.end()) return nullptr;
  void* const memory = best->memory;
  *best = blocks_.back();
  blocks_.pop_back();
  return memory;
}

bool SpareMemory::give(void* memory, std::size_t bytes) noexcept {
  try {
    blocks_.push_back({memory, bytes, step_});
  } catch (const std::bad_alloc&) {
    return false;
  }
  return true;
}

std::size_t SpareMemory::bytes() const noexcept {
  std::size_t sum = 0;
  for (const Block& block : blocks_) sum += block.bytes;
  return sum;
}

}  // namespace sluice
