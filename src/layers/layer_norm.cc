// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>

#include "core/check.h"
#include "core/threads.h"
#include "kernels/row_sums.h"
#include "layers/sequence.h"
#include "sluice/layers.h"

namespace sluice {
namespace {

// Rows a thread takes at least; below about this many elements its work costs less than starting it.
constexpr std::size_t kGrainElements = std::size_t{1} << 15;

// One row, all in double, rounded once. `weight` and `bias` may be null; y may be x.
template <class T>
void normalize_row(const kernels::RowSums<T>& sums, const T* x, const T* weight, const T* bias, double eps,
                   T* y, std::size_t n) noexcept {
  const double mean = sums.mean(x, n);
  const double variance = sums.variance(x, n, mean);
  const double scale = 1.0 / std::sqrt(variance + eps);
  for (std::size_t i = 0; i < n; ++i) {
    double value = (static_cast<double>(x[i]) - mean) * scale;
    if (weight != nullptr) value *= static_cast<double>(weight[i]);
    if (bias != nullptr) value += static_cast<double>(bias[i]);
    y[i] = static_cast<T>(value);
  }
}

template <class T>
class LayerNormStepper final : public Stepper<T> {
 public:
  LayerNormStepper(const T* weight, const T* bias, double eps, std::size_t batch, std::size_t features)
      : weight_(weight), bias_(bias), eps_(eps), y_({batch, features}) {}

  const T* step(const T* x) noexcept override {
    const std::size_t n = y_.dim(1);
    for (std::size_t b = 0; b < y_.dim(0); ++b) {
      normalize_row(sums_, x + b * n, weight_, bias_, eps_, y_.data() + b * n, n);
    }
    return y_.data();
  }
  void reset() noexcept override {}

