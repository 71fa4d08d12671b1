// SPDX-License-Identifier: Apache-2.0
// Losses of a row of classes and the index of the right one: NLL and cross-entropy.
#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "kernels/gate_math.h"
#include "train/loss_parts.h"
#include "train/portable_log.h"

namespace sluice {
namespace {

constexpr std::int64_t kNotCounted = -1;

template <class T>
void check_class_weight(std::string_view call, const Tensor<T>& weight) {
  if (!weight.is_null() && weight.rank() != 1) throw_shape_error(call, "weight", weight.shape(), "[C]");
}

template <class T>
double weight_of(const Tensor<T>& weight, std::size_t index) noexcept {
  return weight.is_null() ? 1 : static_cast<double>(weight.data()[index]);
}

// Throws ShapeError unless target and weight fit to input [..., C].
template <class T>
void check_classes(std::string_view call, TensorView<const T> input, TensorView<const std::int64_t> target,
                   const Tensor<T>& weight) {
  check_given(call, "input", input);
  check_given(call, "target", target);
  if (input.rank() == 0) throw_shape_error(call, "input", input.shape(), "[..., C]");
  const std::span<const std::size_t> dims = input.shape().dims();
  check_shape(call, "target", target.shape(), Shape(dims.first(dims.size() - 1)));
  if (!weight.is_null()) check_shape(call, "weight", weight.shape(), Shape{dims.back()});
}

// The class of each row, or kNotCounted. Throws Error for one that counts and does not exist.
std::vector<std::int64_t> classes_of(std::string_view call, TensorView<const std::int64_t> target,
                                     std::size_t count, std::int64_t ignore_index, const LossMask& mask) {
  const Tensor<std::int64_t> all(target);
  std::vector<std::int64_t> classes(all.span().begin(), all.span().end());
  for (std::size_t i = 0; i < classes.size(); ++i) {
    std::int64_t& value = classes[i];
    if (value == ignore_index || !mask.counts(i)) {
      value = kNotCounted;
    } else if (value < 0 || static_cast<std::uint64_t>(value) >= count) {
      throw Error(std::string(call) + ": target" + place_in(target.shape(), i) + " is " +
                  std::to_string(value) + ", expected a class in [0, " + std::to_string(count) +
                  ") or ignore_index, " + std::to_string(ignore_index));
    }
  }
  return classes;
}

// The losses of rows: term(row [C], class, scale, grad [C] or null) gives the loss of one that counts, and
// its gradient times `scale`; grad comes with zeros. The shapes have passed check_classes.
template <class T, class Options, class Term>
LossOutput<T> loss_of_rows(std::string_view call, TensorView<const T> input,
                           TensorView<const std::int64_t> target, const Options& options,
                           const LossRunOptions& run, const Term& term) {
  const LossMask mask(call, "target", target.shape(), run.lengths);
  const std::size_t count = input.dim(input.rank() - 1);
  const std::vector<std::int64_t> classes = classes_of(call, target, count, options.ignore_index, mask);
  double denominator = 1;
  if (options.reduction == Reduction::kMean) {
    denominator = 0;
    for (const std::int64_t c : classes) {
      if (c != kNotCounted) denominator += weight_of(options.weight, static_cast<std::size_t>(c));
    }
  }

  Tensor<T> storage;
  const T* const x = contiguous(input, storage).data();
  LossOutput<T> out;
  if (options.reduction == Reduction::kNone) out.values = Tensor<T>(target.shape());
  if (run.with_grad) out.grad = Tensor<T>(input.shape());  // zeros where nothing counts
  const std::size_t rows = classes.size();
  const std::size_t row_size = std::max<std::size_t>(count, 1);
  const std::size_t rows_per_chunk = std::max<std::size_t>(kLossChunk / row_size, 1);
  const std::size_t chunks = (rows + rows_per_chunk - 1) / rows_per_chunk;
  out.value = sum_of_chunks(chunks, rows_per_chunk * row_size, run.threads, [&](std::size_t chunk) {
    const std::size_t end = std::min(rows, (chunk + 1) * rows_per_chunk);
    double sum = 0;
    for (std::size_t row = chunk * rows_per_chunk; row < end; ++row) {
      if (classes[row] == kNotCounted) continue;
      const double loss = term(x + row * count, static_cast<std::size_t>(classes[row]), 1 / denominator,
                               run.with_grad ? out.grad.data() + row * count : nullptr);
      sum += loss;
      if (options.reduction == Reduction::kNone) out.values.data()[row] = static_cast<T>(loss);
    }
    return sum;
  });
  if (options.reduction == Reduction::kMean) {
    // Of no weight the mean is NaN, also where smoothing leaves a sum that is not 0.
    out.value = denominator == 0 ? std::numeric_limits<double>::quiet_NaN() : out.value / denominator;
  }
  return out;
}

// One row of cross-entropy: logits, their exponentials and sums, and the gradient from these.
template <class T>
class CrossEntropyRow {
 public:
  CrossEntropyRow(const Tensor<T>& weight, double smoothing, std::size_t count)
      : weight_(weight), count_(count), each_(smoothing / static_cast<double>(count)), own_(1 - smoothing) {
    for (std::size_t c = 0; c < count; ++c) all_weights_ += weight_of(weight, c);
  }

