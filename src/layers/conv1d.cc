// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <utility>

#include "core/check.h"
#include "core/threads.h"
#include "layers/conv1d_kernel.h"
#include "layers/sequence.h"
#include "sluice/layers.h"

namespace sluice {
namespace {

// Windows at once: enough for the weights to be read once for many of them.
constexpr std::size_t kChunk = 96;

// A convolution of many rows, and where its outputs go.
template <class T>
struct Batch {
  TensorView<const T> x;                 // [B, L, C], any strides
  std::span<const std::size_t> lengths;  // [B] frames of each row, or empty for L each
  std::size_t steps;                     // outputs of a row, at most
  T* y;
  std::size_t y_row_stride;
  std::size_t y_step_stride;  // 0: channels first, y[row][channel][step]

  std::size_t length(std::size_t row) const noexcept { return lengths.empty() ? x.dim(1) : lengths[row]; }
};

// Outputs computed together: some rows, the same steps of each.
struct Tile {
  std::size_t row;
  std::size_t rows;
  std::size_t step;
  std::size_t steps;
};

// Frames that the steps of a tile touch, with padding.
template <class T>
std::size_t frames_of(const Conv1dKernel<T>& kernel, std::size_t steps) noexcept {
  return (steps - 1) * kernel.options().stride + kernel.span();
}

// True where windows can be read from x as it is.
template <class T>
bool is_laid_out(const Conv1dKernel<T>& kernel, TensorView<const T> x) noexcept {
  return kernel.is_laid_out() && (kernel.in() == 1 || x.stride(2) == 1) &&
         (x.dim(1) <= 1 || x.stride(1) == static_cast<std::ptrdiff_t>(kernel.in()));
}

// Moves `count` outputs from the stage [count, out] to channels-first y: the first is step `step` of the
// tile's row `row`, the others follow.
template <class T>
void unstage(const Conv1dKernel<T>& kernel, const Batch<T>& batch, const Tile& tile, std::size_t row,
             std::size_t step, std::size_t count, const T* stage) noexcept {
  for (; count > 0; ++row, step = 0) {
    const std::size_t run = std::min(count, tile.steps - step);
    T* const y = batch.y + (tile.row + row) * batch.y_row_stride + tile.step + step;
    kernel.to_channels_first(stage, run, y, batch.steps);
    count -= run;
    stage += run * kernel.out();
  }
}

// One tile, on the calling thread; takes no memory.
//   scratch  [tile.rows, layout_size(frames of the tile)], unless x is laid out
//   stage    [kChunk, out], if channels first
template <class T>
void convolve(const Conv1dKernel<T>& kernel, const Batch<T>& batch, const Tile& tile, T* scratch,
              T* stage) noexcept {
  const std::size_t stride = kernel.options().stride;
  const std::size_t phases = kernel.phases();
  const std::size_t count = frames_of(kernel, tile.steps);
  const T* frames = batch.x.data() + static_cast<std::ptrdiff_t>(tile.row) * batch.x.stride(0) +
                    static_cast<std::ptrdiff_t>(tile.step * stride) * batch.x.stride(1);
  std::ptrdiff_t row_stride = batch.x.stride(0);
  if (!is_laid_out(kernel, batch.x)) {
    row_stride = static_cast<std::ptrdiff_t>(kernel.layout_size(count));
    for (std::size_t r = 0; r < tile.rows; ++r) {
      kernel.lay_out(batch.x.data() + static_cast<std::ptrdiff_t>(tile.row + r) * batch.x.stride(0),
                     batch.x.stride(1), batch.x.stride(2), batch.length(tile.row + r), tile.step * stride,
                     count, scratch + static_cast<std::ptrdiff_t>(r) * row_stride);
    }
    frames = scratch;
  }

  std::array<const T*, kChunk> x;
  std::array<T*, kChunk> y;
  std::size_t filled = 0;
  std::size_t first_row = 0;
  std::size_t first_step = 0;
  const auto flush = [&] {
    kernel.run(x.data(), y.data(), filled, kernel.layout_size(count) / kernel.groups());
    if (stage != nullptr) unstage(kernel, batch, tile, first_row, first_step, filled, stage);
    filled = 0;
  };
  for (std::size_t r = 0; r < tile.rows; ++r) {
    const std::size_t row = tile.row + r;
    const std::size_t valid = std::min(kernel.steps(batch.length(row)), tile.step + tile.steps);
    for (std::size_t step = tile.step; step < valid; ++step) {
      if (filled == 0) {
        first_row = r;
        first_step = step - tile.step;
      }
      const std::size_t start = (step - tile.step) * stride;
      x[filled] = frames + static_cast<std::ptrdiff_t>(r) * row_stride +
                  (start % phases * kernel.columns(count) + start / phases) * kernel.channels();
      y[filled] = stage != nullptr ? stage + filled * kernel.out()
                                   : batch.y + row * batch.y_row_stride + step * batch.y_step_stride;
      if (++filled == kChunk) flush();
    }
  }
  if (filled > 0) flush();
}

// The whole batch, shared among threads. Tiles are small enough for their frames to stay in cache between
// being laid out and being read, and have enough windows for the weights to be read once for many of them.
template <class T>
void convolve_batch(const Conv1dKernel<T>& kernel, const Batch<T>& batch, int threads) {
  const std::size_t rows = batch.x.dim(0);
  const std::size_t windows = rows * batch.steps;
  if (windows == 0) return;
  const std::size_t parts =
      std::clamp<std::size_t>(windows / (kOperationsPerThread / kernel.operations() + 1), 1,
                              static_cast<std::size_t>(thread_limit(threads)));
  // With wide windows more steps, or most of the frames would be laid out for the next tile once more.
  const std::size_t most = std::max(kChunk, 2 * kernel.span() / kernel.options().stride);
  const std::size_t wanted = std::clamp<std::size_t>((windows + parts - 1) / parts, 1, most);
  const std::size_t tile_steps = std::min(batch.steps, wanted);
  const std::size_t tile_rows = std::min(rows, std::max<std::size_t>(wanted / batch.steps, 1));
  const std::size_t tiles_a_row = (batch.steps + tile_steps - 1) / tile_steps;
  const std::size_t tiles = (rows + tile_rows - 1) / tile_rows * tiles_a_row;

  const bool is_staged = batch.y_step_stride == 0;
  const std::size_t scratch_size =
      is_laid_out(kernel, batch.x) ? 0 : tile_rows * kernel.layout_size(frames_of(kernel, tile_steps));
  Tensor<T> scratch({parts, scratch_size});
  Tensor<T> stages({parts, is_staged ? kChunk * kernel.out() : 0});
  parallel_ranges(parts, 1, threads, [&](std::size_t first, std::size_t last) {
    for (std::size_t part = first; part < last; ++part) {
      for (std::size_t i = tiles * part / parts; i < tiles * (part + 1) / parts; ++i) {
        Tile tile{i / tiles_a_row * tile_rows, tile_rows, i % tiles_a_row * tile_steps, tile_steps};
        tile.rows = std::min(tile.rows, rows - tile.row);
        tile.steps = std::min(tile.steps, batch.steps - tile.step);
        convolve(kernel, batch, tile, scratch.data() + part * scratch_size,
                 is_staged ? stages.data() + part * kChunk * kernel.out() : nullptr);
      }
    }
  });
}

// A ring of the last kernel_size frames of every phase. Each frame is written twice, kernel_size columns
// apart, so that the window is contiguous wherever the ring stands:
//     ring[row][group][phase][2 * kernel_size][channel of the group]
template <class T>
class Conv1dStepper final : public Stepper<T> {
 public:
  Conv1dStepper(const Conv1dKernel<T>& kernel, std::size_t batch)
      : kernel_(kernel),
        batch_(batch),
        ring_({batch, kernel.phases(), 2, kernel.options().kernel_size, kernel.in()}),
        y_({batch, kernel.out()}) {}

