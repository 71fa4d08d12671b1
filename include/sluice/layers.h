// SPDX-License-Identifier: Apache-2.0
// The modules that stand around recurrent layers: Linear, Embedding, Conv1d, LayerNorm, activations, Dropout,
// LastStep, MeanOverTime, and Sequential that runs them in order.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sluice/module.h"
#include "sluice/recurrent.h"
#include "sluice/state_dict.h"
#include "sluice/tensor.h"

namespace sluice {

template <class T>
class PackedLinear;  // a matrix packed for the kernels, in src/layers
template <class T>
class Conv1dKernel;  // packed weights and the layout that they run on, in src/layers
namespace kernels {
template <class T>
struct GateMath;  // the elementwise kernels, in src/kernels
}

struct LinearOptions {
  std::size_t in_features = 0;
  std::size_t out_features = 0;
  bool bias = true;
};

/// y = x W^T + b (torch.nn.Linear): weight [out, in], bias [out].
template <class T = float>
class Linear : public Module<T> {
 public:
  Linear(const LinearOptions& options, const StateDict<T>& weights, const std::string& prefix = "");
  ~Linear() override;
  Linear(Linear&&) noexcept;
  Linear& operator=(Linear&&) noexcept;

  /// x [..., in] of any strides -> [..., out]. Throws ShapeError.
  Tensor<T> forward(TensorView<const T> x, const RunOptions& options = {}) const;
  /// The same without taking memory, on one thread: contiguous x [rows, in], y [rows, out], not overlapping.
  void forward(std::size_t rows, const T* x, T* y) const noexcept;
  const LinearOptions& options() const noexcept { return options_; }

  std::string_view type() const noexcept override { return "Linear"; }
  std::vector<ParameterInfo> parameters() const override;
  std::size_t output_size(std::size_t input_size) const override;
  double flops_per_step(std::size_t input_size) const override;
  SequenceOutput<T> run(const Sequence<T>& in, const RunOptions& options) const override;
  std::unique_ptr<Stepper<T>> stepper(std::size_t batch, std::size_t input_size) const override;
  SequenceOutput<T> record(const Sequence<T>& in, Tape& tape, const RecordOptions& options) const override;
  Tensor<T> backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                     const BackwardOptions& options) const override;
  void load(const StateDict<T>& weights) override;

 private:
  LinearOptions options_;
  std::string prefix_;
  std::unique_ptr<const PackedLinear<T>> packed_;
};

struct EmbeddingOptions {
  std::size_t num_embeddings = 0;  ///< float32: at most 2^24, so that every index is exact in the input
  std::size_t embedding_dim = 0;
};

/// Rows of a table (torch.nn.Embedding): weight [num_embeddings, embedding_dim]. Indices come as whole
/// numbers.
template <class T = float>
class Embedding : public Module<T> {
 public:
  Embedding(const EmbeddingOptions& options, const StateDict<T>& weights, const std::string& prefix = "");

  /// indices of any shape -> [..., embedding_dim]. Throws Error for an index outside [0, num_embeddings).
  Tensor<T> forward(TensorView<const std::int64_t> indices) const;
  const EmbeddingOptions& options() const noexcept { return options_; }

  std::string_view type() const noexcept override { return "Embedding"; }
  std::vector<ParameterInfo> parameters() const override;
  /// input_size must be 1: the index.
  std::size_t output_size(std::size_t input_size) const override;
  double flops_per_step(std::size_t) const override { return 0; }
  /// Throws Error for a value that is not a whole number in [0, num_embeddings). Past a row's length any
  /// value may stand, and the output is zero.
  SequenceOutput<T> run(const Sequence<T>& in, const RunOptions& options) const override;
  /// A step cannot throw: an index out of range gives a row of NaN.
  std::unique_ptr<Stepper<T>> stepper(std::size_t batch, std::size_t input_size) const override;
  SequenceOutput<T> record(const Sequence<T>& in, Tape& tape, const RecordOptions& options) const override;
  Tensor<T> backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                     const BackwardOptions& options) const override;
  void load(const StateDict<T>& weights) override;

 private:
  EmbeddingOptions options_;
  std::string prefix_;
  Tensor<T> weight_;
};

