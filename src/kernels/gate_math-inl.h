// SPDX-License-Identifier: Apache-2.0
// The one sigmoid and its family on vectors of float or double: every gate of the library is one of these.
//
// Bounds hold where the target has fused multiply-add (HWY_NATIVE_FMA), over all inputs, subnormal results
// included; docs/accuracy.md has the derivation and the largest errors found. There the bits are the same on
// every target: only additions, multiplications, fused multiply-adds and divisions are used, all of which
// IEEE 754 rounds in one way. Without FMA the corrections are as exact (products with a power of two are, and
// see DivisionRemainder), but the polynomials round twice as often. NaN gives NaN in every function.
// Flush-to-zero modes are neither set nor expected.

#if defined(SLUICE_KERNELS_GATE_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_KERNELS_GATE_MATH_INL_H_
#undef SLUICE_KERNELS_GATE_MATH_INL_H_
#else
#define SLUICE_KERNELS_GATE_MATH_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <limits>
#include <type_traits>

#include "kernels/several-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
struct MathConstants;

template <>
struct MathConstants<float> {
  static constexpr int kMantissaBits = 23;
  static constexpr int kExponentBias = 127;
  static constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  // ln(2) in two parts; n * kLn2High is exact, since the first has 16 bits and n at most 8.
  static constexpr float kLn2High = 0.693145751953125f;
  static constexpr float kLn2Low = 1.42860682030941723212e-6f;
  static constexpr float kNormalExp = 87.0f;     // exp(-x) is a normal number up to here
  static constexpr float kVanishedExp = 110.0f;  // x * exp(-x) rounds to 0 from here on
  static constexpr int kSmallShift = 64;
  static constexpr float kSmallScale = 0x1p-64f;
  static constexpr float kRootOfHalf = 0.70710678f;
  static constexpr float kTanhOne = 9.1f;  // tanh rounds to 1 from 9.0110 on
};

template <>
struct MathConstants<double> {
  static constexpr int kMantissaBits = 52;
  static constexpr int kExponentBias = 1023;
  static constexpr double kRounder = 6755399441055744.0;  // 1.5 * 2^52
  // 32 bits, n at most 11.
  static constexpr double kLn2High = 0.69314718036912381649;
  static constexpr double kLn2Low = 1.9082149292705877e-10;
  static constexpr double kNormalExp = 708.0;
  static constexpr double kVanishedExp = 760.0;
  static constexpr int kSmallShift = 128;
  static constexpr double kSmallScale = 0x1p-128;
  static constexpr double kRootOfHalf = 0.70710678118654752440;
  static constexpr double kTanhOne = 19.1;  // tanh rounds to 1 from 19.0616 on
};

// q of exp(-r) - 1 = -r + r^2 q(r) on |r| <= ln(2)/2, as docs/accuracy/minimax.py computes it; relative error
// 2^-26.2 of exp(-r) - 1 for float, 2^-61.7 for double. With another kFactor g, a power of two up to its
// sign, it is |g| q(g r), so that (exp(-g r) - 1) / |g| = -+r + r^2 ExpPolynomial; the factors are folded
// into the coefficients, which rounds nothing. The order of evaluation keeps the chain short.
template <int kFactor, class D>
HWY_INLINE hn::Vec<D> ExpCoefficient(D d, int power, hn::TFromD<D> c) {
  c *= kFactor < 0 ? -kFactor : kFactor;
  for (int i = 0; i < power; ++i) c *= kFactor;
  return hn::Set(d, c);
}

template <int kFactor, class D, class V>
requires(std::is_same_v<hn::TFromD<D>, float>) HWY_INLINE V ExpPolynomial(D d, V r, V r2) {
  const auto c0 = ExpCoefficient<kFactor>(d, 0, 0.49999998153436731f);
  const auto c1 = ExpCoefficient<kFactor>(d, 1, -0.16666543619101337f);
  const auto c2 = ExpCoefficient<kFactor>(d, 2, 0.041667199983109449f);
  const auto c3 = ExpCoefficient<kFactor>(d, 3, -0.0083665207611145054f);
  const auto c4 = ExpCoefficient<kFactor>(d, 4, 0.0013882515547229961f);
  return op::MulAdd(r2, op::MulAdd(r2, c4, op::MulAdd(r, c3, c2)), op::MulAdd(r, c1, c0));
}

