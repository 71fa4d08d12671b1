// SPDX-License-Identifier: Apache-2.0
// Losses as PyTorch defines them, with their gradients: BCELoss, BCEWithLogitsLoss, CrossEntropyLoss,
// NLLLoss, MSELoss, L1Loss, SmoothL1Loss.
//
//   const CrossEntropyLoss<float> loss({.ignore_index = 0});
//   const auto out = loss(logits, classes, {.lengths = lengths, .with_grad = true});
//   out.value  // the mean over the steps that count
//   out.grad   // its gradient with respect to logits, of their shape
#pragma once

#include <cstdint>
#include <span>

#include "sluice/tensor.h"

namespace sluice {

/// What becomes of the losses that count. Of no loss at all the mean is NaN (0 / 0, as in PyTorch), the sum
/// 0.
enum class Reduction {
  kNone,  ///< they are given one by one
  kMean,
  kSum
};

/// What a call of a loss counts and gives.
struct LossRunOptions {
  /// Masks a padded batch of sequences [T, B, ...]: [B] valid steps of each row, 0 to T, in any order; empty:
  /// all T. A step past its row's length does not count, in no sum and in no mean's denominator: any value
  /// may stand there, NaN too, and its loss and gradient are 0. A batch-first caller passes transposed views.
  std::span<const std::int64_t> lengths{};
  bool with_grad = false;  ///< gives LossOutput::grad too
  int threads = 0;         ///< at most this many; 0: what OpenMP would take. Never changes a bit
};

/// What a call of a loss gives.
template <class T>
struct LossOutput {
  double value = 0;  ///< the reduced loss, added up in double in an order that is fixed; kNone: the sum
  Tensor<T> values;  ///< kNone: the loss of each element, or of each row of classes; else null
  Tensor<T> grad;    ///< where asked for: d value / d input, of the input's shape; else null
};

/// `weight` and `pos_weight` may have any shape that broadcasts to the input's (NumPy's rule: the last
/// dimensions meet, and a size of 1 is repeated); null stands for ones.
template <class T = float>
struct BCELossOptions {
  Tensor<T> weight{};
  Reduction reduction = Reduction::kMean;
};

/// Binary cross-entropy of probabilities (torch.nn.BCELoss):
///   -w (t log(x) + (1 - t) log(1 - x)), both logarithms clamped at -100;
///   gradient w (x - t) / max(x (1 - x), 1e-12).
/// The mean divides by the number of elements, not by the sum of weights. Logits are better left to
/// BCEWithLogitsLoss, which loses nothing where a probability rounds to 0 or 1.
template <class T = float>
class BCELoss {
 public:
  explicit BCELoss(BCELossOptions<T> options = {});

  /// input and target of one shape and any strides. Throws ShapeError; Error for an input that counts and is
  /// not in [0, 1], NaN among them. The target is not checked, as in PyTorch.
  LossOutput<T> forward(TensorView<const T> input, TensorView<const T> target,
                        const LossRunOptions& run = {}) const;
  LossOutput<T> operator()(TensorView<const T> input, TensorView<const T> target,
                           const LossRunOptions& run = {}) const {
    return forward(input, target, run);
  }
  const BCELossOptions<T>& options() const noexcept { return options_; }

 private:
  BCELossOptions<T> options_;
};

template <class T = float>
struct BCEWithLogitsLossOptions {
  Tensor<T> weight{};      ///< as BCELossOptions::weight
  Tensor<T> pos_weight{};  ///< of the positive term: above 1 for recall, below for precision
  Reduction reduction = Reduction::kMean;
};

/// Binary cross-entropy of logits (torch.nn.BCEWithLogitsLoss), p being pos_weight:
///   -w (p t log sigmoid(x) + (1 - t) log sigmoid(-x));
///   gradient w ((1 - t) sigmoid(x) - p t sigmoid(-x)).
/// Both through the library's own sigmoid and log_sigmoid, so arranged that nothing overflows or cancels: the
/// losses at x = 1000 are 1000 and 0, that at x = -20 and t = 0 is exp(-20) to the last digits.
template <class T = float>
class BCEWithLogitsLoss {
 public:
  explicit BCEWithLogitsLoss(BCEWithLogitsLossOptions<T> options = {});

  /// input and target of one shape and any strides. Throws ShapeError.
  LossOutput<T> forward(TensorView<const T> input, TensorView<const T> target,
                        const LossRunOptions& run = {}) const;
  LossOutput<T> operator()(TensorView<const T> input, TensorView<const T> target,
                           const LossRunOptions& run = {}) const {
    return forward(input, target, run);
  }
  const BCEWithLogitsLossOptions<T>& options() const noexcept { return options_; }

 private:
  BCEWithLogitsLossOptions<T> options_;
};

/// Of both losses over classes.
template <class T = float>
struct NLLLossOptions {
  Tensor<T> weight{};                ///< [C] of each class; null: ones
  std::int64_t ignore_index = -100;  ///< a target of this value does not count
  Reduction reduction = Reduction::kMean;
};

/// Negative log-likelihood of classes (torch.nn.NLLLoss): -w[t] input[..., t], the input being logarithms of
/// probabilities. The mean divides by the sum of w[t] over the targets that count.
///
/// Classes are the LAST dimension, as features are everywhere in sluice: input [..., C], target [...].
/// PyTorch has them second, [N, C, d1]: pass input.transpose(1, 2). For [N, C] and [C] the two agree.
template <class T = float>
class NLLLoss {
 public:
  /// Throws ShapeError unless weight is [C] or null.
  explicit NLLLoss(NLLLossOptions<T> options = {});

