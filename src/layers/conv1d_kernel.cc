// SPDX-License-Identifier: Apache-2.0
#include "layers/conv1d_kernel.h"

#include <algorithm>
#include <array>
#include <utility>

#include "sluice/error.h"

namespace sluice {
namespace {

Conv1dOptions checked(Conv1dOptions options) {
  const auto at_least_one = [](const char* name, std::size_t value) {
    if (value == 0) throw Error(std::string("Conv1d: ") + name + " is 0, expected at least 1");
  };
  at_least_one("in_channels", options.in_channels);
  at_least_one("out_channels", options.out_channels);
  at_least_one("kernel_size", options.kernel_size);
  at_least_one("stride", options.stride);
  at_least_one("dilation", options.dilation);
  at_least_one("groups", options.groups);
  if (options.in_channels % options.groups != 0 || options.out_channels % options.groups != 0) {
    throw Error("Conv1d: groups is " + std::to_string(options.groups) + ", expected a divisor of " +
                std::to_string(options.in_channels) + " in_channels and " +
                std::to_string(options.out_channels) + " out_channels");
  }
  // So that no sum of sizes overflows.
  constexpr std::size_t kMost = std::size_t{1} << 60;
  if (options.padding > kMost) {
    throw Error("Conv1d: padding is " + std::to_string(options.padding) + ", expected at most 2^60");
  }
  if (options.dilation > kMost / options.kernel_size) {
    throw Error("Conv1d: dilation is " + std::to_string(options.dilation) + ", too large for kernel_size " +
                std::to_string(options.kernel_size));
  }
  return options;
}

bool is_depthwise(const Conv1dOptions& options) noexcept {
  return options.groups > 1 && options.groups == options.in_channels &&
         options.groups == options.out_channels;
}

// One window of a depthwise convolution: every channel by itself, over k in order, from the bias. Plain
// products and sums, so the same bits on every instruction set. `weights` is [1 + kernel, channels], bias
// first.
template <class T>
void depthwise_window(const T* weights, const T* x, T* y, std::size_t channels, std::size_t kernel) noexcept {
  // As many channels as stay in registers while k runs.
  constexpr std::size_t kBlock = 16;
  std::size_t c = 0;
  for (; c + kBlock <= channels; c += kBlock) {
    std::array<T, kBlock> sums;
    std::copy_n(weights + c, kBlock, sums.data());
    for (std::size_t k = 0; k < kernel; ++k) {
      const T* const w = weights + (k + 1) * channels + c;
      const T* const v = x + k * channels + c;
      for (std::size_t j = 0; j < kBlock; ++j) sums[j] += w[j] * v[j];
    }
    std::copy_n(sums.data(), kBlock, y + c);
  }
  for (; c < channels; ++c) {
    T sum = weights[c];
    for (std::size_t k = 0; k < kernel; ++k) sum += weights[(k + 1) * channels + c] * x[k * channels + c];
    y[c] = sum;
  }
}

// Where the frames of a layout lie, one after the other.
struct Place {
  std::size_t phase = 0;
  std::size_t column = 0;

