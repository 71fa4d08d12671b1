// SPDX-License-Identifier: Apache-2.0
#include "peers/eigen_logistic.h"

#include <Eigen/Core>

namespace sluice::peers {
namespace {

template <class T>
auto in(const T* x, std::size_t n) {
  return Eigen::Map<const Eigen::Array<T, Eigen::Dynamic, 1>>(x, static_cast<Eigen::Index>(n));
}
template <class T>
auto out(T* y, std::size_t n) {
  return Eigen::Map<Eigen::Array<T, Eigen::Dynamic, 1>>(y, static_cast<Eigen::Index>(n));
}

}  // namespace

void eigen_logistic(const float* x, float* y, std::size_t n) { out(y, n) = in(x, n).logistic(); }
void eigen_logistic(const double* x, double* y, std::size_t n) { out(y, n) = in(x, n).logistic(); }
void eigen_tanh(const float* x, float* y, std::size_t n) { out(y, n) = in(x, n).tanh(); }
void eigen_tanh(const double* x, double* y, std::size_t n) { out(y, n) = in(x, n).tanh(); }

}  // namespace sluice::peers
