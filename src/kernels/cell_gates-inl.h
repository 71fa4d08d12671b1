// SPDX-License-Identifier: Apache-2.0
#if defined(SLUICE_KERNELS_CELL_GATES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_KERNELS_CELL_GATES_INL_H_
#undef SLUICE_KERNELS_CELL_GATES_INL_H_
#else
#define SLUICE_KERNELS_CELL_GATES_INL_H_
#endif
#include <hwy/highway.h>
#include "kernels/gate_math-inl.h"
HWY_BEFORE_NAMESPACE();
namespace sluice::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
template <class D, class V>
HWY_INLINE void LstmUpdate(D d, V i, V f, V g, V o, V c, V& c_out, V& h_out) {
  c_out = hn::MulAdd(Sigmoid(d, f), c, hn::Mul(Sigmoid(d, i), Tanh(d, g)));
  h_out = hn::Mul(Sigmoid(d, o), Tanh(d, c_out));
}
template <class D, class V>
HWY_INLINE void GruUpdate(D d, V r, V z, V nx, V nh, V h, V& h_out) {
  r = Sigmoid(d, r);
  z = Sigmoid(d, z);
  auto n = Tanh(d, hn::MulAdd(r, nh, nx));
  h_out = hn::MulAdd(z, h, hn::Mul(hn::Sub(hn::Set(d, hn::TFromD<D>(1)), z), n));
}
}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels
HWY_AFTER_NAMESPACE();
#endif
