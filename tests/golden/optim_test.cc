// SPDX-License-Identifier: Apache-2.0
// Optimizers, clipping and schedules against PyTorch in float64 (make_optim_golden.py).
#include "sluice/optim.h"

#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "golden/golden_file.h"
#include "sluice/clip_grad.h"
#include "sluice/schedule.h"

namespace sluice::golden {
namespace {

constexpr std::size_t kSteps = 20, kEvery = 4, kEpochs = 50;

template <class T>
class OptimGolden : public ::testing::Test {
 public:
  static void SetUpTestSuite() { worst_difference<T> = 0; }
  static void TearDownTestSuite() { print_worst_difference<T>(); }
};
TYPED_TEST_SUITE(OptimGolden, ElementTypes);

bool is_given(const CaseOptions& options, const std::string& key) {
  try {
    options.text(key);
    return true;
  } catch (const std::out_of_range&) {
    return false;
  }
}

/// A case's options by PyTorch's names; those that it does not give have the default of the struct.
class Given {
 public:
  explicit Given(const CaseOptions& options) : options_(options) {}
  template <class Number>
  void operator()(const std::string& key, Number& value) const {
    if (!is_given(options_, key)) return;
    if constexpr (std::is_same_v<Number, bool>) {
      value = options_.flag(key);
    } else {
      value = static_cast<Number>(options_.number(key));
    }
  }
  void operator()(const std::string& key, std::array<double, 2>& value) const {
    if (!is_given(options_, key)) return;
    const std::string& text = options_.text(key);
    value = {std::stod(text), std::stod(text.substr(text.find(',') + 1))};
  }

