// SPDX-License-Identifier: Apache-2.0
// Truncated back-propagation through time: the loss of every window, beside PyTorch's in float64.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "golden/golden_file.h"
#include "sluice/carried_state.h"
#include "sluice/layers.h"
#include "sluice/loss.h"
#include "sluice/optim.h"
#include "sluice/parameters.h"
#include "sluice/tape.h"

namespace sluice::golden {
namespace {

template <class T>
Sequential<T> make_model(const std::string& kind, const StateDict<T>& weights, std::size_t in,
                         std::size_t out) {
  Sequential<T> model;
  const std::string prefix = kind + ".rnn.";
  if (kind == "LSTM") {
    model.add(LSTM<T>({.input_size = in, .hidden_size = 5, .num_layers = 2}, weights, prefix));
  } else {
    model.add(GRU<T>({.input_size = in, .hidden_size = 5, .num_layers = 2}, weights, prefix));
  }
  model.add(Linear<T>({.in_features = 5, .out_features = out}, weights, kind + ".head."));
  return model;
}

template <class T>
class TruncatedGolden : public ::testing::Test {};
TYPED_TEST_SUITE(TruncatedGolden, ElementTypes);

TYPED_TEST(TruncatedGolden, EveryWindowHasPyTorchsLoss) {
  using T = TypeParam;
  // Relative. As in training_test.cc: steps carry rounding from one to the next.
  constexpr double kTolerance = std::is_same_v<T, double> ? 1e-8 : 1e-3;
  constexpr std::size_t kBatch = 3, kWindow = 3, kEpochs = 8;
  const GoldenFile<T> file("truncated");
  const TensorView<const T> x = file.in("x").transpose(0, 1), target = file.in("target").transpose(0, 1);
  const std::size_t steps = x.dim(0), rows = x.dim(1);
  double worst = 0;
  for (const auto& [name, options] : file.cases()) {
    SCOPED_TRACE(name);
    const std::vector<std::int64_t> lengths = options.integers("lengths");
    Sequential<T> model = make_model<T>(options.text("kind"), file.weights(), x.dim(2), target.dim(2));
    Parameters<T> parameters(model.parameters());
    parameters.load(file.weights());
    Adam<T> adam(parameters, {.lr = 0.02});
    const TensorView<const double> want = file.want(name + ".losses");
    std::size_t windows = 0;
    Tape tape;
    for (std::size_t first = 0; first < kEpochs * rows; first += kBatch) {
      CarriedState carried;
      for (std::size_t at = 0; at < steps; at += kWindow) {
        const std::size_t count = std::min(kWindow, steps - at);
        std::vector<std::int64_t> left;
        for (std::size_t b = 0; b < kBatch; ++b) {
          left.push_back(std::clamp<std::int64_t>(lengths[(first + b) % rows] - static_cast<std::int64_t>(at),
                                                  0, static_cast<std::int64_t>(count)));
        }
        if (*std::max_element(left.begin(), left.end()) == 0) continue;
        const auto window = [&](TensorView<const T> all) {
          return all.narrow(0, at, count).narrow(1, first % rows, kBatch);
        };
        const auto out = model.record({window(x), left}, tape, {.carried = &carried});
        const auto loss = MSELoss<T>()(out.y.view(), window(target), {.lengths = left, .with_grad = true});
        ASSERT_LT(windows, want.size());
        ASSERT_NEAR(loss.value, want(windows), kTolerance * want(windows)) << "window " << windows;
        worst = std::max(worst, std::abs(loss.value / want(windows) - 1));
        ++windows;
        parameters.zero_grad();
        model.backward(loss.grad.view(), tape, parameters, {.wants_input = false});
        adam.step(parameters);
        model.load(parameters.state_dict());
      }
    }
    EXPECT_EQ(windows, want.size());
  }
  EXPECT_EQ(file.cases().size(), 4u);
  std::printf("[ windows  ] largest relative difference of a loss %.3g\n", worst);
}

}  // namespace
}  // namespace sluice::golden
