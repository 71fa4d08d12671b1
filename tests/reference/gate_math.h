// SPDX-License-Identifier: Apache-2.0
// The sigmoid's family as the formulas read, in long double: 11 bits more than double.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>

namespace sluice::reference {

inline long double sigmoid(long double x) {
  const long double e = std::exp(-std::fabs(x));
  return (x < 0 ? e : 1) / (1 + e);
}
inline long double tanh(long double x) { return std::tanh(x); }
inline long double exp(long double x) { return std::exp(x); }
inline long double log_sigmoid(long double x) {
  return std::fmin(x, 0.0L) - std::log1p(std::exp(-std::fabs(x)));
}
inline long double silu(long double x) { return std::isinf(x) && x < 0 ? -0.0L : x * sigmoid(x); }
inline long double clamp(long double x, long double low, long double high) {
  return x < low ? low : x > high ? high : x;
}
inline long double hard_sigmoid(long double x) { return clamp((x + 3) / 6, 0, 1); }
inline long double hard_sigmoid_onnx(long double x) { return clamp((x + 2.5L) / 5, 0, 1); }
inline long double relu(long double x) { return x > 0 ? x : x < 0 ? 0 : x; }

/// One unit of an LSTM: activated gates, new c and h.
struct LSTMUnit {
  long double i, f, g, o, c, h;
};
inline LSTMUnit lstm_unit(long double i, long double f, long double g, long double o, long double c) {
  LSTMUnit u{sigmoid(i), sigmoid(f), tanh(g), sigmoid(o), 0, 0};
  u.c = u.f * c + u.i * u.g;
  u.h = u.o * tanh(u.c);
  return u;
}

/// One unit of a GRU (reset after the product): activated gates and new h.
struct GRUUnit {
  long double r, z, n, h;
};
inline GRUUnit gru_unit(long double r, long double z, long double n_x, long double n_h, long double h) {
  GRUUnit u{sigmoid(r), sigmoid(z), 0, 0};
  u.n = tanh(n_x + u.r * n_h);
  u.h = (1 - u.z) * u.n + u.z * h;
  return u;
}

}  // namespace sluice::reference
