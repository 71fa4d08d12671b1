// SPDX-License-Identifier: Apache-2.0
// What gates do over data, beside what NumPy counts on PyTorch's activations.
#include "profile/gate_reports.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "golden/golden_file.h"
#include "sluice/recurrent.h"

namespace sluice::golden {
namespace {

std::unique_ptr<Module<double>> make_module(const std::string& kind, const StateDict<double>& weights) {
  constexpr std::size_t kInput = 3, kUnits = 6;
  const std::string prefix = kind + ".";
  if (kind == "LSTM") {
    return std::make_unique<LSTM<double>>(
        LSTMOptions{.input_size = kInput, .hidden_size = kUnits, .num_layers = 2, .bidirectional = true},
        weights, prefix);
  }
  if (kind == "GRU") {
    return std::make_unique<GRU<double>>(
        GRUOptions{.input_size = kInput, .hidden_size = kUnits, .num_layers = 2, .bidirectional = true},
        weights, prefix);
  }
  return std::make_unique<RNN<double>>(
      RNNOptions{.input_size = kInput, .hidden_size = kUnits, .num_layers = 2, .bidirectional = true},
      weights, prefix);
}

// In double only: float32 moves activations over the edges of bins.
TEST(GateReportsGolden, CountsAreNumPys) {
  const GoldenFile<double> file("gate_reports");
  std::size_t reports = 0;
  for (const auto& [kind, options] : file.cases()) {
    const std::vector<std::int64_t> lengths = options.integers("lengths");
    const auto module = make_module(kind, file.weights());
    for (const GateReport& got : gate_reports<double>(*module, {file.in("x"), lengths})) {
      const std::string name =
          kind + "." + std::to_string(got.layer) + "." + std::to_string(got.direction) + "." + got.gate + ".";
      SCOPED_TRACE(name);
      ++reports;
      EXPECT_EQ(got.module, kind);
      const std::vector<double> counts = elements(file.want(name + "counts"));
      EXPECT_EQ(static_cast<double>(got.activations), counts[0]);
      EXPECT_EQ(static_cast<double>(got.shut), counts[1]);
      EXPECT_EQ(static_cast<double>(got.open), counts[2]);
      EXPECT_EQ(std::vector<double>(got.histogram.begin(), got.histogram.end()),
                elements(file.want(name + "histogram")));
      const std::vector<double> means = elements(file.want(name + "means"));
      EXPECT_NEAR(got.mean, means[0], kTolerance<double>);
      EXPECT_NEAR(got.mean_derivative, means[1], kTolerance<double>);
      // Ours are rounded to float: at most 2^-25 for numbers of at most 1.
      const auto expect_floats = [&](const std::vector<float>& floats, const std::string& what) {
        const std::vector<double> want = elements(file.want(name + what));
        ASSERT_EQ(floats.size(), want.size()) << what;
        for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(floats[i], want[i], 0x1p-24) << what << i;
      };
      expect_floats(got.unit_mean, "unit_mean");
      expect_floats(got.unit_deviation, "unit_deviation");
      expect_floats(got.unit_shut, "unit_shut");
      expect_floats(got.unit_open, "unit_open");
      expect_floats({got.heat.span().begin(), got.heat.span().end()}, "heat");
    }
  }
  EXPECT_EQ(reports, 4u * (4 + 3 + 1));
}

}  // namespace
}  // namespace sluice::golden
