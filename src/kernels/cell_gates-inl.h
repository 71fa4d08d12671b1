// SPDX-License-Identifier: Apache-2.0
// The elementwise halves of the cells, from pre-activations to the new state. The array forms (gate_math.h)
// and the epilogues of the packed products (packed_gemm-inl.h) are these functions, so their bits are the
// same.

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

/// LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000). The gates come as
/// pre-activations and return activated, as the backward pass wants them:
///   i, f, o = sigmoid, g = tanh;   c' = f c + i g;   h' = o tanh(c')
template <class D, class V>
HWY_INLINE void LstmUpdateKeepGates(D d, V& i, V& f, V& g, V& o, V c, V& c_out, V& h_out) {
  i = Sigmoid(d, i);
  f = Sigmoid(d, f);
  g = Tanh(d, g);
  o = Sigmoid(d, o);
  c_out = hn::MulAdd(f, c, hn::Mul(i, g));
  h_out = hn::Mul(o, Tanh(d, c_out));
}

template <class D, class V>
HWY_INLINE void LstmUpdate(D d, V i_pre, V f_pre, V g_pre, V o_pre, V c, V& c_out, V& h_out) {
  LstmUpdateKeepGates(d, i_pre, f_pre, g_pre, o_pre, c, c_out, h_out);
}

/// GRU (Cho et al. 2014, reset after the product as in cuDNN). r and z come as pre-activations and return
/// activated; n returns the candidate:
///   r, z = sigmoid;   n = tanh(n_x + r n_h);   h' = z h + (1 - z) n
/// z = 1 keeps h exactly.
template <class D, class V>
HWY_INLINE void GruUpdateKeepGates(D d, V& r, V& z, V n_x, V n_h, V h, V& n, V& h_out) {
  r = Sigmoid(d, r);
  z = Sigmoid(d, z);
  n = Tanh(d, hn::MulAdd(r, n_h, n_x));
  h_out = hn::MulAdd(z, h, hn::Mul(hn::Sub(hn::Set(d, 1), z), n));
}

template <class D, class V>
HWY_INLINE void GruUpdate(D d, V r_pre, V z_pre, V n_x, V n_h, V h, V& h_out) {
  V n;
  GruUpdateKeepGates(d, r_pre, z_pre, n_x, n_h, h, n, h_out);
}

/// Highway (Srivastava et al. 2015): t candidate + (1 - t) x with t = sigmoid(pre).
template <class D, class V>
HWY_INLINE V HighwayUpdate(D d, V pre, V candidate, V x) {
  const V t = Sigmoid(d, pre);
  return hn::MulAdd(t, candidate, hn::Mul(hn::Sub(hn::Set(d, 1), t), x));
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels
HWY_AFTER_NAMESPACE();

#endif
