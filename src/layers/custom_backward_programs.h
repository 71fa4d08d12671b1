// SPDX-License-Identifier: Apache-2.0
// The way back through a step of a cell that its user stated, made ready to run with the values that its
// parameters have.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "layers/cell_form.h"
#include "layers/cell_program.h"
#include "layers/packed_linear.h"
#include "sluice/tensor.h"

namespace sluice {

/// The areas of a row at one step of the way back.
enum BackwardArea : std::uint16_t {
  kBackX,
  kBackH,  // of the step before
  kBackC,
  kBackHOut,  // of this step
  kBackCOut,
  kBackKept,
  kBackGradOutput,
  kBackCarry,     // gradients of the states as this step left them, all states one after the other
  kBackCarryOut,  // and as the step before did: the part that is made elementwise
  kBackLater,     // lists of the step after
  kBackList,      // and of this one
  kBackGradX,     // the part that is made elementwise
  kBackScratch,
  kBackReduced,
  kBackwardAreas,
};

template <class T>
struct CustomBackwardPrograms {
  /// `form`, which must outlive this, has a way back.
  CustomBackwardPrograms(const CellForm& form, std::span<const TensorView<const T>> parameters)
      : CustomBackwardPrograms(form, parameters, PackedCache<T>()) {}

  /// W^T times lists, added to a part of a state's gradient in kBackCarry.
  struct StateProduct {
    std::size_t state;
    CellProgram<T> program;
  };
  /// W^T times the lists [first_list, ..), added to elements [first, ..) of x's gradient.
  struct InputProduct {
    std::size_t first;
    std::size_t list_offset;
    PackedLinear<T> linear;
  };

  const CellForm* form;
  std::vector<std::size_t> carry_offsets;  ///< [state], and the size
  std::vector<std::size_t> list_offsets;   ///< [list], and the size; each is a multiple of the lanes
  std::vector<std::size_t> kept_offsets;   ///< [saved], and the size
  std::vector<StateProduct> state_products;
  std::vector<bool> is_fused{};  ///< [state]: the step itself adds its products
  CellProgram<T> step;
  std::vector<InputProduct> input_products;
  std::size_t sums = 0;  ///< elements of the gradients of matrices
  /// Of a row: what the thread that walks it needs.
  std::size_t scratch_size = 0, reduced_size = 0;

 private:
  CellPlace place(const CellNode& leaf) const;
  CellProgramSource<T> source(std::span<const CellNode> nodes,
                              std::span<const TensorView<const T>> parameters, PackedCache<T>& cache) const;
  // The products for the first states have the step's matrices.
  CustomBackwardPrograms(const CellForm& form, std::span<const TensorView<const T>> parameters,
                         PackedCache<T>&& cache);
  CellProgram<T> make_step(std::span<const TensorView<const T>> parameters, PackedCache<T>& cache);
  void add_state_products(std::span<const TensorView<const T>> parameters, PackedCache<T>& cache);
  PackedWeights<T> pack_input(std::span<const CellBackward::TransposedProduct> products, std::size_t begin,
                              std::size_t end, std::span<const TensorView<const T>> parameters) const;
  void add_input_products(std::span<const TensorView<const T>> parameters);
};

extern template struct CustomBackwardPrograms<float>;
extern template struct CustomBackwardPrograms<double>;

}  // namespace sluice
