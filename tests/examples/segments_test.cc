// SPDX-License-Identifier: Apache-2.0
// Expected segments: `get_speech_timestamps` of the PyPI package silero-vad 6.2.1 on the same probabilities.
#include "vad/segments.h"

#include <gtest/gtest.h>

#include <fstream>
#include <ostream>
#include <utility>
#include <vector>

namespace vad {

// How GoogleTest shows a segment.
void PrintTo(const Segment& s, std::ostream* out) { *out << '{' << s.begin << ", " << s.end << '}'; }

namespace {

using Segments = std::vector<Segment>;

// Probabilities of `n` windows each, one after the other.
std::vector<double> windows(std::initializer_list<std::pair<double, int>> runs) {
  std::vector<double> all;
  for (const auto& [p, n] : runs) all.insert(all.end(), static_cast<std::size_t>(n), p);
  return all;
}

Segments found(const std::vector<double>& p) { return speech_segments<double>(p, 512, p.size() * 512); }

TEST(SpeechSegments, NothingInSilence) { EXPECT_EQ(found(windows({{0.1, 100}})), Segments{}); }

TEST(SpeechSegments, NothingInNothing) { EXPECT_EQ(found({}), Segments{}); }

TEST(SpeechSegments, GrowsByThePaddingOnBothSides) {
  EXPECT_EQ(found(windows({{0.1, 10}, {0.9, 20}, {0.1, 10}})), (Segments{{10 * 512 - 480, 30 * 512 + 480}}));
}

TEST(SpeechSegments, PaddingStaysInsideTheRecording) {
  EXPECT_EQ(found(windows({{0.9, 20}})), (Segments{{0, 20 * 512}}));
}

TEST(SpeechSegments, DropsWhatIsShorterThanAQuarterSecond) {
  // 7 windows are 3584 samples, 8 are 4096: the border is 4000.
  EXPECT_EQ(found(windows({{0.1, 10}, {0.9, 7}, {0.1, 10}})), Segments{});
  EXPECT_EQ(found(windows({{0.1, 10}, {0.9, 8}, {0.1, 10}})).size(), 1u);
}

TEST(SpeechSegments, BridgesASilenceShorterThanATenthOfASecond) {
  // A silence ends the segment at its fifth window, 2048 samples after its first; four windows do not.
  EXPECT_EQ(found(windows({{0.9, 10}, {0.1, 4}, {0.9, 10}})).size(), 1u);
  EXPECT_EQ(found(windows({{0.9, 10}, {0.1, 5}, {0.9, 10}})).size(), 2u);
  // Speech in between starts the count anew.
  EXPECT_EQ(found(windows({{0.9, 10}, {0.1, 3}, {0.9, 1}, {0.1, 3}, {0.9, 10}})).size(), 1u);
}

TEST(SpeechSegments, BetweenTheThresholdsNothingChanges) {
  EXPECT_EQ(found(windows({{0.4, 20}})), Segments{});
  EXPECT_EQ(found(windows({{0.9, 10}, {0.4, 50}})), (Segments{{0, 60 * 512}}));
  // A fall below the lower threshold still counts when the probability stays between the two.
  EXPECT_EQ(found(windows({{0.9, 10}, {0.1, 1}, {0.4, 10}, {0.1, 1}, {0.4, 5}})),
            (Segments{{0, 10 * 512 + 480}}));
}

TEST(SpeechSegments, EqualsSileroOnAMinuteOfSpeech) {
  std::ifstream csv(SLUICE_SOURCE_DIR "/../shared/data/silero/probabilities_safetensors_float64.csv");
  if (!csv) GTEST_SKIP() << "../shared/data/silero is not there";
  std::vector<double> p;
  for (double value = 0; csv >> value;) p.push_back(value);
  ASSERT_EQ(p.size(), 1875u);
  EXPECT_EQ(speech_segments<double>(p, 512, 960000), (Segments{{32, 32736},
                                                               {42528, 75744},
                                                               {79392, 110560},
                                                               {149024, 213472},
                                                               {216096, 241632},
                                                               {244768, 254432},
                                                               {260640, 286688},
                                                               {293920, 314336},
                                                               {325152, 570336},
                                                               {571936, 602080},
                                                               {607264, 623584},
                                                               {637984, 693216},
                                                               {697376, 714208},
                                                               {720416, 749536},
                                                               {781344, 800224},
                                                               {817184, 867808},
                                                               {871456, 953824}}));
}

}  // namespace
}  // namespace vad
