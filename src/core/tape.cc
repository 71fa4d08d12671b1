// SPDX-License-Identifier: Apache-2.0
#include "sluice/tape.h"

#include "core/spare_memory.h"

namespace sluice {

Tape::Tape() = default;
Tape::~Tape() = default;
Tape::Tape(Tape&&) noexcept = default;
Tape& Tape::operator=(Tape&&) noexcept = default;

std::size_t Tape::spare_bytes() const noexcept { return spare_ == nullptr ? 0 : spare_->bytes(); }

struct Tape::Step::Scope {
  SpareMemory::Scope scope;
};

Tape::Step::Step(Tape& tape) {
  if (tape.spare_ == nullptr) tape.spare_ = std::make_unique<SpareMemory>();
  if (SpareMemory::active() == tape.spare_.get()) return;  // within another
  if (tape.size() == 0) tape.spare_->begin_step();
  scope_.reset(new Scope{SpareMemory::Scope(*tape.spare_)});
}
Tape::Step::~Step() = default;

}  // namespace sluice