 private:
  const kernels::RowSums<T>& sums_ = kernels::row_sums<T>();
  const T* weight_;  // or null, as bias_
  const T* bias_;
  double eps_;
  Tensor<T> y_;
};

}  // namespace

template <class T>
LayerNorm<T>::LayerNorm(const LayerNormOptions& options, const StateDict<T>& weights,
                        const std::string& prefix)
    : options_(options), prefix_(prefix) {
  if (options.normalized_shape == 0) {
    throw Error("LayerNorm: normalized_shape is 0, expected at least 1");
  }
  if (!(options.eps >= 0.0)) {
    throw Error("LayerNorm: eps is " + std::to_string(options.eps) + ", expected at least 0");
  }
  options_.bias = options.bias && options.elementwise_affine;
  if (!options.elementwise_affine) return;
  weight_ = Tensor<T>(weights.at(prefix + "weight", {options.normalized_shape}));
  if (options_.bias) bias_ = Tensor<T>(weights.at(prefix + "bias", {options.normalized_shape}));
}

template <class T>
Tensor<T> LayerNorm<T>::forward(TensorView<const T> x, const RunOptions& options) const {
  const std::size_t n = options_.normalized_shape;
  if (x.rank() == 0 || x.dim(x.rank() - 1) != n) {
    throw_shape_error("LayerNorm::forward", "x", x.shape(), "[..., " + std::to_string(n) + "]");
  }
  Tensor<T> storage;
  const TensorView<const T> rows = contiguous(x, storage);
  Tensor<T> y(x.shape());
  const kernels::RowSums<T>& sums = kernels::row_sums<T>();
  parallel_ranges(x.size() / n, kGrainElements / n + 1, options.threads,
                  [&](std::size_t begin, std::size_t end) {
                    for (std::size_t r = begin; r < end; ++r) {
                      normalize_row(sums, rows.data() + r * n, weight_.data(), bias_.data(), options_.eps,
                                    y.data() + r * n, n);
                    }
                  });
  return y;
}

template <class T>
std::vector<ParameterInfo> LayerNorm<T>::parameters() const {
  std::vector<ParameterInfo> all;
  if (options_.elementwise_affine) all.push_back({prefix_ + "weight", {options_.normalized_shape}});
  if (options_.bias) all.push_back({prefix_ + "bias", {options_.normalized_shape}});
  return all;
}

template <class T>
std::size_t LayerNorm<T>::output_size(std::size_t input_size) const {
  check_features("LayerNorm", input_size, options_.normalized_shape);
  return input_size;
}

template <class T>
double LayerNorm<T>::flops_per_step(std::size_t) const {
  // One addition for the mean; a subtraction, a square and an addition for the variance; a subtraction and a
  // product to normalize; weight and bias.
  const double each = 6.0 + (options_.elementwise_affine ? 1.0 : 0.0) + (options_.bias ? 1.0 : 0.0);
  return each * static_cast<double>(options_.normalized_shape);
}

template <class T>
SequenceOutput<T> LayerNorm<T>::run(const Sequence<T>& in, const RunOptions& options) const {
  check_sequence("LayerNorm::run", in, options_.normalized_shape);
  return {forward(in.x, options), same_lengths(in)};
}

template <class T>
std::unique_ptr<Stepper<T>> LayerNorm<T>::stepper(std::size_t batch, std::size_t input_size) const {
  output_size(input_size);
  return std::make_unique<LayerNormStepper<T>>(weight_.data(), bias_.data(), options_.eps, batch, input_size);
}

template <class T>
SequenceOutput<T> LayerNorm<T>::record(const Sequence<T>& in, Tape& tape,
                                       const RecordOptions& options) const {
  return record_input(*this, in, tape, options);
}

// With n = (x - mean) / sqrt(var + eps) and g the gradient of n (grad * weight): that of x is
// (g - mean(g) - n mean(g n)) / sqrt(var + eps); of weight the sum of grad n over all rows, of bias that of
// grad. All in double; the sums go over the rows in order of time, each feature by itself.
template <class T>
Tensor<T> LayerNorm<T>::backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                                 const BackwardOptions& options) const {
  const auto entry = tape.take<SequenceEntry<T>>();
  const TensorView<const T> x = entry->x;
  const std::size_t n = options_.normalized_shape;
  check_shape("LayerNorm::backward", "grad", grad.shape(), x.shape());
  TensorView<T> weight, bias;
  if (options_.elementwise_affine) weight = wanted_grad(parameters, prefix_ + "weight");
  if (options_.bias) bias = wanted_grad(parameters, prefix_ + "bias");
  Tensor<T> grad_x;
  if (options.wants_input) grad_x = Tensor<T>(x.shape());
  const kernels::RowSums<double>& sums = kernels::row_sums<double>();
  Tensor<double> of_weight({n}), of_bias({n}), normalized({n}), scaled({n});
  for (std::size_t t = 0; t < x.dim(0); ++t) {
    for (std::size_t b = 0; b < x.dim(1); ++b) {
      if (t >= entry->length(b)) continue;
      for (std::size_t i = 0; i < n; ++i) normalized(i) = static_cast<double>(x(t, b, i));
      const double* const row = normalized.data();
      const double mean = sums.mean(row, n);
      const double variance = sums.variance(row, n, mean);
      const double scale = 1.0 / std::sqrt(variance + options_.eps);
      for (std::size_t i = 0; i < n; ++i) {
        const auto g = static_cast<double>(grad(t, b, i));
        normalized(i) = (normalized(i) - mean) * scale;
        scaled(i) = options_.elementwise_affine ? g * static_cast<double>(weight_(i)) : g;
        of_weight(i) += g * normalized(i);
        of_bias(i) += g;
      }
      if (!options.wants_input) continue;
      const double mean_g = sums.mean(scaled.data(), n);
      double mean_gn = 0;
      for (std::size_t i = 0; i < n; ++i) mean_gn += scaled(i) * normalized(i);
      mean_gn /= static_cast<double>(n);
      for (std::size_t i = 0; i < n; ++i) {
        grad_x(t, b, i) = static_cast<T>((scaled(i) - mean_g - normalized(i) * mean_gn) * scale);
      }
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (weight) weight(i) += static_cast<T>(of_weight(i));
    if (bias) bias(i) += static_cast<T>(of_bias(i));
  }
  return grad_x;
}

template <class T>
void LayerNorm<T>::load(const StateDict<T>& weights) {
  *this = LayerNorm(options_, weights, prefix_);
}

template class LayerNorm<float>;
template class LayerNorm<double>;

}  // namespace sluice
