// SPDX-License-Identifier: Apache-2.0
// Finds the speech in recordings, as a voice assistant would: window by window, as the sound comes.
//
//   vad --model silero_vad_16k.safetensors speech.wav [more.wav ...] [--out DIR] [--dtype float64]
//   [--profile]
//
// Prints the segments of speech and the speed; writes DIR/vad.csv (one probability a line, one line a window
// of 32 ms) and DIR/vad.svg. Several recordings are heard one after the other, as one. With --profile also
// where the time of a window goes, and DIR/profile.html.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/sluice.h"
#include "vad/network.h"
#include "vad/picture.h"
#include "vad/recording.h"
#include "vad/segments.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::vector<std::string> inputs;
  std::string model, out = "out", dtype = "float32";
  bool profile = false;
};

/// What was heard: a probability and the time it took for each window, and what the picture needs.
struct Heard {
  std::vector<double> probabilities;
  std::vector<double> us;  // microseconds for each window
  std::vector<vad::Peak> peaks;
  std::vector<vad::Source> sources;
  std::size_t samples = 0;
};

constexpr std::size_t kPeak = 64;  // samples of one peak of the picture

/// Hands the samples of all recordings to the detector as one stream, in windows; the last is filled up with
/// silence.
template <class T>
class Listener {
 public:
  explicit Listener(vad::SpeechDetector<T>& detector) : detector_(detector) {}

  void hear(const std::string& path) {
    heard.sources.push_back({static_cast<double>(heard.samples) / vad::kSampleRate,
                             std::filesystem::path(path).filename().string()});
    vad::Recording recording(path, vad::kSampleRate);
    for (;;) {
      const std::size_t got = recording.read(std::span(window_).subspan(filled_));
      heard.samples += got;
      filled_ += got;
      if (filled_ < window_.size()) return;
      step();
    }
  }

  void finish() {
    if (filled_ == 0) return;
    std::fill(window_.begin() + static_cast<std::ptrdiff_t>(filled_), window_.end(), 0.0f);
    step();
  }

  Heard heard;

 private:
  void step() {
    std::copy(window_.begin(), window_.end(), samples_.begin());
    const auto start = Clock::now();
    const T probability = detector_.step(samples_);
    const std::chrono::duration<double, std::micro> took = Clock::now() - start;
    heard.probabilities.push_back(static_cast<double>(probability));
    heard.us.push_back(took.count());
    for (std::size_t i = 0; i < window_.size(); i += kPeak) {
      const auto [low, high] = std::minmax_element(&window_[i], &window_[i] + kPeak);
      heard.peaks.push_back({*low, *high});
    }
    filled_ = 0;
  }

  vad::SpeechDetector<T>& detector_;
  std::array<float, vad::kWindow> window_{};
  std::array<T, vad::kWindow> samples_{};
  std::size_t filled_ = 0;
};

/// Microseconds to read that many bytes once and do nothing else, the least of many times: no step that uses
/// all its weights can take less. memchr reads with the widest vectors that the machine has.
double read_us(std::size_t bytes) {
  const std::vector<char> memory(bytes, 1);
  double least = std::numeric_limits<double>::infinity();
  const void* volatile found = nullptr;
  for (int i = 0; i < 200; ++i) {
    const auto start = Clock::now();
    found = std::memchr(memory.data(), 0, bytes);
    least = std::min(least, std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  static_cast<void>(found);
  return least;
}

void print_speed(std::vector<double> us, double flops, std::size_t weight_bytes) {
  std::sort(us.begin(), us.end());
  const double median = us[us.size() / 2];  // whatever else the machine does meanwhile
  const double window_us = 1e6 * vad::kWindow / vad::kSampleRate;
  const auto bytes = static_cast<double>(weight_bytes);
  std::printf("speed   %.0f times real time on one thread (%s): %.1f us a window of %.0f ms, the median\n",
              window_us / median, sluice::active_target().c_str(), median, window_us / 1000);
  std::printf(
      "bound   %.2f MFLOP and %.2f MB of weights a window: %.0f GFLOP/s, %.0f GB/s; "
      "only reading as many bytes takes %.1f us\n",
      flops / 1e6, bytes / 1e6, flops / median / 1e3, bytes / median / 1e3, read_us(weight_bytes));
}

void write_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) throw std::runtime_error(path.string() + ": cannot write");
}

