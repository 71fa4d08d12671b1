// SPDX-License-Identifier: Apache-2.0
// What every module of a model offers: a whole batch of sequences, or one time step at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/error.h"
#include "sluice/state_dict.h"
#include "sluice/tape.h"
#include "sluice/tensor.h"

namespace sluice {

template <class T>
class Parameters;
struct GateStatistics;
class CarriedState;
struct RandomSource;
class Profiler;

/// A parameter of a module: its full name, prefix included, and its shape.
struct ParameterInfo {
  std::string name;
  Shape shape;
};

/// A batch of sequences on its way through a model. Time is always the first dimension here: a batch-first
/// caller passes a transposed view.
template <class T>
struct Sequence {
  TensorView<const T> x;                    ///< [T, B, F]; the last stride is 1
  std::span<const std::int64_t> lengths{};  ///< [B] valid steps of each row, in any order; empty: all T
};

/// What a module makes of it.
template <class T>
struct SequenceOutput {
  Tensor<T> y;                        ///< [T', B, F']
  std::vector<std::int64_t> lengths;  ///< [B], or empty as on the way in
};

/// How to run. Never changes a bit of the result.
struct RunOptions {
  int threads = 0;  ///< at most this many; 0: what OpenMP would take (OMP_NUM_THREADS)
  /// Where Sequential and recurrent modules count their time (sluice/profile.h); null: nowhere.
  Profiler* profiler = nullptr;
};

/// How to record a run for its way back.
struct RecordOptions {
  int threads = 0;  ///< as in RunOptions
  /// Where recurrent modules begin, and leave the states that they end with (sluice/carried_state.h); null:
  /// they begin with zeros. Modules that need steps beyond a window then throw Error.
  CarriedState* carried = nullptr;
  /// The caller's (sluice/random.h). Each mask of a module that drops or zones out takes a stream of it;
  /// without one such a module throws Error.
  RandomSource* random = nullptr;
  /// Recurrent layers keep no gates but make them again on the way back: less memory, one more run. The bits
  /// of the gradients are the same; the module must still have the parameters of the run.
  bool recompute = false;

  RunOptions run() const noexcept { return {threads}; }
};

/// What the way back through a module is asked for besides the gradients of its parameters.
struct BackwardOptions {
  bool wants_input = true;  ///< the gradient of the input, too
  int threads = 0;          ///< as in RunOptions
  /// Where recurrent modules add what they measure (sluice/gate_statistics.h), for one more product a step of
  /// their way back; null: nothing, at no cost.
  GateStatistics* statistics = nullptr;
};

/// One module stepping through time: its state and buffers, made once. Rows of the batch are independent.
template <class T>
class Stepper {
 public:
  virtual ~Stepper() = default;
  /// Takes x [B, F], contiguous. Returns y [B, F'], contiguous, which lives until the next call, or null
  /// where this step has no output yet (a convolution that has not seen enough). No memory, no lock, no
  /// system call.
  virtual const T* step(const T* x) noexcept = 0;
  /// Back to the state of a fresh stepper.
  virtual void reset() noexcept = 0;
  /// Counts steps into `profiler`, which must outlive this, from now on; null: no more. Takes memory, so that
  /// steps need none. Only Sequential's and recurrent modules' steppers count.
  virtual void set_profiler(Profiler* /*profiler*/) {}
};

/// A part of a model. Const once made, but for load(): any number of threads may run one module at once.
template <class T>
class Module {
 public:
  virtual ~Module() = default;
  /// PyTorch's name of the class: "LSTM", "Linear".
  virtual std::string_view type() const noexcept = 0;
  /// All parameters, by their full names.
  virtual std::vector<ParameterInfo> parameters() const { return {}; }
  /// Features out for features in. Throws ShapeError if this module does not take `input_size` features.
  virtual std::size_t output_size(std::size_t input_size) const = 0;
  /// Multiplications and additions for one row and one time step.
  virtual double flops_per_step(std::size_t input_size) const = 0;
  /// True if the whole sequence becomes one value (LastStep, MeanOverTime): y has T' = 1.
  virtual bool ends_sequence() const noexcept { return false; }
  /// Runs a whole batch. Throws ShapeError.
  virtual SequenceOutput<T> run(const Sequence<T>& in, const RunOptions& options) const = 0;
  /// Makes a stepper for `batch` rows of `input_size` features; this module must outlive it.
  /// Throws Error where the module cannot run step by step (it needs steps to come).
  virtual std::unique_ptr<Stepper<T>> stepper(std::size_t batch, std::size_t input_size) const = 0;

  /// As run(), with the same bits but for what drops out or is otherwise for training only, and puts on the
  /// tape what backward() needs. in.x must live until then. Throws also Error where the module cannot be
  /// trained.
  virtual SequenceOutput<T> record(const Sequence<T>& in, Tape& tape, const RecordOptions& options) const;
  /// Takes the run that was recorded last off the tape. From the loss's gradient with respect to that run's
  /// output, `grad` [T', B, F'], contiguous, adds to the gradients of this module's parameters in
  /// `parameters`, but for frozen ones; returns the gradient of the input [T, B, F], or null if it is not
  /// wanted or has none (indices). `parameters` holds the values that the run was made with. Gradients past a
  /// row's length count for nothing. Throws Error if another module's run is on top. The bits do not depend
  /// on threads.
  virtual Tensor<T> backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                             const BackwardOptions& options) const;
  /// Takes new values of its parameters. Throws Error, ShapeError, and then keeps the old ones.
  virtual void load(const StateDict<T>& weights);
};

template <class T>
SequenceOutput<T> Module<T>::record(const Sequence<T>&, Tape&, const RecordOptions&) const {
  throw Error(std::string(type()) + " cannot be trained");
}
template <class T>
Tensor<T> Module<T>::backward(TensorView<const T>, Tape&, Parameters<T>&, const BackwardOptions&) const {
  throw Error(std::string(type()) + " cannot be trained");
}
template <class T>
void Module<T>::load(const StateDict<T>&) {
  if (!parameters().empty()) throw Error(std::string(type()) + " cannot take new parameters");
}

}  // namespace sluice
