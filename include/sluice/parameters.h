// SPDX-License-Identifier: Apache-2.0
// A model's parameters and their gradients, for training: what a backward pass adds to and an optimizer
// moves.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/module.h"
#include "sluice/state_dict.h"
#include "sluice/tensor.h"

namespace sluice {

/// The values in one contiguous buffer and the gradients in another, both laid out alike: each tensor begins
/// at a multiple of 64 bytes, and what lies between two tensors is zero and stays so. A sum over processes or
/// a norm is thus one pass over a span. Views live as long as the object that a move leaves the memory with.
template <class T = float>
class Parameters {
 public:
  Parameters() = default;
  /// All values and gradients zero, in the order of the list (`Module::parameters()`). Throws Error for a
  /// name that is there twice, ShapeError where the whole does not fit in the address space.
  explicit Parameters(std::vector<ParameterInfo> infos);
  Parameters(Parameters&&) noexcept = default;
  Parameters& operator=(Parameters&&) noexcept = default;

  std::size_t count() const noexcept { return infos_.size(); }
  /// Elements of all tensors together, without what lies between them.
  std::size_t element_count() const noexcept;
  const std::string& name(std::size_t i) const noexcept { return infos_[i].name; }
  const Shape& shape(std::size_t i) const noexcept { return infos_[i].shape; }
  const std::vector<ParameterInfo>& infos() const noexcept { return infos_; }
  /// Place of that name in the list. Throws Error that names it and lists names that there are.
  std::size_t index_of(std::string_view name) const;

  /// By place (not checked) or by name (throws as index_of).
  TensorView<T> value(std::size_t i) noexcept { return {values_.data() + offsets_[i], shape(i)}; }
  TensorView<const T> value(std::size_t i) const noexcept { return {values_.data() + offsets_[i], shape(i)}; }
  TensorView<T> value(std::string_view name) { return value(index_of(name)); }
  TensorView<const T> value(std::string_view name) const { return value(index_of(name)); }
  TensorView<T> grad(std::size_t i) noexcept { return {grads_.data() + offsets_[i], shape(i)}; }
  TensorView<const T> grad(std::size_t i) const noexcept { return {grads_.data() + offsets_[i], shape(i)}; }
  TensorView<T> grad(std::string_view name) { return grad(index_of(name)); }
  TensorView<const T> grad(std::string_view name) const { return grad(index_of(name)); }

  /// The whole buffers; tensor i begins at element offset(i) of each.
  std::span<T> values() noexcept { return values_.span(); }
  std::span<const T> values() const noexcept { return values_.span(); }
  std::span<T> grads() noexcept { return grads_.span(); }
  std::span<const T> grads() const noexcept { return grads_.span(); }
  std::size_t offset(std::size_t i) const noexcept { return offsets_[i]; }

  /// Gradients accumulate until this is called.
  void zero_grad(const RunOptions& options = {}) noexcept;

  /// No gradient of a frozen parameter is wanted, and neither clipping nor an optimizer looks at it. Throw as
  /// index_of.
  void freeze(std::string_view name) { is_frozen_[index_of(name)] = true; }
  void unfreeze(std::string_view name) { is_frozen_[index_of(name)] = false; }
  bool is_frozen(std::size_t i) const noexcept { return is_frozen_[i]; }

  /// The values by name, borrowed: this object must outlive the dictionary.
  StateDict<T> state_dict() const;
  /// Copies the values in. Throws Error for a name that is missing, ShapeError for another shape; names that
  /// are not ours do not matter.
  void load(const StateDict<T>& weights);

 private:
  std::vector<ParameterInfo> infos_;
  std::vector<std::size_t> offsets_;
  std::map<std::string, std::size_t, std::less<>> index_;
  std::vector<bool> is_frozen_;
  Tensor<T> values_;
  Tensor<T> grads_;
};

extern template class Parameters<float>;
extern template class Parameters<double>;

}  // namespace sluice
