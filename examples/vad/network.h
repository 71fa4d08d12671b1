// SPDX-License-Identifier: Apache-2.0
// Silero VAD, a voice activity detector for 16 kHz speech (github.com/snakers4/silero-vad, MIT licence),
// built from sluice's modules. It takes 512 new samples (32 ms) a step and says how likely they are speech.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "sluice/sluice.h"

namespace vad {

inline constexpr std::size_t kSampleRate = 16000;
inline constexpr std::size_t kWindow = 512;  // new samples of a step

/// One stream of audio. Takes all its memory when made; `step` takes none.
template <class T = float>
class SpeechDetector {
 public:
  /// The 15 tensors of silero_vad_16k.safetensors. Throws sluice::Error if one is missing, has another shape
  /// or is not used.
  explicit SpeechDetector(const sluice::StateDict<T>& weights);

  /// The probability that the next kWindow samples, in [-1, 1], are speech.
  T step(std::span<const T, kWindow> samples) noexcept;
  /// Back to silence before the first sample.
  void reset() noexcept;
  /// Counts the time of each part of a step into `timer`, which must outlive this, from now on.
  void set_timer(sluice::PartTimer& timer);

  /// Multiplications and additions of the products of one step, and the bytes of weights that it reads.
  double flops_per_window() const;
  std::size_t weight_bytes() const;

 private:
  static constexpr std::size_t kContext = 64;    // samples seen again from the window before
  static constexpr std::size_t kReflected = 64;  // samples mirrored at the right end
  static constexpr std::size_t kInput = kContext + kWindow + kReflected;
  static constexpr std::size_t kBins = 129;  // of the Fourier transform
  static constexpr std::size_t kHidden = 128;

  // Numbers of the timer's parts.
  struct Parts {
    std::size_t window = 0, stft = 0, magnitudes = 0, encoder = 0, lstm = 0, head = 0;
  };

  std::vector<sluice::ParameterInfo> parameters() const;
  void magnitudes(std::size_t frames) noexcept;
  void end_part(std::size_t part) noexcept {
    if (timer_ != nullptr) timer_->end_part(part);
  }

  sluice::Conv1d<T> stft_;                  // 1 -> real and imaginary parts of 129 bins
  std::vector<sluice::Conv1d<T>> encoder_;  // 129 -> 128 -> 64 -> 64 -> 128, a relu after each
  sluice::LSTMCell<T> lstm_;
  sluice::Conv1d<T> head_;  // 128 -> 1

  std::vector<T> input_;           // [640]: context, window, reflection
  std::vector<T> frames_, next_;   // [time, channels] between one layer and the next
  std::vector<T> scratch_;         // what a convolution needs for its padding
  std::vector<T> h_, h_next_, c_;  // the state of the LSTM

