// SPDX-License-Identifier: Apache-2.0
#include "sluice/parameters.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "core/threads.h"
#include "sluice/error.h"

namespace sluice {
namespace {

constexpr std::size_t kAlignmentBytes = 64;  // of Tensor's memory, and a cache line

// Elements that a thread zeroes at least; below about this many, starting it costs more.
constexpr std::size_t kGrainElements = std::size_t{1} << 16;

}  // namespace

template <class T>
Parameters<T>::Parameters(std::vector<ParameterInfo> infos)
    : infos_(std::move(infos)), is_frozen_(infos_.size(), false) {
  constexpr std::size_t kStep = kAlignmentBytes / sizeof(T);
  constexpr std::size_t kMost = std::numeric_limits<std::ptrdiff_t>::max() / sizeof(T);
  std::size_t end = 0;
  for (std::size_t i = 0; i < count(); ++i) {
    if (!index_.emplace(name(i), i).second) {
      throw Error("Parameters: there are two parameters named '" + name(i) + "'");
    }
    const std::size_t size = shape(i).size();
    if (size > kMost - kStep || end > kMost - kStep - size) {
      throw ShapeError("Parameters: '" + name(i) + "', " + shape(i).to_string() +
                       ", does not fit in the address space");
    }
    offsets_.push_back(end);
    end += (size + kStep - 1) / kStep * kStep;
  }
  values_ = Tensor<T>({end});
  grads_ = Tensor<T>({end});
}

template <class T>
std::size_t Parameters<T>::element_count() const noexcept {
  std::size_t total = 0;
  for (const ParameterInfo& info : infos_) total += info.shape.size();
  return total;
}

template <class T>
std::size_t Parameters<T>::index_of(std::string_view name) const {
  const auto it = index_.find(name);
  if (it != index_.end()) return it->second;
  constexpr std::size_t kListed = 8;
  std::string message =
      "no parameter named '" + std::string(name) + "'; there are " + std::to_string(count());
  for (std::size_t i = 0; i < std::min(count(), kListed); ++i) {
    message += (i == 0 ? ": '" : ", '") + infos_[i].name + "'";
  }
  throw Error(message + (count() > kListed ? ", ..." : ""));
}

template <class T>
void Parameters<T>::zero_grad(const RunOptions& options) noexcept {
  T* const grads = grads_.data();
  parallel_ranges(
      grads_.size(), kGrainElements, options.threads,
      [grads](std::size_t begin, std::size_t end) noexcept { std::fill(grads + begin, grads + end, T(0)); });
}

template <class T>
StateDict<T> Parameters<T>::state_dict() const {
  StateDict<T> weights;
  for (std::size_t i = 0; i < count(); ++i) weights.borrow(name(i), value(i), nullptr);
  return weights;
}

template <class T>
void Parameters<T>::load(const StateDict<T>& weights) {
  for (const ParameterInfo& info : infos_) weights.at(info.name, info.shape);
  for (std::size_t i = 0; i < count(); ++i) {
    if (shape(i).size() == 0) continue;
    const TensorView<const T> from = weights.at(name(i));
    const Tensor<T> copy = from.is_contiguous() ? Tensor<T>() : Tensor<T>(from);
    const T* const elements = copy.is_null() ? from.data() : copy.data();
    // Not copy_n: the dictionary may be our own.
    std::memmove(value(i).data(), elements, shape(i).size() * sizeof(T));
  }
}

template class Parameters<float>;
template class Parameters<double>;

}  // namespace sluice
