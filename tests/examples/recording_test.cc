// SPDX-License-Identifier: Apache-2.0
#include "vad/recording.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <numbers>

namespace vad {
namespace {

/// A sound file in the folder for temporary files, gone at the end of the test.
class SoundFile {
 public:
  SoundFile(int rate, int channels, int format, std::size_t frames,
            const std::function<float(std::size_t frame, int channel)>& sample)
      : path_(testing::TempDir() + "sluice_recording_" + std::to_string(getpid()) + ".wav") {
    SF_INFO info{};
    info.samplerate = rate;
    info.channels = channels;
    info.format = SF_FORMAT_WAV | format;
    SNDFILE* file = sf_open(path_.c_str(), SFM_WRITE, &info);
    std::vector<float> samples;
    for (std::size_t i = 0; i < frames; ++i) {
      for (int c = 0; c < channels; ++c) samples.push_back(sample(i, c));
    }
    sf_writef_float(file, samples.data(), static_cast<sf_count_t>(frames));
    sf_close(file);
  }
  ~SoundFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::vector<float> read_all(const std::string& path, std::size_t block) {
  Recording recording(path, 16000);
  std::vector<float> all, buffer(block);
  for (;;) {
    const std::size_t got = recording.read(buffer);
    all.insert(all.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(got));
    if (got < block) return all;
  }
}

float tone(double hz, double rate, std::size_t i) {
  return static_cast<float>(0.5 * std::sin(2 * std::numbers::pi * hz * static_cast<double>(i) / rate));
}

TEST(Recording, SixteenBitSamplesAreExact) {
  const SoundFile file(16000, 1, SF_FORMAT_PCM_16, 10000,
                       [](std::size_t i, int) { return static_cast<float>(i) / 32768.0f; });
  const auto samples = read_all(file.path(), 512);
  ASSERT_EQ(samples.size(), 10000u);
  // libsndfile scales by 32767 when it writes floats, so written and read values differ by at most one step.
  for (std::size_t i = 0; i < samples.size(); ++i) {
    EXPECT_EQ(samples[i] * 32768.0f, std::round(samples[i] * 32768.0f));
    EXPECT_NEAR(samples[i], static_cast<float>(i) / 32768.0f, 1.01f / 32768.0f);
  }
}

TEST(Recording, ChannelsBecomeTheirMean) {
  const SoundFile file(16000, 3, SF_FORMAT_FLOAT, 1000, [](std::size_t i, int channel) {
    return static_cast<float>(channel) * 0.25f + static_cast<float>(i % 2);
  });
  const auto samples = read_all(file.path(), 100);
  ASSERT_EQ(samples.size(), 1000u);
  for (std::size_t i = 0; i < samples.size(); ++i) EXPECT_EQ(samples[i], 0.25f + static_cast<float>(i % 2));
}

TEST(Recording, OtherRatesKeepATone) {
  for (const int rate : {8000, 22050, 44100, 48000, 96000}) {
    const SoundFile file(rate, 1, SF_FORMAT_FLOAT, static_cast<std::size_t>(rate),
                         [&](std::size_t i, int) { return tone(1000, rate, i); });
    const auto samples = read_all(file.path(), 512);
    EXPECT_NEAR(static_cast<double>(samples.size()), 16000.0, 2.0) << rate;
    // Away from the ends, where the filter sees the silence outside: the resampler's noise is 121 dB below
    // full scale, so 1e-6 of it, and the pass band is flat to about 1e-4.
    for (std::size_t i = 1000; i < 15000; ++i) {
      ASSERT_NEAR(samples[i], tone(1000, 16000, i), 2e-4) << rate << ' ' << i;
    }
  }
}

TEST(Recording, WhatSixteenKilohertzCannotHoldIsGone) {
  const SoundFile file(48000, 1, SF_FORMAT_FLOAT, 48000,
                       [](std::size_t i, int) { return tone(12000, 48000, i); });
  const auto samples = read_all(file.path(), 512);
  // Taking every third sample would give a tone of 4 kHz as loud as the input; 80 dB below it is silence.
  for (std::size_t i = 1000; i < 15000; ++i) ASSERT_NEAR(samples[i], 0.0f, 5e-5f);
}

TEST(Recording, BlocksOfAnySizeGiveTheSameSamples) {
  for (const int rate : {16000, 48000}) {
    const SoundFile file(rate, 2, SF_FORMAT_PCM_16, 20011,
                         [&](std::size_t i, int c) { return tone(300 + 100 * c, rate, i); });
    const auto whole = read_all(file.path(), 100000);
    EXPECT_EQ(read_all(file.path(), 512), whole);
    EXPECT_EQ(read_all(file.path(), 7), whole);
  }
}

TEST(Recording, SamplesThatAreNoNumbersAreSilence) {
  const SoundFile file(16000, 1, SF_FORMAT_FLOAT, 100, [](std::size_t i, int) {
    if (i == 10) return std::numeric_limits<float>::quiet_NaN();
    return i == 20 ? std::numeric_limits<float>::infinity() : 0.5f;
  });
  const auto samples = read_all(file.path(), 100);
  ASSERT_EQ(samples.size(), 100u);
  for (std::size_t i = 0; i < samples.size(); ++i) EXPECT_EQ(samples[i], i == 10 || i == 20 ? 0.0f : 0.5f);
}

TEST(Recording, AMissingFileIsNamed) {
  try {
    Recording("/nowhere/speech.wav", 16000);
    FAIL() << "no exception";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("/nowhere/speech.wav: "), std::string::npos) << error.what();
  }
}

TEST(Recording, AFileThatIsNoSoundIsRefused) {
  EXPECT_THROW(Recording(SLUICE_SOURCE_DIR "/CMakeLists.txt", 16000), std::runtime_error);
}

}  // namespace
}  // namespace vad
