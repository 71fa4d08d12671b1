// SPDX-License-Identifier: Apache-2.0
// Array forms of the gates' elementwise functions. One table an element type and instruction set.
#pragma once

#include <cstddef>

namespace sluice::kernels {

/// Functions on contiguous arrays of n elements. y may be x; no other overlap. The bits of an element depend
/// on its value alone. Bounds are in ULP, where the target has FMA; gate_math-inl.h derives them.
template <class T>
struct GateMath {
  using Map = void (*)(const T* x, T* y, std::size_t n);
  using Backward = void (*)(const T* y, const T* grad_y, T* grad_x, std::size_t n);

  const char* target;  // "avx512", "avx2", "sse4", "neon", "scalar"
  bool has_fma;

  Map sigmoid;            // f32 1.0, f64 2
  Map tanh;               // f32 1.0, f64 2
  Map log_sigmoid;        // f32 2, f64 2
  Map hard_sigmoid;       // x/6 + 1/2 in [0, 1]
  Map hard_sigmoid_onnx;  // 0.2x + 0.5 in [0, 1]
  Map silu;               // x sigmoid(x)
  Map relu;
  Map exp;                    // f32 1.1, f64 1.1
  Backward sigmoid_backward;  // g y (1 - y)
  Backward tanh_backward;     // g (1 - y^2)

  /// One row of softmax: n values, y may be x.
  void (*softmax)(const T* x, T* y, std::size_t n);

  /// Elementwise halves of the cells over one row; see sluice/gates.h. `gates` and `gate`
  /// may be null.
  void (*lstm_gates)(const T* pre, const T* c, T* h_out, T* c_out, T* gates, std::size_t hidden_size);
  void (*gru_gates)(const T* pre_x, const T* pre_h, const T* h, T* h_out, T* gates, std::size_t hidden_size);
  void (*highway_gate)(const T* pre, const T* candidate, const T* x, T* y, T* gate, std::size_t hidden_size);
  /// And back; `grad_c_out` may be null.
  void (*lstm_gates_backward)(const T* gates, const T* c, const T* c_out, const T* grad_h_out,
                              const T* grad_c_out, T* grad_pre, T* grad_c, std::size_t hidden_size);
  void (*gru_gates_backward)(const T* gates, const T* pre_h, const T* h, const T* grad_h_out, T* grad_pre_x,
                             T* grad_pre_h, T* grad_h, std::size_t hidden_size);
  void (*highway_gate_backward)(const T* gate, const T* candidate, const T* x, const T* grad_y, T* grad_pre,
                                T* grad_candidate, T* grad_x, std::size_t hidden_size);
};

/// The table of the active target (sluice/target.h). Keep the reference; do not look it up in a loop.
template <class T>
const GateMath<T>& gate_math();
template <>
const GateMath<float>& gate_math<float>();
template <>
const GateMath<double>& gate_math<double>();

}  // namespace sluice::kernels
