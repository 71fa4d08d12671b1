// SPDX-License-Identifier: Apache-2.0
// A user's program: an LSTM over data in Eigen matrices, checked against a plain loop, printed bit by bit.
// Its weights go to the file that is named.
#include <sluice/eigen.h>
#include <sluice/sluice.h>

#include <Eigen/Core>
#include <cmath>
#include <cstdio>

namespace {

constexpr Eigen::Index kSteps = 6, kInput = 3, kHidden = 5;

// Numbers in [-1, 1] that need no random generator, and no arithmetic that a compiler may fuse.
Eigen::MatrixXf numbers(Eigen::Index rows, Eigen::Index columns, Eigen::Index seed) {
  Eigen::MatrixXf m(rows, columns);
  for (Eigen::Index i = 0; i < m.size(); ++i) m.data()[i] = std::sin(static_cast<float>(100 * seed + i));
  return m;
}

Eigen::VectorXd sigmoid(const Eigen::VectorXd& x) { return (1 + (-x).array().exp()).inverse(); }

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const Eigen::MatrixXf w = numbers(4 * kHidden, kInput, 0), u = numbers(4 * kHidden, kHidden, 1);
  const Eigen::VectorXf bias_ih = numbers(4 * kHidden, 1, 2), bias_hh = numbers(4 * kHidden, 1, 3);
  const Eigen::MatrixXf x = numbers(kSteps, kInput, 4);

  sluice::StateDict<float> weights;
  weights.set("weight_ih_l0", sluice::Tensor<float>(sluice::as_view(w)));
  weights.set("weight_hh_l0", sluice::Tensor<float>(sluice::as_view(u)));
  weights.set("bias_ih_l0", sluice::Tensor<float>(sluice::as_view(bias_ih)));
  weights.set("bias_hh_l0", sluice::Tensor<float>(sluice::as_view(bias_hh)));
  sluice::save_safetensors(argv[1], weights);
  const sluice::LSTM<float> lstm({.input_size = kInput, .hidden_size = kHidden}, weights);
  const auto result = lstm.forward(sluice::as_view(x));
  const Eigen::MatrixXf output = sluice::as_matrix(result.output);

  // The same in double, as the paper writes it.
  Eigen::VectorXd h = Eigen::VectorXd::Zero(kHidden), c = h;
  double largest_error = 0;
  for (Eigen::Index t = 0; t < kSteps; ++t) {
    const Eigen::VectorXd gates = w.cast<double>() * x.row(t).transpose().cast<double>() +
                                  u.cast<double>() * h + (bias_ih + bias_hh).cast<double>();
    const Eigen::VectorXd i = sigmoid(gates.segment(0, kHidden)),
                          f = sigmoid(gates.segment(kHidden, kHidden));
    const Eigen::VectorXd g = gates.segment(2 * kHidden, kHidden).array().tanh();
    const Eigen::VectorXd o = sigmoid(gates.segment(3 * kHidden, kHidden));
    c = f.cwiseProduct(c) + i.cwiseProduct(g);
    h = o.cwiseProduct(c.array().tanh().matrix());
    largest_error =
        std::max(largest_error, (output.row(t).transpose().cast<double>() - h).cwiseAbs().maxCoeff());
  }
  for (const float value : result.output.span()) std::printf("%a\n", static_cast<double>(value));

  // The functions on matrices, with the bits of the functions on numbers.
  const Eigen::MatrixXf y = sluice::sigmoid(x);
  for (Eigen::Index k = 0; k < x.size(); ++k) {
    if (y.data()[k] != sluice::sigmoid(x.data()[k])) {
      std::fprintf(stderr, "consumer: sigmoid of a matrix differs from that of its element %td\n", k);
      return 1;
    }
  }

  // A gate sums 10 terms below 1, the gates' derivatives are at most 1/4 and 1, and errors live on through f
  // < 1: in six steps less than 6 * 10 roundings of 2^-24.
  if (!(largest_error <= 60 * 0x1p-24)) {
    std::fprintf(stderr, "consumer: the LSTM is off by %g\n", largest_error);
    return 1;
  }
  return 0;
}
