// SPDX-License-Identifier: Apache-2.0
// From one probability a window to segments of speech, by the rule that users of Silero VAD know
// (`get_speech_timestamps` of its Python package, without its limit on the length of a segment).
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace vad {

/// Samples [begin, end).
struct Segment {
  std::size_t begin = 0;
  std::size_t end = 0;
  friend bool operator==(const Segment&, const Segment&) = default;
};

/// Durations in samples; the defaults are Silero's, at 16 kHz.
struct SegmentRule {
  double threshold = 0.5;          ///< speech begins at a window of at least this probability ...
  double neg_threshold = 0.35;     ///< ... and ends at one below this,
  std::size_t min_silence = 1600;  ///< if none of at least `threshold` comes within 100 ms.
  std::size_t min_speech = 4000;   ///< Segments of 250 ms or less are dropped.
  std::size_t padding = 480;       ///< The others grow by 30 ms on both sides, or meet half way.
};

/// probabilities[i] is that of samples [i * window, (i + 1) * window) of a recording of `samples` samples.
template <class T>
std::vector<Segment> speech_segments(std::span<const T> probabilities, std::size_t window,
                                     std::size_t samples, const SegmentRule& rule = {}) {
  std::vector<Segment> segments;
  const auto keep = [&](std::size_t begin, std::size_t end) {
    if (end - begin > rule.min_speech) segments.push_back({begin, end});
  };
  bool in_speech = false, fading = false;  // fading: below neg_threshold since `silence`
  std::size_t begin = 0, silence = 0;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    const std::size_t now = i * window;
    const double p = static_cast<double>(probabilities[i]);
    if (p >= rule.threshold) {
      if (!in_speech) begin = now;
      in_speech = true;
      fading = false;
    } else if (in_speech && p < rule.neg_threshold) {
      if (!fading) silence = now;
      fading = true;
      if (now - silence >= rule.min_silence) {
        keep(begin, silence);
        in_speech = fading = false;
      }
    }
  }
  if (in_speech) keep(begin, samples);

  // Each gap is shared: `padding` to both sides, or half of it if that would overlap.
  for (std::size_t i = 0; i < segments.size(); ++i) {
    Segment& segment = segments[i];
    if (i == 0) segment.begin -= std::min(segment.begin, rule.padding);
    if (i + 1 == segments.size()) {
      segment.end = std::min(samples, segment.end + rule.padding);
      break;
    }
    Segment& next = segments[i + 1];
    const std::size_t pad = std::min(rule.padding, (next.begin - segment.end) / 2);
    segment.end += pad;
    next.begin -= pad;
  }
  return segments;
}

}  // namespace vad