struct Conv1dOptions {
  std::size_t in_channels = 0;
  std::size_t out_channels = 0;
  std::size_t kernel_size = 0;
  std::size_t stride = 1;
  std::size_t padding = 0;  ///< zeros on both sides
  std::size_t dilation = 1;
  std::size_t groups = 1;
  bool bias = true;
};

/// Cross-correlation along one axis (torch.nn.Conv1d): weight [out, in/groups, kernel], bias [out].
/// L_out = floor((L + 2 padding - dilation (kernel - 1) - 1) / stride) + 1.
template <class T = float>
class Conv1d : public Module<T> {
 public:
  Conv1d(const Conv1dOptions& options, const StateDict<T>& weights, const std::string& prefix = "");
  ~Conv1d() override;
  Conv1d(Conv1d&&) noexcept;
  Conv1d& operator=(Conv1d&&) noexcept;

  /// x [B, C_in, L] or [C_in, L] as in PyTorch -> [B, C_out, L_out] or [C_out, L_out]. Throws ShapeError.
  Tensor<T> forward(TensorView<const T> x, const RunOptions& options = {}) const;
  /// The same without taking memory, on one thread, channels last: contiguous x [L, C_in] -> y [L_out,
  /// C_out]. None may overlap another. L must be one whose L_out is at least 1.
  ///   scratch  [scratch_size(L)], its content does not matter; may be null where that is 0
  void forward_channels_last(std::size_t length, const T* x, T* y, T* scratch) const noexcept;
  /// 0 where there is no padding, no dilation and one group: then x is read where it lies.
  std::size_t scratch_size(std::size_t length) const noexcept;
  /// L_out; throws ShapeError where the input is shorter than the kernel.
  std::size_t output_length(std::size_t length) const;
  const Conv1dOptions& options() const noexcept { return options_; }

  std::string_view type() const noexcept override { return "Conv1d"; }
  std::vector<ParameterInfo> parameters() const override;
  std::size_t output_size(std::size_t input_size) const override;
  /// Of a step that gives an output.
  double flops_per_step(std::size_t input_size) const override;
  /// In a model the convolution runs over time, with the features as channels. Each row is convolved as if it
  /// were alone: its padding starts where it ends. A row too short for the kernel gets length 0; throws
  /// ShapeError where T itself is too short. Outputs past a row's new length are zero.
  SequenceOutput<T> run(const Sequence<T>& in, const RunOptions& options) const override;
  /// Throws Error if padding is not 0: the output would need steps to come.
  std::unique_ptr<Stepper<T>> stepper(std::size_t batch, std::size_t input_size) const override;
  SequenceOutput<T> record(const Sequence<T>& in, Tape& tape, const RecordOptions& options) const override;
  Tensor<T> backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                     const BackwardOptions& options) const override;
  void load(const StateDict<T>& weights) override;

 private:
  Conv1dOptions options_;
  std::string prefix_;
  std::unique_ptr<const Conv1dKernel<T>> kernel_;
};

struct LayerNormOptions {
  std::size_t normalized_shape = 0;
  double eps = 1e-5;
  bool elementwise_affine = true;
  bool bias = true;
};

/// (x - mean) / sqrt(var + eps) * weight + bias over the features (torch.nn.LayerNorm; Ba et al. 2016).
template <class T = float>
class LayerNorm : public Module<T> {
 public:
  LayerNorm(const LayerNormOptions& options, const StateDict<T>& weights, const std::string& prefix = "");

  /// x [..., normalized_shape] -> the same shape. Throws ShapeError.
  Tensor<T> forward(TensorView<const T> x, const RunOptions& options = {}) const;
  const LayerNormOptions& options() const noexcept { return options_; }

