// SPDX-License-Identifier: Apache-2.0
// What the gates of a model do over data, and how far back gradients reach.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "layers/recurrent_net.h"
#include "sluice/module.h"
#include "sluice/profile.h"
#include "sluice/state_dict.h"
#include "sluice/tensor.h"

namespace sluice {

/// Memory for the activations of a recurrent module: 256 MiB.
inline constexpr std::size_t kKeptBytes = std::size_t{1} << 28;

/// Rows and steps of a call that are recorded at once.
struct RecordedPart {
  std::size_t rows = 1;
  std::size_t steps = 0;
};
/// As many rows as `kept_bytes` hold; of one row, where not even that fits, as many steps. Two directions
/// need whole rows: there one row may take more.
template <class T>
RecordedPart recorded_part(const RecurrentNet<T>& net, std::size_t steps, std::size_t batch,
                           std::size_t kept_bytes);

/// The activations of every gate over a batch: all recurrent modules in the order in which the model runs
/// them, [layer][direction][gate]. The model runs as run() does: nothing is dropped. Steps past a row's
/// length count for nothing. Gates are those of GateStatistics, and sigmoids and tanhs of a custom cell that
/// are its new states; a custom cell that has no way back has none. The same numbers at any number of
/// threads and any `kept_bytes`. A module with an activation that is NaN has no gates here; the first module
/// that gives NaN, whether or not it has gates, is told in `notes` where there are such. Throws ShapeError.
template <class T>
std::vector<GateReport> gate_reports(const Module<T>& model, const Sequence<T>& in, int threads = 0,
                                     std::size_t kept_bytes = kKeptBytes,
                                     std::vector<Advice>* notes = nullptr);

/// The gradient of a loss with respect to a model's output, of its shape.
template <class T>
using LossGradient = std::function<Tensor<T>(const SequenceOutput<T>&)>;
/// That of the sum of the squares of all outputs, where there is no target: 2 y.
template <class T>
Tensor<T> square_sum_gradient(const SequenceOutput<T>& out);

/// The norm over rows, units and directions of the loss's gradient with respect to the output of the model's
/// last recurrent layer, by its time steps (GradientNorm): one training step, with dropout and zoneout as
/// drawn from seed 0. Empty where no module is recurrent. `weights` are the model's. The same numbers at any
/// number of threads. Throws ShapeError; Error where the model cannot be trained.
template <class T>
std::vector<double> gradient_norms(const Module<T>& model, const StateDict<T>& weights, const Sequence<T>& in,
                                   const LossGradient<T>& loss_gradient = square_sum_gradient<T>,
                                   int threads = 0);

}  // namespace sluice
