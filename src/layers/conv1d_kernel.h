// SPDX-License-Identifier: Apache-2.0
// What a convolution computes with: its packed weights, and the layout of frames that they are made for.
//
// A convolution is a product of the weights with windows of the input. No window is copied: the frames of a
// row are laid out as
//     frames[group][phase][column][channel of the group],   the t-th frame (padding included) at
//                                                           phase = t mod dilation, column = t / dilation
// so that the kernel_size frames of a window, `dilation` apart, lie next to each other, and windows that
// overlap share their memory. The packed weights have the same order: [out][kernel][channel of the group].
// Where there is no padding, no dilation and one group, contiguous [L, C] frames are that layout already.
//
// A depthwise convolution (as many groups as channels in and out) would leave the vector lanes empty, one
// output a group. It keeps its channels together, as one group of the layout, and runs on lanes of channels.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "kernels/transpose.h"
#include "layers/packed_linear.h"
#include "sluice/layers.h"

namespace sluice {

template <class T>
class Conv1dKernel {
 public:
  /// Throws Error for options that do not fit together, and what StateDict::at throws.
  Conv1dKernel(const Conv1dOptions& options, const StateDict<T>& weights, const std::string& prefix);

  const Conv1dOptions& options() const noexcept { return options_; }
  std::size_t in() const noexcept { return options_.in_channels; }
  std::size_t out() const noexcept { return options_.out_channels; }
  /// Multiply-adds of one output step.
  std::size_t operations() const noexcept {
    return options_.kernel_size * (options_.in_channels / options_.groups) * options_.out_channels;
  }

  /// Frames from the first to the last that a window touches.
  std::size_t span() const noexcept { return options_.dilation * (options_.kernel_size - 1) + 1; }
  /// L_out, 0 for an input that is too short.
  std::size_t steps(std::size_t length) const noexcept {
    const std::size_t padded = length + 2 * options_.padding;
    return padded < span() ? 0 : (padded - span()) / options_.stride + 1;
  }

  /// Groups of the layout.
  std::size_t groups() const noexcept { return packed_.empty() ? 1 : options_.groups; }
  /// Channels of one group of the layout.
  std::size_t channels() const noexcept { return options_.in_channels / groups(); }
  /// Phases of the layout: with a kernel of one frame no dilation shows.
  std::size_t phases() const noexcept { return options_.kernel_size == 1 ? 1 : options_.dilation; }
  /// Columns of the layout for `count` frames.
  std::size_t columns(std::size_t count) const noexcept { return (count + phases() - 1) / phases(); }
  /// Elements of the layout for `count` frames.
  std::size_t layout_size(std::size_t count) const noexcept {
    return phases() * columns(count) * options_.in_channels;
  }
  /// True where contiguous channels-last frames are the layout already.
  bool is_laid_out() const noexcept { return options_.padding == 0 && phases() == 1 && groups() == 1; }

  /// Lays out frames [first, first + count) of one padded row of `length` frames: frame t of the row is
  /// x[(t - padding) * frame_stride + c * channel_stride], or zero outside of x. Writes layout_size(count)
  /// elements but the unused ones of the last column.
  void lay_out(const T* x, std::ptrdiff_t frame_stride, std::ptrdiff_t channel_stride, std::size_t length,
               std::size_t first, std::size_t count, T* frames) const noexcept;

  /// y[c * y_stride + i] = stage[i * out() + c] for i < count: outputs turned channels first.
  void to_channels_first(const T* stage, std::size_t count, T* y, std::size_t y_stride) const noexcept {
    transpose_(stage, static_cast<std::ptrdiff_t>(out()), y, static_cast<std::ptrdiff_t>(y_stride), count,
               out());
  }

  /// Outputs of `count` windows: x[i] -> window in the first group, whose next group is `group_stride`
  /// elements further; y[i] [out]. Both lists are used up. On the calling thread; takes no memory.
  void run(const T** x, T** y, std::size_t count, std::size_t group_stride) const noexcept;

 private:
  Conv1dOptions options_;
  kernels::Transpose<T> transpose_;
  std::vector<PackedLinear<T>> packed_;  // one a group; none where depthwise
  Tensor<T> depthwise_;                  // [1 + kernel, channels]: bias, then weights
};

extern template class Conv1dKernel<float>;
extern template class Conv1dKernel<double>;

}  // namespace sluice
