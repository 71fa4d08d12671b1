// SPDX-License-Identifier: Apache-2.0
// The fused gates of custom cells: shapes are checked here, rows shared among threads, and the kernels
// called.
#include "sluice/gates.h"

#include <cstddef>
#include <string>
#include <string_view>

#include "cells/elementwise.h"
#include "core/check.h"
#include "core/threads.h"
#include "kernels/gate_math.h"

namespace sluice {
namespace {

// Throws ShapeError unless `view` is [rows, columns] with the elements of a row adjacent.
template <class T>
void check_rows(std::string_view call, std::string_view argument, const TensorView<T>& view, std::size_t rows,
                std::size_t columns) {
  check_given(call, argument, view);
  check_shape(call, argument, view.shape(), Shape{rows, columns});
  if (columns > 1 && view.stride(1) != 1) {
    throw ShapeError(std::string(call) + ": " + std::string(argument) + " has stride " +
                     std::to_string(view.stride(1)) + " within a row, expected 1");
  }
}

template <class T>
void check_matrix(std::string_view call, std::string_view argument, const TensorView<T>& view) {
  check_given(call, argument, view);
  if (view.rank() != 2) throw_shape_error(call, argument, view.shape(), "[B, H]");
}

template <class T>
T* row_of(const TensorView<T>& view, std::size_t row) {
  return view.is_null() ? nullptr : view.data() + static_cast<std::ptrdiff_t>(row) * view.stride(0);
}

// body(row) for all rows, each of `elements` results of an activation.
template <class Body>
void for_each_row(std::size_t rows, std::size_t elements, const Body& body) {
  parallel_ranges(rows, kElementsPerThread / (elements + 1) + 1, 0, [&](std::size_t begin, std::size_t end) {
    for (std::size_t row = begin; row < end; ++row) body(row);
  });
}

template <class T>
void lstm(TensorView<const T> pre, TensorView<const T> c, TensorView<T> h_out, TensorView<T> c_out,
          TensorView<T> gates) {
  constexpr std::string_view kCall = "lstm_gates";
  check_matrix(kCall, "c", c);
  const std::size_t B = c.dim(0), H = c.dim(1);
  check_rows(kCall, "pre", pre, B, 4 * H);
  check_rows(kCall, "c", c, B, H);
  check_rows(kCall, "h_out", h_out, B, H);
  check_rows(kCall, "c_out", c_out, B, H);
  if (gates) check_rows(kCall, "gates", gates, B, 4 * H);
  const auto kernel = kernels::gate_math<T>().lstm_gates;
  for_each_row(B, 5 * H, [&](std::size_t b) {
    kernel(row_of(pre, b), row_of(c, b), row_of(h_out, b), row_of(c_out, b), row_of(gates, b), H);
  });
}

template <class T>
void gru(TensorView<const T> pre_x, TensorView<const T> pre_h, TensorView<const T> h, TensorView<T> h_out,
         TensorView<T> gates) {
  constexpr std::string_view kCall = "gru_gates";
  check_matrix(kCall, "h", h);
  const std::size_t B = h.dim(0), H = h.dim(1);
  check_rows(kCall, "pre_x", pre_x, B, 3 * H);
  check_rows(kCall, "pre_h", pre_h, B, 3 * H);
  check_rows(kCall, "h", h, B, H);
  check_rows(kCall, "h_out", h_out, B, H);
  if (gates) check_rows(kCall, "gates", gates, B, 3 * H);
  const auto kernel = kernels::gate_math<T>().gru_gates;
  for_each_row(B, 3 * H, [&](std::size_t b) {
    kernel(row_of(pre_x, b), row_of(pre_h, b), row_of(h, b), row_of(h_out, b), row_of(gates, b), H);
  });
}

template <class T>
void highway(TensorView<const T> pre, TensorView<const T> candidate, TensorView<const T> x, TensorView<T> y,
             TensorView<T> gate) {
  constexpr std::string_view kCall = "highway_gate";
  check_matrix(kCall, "x", x);
  const std::size_t B = x.dim(0), H = x.dim(1);
  check_rows(kCall, "pre", pre, B, H);
  check_rows(kCall, "candidate", candidate, B, H);
  check_rows(kCall, "x", x, B, H);
  check_rows(kCall, "y", y, B, H);
  if (gate) check_rows(kCall, "gate", gate, B, H);
  const auto kernel = kernels::gate_math<T>().highway_gate;
  for_each_row(B, H, [&](std::size_t b) {
    kernel(row_of(pre, b), row_of(candidate, b), row_of(x, b), row_of(y, b), row_of(gate, b), H);
  });
}

template <class T>
void lstm_backward(TensorView<const T> gates, TensorView<const T> c, TensorView<const T> c_out,
                   TensorView<const T> grad_h_out, TensorView<const T> grad_c_out, TensorView<T> grad_pre,
                   TensorView<T> grad_c) {
  constexpr std::string_view kCall = "lstm_gates_backward";
  check_matrix(kCall, "c", c);
  const std::size_t B = c.dim(0), H = c.dim(1);
  check_rows(kCall, "gates", gates, B, 4 * H);
  check_rows(kCall, "c", c, B, H);
  check_rows(kCall, "c_out", c_out, B, H);
  check_rows(kCall, "grad_h_out", grad_h_out, B, H);
  if (grad_c_out) check_rows(kCall, "grad_c_out", grad_c_out, B, H);
  check_rows(kCall, "grad_pre", grad_pre, B, 4 * H);
  check_rows(kCall, "grad_c", grad_c, B, H);
  const auto kernel = kernels::gate_math<T>().lstm_gates_backward;
  for_each_row(B, H, [&](std::size_t b) {
    kernel(row_of(gates, b), row_of(c, b), row_of(c_out, b), row_of(grad_h_out, b), row_of(grad_c_out, b),
           row_of(grad_pre, b), row_of(grad_c, b), H);
  });
}

template <class T>
void gru_backward(TensorView<const T> gates, TensorView<const T> pre_h, TensorView<const T> h,
                  TensorView<const T> grad_h_out, TensorView<T> grad_pre_x, TensorView<T> grad_pre_h,
                  TensorView<T> grad_h) {
  constexpr std::string_view kCall = "gru_gates_backward";
  check_matrix(kCall, "h", h);
  const std::size_t B = h.dim(0), H = h.dim(1);
  check_rows(kCall, "gates", gates, B, 3 * H);
  check_rows(kCall, "pre_h", pre_h, B, 3 * H);
  check_rows(kCall, "h", h, B, H);
  check_rows(kCall, "grad_h_out", grad_h_out, B, H);
  check_rows(kCall, "grad_pre_x", grad_pre_x, B, 3 * H);
  check_rows(kCall, "grad_pre_h", grad_pre_h, B, 3 * H);
  check_rows(kCall, "grad_h", grad_h, B, H);
  const auto kernel = kernels::gate_math<T>().gru_gates_backward;
  for_each_row(B, H, [&](std::size_t b) {
    kernel(row_of(gates, b), row_of(pre_h, b), row_of(h, b), row_of(grad_h_out, b), row_of(grad_pre_x, b),
           row_of(grad_pre_h, b), row_of(grad_h, b), H);
  });
}

template <class T>
void highway_backward(TensorView<const T> gate, TensorView<const T> candidate, TensorView<const T> x,
                      TensorView<const T> grad_y, TensorView<T> grad_pre, TensorView<T> grad_candidate,
                      TensorView<T> grad_x) {
  constexpr std::string_view kCall = "highway_gate_backward";
  check_matrix(kCall, "x", x);
  const std::size_t B = x.dim(0), H = x.dim(1);
  check_rows(kCall, "gate", gate, B, H);
  check_rows(kCall, "candidate", candidate, B, H);
  check_rows(kCall, "x", x, B, H);
  check_rows(kCall, "grad_y", grad_y, B, H);
  check_rows(kCall, "grad_pre", grad_pre, B, H);
  check_rows(kCall, "grad_candidate", grad_candidate, B, H);
  check_rows(kCall, "grad_x", grad_x, B, H);
  const auto kernel = kernels::gate_math<T>().highway_gate_backward;
  for_each_row(B, H, [&](std::size_t b) {
    kernel(row_of(gate, b), row_of(candidate, b), row_of(x, b), row_of(grad_y, b), row_of(grad_pre, b),
           row_of(grad_candidate, b), row_of(grad_x, b), H);
  });
}

}  // namespace

void lstm_gates(TensorView<const float> pre, TensorView<const float> c, TensorView<float> h_out,
                TensorView<float> c_out, TensorView<float> gates) {
  lstm(pre, c, h_out, c_out, gates);
}
void lstm_gates(TensorView<const double> pre, TensorView<const double> c, TensorView<double> h_out,
                TensorView<double> c_out, TensorView<double> gates) {
  lstm(pre, c, h_out, c_out, gates);
}

void gru_gates(TensorView<const float> pre_x, TensorView<const float> pre_h, TensorView<const float> h,
               TensorView<float> h_out, TensorView<float> gates) {
  gru(pre_x, pre_h, h, h_out, gates);
}
void gru_gates(TensorView<const double> pre_x, TensorView<const double> pre_h, TensorView<const double> h,
               TensorView<double> h_out, TensorView<double> gates) {
  gru(pre_x, pre_h, h, h_out, gates);
}

void highway_gate(TensorView<const float> pre, TensorView<const float> candidate, TensorView<const float> x,
                  TensorView<float> y, TensorView<float> gate) {
  highway(pre, candidate, x, y, gate);
}
void highway_gate(TensorView<const double> pre, TensorView<const double> candidate,
                  TensorView<const double> x, TensorView<double> y, TensorView<double> gate) {
  highway(pre, candidate, x, y, gate);
}

void lstm_gates_backward(TensorView<const float> gates, TensorView<const float> c,
                         TensorView<const float> c_out, TensorView<const float> grad_h_out,
                         TensorView<const float> grad_c_out, TensorView<float> grad_pre,
                         TensorView<float> grad_c) {
  lstm_backward(gates, c, c_out, grad_h_out, grad_c_out, grad_pre, grad_c);
}
void lstm_gates_backward(TensorView<const double> gates, TensorView<const double> c,
                         TensorView<const double> c_out, TensorView<const double> grad_h_out,
                         TensorView<const double> grad_c_out, TensorView<double> grad_pre,
                         TensorView<double> grad_c) {
  lstm_backward(gates, c, c_out, grad_h_out, grad_c_out, grad_pre, grad_c);
}

void gru_gates_backward(TensorView<const float> gates, TensorView<const float> pre_h,
                        TensorView<const float> h, TensorView<const float> grad_h_out,
                        TensorView<float> grad_pre_x, TensorView<float> grad_pre_h,
                        TensorView<float> grad_h) {
  gru_backward(gates, pre_h, h, grad_h_out, grad_pre_x, grad_pre_h, grad_h);
}
void gru_gates_backward(TensorView<const double> gates, TensorView<const double> pre_h,
                        TensorView<const double> h, TensorView<const double> grad_h_out,
                        TensorView<double> grad_pre_x, TensorView<double> grad_pre_h,
                        TensorView<double> grad_h) {
  gru_backward(gates, pre_h, h, grad_h_out, grad_pre_x, grad_pre_h, grad_h);
}

void highway_gate_backward(TensorView<const float> gate, TensorView<const float> candidate,
                           TensorView<const float> x, TensorView<const float> grad_y,
                           TensorView<float> grad_pre, TensorView<float> grad_candidate,
                           TensorView<float> grad_x) {
  highway_backward(gate, candidate, x, grad_y, grad_pre, grad_candidate, grad_x);
}
void highway_gate_backward(TensorView<const double> gate, TensorView<const double> candidate,
                           TensorView<const double> x, TensorView<const double> grad_y,
                           TensorView<double> grad_pre, TensorView<double> grad_candidate,
                           TensorView<double> grad_x) {
  highway_backward(gate, candidate, x, grad_y, grad_pre, grad_candidate, grad_x);
}

}  // namespace sluice
