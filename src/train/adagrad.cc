// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "sluice/optim.h"
#include "train/options.h"

namespace sluice {

template <class T>
Adagrad<T>::Adagrad(const Parameters<T>& parameters, const AdagradOptions& options)
    : Optimizer<T>("Adagrad", parameters, options.lr, {"sum"}, options.initial_accumulator_value),
      options_(options) {
  check_not_negative("Adagrad", "lr_decay", options.lr_decay);
  check_not_negative("Adagrad", "weight_decay", options.weight_decay);
  check_not_negative("Adagrad", "initial_accumulator_value", options.initial_accumulator_value);
  check_not_negative("Adagrad", "eps", options.eps);
}

template <class T>
void Adagrad<T>::update(const typename Optimizer<T>::Slice& slice) const noexcept {
  const T minus_rate = static_cast<T>(-(this->lr() / (1 + (slice.step - 1) * options_.lr_decay)));
  const T eps = static_cast<T>(options_.eps);
  const T decay = static_cast<T>(options_.weight_decay);
  T* const sum = slice.state[0];
  for (std::size_t i = 0; i < slice.size; ++i) {
    const T g = decay != 0 ? slice.grad[i] + decay * slice.value[i] : slice.grad[i];
    sum[i] += g * g;
    slice.value[i] += minus_rate * g / (std::sqrt(sum[i]) + eps);
  }
}

template class Adagrad<float>;
template class Adagrad<double>;

}  // namespace sluice
