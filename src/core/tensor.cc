// SPDX-License-Identifier: Apache-2.0
#include "sluice/tensor.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "sluice/error.h"

namespace sluice {
namespace {

constexpr std::align_val_t kAlignment{64};

// Calls visit(offset) for each element of a strided array, in row-major order.
template <class Visit>
void for_each_offset(std::span<const std::size_t> dims, std::span<const std::ptrdiff_t> strides,
                     std::ptrdiff_t offset, const Visit& visit) {
  if (dims.empty()) {
    visit(offset);
    return;
  }
  for (std::size_t i = 0; i < dims[0]; ++i) {
    for_each_offset(dims.subspan(1), strides.subspan(1), offset, visit);
    offset += strides[0];
  }
}

}  // namespace

Shape::Shape(std::span<const std::size_t> dims) : rank_(dims.size()) {
  if (dims.size() > kMaxRank) {
    throw ShapeError("Shape: " + std::to_string(dims.size()) + " dimensions, at most " +
                     std::to_string(kMaxRank) + " are supported");
  }
  std::copy(dims.begin(), dims.end(), dims_.begin());
  // Also with a zero among the dimensions, so that strides never overflow.
  constexpr std::size_t kLimit = std::numeric_limits<std::size_t>::max() / 2;
  std::size_t product = 1;
  for (const std::size_t d : dims) {
    if (d != 0 && product > kLimit / d) {
      throw ShapeError("Shape: the number of elements of " + to_string() + " does not fit in 63 bits");
    }
    if (d != 0) product *= d;
  }
}

std::size_t Shape::size() const noexcept {
  std::size_t product = 1;
  for (const std::size_t d : dims()) product *= d;
  return product;
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (std::size_t i = 0; i < rank_; ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(dims_[i]);
  }
  return text + "]";
}

template <class T>
TensorView<T> TensorView<T>::transpose(std::size_t a, std::size_t b) const noexcept {
  std::array<std::size_t, kMaxRank> dims{};
  std::array<std::ptrdiff_t, kMaxRank> strides = strides_;
  std::copy_n(shape_.dims().begin(), rank(), dims.begin());
  std::swap(dims[a], dims[b]);
  std::swap(strides[a], strides[b]);
  return TensorView(data_, Shape(std::span(dims.data(), rank())), std::span(strides.data(), rank()));
}

template <class T>
TensorView<T> TensorView<T>::select(std::size_t axis, std::size_t index) const noexcept {
  std::array<std::size_t, kMaxRank> dims{};
  std::array<std::ptrdiff_t, kMaxRank> strides{};
  std::size_t n = 0;
  for (std::size_t i = 0; i < rank(); ++i) {
    if (i == axis) continue;
    dims[n] = dim(i);
    strides[n++] = stride(i);
  }
  return TensorView(data_ + static_cast<std::ptrdiff_t>(index) * stride(axis),
                    Shape(std::span(dims.data(), n)), std::span(strides.data(), n));
}

template <class T>
TensorView<T> TensorView<T>::narrow(std::size_t axis, std::size_t start, std::size_t length) const noexcept {
  std::array<std::size_t, kMaxRank> dims{};
  std::copy_n(shape_.dims().begin(), rank(), dims.begin());
  dims[axis] = length;
  return TensorView(data_ + static_cast<std::ptrdiff_t>(start) * stride(axis),
                    Shape(std::span(dims.data(), rank())), strides());
}

template <class T>
void Tensor<T>::Free::operator()(T* p) const noexcept {
  ::operator delete[](p, kAlignment);
}

template <class T>
Tensor<T>::Tensor(const Shape& shape) : shape_(shape) {
  constexpr std::size_t kLimit =
      static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / sizeof(T);
  const std::size_t n = shape.size();
  if (n > kLimit) throw ShapeError("Tensor: " + shape.to_string() + " does not fit in the address space");
  // One element at least, so that an empty tensor is told from a null one.
  const std::size_t bytes = std::max<std::size_t>(n, 1) * sizeof(T);
  data_.reset(static_cast<T*>(::operator new[](bytes, kAlignment)));
  std::memset(data_.get(), 0, bytes);
}

template <class T>
Tensor<T>::Tensor(const Shape& shape, std::span<const T> values) : Tensor(shape) {
  if (values.size() != shape.size()) {
    throw ShapeError("Tensor: " + std::to_string(values.size()) + " values for shape " + shape.to_string());
  }
  std::copy(values.begin(), values.end(), data_.get());
}

template <class T>
Tensor<T>::Tensor(TensorView<const T> view) {
  if (view.is_null()) return;
  *this = Tensor(view.shape());
  T* to = data_.get();
  if (view.is_contiguous()) {
    std::copy_n(view.data(), view.size(), to);
    return;
  }
  for_each_offset(view.shape().dims(), view.strides(), 0,
                  [&](std::ptrdiff_t offset) { *to++ = view.data()[offset]; });
}

template <class T>
Tensor<T> Tensor<T>::reshaped(const Shape& shape) && {
  if (shape.size() != size()) {
    throw ShapeError("Tensor::reshaped: " + shape_.to_string() + " has " + std::to_string(size()) +
                     " elements, the new shape " + shape.to_string() + " has " +
                     std::to_string(shape.size()));
  }
  shape_ = shape;
  return std::move(*this);
}

template class TensorView<float>;
template class TensorView<const float>;
template class TensorView<double>;
template class TensorView<const double>;
template class TensorView<std::int64_t>;
template class TensorView<const std::int64_t>;
template class Tensor<float>;
template class Tensor<double>;
template class Tensor<std::int64_t>;

}  // namespace sluice
