// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace sluice::test {

/// Every element is closed in its order, every quote too, and text has no bare markup.
inline void expect_well_formed(const std::string& svg) {
  std::vector<std::string> open;
  std::size_t at = 0;
  while (at < svg.size()) {
    const std::size_t begin = svg.find('<', at);
    ASSERT_EQ(svg.substr(at, begin - at).find('>'), std::string::npos);
    if (begin == std::string::npos) break;
    const std::size_t end = svg.find('>', begin);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = svg.substr(begin + 1, end - begin - 1);
    ASSERT_EQ(std::count(tag.begin(), tag.end(), '"') % 2, 0) << tag;
    ASSERT_EQ(tag.find('<'), std::string::npos) << tag;
    if (tag.starts_with("/")) {
      ASSERT_FALSE(open.empty());
      ASSERT_EQ(open.back(), tag.substr(1));
      open.pop_back();
    } else if (!tag.ends_with("/")) {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
    at = end + 1;
  }
  EXPECT_TRUE(open.empty());
  for (std::size_t i = svg.find('&'); i != std::string::npos; i = svg.find('&', i + 1)) {
    const std::string name = svg.substr(i + 1, svg.find(';', i) - i - 1);
    EXPECT_TRUE(name == "amp" || name == "lt" || name == "gt" || name == "quot") << name;
  }
  EXPECT_TRUE(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

}  // namespace sluice::test
