// SPDX-License-Identifier: Apache-2.0
// What recorded runs keep for their way back.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "sluice/error.h"

namespace sluice {

class SpareMemory;  // in src/core

/// A pile of what the modules of a recorded run keep, owned by the caller: each module puts what its backward
/// pass needs, and the way back takes it from the top. Belongs to one thread at a time.
class Tape {
 public:
  struct Entry {
    virtual ~Entry() = default;
    virtual std::size_t bytes() const noexcept = 0;
  };

  Tape();
  ~Tape();
  Tape(Tape&&) noexcept;
  Tape& operator=(Tape&&) noexcept;

  void put(std::unique_ptr<Entry> entry) { entries_.push_back(std::move(entry)); }
  /// Takes the top. Throws Error if it is not an E: some other module ran last.
  template <class E>
  std::unique_ptr<E> take() {
    if (entries_.empty() || dynamic_cast<E*>(entries_.back().get()) == nullptr) {
      throw Error("Tape: the run recorded last is not one of this module");
    }
    std::unique_ptr<E> top(static_cast<E*>(entries_.back().release()));
    entries_.pop_back();
    return top;
  }
  /// Entries that were not taken yet; each run of a module puts one or more.
  std::size_t size() const noexcept { return entries_.size(); }
  /// Memory that they hold.
  std::size_t bytes() const noexcept {
    std::size_t sum = 0;
    for (const auto& entry : entries_) sum += entry->bytes();
    return sum;
  }
  void clear() noexcept { entries_.clear(); }
  /// Takes off what is above the lowest `size` entries.
  void shrink(std::size_t size) noexcept {
    while (entries_.size() > size) entries_.pop_back();
  }

  /// Memory of runs that went back, kept for the next ones; part of no entry.
  std::size_t spare_bytes() const noexcept;

  /// While it lives, what a recorded run or a way back takes in large pieces comes from what the tape has
  /// spare, and returns there. For modules; the tape must stay where it is meanwhile.
  class Step {
   public:
    explicit Step(Tape& tape);
    ~Step();
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

   private:
    struct Scope;
    std::unique_ptr<Scope> scope_;
  };

 private:
  std::vector<std::unique_ptr<Entry>> entries_;
  std::unique_ptr<SpareMemory> spare_;
};

}  // namespace sluice
