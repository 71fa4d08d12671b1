// SPDX-License-Identifier: Apache-2.0
// Runs a function of contiguous arrays over views of any shape and strides.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "core/check.h"
#include "core/threads.h"
#include "sluice/tensor.h"

namespace sluice {

/// Elements a thread must have before a second one is woken: 5 us of work. Two threads that still spin gain
/// from a quarter of that on; a team that sleeps takes some ten microseconds to wake, which a call or two
/// lose before it spins.
inline constexpr std::size_t kElementsPerThread = std::size_t{1} << 15;

/// Throws ShapeError for a default-made view, which stands for "not given".
template <class T>
void check_given(std::string_view call, std::string_view argument, const TensorView<T>& view) {
  if (view.is_null()) {
    throw ShapeError(std::string(call) + ": " + std::string(argument) + " is not given");
  }
}

/// The dimensions of a pair of views with equal shapes, in the order in which memory is best walked: y's
/// smallest stride last, neighbours that lie without a gap in both taken together, sizes of 1 left out.
class PairLoop {
 public:
  template <class X, class Y>
  PairLoop(const TensorView<X>& x, const TensorView<Y>& y) {
    for (std::size_t i = 0; i < x.rank(); ++i) {
      if (x.dim(i) != 1) dims_[rank_++] = {x.dim(i), x.stride(i), y.stride(i)};
    }
    std::stable_sort(dims_.begin(), dims_.begin() + rank_,
                     [](const Dim& a, const Dim& b) { return std::abs(a.y_stride) > std::abs(b.y_stride); });
    for (std::size_t i = rank_; i-- > 1;) {
      Dim& outer = dims_[i - 1];
      const Dim& inner = dims_[i];
      const auto size = static_cast<std::ptrdiff_t>(inner.size);
      if (outer.x_stride != inner.x_stride * size || outer.y_stride != inner.y_stride * size) continue;
      outer = {outer.size * inner.size, inner.x_stride, inner.y_stride};
      std::copy(dims_.begin() + i + 1, dims_.begin() + rank_, dims_.begin() + i);
      --rank_;
    }
    if (rank_ == 0) dims_[rank_++] = {1, 1, 1};
  }

  std::size_t inner_size() const noexcept { return dims_[rank_ - 1].size; }
  std::ptrdiff_t inner_x_stride() const noexcept { return dims_[rank_ - 1].x_stride; }
  std::ptrdiff_t inner_y_stride() const noexcept { return dims_[rank_ - 1].y_stride; }
  std::size_t outer_size() const noexcept {
    std::size_t size = 1;
    for (std::size_t i = 0; i + 1 < rank_; ++i) size *= dims_[i].size;
    return size;
  }

  struct Offsets {
    std::ptrdiff_t x, y;
  };
  /// Where the run of the inner dimension with the given number begins.
  Offsets run(std::size_t index) const noexcept { return at(index, rank_ - 1); }
  /// Where the element with the given number lies.
  Offsets element(std::size_t index) const noexcept { return at(index, rank_); }

 private:
  struct Dim {
    std::size_t size;
    std::ptrdiff_t x_stride, y_stride;
  };

  Offsets at(std::size_t index, std::size_t rank) const noexcept {
    Offsets offsets{0, 0};
    for (std::size_t i = rank; i-- > 0;) {
      const auto along = static_cast<std::ptrdiff_t>(index % dims_[i].size);
      index /= dims_[i].size;
      offsets.x += along * dims_[i].x_stride;
      offsets.y += along * dims_[i].y_stride;
    }
    return offsets;
  }

  std::size_t rank_ = 0;
  std::array<Dim, kMaxRank + 1> dims_{};
};

/// kernel(x, y, n) on arrays with strides, through a buffer in L1 where a stride is not 1.
template <class T, class Kernel>
void map_strided(const T* x, std::ptrdiff_t x_stride, T* y, std::ptrdiff_t y_stride, std::size_t n,
                 Kernel kernel) {
  if (x_stride == 1 && y_stride == 1) {
    kernel(x, y, n);
    return;
  }
  constexpr std::size_t kBuffer = 512;
  std::array<T, kBuffer> buffer;
  for (std::size_t begin = 0; begin < n; begin += kBuffer) {
    const std::size_t count = std::min(kBuffer, n - begin);
    for (std::size_t i = 0; i < count; ++i) buffer[i] = x[static_cast<std::ptrdiff_t>(begin + i) * x_stride];
    kernel(buffer.data(), buffer.data(), count);
    for (std::size_t i = 0; i < count; ++i) y[static_cast<std::ptrdiff_t>(begin + i) * y_stride] = buffer[i];
  }
}

/// y = kernel(x), element by element; y may be x. Throws ShapeError.
template <class T, class Kernel>
void map_views(std::string_view call, TensorView<const T> x, TensorView<T> y, Kernel kernel) {
  check_given(call, "x", x);
  check_given(call, "y", y);
  check_shape(call, "y", y.shape(), x.shape());
  if (x.size() == 0) return;
  const PairLoop loop(x, y);
  const std::size_t n = loop.inner_size();
  const std::size_t runs = loop.outer_size();
  if (runs == 1) {
    parallel_ranges(n, kElementsPerThread, 0, [&](std::size_t begin, std::size_t end) {
      const auto first = static_cast<std::ptrdiff_t>(begin);
      map_strided(x.data() + first * loop.inner_x_stride(), loop.inner_x_stride(),
                  y.data() + first * loop.inner_y_stride(), loop.inner_y_stride(), end - begin, kernel);
    });
    return;
  }
  parallel_ranges(runs, kElementsPerThread / n + 1, 0, [&](std::size_t begin, std::size_t end) {
    for (std::size_t run = begin; run < end; ++run) {
      const auto [x_offset, y_offset] = loop.run(run);
      map_strided(x.data() + x_offset, loop.inner_x_stride(), y.data() + y_offset, loop.inner_y_stride(), n,
                  kernel);
    }
  });
}

/// kernel over spans of equal size. Throws ShapeError.
template <class T, class Kernel>
void map_spans(std::string_view call, std::span<const T> x, std::span<T> y, Kernel kernel) {
  check_shape(call, "y", Shape{y.size()}, Shape{x.size()});
  parallel_ranges(x.size(), kElementsPerThread, 0, [&](std::size_t begin, std::size_t end) {
    kernel(x.data() + begin, y.data() + begin, end - begin);
  });
}

}  // namespace sluice