std::string to_csv(const std::vector<double>& probabilities, int digits) {
  std::string csv;
  char line[40];
  for (const double p : probabilities) {
    std::snprintf(line, sizeof line, "%.*g\n", digits, p);
    csv += line;
  }
  return csv;
}

/// Where the time of a window goes, by the parts of the network.
template <class T>
void profile(vad::SpeechDetector<T>& detector, const Options& options) {
  std::array<T, vad::kWindow> samples{};
  for (std::size_t i = 0; i < samples.size(); ++i) samples[i] = std::sin(T(0.05) * static_cast<T>(i));
  sluice::Profiler profiler;
  sluice::PartTimer timer(profiler);
  detector.set_timer(timer);
  const sluice::ProfileReport report = sluice::profile_parts(
      timer, [&] { detector.step(samples); }, {.repeat = 50, .threads = 1, .model = options.model});
  std::printf("\n%s", sluice::profile_table(report, false).c_str());
  write_file(std::filesystem::path(options.out) / "profile.html", sluice::profile_html(report));
}

template <class T>
void run(const Options& options) {
  const auto file = sluice::SafetensorsFile::open(options.model);
  vad::SpeechDetector<T> detector(file.state_dict<T>());
  Listener<T> listener(detector);
  for (const std::string& input : options.inputs) listener.hear(input);
  listener.finish();
  const Heard& heard = listener.heard;
  if (heard.samples == 0) throw std::runtime_error("no samples in " + options.inputs[0]);

  const vad::SegmentRule rule;
  const auto segments = vad::speech_segments<double>(heard.probabilities, vad::kWindow, heard.samples, rule);
  const double rate = vad::kSampleRate, seconds = static_cast<double>(heard.samples) / rate;
  for (const vad::Segment& segment : segments) {
    std::printf("speech  %8.2f - %8.2f s\n", static_cast<double>(segment.begin) / rate,
                static_cast<double>(segment.end) / rate);
  }
  std::printf("found   %zu segment%s in %.1f s (%zu windows)\n", segments.size(),
              segments.size() == 1 ? "" : "s", seconds, heard.probabilities.size());
  print_speed(heard.us, detector.flops_per_window(), detector.weight_bytes());

  const std::filesystem::path out(options.out);
  std::filesystem::create_directories(out);
  write_file(out / "vad.csv", to_csv(heard.probabilities, std::numeric_limits<T>::max_digits10));
  write_file(out / "vad.svg", vad::to_svg({.sources = heard.sources,
                                           .seconds = seconds,
                                           .peak_seconds = kPeak / rate,
                                           .peaks = heard.peaks,
                                           .window_seconds = vad::kWindow / rate,
                                           .probabilities = heard.probabilities,
                                           .threshold = rule.threshold,
                                           .sample_rate = rate,
                                           .segments = segments}));
  std::printf("wrote   %s and %s\n", (out / "vad.csv").c_str(), (out / "vad.svg").c_str());
  if (options.profile) profile(detector, options);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Finds the speech in recordings (Silero VAD on sluice)", "vad");
  app.add_option("wav", options.inputs, "sound files: any rate, any channels")->required();
  app.add_option("--model", options.model, "silero_vad_16k.safetensors")->required();
  app.add_option("--out", options.out, "folder for vad.csv and vad.svg")->capture_default_str();
  app.add_option("--dtype", options.dtype, "what to compute in")
      ->check(CLI::IsMember({"float32", "float64"}))
      ->capture_default_str();
  app.add_flag("--profile", options.profile, "tell where the time of a window goes");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    options.dtype == "float64" ? run<double>(options) : run<float>(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "vad: error: %s\n", error.what());
    return 1;
  }
  return 0;
}
