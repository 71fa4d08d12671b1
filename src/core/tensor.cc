// SPDX-License-Identifier: Apache-2.0
#include "sluice/tensor.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "sluice/error.h"

#include "core/spare_memory.h"

#ifdef __linux__
#include <malloc.h>
#include <sys/mman.h>
#endif

namespace sluice {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kHugeBytes = 2 * kHugePage;  // from here on arrays begin on such a page

// Large arrays lie on huge pages where the system has them: large weights are swept at every step, and of
// small pages more than the processor keeps track of. Only pages that the array fills, so that it holds no
// more memory than it must.
void* allocate(std::size_t bytes) {
  const bool is_huge = bytes >= kHugeBytes;
  SpareMemory* const spare = SpareMemory::active();
  if (is_huge && spare != nullptr) {
    if (void* const memory = spare->take(bytes)) return memory;
  }
  const std::size_t alignment = is_huge ? kHugePage : kAlignment;
  void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
#ifdef __linux__
  // Advice: whether it is taken changes nothing but speed.
  if (is_huge) static_cast<void>(madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE));
#endif
  return memory;
}

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
void Tensor<T>::Free::operator()(void* p) const noexcept {
#ifdef __linux__  // elsewhere the size of a block is not known, and nothing is spared
  SpareMemory* const spare = SpareMemory::active();
  if (spare != nullptr && p != nullptr && reinterpret_cast<std::uintptr_t>(p) % kHugePage == 0) {
    const std::size_t bytes = malloc_usable_size(p);
    if (bytes >= kHugeBytes && spare->give(p, bytes)) return;
  }
#endif
  std::free(p);
}

template <class T>
Tensor<T>::Tensor(const Shape& shape) : Tensor(uninitialized(shape)) {
  std::memset(data_.get(), 0, std::max<std::size_t>(shape.size(), 1) * sizeof(T));
}

template <class T>
Tensor<T> Tensor<T>::uninitialized(const Shape& shape) {
  constexpr std::size_t kLimit =
      static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / sizeof(T);
  const std::size_t n = shape.size();
  if (n > kLimit) throw ShapeError("Tensor: " + shape.to_string() + " does not fit in the address space");
  // One element at least, so that an empty tensor is told from a null one.
  const std::size_t bytes = std::max<std::size_t>(n, 1) * sizeof(T);
  Tensor tensor;
  tensor.shape_ = shape;
  tensor.data_.reset(static_cast<T*>(allocate(bytes)));
  return tensor;
}

template <class T>
Tensor<T>::Tensor(const Shape& shape, std::span<const T> values) : Tensor(uninitialized(shape)) {
  if (values.size() != shape.size()) {
    throw ShapeError("Tensor: " + std::to_string(values.size()) + " values for shape " + shape.to_string());
  }
  std::copy(values.begin(), values.end(), data_.get());
}

template <class T>
Tensor<T>::Tensor(TensorView<const T> view) {
  if (view.is_null()) return;
  *this = uninitialized(view.shape());
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
