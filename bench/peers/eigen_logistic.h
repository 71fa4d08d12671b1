// SPDX-License-Identifier: Apache-2.0
// Eigen's elementwise functions at their best: compiled for this machine, contraction allowed.
#pragma once

#include <cstddef>

namespace sluice::peers {

void eigen_logistic(const float* x, float* y, std::size_t n);
void eigen_logistic(const double* x, double* y, std::size_t n);
void eigen_tanh(const float* x, float* y, std::size_t n);
void eigen_tanh(const double* x, double* y, std::size_t n);

}  // namespace sluice::peers
