// SPDX-License-Identifier: Apache-2.0
// Large blocks that one step of training leaves for the next. Fresh from the system they would be cleared
// page by page, which at large shapes takes a quarter of a step.
#pragma once

#include <cstddef>
#include <vector>

namespace sluice {

/// Belongs to one thread at a time. It holds no more than was in use at once in the two steps before: what a
/// whole step has no use for goes back to the system.
class SpareMemory {
 public:
  SpareMemory() = default;
  ~SpareMemory();
  SpareMemory(const SpareMemory&) = delete;
  SpareMemory& operator=(const SpareMemory&) = delete;

  /// While it lives, this thread's large arrays come from `memory` where there is a block that fits, and go
  /// there when they end. Scopes nest.
  class Scope {
   public:
    explicit Scope(SpareMemory& memory) noexcept;
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    SpareMemory* before_;
  };

  /// That of this thread's innermost scope, or null.
  static SpareMemory* active() noexcept;

  /// A new step begins.
  void begin_step() noexcept;
  /// A block of at least `bytes`, or null.
  void* take(std::size_t bytes) noexcept;
  /// Takes a block of `bytes` that std::free would take. False if there is no room: the caller keeps it.
  bool give(void* memory, std::size_t bytes) noexcept;
  std::size_t bytes() const noexcept;

 private:
  struct Block {
    void* memory;
    std::size_t bytes;
    std::size_t step;  // in which it was used last
  };
  std::vector<Block> blocks_;
  std::size_t step_ = 0;
};

}  // namespace sluice
