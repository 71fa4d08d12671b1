// SPDX-License-Identifier: Apache-2.0
// Zoneout (Krueger et al. 2017): after a step each unit of h, and of an LSTM's c, has its old value again
// with some probability. In evaluation it is as much of the old value as that.
#pragma once

#include <cstddef>

#include "layers/dropout_mask.h"
#include "sluice/random.h"
#include "sluice/tensor.h"

namespace sluice {

/// The share of the old value in each unit of one state: d in state = d old + (1 - d) new.
template <class T>
class ZoneoutShare {
 public:
  /// Evaluation: the same everywhere.
  explicit ZoneoutShare(double p = 0) noexcept : p_(static_cast<T>(p)) {}
  /// Training, for [T, B, F]: 1 with probability p, else 0; where a DropoutMask of the stream drops it is 1.
  ZoneoutShare(double p, const RandomStream& random, const Shape& shape, int threads);

  bool is_none() const noexcept { return p_ == 0; }
  /// Of the unit `i` places on from [time, row, feature].
  struct Units {
    const T* mask;  // null: p everywhere
    T p;
    T operator[](std::size_t i) const noexcept { return mask != nullptr ? mask[i] : p; }
  };
  Units at(std::size_t time, std::size_t row, std::size_t feature) const noexcept {
    return {mask_.is_null() ? nullptr : &mask_.data()[(time * mask_.dim(1) + row) * mask_.dim(2) + feature],
            p_};
  }

 private:
  T p_;
  Tensor<T> mask_;
};

/// Those of a layer: h [T, B, D*H_out] and c [T, B, D*H].
template <class T>
struct Zoneout {
  ZoneoutShare<T> h, c;
};

/// now = d old + (1 - d) now.
template <class T>
void mix_states(const typename ZoneoutShare<T>::Units& share, const T* old, T* now, std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; ++i) now[i] = share[i] * old[i] + (1 - share[i]) * now[i];
}

extern template class ZoneoutShare<float>;
extern template class ZoneoutShare<double>;

}  // namespace sluice
