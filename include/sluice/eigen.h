// SPDX-License-Identifier: Apache-2.0
// Bridges to and from Eigen, all inline: what owns memory with Eigen is made and freed on the user's side,
// with the user's compiler flags. The only public header that includes Eigen, and not part of sluice.h.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <span>
#include <type_traits>

#include "sluice/activations.h"
#include "sluice/error.h"
#include "sluice/gates.h"
#include "sluice/sigmoid.h"
#include "sluice/tensor.h"

namespace sluice {

/// A matrix as the library lays one out: rows one after another. One row of it is one row of the batch.
template <class T>
using RowMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// An Eigen matrix, array, map or block as a view: [rows, cols], or [n] for what is a vector by its type. No
/// element moves; the view lives as long as the memory of `m`. Of a const `m` it is a TensorView<const T>.
template <class M>
auto as_view(M&& m) {
  using Plain = std::remove_cvref_t<M>;
  static_assert((Plain::Flags & Eigen::DirectAccessBit) != 0,
                "an expression has no memory: evaluate it first");
  static_assert(std::is_lvalue_reference_v<M> || !std::is_base_of_v<Eigen::PlainObjectBase<Plain>, Plain>,
                "the matrix would be gone before the view is used");
  using T = std::remove_pointer_t<decltype(m.data())>;
  if constexpr (Plain::IsVectorAtCompileTime) {
    const std::ptrdiff_t strides[] = {m.innerStride()};
    return TensorView<T>(m.data(), Shape{static_cast<std::size_t>(m.size())}, strides);
  } else {
    const std::ptrdiff_t strides[] = {m.rowStride(), m.colStride()};
    return TensorView<T>(
        m.data(), Shape{static_cast<std::size_t>(m.rows()), static_cast<std::size_t>(m.cols())}, strides);
  }
}

/// A view [rows, cols] as an Eigen::Map; no element moves. Throws ShapeError unless the view has rank 2.
template <class T>
auto as_matrix(const TensorView<T>& view) {
  using Matrix = RowMatrix<std::remove_const_t<T>>;
  using Stride = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
  if (view.rank() != 2)
    throw ShapeError("as_matrix: the view is " + view.shape().to_string() + ", expected [rows, cols]");
  return Eigen::Map<std::conditional_t<std::is_const_v<T>, const Matrix, Matrix>, Eigen::Unaligned, Stride>(
      view.data(), static_cast<Eigen::Index>(view.dim(0)), static_cast<Eigen::Index>(view.dim(1)),
      Stride(view.stride(0), view.stride(1)));
}
template <class T>
auto as_matrix(Tensor<T>& tensor) {
  return as_matrix(tensor.view());
}
template <class T>
auto as_matrix(const Tensor<T>& tensor) {
  return as_matrix(tensor.view());
}

/// A view [n] as an Eigen::Map of a column vector. Throws ShapeError unless the view has rank 1.
template <class T>
auto as_vector(const TensorView<T>& view) {
  using Vector = Eigen::Matrix<std::remove_const_t<T>, Eigen::Dynamic, 1>;
  using Stride = Eigen::InnerStride<Eigen::Dynamic>;
  if (view.rank() != 1)
    throw ShapeError("as_vector: the view is " + view.shape().to_string() + ", expected [n]");
  return Eigen::Map<std::conditional_t<std::is_const_v<T>, const Vector, Vector>, Eigen::Unaligned, Stride>(
      view.data(), static_cast<Eigen::Index>(view.dim(0)), Stride(view.stride(0)));
}
template <class T>
auto as_vector(Tensor<T>& tensor) {
  return as_vector(tensor.view());
}
template <class T>
auto as_vector(const Tensor<T>& tensor) {
  return as_vector(tensor.view());
}

namespace eigen_detail {

// The expression, evaluated into a matrix or array of its own kind, with `function` applied in place.
template <class Derived, class Function>
typename Derived::PlainObject apply(const Eigen::DenseBase<Derived>& x, Function function) {
  using T = typename Derived::Scalar;
  typename Derived::PlainObject y = x.derived();
  const auto size = static_cast<std::size_t>(y.size());
  function(std::span<const T>(y.data(), size), std::span<T>(y.data(), size));
  return y;
}

// The argument with rows one after another: itself, or a copy where it is an expression or column-major.
template <class Derived>
using RowsIn = Eigen::Ref<const RowMatrix<typename Derived::Scalar>, 0, Eigen::OuterStride<>>;

template <class M>
TensorView<const typename M::Scalar> view_rows(const M& m) {
  const std::ptrdiff_t strides[] = {m.outerStride(), 1};
  return {m.data(), Shape{static_cast<std::size_t>(m.rows()), static_cast<std::size_t>(m.cols())}, strides};
}

// Where a result goes: straight into a row-major matrix or block of the right size, else through a copy that
// store() assigns.
template <class M>
class Result {
 public:
  using Plain = std::remove_cvref_t<M>;
  using T = typename Plain::Scalar;
  Result(M& target, Eigen::Index rows, Eigen::Index cols) : target_(target) {
    if constexpr (Plain::IsRowMajor && (Plain::Flags & Eigen::DirectAccessBit) != 0) {
      is_direct_ = target.rows() == rows && target.cols() == cols && (cols <= 1 || target.innerStride() == 1);
    }
    if (!is_direct_) copy_.resize(rows, cols);
  }
  TensorView<T> view() {
    if constexpr ((Plain::Flags & Eigen::DirectAccessBit) != 0) {
      if (is_direct_) {
        const std::ptrdiff_t strides[] = {target_.outerStride(), 1};
        return {target_.data(),
                Shape{static_cast<std::size_t>(target_.rows()), static_cast<std::size_t>(target_.cols())},
                strides};
      }
    }
    return {copy_.data(),
            Shape{static_cast<std::size_t>(copy_.rows()), static_cast<std::size_t>(copy_.cols())}};
  }
  void store() {
    if (!is_direct_) target_ = copy_;
  }

