// SPDX-License-Identifier: Apache-2.0
#include "vad/picture.h"

#include <gtest/gtest.h>

#include <string>

namespace vad {
namespace {

Picture picture(double seconds) {
  Picture p;
  p.sources = {{0, "a <b> & c.wav"}};
  p.seconds = seconds;
  p.peak_seconds = 0.004;
  p.peaks.assign(static_cast<std::size_t>(seconds / 0.004), Peak{-0.25f, 0.5f});
  p.window_seconds = 0.032;
  p.probabilities.assign(static_cast<std::size_t>(seconds / 0.032), 0.75);
  p.sample_rate = 16000;
  p.segments = {{16000, 32000}};
  return p;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST(SpeechPicture, HasWaveformProbabilityAndSegments) {
  const std::string svg = to_svg(picture(10));
  EXPECT_EQ(count(svg, "<path class=\"wave\""), 1u);
  EXPECT_EQ(count(svg, "<polyline class=\"probability\""), 1u);
  EXPECT_EQ(count(svg, "<title>1.00 - 2.00 s</title>"), 1u);
  EXPECT_NE(svg.find("1 segment of speech: 1.0 s of 10.0 s"), std::string::npos);
  EXPECT_NE(svg.find("prefers-color-scheme: dark"), std::string::npos);
}

TEST(SpeechPicture, NamesAreEscaped) {
  EXPECT_NE(to_svg(picture(10)).find("a &lt;b&gt; &amp; c.wav"), std::string::npos);
}

TEST(SpeechPicture, ARowHoldsAMinute) {
  EXPECT_EQ(count(to_svg(picture(60)), "<path class=\"wave\""), 1u);
  EXPECT_EQ(count(to_svg(picture(61)), "<path class=\"wave\""), 2u);
}

TEST(SpeechPicture, SeveralRecordingsAreNamedWhereTheyBegin) {
  Picture p = picture(10);
  p.sources = {{0, "one.wav"}, {4, "two.wav"}};
  const std::string svg = to_svg(p);
  EXPECT_EQ(count(svg, "one.wav"), 1u);
  EXPECT_EQ(count(svg, "<line class=\"source\""), 1u);
}

TEST(SpeechPicture, NamesWithoutRoomAreLeftOut) {
  Picture p = picture(60);
  p.sources = {{0, "long.wav"}, {30, "short.wav"}, {31, "other.wav"}};  // a second is 19 wide
  const std::string svg = to_svg(p);
  EXPECT_EQ(count(svg, "short.wav"), 0u);
  EXPECT_EQ(count(svg, "other.wav"), 1u);
  EXPECT_EQ(count(svg, "<line class=\"source\""), 2u);
}

TEST(SpeechPicture, SilenceIsDrawnToo) {
  Picture p = picture(1);
  p.peaks.assign(p.peaks.size(), Peak{});
  p.segments.clear();
  const std::string svg = to_svg(p);
  EXPECT_NE(svg.find("0 segments of speech: 0.0 s of 1.0 s"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

TEST(SpeechPicture, AMinuteStaysSmall) { EXPECT_LT(to_svg(picture(60)).size(), 150000u); }

}  // namespace
}  // namespace vad