template <int kFactor, class D, class V>
requires(std::is_same_v<hn::TFromD<D>, double>) HWY_INLINE V ExpPolynomial(D d, V r, V r2) {
  const auto c0 = ExpCoefficient<kFactor>(d, 0, 0.50000000000000000085);
  const auto c1 = ExpCoefficient<kFactor>(d, 1, -0.16666666666666676507);
  const auto c2 = ExpCoefficient<kFactor>(d, 2, 0.041666666666666508835);
  const auto c3 = ExpCoefficient<kFactor>(d, 3, -0.0083333333333216918074);
  const auto c4 = ExpCoefficient<kFactor>(d, 4, 0.0013888888888962351712);
  const auto c5 = ExpCoefficient<kFactor>(d, 5, -0.0001984126988596521192);
  const auto c6 = ExpCoefficient<kFactor>(d, 6, 2.4801587172564849902e-5);
  const auto c7 = ExpCoefficient<kFactor>(d, 7, -2.7557244374913412353e-6);
  const auto c8 = ExpCoefficient<kFactor>(d, 8, 2.7557402627577246231e-7);
  const auto c9 = ExpCoefficient<kFactor>(d, 9, -2.5108978633451018193e-8);
  const auto c10 = ExpCoefficient<kFactor>(d, 10, 2.0875333028522992946e-9);
  const auto r4 = op::Mul(r2, r2);
  const auto low = op::MulAdd(r2, op::MulAdd(r, c3, c2), op::MulAdd(r, c1, c0));
  const auto middle = op::MulAdd(r2, op::MulAdd(r, c7, c6), op::MulAdd(r, c5, c4));
  const auto high = op::MulAdd(r2, c10, op::MulAdd(r, c9, c8));
  return op::MulAdd(r4, op::MulAdd(r4, high, middle), low);
}

// p of 2 atanh(z/2) = z + z^3/4 p(z^2) for z = 2 e / (2 + e), 0 <= e <= 1 (the same script; the powers of 4
// are folded into the coefficients). Relative error 2^-27.7 of the logarithm for float, 2^-59.4 for double.
template <class D, class V>
requires(std::is_same_v<hn::TFromD<D>, float>) HWY_INLINE V LogPolynomial(D d, V u) {
  V p = hn::MulAdd(u, hn::Set(d, 0.14005998547302501824f / 256), hn::Set(d, 0.14000902180609829069f / 64));
  p = hn::MulAdd(u, p, hn::Set(d, 0.20010763585055046894f / 16));
  return hn::MulAdd(u, p, hn::Set(d, 0.33333208145464634836f / 4));
}

template <class D, class V>
requires(std::is_same_v<hn::TFromD<D>, double>) HWY_INLINE V LogPolynomial(D d, V u) {
  constexpr double kCoefficients[] = {0.066505609266513132938 / 16384, 0.076932741806045581038 / 4096,
                                      0.090908722401561756711 / 1024,  0.11111111976809122065 / 256,
                                      0.14285714274059183299 / 64,     0.2000000000007755664 / 16,
                                      0.33333333333333154859 / 4};
  V p = hn::MulAdd(u, hn::Set(d, 0.085048585314263474051 / 1048576),
                   hn::Set(d, 0.041724957026714866105 / 262144));
  p = hn::MulAdd(u, p, hn::Set(d, 0.060524703623640822246 / 65536));
  for (double c : kCoefficients) p = hn::MulAdd(u, p, hn::Set(d, c));
  return p;
}

// exp(-x) = scale * (1 + t), with scale = 2^(n + kShift), n the integer nearest to -x / ln(2), and
// t = -r + r^2 q. Valid while scale is a normal number.
template <class V>
struct ReducedExp {
  V scale;
  V r;   // x + n ln(2)
  V r2;  // r^2
  V q;
};

