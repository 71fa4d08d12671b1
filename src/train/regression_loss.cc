// SPDX-License-Identifier: Apache-2.0
// Losses of a difference: MSE, L1, SmoothL1.
#include <cmath>
#include <string>

#include "train/loss_parts.h"

namespace sluice {
namespace {

// The loss of each element is loss(d) of the difference d = x - t, and its gradient slope(d).
template <class T, class Loss, class Slope>
LossOutput<T> difference_loss(std::string_view call, TensorView<const T> input, TensorView<const T> target,
                              Reduction reduction, const LossRunOptions& run, const Loss& loss,
                              const Slope& slope) {
  check_elements(call, input, target);
  const LossMask mask(call, "input", input.shape(), run.lengths);
  return elementwise_loss(input, target, mask, reduction, run, [&](const LossElements<T>& e) noexcept {
    for (std::size_t i = 0; i < e.n; ++i) {
      const double d = static_cast<double>(e.x[i]) - static_cast<double>(e.t[i]);
      e.losses[i] = loss(d);
      if (e.grads != nullptr) e.grads[i] = slope(d);
    }
  });
}

// 0 and NaN are given back.
double sign_of(double d) noexcept { return d > 0 ? 1 : d < 0 ? -1 : d; }

}  // namespace

template <class T>
LossOutput<T> MSELoss<T>::forward(TensorView<const T> input, TensorView<const T> target,
                                  const LossRunOptions& run) const {
  return difference_loss(
      "MSELoss::forward", input, target, options_.reduction, run, [](double d) { return d * d; },
      [](double d) { return 2 * d; });
}

template <class T>
LossOutput<T> L1Loss<T>::forward(TensorView<const T> input, TensorView<const T> target,
                                 const LossRunOptions& run) const {
  return difference_loss(
      "L1Loss::forward", input, target, options_.reduction, run, [](double d) { return std::abs(d); },
      sign_of);
}

template <class T>
SmoothL1Loss<T>::SmoothL1Loss(SmoothL1LossOptions options) : options_(options) {
  if (options.beta >= 0 && std::isfinite(options.beta)) return;
  throw Error("SmoothL1Loss: beta is " + std::to_string(options.beta) + ", expected at least 0 and finite");
}

template <class T>
LossOutput<T> SmoothL1Loss<T>::forward(TensorView<const T> input, TensorView<const T> target,
                                       const LossRunOptions& run) const {
  const double beta = options_.beta;
  return difference_loss(
      "SmoothL1Loss::forward", input, target, options_.reduction, run,
      [beta](double d) {
        const double size = std::abs(d);
        return size < beta ? 0.5 * d * d / beta : size - 0.5 * beta;
      },
      [beta](double d) { return std::abs(d) < beta ? d / beta : sign_of(d); });
}

template class MSELoss<float>;
template class MSELoss<double>;
template class L1Loss<float>;
template class L1Loss<double>;
template class SmoothL1Loss<float>;
template class SmoothL1Loss<double>;

}  // namespace sluice