  void next(std::size_t phases) noexcept {
    if (++phase == phases) {
      phase = 0;
      ++column;
    }
  }
};

// Copies `channels` channels of `count` frames to where `to` says.
template <class T>
void copy_frames(const T* from, std::ptrdiff_t frame_stride, std::ptrdiff_t channel_stride,
                 std::size_t channels, std::size_t count, T* const* to) noexcept {
  if (channel_stride == 1) {
    for (std::size_t i = 0; i < count; ++i) {
      std::copy_n(from + static_cast<std::ptrdiff_t>(i) * frame_stride, channels, to[i]);
    }
    return;
  }
  for (std::size_t c = 0; c < channels; ++c, from += channel_stride) {
    for (std::size_t i = 0; i < count; ++i) to[i][c] = from[static_cast<std::ptrdiff_t>(i) * frame_stride];
  }
}

}  // namespace

template <class T>
Conv1dKernel<T>::Conv1dKernel(const Conv1dOptions& options, const StateDict<T>& weights,
                              const std::string& prefix)
    : options_(checked(options)), transpose_(kernels::transpose_kernel<T>()) {
  const std::size_t in = options.in_channels / options.groups;
  const std::size_t out = options.out_channels / options.groups;
  const std::size_t kernel = options.kernel_size;
  const TensorView<const T> weight = weights.at(prefix + "weight", {options.out_channels, in, kernel});
  const TensorView<const T> bias =
      options.bias ? weights.at(prefix + "bias", {options.out_channels}) : TensorView<const T>();
  if (is_depthwise(options)) {
    depthwise_ = Tensor<T>({1 + kernel, options.out_channels});
    for (std::size_t c = 0; c < options.out_channels; ++c) {
      if (bias) depthwise_(0, c) = bias(c);
      for (std::size_t k = 0; k < kernel; ++k) depthwise_(1 + k, c) = weight(c, 0, k);
    }
    return;
  }
  packed_.reserve(options.groups);
  for (std::size_t g = 0; g < options.groups; ++g) {
    const Tensor<T> ordered =
        Tensor<T>(weight.narrow(0, g * out, out).transpose(1, 2)).reshaped({out, kernel * in});
    packed_.emplace_back(ordered, bias ? bias.narrow(0, g * out, out) : TensorView<const T>());
  }
}

template <class T>
void Conv1dKernel<T>::lay_out(const T* x, std::ptrdiff_t frame_stride, std::ptrdiff_t channel_stride,
                              std::size_t length, std::size_t first, std::size_t count,
                              T* frames) const noexcept {
  const std::size_t channels = this->channels();
  const std::size_t columns = this->columns(count);
  const std::size_t group_stride = phases() * columns * channels;
  const std::size_t end = first + count;
  if (frame_stride == 1 && phases() == 1) {
    // Channels first, frames next to each other on both sides: zeros, a transposition, zeros.
    const std::size_t left = std::clamp(options_.padding, first, end) - first;
    const std::size_t right = std::clamp(options_.padding + length, first, end) - first;
    if (left < right) x += first + left - options_.padding;
    for (std::size_t g = 0; g < groups(); ++g, frames += group_stride) {
      std::fill_n(frames, left * channels, T{0});
      transpose_(x, channel_stride, frames + left * channels, static_cast<std::ptrdiff_t>(channels), channels,
                 right - left);
      std::fill_n(frames + right * channels, (count - right) * channels, T{0});
      x += static_cast<std::ptrdiff_t>(channels) * channel_stride;
    }
    return;
  }
  Place place;
  // Blocks of frames, so that where channels lie far apart each cache line is read once.
  constexpr std::size_t kBlock = 16;
  std::array<T*, kBlock> to;
  for (std::size_t begin = first; begin < end; begin += kBlock) {
    const std::size_t size = std::min(kBlock, end - begin);
    for (std::size_t i = 0; i < size; ++i) {
      to[i] = frames + (place.phase * columns + place.column) * channels;
      place.next(phases());
    }
    // Frames [left, right) of the block lie in x, the others are padding.
    const std::size_t left = std::clamp(options_.padding, begin, begin + size) - begin;
    const std::size_t right = std::clamp(options_.padding + length, begin, begin + size) - begin;
    const T* from = x;
    if (left < right) from += static_cast<std::ptrdiff_t>(begin + left - options_.padding) * frame_stride;
    for (std::size_t g = 0; g < groups(); ++g) {
      for (std::size_t i = 0; i < size; ++i) {
        if (i < left || i >= right) std::fill_n(to[i], channels, T{0});
      }
      copy_frames(from, frame_stride, channel_stride, channels, right - left, to.data() + left);
      from += static_cast<std::ptrdiff_t>(channels) * channel_stride;
      for (std::size_t i = 0; i < size; ++i) to[i] += group_stride;
    }
  }
}

template <class T>
void Conv1dKernel<T>::run(const T** x, T** y, std::size_t count, std::size_t group_stride) const noexcept {
  if (packed_.empty()) {
    for (std::size_t i = 0; i < count; ++i) {
      depthwise_window(depthwise_.data(), x[i], y[i], out(), options_.kernel_size);
    }
    return;
  }
  for (const PackedLinear<T>& group : packed_) {
    group.run(x, y, count);
    for (std::size_t i = 0; i < count; ++i) {
      x[i] += group_stride;
      y[i] += group.out();
    }
  }
}

template class Conv1dKernel<float>;
template class Conv1dKernel<double>;

}  // namespace sluice