  const T* step(const T* x) noexcept override {
    const std::size_t phases = kernel_.phases();
    const std::size_t size = kernel_.options().kernel_size;
    const std::size_t channels = kernel_.channels();
    const std::size_t group_stride = phases * 2 * size * channels;
    T* const phase = ring_.data() + time_ % phases * 2 * size * channels;
    const std::size_t column = time_ / phases % size;
    for (std::size_t i = 0; i < batch_ * kernel_.groups(); ++i, x += channels) {
      T* const to = phase + i * group_stride + column * channels;
      std::copy_n(x, channels, to);
      std::copy_n(x, channels, to + size * channels);
    }
    const std::size_t seen = ++time_;
    if (seen < kernel_.span() || (seen - kernel_.span()) % kernel_.options().stride != 0) return nullptr;

    const T* const window = phase + (column + 1) % size * channels;  // from the oldest frame on
    for (std::size_t first = 0; first < batch_; first += kChunk) {
      const std::size_t count = std::min(kChunk, batch_ - first);
      std::array<const T*, kChunk> windows;
      std::array<T*, kChunk> y;
      for (std::size_t i = 0; i < count; ++i) {
        windows[i] = window + (first + i) * kernel_.groups() * group_stride;
        y[i] = y_.data() + (first + i) * kernel_.out();
      }
      kernel_.run(windows.data(), y.data(), count, group_stride);
    }
    return y_.data();
  }

  // No frame written before is read again: a window is read once all its frames are new.
  void reset() noexcept override { time_ = 0; }

