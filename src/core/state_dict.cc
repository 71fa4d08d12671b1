// SPDX-License-Identifier: Apache-2.0
#include "sluice/state_dict.h"

#include <utility>

#include "sluice/error.h"

namespace sluice {

template <class T>
void StateDict<T>::set(std::string name, Tensor<T> value) {
  auto owned = std::make_shared<const Tensor<T>>(std::move(value));
  const TensorView<const T> view = owned->view();
  entries_.insert_or_assign(std::move(name), Entry{view, std::move(owned)});
}

template <class T>
void StateDict<T>::borrow(std::string name, TensorView<const T> value, std::shared_ptr<const void> owner) {
  entries_.insert_or_assign(std::move(name), Entry{value, std::move(owner)});
}

template <class T>
TensorView<const T> StateDict<T>::at(std::string_view name) const {
  const auto it = entries_.find(name);
  if (it != entries_.end()) return it->second.view;
  std::string message = "no tensor named '" + std::string(name) + "'; there are " + std::to_string(size());
  std::size_t listed = 0;
  for (const auto& [other, entry] : entries_) {
    if (listed == 8) {
      message += ", ...";
      break;
    }
    message += (listed++ == 0 ? ": '" : ", '") + other + "'";
  }
  throw Error(message);
}

template <class T>
TensorView<const T> StateDict<T>::at(std::string_view name, const Shape& expected) const {
  if (make_ && !contains(name)) {
    auto made = std::make_shared<const Tensor<T>>(make_(std::string(name), expected));
    const TensorView<const T> view = made->view();
    entries_.insert_or_assign(std::string(name), Entry{view, std::move(made)});
  }
  const TensorView<const T> view = at(name);
  if (!(view.shape() == expected)) {
    throw ShapeError("tensor '" + std::string(name) + "' is " + view.shape().to_string() + ", expected " +
                     expected.to_string());
  }
  return view;
}

template <class T>
std::vector<std::string> StateDict<T>::names() const {
  std::vector<std::string> names;
  names.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

template class StateDict<float>;
template class StateDict<double>;

}  // namespace sluice
