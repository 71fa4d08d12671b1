// SPDX-License-Identifier: Apache-2.0
// A model run one time step at a time, safe on a real-time thread.
#pragma once

#include <memory>
#include <utility>

#include "sluice/module.h"
#include "sluice/tensor.h"

namespace sluice {

/// Steps a model (any Module) through time, `batch` independent streams at once. The stream owns all that
/// changes; the model is only read, so any number of streams on any threads share one. The model must outlive
/// the stream.
template <class T = float>
class Stream {
 public:
  /// Takes all the memory the stream will ever need. Throws ShapeError if the model does not take
  /// `input_size` features, Error where it cannot run step by step: a bidirectional layer, a convolution with
  /// padding.
  Stream(const Module<T>& model, std::size_t batch, std::size_t input_size)
      : batch_(batch),
        input_size_(input_size),
        output_size_(model.output_size(input_size)),
        stepper_(model.stepper(batch, input_size)) {}

  /// Advances one time step. No memory, no lock, no system call, no exception.
  ///   x  [batch, input_size], contiguous
  /// Returns y [batch, output_size], which lives until the next call; null where this step gives no output
  /// yet (a convolution that has not seen a whole kernel, or skips this step by its stride). The bits are
  /// those of a whole sequence run at once, at any batch size.
  TensorView<const T> step(const T* x) noexcept {
    const T* y = stepper_->step(x);
    return y == nullptr ? TensorView<const T>() : TensorView<const T>(y, {batch_, output_size_});
  }

  /// Back to the state of a fresh stream. No memory, no lock.
  void reset() noexcept { stepper_->reset(); }

  /// Counts steps into `profiler` (sluice/profile.h), which must outlive this stream, from now on; null: no
  /// more. Takes memory and a lock here, so that steps take none. Of a model that is neither a Sequential nor
  /// recurrent nothing is counted.
  void set_profiler(Profiler* profiler) { stepper_->set_profiler(profiler); }

  std::size_t batch() const noexcept { return batch_; }
  std::size_t input_size() const noexcept { return input_size_; }
  std::size_t output_size() const noexcept { return output_size_; }

 private:
  std::size_t batch_;
  std::size_t input_size_;
  std::size_t output_size_;
  std::unique_ptr<Stepper<T>> stepper_;
};

}  // namespace sluice
