// SPDX-License-Identifier: Apache-2.0
#include "kernels/machine_peak.h"

#include <gtest/gtest.h>

#include <string>

#include "sluice/target.h"
#include "sluice/tensor.h"

namespace sluice {
namespace {

TEST(MachinePeak, ReadsEveryElementOnceAPassOnEveryTarget) {
  for (const std::string& target : available_targets()) {
    set_target(target);
    for (const std::size_t n : {0, 1, 127, 128, 129, 1000}) {
      Tensor<float> data({n});
      for (std::size_t i = 0; i < n; ++i) data(i) = static_cast<float>(i);  // sums below 2^24: exact
      const auto sum = static_cast<float>(n * (n - 1) / 2 * (n > 0));
      EXPECT_EQ(kernels::machine_peak().read(data.data(), n, 1), sum);
      EXPECT_EQ(kernels::machine_peak().read(data.data(), n, 3), 3 * sum);
    }
  }
  set_target("");
}

TEST(MachinePeak, CountsTheOperationsThatItDoes) {
  for (const std::string& target : available_targets()) {
    set_target(target);
    const double ten = kernels::machine_peak().multiply_add(10);
    EXPECT_GE(ten, 10 * 12 * 2);
    EXPECT_EQ(kernels::machine_peak().multiply_add(1000), 100 * ten);
  }
  set_target("");
}

}  // namespace
}  // namespace sluice