// Moves the lowest bits of x to where the exponent stands.
template <int kMantissaBits, class D>
HWY_INLINE hn::Vec<D> PowerOfTwo(D d, hn::Vec<D> x) {
  const hn::RebindToUnsigned<D> du;
  return hn::BitCast(d, hn::ShiftLeft<kMantissaBits>(hn::BitCast(du, x)));
}
template <int kMantissaBits, class D, class V, std::size_t K>
HWY_INLINE Several<V, K> PowerOfTwo(D d, const Several<V, K>& x) {
  return InStep(
      [d](V v) HWY_ATTR __attribute__((always_inline)) { return PowerOfTwo<kMantissaBits>(d, v); }, x);
}

template <int kShift = 0, class D, class V>
HWY_INLINE ReducedExp<V> ReduceExp(D d, V x) {
  using T = hn::TFromD<D>;
  using C = MathConstants<T>;
  // The sum's lowest bits are the integer n + bias, ready to be moved to where the exponent stands.
  const auto rounder = hn::Set(d, C::kRounder + static_cast<T>(C::kExponentBias + kShift));
  const auto biased = op::MulAdd(x, hn::Set(d, static_cast<T>(-1.44269504088896340736)), rounder);
  const auto n = op::Sub(biased, rounder);
  const V scale = PowerOfTwo<C::kMantissaBits>(d, biased);
  auto r = op::MulAdd(n, hn::Set(d, C::kLn2High), x);
  r = op::MulAdd(n, hn::Set(d, C::kLn2Low), r);
  const V r2 = op::Mul(r, r);
  return {scale, r, r2, ExpPolynomial<1>(d, r, r2)};
}

// factor * exp(-x) for x >= kNormalExp, where the result is, or soon will be, subnormal: rounded to full
// precision first and then once by the last multiplication. x is capped, which gives 0 beyond.
template <class D, class V>
HWY_INLINE V SmallExp(D d, V x, V factor) {
  using C = MathConstants<hn::TFromD<D>>;
  const auto e = ReduceExp<C::kSmallShift>(d, x);
  const V t = hn::MulSub(e.r2, e.q, e.r);
  const V scale = hn::Mul(e.scale, factor);
  return hn::Mul(hn::MulAdd(scale, t, scale), hn::Set(d, C::kSmallScale));
}

// exp(-x) for x <= -kNormalExp, where scale would be infinite before the result is.
template <class D, class V>
HWY_INLINE V LargeExp(D d, V x) {
  using C = MathConstants<hn::TFromD<D>>;
  const auto e = ReduceExp<-C::kSmallShift>(d, x);
  const V y = hn::MulAdd(e.scale, hn::MulSub(e.r2, e.q, e.r), e.scale);
  return hn::Mul(y, hn::Set(d, 1 / C::kSmallScale));
}

/// exp(x). float32: 1.1 ULP, float64: 1.1 ULP. Never decreasing for x <= 0.
template <class D, class V>
HWY_INLINE V Exp(D d, V x) {
  using C = MathConstants<hn::TFromD<D>>;
  const V minus_x = hn::Neg(x);
  const auto e = ReduceExp(d, minus_x);
  V y = hn::MulAdd(e.scale, hn::MulSub(e.r2, e.q, e.r), e.scale);
  const auto extreme = hn::Gt(hn::Abs(x), hn::Set(d, C::kNormalExp));
  if (HWY_UNLIKELY(!hn::AllFalse(d, extreme))) {
    const V small = SmallExp(d, hn::Min(minus_x, hn::Set(d, C::kVanishedExp)), hn::Set(d, 1));
    const V large = LargeExp(d, hn::Max(minus_x, hn::Set(d, -C::kVanishedExp)));
    y = hn::IfThenElse(extreme, hn::IfThenElse(hn::Gt(x, hn::Zero(d)), large, small), y);
  }
  return y;
}