  /// input [..., C], target [...], of any strides; with lengths [T, B, ..., C] and [T, B, ...]. values have
  /// the target's shape. Throws ShapeError; Error for a target that counts and is not in [0, C).
  LossOutput<T> forward(TensorView<const T> input, TensorView<const std::int64_t> target,
                        const LossRunOptions& run = {}) const;
  LossOutput<T> operator()(TensorView<const T> input, TensorView<const std::int64_t> target,
                           const LossRunOptions& run = {}) const {
    return forward(input, target, run);
  }
  const NLLLossOptions<T>& options() const noexcept { return options_; }

 private:
  NLLLossOptions<T> options_;
};

template <class T = float>
struct CrossEntropyLossOptions {
  Tensor<T> weight{};                ///< [C] of each class; null: ones
  std::int64_t ignore_index = -100;  ///< a target of this value does not count
  Reduction reduction = Reduction::kMean;
  double label_smoothing = 0;  ///< 0 to 1: the share of the target spread over all classes
};

/// Cross-entropy of logits and class indices (torch.nn.CrossEntropyLoss), log p being log_softmax(input):
///   (1 - s) w[t] (-log p[t]) + s / C sum over c of w[c] (-log p[c]), s being label_smoothing
/// (Szegedy et al. 2016, section 7). The mean divides by the sum of w[t] over the targets that count.
/// Targets that are probabilities, PyTorch's other form, are not taken.
///
/// Classes are the LAST dimension, as features are everywhere in sluice: input [..., C], target [...].
/// PyTorch has them second, [N, C, d1]: pass input.transpose(1, 2). For [N, C] and [C] the two agree.
template <class T = float>
class CrossEntropyLoss {
 public:
  /// Throws ShapeError unless weight is [C] or null, Error unless label_smoothing is in [0, 1].
  explicit CrossEntropyLoss(CrossEntropyLossOptions<T> options = {});

  /// input [..., C], target [...], of any strides; with lengths [T, B, ..., C] and [T, B, ...]. values have
  /// the target's shape. Throws ShapeError; Error for a target that counts and is not in [0, C).
  LossOutput<T> forward(TensorView<const T> input, TensorView<const std::int64_t> target,
                        const LossRunOptions& run = {}) const;
  LossOutput<T> operator()(TensorView<const T> input, TensorView<const std::int64_t> target,
                           const LossRunOptions& run = {}) const {
    return forward(input, target, run);
  }
  const CrossEntropyLossOptions<T>& options() const noexcept { return options_; }

 private:
  CrossEntropyLossOptions<T> options_;
};

/// Of the losses that have nothing else to choose.
struct RegressionLossOptions {
  Reduction reduction = Reduction::kMean;
};

/// Squared error (torch.nn.MSELoss): (x - t)^2; gradient 2 (x - t).
template <class T = float>
class MSELoss {
 public:
  explicit MSELoss(RegressionLossOptions options = {}) : options_(options) {}

  /// input and target of one shape and any strides. Throws ShapeError: nothing is broadcast here.
  LossOutput<T> forward(TensorView<const T> input, TensorView<const T> target,
                        const LossRunOptions& run = {}) const;
  LossOutput<T> operator()(TensorView<const T> input, TensorView<const T> target,
                           const LossRunOptions& run = {}) const {
    return forward(input, target, run);
  }
  const RegressionLossOptions& options() const noexcept { return options_; }

 private:
  RegressionLossOptions options_;
};

/// Absolute error (torch.nn.L1Loss): |x - t|; gradient the sign of x - t, 0 where they are equal.
template <class T = float>
class L1Loss {
 public:
  explicit L1Loss(RegressionLossOptions options = {}) : options_(options) {}

  /// input and target of one shape and any strides. Throws ShapeError: nothing is broadcast here.
  LossOutput<T> forward(TensorView<const T> input, TensorView<const T> target,
                        const LossRunOptions& run = {}) const;
  LossOutput<T> operator()(TensorView<const T> input, TensorView<const T> target,
                           const LossRunOptions& run = {}) const {
    return forward(input, target, run);
  }
  const RegressionLossOptions& options() const noexcept { return options_; }

 private:
  RegressionLossOptions options_;
};

struct SmoothL1LossOptions {
  double beta = 1;  ///< where the square ends and the line begins; 0: L1Loss
  Reduction reduction = Reduction::kMean;
};

/// The square near 0, the line beyond (torch.nn.SmoothL1Loss; Girshick 2015), d being x - t:
///   d^2 / (2 beta) where |d| < beta, else |d| - beta / 2.
template <class T = float>
class SmoothL1Loss {
 public:
  /// Throws Error unless beta is at least 0 and finite.
  explicit SmoothL1Loss(SmoothL1LossOptions options = {});

  /// input and target of one shape and any strides. Throws ShapeError: nothing is broadcast here.
  LossOutput<T> forward(TensorView<const T> input, TensorView<const T> target,
                        const LossRunOptions& run = {}) const;
  LossOutput<T> operator()(TensorView<const T> input, TensorView<const T> target,
                           const LossRunOptions& run = {}) const {
    return forward(input, target, run);
  }
  const SmoothL1LossOptions& options() const noexcept { return options_; }

 private:
  SmoothL1LossOptions options_;
};

extern template class BCELoss<float>;
extern template class BCELoss<double>;
extern template class BCEWithLogitsLoss<float>;
extern template class BCEWithLogitsLoss<double>;
extern template class NLLLoss<float>;
extern template class NLLLoss<double>;
extern template class CrossEntropyLoss<float>;
extern template class CrossEntropyLoss<double>;
extern template class MSELoss<float>;
extern template class MSELoss<double>;
extern template class L1Loss<float>;
extern template class L1Loss<double>;
extern template class SmoothL1Loss<float>;
extern template class SmoothL1Loss<double>;

}  // namespace sluice