 private:
  const Conv1dKernel<T>& kernel_;
  std::size_t batch_;
  Tensor<T> ring_;
  Tensor<T> y_;
  std::size_t time_ = 0;
};

}  // namespace

template <class T>
Conv1d<T>::Conv1d(const Conv1dOptions& options, const StateDict<T>& weights, const std::string& prefix)
    : options_(options),
      prefix_(prefix),
      kernel_(std::make_unique<const Conv1dKernel<T>>(options, weights, prefix)) {}

template <class T>
Conv1d<T>::~Conv1d() = default;
template <class T>
Conv1d<T>::Conv1d(Conv1d&&) noexcept = default;
template <class T>
Conv1d<T>& Conv1d<T>::operator=(Conv1d&&) noexcept = default;

template <class T>
Tensor<T> Conv1d<T>::forward(TensorView<const T> x, const RunOptions& options) const {
  const std::string channels = std::to_string(options_.in_channels);
  if (x.rank() != 2 && x.rank() != 3) {
    throw_shape_error("Conv1d::forward", "x", x.shape(), "[B, " + channels + ", L] or [" + channels + ", L]");
  }
  const bool batched = x.rank() == 3;
  if (x.dim(x.rank() - 2) != options_.in_channels) {
    throw_shape_error("Conv1d::forward", "x", x.shape(), (batched ? "[B, " : "[") + channels + ", L]");
  }
  const std::size_t batch = batched ? x.dim(0) : 1;
  const std::size_t length = x.dim(x.rank() - 1);
  const std::size_t steps = output_length(length);
  const std::size_t out = options_.out_channels;

  const std::array<std::ptrdiff_t, 3> strides{batched ? x.stride(0) : 0, x.stride(x.rank() - 1),
                                              x.stride(x.rank() - 2)};
  const TensorView<const T> frames(x.data(), {batch, length, options_.in_channels}, strides);
  Tensor<T> y = batched ? Tensor<T>({batch, out, steps}) : Tensor<T>({out, steps});
  convolve_batch<T>(*kernel_, {frames, {}, steps, y.data(), out * steps, 0}, options.threads);
  return y;
}

template <class T>
void Conv1d<T>::forward_channels_last(std::size_t length, const T* x, T* y, T* scratch) const noexcept {
  const TensorView<const T> row(x, {1, length, options_.in_channels});
  const std::size_t steps = kernel_->steps(length);
  convolve<T>(*kernel_, {row, {}, steps, y, 0, options_.out_channels}, {0, 1, 0, steps}, scratch, nullptr);
}

template <class T>
std::size_t Conv1d<T>::scratch_size(std::size_t length) const noexcept {
  const std::size_t steps = kernel_->steps(length);
  return kernel_->is_laid_out() || steps == 0 ? 0 : kernel_->layout_size(frames_of(*kernel_, steps));
}

template <class T>
std::size_t Conv1d<T>::output_length(std::size_t length) const {
  const std::size_t steps = kernel_->steps(length);
  if (steps == 0) {
    throw ShapeError("Conv1d: an input of length " + std::to_string(length) + " with padding " +
                     std::to_string(options_.padding) + " is shorter than the kernel, which spans " +
                     std::to_string(kernel_->span()));
  }
  return steps;
}

template <class T>
std::vector<ParameterInfo> Conv1d<T>::parameters() const {
  std::vector<ParameterInfo> all{
      {prefix_ + "weight",
       {options_.out_channels, options_.in_channels / options_.groups, options_.kernel_size}}};
  if (options_.bias) all.push_back({prefix_ + "bias", {options_.out_channels}});
  return all;
}

template <class T>
std::size_t Conv1d<T>::output_size(std::size_t input_size) const {
  check_features("Conv1d", input_size, options_.in_channels);
  return options_.out_channels;
}

template <class T>
double Conv1d<T>::flops_per_step(std::size_t) const {
  return 2.0 * static_cast<double>(kernel_->operations());
}

template <class T>
SequenceOutput<T> Conv1d<T>::run(const Sequence<T>& in, const RunOptions& options) const {
  check_sequence("Conv1d::run", in, options_.in_channels);
  const std::size_t batch = in.x.dim(1);
  const std::size_t out = options_.out_channels;
  SequenceOutput<T> result{Tensor<T>({output_length(in.x.dim(0)), batch, out}), same_lengths(in)};
  const std::vector<std::size_t> lengths(in.lengths.begin(), in.lengths.end());
  convolve_batch<T>(*kernel_,
                    {in.x.transpose(0, 1), lengths, result.y.dim(0), result.y.data(), out, batch * out},
                    options.threads);
  for (std::size_t b = 0; b < lengths.size(); ++b) {
    result.lengths[b] = static_cast<std::int64_t>(kernel_->steps(lengths[b]));
  }
  return result;
}

template <class T>
std::unique_ptr<Stepper<T>> Conv1d<T>::stepper(std::size_t batch, std::size_t input_size) const {
  output_size(input_size);
  if (options_.padding != 0) {
    throw Error("Conv1d::stepper: padding is " + std::to_string(options_.padding) +
                ", expected 0: with padding an output needs steps that have not come yet");
  }
  return std::make_unique<Conv1dStepper<T>>(*kernel_, batch);
}

template class Conv1d<float>;
template class Conv1d<double>;

}  // namespace sluice