 private:
  const CaseOptions& options_;
};

template <class Options>
Options adam_options(const Given& read) {
  Options options;
  read("lr", options.lr);
  read("betas", options.betas);
  read("eps", options.eps);
  read("weight_decay", options.weight_decay);
  read("amsgrad", options.amsgrad);
  return options;
}

template <class T>
std::unique_ptr<Optimizer<T>> make_optimizer(const CaseOptions& given, const Parameters<T>& parameters) {
  const Given read(given);
  const std::string& type = given.text("type");
  if (type == "Adam") return std::make_unique<Adam<T>>(parameters, adam_options<AdamOptions>(read));
  if (type == "AdamW") return std::make_unique<AdamW<T>>(parameters, adam_options<AdamWOptions>(read));
  if (type == "SGD") {
    SGDOptions options;
    read("lr", options.lr);
    read("momentum", options.momentum);
    read("dampening", options.dampening);
    read("weight_decay", options.weight_decay);
    read("nesterov", options.nesterov);
    return std::make_unique<SGD<T>>(parameters, options);
  }
  if (type == "RMSprop") {
    RMSpropOptions options;
    read("lr", options.lr);
    read("alpha", options.alpha);
    read("eps", options.eps);
    read("weight_decay", options.weight_decay);
    read("momentum", options.momentum);
    read("centered", options.centered);
    return std::make_unique<RMSprop<T>>(parameters, options);
  }
  if (type == "Adagrad") {
    AdagradOptions options;
    read("lr", options.lr);
    read("lr_decay", options.lr_decay);
    read("weight_decay", options.weight_decay);
    read("initial_accumulator_value", options.initial_accumulator_value);
    read("eps", options.eps);
    return std::make_unique<Adagrad<T>>(parameters, options);
  }
  return nullptr;
}

std::unique_ptr<Schedule> make_schedule(const CaseOptions& given, double lr) {
  const Given read(given);
  const std::string& type = given.text("type");
  if (type == "StepLR") {
    StepLROptions options;
    read("step_size", options.step_size);
    read("gamma", options.gamma);
    return std::make_unique<StepLR>(lr, options);
  }
  if (type == "CosineAnnealingLR") {
    CosineAnnealingLROptions options;
    read("T_max", options.T_max);
    read("eta_min", options.eta_min);
    return std::make_unique<CosineAnnealingLR>(lr, options);
  }
  if (type == "LinearLR") {
    LinearLROptions options;
    read("start_factor", options.start_factor);
    read("end_factor", options.end_factor);
    read("total_iters", options.total_iters);
    return std::make_unique<LinearLR>(lr, options);
  }
  if (type == "ReduceLROnPlateau") {
    ReduceLROnPlateauOptions options;
    if (is_given(given, "mode")) options.mode = PlateauMode::kMax;
    if (is_given(given, "threshold_mode")) options.threshold_mode = PlateauThreshold::kAbsolute;
    read("factor", options.factor);
    read("patience", options.patience);
    read("threshold", options.threshold);
    read("cooldown", options.cooldown);
    read("min_lr", options.min_lr);
    read("eps", options.eps);
    return std::make_unique<ReduceLROnPlateau>(lr, options);
  }
  return nullptr;
}

template <class T>
Parameters<T> start_of(const GoldenFile<T>& file) {
  std::vector<ParameterInfo> infos;
  StateDict<T> values;
  for (const std::string name : {"weight_ih_l0", "bias_ih_l0", "head.weight"}) {
    const TensorView<const T> start = file.in("start." + name);
    infos.push_back({name, start.shape()});
    values.borrow(name, start, nullptr);
  }
  Parameters<T> parameters(infos);
  parameters.load(values);
  return parameters;
}

template <class T>
void set_gradients(const GoldenFile<T>& file, std::size_t step, Parameters<T>& parameters) {
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    const TensorView<const T> from = file.in("grad." + parameters.name(i)).select(0, step);
    std::copy_n(from.data(), from.size(), parameters.grad(i).data());
  }
}

TYPED_TEST(OptimGolden, OptimizersMatchPyTorchOverTwentySteps) {
  using T = TypeParam;
  const GoldenFile<T> file("optim");
  std::size_t cases = 0;
  for (const auto& [name, options] : file.cases()) {
    Parameters<T> parameters = start_of(file);
    const std::unique_ptr<Optimizer<T>> optimizer = make_optimizer(options, parameters);
    if (optimizer == nullptr) continue;
    ++cases;
    EXPECT_EQ(optimizer->type(), options.text("type"));
    for (std::size_t step = 0; step < kSteps; ++step) {
      set_gradients(file, step, parameters);
      optimizer->step(parameters);
      if ((step + 1) % kEvery != 0) continue;
      for (std::size_t i = 0; i < parameters.count(); ++i) {
        const std::string& parameter = parameters.name(i);
        expect_close<T>(parameters.value(i),
                        file.want(name + "." + parameter).select(0, (step + 1) / kEvery - 1),
                        name + " " + parameter + " step " + std::to_string(step + 1));
      }
    }
  }
  EXPECT_EQ(cases, 18u);
}

TYPED_TEST(OptimGolden, ClipGradNormMatchesPyTorch) {
  using T = TypeParam;
  const GoldenFile<T> file("optim");
  std::size_t cases = 0;
  for (const auto& [name, options] : file.cases()) {
    if (options.text("type") != "clip_grad_norm") continue;
    ++cases;
    Parameters<T> parameters = start_of(file);
    set_gradients(file, 0, parameters);
    Tensor<T> norm({1});
    norm(0) = static_cast<T>(
        clip_grad_norm(parameters, options.number("max_norm"), {.norm_type = options.number("norm_type")}));
    expect_close<T>(norm, file.want(name + ".norm"), name);
    for (std::size_t i = 0; i < parameters.count(); ++i) {
      expect_close<T>(parameters.grad(i), file.want(name + "." + parameters.name(i)), name);
    }
  }
  EXPECT_EQ(cases, 5u);
}

// PyTorch multiplies its way from rate to rate, which adds a rounding or two an epoch: 50 epochs of them stay
// far below 1e-12 of the first rate.
TEST(ScheduleGolden, RatesMatchPyTorchOverFiftyEpochs) {
  const GoldenFile<double> file("optim");
  const TensorView<const double> metric = file.in("schedule.metric");
  std::size_t cases = 0;
  for (const auto& [name, options] : file.cases()) {
    constexpr double kLr = 0.3;
    const std::unique_ptr<Schedule> schedule = make_schedule(options, kLr);
    if (schedule == nullptr) continue;
    ++cases;
    EXPECT_EQ(schedule->type(), options.text("type"));
    for (std::size_t epoch = 0; epoch < kEpochs; ++epoch) {
      ASSERT_EQ(schedule->epoch(), epoch);
      ASSERT_NEAR(schedule->lr(), file.want(name + ".lr")(epoch), 1e-12 * kLr) << name << " epoch " << epoch;
      const double lr = schedule->step(metric(is_given(options, "mode") ? kEpochs - 1 - epoch : epoch));
      ASSERT_EQ(lr, schedule->lr());
    }
  }
  EXPECT_EQ(cases, 9u);
}

}  // namespace
}  // namespace sluice::golden
