// SPDX-License-Identifier: Apache-2.0
// Array forms of gate_math-inl.h and cell_gates-inl.h for one element type: included by gate_math_f32.cc and
// gate_math_f64.cc. Body and tail are one formula on whole vectors, so an element's bits do not depend on
// where it stands.

#if defined(SLUICE_KERNELS_GATE_MATH_ARRAYS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_KERNELS_GATE_MATH_ARRAYS_INL_H_
#undef SLUICE_KERNELS_GATE_MATH_ARRAYS_INL_H_
#else
#define SLUICE_KERNELS_GATE_MATH_ARRAYS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>

#include "kernels/cell_gates-inl.h"
#include "kernels/gate_math-inl.h"
#include "kernels/gate_math.h"
#include "kernels/partial-inl.h"
#include "kernels/several-inl.h"
#include "kernels/target.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// How to read and write `lanes` elements at a place; or, at the end, fewer.
struct Whole {
  template <class D, typename T>
  HWY_INLINE hn::Vec<D> Load(D d, const T* p) const {
    return hn::LoadU(d, p);
  }
  template <class D, typename T>
  HWY_INLINE void Store(hn::Vec<D> v, D d, T* p) const {
    hn::StoreU(v, d, p);
  }
};

struct Part {
  std::size_t n;
  template <class D, typename T>
  HWY_INLINE hn::Vec<D> Load(D d, const T* p) const {
    return LoadPart(d, p, n);
  }
  template <class D, typename T>
  HWY_INLINE void Store(hn::Vec<D> v, D d, T* p) const {
    StorePart(v, d, p, n);
  }
};

// Calls visit(access, first element) over [0, n), a vector at a time.
template <class D, class Visit>
HWY_INLINE void ForEachVector(D d, std::size_t n, const Visit& visit) {
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) visit(Whole(), i);
  if (i < n) visit(Part{n - i}, i);
}

#define SLUICE_MAP(Name)                      \
  struct Name##Function {                     \
    template <class D, class V>               \
    HWY_INLINE V operator()(D d, V x) const { \
      return Name(d, x);                      \
    }                                         \
  };
SLUICE_MAP(LogSigmoid)
SLUICE_MAP(HardSigmoid)
SLUICE_MAP(HardSigmoidOnnx)
SLUICE_MAP(Silu)
SLUICE_MAP(Relu)
SLUICE_MAP(Exp)
#undef SLUICE_MAP

template <class Function, typename T>
void Map(const T* x, T* y, std::size_t n) {
  const hn::ScalableTag<T> d;
  ForEachVector(d, n, [&](auto access, std::size_t i) HWY_ATTR {
    access.Store(Function()(d, access.Load(d, x + i)), d, y + i);
  });
}

// after(x, formula(before(x))) on all elements.
template <class Before, class Formula, class After, typename T>
HWY_INLINE void MapInStep(const T* x, T* y, std::size_t n, Before before, Formula formula, After after) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; kInStep > 1 && i + kInStep * lanes <= n; i += kInStep * lanes) {
    Several<V, kInStep> v;
#pragma GCC unroll 8
    for (std::size_t k = 0; k < kInStep; ++k) v.v[k] = before(d, hn::LoadU(d, x + i + k * lanes));
    v = formula(d, v);
#pragma GCC unroll 8
    for (std::size_t k = 0; k < kInStep; ++k)
      hn::StoreU(after(d, hn::LoadU(d, x + i + k * lanes), v.v[k]), d, y + i + k * lanes);
  }
  ForEachVector(d, n - i, [&](auto access, std::size_t j) HWY_ATTR {
    const V value = access.Load(d, x + i + j);
    access.Store(after(d, value, formula(d, before(d, value))), d, y + i + j);
  });
}

template <typename T>
void SigmoidArray(const T* x, T* y, std::size_t n) {
  MapInStep(
      x, y, n, [](auto, auto v) HWY_ATTR __attribute__((always_inline)) { return v; },
      [](auto d, auto v) HWY_ATTR __attribute__((always_inline)) { return SigmoidOfNormal(d, v); },
      [](auto d, auto v, auto result) HWY_ATTR
      __attribute__((always_inline)) { return SigmoidWithExtremes(d, v, result); });
}

template <typename T>
void TanhArray(const T* x, T* y, std::size_t n) {
  MapInStep(
      x, y, n, [](auto d, auto v) HWY_ATTR __attribute__((always_inline)) { return TanhArgument(d, v); },
      [](auto d, auto v) HWY_ATTR __attribute__((always_inline)) { return TanhOfNormal(d, v); },
      [](auto d, auto v, auto result) HWY_ATTR
      __attribute__((always_inline)) { return TanhWithSign(d, v, result); });
}

