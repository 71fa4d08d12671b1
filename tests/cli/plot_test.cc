// SPDX-License-Identifier: Apache-2.0
#include "cli/plot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "support/files.h"
#include "support/well_formed.h"

namespace sluice::cli {
namespace {

using Points = std::vector<std::pair<double, double>>;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// The points of each polyline, all within the page.
std::vector<Points> polylines(const std::string& svg) {
  std::vector<Points> lines;
  const std::string start = "points=\"";
  for (std::size_t at = svg.find("<polyline"); at != std::string::npos; at = svg.find("<polyline", at + 1)) {
    const std::size_t begin = svg.find(start, at) + start.size();
    std::istringstream text(svg.substr(begin, svg.find('"', begin) - begin));
    Points& points = lines.emplace_back();
    for (std::string pair; text >> pair;) {
      const std::size_t comma = pair.find(',');
      points.emplace_back(std::stod(pair), std::stod(pair.substr(comma + 1)));
      EXPECT_TRUE(points.back().first >= 0 && points.back().first <= 760) << pair;
      EXPECT_TRUE(points.back().second >= 0 && points.back().second <= 440) << pair;
    }
  }
  return lines;
}

std::vector<Epoch> epochs_of(const std::vector<double>& losses) {
  std::vector<Epoch> epochs;
  for (const double loss : losses) epochs.push_back({loss, {}, 1});
  return epochs;
}

std::vector<Points> drawn(const std::vector<Epoch>& epochs) {
  const std::string svg = plot_losses(epochs);
  test::expect_well_formed(svg);
  return polylines(svg);
}

TEST(Plot, HasACurveOfEveryEpochForEachLoss) {
  std::vector<Epoch> epochs;
  for (int i = 0; i < 12; ++i) epochs.push_back({1.0 / (i + 1), 1.5 / (i + 1), 1});
  const std::vector<Points> lines = drawn(epochs);
  ASSERT_EQ(lines.size(), 2u);
  for (const Points& points : lines) {
    ASSERT_EQ(points.size(), 12u);
    for (std::size_t i = 1; i < points.size(); ++i) {
      EXPECT_GT(points[i].first, points[i - 1].first);
      EXPECT_GT(points[i].second, points[i - 1].second);  // downwards
    }
  }
  for (std::size_t i = 0; i < 12; ++i) EXPECT_LT(lines[1][i].second, lines[0][i].second);
  testing::expect_contains(plot_losses(epochs), ">validation loss</text>");
  // Without rows held out there is one curve.
  EXPECT_EQ(drawn(epochs_of({3, 2, 1})).size(), 1u);
  EXPECT_EQ(plot_losses(epochs_of({3, 2, 1})).find("validation"), std::string::npos);
}

TEST(Plot, TheAxisIsLogarithmicWhereTheRangeAsksForIt) {
  const auto middle = [](const std::vector<double>& losses) {
    const std::vector<Points> lines = drawn(epochs_of(losses));
    return (lines[0][1].second - lines[0][0].second) / (lines[0][2].second - lines[0][0].second);
  };
  EXPECT_NEAR(middle({100, 1, 0.01}), 0.5, 1e-3);
  EXPECT_NEAR(middle({9, 5, 1}), 0.5, 1e-3);
  EXPECT_NEAR(middle({100, 50, 0}), 0.5, 1e-3);
  EXPECT_NEAR(middle({-1, -50.5, -100}), 0.5, 1e-3);
  testing::expect_contains(plot_losses(epochs_of({100, 1, 0.01})), ">0.1</text>");
}

TEST(Plot, AnythingThatTrainingGivesIsDrawn) {
  EXPECT_EQ(drawn(epochs_of({0.5}))[0].size(), 1u);
  EXPECT_EQ(drawn({})[0].size(), 0u);
  const std::vector<Points> equal = drawn(epochs_of({2, 2, 2}));
  ASSERT_EQ(equal[0].size(), 3u);
  EXPECT_EQ(equal[0][0].second, equal[0][2].second);
  for (const std::vector<double>& losses : {std::vector<double>{0, 0},
                                            {1, 1 + 1e-15, 1},
                                            {5e-324, 1},
                                            {5e-324, 0},
                                            {1e-310, 3e-310},
                                            {1e199, 1e-199},
                                            {-1e199, 1e199},
                                            {1e12, 1e12 + 1}}) {
    EXPECT_EQ(drawn(epochs_of(losses))[0].size(), losses.size()) << losses[0];
  }
  std::vector<double> many;
  for (int i = 0; i < 5000; ++i) many.push_back(1 + 1.0 / (i + 1));
  EXPECT_EQ(drawn(epochs_of(many))[0].size(), 5000u);
}

// The rows held out may have a loss that is none.
TEST(Plot, ALossThatIsNotFiniteIsLeftOut) {
  std::vector<Epoch> epochs = epochs_of({3, 2, 1});
  epochs[0].validation_loss = 4;
  epochs[1].validation_loss = kNan;
  epochs[2].validation_loss = std::numeric_limits<double>::infinity();
  const std::vector<Points> lines = drawn(epochs);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].size(), 3u);
  EXPECT_EQ(lines[1].size(), 1u);
}

}  // namespace
}  // namespace sluice::cli