  std::string_view type() const noexcept override { return "LayerNorm"; }
  std::vector<ParameterInfo> parameters() const override;
  std::size_t output_size(std::size_t input_size) const override;
  double flops_per_step(std::size_t input_size) const override;
  SequenceOutput<T> run(const Sequence<T>& in, const RunOptions& options) const override;
  std::unique_ptr<Stepper<T>> stepper(std::size_t batch, std::size_t input_size) const override;
  SequenceOutput<T> record(const Sequence<T>& in, Tape& tape, const RecordOptions& options) const override;
  Tensor<T> backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                     const BackwardOptions& options) const override;
  void load(const StateDict<T>& weights) override;

 private:
  LayerNormOptions options_;
  std::string prefix_;
  Tensor<T> weight_;
  Tensor<T> bias_;
};

/// The elementwise functions that stand in a model as modules, by PyTorch's class names ("Sigmoid", "Tanh",
/// "ReLU", "SiLU", "LogSigmoid", "Hardsigmoid", and "HardSigmoidONNX" for 0.2x + 0.5), and "Softmax" over the
/// features.
enum class ActivationKind {
  kSigmoid,
  kTanh,
  kRelu,
  kSilu,
  kLogSigmoid,
  kHardSigmoid,
  kHardSigmoidOnnx,
  kSoftmax
};

template <class T = float>
class Activation : public Module<T> {
 public:
  explicit Activation(ActivationKind kind);
  /// Throws Error for a name that is none of the above.
  explicit Activation(std::string_view type_name);

  /// Any shape and strides -> the same shape. Softmax works over the last dimension.
  Tensor<T> forward(TensorView<const T> x, const RunOptions& options = {}) const;
  ActivationKind kind() const noexcept { return kind_; }

  std::string_view type() const noexcept override;
  std::size_t output_size(std::size_t input_size) const override { return input_size; }
  double flops_per_step(std::size_t) const override { return 0; }
  SequenceOutput<T> run(const Sequence<T>& in, const RunOptions& options) const override;
  std::unique_ptr<Stepper<T>> stepper(std::size_t batch, std::size_t input_size) const override;
  SequenceOutput<T> record(const Sequence<T>& in, Tape& tape, const RecordOptions& options) const override;
  Tensor<T> backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                     const BackwardOptions& options) const override;

 private:
  ActivationKind kind_;
  const kernels::GateMath<T>* math_;  // of the instruction set that was active when this was made
};

struct DropoutOptions {
  double p = 0.5;            ///< the probability of an element to be dropped, 0 to 1
  bool variational = false;  ///< one mask a row and feature, the same at each step (Gal and Ghahramani 2016)
};

/// torch.nn.Dropout (Srivastava et al. 2014): record() sets elements to zero with probability p and
/// multiplies the others by 1 / (1 - p), so that the mean stays. run() and steps change nothing. Where p > 0,
/// each recorded run takes a stream of RecordOptions::random; the mask depends on that and on the shape
/// alone.
template <class T = float>
class Dropout : public Module<T> {
 public:
  /// Throws Error for a p outside 0 to 1.
  explicit Dropout(const DropoutOptions& options = {});

  const DropoutOptions& options() const noexcept { return options_; }

  std::string_view type() const noexcept override { return "Dropout"; }
  std::size_t output_size(std::size_t input_size) const override { return input_size; }
  double flops_per_step(std::size_t) const override { return 0; }
  SequenceOutput<T> run(const Sequence<T>& in, const RunOptions& options) const override;
  std::unique_ptr<Stepper<T>> stepper(std::size_t batch, std::size_t input_size) const override;
  SequenceOutput<T> record(const Sequence<T>& in, Tape& tape, const RecordOptions& options) const override;
  Tensor<T> backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                     const BackwardOptions& options) const override;

 private:
  DropoutOptions options_;
};

