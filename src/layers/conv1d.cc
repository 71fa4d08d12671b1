// SPDX-License-Identifier: Apache-2.0
// A convolution is a product of the packed kernel with windows of the input. No window is copied: the frames
// are laid out as
//     frames[row][group][phase][column][channel of the group],   frame t (padding included) at
//                                                                phase = t mod dilation, column = t /
//                                                                dilation
// so that the kernel_size frames of a window, `dilation` apart, lie next to each other, and windows that
// overlap share their memory. The packed weights have the same order: [out][kernel][channel of the group].
// Where there is no padding, no dilation and one group, a contiguous [L, C] input is that layout already.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "core/check.h"
#include "core/threads.h"
#include "layers/packed_linear.h"
#include "layers/sequence.h"
#include "sluice/layers.h"

namespace sluice {
namespace {

// Below about this many multiply-adds a thread's work costs less than starting it.
constexpr std::size_t kGrainOperations = std::size_t{1} << 18;

template <class T>
using PackedGroups = std::vector<std::unique_ptr<const PackedLinear<T>>>;

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
  // So that no sum of sizes below overflows.
  constexpr std::size_t most = std::size_t{1} << 60;
  if (options.padding > most) {
    throw Error("Conv1d: padding is " + std::to_string(options.padding) + ", expected at most 2^60");
  }
  if (options.dilation > most / options.kernel_size) {
    throw Error("Conv1d: dilation is " + std::to_string(options.dilation) + ", too large for kernel_size " +
                std::to_string(options.kernel_size));
  }
  return options;
}

template <class T>
PackedGroups<T> pack(const Conv1dOptions& options, const StateDict<T>& weights, const std::string& prefix) {
  const std::size_t in = options.in_channels / options.groups;
  const std::size_t out = options.out_channels / options.groups;
  const TensorView<const T> weight =
      weights.at(prefix + "weight", {options.out_channels, in, options.kernel_size});
  const TensorView<const T> bias =
      options.bias ? weights.at(prefix + "bias", {options.out_channels}) : TensorView<const T>();
  PackedGroups<T> packed;
  for (std::size_t g = 0; g < options.groups; ++g) {
    const Tensor<T> ordered =
        Tensor<T>(weight.narrow(0, g * out, out).transpose(1, 2)).reshaped({out, options.kernel_size * in});
    packed.push_back(std::make_unique<const PackedLinear<T>>(
        ordered, bias ? bias.narrow(0, g * out, out) : TensorView<const T>()));
  }
  return packed;
}

// Frames from the first to the last that a window touches.
std::size_t span_of(const Conv1dOptions& options) noexcept {
  return options.dilation * (options.kernel_size - 1) + 1;
}

// L_out, 0 for an input that is too short.
std::size_t steps_out(const Conv1dOptions& options, std::size_t length) noexcept {
  const std::size_t padded = length + 2 * options.padding;
  return padded < span_of(options) ? 0 : (padded - span_of(options)) / options.stride + 1;
}

// Phases of the layout: with a kernel of one frame no dilation shows.
std::size_t phases_of(const Conv1dOptions& options) noexcept {
  return options.kernel_size == 1 ? 1 : options.dilation;
}

std::size_t columns_of(const Conv1dOptions& options, std::size_t length) noexcept {
  const std::size_t phases = phases_of(options);
  return (length + 2 * options.padding + phases - 1) / phases;
}

// True where contiguous channels-last frames are the layout already.
bool is_laid_out(const Conv1dOptions& options) noexcept {
  return options.padding == 0 && phases_of(options) == 1 && options.groups == 1;
}

// Copies one row's frames, x[t * frame_stride + c * channel_stride], into the layout. Padding is not touched.
template <class T>
void lay_out(const Conv1dOptions& options, const T* x, std::ptrdiff_t frame_stride,
             std::ptrdiff_t channel_stride, std::size_t length, std::size_t columns, T* frames) noexcept {
  const std::size_t phases = phases_of(options);
  const std::size_t channels = options.in_channels / options.groups;
  for (std::size_t t = 0; t < length; ++t, x += frame_stride) {
    const std::size_t place = t + options.padding;
    T* to = frames + (place % phases * columns + place / phases) * channels;
    const T* from = x;
    for (std::size_t g = 0; g < options.groups; ++g, to += phases * columns * channels) {
      for (std::size_t c = 0; c < channels; ++c, from += channel_stride) to[c] = *from;
    }
  }
}

// Sets the frames of one row's padding, `left` and the rest on the right, to zero.
template <class T>
void zero_padding(const Conv1dOptions& options, std::size_t length, std::size_t columns, T* frames) noexcept {
  const std::size_t phases = phases_of(options);
  const std::size_t channels = options.in_channels / options.groups;
  for (std::size_t i = 0; i < 2 * options.padding; ++i) {
    const std::size_t place = i < options.padding ? i : i + length;
    T* to = frames + (place % phases * columns + place / phases) * channels;
    for (std::size_t g = 0; g < options.groups; ++g, to += phases * columns * channels) {
      std::fill_n(to, channels, T{0});
    }
  }
}

// Rows of laid out frames, and where their outputs go.
template <class T>
struct Rows {
  const T* frames;
  std::size_t row_stride;  // of frames
  std::size_t columns;
  T* y;
  std::size_t y_row_stride;
  std::size_t y_step_stride;
  std::size_t steps;             // outputs of a row, at most
  const std::size_t* row_steps;  // outputs of each row, or null for `steps` each
};

// Outputs [begin, end) of rows * steps, on the calling thread; takes no memory.
template <class T>
void convolve(const Conv1dOptions& options, const PackedGroups<T>& packed, const Rows<T>& rows,
              std::size_t begin, std::size_t end) noexcept {
  const std::size_t phases = phases_of(options);
  const std::size_t in = options.in_channels / options.groups;
  const std::size_t out = options.out_channels / options.groups;
  // Enough rows for the weights to be read once for many of them.
  constexpr std::size_t kChunk = 96;
  std::array<const T*, kChunk> x;
  std::array<T*, kChunk> y;
  while (begin < end) {
    std::size_t count = 0;
    for (; begin < end && count < kChunk; ++begin) {
      const std::size_t row = begin / rows.steps;
      const std::size_t step = begin % rows.steps;
      if (rows.row_steps != nullptr && step >= rows.row_steps[row]) continue;
      const std::size_t start = step * options.stride;
      x[count] = rows.frames + row * rows.row_stride + (start % phases * rows.columns + start / phases) * in;
      y[count] = rows.y + row * rows.y_row_stride + step * rows.y_step_stride;
      ++count;
    }
    for (std::size_t g = 0; g < options.groups; ++g) {
      packed[g]->run(x.data(), y.data(), count);
      for (std::size_t i = 0; i < count; ++i) {
        x[i] += phases * rows.columns * in;
        y[i] += out;
      }
    }
  }
}

// Convolves x [B, L, C] of any strides into `y`, whose strides are given. With lengths, each row is as if it
// were alone: its padding starts where it ends, and what lies past its last output is left as it is.
template <class T>
void convolve_batch(const Conv1dOptions& options, const PackedGroups<T>& packed, TensorView<const T> x,
                    const std::vector<std::size_t>& lengths, T* y, std::size_t y_row_stride,
                    std::size_t y_step_stride, int threads) {
  const std::size_t batch = x.dim(0);
  const std::size_t length = x.dim(1);
  const std::size_t columns = columns_of(options, length);
  std::vector<std::size_t> row_steps(lengths.size());
  for (std::size_t b = 0; b < lengths.size(); ++b) row_steps[b] = steps_out(options, lengths[b]);
  Rows<T> rows{x.data(),
               static_cast<std::size_t>(x.stride(0)),
               columns,
               y,
               y_row_stride,
               y_step_stride,
               steps_out(options, length),
               lengths.empty() ? nullptr : row_steps.data()};

  const bool frames_contiguous =
      (options.in_channels == 1 || x.stride(2) == 1) &&
      (length <= 1 || x.stride(1) == static_cast<std::ptrdiff_t>(options.in_channels)) && x.stride(0) >= 0;
  Tensor<T> frames;
  if (!is_laid_out(options) || !frames_contiguous) {
    frames = Tensor<T>({batch, phases_of(options), columns, options.in_channels});  // zeros: the padding
    rows.row_stride = phases_of(options) * columns * options.in_channels;
    rows.frames = frames.data();
    const std::size_t grain = kGrainOperations / std::max<std::size_t>(length * options.in_channels, 1) + 1;
    parallel_ranges(batch, grain, threads, [&](std::size_t begin, std::size_t end) {
      for (std::size_t b = begin; b < end; ++b) {
        lay_out(options, x.data() + static_cast<std::ptrdiff_t>(b) * x.stride(0), x.stride(1), x.stride(2),
                lengths.empty() ? length : lengths[b], columns, frames.data() + b * rows.row_stride);
      }
    });
  }
  const std::size_t operations =
      options.kernel_size * (options.in_channels / options.groups) * options.out_channels;
  parallel_ranges(batch * rows.steps, kGrainOperations / operations + 1, threads,
                  [&](std::size_t begin, std::size_t end) { convolve(options, packed, rows, begin, end); });
}

// A ring of the last kernel_size frames of every phase. Each frame is written twice, kernel_size columns
// apart, so that the window is contiguous wherever the ring stands:
//     ring[row][group][phase][2 * kernel_size][channel of the group]
template <class T>
class Conv1dStepper final : public Stepper<T> {
 public:
  Conv1dStepper(const Conv1dOptions& options, const PackedGroups<T>& packed, std::size_t batch)
      : options_(options),
        packed_(packed),
        batch_(batch),
        ring_({batch, phases_of(options), 2, options.kernel_size, options.in_channels}),
        y_({batch, options.out_channels}) {}

