// SPDX-License-Identifier: Apache-2.0
#if defined(SLUICE_KERNELS_GATE_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_KERNELS_GATE_MATH_INL_H_
#undef SLUICE_KERNELS_GATE_MATH_INL_H_
#else
#define SLUICE_KERNELS_GATE_MATH_INL_H_
#endif
#include <hwy/highway.h>
HWY_BEFORE_NAMESPACE();
namespace sluice::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
template <class D, class V>
HWY_INLINE V Exp(D d, V x) {
  using T = hn::TFromD<D>;
  x = hn::Min(hn::Max(x, hn::Set(d, T(-80))), hn::Set(d, T(80)));
  auto n = hn::Round(hn::Mul(x, hn::Set(d, T(1.4426950408889634))));
  auto r = hn::NegMulAdd(n, hn::Set(d, T(0.6931471805599453)), x);
  auto p = hn::Set(d, T(1.0 / 5040));
  for (double c : {1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1.0, 1.0})
    p = hn::MulAdd(p, r, hn::Set(d, T(c)));
  const hn::RebindToSigned<D> di;
  constexpr int kM = sizeof(T) == 4 ? 23 : 52;
  constexpr int kB = sizeof(T) == 4 ? 127 : 1023;
  auto e = hn::ShiftLeft<kM>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, kB)));
  return hn::Mul(p, hn::BitCast(d, e));
}
template <class D, class V>
HWY_INLINE V Sigmoid(D d, V x) {
  auto one = hn::Set(d, hn::TFromD<D>(1));
  return hn::Div(one, hn::Add(one, Exp(d, hn::Neg(x))));
}
template <class D, class V>
HWY_INLINE V Tanh(D d, V x) {
  auto one = hn::Set(d, hn::TFromD<D>(1));
  return hn::Sub(hn::Add(Sigmoid(d, hn::Add(x, x)), Sigmoid(d, hn::Add(x, x))), one);
}
template <class D, class V>
HWY_INLINE V Relu(D d, V x) {
  return hn::Max(x, hn::Zero(d));
}
}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels
HWY_AFTER_NAMESPACE();
#endif
