// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "sluice/optim.h"
#include "train/options.h"

namespace sluice {
namespace {

std::vector<std::string> buffers_of(const AdamOptions& options) {
  std::vector<std::string> buffers{"exp_avg", "exp_avg_sq"};
  if (options.amsgrad) buffers.emplace_back("max_exp_avg_sq");
  return buffers;
}

}  // namespace

template <class T>
Adam<T>::Adam(std::string_view type, const Parameters<T>& parameters, const AdamOptions& options, Decay decay)
    : Optimizer<T>(type, parameters, options.lr, buffers_of(options)), options_(options), decay_(decay) {
  const auto check_beta = [&](std::string_view name, double beta) {
    check_option(type, name, beta, beta >= 0 && beta < 1, "at least 0 and below 1");
  };
  check_beta("betas[0]", options.betas[0]);
  check_beta("betas[1]", options.betas[1]);
  check_not_negative(type, "eps", options.eps);
  check_not_negative(type, "weight_decay", options.weight_decay);
}

template <class T>
Adam<T>::Adam(const Parameters<T>& parameters, const AdamOptions& options)
    : Adam("Adam", parameters, options, Decay::kInGradient) {}

template <class T>
AdamW<T>::AdamW(const Parameters<T>& parameters, const AdamWOptions& options)
    : Adam<T>("AdamW", parameters,
              {options.lr, options.betas, options.eps, options.weight_decay, options.amsgrad},
              Adam<T>::Decay::kBesideIt) {}

// Scalars are made in double and rounded once, as PyTorch does.
template <class T>
void Adam<T>::update(const typename Optimizer<T>::Slice& slice) const noexcept {
  const auto [beta1, beta2] = options_.betas;
  const double step_size = this->lr() / (1 - std::pow(beta1, slice.step));
  const T minus_step_size = static_cast<T>(-step_size);
  const T root_correction = static_cast<T>(std::sqrt(1 - std::pow(beta2, slice.step)));
  // torch.lerp goes from the nearer end.
  const T weight = static_cast<T>(1 - beta1);
  const bool is_from_average = std::abs(weight) < T(0.5);
  const T coefficient = is_from_average ? weight : weight - T(1);
  const T decay2 = static_cast<T>(beta2);
  const T weight2 = static_cast<T>(1 - beta2);
  const T eps = static_cast<T>(options_.eps);
  const T decay = static_cast<T>(options_.weight_decay);
  const bool is_in_gradient = decay_ == Decay::kInGradient && decay != 0;
  const T kept = decay_ == Decay::kBesideIt ? static_cast<T>(1 - this->lr() * options_.weight_decay) : T(1);

  const auto move = [&](std::size_t i, T* second) {
    const T value = slice.value[i] * kept;
    const T g = is_in_gradient ? slice.grad[i] + decay * value : slice.grad[i];
    T& average = slice.state[0][i];
    average = (is_from_average ? average : g) + coefficient * (g - average);
    T& square = slice.state[1][i];
    square = square * decay2 + weight2 * g * g;
    if (second != nullptr) second[i] = std::max(second[i], square);
    const T root = std::sqrt(second != nullptr ? second[i] : square);
    slice.value[i] = value + minus_step_size * average / (root / root_correction + eps);
  };
  if (options_.amsgrad) {
    for (std::size_t i = 0; i < slice.size; ++i) move(i, slice.state[2]);
  } else {
    for (std::size_t i = 0; i < slice.size; ++i) move(i, nullptr);
  }
}

template class Adam<float>;
template class Adam<double>;
template class AdamW<float>;
template class AdamW<double>;

}  // namespace sluice