template <typename T>
void SigmoidBackwardArray(const T* y, const T* grad_y, T* grad_x, std::size_t n) {
  const hn::ScalableTag<T> d;
  ForEachVector(d, n, [&](auto access, std::size_t i) HWY_ATTR {
    access.Store(SigmoidBackward(d, access.Load(d, y + i), access.Load(d, grad_y + i)), d, grad_x + i);
  });
}

template <typename T>
void TanhBackwardArray(const T* y, const T* grad_y, T* grad_x, std::size_t n) {
  const hn::ScalableTag<T> d;
  ForEachVector(d, n, [&](auto access, std::size_t i) HWY_ATTR {
    access.Store(TanhBackward(d, access.Load(d, y + i), access.Load(d, grad_y + i)), d, grad_x + i);
  });
}

// exp(x - max) / sum. The sum has 16 parts, by index modulo 16, and they are added in one fixed tree: the
// bits do not depend on the lane count.
template <typename T>
void Softmax(const T* x, T* y, std::size_t n) {
  constexpr std::size_t kParts = 16;
  const hn::CappedTag<T, kParts> d;
  const std::size_t lanes = hn::Lanes(d);
  if (n == 0) return;
  auto most = hn::Set(d, x[0]);
  ForEachVector(d, n, [&](auto access, std::size_t i) HWY_ATTR {
    const auto v = access.Load(d, x + i);
    auto larger = hn::Gt(v, most);
    if (i + lanes > n) larger = hn::And(larger, hn::FirstN(d, n - i));
    most = hn::IfThenElse(larger, v, most);
  });
  HWY_ALIGN T parts[kParts];
  hn::Store(most, d, parts);
  T max = parts[0];
  for (std::size_t i = 1; i < lanes; ++i) max = parts[i] > max ? parts[i] : max;
  for (T& part : parts) part = 0;
  const auto shift = hn::Set(d, max);
  ForEachVector(d, n, [&](auto access, std::size_t i) HWY_ATTR {
    const auto e = Exp(d, hn::Sub(access.Load(d, x + i), shift));
    access.Store(e, d, y + i);
    T* part = parts + i % kParts;
    const auto counted = i + lanes > n ? hn::IfThenElseZero(hn::FirstN(d, n - i), e) : e;
    hn::Store(hn::Add(hn::Load(d, part), counted), d, part);
  });
  for (std::size_t half = kParts / 2; half > 0; half /= 2)
    for (std::size_t i = 0; i < half; ++i) parts[i] += parts[i + half];
  const auto sum = hn::Set(d, parts[0]);
  ForEachVector(d, n, [&](auto access, std::size_t i) HWY_ATTR {
    access.Store(hn::Div(access.Load(d, y + i), sum), d, y + i);
  });
}

template <typename T>
void LstmGates(const T* pre, const T* c, T* h_out, T* c_out, T* gates, std::size_t hidden_size) {
  const hn::ScalableTag<T> d;
  const std::size_t H = hidden_size;
  ForEachVector(d, H, [&](auto access, std::size_t u) HWY_ATTR {
    auto i = access.Load(d, pre + u);
    auto f = access.Load(d, pre + H + u);
    auto g = access.Load(d, pre + 2 * H + u);
    auto o = access.Load(d, pre + 3 * H + u);
    const auto c_new = LstmCellState(d, i, f, g, o, access.Load(d, c + u));
    access.Store(c_new, d, c_out + u);
    access.Store(LstmOutput(d, o, c_new), d, h_out + u);
    if (gates == nullptr) return;
    access.Store(i, d, gates + u);
    access.Store(f, d, gates + H + u);
    access.Store(g, d, gates + 2 * H + u);
    access.Store(o, d, gates + 3 * H + u);
  });
}

template <typename T>
void GruGates(const T* pre_x, const T* pre_h, const T* h, T* h_out, T* gates, std::size_t hidden_size) {
  const hn::ScalableTag<T> d;
  const std::size_t H = hidden_size;
  ForEachVector(d, H, [&](auto access, std::size_t u) HWY_ATTR {
    auto r = hn::Add(access.Load(d, pre_x + u), access.Load(d, pre_h + u));
    auto z = hn::Add(access.Load(d, pre_x + H + u), access.Load(d, pre_h + H + u));
    const auto n_x = access.Load(d, pre_x + 2 * H + u);
    const auto n_h = access.Load(d, pre_h + 2 * H + u);
    auto n = GruCandidate(d, r, z, n_x, n_h);
    access.Store(GruOutput(d, z, n, access.Load(d, h + u)), d, h_out + u);
    if (gates == nullptr) return;
    access.Store(r, d, gates + u);
    access.Store(z, d, gates + H + u);
    access.Store(n, d, gates + 2 * H + u);
  });
}

