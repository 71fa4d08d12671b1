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
  return elementwise_loss(input, target, mask, options_.reduction, run,
                          [&weights](const LossElements<T>& e) noexcept {
                            std::array<T, kLossBlock> weight;
                            weights.read(e.first, e.n, weight.data());
                            for (std::size_t i = 0; i < e.n; ++i) {
                              const auto x = static_cast<double>(e.x[i]);
                              const auto t = static_cast<double>(e.t[i]);
                              const auto w = static_cast<double>(weight[i]);
                              const double log_x = std::max(portable_log(x), kLeastLog);
                              const double log_rest = std::max(portable_log_of_rest(x), kLeastLog);
                              e.losses[i] = w * ((t - 1) * log_rest - t * log_x);
                              if (e.grads != nullptr)
                                e.grads[i] = w * (x - t) / std::max((1 - x) * x, kLeastVariance);
                            }
                          });
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
  return elementwise_loss(
      input, target, mask, options_.reduction, run, [&](const LossElements<T>& e) noexcept {
        std::array<T, kLossBlock> weight, pos_weight, log_larger, smaller;
        weights.read(e.first, e.n, weight.data());
        pos_weights.read(e.first, e.n, pos_weight.data());
        // The larger of sigmoid(x) and sigmoid(-x), whose logarithm never cancels; and the smaller, whose
        // difference from 1 is the larger to the last digit.
        for (std::size_t i = 0; i < e.n; ++i) log_larger[i] = std::abs(e.x[i]);
        math.log_sigmoid(log_larger.data(), log_larger.data(), e.n);
        if (e.grads != nullptr) {
          for (std::size_t i = 0; i < e.n; ++i) smaller[i] = -std::abs(e.x[i]);
          math.sigmoid(smaller.data(), smaller.data(), e.n);
        }
        for (std::size_t i = 0; i < e.n; ++i) {
          const auto x = static_cast<double>(e.x[i]);
          const auto t = static_cast<double>(e.t[i]);
          const auto w = static_cast<double>(weight[i]);
          const auto p = static_cast<double>(pos_weight[i]);
          // PyTorch's (1 - t) x - (1 + (p - 1) t) log_sigmoid(x), where log_sigmoid(x) is
          // min(x, 0) + log_sigmoid(|x|): the multiples of x, taken together, are not each other's opposites.
          const double slope = x < 0 ? -p * t : 1 - t;
          e.losses[i] = w * (slope * x - (1 + (p - 1) * t) * static_cast<double>(log_larger[i]));
          if (e.grads == nullptr) continue;
          const auto less = static_cast<double>(smaller[i]);
          const double sigmoid = x < 0 ? less : 1 - less;
          const double sigmoid_of_minus = x < 0 ? 1 - less : less;
          e.grads[i] = w * ((1 - t) * sigmoid - p * t * sigmoid_of_minus);
        }
      });
}

template class BCELoss<float>;
template class BCELoss<double>;
template class BCEWithLogitsLoss<float>;
template class BCEWithLogitsLoss<double>;

}  // namespace sluice
