// SPDX-License-Identifier: Apache-2.0
#include "layers/cell_program.h"

#include "layers/cell_program_compiler.h"

namespace sluice {

template <class T>
CellProgram<T>::CellProgram(const CellProgramSource<T>& source) : reduced_(source.reduced) {
  Compiler(source, *this).compile();
}

template <class T>
void CellProgram<T>::reduce(const Reduction& reduction, T* const* const* rows,
                            std::size_t count) const noexcept {
  for (std::size_t r = 0; r < count; ++r) {
    const T* const from = rows[r][reduction.from.area] + reduction.from.offset;
    double value = reduction.op == CellOp::kSum ? row_sums_->sum(from, reduction.size)
                                                : row_sums_->mean(from, reduction.size);
    if (reduction.op == CellOp::kVariance) value = row_sums_->variance(from, reduction.size, value);
    rows[r][reduced_][reduction.to] = static_cast<T>(value);
  }
}

template <class T>
void CellProgram<T>::reduce(std::size_t stage, T* const* const* rows, std::size_t count) const noexcept {
  for (const Reduction& reduction : stages_[stage].reductions) reduce(reduction, rows, count);
}

template <class T>
void CellProgram<T>::run(std::size_t stage, T* const* const* rows, std::size_t count, UnitShare share,
                         bool is_downward, bool has_pre) const noexcept {
  reduce(stage, rows, count);
  for (const Part& part : stages_[stage].parts) {
    kernels_->run(part.stage, rows, count, share.of(part.stage.blocks, is_downward), has_pre);
  }
}

template <class T>
void CellProgram<T>::run_elementwise(std::size_t stage, T* const* const* rows,
                                     std::size_t count) const noexcept {
  reduce(stage, rows, count);
  for (const Part& part : stages_[stage].parts) {
    kernels::CellStage<T> without = part.stage;
    without.product_count = 0;
    kernels_->run(without, rows, count, {0, without.blocks, false}, false);
  }
}

template <class T>
double CellProgram<T>::input_share(std::uint16_t input, bool is_ahead) const noexcept {
  double of_input = 0, all = 0;
  for (const Stage& stage : stages_) {
    for (const Part& part : stage.parts) {
      for (const kernels::StageProduct<T>& product : part.products) {
        if (is_ahead && product.can_be_pre) continue;
        const auto multiply_adds =
            static_cast<double>(product.matrix.gates * product.matrix.blocks * product.matrix.input_size);
        all += multiply_adds;
        if (product.area == input) of_input += multiply_adds;
      }
    }
  }
  return all == 0 ? 0 : of_input / all;
}

template <class T>
std::size_t CellProgram<T>::activations() const noexcept {
  std::size_t sum = 0;
  for (const Stage& stage : stages_) {
    for (const Part& part : stage.parts) {
      for (const kernels::Instruction<T>& instruction : part.instructions) {
        using Op = kernels::VectorOp;
        const bool counts =
            instruction.op == Op::kSigmoid || instruction.op == Op::kTanh || instruction.op == Op::kExp;
        if (counts) sum += part.stage.units;
      }
    }
  }
  return sum;
}

template <class T>
void CellProgram<T>::input_part(const T* const* x, T** pre, std::size_t rows,
                                UnitShare share) const noexcept {
  for (const PackedWeights<T>* weights : input_) {
    const kernels::PackedMatrix<T>& matrix = weights->matrix;
    weights->kernels->input_part(matrix, x, pre, rows, share.of(matrix.blocks));
    const std::size_t size = matrix.blocks * matrix.gates * kernels_->lanes;
    for (std::size_t r = 0; r < rows; ++r) pre[r] += size;
  }
}

template class CellProgram<float>;
template class CellProgram<double>;

}  // namespace sluice