  const T* step(const T* x) noexcept override {
    const std::size_t phases = phases_of(options_);
    const std::size_t kernel = options_.kernel_size;
    const std::size_t in = options_.in_channels / options_.groups;
    const std::size_t group_stride = phases * 2 * kernel * in;
    T* const phase = ring_.data() + time_ % phases * 2 * kernel * in;
    const std::size_t column = time_ / phases % kernel;
    for (std::size_t i = 0; i < batch_ * options_.groups; ++i, x += in) {
      T* const to = phase + i * group_stride + column * in;
      std::copy_n(x, in, to);
      std::copy_n(x, in, to + kernel * in);
    }
    const std::size_t seen = ++time_;
    if (seen < span_of(options_) || (seen - span_of(options_)) % options_.stride != 0) return nullptr;

    const std::size_t oldest = (column + 1) % kernel;
    const std::size_t out = options_.out_channels / options_.groups;
    for (std::size_t g = 0; g < options_.groups; ++g) {
      packed_[g]->run(phase + g * group_stride + oldest * in,
                      static_cast<std::ptrdiff_t>(options_.groups * group_stride), y_.data() + g * out,
                      static_cast<std::ptrdiff_t>(options_.out_channels), batch_);
    }
    return y_.data();
  }

  // No frame written before is read again: a window is read once all its frames are new.
  void reset() noexcept override { time_ = 0; }