// x = 2^k m with sqrt(1/2) <= m < sqrt(2), for positive normal x: the bits of x, moved so that the exponent
// changes where m does.
template <class D>
HWY_INLINE auto LogBits(D d, hn::Vec<D> x) {
  const hn::RebindToUnsigned<D> du;
  const auto root = hn::Set(d, MathConstants<hn::TFromD<D>>::kRootOfHalf);
  const auto to_one = hn::Sub(hn::BitCast(du, hn::Set(d, 1)), hn::BitCast(du, root));
  return hn::Add(hn::BitCast(du, x), to_one);
}
// k - kShift. With the exponent in its lowest bits, 2^kMantissaBits is greater by just that.
template <int kShift, class D>
HWY_INLINE hn::Vec<D> LogExponent(D d, hn::Vec<D> x) {
  using T = hn::TFromD<D>;
  using C = MathConstants<T>;
  const hn::RebindToUnsigned<D> du;
  constexpr T kBase = T{1} / std::numeric_limits<T>::epsilon();  // 2^kMantissaBits
  const auto base = hn::Set(d, kBase);
  const auto biased = hn::Or(hn::ShiftRight<C::kMantissaBits>(LogBits(d, x)), hn::BitCast(du, base));
  return hn::Sub(hn::BitCast(d, biased), hn::Set(d, kBase + (C::kExponentBias + kShift)));
}
template <class D>
HWY_INLINE hn::Vec<D> LogMantissa(D d, hn::Vec<D> x) {
  using C = MathConstants<hn::TFromD<D>>;
  const hn::RebindToUnsigned<D> du;
  using TU = hn::TFromD<decltype(du)>;
  const auto bits = hn::And(LogBits(d, x), hn::Set(du, (TU{1} << C::kMantissaBits) - 1));
  return hn::BitCast(d, hn::Add(bits, hn::BitCast(du, hn::Set(d, C::kRootOfHalf))));
}
// log(2^-kShift x) for positive normal x. With f = m - 1 and z = 2 f / (2 + f),
//   log(m) = 2 atanh(z/2) = z + z u p(u),  u = z^2,  and z = f - z f/2
// so that f, which is exact, leads, and what z has lost counts only f/2 times. k ln(2) + f: what its rounding
// lost is carried.
template <int kShift = 0, class D, class V>
HWY_INLINE V LogOfNormal(D d, V x) {
  using T = hn::TFromD<D>;
  using C = MathConstants<T>;
  const V ln2_high = hn::Set(d, C::kLn2High);
  const V k = LogExponent<kShift>(d, x);
  const V f = hn::Sub(LogMantissa(d, x), hn::Set(d, 1));
  const V z = hn::Div(hn::Add(f, f), hn::Add(f, hn::Set(d, 2)));
  const V u = hn::Mul(z, z);
  const V rest = hn::MulSub(u, LogPolynomial(d, u), hn::Mul(f, hn::Set(d, static_cast<T>(0.5))));
  const V high = hn::MulAdd(k, ln2_high, f);
  const V lost = hn::Sub(f, hn::NegMulAdd(k, ln2_high, high));
  return hn::Add(high, hn::MulAdd(z, rest, hn::MulAdd(k, hn::Set(d, C::kLn2Low), lost)));
}

/// log(x). log(0) is -infinity, that of less NaN. float32: 1 ULP, float64: 1 ULP.
template <class D, class V>
HWY_INLINE V Log(D d, V x) {
  using T = hn::TFromD<D>;
  using C = MathConstants<T>;
  const V infinity = hn::Inf(d), zero = hn::Zero(d);
  const V normal = hn::Set(d, std::numeric_limits<T>::min());
  V y = LogOfNormal(d, x);
  if (HWY_UNLIKELY(!hn::AllTrue(d, hn::And(hn::Ge(x, normal), hn::Lt(x, infinity))))) {
    const V scaled = hn::Mul(x, hn::Set(d, 1 / C::kSmallScale));
    y = hn::IfThenElse(hn::Lt(x, normal), LogOfNormal<C::kSmallShift>(d, scaled), y);
    y = hn::IfThenElse(hn::Eq(x, zero), hn::Neg(infinity), y);
    y = hn::IfThenElse(hn::Eq(x, infinity), infinity, y);
    y = hn::IfThenElse(hn::Ge(x, zero), y, hn::NaN(d));
  }
  return y;
}