  sluice::PartTimer* timer_ = nullptr;
  Parts parts_;
};

template <class T>
SpeechDetector<T>::SpeechDetector(const sluice::StateDict<T>& weights)
    : stft_({.in_channels = 1, .out_channels = 2 * kBins, .kernel_size = 256, .stride = 128, .bias = false},
            weights, "stft_conv."),
      lstm_({.input_size = 128, .hidden_size = kHidden}, weights, "lstm_cell."),
      head_({.in_channels = kHidden, .out_channels = 1, .kernel_size = 1}, weights, "final_conv."),
      input_(kInput),
      h_(kHidden),
      h_next_(kHidden),
      c_(kHidden) {
  const auto conv = [&](std::size_t in, std::size_t out, std::size_t stride, const char* prefix) {
    encoder_.emplace_back(
        sluice::Conv1dOptions{
            .in_channels = in, .out_channels = out, .kernel_size = 3, .stride = stride, .padding = 1},
        weights, prefix);
  };
  conv(kBins, 128, 1, "conv1.");
  conv(128, 64, 2, "conv2.");
  conv(64, 64, 2, "conv3.");
  conv(64, 128, 1, "conv4.");

  if (parameters().size() != weights.size()) {
    throw sluice::Error("SpeechDetector: the model has " + std::to_string(weights.size()) +
                        " tensors, expected " + std::to_string(parameters().size()));
  }

  // The buffers take the largest of what the layers need.
  std::size_t length = stft_.output_length(kInput), elements = length * 2 * kBins;
  std::size_t scratch = std::max(stft_.scratch_size(kInput), head_.scratch_size(1));
  for (const auto& layer : encoder_) {
    scratch = std::max(scratch, layer.scratch_size(length));
    length = layer.output_length(length);
    elements = std::max(elements, length * layer.options().out_channels);
  }
  frames_.resize(elements);
  next_.resize(elements);
  scratch_.resize(scratch);
}

template <class T>
T SpeechDetector<T>::step(std::span<const T, kWindow> samples) noexcept {
  if (timer_ != nullptr) timer_->begin_run();
  // [context | window | reflection]: the last samples of the window before, the new ones, and those mirrored
  // about the last one.
  std::copy_n(input_.data() + kWindow, kContext, input_.data());
  std::copy(samples.begin(), samples.end(), input_.data() + kContext);
  const std::size_t end = kContext + kWindow;
  for (std::size_t i = 0; i < kReflected; ++i) input_[end + i] = input_[end - 2 - i];
  end_part(parts_.window);

  stft_.forward_channels_last(kInput, input_.data(), frames_.data(), scratch_.data());
  end_part(parts_.stft);
  std::size_t length = stft_.output_length(kInput);
  magnitudes(length);
  end_part(parts_.magnitudes);
  for (std::size_t i = 0; i < encoder_.size(); ++i) {
    const sluice::Conv1d<T>& layer = encoder_[i];
    layer.forward_channels_last(length, frames_.data(), next_.data(), scratch_.data());
    length = layer.output_length(length);
    const std::span<T> y(next_.data(), length * layer.options().out_channels);
    sluice::relu(y, y);
    std::swap(frames_, next_);
    end_part(parts_.encoder + i);
  }
  // One frame of 128 features is left: the input of the LSTM.
  lstm_.step(1, frames_.data(), h_.data(), c_.data(), h_next_.data(), c_.data());
  std::swap(h_, h_next_);
  end_part(parts_.lstm);
  const std::span<T> features(next_.data(), kHidden);
  sluice::relu(h_, features);
  T logit = 0;
  head_.forward_channels_last(1, features.data(), &logit, scratch_.data());
  const T probability = sluice::sigmoid(logit);
  end_part(parts_.head);
  if (timer_ != nullptr) timer_->end_run();
  return probability;
}

template <class T>
void SpeechDetector<T>::set_timer(sluice::PartTimer& timer) {
  timer_ = &timer;
  parts_.window = timer.add_part("window");
  parts_.stft = timer.add_part(stft_, kInput, 1, 1);
  std::size_t length = stft_.output_length(kInput);
  parts_.magnitudes = timer.add_part("magnitudes");
  parts_.encoder = parts_.magnitudes + 1;
  for (const auto& layer : encoder_) {
    timer.add_part(layer, length, 1, layer.options().in_channels);
    length = layer.output_length(length);
  }
  parts_.lstm = timer.add_part(lstm_, 1);
  parts_.head = timer.add_part(head_, 1, 1, kHidden);
}

/// frames_ [frames, 2 * kBins], real parts before imaginary ones, becomes [frames, kBins].
template <class T>
void SpeechDetector<T>::magnitudes(std::size_t frames) noexcept {
  for (std::size_t t = 0; t < frames; ++t) {
    const T* re = frames_.data() + t * 2 * kBins;
    const T* im = re + kBins;
    T* out = next_.data() + t * kBins;
    for (std::size_t k = 0; k < kBins; ++k) out[k] = std::sqrt(re[k] * re[k] + im[k] * im[k]);
  }
  std::swap(frames_, next_);
}

template <class T>
void SpeechDetector<T>::reset() noexcept {
  std::fill(input_.begin(), input_.end(), T{0});
  std::fill(h_.begin(), h_.end(), T{0});
  std::fill(c_.begin(), c_.end(), T{0});
}

template <class T>
std::vector<sluice::ParameterInfo> SpeechDetector<T>::parameters() const {
  std::vector<sluice::ParameterInfo> all;
  const auto add = [&](const auto& module) {
    for (auto& parameter : module.parameters()) all.push_back(parameter);
  };
  add(stft_);
  for (const auto& layer : encoder_) add(layer);
  add(lstm_);
  add(head_);
  return all;
}

template <class T>
double SpeechDetector<T>::flops_per_window() const {
  std::size_t length = stft_.output_length(kInput);
  double flops = static_cast<double>(length) * stft_.flops_per_step(1);
  for (const auto& layer : encoder_) {
    length = layer.output_length(length);
    flops += static_cast<double>(length) * layer.flops_per_step(layer.options().in_channels);
  }
  return flops + lstm_.flops_per_step() + head_.flops_per_step(kHidden);
}

template <class T>
std::size_t SpeechDetector<T>::weight_bytes() const {
  std::size_t elements = 0;
  for (const auto& parameter : parameters()) elements += parameter.shape.size();
  return elements * sizeof(T);
}

}  // namespace vad
