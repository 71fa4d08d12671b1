// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <type_traits>

#include "sluice/optim.h"
#include "train/options.h"

namespace sluice {
namespace {

std::vector<std::string> buffers_of(const RMSpropOptions& options) {
  std::vector<std::string> buffers{"square_avg"};
  if (options.momentum > 0) buffers.emplace_back("momentum_buffer");
  if (options.centered) buffers.emplace_back("grad_avg");
  return buffers;
}

}  // namespace

template <class T>
RMSprop<T>::RMSprop(const Parameters<T>& parameters, const RMSpropOptions& options)
    : Optimizer<T>("RMSprop", parameters, options.lr, buffers_of(options)), options_(options) {
  check_option("RMSprop", "alpha", options.alpha, options.alpha >= 0 && options.alpha <= 1, "0 to 1");
  check_not_negative("RMSprop", "eps", options.eps);
  check_not_negative("RMSprop", "weight_decay", options.weight_decay);
  check_not_negative("RMSprop", "momentum", options.momentum);
}

template <class T>
void RMSprop<T>::update(const typename Optimizer<T>::Slice& slice) const noexcept {
  const T minus_lr = static_cast<T>(-this->lr());
  const T alpha = static_cast<T>(options_.alpha);
  const T weight = static_cast<T>(1 - options_.alpha);
  // torch.lerp goes from the nearer end.
  const bool is_from_average = std::abs(weight) < T(0.5);
  const T coefficient = is_from_average ? weight : weight - T(1);
  const T eps = static_cast<T>(options_.eps);
  const T decay = static_cast<T>(options_.weight_decay);
  const T momentum = static_cast<T>(options_.momentum);
  T* const squares = slice.state[0];
  T* const buffer = options_.momentum > 0 ? slice.state[1] : nullptr;
  T* const averages = options_.centered ? slice.state[buffer != nullptr ? 2 : 1] : nullptr;

  // Whether there are such buffers is known where this is compiled, so that each loop is without branches.
  const auto move = [&](std::size_t i, auto is_centered, auto has_momentum) {
    const T g = decay != 0 ? slice.grad[i] + decay * slice.value[i] : slice.grad[i];
    squares[i] = squares[i] * alpha + weight * g * g;
    T variance = squares[i];
    if constexpr (is_centered) {
      const T average = averages[i];
      averages[i] = (is_from_average ? average : g) + coefficient * (g - average);
      variance -= averages[i] * averages[i];
    }
    const T root = std::sqrt(variance) + eps;
    if constexpr (has_momentum) {
      buffer[i] = buffer[i] * momentum + g / root;
      slice.value[i] += minus_lr * buffer[i];
    } else {
      slice.value[i] += minus_lr * g / root;
    }
  };
  const auto move_all = [&](auto is_centered, auto has_momentum) {
    for (std::size_t i = 0; i < slice.size; ++i) move(i, is_centered, has_momentum);
  };
  constexpr std::true_type kYes;
  constexpr std::false_type kNo;
  if (averages != nullptr) {
    buffer != nullptr ? move_all(kYes, kYes) : move_all(kYes, kNo);
  } else {
    buffer != nullptr ? move_all(kNo, kYes) : move_all(kNo, kNo);
  }
}

template class RMSprop<float>;
template class RMSprop<double>;

}  // namespace sluice
