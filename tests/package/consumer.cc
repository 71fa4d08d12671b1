// SPDX-License-Identifier: Apache-2.0
// A user's program: an LSTM over data in Eigen matrices, checked against a plain loop, printed bit by bit.
#include <sluice/sluice.h>

#include <Eigen/Core>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>

namespace {

constexpr std::size_t kSteps = 4, kBatch = 2, kInput = 3, kHidden = 5;
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Numbers in [-1, 1] that need no random generator.
Matrix numbers(std::size_t rows, std::size_t columns, double seed) {
  Matrix m(rows, columns);
  for (Eigen::Index i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(std::sin(seed + 1.7 * i));
  return m;
}

void set(sluice::StateDict<float>& weights, const std::string& name, const Matrix& m) {
  const sluice::Shape shape = m.cols() == 1 ? sluice::Shape{std::size_t(m.rows())}
                                            : sluice::Shape{std::size_t(m.rows()), std::size_t(m.cols())};
  weights.set(name, sluice::Tensor<float>(shape, std::span<const float>(m.data(), std::size_t(m.size()))));
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

int main() {
  const Matrix w = numbers(4 * kHidden, kInput, 0), u = numbers(4 * kHidden, kHidden, 1);
  const Matrix bias_ih = numbers(4 * kHidden, 1, 2), bias_hh = numbers(4 * kHidden, 1, 3);
  const Matrix x = numbers(kSteps * kBatch, kInput, 4);

  sluice::StateDict<float> weights;
  set(weights, "weight_ih_l0", w);
  set(weights, "weight_hh_l0", u);
  set(weights, "bias_ih_l0", bias_ih);
  set(weights, "bias_hh_l0", bias_hh);
  const sluice::LSTM<float> lstm({.input_size = kInput, .hidden_size = kHidden}, weights);
  const auto result =
      lstm.forward(sluice::TensorView<const float>(x.data(), sluice::Shape{kSteps, kBatch, kInput}));

  // The same in double, as the paper writes it.
  Eigen::MatrixXd h = Eigen::MatrixXd::Zero(kBatch, kHidden), c = h;
  double largest_error = 0;
  for (std::size_t t = 0; t < kSteps; ++t) {
    const Eigen::MatrixXd bias = (bias_ih + bias_hh).cast<double>().transpose();
    const Eigen::MatrixXd gates =
        x.middleRows(t * kBatch, kBatch).cast<double>() * w.cast<double>().transpose() +
        h * u.cast<double>().transpose() + bias.replicate(kBatch, 1);
    for (std::size_t b = 0; b < kBatch; ++b) {
      for (std::size_t j = 0; j < kHidden; ++j) {
        c(b, j) = sigmoid(gates(b, kHidden + j)) * c(b, j) +
                  sigmoid(gates(b, j)) * std::tanh(gates(b, 2 * kHidden + j));
        h(b, j) = sigmoid(gates(b, 3 * kHidden + j)) * std::tanh(c(b, j));
        largest_error = std::max(largest_error, std::abs(h(b, j) - result.output(t, b, j)));
        std::printf("%a\n", static_cast<double>(result.output(t, b, j)));
      }
    }
  }
  // Sums of 10 terms of at most 1 and four steps of them: some 40 roundings of 2^-24 at most, halved by the
  // gates.
  if (largest_error > 40 * 0x1p-24) {
    std::fprintf(stderr, "consumer: the LSTM is off by %g\n", largest_error);
    return 1;
  }
  return 0;
}
