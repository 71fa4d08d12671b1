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
#include "train/sum_over.h"

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

// Rows that lie one after the other.
template <class T>
struct LossRows {
  std::size_t first;            // of all rows
  std::size_t rows, count;      // count: C
  const T* x;                   // [rows, C]
  const std::int64_t* classes;  // [rows], the right ones, or kNotCounted
  double scale;                 // of gradients
  double* losses;               // [rows], 0 where the row does not count
  T* grads;                     // [rows, C], 0 where the row does not count; or null
};

// The losses of rows: term(LossRows) makes those of a chunk. The shapes have passed check_classes.
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
  if (run.with_grad) out.grad = Tensor<T>::uninitialized(input.shape());
  const std::size_t rows = classes.size();
  std::vector<double> losses(rows);
  const std::size_t row_size = std::max<std::size_t>(count, 1);
  const std::size_t rows_per_chunk = std::max<std::size_t>(kLossChunk / row_size, 1);
  const std::size_t chunks = (rows + rows_per_chunk - 1) / rows_per_chunk;
  out.value = sum_of_chunks(chunks, rows_per_chunk * row_size, run.threads, [&](std::size_t chunk) {
    const std::size_t first = chunk * rows_per_chunk;
    const std::size_t last = std::min(rows, first + rows_per_chunk);
    term(LossRows<T>{first, last - first, count, x + first * count, classes.data() + first, 1 / denominator,
                     losses.data() + first, run.with_grad ? out.grad.data() + first * count : nullptr});
    double sum = 0;
    for (std::size_t row = first; row < last; ++row) sum += losses[row];
    return sum;
  });
  if (options.reduction == Reduction::kMean) {
    // Of no weight the mean is NaN, also where smoothing leaves a sum that is not 0.
    out.value = denominator == 0 ? std::numeric_limits<double>::quiet_NaN() : out.value / denominator;
  }
  if (options.reduction == Reduction::kNone) {
    out.values = Tensor<T>::uninitialized(target.shape());
    std::transform(losses.begin(), losses.end(), out.values.data(),
                   [](double loss) { return static_cast<T>(loss); });
  }
  return out;
}

// NaN may be passed over: it comes back by way of the exponentials.
template <class T>
T largest_of(const T* x, std::size_t n) noexcept {
  constexpr std::size_t kParts = 8;  // chains that do not wait for each other
  std::array<T, kParts> most;
  most.fill(x[0]);
  std::size_t i = 0;
  for (; i + kParts <= n; i += kParts) {
    for (std::size_t j = 0; j < kParts; ++j) most[j] = x[i + j] > most[j] ? x[i + j] : most[j];
  }
  for (; i < n; ++i) most[0] = x[i] > most[0] ? x[i] : most[0];
  return *std::max_element(most.begin(), most.end());
}

// Cross-entropy of chunks of rows. The exponentials of a whole chunk are taken at once, since a row may have
// but a few classes.
template <class T>
class CrossEntropyRows {
 public:
  CrossEntropyRows(const Tensor<T>& weight, double smoothing, std::size_t count)
      : each_(smoothing / static_cast<double>(count)), own_(1 - smoothing) {
    for (std::size_t c = 0; c < count; ++c) weights_.push_back(weight_of(weight, c));
    for (const double w : weights_) all_weights_ += w;
  }

  // `work` [rows, C] comes to hold the exponentials; it may be where the gradients go.
  void operator()(const LossRows<T>& all, T* work) const noexcept {
    const std::size_t count = all.count;
    for (std::size_t row = 0; row < all.rows; ++row) {
      T* const shifted = work + row * count;
      all.losses[row] =
          all.classes[row] == kNotCounted ? 0 : shift(all.x + row * count, count, all.classes[row], shifted);
      if (all.classes[row] == kNotCounted) std::fill_n(shifted, count, T{0});
    }
    exp_(work, work, all.rows * count);
    for (std::size_t row = 0; row < all.rows; ++row) {
      const T* const e = work + row * count;
      T* const grad = all.grads == nullptr ? nullptr : all.grads + row * count;
      if (all.classes[row] == kNotCounted) {
        if (grad != nullptr) std::fill_n(grad, count, T{0});
        continue;
      }
      const auto right = static_cast<std::size_t>(all.classes[row]);
      const double sum = sum_over(count, [e](std::size_t c) { return static_cast<double>(e[c]); });
      const double own = own_ * weights_[right];
      all.losses[row] += (own + each_ * all_weights_) * portable_log(sum);
      if (grad != nullptr) to_gradient(e, count, sum, own * all.scale, each_ * all.scale, right, grad);
    }
  }

 private:
  // shifted = x - max. With -log p[c] = log_sum - shifted[c], gives what a row's loss has beside the log_sum:
  // a second part that is not negative, so that neither takes from the other.
  double shift(const T* x, std::size_t count, std::int64_t right, T* shifted) const noexcept {
    const T most = largest_of(x, count);
    for (std::size_t c = 0; c < count; ++c) shifted[c] = x[c] - most;
    const auto c = static_cast<std::size_t>(right);
    const double part = own_ * weights_[c] * -static_cast<double>(shifted[c]);
    if (each_ == 0) return part;
    return part - each_ * sum_over(count, [&](std::size_t i) {
                    return weights_[i] * static_cast<double>(shifted[i]);
                  });
  }

  // p (own + each W) - own [c is right] - each w[c], with p = e / sum and W the sum of weights. grad may be
  // e.
  void to_gradient(const T* e, std::size_t count, double sum, double own, double each, std::size_t right,
                   T* grad) const noexcept {
    const double factor = (own + each * all_weights_) / sum;
    const double of_right = static_cast<double>(e[right]) * factor - own - each * weights_[right];
    if (each_ == 0) {
      for (std::size_t c = 0; c < count; ++c) grad[c] = static_cast<T>(static_cast<double>(e[c]) * factor);
    } else {
      for (std::size_t c = 0; c < count; ++c) {
        grad[c] = static_cast<T>(static_cast<double>(e[c]) * factor - each * weights_[c]);
      }
    }
    grad[right] = static_cast<T>(of_right);
  }

  double each_;  // of the share that is spread, what one class gets
  double own_;   // the share of the right class
  std::vector<double> weights_;
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
  return loss_of_rows(kCall, input, target, options_, run, [this](const LossRows<T>& all) noexcept {
    for (std::size_t row = 0; row < all.rows; ++row) {
      T* const grad = all.grads == nullptr ? nullptr : all.grads + row * all.count;
      if (grad != nullptr) std::fill_n(grad, all.count, T{0});
      all.losses[row] = 0;
      if (all.classes[row] == kNotCounted) continue;
      const auto right = static_cast<std::size_t>(all.classes[row]);
      const double w = weight_of(options_.weight, right);
      all.losses[row] = -w * static_cast<double>(all.x[row * all.count + right]);
      if (grad != nullptr) grad[right] = static_cast<T>(-w * all.scale);
    }
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
  const std::size_t count = input.dim(input.rank() - 1);
  const CrossEntropyRows<T> term(options_.weight, options_.label_smoothing, count);
  // Where there are no gradients, their memory is taken all the same: for the exponentials.
  Tensor<T> work;
  if (!run.with_grad) work = Tensor<T>::uninitialized(input.shape());
  return loss_of_rows(kCall, input, target, options_, run, [&](const LossRows<T>& all) noexcept {
    term(all, all.grads != nullptr ? all.grads : work.data() + all.first * count);
  });
}

template class NLLLoss<float>;
template class NLLLoss<double>;
template class CrossEntropyLoss<float>;
template class CrossEntropyLoss<double>;

}  // namespace sluice