// a - q b for q = a / b, exactly. Without FMA the factors are cut into halves, whose products are exact, and
// taken off in order of size (Dekker 1971).
template <class D, class A, class V>
HWY_INLINE V DivisionRemainder(D d, A a, V b, V q) {
#if HWY_NATIVE_FMA
  (void)d;
  return op::NegMulAdd(q, b, a);
#else
  const hn::RebindToUnsigned<D> du;
  using TU = hn::TFromD<decltype(du)>;
  // 12 of 24 bits, 27 of 53: the high halves have 12 and 26 bits, and only the product of the low ones of
  // double may round, in its last bit.
  constexpr int kLowBits = (MathConstants<hn::TFromD<D>>::kMantissaBits + 2) / 2;
  const auto high_bits = hn::BitCast(d, hn::Set(du, static_cast<TU>(~TU{0} << kLowBits)));
  const V b_high = op::And(b, high_bits);
  const V b_low = op::Sub(b, b_high);
  const V q_high = op::And(q, high_bits);
  const V q_low = op::Sub(q, q_high);
  V rest = op::Sub(a, op::Mul(q_high, b_high));
  rest = op::Sub(rest, op::Mul(q_high, b_low));
  rest = op::Sub(rest, op::Mul(q_low, b_high));
  return op::Sub(rest, op::Mul(q_low, b_low));
#endif
}

// 1 / (1 + exp(-x)) for |x| <= kNormalExp: with exp(-x) = s (1 + t),
//   den + err = 1 + s + s t          (err: what the rounding of den lost)
//   q = 1 / den,  rho = 1 - (den + err) q,  y = q + q rho
// so that only the errors of t and of the last operation are left.
template <class D, class V>
HWY_INLINE V SigmoidOfNormal(D d, V x) {
  const auto one = hn::Set(d, 1);
  const auto e = ReduceExp(d, x);
  const V t = op::MulSub(e.r2, e.q, e.r);
  const V den = op::MulAdd(e.scale, t, op::Add(e.scale, one));
  // The larger of s and 1 first: that difference is exact.
  const V rest = op::Add(op::Sub(op::Max(e.scale, one), den), op::Min(e.scale, one));
  const V err = op::MulAdd(e.scale, t, rest);
  const V q = op::Div(one, den);
  const V rho = op::NegMulAdd(err, q, DivisionRemainder(d, one, den, q));
  return op::MulAdd(q, rho, q);
}

// y = SigmoidOfNormal(x), completed where |x| > kNormalExp.
template <class D, class V>
HWY_INLINE V SigmoidWithExtremes(D d, V x, V y) {
  using C = MathConstants<hn::TFromD<D>>;
  const auto extreme = hn::Gt(hn::Abs(x), hn::Set(d, C::kNormalExp));
  if (HWY_UNLIKELY(!hn::AllFalse(d, extreme))) {
    const V one = hn::Set(d, 1);
    const V capped = hn::Min(hn::Abs(x), hn::Set(d, C::kVanishedExp));
    const V small = SmallExp(d, capped, one);
    y = hn::IfThenElse(extreme, hn::IfThenElse(hn::Gt(x, hn::Zero(d)), one, small), y);
  }
  return y;
}

/// 1 / (1 + exp(-x)). float32: 1 ULP (without FMA 1.1), float64: 2 ULP. Never decreasing, in [0, 1],
/// 1/2 at 0.
template <class D, class V>
HWY_INLINE V Sigmoid(D d, V x) {
  return SigmoidWithExtremes(d, x, SigmoidOfNormal(d, x));
}