 private:
  M& target_;
  RowMatrix<T> copy_;
  bool is_direct_ = false;
};

}  // namespace eigen_detail

/// The functions of sigmoid.h and activations.h on any Eigen matrix, array or expression of float or double,
/// into a new one of the same kind and shape. In place: sigmoid(as_view(m), as_view(m)).
template <class Derived>
typename Derived::PlainObject sigmoid(const Eigen::DenseBase<Derived>& x) {
  return eigen_detail::apply(x, [](auto from, auto to) { sigmoid(from, to); });
}
template <class Derived>
typename Derived::PlainObject tanh(const Eigen::DenseBase<Derived>& x) {
  return eigen_detail::apply(x, [](auto from, auto to) { tanh(from, to); });
}
template <class Derived>
typename Derived::PlainObject log_sigmoid(const Eigen::DenseBase<Derived>& x) {
  return eigen_detail::apply(x, [](auto from, auto to) { log_sigmoid(from, to); });
}
template <class Derived>
typename Derived::PlainObject hard_sigmoid(const Eigen::DenseBase<Derived>& x) {
  return eigen_detail::apply(x, [](auto from, auto to) { hard_sigmoid(from, to); });
}
template <class Derived>
typename Derived::PlainObject silu(const Eigen::DenseBase<Derived>& x) {
  return eigen_detail::apply(x, [](auto from, auto to) { silu(from, to); });
}
template <class Derived>
typename Derived::PlainObject relu(const Eigen::DenseBase<Derived>& x) {
  return eigen_detail::apply(x, [](auto from, auto to) { relu(from, to); });
}

/// lstm_gates of gates.h over Eigen's matrices and expressions: pre [B, 4H], c [B, H]; h_out and c_out become
/// [B, H]. A row-major matrix or block is read and written where it is, anything else through a copy. c_out
/// may be c. Throws ShapeError.
template <class Pre, class C, class HOut, class COut>
void lstm_gates(const Eigen::MatrixBase<Pre>& pre, const Eigen::MatrixBase<C>& c, HOut&& h_out,
                COut&& c_out) {
  const eigen_detail::RowsIn<Pre> pre_rows(pre.derived());
  const eigen_detail::RowsIn<C> c_rows(c.derived());
  eigen_detail::Result<std::remove_reference_t<HOut>> h_result(h_out, c.rows(), c.cols());
  eigen_detail::Result<std::remove_reference_t<COut>> c_result(c_out, c.rows(), c.cols());
  lstm_gates(eigen_detail::view_rows(pre_rows), eigen_detail::view_rows(c_rows), h_result.view(),
             c_result.view());
  h_result.store();
  c_result.store();
}

/// gru_gates of gates.h: pre_x, pre_h [B, 3H], h [B, H]; h_out becomes [B, H] and may be h. Throws
/// ShapeError.
template <class PreX, class PreH, class H, class HOut>
void gru_gates(const Eigen::MatrixBase<PreX>& pre_x, const Eigen::MatrixBase<PreH>& pre_h,
               const Eigen::MatrixBase<H>& h, HOut&& h_out) {
  const eigen_detail::RowsIn<PreX> x_rows(pre_x.derived());
  const eigen_detail::RowsIn<PreH> h_rows(pre_h.derived());
  const eigen_detail::RowsIn<H> state(h.derived());
  eigen_detail::Result<std::remove_reference_t<HOut>> result(h_out, h.rows(), h.cols());
  gru_gates(eigen_detail::view_rows(x_rows), eigen_detail::view_rows(h_rows), eigen_detail::view_rows(state),
            result.view());
  result.store();
}

/// highway_gate of gates.h: all [B, H]; y becomes [B, H] and may be x or candidate. Throws ShapeError.
template <class Pre, class Candidate, class X, class Y>
void highway_gate(const Eigen::MatrixBase<Pre>& pre, const Eigen::MatrixBase<Candidate>& candidate,
                  const Eigen::MatrixBase<X>& x, Y&& y) {
  const eigen_detail::RowsIn<Pre> pre_rows(pre.derived());
  const eigen_detail::RowsIn<Candidate> candidate_rows(candidate.derived());
  const eigen_detail::RowsIn<X> x_rows(x.derived());
  eigen_detail::Result<std::remove_reference_t<Y>> result(y, x.rows(), x.cols());
  highway_gate(eigen_detail::view_rows(pre_rows), eigen_detail::view_rows(candidate_rows),
               eigen_detail::view_rows(x_rows), result.view());
  result.store();
}

}  // namespace sluice
