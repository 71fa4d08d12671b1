// SPDX-License-Identifier: Apache-2.0
// Named tensors, as PyTorch's `state_dict()`: what a module is made from.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/tensor.h"

namespace sluice {

/// Parameters by PyTorch's names ("rnn.weight_ih_l0"). Each is owned here or borrowed from a mapped file.
/// Modules copy what they need into their packed form, so a StateDict may go once the modules are made.
template <class T>
class StateDict {
 public:
  /// Adds or replaces a tensor that the dictionary then owns.
  void set(std::string name, Tensor<T> value);
  /// Adds or replaces a tensor that lies elsewhere; `owner` is kept for as long as this entry lives.
  void borrow(std::string name, TensorView<const T> value, std::shared_ptr<const void> owner);

  /// From now on a tensor that is asked for with its shape and is not there is made, and kept: how modules
  /// are begun that no file has. Asking is then no longer safe from several threads.
  void make_missing(std::function<Tensor<T>(const std::string&, const Shape&)> make) {
    make_ = std::move(make);
  }
  bool makes_missing() const noexcept { return make_ != nullptr; }

  bool contains(std::string_view name) const { return entries_.find(name) != entries_.end(); }
  /// The tensor of that name. Throws Error that names it and lists names that there are.
  TensorView<const T> at(std::string_view name) const;
  /// The tensor of that name, of that shape; throws Error if missing, ShapeError if of another shape.
  TensorView<const T> at(std::string_view name, const Shape& expected) const;
  /// All names, sorted.
  std::vector<std::string> names() const;
  std::size_t size() const noexcept { return entries_.size(); }

 private:
  struct Entry {
    TensorView<const T> view;
    std::shared_ptr<const void> owner;
  };
  mutable std::map<std::string, Entry, std::less<>> entries_;  // mutable for make_
  std::function<Tensor<T>(const std::string&, const Shape&)> make_;
};

extern template class StateDict<float>;
extern template class StateDict<double>;

}  // namespace sluice