// tanh(a) for 0 <= a <= kTanhOne. With exp(2a) = s (1 + 2 (r + p)), s = 2^n, r = a - n ln(2)/2:
//   base = (s - 1)/2 + s r,   den + lost = base + s p + 1,   num = den - 1,   q = num / den
//   tanh(a) = (num + lost) / (den + lost) = q + (num - q den + lost (1 - q)) / den, nearly, and 1 / den = 1 -
//   q
// What base and r have lost counts only (1 - q)^2 times, so ln(2) needs no second part here.
template <class D, class V>
HWY_INLINE V TanhOfNormal(D d, V a) {
  using T = hn::TFromD<D>;
  using C = MathConstants<T>;
  const auto one = hn::Set(d, 1);
  const auto half = hn::Set(d, static_cast<T>(0.5));
  const auto rounder = hn::Set(d, C::kRounder + static_cast<T>(C::kExponentBias));
  const auto biased = op::MulAdd(a, hn::Set(d, static_cast<T>(2 * 1.44269504088896340736)), rounder);
  const auto n = op::Sub(biased, rounder);
  const V s = PowerOfTwo<C::kMantissaBits>(d, biased);
  const V r = op::NegMulAdd(n, hn::Set(d, static_cast<T>(0.69314718055994530942 / 2)), a);
  const V r2 = op::Mul(r, r);
  const V p = op::Mul(r2, ExpPolynomial<-2>(d, r, r2));
  const V base = op::MulAdd(s, r, op::MulSub(s, half, half));
  const V den = op::Add(op::MulAdd(s, p, base), one);
  const V num = op::Sub(den, one);
  const V lost = op::MulAdd(s, p, op::Sub(base, num));
  const V q = op::Div(num, den);
  const V rest = op::Sub(one, q);
  return op::MulAdd(op::MulAdd(lost, rest, DivisionRemainder(d, num, den, q)), rest, q);
}

// The lesser of x and `high`; NaN stays.
template <class V>
HWY_INLINE V MinKeepNaN(V x, V high) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  return hn::Min(high, x);  // where one is NaN, x86's minimum is its second operand; Arm's may be the number
#else
  return hn::IfThenElse(hn::Gt(x, high), high, x);
#endif
}

// |x|, but no more than where tanh has become 1, and the sign of x for y = TanhOfNormal of it.
template <class D, class V>
HWY_INLINE V TanhArgument(D d, V x) {
  return MinKeepNaN(hn::Abs(x), hn::Set(d, MathConstants<hn::TFromD<D>>::kTanhOne));
}
template <class D, class V>
HWY_INLINE V TanhWithSign(D d, V x, V y) {
  return hn::OrAnd(y, hn::SignBit(d), x);
}

/// tanh(x). float32: 1.0001 ULP, float64: 2 ULP. Odd, never decreasing, in [-1, 1]; -0 gives -0, and x itself
/// up to |x| = 2^-25 (2^-54).
template <class D, class V>
HWY_INLINE V Tanh(D d, V x) {
  return TanhWithSign(d, x, TanhOfNormal(d, TanhArgument(d, x)));
}

// The same on several vectors in step.
template <class D, class V, std::size_t K>
HWY_INLINE Several<V, K> Tanh(D d, const Several<V, K>& x) {
  const auto a = InStep(
      [d](V v) HWY_ATTR __attribute__((always_inline)) { return TanhArgument(d, v); }, x);
  return InStep(
      [d](V v, V y) HWY_ATTR __attribute__((always_inline)) { return TanhWithSign(d, v, y); }, x,
      TanhOfNormal(d, a));
}

