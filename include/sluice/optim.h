// SPDX-License-Identifier: Apache-2.0
// Optimizers as PyTorch 2 defines them: SGD, Adam, AdamW, RMSprop, Adagrad, with its names and defaults.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/module.h"
#include "sluice/parameters.h"
#include "sluice/state_dict.h"
#include "sluice/tensor.h"

namespace sluice {

/// What every optimizer does: it moves the parameters against their gradients. The operations on an element,
/// and their order, are those of PyTorch's single-tensor form; elements are independent, so that the bits do
/// not depend on threads.
template <class T>
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// PyTorch's name of the class: "Adam".
  virtual std::string_view type() const noexcept = 0;
  double lr() const noexcept { return lr_; }
  /// Throws Error unless lr is at least 0 and finite.
  void set_lr(double lr);

  /// Moves every parameter that is not frozen. What is kept for a parameter is made when it is first moved,
  /// so that frozen ones cost nothing. Throws Error unless the parameters have the names and shapes that the
  /// optimizer was made for.
  void step(Parameters<T>& parameters, const RunOptions& options = {});
  /// How often parameter i was moved; stays at 2^24, as PyTorch's count does, which is a float32.
  std::uint32_t step_count(std::size_t i) const noexcept { return steps_[i]; }

  /// All that a step depends on but options and learning rate: for every parameter that was moved, PyTorch's
  /// tensors as `prefix` + "weight_ih_l0.exp_avg", and the count of its steps, of shape [], as
  /// "weight_ih_l0.step". Borrowed: this object must outlive the dictionary.
  StateDict<T> state_dict(const std::string& prefix = "") const;
  /// Goes on from there, to the bit. A parameter of which nothing is said is new. Throws Error where a tensor
  /// of a parameter is missing, where one under `prefix` is not ours, or for a count that is none; ShapeError
  /// for another shape.
  void load_state_dict(const StateDict<T>& state, const std::string& prefix = "");

 protected:
  static constexpr std::size_t kMostBuffers = 3;

  /// Neighbouring elements of one parameter.
  struct Slice {
    std::size_t size;
    T* value;
    const T* grad;
    std::array<T*, kMostBuffers> state;  ///< in the order of the constructor's `buffers`
    double step;                         ///< that this one is; 1 for the first
  };

  /// `buffers` are PyTorch's names of the tensors kept for each parameter, kMostBuffers at most; they start
  /// as `initial_value`. `type` is the class's name for messages.
  Optimizer(std::string_view type, const Parameters<T>& parameters, double lr,
            std::vector<std::string> buffers, double initial_value = 0);

  virtual void update(const Slice& slice) const noexcept = 0;

 private:
  struct Loaded;
  void check_same(const Parameters<T>& parameters) const;
  Loaded read_parameter(const StateDict<T>& state, const std::string& prefix, std::size_t i) const;

  double lr_;
  double initial_value_;
  std::vector<ParameterInfo> infos_;
  std::vector<std::string> buffers_;
  std::vector<std::uint32_t> steps_;  // [parameter]
  std::vector<std::array<Tensor<T>, kMostBuffers>>
      states_;  // [parameter][buffer], null before the first step
};

struct SGDOptions {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;  ///< only with momentum and without dampening
};

/// torch.optim.SGD: with b = momentum * b + (1 - dampening) * g (the first b is g), w -= lr * b; Nesterov's
/// form takes g + momentum * b. Keeps "momentum_buffer" if there is momentum.
template <class T = float>
class SGD final : public Optimizer<T> {
 public:
  /// Throws Error for an option out of range, as all do.
  explicit SGD(const Parameters<T>& parameters, const SGDOptions& options = {});
  std::string_view type() const noexcept override { return "SGD"; }
  const SGDOptions& options() const noexcept { return options_; }

 protected:
  void update(const typename Optimizer<T>::Slice& slice) const noexcept override;

 private:
  SGDOptions options_;
};

struct AdamOptions {
  double lr = 1e-3;
  std::array<double, 2> betas{0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 0;  ///< added to the gradient
  bool amsgrad = false;
};

struct AdamWOptions {
  double lr = 1e-3;
  std::array<double, 2> betas{0.9, 0.999};
  double eps = 1e-8;
  double weight_decay = 1e-2;  ///< w *= 1 - lr * weight_decay, beside the gradient
  bool amsgrad = false;
};

/// torch.optim.Adam (Kingma and Ba 2015; amsgrad: Reddi et al. 2018). Keeps "exp_avg", "exp_avg_sq" and, for
/// amsgrad, "max_exp_avg_sq".
template <class T = float>
class Adam : public Optimizer<T> {
 public:
  explicit Adam(const Parameters<T>& parameters, const AdamOptions& options = {});
  std::string_view type() const noexcept override { return "Adam"; }
  const AdamOptions& options() const noexcept { return options_; }

 protected:
  /// Where weight decay acts.
  enum class Decay { kInGradient, kBesideIt };
  Adam(std::string_view type, const Parameters<T>& parameters, const AdamOptions& options, Decay decay);
  void update(const typename Optimizer<T>::Slice& slice) const noexcept override;

 private:
  AdamOptions options_;
  Decay decay_;
};

/// torch.optim.AdamW (Loshchilov and Hutter 2019). Keeps what Adam does.
template <class T = float>
class AdamW final : public Adam<T> {
 public:
  explicit AdamW(const Parameters<T>& parameters, const AdamWOptions& options = {});
  std::string_view type() const noexcept override { return "AdamW"; }
};

struct RMSpropOptions {
  double lr = 1e-2;
  double alpha = 0.99;
  double eps = 1e-8;
  double weight_decay = 0;
  double momentum = 0;
  bool centered = false;
};

/// torch.optim.RMSprop (Tieleman and Hinton 2012; centered: Graves 2013). Keeps "square_avg", with momentum
/// "momentum_buffer", and "grad_avg" if centered.
template <class T = float>
class RMSprop final : public Optimizer<T> {
 public:
  explicit RMSprop(const Parameters<T>& parameters, const RMSpropOptions& options = {});
  std::string_view type() const noexcept override { return "RMSprop"; }
  const RMSpropOptions& options() const noexcept { return options_; }

 protected:
  void update(const typename Optimizer<T>::Slice& slice) const noexcept override;

 private:
  RMSpropOptions options_;
};

struct AdagradOptions {
  double lr = 1e-2;
  double lr_decay = 0;
  double weight_decay = 0;
  double initial_accumulator_value = 0;
  double eps = 1e-10;
};

/// torch.optim.Adagrad (Duchi et al. 2011). Keeps "sum".
template <class T = float>
class Adagrad final : public Optimizer<T> {
 public:
  explicit Adagrad(const Parameters<T>& parameters, const AdagradOptions& options = {});
  std::string_view type() const noexcept override { return "Adagrad"; }
  const AdagradOptions& options() const noexcept { return options_; }

 protected:
  void update(const typename Optimizer<T>::Slice& slice) const noexcept override;

 private:
  AdagradOptions options_;
};

extern template class Optimizer<float>;
extern template class Optimizer<double>;
extern template class SGD<float>;
extern template class SGD<double>;
extern template class Adam<float>;
extern template class Adam<double>;
extern template class AdamW<float>;
extern template class AdamW<double>;
extern template class RMSprop<float>;
extern template class RMSprop<double>;
extern template class Adagrad<float>;
extern template class Adagrad<double>;

}  // namespace sluice