template <typename T>
void HighwayGate(const T* pre, const T* candidate, const T* x, T* y, T* gate, std::size_t hidden_size) {
  const hn::ScalableTag<T> d;
  ForEachVector(d, hidden_size, [&](auto access, std::size_t i) HWY_ATTR {
    auto t = access.Load(d, pre + i);
    access.Store(HighwayUpdate(d, t, access.Load(d, candidate + i), access.Load(d, x + i)), d, y + i);
    if (gate != nullptr) access.Store(t, d, gate + i);
  });
}

template <typename T>
void LstmGatesBackward(const T* gates, const T* c, const T* c_out, const T* grad_h_out, const T* grad_c_out,
                       T* grad_pre, T* grad_c, std::size_t hidden_size) {
  const hn::ScalableTag<T> d;
  const std::size_t H = hidden_size;
  ForEachVector(d, H, [&](auto access, std::size_t u) HWY_ATTR {
    auto i = access.Load(d, gates + u);
    auto f = access.Load(d, gates + H + u);
    auto g = access.Load(d, gates + 2 * H + u);
    auto o = access.Load(d, gates + 3 * H + u);
    auto carry = grad_c_out == nullptr ? hn::Zero(d) : access.Load(d, grad_c_out + u);
    LstmBackward(d, i, f, g, o, access.Load(d, c + u), access.Load(d, c_out + u),
                 access.Load(d, grad_h_out + u), carry);
    access.Store(i, d, grad_pre + u);
    access.Store(f, d, grad_pre + H + u);
    access.Store(g, d, grad_pre + 2 * H + u);
    access.Store(o, d, grad_pre + 3 * H + u);
    access.Store(carry, d, grad_c + u);
  });
}

template <typename T>
void GruGatesBackward(const T* gates, const T* pre_h, const T* h, const T* grad_h_out, T* grad_pre_x,
                      T* grad_pre_h, T* grad_h, std::size_t hidden_size) {
  const hn::ScalableTag<T> d;
  const std::size_t H = hidden_size;
  ForEachVector(d, H, [&](auto access, std::size_t u) HWY_ATTR {
    auto r = access.Load(d, gates + u);
    auto z = access.Load(d, gates + H + u);
    auto n = access.Load(d, gates + 2 * H + u);
    const auto n_h = access.Load(d, pre_h + 2 * H + u);
    access.Store(GruOutputBackward(d, z, n, access.Load(d, h + u), access.Load(d, grad_h_out + u)), d,
                 grad_h + u);
    const auto grad_n_h = GruCandidateBackward(d, r, n_h, n);
    for (T* const grad_pre : {grad_pre_x, grad_pre_h}) {
      access.Store(r, d, grad_pre + u);
      access.Store(z, d, grad_pre + H + u);
    }
    access.Store(n, d, grad_pre_x + 2 * H + u);
    access.Store(grad_n_h, d, grad_pre_h + 2 * H + u);
  });
}

template <typename T>
void HighwayGateBackward(const T* gate, const T* candidate, const T* x, const T* grad_y, T* grad_pre,
                         T* grad_candidate, T* grad_x, std::size_t hidden_size) {
  const hn::ScalableTag<T> d;
  ForEachVector(d, hidden_size, [&](auto access, std::size_t i) HWY_ATTR {
    auto of_pre = access.Load(d, gate + i);
    auto of_candidate = access.Load(d, candidate + i);
    auto of_x = access.Load(d, x + i);
    HighwayBackward(d, of_pre, of_candidate, of_x, access.Load(d, grad_y + i));
    access.Store(of_pre, d, grad_pre + i);
    access.Store(of_candidate, d, grad_candidate + i);
    access.Store(of_x, d, grad_x + i);
  });
}

template <typename T>
const GateMath<T>* GateMathTable() {
  static const GateMath<T> table{
      .target = target_name(HWY_TARGET),
      .has_fma = HWY_NATIVE_FMA != 0,
      .sigmoid = &SigmoidArray<T>,
      .tanh = &TanhArray<T>,
      .log_sigmoid = &Map<LogSigmoidFunction, T>,
      .hard_sigmoid = &Map<HardSigmoidFunction, T>,
      .hard_sigmoid_onnx = &Map<HardSigmoidOnnxFunction, T>,
      .silu = &Map<SiluFunction, T>,
      .relu = &Map<ReluFunction, T>,
      .exp = &Map<ExpFunction, T>,
      .sigmoid_backward = &SigmoidBackwardArray<T>,
      .tanh_backward = &TanhBackwardArray<T>,
      .softmax = &Softmax<T>,
      .lstm_gates = &LstmGates<T>,
      .gru_gates = &GruGates<T>,
      .highway_gate = &HighwayGate<T>,
      .lstm_gates_backward = &LstmGatesBackward<T>,
      .gru_gates_backward = &GruGatesBackward<T>,
      .highway_gate_backward = &HighwayGateBackward<T>,
  };
  return &table;
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels
HWY_AFTER_NAMESPACE();

#endif
