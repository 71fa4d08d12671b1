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

/// The way back through LstmCellState and LstmOutput, from the activated gates (y (1 - y), no exponential but
/// tanh(c')'s). grad_c comes as the gradient of c' from the step after and returns that of c; the gates
/// return the gradients of their pre-activations.
template <class D, class V>
HWY_INLINE void LstmBackward(D d, V& i, V& f, V& g, V& o, V c_before, V c, V grad_h, V& grad_c) {
  const V t = Tanh(d, c);
  const V through_c = hn::Add(grad_c, TanhBackward(d, t, hn::Mul(grad_h, o)));
  grad_c = hn::Mul(through_c, f);
  o = SigmoidBackward(d, o, hn::Mul(grad_h, t));
  f = SigmoidBackward(d, f, hn::Mul(through_c, c_before));
  const V grad_g = TanhBackward(d, g, hn::Mul(through_c, i));
  i = SigmoidBackward(d, i, hn::Mul(through_c, g));
  g = grad_g;
}

/// The way back through GruOutput: z and n come activated and return their pre-activations' gradients.
/// Returns what reaches h elementwise.
template <class D, class V>
HWY_INLINE V GruOutputBackward(D d, V& z, V& n, V h, V grad_h) {
  const V carry = hn::Mul(grad_h, z);
  const V grad_n = TanhBackward(d, n, hn::Mul(grad_h, hn::Sub(hn::Set(d, 1), z)));
  z = SigmoidBackward(d, z, hn::Mul(grad_h, hn::Sub(h, n)));
  n = grad_n;
  return carry;
}

/// The way back through GruCandidate: r comes activated and returns its pre-activation's gradient; grad_n is
/// that of the candidate's. Returns the gradient of n_h.
template <class D, class V>
HWY_INLINE V GruCandidateBackward(D d, V& r, V n_h, V grad_n) {
  const V grad_n_h = hn::Mul(grad_n, r);
  r = SigmoidBackward(d, r, hn::Mul(grad_n, n_h));
  return grad_n_h;
}

/// Highway (Srivastava et al. 2015): t candidate + (1 - t) x with t = sigmoid(pre). `t` comes as its
/// pre-activation and returns activated.
template <class D, class V>
HWY_INLINE V HighwayUpdate(D d, V& t, V candidate, V x) {
  t = Sigmoid(d, t);
  return hn::MulAdd(t, candidate, hn::Mul(hn::Sub(hn::Set(d, 1), t), x));
}

/// The way back: t comes activated; all three return their gradients, t that of its pre-activation.
template <class D, class V>
HWY_INLINE void HighwayBackward(D d, V& t, V& candidate, V& x, V grad) {
  const V grad_t = SigmoidBackward(d, t, hn::Mul(grad, hn::Sub(candidate, x)));
  candidate = hn::Mul(grad, t);
  x = hn::Mul(grad, hn::Sub(hn::Set(d, 1), t));
  t = grad_t;
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels
HWY_AFTER_NAMESPACE();

#endif
