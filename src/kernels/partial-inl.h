// SPDX-License-Identifier: Apache-2.0
// Vectors at the end of an array, where there are fewer elements than lanes.

#if defined(SLUICE_KERNELS_PARTIAL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_KERNELS_PARTIAL_INL_H_
#undef SLUICE_KERNELS_PARTIAL_INL_H_
#else
#define SLUICE_KERNELS_PARTIAL_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Fewer elements than a vector has; nothing past them is touched, and the other lanes are 0.
template <class D, typename T>
HWY_INLINE hn::Vec<D> LoadPart(D d, const T* p, std::size_t n) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
  return hn::MaskedLoad(hn::FirstN(d, n), d, p);
#else  // a masked load may read whole vectors there
  HWY_ALIGN T buffer[HWY_LANES(T)] = {};
  for (std::size_t i = 0; i < n; ++i) buffer[i] = p[i];
  return hn::Load(d, buffer);
#endif
}

template <class D, typename T>
HWY_INLINE void StorePart(hn::Vec<D> v, D d, T* p, std::size_t n) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
  hn::BlendedStore(v, hn::FirstN(d, n), d, p);
#else
  HWY_ALIGN T buffer[HWY_LANES(T)];
  hn::Store(v, d, buffer);
  for (std::size_t i = 0; i < n; ++i) p[i] = buffer[i];
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels
HWY_AFTER_NAMESPACE();

#endif