 private:
  Conv1dOptions options_;
  const PackedGroups<T>& packed_;
  std::size_t batch_;
  Tensor<T> ring_;
  Tensor<T> y_;
  std::size_t time_ = 0;
};

}  // namespace

template <class T>
Conv1d<T>::Conv1d(const Conv1dOptions& options, const StateDict<T>& weights, const std::string& prefix)
    : options_(checked(options)), prefix_(prefix), packed_(pack<T>(options, weights, prefix)) {}

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
  if (steps == 1) {  // channels first and channels last are the same
    convolve_batch(options_, packed_, frames, {}, y.data(), out, out, options.threads);
    return y;
  }
  Tensor<T> channels_last({batch, steps, out});
  convolve_batch(options_, packed_, frames, {}, channels_last.data(), steps * out, out, options.threads);
  parallel_ranges(batch, kGrainOperations / (steps * out) + 1, options.threads,
                  [&](std::size_t begin, std::size_t end) {
                    for (std::size_t b = begin; b < end; ++b) {
                      const T* const from = channels_last.data() + b * steps * out;
                      T* to = y.data() + b * steps * out;
                      for (std::size_t c = 0; c < out; ++c) {
                        for (std::size_t s = 0; s < steps; ++s) *to++ = from[s * out + c];
                      }
                    }
                  });
  return y;
}

template <class T>
void Conv1d<T>::forward_channels_last(std::size_t length, const T* x, T* y, T* scratch) const noexcept {
  const std::size_t columns = columns_of(options_, length);
  const std::size_t steps = steps_out(options_, length);
  Rows<T> row{x, 0, columns, y, 0, options_.out_channels, steps, nullptr};
  if (!is_laid_out(options_)) {
    zero_padding(options_, length, columns, scratch);
    lay_out(options_, x, static_cast<std::ptrdiff_t>(options_.in_channels), 1, length, columns, scratch);
    row.frames = scratch;
  }
  convolve(options_, packed_, row, 0, steps);
}

template <class T>
std::size_t Conv1d<T>::scratch_size(std::size_t length) const noexcept {
  if (is_laid_out(options_)) return 0;
  return phases_of(options_) * columns_of(options_, length) * options_.in_channels;
}

template <class T>
std::size_t Conv1d<T>::output_length(std::size_t length) const {
  const std::size_t steps = steps_out(options_, length);
  if (steps == 0) {
    throw ShapeError("Conv1d: an input of length " + std::to_string(length) + " with padding " +
                     std::to_string(options_.padding) + " is shorter than the kernel, which spans " +
                     std::to_string(span_of(options_)));
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
  const std::size_t window = options_.kernel_size * (options_.in_channels / options_.groups);
  return 2.0 * static_cast<double>(window) * static_cast<double>(options_.out_channels);
}

template <class T>
SequenceOutput<T> Conv1d<T>::run(const Sequence<T>& in, const RunOptions& options) const {
  check_sequence("Conv1d::run", in, options_.in_channels);
  const std::size_t batch = in.x.dim(1);
  const std::size_t out = options_.out_channels;
  SequenceOutput<T> result{Tensor<T>({output_length(in.x.dim(0)), batch, out}), same_lengths(in)};
  const std::vector<std::size_t> lengths(in.lengths.begin(), in.lengths.end());
  convolve_batch(options_, packed_, in.x.transpose(0, 1), lengths, result.y.data(), out, batch * out,
                 options.threads);
  for (std::int64_t& length : result.lengths) {
    length = static_cast<std::int64_t>(steps_out(options_, static_cast<std::size_t>(length)));
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
  return std::make_unique<Conv1dStepper<T>>(options_, packed_, batch);
}

template class Conv1d<float>;
template class Conv1d<double>;

}  // namespace sluice
