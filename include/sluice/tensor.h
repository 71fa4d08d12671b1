// SPDX-License-Identifier: Apache-2.0
// Arrays: `Shape`, `TensorView<T>` that borrows memory, `Tensor<T>` that owns it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <type_traits>

namespace sluice {

inline constexpr std::size_t kMaxRank = 8;

/// The sizes of an array's dimensions, outermost first. A plain value; takes no memory of its own.
class Shape {
 public:
  Shape() = default;
  /// Throws ShapeError beyond kMaxRank dimensions, or if the number of elements does not fit in 63 bits.
  Shape(std::initializer_list<std::size_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const std::size_t> dims);

  std::size_t rank() const noexcept { return rank_; }
  std::size_t operator[](std::size_t i) const noexcept { return dims_[i]; }
  std::span<const std::size_t> dims() const noexcept { return {dims_.data(), rank_}; }
  /// Number of elements: the product of the dimensions, 1 for rank 0.
  std::size_t size() const noexcept;
  /// "[10, 4, 64]"
  std::string to_string() const;

  friend bool operator==(const Shape& a, const Shape& b) noexcept = default;

 private:
  std::size_t rank_ = 0;
  std::array<std::size_t, kMaxRank> dims_{};
};

/// Borrows an array of any shape with any strides (in elements). A default-made view is null: "not given".
/// Copying copies the reference, not the elements. `TensorView<const T>` reads only.
template <class T>
class TensorView {
 public:
  TensorView() = default;
  /// A contiguous row-major array.
  TensorView(T* data, const Shape& shape) noexcept : data_(data), shape_(shape) {
    std::ptrdiff_t stride = 1;
    for (std::size_t i = shape.rank(); i-- > 0;) {
      strides_[i] = stride;
      stride *= static_cast<std::ptrdiff_t>(shape[i]);
    }
  }
  /// `strides` has one entry a dimension.
  TensorView(T* data, const Shape& shape, std::span<const std::ptrdiff_t> strides) noexcept
      : data_(data), shape_(shape) {
    for (std::size_t i = 0; i < shape.rank(); ++i) strides_[i] = strides[i];
  }
  /// A view of mutable elements is also a view of const ones.
  template <class U>
  requires(std::is_same_v<const U, T>) TensorView(const TensorView<U>& other)
  noexcept  // NOLINT(google-explicit-constructor)
      : TensorView(other.data(), other.shape(), other.strides()) {}

  T* data() const noexcept { return data_; }
  const Shape& shape() const noexcept { return shape_; }
  std::span<const std::ptrdiff_t> strides() const noexcept { return {strides_.data(), shape_.rank()}; }
  std::size_t rank() const noexcept { return shape_.rank(); }
  std::size_t dim(std::size_t i) const noexcept { return shape_[i]; }
  std::ptrdiff_t stride(std::size_t i) const noexcept { return strides_[i]; }
  std::size_t size() const noexcept { return shape_.size(); }
  bool is_null() const noexcept { return data_ == nullptr && shape_.rank() == 0; }
  explicit operator bool() const noexcept { return !is_null(); }

  /// Row-major without gaps.
  bool is_contiguous() const noexcept {
    std::ptrdiff_t expected = 1;
    for (std::size_t i = rank(); i-- > 0;) {
      if (dim(i) != 1 && strides_[i] != expected) return size() == 0;
      expected *= static_cast<std::ptrdiff_t>(dim(i));
    }
    return true;
  }

  /// Element at the given indices, one a dimension; not checked.
  template <class... Index>
  T& operator()(Index... index) const noexcept {
    std::ptrdiff_t offset = 0;
    std::size_t i = 0;
    ((offset += static_cast<std::ptrdiff_t>(index) * strides_[i++]), ...);
    return data_[offset];  // NOLINT(clang-analyzer-core.uninitialized.UndefReturn)
  }

  /// The view with dimensions a and b exchanged; no element moves.
  TensorView transpose(std::size_t a, std::size_t b) const noexcept;
  /// The view at `index` of dimension `axis`, which goes away.
  TensorView select(std::size_t axis, std::size_t index) const noexcept;
  /// `length` entries of dimension `axis` from `start`.
  TensorView narrow(std::size_t axis, std::size_t start, std::size_t length) const noexcept;

 private:
  T* data_ = nullptr;
  Shape shape_;
  std::array<std::ptrdiff_t, kMaxRank> strides_{};
};

/// Owns a contiguous row-major array, aligned to 64 bytes. Moves are cheap, copies copy.
template <class T>
class Tensor {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Tensor() = default;
  /// All elements zero. Throws ShapeError where the bytes do not fit in the address space.
  explicit Tensor(const Shape& shape);
  /// Elements are indeterminate: for memory that is written before it is read. Throws as above.
  static Tensor uninitialized(const Shape& shape);
  /// A copy of `values`; throws ShapeError unless there are shape.size() of them.
  Tensor(const Shape& shape, std::span<const T> values);
  Tensor(const Shape& shape, std::initializer_list<T> values)
      : Tensor(shape, std::span<const T>(values.begin(), values.size())) {}
  /// A contiguous copy of any view.
  explicit Tensor(TensorView<const T> view);
  Tensor(const Tensor& other) : Tensor(other.view()) {}
  Tensor(Tensor&& other) noexcept : data_(std::move(other.data_)), shape_(other.shape_) {
    other.shape_ = Shape();
  }
  Tensor& operator=(Tensor other) noexcept {
    data_.swap(other.data_);
    std::swap(shape_, other.shape_);
    return *this;
  }
  ~Tensor() = default;

  T* data() noexcept { return data_.get(); }
  const T* data() const noexcept { return data_.get(); }
  const Shape& shape() const noexcept { return shape_; }
  std::size_t rank() const noexcept { return shape_.rank(); }
  std::size_t dim(std::size_t i) const noexcept { return shape_[i]; }
  /// Number of elements; 0 for a default-made tensor, which holds no memory.
  std::size_t size() const noexcept { return data_ ? shape_.size() : 0; }
  bool is_null() const noexcept { return data_ == nullptr; }

  std::span<T> span() noexcept { return {data(), size()}; }
  std::span<const T> span() const noexcept { return {data(), size()}; }
  TensorView<T> view() noexcept { return data_ ? TensorView<T>(data(), shape_) : TensorView<T>(); }
  TensorView<const T> view() const noexcept {
    return data_ ? TensorView<const T>(data(), shape_) : TensorView<const T>();
  }
  operator TensorView<T>() noexcept { return view(); }              // NOLINT(google-explicit-constructor)
  operator TensorView<const T>() const noexcept { return view(); }  // NOLINT(google-explicit-constructor)

  template <class... Index>
  T& operator()(Index... index) noexcept {
    return view()(index...);
  }
  template <class... Index>
  const T& operator()(Index... index) const noexcept {
    return view()(index...);
  }

  /// The same elements under another shape; throws ShapeError unless the sizes agree.
  Tensor reshaped(const Shape& shape) &&;

 private:
  struct Free {
    void operator()(void* p) const noexcept;
  };
  std::unique_ptr<T[], Free> data_;
  Shape shape_;
};

extern template class TensorView<float>;
extern template class TensorView<const float>;
extern template class TensorView<double>;
extern template class TensorView<const double>;
extern template class TensorView<std::int64_t>;
extern template class TensorView<const std::int64_t>;
extern template class Tensor<float>;
extern template class Tensor<double>;
extern template class Tensor<std::int64_t>;

}  // namespace sluice
