// SPDX-License-Identifier: Apache-2.0
// LastStep and MeanOverTime: a sequence becomes one value.
#include <algorithm>
#include <vector>

#include "core/threads.h"
#include "layers/sequence.h"
#include "sluice/layers.h"

namespace sluice {
namespace {

// Below about this many elements read a thread's work costs less than starting it.
constexpr std::size_t kGrainElements = std::size_t{1} << 16;

template <class T>
class LastStepStepper final : public Stepper<T> {
 public:
  LastStepStepper(std::size_t batch, std::size_t features) : y_({batch, features}) {}

  // A copy, since y lives until the next call and the caller's x need not.
  const T* step(const T* x) noexcept override {
    std::copy_n(x, y_.size(), y_.data());
    return y_.data();
  }
  void reset() noexcept override {}

 private:
  Tensor<T> y_;
};

template <class T>
class MeanOverTimeStepper final : public Stepper<T> {
 public:
  MeanOverTimeStepper(std::size_t batch, std::size_t features)
      : sums_({batch, features}), y_({batch, features}) {}

  const T* step(const T* x) noexcept override {
    ++steps_;
    for (std::size_t i = 0; i < y_.size(); ++i) {
      sums_.data()[i] += static_cast<double>(x[i]);
      y_.data()[i] = static_cast<T>(sums_.data()[i] / static_cast<double>(steps_));
    }
    return y_.data();
  }
  void reset() noexcept override {
    std::fill_n(sums_.data(), sums_.size(), 0.0);
    steps_ = 0;
  }

 private:
  Tensor<double> sums_;
  Tensor<T> y_;
  std::size_t steps_ = 0;
};

// The mean of the first `length` steps of row b. `sums` is zero on entry; y is left as it is for length 0.
template <class T>
void mean_of_row(TensorView<const T> x, std::size_t b, std::size_t length, double* sums, T* y) noexcept {
  const std::size_t features = x.dim(2);
  for (std::size_t t = 0; t < length; ++t) {
    const TensorView<const T> frame = x.select(0, t).select(0, b);
    const T* const from = frame.data();
    for (std::size_t f = 0; f < features; ++f) {
      sums[f] += static_cast<double>(from[static_cast<std::ptrdiff_t>(f) * frame.stride(0)]);
    }
  }
  for (std::size_t f = 0; length > 0 && f < features; ++f) {
    y[f] = static_cast<T>(sums[f] / static_cast<double>(length));
  }
}

}  // namespace

template <class T>
SequenceOutput<T> LastStep<T>::run(const Sequence<T>& in, const RunOptions&) const {
  check_sequence("LastStep::run", in);
  const std::size_t features = in.x.dim(2);
  SequenceOutput<T> out{Tensor<T>({1, in.x.dim(1), features}), {}};
  for (std::size_t b = 0; b < in.x.dim(1); ++b) {
    const std::size_t length = length_of(in, b);
    if (length == 0) continue;
    for (std::size_t f = 0; f < features; ++f) out.y(0, b, f) = in.x(length - 1, b, f);
  }
  return out;
}

template <class T>
std::unique_ptr<Stepper<T>> LastStep<T>::stepper(std::size_t batch, std::size_t input_size) const {
  return std::make_unique<LastStepStepper<T>>(batch, input_size);
}

template <class T>
SequenceOutput<T> MeanOverTime<T>::run(const Sequence<T>& in, const RunOptions& options) const {
  check_sequence("MeanOverTime::run", in);
  const std::size_t batch = in.x.dim(1);
  const std::size_t features = in.x.dim(2);
  SequenceOutput<T> out{Tensor<T>({1, batch, features}), {}};
  // Summed in double, as the stepper does.
  Tensor<double> sums({batch, features});
  const std::size_t row_elements = std::max<std::size_t>(in.x.dim(0) * features, 1);
  parallel_ranges(
      batch, kGrainElements / row_elements + 1, options.threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t b = begin; b < end; ++b) {
          mean_of_row(in.x, b, length_of(in, b), sums.data() + b * features, out.y.data() + b * features);
        }
      });
  return out;
}

template <class T>
std::unique_ptr<Stepper<T>> MeanOverTime<T>::stepper(std::size_t batch, std::size_t input_size) const {
  return std::make_unique<MeanOverTimeStepper<T>>(batch, input_size);
}

template <class T>
SequenceOutput<T> LastStep<T>::record(const Sequence<T>& in, Tape& tape, const RecordOptions& options) const {
  refuse_windows("LastStep::record", options, "it needs the end of the sequence");
  return record_input(*this, in, tape, options);
}

template <class T>
Tensor<T> LastStep<T>::backward(TensorView<const T> grad, Tape& tape, Parameters<T>&,
                                const BackwardOptions& options) const {
  const auto entry = tape.take<SequenceEntry<T>>();
  const TensorView<const T> x = entry->x;
  check_shape("LastStep::backward", "grad", grad.shape(), Shape{1, x.dim(1), x.dim(2)});
  if (!options.wants_input) return {};
  Tensor<T> grad_x(x.shape());
  for (std::size_t b = 0; b < x.dim(1); ++b) {
    if (entry->length(b) == 0) continue;
    for (std::size_t f = 0; f < x.dim(2); ++f) grad_x(entry->length(b) - 1, b, f) = grad(0, b, f);
  }
  return grad_x;
}

template <class T>
SequenceOutput<T> MeanOverTime<T>::record(const Sequence<T>& in, Tape& tape,
                                          const RecordOptions& options) const {
  refuse_windows("MeanOverTime::record", options, "it needs the whole sequence");
  return record_input(*this, in, tape, options);
}

template <class T>
Tensor<T> MeanOverTime<T>::backward(TensorView<const T> grad, Tape& tape, Parameters<T>&,
                                    const BackwardOptions& options) const {
  const auto entry = tape.take<SequenceEntry<T>>();
  const TensorView<const T> x = entry->x;
  check_shape("MeanOverTime::backward", "grad", grad.shape(), Shape{1, x.dim(1), x.dim(2)});
  if (!options.wants_input) return {};
  Tensor<T> grad_x(x.shape());
  for (std::size_t b = 0; b < x.dim(1); ++b) {
    const auto length = static_cast<double>(entry->length(b));
    for (std::size_t t = 0; t < entry->length(b); ++t) {
      for (std::size_t f = 0; f < x.dim(2); ++f) {
        grad_x(t, b, f) = static_cast<T>(static_cast<double>(grad(0, b, f)) / length);
      }
    }
  }
  return grad_x;
}

template class LastStep<float>;
template class LastStep<double>;
template class MeanOverTime<float>;
template class MeanOverTime<double>;

}  // namespace sluice
