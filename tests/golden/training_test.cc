// SPDX-License-Identifier: Apache-2.0
// The losses of 20 epochs of training, beside PyTorch's in float64.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>

#include "golden/golden_file.h"
#include "sluice/layers.h"
#include "sluice/loss.h"
#include "sluice/optim.h"
#include "sluice/parameters.h"
#include "sluice/tape.h"

namespace sluice::golden {
namespace {

template <class T>
std::unique_ptr<Optimizer<T>> make_optimizer(const std::string& name, const Parameters<T>& parameters) {
  if (name == "SGD") return std::make_unique<SGD<T>>(parameters, SGDOptions{.lr = 0.1, .momentum = 0.9});
  if (name == "Adam") return std::make_unique<Adam<T>>(parameters, AdamOptions{.lr = 0.01});
  if (name == "AdamW") return std::make_unique<AdamW<T>>(parameters, AdamWOptions{.lr = 0.01});
  return std::make_unique<RMSprop<T>>(parameters, RMSpropOptions{.lr = 0.005});
}

template <class T>
Sequential<T> make_model(const std::string& kind, const StateDict<T>& weights, std::size_t in,
                         std::size_t hidden, std::size_t out) {
  Sequential<T> model;
  const std::string prefix = kind + ".rnn.";
  if (kind == "LSTM") model.add(LSTM<T>({.input_size = in, .hidden_size = hidden}, weights, prefix));
  if (kind == "GRU") model.add(GRU<T>({.input_size = in, .hidden_size = hidden}, weights, prefix));
  if (kind == "RNN") model.add(RNN<T>({.input_size = in, .hidden_size = hidden}, weights, prefix));
  model.add(Linear<T>({.in_features = hidden, .out_features = out}, weights, kind + ".head."));
  return model;
}

template <class T>
class TrainingGolden : public ::testing::Test {};
TYPED_TEST_SUITE(TrainingGolden, ElementTypes);

TYPED_TEST(TrainingGolden, TwentyEpochsHavePyTorchsLosses) {
  using T = TypeParam;
  constexpr double kTolerance = std::is_same_v<T, double> ? 1e-8 : 1e-3;  // relative
  const GoldenFile<T> file("training");
  const TensorView<const T> x = file.in("x").transpose(0, 1), target = file.in("target").transpose(0, 1);
  const std::size_t rows = x.dim(1), batch = 4;
  double worst = 0;
  for (const auto& [name, options] : file.cases()) {
    SCOPED_TRACE(name);
    const std::string kind = options.text("kind");
    Sequential<T> model = make_model<T>(kind, file.weights(), x.dim(2), 5, target.dim(2));
    Parameters<T> parameters(model.parameters());
    parameters.load(file.weights());
    const auto optimizer = make_optimizer(options.text("optimizer"), parameters);
    const MSELoss<T> criterion;
    const TensorView<const double> want = file.want(name + ".losses");
    for (std::size_t epoch = 0; epoch < want.size(); ++epoch) {
      double sum = 0;
      for (std::size_t first = 0; first < rows; first += batch) {
        Tape tape;
        const auto out = model.record({x.narrow(1, first, batch), {}}, tape, {});
        const auto loss = criterion(out.y.view(), target.narrow(1, first, batch), {.with_grad = true});
        sum += loss.value;
        parameters.zero_grad();
        model.backward(loss.grad.view(), tape, parameters, {.wants_input = false});
        optimizer->step(parameters);
        model.load(parameters.state_dict());
      }
      const double got = sum / static_cast<double>(rows / batch);
      ASSERT_NEAR(got, want(epoch), kTolerance * want(epoch)) << "epoch " << epoch;
      worst = std::max(worst, std::abs(got / want(epoch) - 1));
    }
  }
  EXPECT_EQ(file.cases().size(), 12u);
  std::printf("[ training ] largest relative difference of a loss %.3g\n", worst);
}

}  // namespace
}  // namespace sluice::golden