  double operator()(const T* x, std::size_t right, double scale, T* grad) const noexcept {
    const T most = *std::max_element(x, x + count_);
    // Element i goes to partial sum i mod 8: chains that do not wait for each other, in a fixed order.
    std::array<double, kPartialSums> exp_sums{}, shifted_sums{};
    std::array<T, kLossBlock> block;
    for (std::size_t begin = 0; begin < count_; begin += kLossBlock) {
      const std::size_t n = std::min(kLossBlock, count_ - begin);
      for (std::size_t i = 0; i < n; ++i) block[i] = x[begin + i] - most;
      if (each_ > 0) {
        for (std::size_t i = 0; i < n; ++i) {
          shifted_sums[i % kPartialSums] += weight_of(weight_, begin + i) * static_cast<double>(block[i]);
        }
      }
      exp_(block.data(), block.data(), n);
      for (std::size_t i = 0; i < n; ++i) exp_sums[i % kPartialSums] += static_cast<double>(block[i]);
      if (grad != nullptr) std::copy_n(block.data(), n, grad + begin);
    }
    const double exp_sum = total(exp_sums);
    const double log_sum = portable_log(exp_sum);
    // -log p[c] = log_sum - (x[c] - most): of two numbers that are not negative, neither takes from the
    // other.
    const double own = own_ * weight_of(weight_, right);
    double loss = own * (log_sum - static_cast<double>(x[right] - most));
    if (each_ > 0) loss += each_ * (all_weights_ * log_sum - total(shifted_sums));
    if (grad != nullptr) to_gradient(exp_sum, own * scale, each_ * scale, right, grad);
    return loss;
  }

 private:
  static constexpr std::size_t kPartialSums = 8;
  static_assert(kLossBlock % kPartialSums == 0);

  static double total(const std::array<double, kPartialSums>& sums) noexcept {
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
  }

  // grad holds exp(x - most): p (own + each W) - own [c is right] - each w[c], W being the sum of weights.
  void to_gradient(double exp_sum, double own, double each, std::size_t right, T* grad) const noexcept {
    const double factor = (own + each * all_weights_) / exp_sum;
    const double of_right =
        static_cast<double>(grad[right]) * factor - each * weight_of(weight_, right) - own;
    for (std::size_t c = 0; c < count_; ++c) {
      grad[c] = static_cast<T>(static_cast<double>(grad[c]) * factor - each * weight_of(weight_, c));
    }
    grad[right] = static_cast<T>(of_right);
  }

  const Tensor<T>& weight_;
  std::size_t count_;
  double each_;  // of the share that is spread, what one class gets
  double own_;   // the share of the right class
  double all_weights_ = 0;
  typename kernels::GateMath<T>::Map exp_ = kernels::gate_math<T>().exp;
};

}  // namespace

template <class T>
NLLLoss<T>::NLLLoss(NLLLossOptions<T> options) : options_(std::move(options)) {
  check_class_weight("NLLLoss", options_.weight);
}

template <class T>
LossOutput<T> NLLLoss<T>::forward(TensorView<const T> input, TensorView<const std::int64_t> target,
                                  const LossRunOptions& run) const {
  constexpr std::string_view kCall = "NLLLoss::forward";
  check_classes(kCall, input, target, options_.weight);
  return loss_of_rows(kCall, input, target, options_, run,
                      [this](const T* x, std::size_t right, double scale, T* grad) noexcept {
                        const double w = weight_of(options_.weight, right);
                        if (grad != nullptr) grad[right] = static_cast<T>(-w * scale);
                        return -w * static_cast<double>(x[right]);
                      });
}

template <class T>
CrossEntropyLoss<T>::CrossEntropyLoss(CrossEntropyLossOptions<T> options) : options_(std::move(options)) {
  check_class_weight("CrossEntropyLoss", options_.weight);
  const double smoothing = options_.label_smoothing;
  if (smoothing >= 0 && smoothing <= 1) return;
  throw Error("CrossEntropyLoss: label_smoothing is " + std::to_string(smoothing) + ", expected 0 to 1");
}

template <class T>
LossOutput<T> CrossEntropyLoss<T>::forward(TensorView<const T> input, TensorView<const std::int64_t> target,
                                           const LossRunOptions& run) const {
  constexpr std::string_view kCall = "CrossEntropyLoss::forward";
  check_classes(kCall, input, target, options_.weight);
  return loss_of_rows(
      kCall, input, target, options_, run,
      CrossEntropyRow<T>(options_.weight, options_.label_smoothing, input.dim(input.rank() - 1)));
}

template class NLLLoss<float>;
template class NLLLoss<double>;
template class CrossEntropyLoss<float>;
template class CrossEntropyLoss<double>;

}  // namespace sluice
