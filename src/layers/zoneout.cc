// SPDX-License-Identifier: Apache-2.0
#include "layers/zoneout.h"

#include <algorithm>

namespace sluice {

template <class T>
ZoneoutShare<T>::ZoneoutShare(double p, const RandomStream& random, const Shape& shape, int threads)
    : p_(static_cast<T>(p)), mask_(Tensor<T>::uninitialized(shape)) {
  std::fill_n(mask_.data(), mask_.size(), T{1});
  DropoutMask(p, /*is_variational=*/false, random).apply(mask_, threads);
  for (T& value : mask_.span()) value = value == 0 ? T{1} : T{0};
}

template class ZoneoutShare<float>;
template class ZoneoutShare<double>;

}  // namespace sluice
