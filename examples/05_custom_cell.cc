// SPDX-License-Identifier: Apache-2.0
// A recurrent cell of one's own on the gate kernels: the minimal gated unit (Zhou et al. 2016), a GRU with
// one gate f for both of its tasks:
//   f = sigmoid(W_f [x, h] + b_f)    n = tanh(W_n [x, f * h] + b_n)    h' = (1 - f) * h + f * n
// Its last step is a Highway gate over n and h, so one fused kernel does the sigmoid and the mix.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>

#include "sluice/sluice.h"

class MGUCell {
 public:
  MGUCell(std::size_t input, std::size_t hidden, const sluice::StateDict<float>& weights)
      : w_f_({.in_features = input + hidden, .out_features = hidden}, weights, "w_f."),
        w_n_({.in_features = input + hidden, .out_features = hidden}, weights, "w_n."),
        xh_({input + hidden}),
        pre_({hidden}),
        f_({hidden}),
        n_({hidden}) {}

  /// x [I], h [H], which becomes h'. Takes no memory.
  void step(const sluice::Tensor<float>& x, sluice::Tensor<float>& h) {
    std::copy_n(h.data(), h.size(), std::copy_n(x.data(), x.size(), xh_.data()));
    w_f_.forward(1, xh_.data(), pre_.data());
    sluice::sigmoid(pre_, f_);
    for (std::size_t i = 0; i < h.size(); ++i) xh_(x.size() + i) = f_(i) * h(i);
    w_n_.forward(1, xh_.data(), n_.data());
    sluice::tanh(n_, n_);
    sluice::highway_gate(row(pre_), row(n_), row(h), row(h));
  }

 private:
  static sluice::TensorView<float> row(sluice::Tensor<float>& v) { return {v.data(), {1, v.size()}}; }
  sluice::Linear<float> w_f_, w_n_;
  sluice::Tensor<float> xh_, pre_, f_, n_;
};

int main() {
  constexpr std::size_t kInput = 4, kHidden = 8;
  std::mt19937 random(1);
  sluice::StateDict<float> weights;
  for (const char* name : {"w_f.weight", "w_n.weight", "w_f.bias", "w_n.bias"}) {
    const bool bias = std::string_view(name).ends_with("bias");
    sluice::Tensor<float> values(bias ? sluice::Shape{kHidden} : sluice::Shape{kHidden, kInput + kHidden});
    for (float& value : values.span()) value = static_cast<float>(random() % 2001) / 1000.0f - 1;
    weights.set(name, std::move(values));
  }
  MGUCell cell(kInput, kHidden, weights);
  sluice::Tensor<float> x({kInput}), h({kHidden});
  for (int t = 0; t < 20; ++t) {
    for (std::size_t k = 0; k < kInput; ++k)
      x(k) = std::sin(0.3f * static_cast<float>(t) + static_cast<float>(k));
    cell.step(x, h);
  }
  for (const float value : h.span()) std::printf("%+.4f ", value);
  std::printf("\n");
}
