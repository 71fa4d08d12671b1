// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "sluice/error.h"
#include "sluice/optim.h"
#include "train/options.h"

namespace sluice {

template <class T>
SGD<T>::SGD(const Parameters<T>& parameters, const SGDOptions& options)
    : Optimizer<T>(
          "SGD", parameters, options.lr,
          options.momentum != 0 ? std::vector<std::string>{"momentum_buffer"} : std::vector<std::string>{}),
      options_(options) {
  check_not_negative("SGD", "momentum", options.momentum);
  check_not_negative("SGD", "weight_decay", options.weight_decay);
  check_option("SGD", "dampening", options.dampening, std::isfinite(options.dampening), "finite");
  if (options.nesterov && (options.momentum == 0 || options.dampening != 0)) {
    throw Error("SGD: nesterov with momentum " + text_of(options.momentum) + " and dampening " +
                text_of(options.dampening) + ", expected momentum above 0 and dampening 0");
  }
}

template <class T>
void SGD<T>::update(const typename Optimizer<T>::Slice& slice) const noexcept {
  const T minus_lr = static_cast<T>(-this->lr());
  const T decay = static_cast<T>(options_.weight_decay);
  const T momentum = static_cast<T>(options_.momentum);
  const T gradient_share = static_cast<T>(1 - options_.dampening);
  const bool is_first = slice.step == 1;
  const auto decayed = [&](std::size_t i) {
    return decay != 0 ? slice.grad[i] + decay * slice.value[i] : slice.grad[i];
  };
  if (options_.momentum == 0) {
    for (std::size_t i = 0; i < slice.size; ++i) slice.value[i] += minus_lr * decayed(i);
    return;
  }
  T* const buffer = slice.state[0];
  for (std::size_t i = 0; i < slice.size; ++i) {
    const T g = decayed(i);
    buffer[i] = is_first ? g : buffer[i] * momentum + gradient_share * g;
    slice.value[i] += minus_lr * (options_.nesterov ? g + momentum * buffer[i] : buffer[i]);
  }
}

template class SGD<float>;
template class SGD<double>;

}  // namespace sluice