/// The output of each row's last valid step: [T, B, F] -> [1, B, F]. A row of length 0 gives zeros.
template <class T = float>
class LastStep : public Module<T> {
 public:
  std::string_view type() const noexcept override { return "LastStep"; }
  std::size_t output_size(std::size_t input_size) const override { return input_size; }
  double flops_per_step(std::size_t) const override { return 0; }
  bool ends_sequence() const noexcept override { return true; }
  SequenceOutput<T> run(const Sequence<T>& in, const RunOptions& options) const override;
  /// Each step gives what the sequence so far would.
  std::unique_ptr<Stepper<T>> stepper(std::size_t batch, std::size_t input_size) const override;
  SequenceOutput<T> record(const Sequence<T>& in, Tape& tape, const RecordOptions& options) const override;
  Tensor<T> backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                     const BackwardOptions& options) const override;
};

/// The mean over each row's valid steps, summed in order of time: [T, B, F] -> [1, B, F]. Length 0 gives
/// zeros.
template <class T = float>
class MeanOverTime : public Module<T> {
 public:
  std::string_view type() const noexcept override { return "MeanOverTime"; }
  std::size_t output_size(std::size_t input_size) const override { return input_size; }
  double flops_per_step(std::size_t input_size) const override { return static_cast<double>(input_size); }
  bool ends_sequence() const noexcept override { return true; }
  SequenceOutput<T> run(const Sequence<T>& in, const RunOptions& options) const override;
  /// Each step gives what the sequence so far would.
  std::unique_ptr<Stepper<T>> stepper(std::size_t batch, std::size_t input_size) const override;
  SequenceOutput<T> record(const Sequence<T>& in, Tape& tape, const RecordOptions& options) const override;
  Tensor<T> backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                     const BackwardOptions& options) const override;
};

/// Modules run one after the other. A module of its own, so they nest. None: the output is the input. An
/// error of a module is thrown on with its place: "Sequential: module 1 (Linear): ...".
template <class T = float>
class Sequential : public Module<T> {
 public:
  Sequential() = default;
  /// Takes the module over; returns itself, so that calls chain.
  Sequential& add(std::unique_ptr<Module<T>> module);
  template <class M>
  Sequential& add(M module) {
    return add(std::unique_ptr<Module<T>>(std::make_unique<M>(std::move(module))));
  }
  std::size_t size() const noexcept { return modules_.size(); }
  const Module<T>& operator[](std::size_t i) const noexcept { return *modules_[i]; }

  std::string_view type() const noexcept override { return "Sequential"; }
  std::vector<ParameterInfo> parameters() const override;
  std::size_t output_size(std::size_t input_size) const override;
  /// Of a step at which every module gives an output.
  double flops_per_step(std::size_t input_size) const override;
  bool ends_sequence() const noexcept override;
  SequenceOutput<T> run(const Sequence<T>& in, const RunOptions& options) const override;
  /// A step that gives no output yet ends at the module that has none. Modules behind one that ends the
  /// sequence see one step each time, as they do in run().
  std::unique_ptr<Stepper<T>> stepper(std::size_t batch, std::size_t input_size) const override;
  SequenceOutput<T> record(const Sequence<T>& in, Tape& tape, const RecordOptions& options) const override;
  Tensor<T> backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                     const BackwardOptions& options) const override;
  void load(const StateDict<T>& weights) override;

 private:
  std::vector<std::unique_ptr<Module<T>>> modules_;
};

extern template class Linear<float>;
extern template class Linear<double>;
extern template class Embedding<float>;
extern template class Embedding<double>;
extern template class Conv1d<float>;
extern template class Conv1d<double>;
extern template class LayerNorm<float>;
extern template class LayerNorm<double>;
extern template class Activation<float>;
extern template class Activation<double>;
extern template class Dropout<float>;
extern template class Dropout<double>;
extern template class LastStep<float>;
extern template class LastStep<double>;
extern template class MeanOverTime<float>;
extern template class MeanOverTime<double>;
extern template class Sequential<float>;
extern template class Sequential<double>;

}  // namespace sluice
