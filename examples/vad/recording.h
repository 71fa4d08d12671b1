// SPDX-License-Identifier: Apache-2.0
// Sound files as the detector wants them: 16 kHz, mono, block by block, so that a long recording never lies
// in memory whole. libsndfile knows the formats, libsamplerate the resampling.
#pragma once

#include <samplerate.h>
#include <sndfile.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace vad {

/// A sound file being read. Stays where it was made: the resampler calls back into it.
class Recording {
 public:
  /// Throws std::runtime_error with the path and what is wrong.
  Recording(const std::string& path, int sample_rate) : path_(path) {
    SF_INFO info{};
    file_.reset(sf_open(path.c_str(), SFM_READ, &info));
    if (!file_) throw std::runtime_error(path + ": " + sf_strerror(nullptr));
    channels_ = static_cast<std::size_t>(info.channels);
    file_rate_ = info.samplerate;
    ratio_ = static_cast<double>(sample_rate) / file_rate_;
    if (!src_is_valid_ratio(ratio_)) {
      throw std::runtime_error(path + ": cannot resample " + std::to_string(file_rate_) + " Hz to " +
                               std::to_string(sample_rate) + " Hz");
    }
    interleaved_.resize(kBlock * channels_);
    mono_.resize(kBlock);
    if (file_rate_ != sample_rate) {
      int error = 0;
      // A windowed sinc with 121 dB of signal to noise, beyond the 98 dB of 16 bit samples.
      resampler_.reset(src_callback_new(&Recording::next_block, SRC_SINC_MEDIUM_QUALITY, 1, &error, this));
      if (!resampler_) throw std::runtime_error(path + ": " + src_strerror(error));
    }
  }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  /// Fills `out` with the next samples; gives how many, fewer than asked for only at the end.
  /// Throws std::runtime_error if the file cannot be read on.
  std::size_t read(std::span<float> out) {
    std::size_t done = 0;
    while (done < out.size()) {
      const std::size_t got = read_some(out.subspan(done));
      if (got == 0) break;
      done += got;
    }
    if (sf_error(file_.get()) != SF_ERR_NO_ERROR) {
      throw std::runtime_error(path_ + ": " + sf_strerror(file_.get()));
    }
    return done;
  }

  int file_rate() const noexcept { return file_rate_; }
  std::size_t channels() const noexcept { return channels_; }

 private:
  static constexpr std::size_t kBlock = 4096;

  std::size_t read_some(std::span<float> out) {
    if (resampler_) {
      const long got = src_callback_read(resampler_.get(), ratio_, static_cast<long>(out.size()), out.data());
      if (got == 0 && src_error(resampler_.get()) != 0) {
        throw std::runtime_error(path_ + ": " + src_strerror(src_error(resampler_.get())));
      }
      return static_cast<std::size_t>(got);
    }
    if (used_ == filled_) {
      filled_ = fill();
      used_ = 0;
    }
    const std::size_t n = std::min(out.size(), filled_ - used_);
    std::copy_n(mono_.data() + used_, n, out.data());
    used_ += n;
    return n;
  }

  /// The next block of the file into mono_: the mean of the channels. A sample that is no number (a broken
  /// float file) becomes silence: it would stay in the detector's state for ever.
  std::size_t fill() {
    const sf_count_t got = sf_readf_float(file_.get(), interleaved_.data(), kBlock);
    const auto frames = static_cast<std::size_t>(got > 0 ? got : 0);
    for (std::size_t i = 0; i < frames; ++i) {
      float sum = 0;
      for (std::size_t k = 0; k < channels_; ++k) sum += interleaved_[i * channels_ + k];
      mono_[i] = std::isfinite(sum) ? sum / static_cast<float>(channels_) : 0.0f;
    }
    return frames;
  }

  static long next_block(void* self, float** data) {
    auto* recording = static_cast<Recording*>(self);
    *data = recording->mono_.data();
    return static_cast<long>(recording->fill());
  }

  struct Close {
    void operator()(SNDFILE* file) const noexcept { sf_close(file); }
    void operator()(SRC_STATE* state) const noexcept { src_delete(state); }
  };
  std::string path_;
  std::unique_ptr<SNDFILE, Close> file_;
  std::unique_ptr<SRC_STATE, Close> resampler_;  // null where the rate is right already
  std::size_t channels_ = 0;
  int file_rate_ = 0;
  double ratio_ = 1;
  std::vector<float> interleaved_, mono_;
  std::size_t used_ = 0, filled_ = 0;  // of mono_, without a resampler
};

}  // namespace vad
