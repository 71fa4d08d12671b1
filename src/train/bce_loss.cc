// SPDX-License-Identifier: Apache-2.0
// Binary cross-entropy, of probabilities and of logits.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "kernels/gate_math.h"
#include "train/loss_parts.h"
#include "train/portable_log.h"

namespace sluice {
namespace {

// PyTorch's: a clamped logarithm keeps the loss finite, and a clamped denominator (a float32 there, whatever
// the element type) its gradient.
constexpr double kLeastLog = -100;
constexpr double kLeastVariance = 1e-12F;
// Stands for 0, whose logarithm is not a number to reckon with: that of this one is clamped as well.
constexpr double kAlmostZero = 1e-50;

// Throws Error for an element that counts and is no probability, NaN among them.
template <class T>
void check_probabilities(std::string_view call, TensorView<const T> input, const LossMask& mask) {
  Tensor<T> storage;
  const T* const x = contiguous(input, storage).data();
  const std::size_t size = input.size();
  for (std::size_t i = 0; i < size; ++i) {
    if ((x[i] >= T{0} && x[i] <= T{1}) || !mask.counts(i)) continue;
    throw Error(std::string(call) + ": input" + place_in(input.shape(), i) + " is " + std::to_string(x[i]) +
                ", expected a probability in [0, 1]");
  }
}

}  // namespace

template <class T>
BCELoss<T>::BCELoss(BCELossOptions<T> options) : options_(std::move(options)) {}

template <class T>
LossOutput<T> BCELoss<T>::forward(TensorView<const T> input, TensorView<const T> target,
                                  const LossRunOptions& run) const {
  constexpr std::string_view kCall = "BCELoss::forward";
  check_elements(kCall, input, target);
  const Repeated<T> weights(kCall, "weight", options_.weight, input.shape());
  const LossMask mask(kCall, "input", input.shape(), run.lengths);
  check_probabilities(kCall, input, mask);
  const auto term = [&weights](const LossElements<T>& e) noexcept {
    std::array<T, kLossBlock> weight;
    weights.read(e.first, e.n, weight.data());
    // Loops apart: compilers make branches of a limit and a logarithm in one, and no vectors then.
    std::array<double, kLossBlock> log_x, log_rest;
    for (std::size_t i = 0; i < e.n; ++i) {
      log_x[i] = std::max(static_cast<double>(e.x[i]), kAlmostZero);
      log_rest[i] = std::max(1 - static_cast<double>(e.x[i]), kAlmostZero);
    }
    for (std::size_t i = 0; i < e.n; ++i) {
      log_x[i] = portable_log(log_x[i]);
      log_rest[i] = portable_log_of_rest(static_cast<double>(e.x[i]), log_rest[i]);
    }
    for (std::size_t i = 0; i < e.n; ++i) {
      const auto t = static_cast<double>(e.t[i]);
      e.losses[i] = static_cast<double>(weight[i]) *
                    ((t - 1) * std::max(log_rest[i], kLeastLog) - t * std::max(log_x[i], kLeastLog));
    }
    if (e.grads == nullptr) return;
    for (std::size_t i = 0; i < e.n; ++i) {
      const auto x = static_cast<double>(e.x[i]);
      const auto t = static_cast<double>(e.t[i]);
      e.grads[i] = static_cast<double>(weight[i]) * (x - t) / std::max((1 - x) * x, kLeastVariance);
    }
  };
  return elementwise_loss(input, target, mask, options_.reduction, run, term);
}

template <class T>
BCEWithLogitsLoss<T>::BCEWithLogitsLoss(BCEWithLogitsLossOptions<T> options) : options_(std::move(options)) {}

template <class T>
LossOutput<T> BCEWithLogitsLoss<T>::forward(TensorView<const T> input, TensorView<const T> target,
                                            const LossRunOptions& run) const {
  constexpr std::string_view kCall = "BCEWithLogitsLoss::forward";
  check_elements(kCall, input, target);
  const Repeated<T> weights(kCall, "weight", options_.weight, input.shape());
  const Repeated<T> pos_weights(kCall, "pos_weight", options_.pos_weight, input.shape());
  const LossMask mask(kCall, "input", input.shape(), run.lengths);
  const kernels::GateMath<T>& math = kernels::gate_math<T>();
  const auto term = [&](const LossElements<T>& e) noexcept {
    std::array<T, kLossBlock> weight, pos_weight, log_larger, of_x, of_minus_x;
    weights.read(e.first, e.n, weight.data());
    pos_weights.read(e.first, e.n, pos_weight.data());
    // The logarithm of the larger of sigmoid(x) and sigmoid(-x), which never cancels.
    for (std::size_t i = 0; i < e.n; ++i) log_larger[i] = std::abs(e.x[i]);
    math.log_sigmoid(log_larger.data(), log_larger.data(), e.n);
    // PyTorch's (1 - t) x - (1 + (p - 1) t) log_sigmoid(x), where log_sigmoid(x) is
    // min(x, 0) + log_sigmoid(|x|): the multiples of x, taken together, are not each other's opposites.
    for (std::size_t i = 0; i < e.n; ++i) {
      const auto x = static_cast<double>(e.x[i]);
      const auto t = static_cast<double>(e.t[i]);
      const double p_t = static_cast<double>(pos_weight[i]) * t;
      const double line = (1 - t) * std::max(x, 0.0) - p_t * std::min(x, 0.0);
      e.losses[i] =
          static_cast<double>(weight[i]) * (line - (1 - t + p_t) * static_cast<double>(log_larger[i]));
    }
    if (e.grads == nullptr) return;
    math.sigmoid(e.x, of_x.data(), e.n);
    for (std::size_t i = 0; i < e.n; ++i) of_minus_x[i] = -e.x[i];
    math.sigmoid(of_minus_x.data(), of_minus_x.data(), e.n);
    for (std::size_t i = 0; i < e.n; ++i) {
      const auto t = static_cast<double>(e.t[i]);
      const double p_t = static_cast<double>(pos_weight[i]) * t;
      e.grads[i] = static_cast<double>(weight[i]) *
                   ((1 - t) * static_cast<double>(of_x[i]) - p_t * static_cast<double>(of_minus_x[i]));
    }
  };
  return elementwise_loss(input, target, mask, options_.reduction, run, term);
}

template class BCELoss<float>;
template class BCELoss<double>;
template class BCEWithLogitsLoss<float>;
template class BCEWithLogitsLoss<double>;

}  // namespace sluice
