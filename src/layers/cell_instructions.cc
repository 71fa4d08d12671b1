// SPDX-License-Identifier: Apache-2.0
#include "layers/cell_instructions.h"

#include <algorithm>
#include <string>

#include "sluice/error.h"

namespace sluice {
namespace {

std::size_t argument_count(kernels::VectorOp op) noexcept {
  using kernels::VectorOp;
  switch (op) {
    case VectorOp::kLoad:
    case VectorOp::kBroadcast:
    case VectorOp::kParameter:
    case VectorOp::kConstant:
      return 0;
    case VectorOp::kStore:
    case VectorOp::kNeg:
    case VectorOp::kAbs:
    case VectorOp::kExp:
    case VectorOp::kLog:
    case VectorOp::kSqrt:
    case VectorOp::kSigmoid:
    case VectorOp::kTanh:
    case VectorOp::kRelu:
      return 1;
    case VectorOp::kSelect:
    case VectorOp::kMulAdd:
      return 3;
    default:
      return 2;
  }
}

}  // namespace

kernels::VectorOp vector_op(CellOp op) {
  using kernels::VectorOp;
  switch (op) {
    case CellOp::kAdd:
      return VectorOp::kAdd;
    case CellOp::kSub:
      return VectorOp::kSub;
    case CellOp::kMul:
      return VectorOp::kMul;
    case CellOp::kDiv:
      return VectorOp::kDiv;
    case CellOp::kNeg:
      return VectorOp::kNeg;
    case CellOp::kMax:
      return VectorOp::kMax;
    case CellOp::kMin:
      return VectorOp::kMin;
    case CellOp::kAbs:
      return VectorOp::kAbs;
    case CellOp::kExp:
      return VectorOp::kExp;
    case CellOp::kLog:
      return VectorOp::kLog;
    case CellOp::kSqrt:
      return VectorOp::kSqrt;
    case CellOp::kSigmoid:
      return VectorOp::kSigmoid;
    case CellOp::kTanh:
      return VectorOp::kTanh;
    case CellOp::kRelu:
      return VectorOp::kRelu;
    case CellOp::kLess:
      return VectorOp::kLess;
    case CellOp::kLessEqual:
      return VectorOp::kLessEqual;
    case CellOp::kSelect:
      return VectorOp::kSelect;
    case CellOp::kMulAdd:
      return VectorOp::kMulAdd;
    default:
      throw Error("a cell's program: an operation that is not elementwise");
  }
}

template <class T>
std::size_t give_slots(std::vector<kernels::Instruction<T>>& instructions, std::size_t values,
                       std::size_t sums) {
  constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  constexpr std::uint16_t kUnused = 0xffff;
  std::vector<std::size_t> last_use(values, kNone);
  const auto each_argument = [&](kernels::Instruction<T>& instruction, const auto& visit) {
    const std::size_t count = argument_count(instruction.op);
    if (count > 0) visit(instruction.a);
    if (count > 1) visit(instruction.b);
    if (count > 2) visit(instruction.c);
  };
  for (std::size_t i = 0; i < instructions.size(); ++i) {
    each_argument(instructions[i], [&](std::uint16_t& value) { last_use[value] = i; });
  }
  std::vector<std::uint16_t> slot_of(values, kUnused);
  std::vector<bool> is_taken;
  for (std::size_t s = 0; s < sums; ++s) {
    slot_of[s] = static_cast<std::uint16_t>(s);
    is_taken.push_back(last_use[s] != kNone);
  }
  for (std::size_t i = 0; i < instructions.size(); ++i) {
    kernels::Instruction<T>& instruction = instructions[i];
    each_argument(instruction, [&](std::uint16_t& value) {
      const std::uint16_t slot = slot_of[value];
      if (last_use[value] == i) is_taken[slot] = false;
      value = slot;
    });
    if (instruction.op == kernels::VectorOp::kStore) continue;
    auto free = std::find(is_taken.begin(), is_taken.end(), false);
    if (free == is_taken.end()) free = is_taken.insert(free, false);
    const std::uint16_t made = instruction.to;
    instruction.to = static_cast<std::uint16_t>(free - is_taken.begin());
    slot_of[made] = instruction.to;
    *free = last_use[made] != kNone;
  }
  if (is_taken.size() > kernels::kMaxSlots) {
    throw Error("a cell needs " + std::to_string(is_taken.size()) +
                " values of a unit at once, more than the " + std::to_string(kernels::kMaxSlots) +
                " that a stage holds");
  }
  return is_taken.size();
}

template std::size_t give_slots(std::vector<kernels::Instruction<float>>&, std::size_t, std::size_t);
template std::size_t give_slots(std::vector<kernels::Instruction<double>>&, std::size_t, std::size_t);

}  // namespace sluice