/// log(sigmoid(x)) = min(x, 0) - log1p(exp(-|x|)). float32: 2 ULP, float64: 2 ULP. With e = exp(-|x|) and
/// z = 2 e / (2 + e), with what e, the denominator and the division lost carried to first order,
/// log1p(e) = 2 atanh(z / 2); 1/(2 + e) = (2 - z)/4.
template <class D, class V>
HWY_INLINE V LogSigmoid(D d, V x) {
  using T = hn::TFromD<D>;
  using C = MathConstants<T>;
  const V two = hn::Set(d, 2);
  const V a = hn::Abs(x);
  const auto reduced = ReduceExp(d, a);
  const V t = hn::MulSub(reduced.r2, reduced.q, reduced.r);
  const V e = hn::MulAdd(reduced.scale, t, reduced.scale);
  const V e_err = hn::MulAdd(reduced.scale, t, hn::Sub(reduced.scale, e));
  const V num = hn::Add(e, e);
  const V den = hn::Add(e, two);
  const V den_err = hn::Add(hn::Sub(e, hn::Sub(den, two)), e_err);
  const V z = hn::Div(num, den);
  const V remainder = hn::NegMulAdd(z, den_err, hn::MulAdd(two, e_err, DivisionRemainder(d, num, den, z)));
  const V correction = hn::Mul(remainder, hn::NegMulAdd(hn::Set(d, T(0.25)), z, hn::Set(d, T(0.5))));
  const V u = hn::Mul(z, z);
  const V log1p = hn::Add(z, hn::MulAdd(hn::Mul(z, u), LogPolynomial(d, u), correction));
  const auto positive = hn::Gt(x, hn::Zero(d));
  V y = hn::Sub(hn::IfThenZeroElse(positive, x), log1p);
  const auto extreme = hn::Gt(a, hn::Set(d, C::kNormalExp));
  if (HWY_UNLIKELY(!hn::AllFalse(d, extreme))) {
    const V small = SmallExp(d, hn::Min(a, hn::Set(d, C::kVanishedExp)), hn::Set(d, -1));
    y = hn::IfThenElse(extreme, hn::IfThenElse(positive, small, x), y);
  }
  return y;
}

/// x * sigmoid(x). float32: 2 ULP, float64: 3 ULP; the limit at -infinity is -0.
template <class D, class V>
HWY_INLINE V Silu(D d, V x) {
  using C = MathConstants<hn::TFromD<D>>;
  V y = hn::Mul(x, SigmoidOfNormal(d, x));
  const auto extreme = hn::Gt(hn::Abs(x), hn::Set(d, C::kNormalExp));
  if (HWY_UNLIKELY(!hn::AllFalse(d, extreme))) {
    const V capped = hn::Min(hn::Abs(x), hn::Set(d, C::kVanishedExp));
    const V small = SmallExp(d, capped, hn::Neg(capped));
    y = hn::IfThenElse(extreme, hn::IfThenElse(hn::Gt(x, hn::Zero(d)), x, small), y);
  }
  return y;
}

// x within [low, high]; NaN stays.
template <class D, class V>
HWY_INLINE V ClampKeepNaN(D, V x, V low, V high) {
  return MinKeepNaN(hn::IfThenElse(hn::Lt(x, low), low, x), high);
}

/// x/6 + 1/2 within [0, 1], as (x + 3) / 6, which has no cancellation near -3. 1 ULP of each type.
template <class D, class V>
HWY_INLINE V HardSigmoid(D d, V x) {
  const V six = hn::Set(d, 6);
  return hn::Div(ClampKeepNaN(d, hn::Add(x, hn::Set(d, 3)), hn::Zero(d), six), six);
}

/// 0.2x + 0.5 within [0, 1], as (x + 2.5) / 5. 1 ULP of each type.
template <class D, class V>
HWY_INLINE V HardSigmoidOnnx(D d, V x) {
  using T = hn::TFromD<D>;
  const V five = hn::Set(d, 5);
  return hn::Div(ClampKeepNaN(d, hn::Add(x, hn::Set(d, static_cast<T>(2.5))), hn::Zero(d), five), five);
}

/// max(x, 0); NaN stays NaN.
template <class D, class V>
HWY_INLINE V Relu(D d, V x) {
  return hn::IfThenZeroElse(hn::Lt(x, hn::Zero(d)), x);
}

/// g y (1 - y), the gradient through y = sigmoid(x).
template <class D, class V>
HWY_INLINE V SigmoidBackward(D d, V y, V g) {
  return hn::Mul(g, hn::Mul(y, hn::Sub(hn::Set(d, 1), y)));
}

/// g (1 - y^2), the gradient through y = tanh(x); as (1 - y)(1 + y), which is accurate near |y| = 1.
template <class D, class V>
HWY_INLINE V TanhBackward(D d, V y, V g) {
  const V one = hn::Set(d, 1);
  return hn::Mul(g, hn::Mul(hn::Sub(one, y), hn::Add(one, y)));
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels
HWY_AFTER_NAMESPACE();

#endif
