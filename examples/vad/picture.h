// SPDX-License-Identifier: Apache-2.0
// The speech found in a recording as an SVG picture: the waveform, the probability over it, the segments
// shaded.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "vad/segments.h"

namespace vad {

/// The least and greatest sample of a short stretch.
struct Peak {
  float low = 0;
  float high = 0;
};

/// A recording that starts at `begin` seconds.
struct Source {
  double begin = 0;
  std::string name;
};

struct Picture {
  std::vector<Source> sources;        ///< named in the picture
  double seconds = 0;                 ///< all of it
  double peak_seconds = 0;            ///< length of one peak's stretch
  std::vector<Peak> peaks;            ///< the waveform
  double window_seconds = 0;          ///< length of one probability's window
  std::vector<double> probabilities;  ///< one a window
  double threshold = 0.5;             ///< drawn as a line
  double sample_rate = 0;             ///< of the segments
  std::vector<Segment> segments;
};

/// The picture as an SVG document, 1200 wide, in rows of at most a minute; light or dark as the viewer is.
std::string to_svg(const Picture& picture);

}  // namespace vad
