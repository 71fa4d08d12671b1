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
/// pre-activations and return activated, as the output and the backward pass want them:
///   i, f, o = sigmoid, g = tanh;   c' = f c + i g;   h' = o tanh(c')
/// In two halves, each one link of the chain of dependent operations: over many vectors, half by half, more
/// of them are in work at once.
template <class D, class V>
HWY_INLINE V LstmCellState(D d, V& i, V& f, V& g, V& o, V c) {
  i = Sigmoid(d, i);
  f = Sigmoid(d, f);
  g = Tanh(d, g);
  o = Sigmoid(d, o);
  return hn::MulAdd(f, c, hn::Mul(i, g));
}
template <class D, class V>
HWY_INLINE V LstmOutput(D d, V o, V c) {
  return hn::Mul(o, Tanh(d, c));
}

/// GRU (Cho et al. 2014, reset after the product as in cuDNN). r and z come as pre-activations and return
/// activated; n returns the candidate:
///   r, z = sigmoid;   n = tanh(n_x + r n_h);   h' = z h + (1 - z) n
/// z = 1 keeps h exactly. In two halves, as the LSTM: the first returns the candidate's pre-activation.
template <class D, class V>
HWY_INLINE V GruCandidate(D d, V& r, V& z, V n_x, V n_h) {
  r = Sigmoid(d, r);
  z = Sigmoid(d, z);
  return hn::MulAdd(r, n_h, n_x);
}
/// `n` comes as its pre-activation and returns activated.
template <class D, class V>
HWY_INLINE V GruOutput(D d, V z, V& n, V h) {
  n = Tanh(d, n);
  return hn::MulAdd(z, h, hn::Mul(hn::Sub(hn::Set(d, 1), z), n));
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
