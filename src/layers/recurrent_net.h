// SPDX-License-Identifier: Apache-2.0
// The machinery behind LSTM, GRU, RNN and their cells: parameters, checks, and calls over whole sequences.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "layers/cell_form.h"
#include "layers/dropout_mask.h"
#include "layers/packed_cell.h"
#include "layers/recurrent_plan.h"
#include "layers/recurrent_record.h"
#include "layers/recurrent_run.h"
#include "layers/sequence_layout.h"
#include "layers/zoneout.h"
#include "sluice/module.h"
#include "sluice/recurrent.h"
#include "sluice/state_dict.h"

namespace sluice {

/// Where parameters stand by their names: "weight_ih_l0_reverse" in layers, "weight_ih" in cells.
enum class ParameterNames { kLayers, kCell };

struct RecurrentOptions {
  std::string_view type{};  ///< for messages: "LSTM"
  CellKind kind = CellKind::kLstm;
  ParameterNames names = ParameterNames::kLayers;
  std::size_t input_size = 0;
  std::size_t hidden_size = 0;
  std::size_t num_layers = 1;
  bool has_bias = true;
  bool is_bidirectional = false;
  std::size_t proj_size = 0;
  double dropout = 0;  ///< between layers, of recorded calls that have streams to draw from
  bool has_variational_dropout = false;
  double zoneout_h = 0;
  double zoneout_c = 0;  ///< LSTM
  /// A custom cell: for the input of the first layer, and for that of the others.
  std::shared_ptr<const std::array<CellForm, 2>> forms{};

  bool drops_out() const noexcept { return dropout > 0 && num_layers > 1; }
  bool zones_out() const noexcept { return zoneout_h > 0 || zoneout_c > 0; }
  /// Masks of a recorded call: one between two layers, then one a layer for h, then one a layer for c.
  std::size_t masks() const noexcept {
    return (drops_out() ? num_layers - 1 : 0) + (zoneout_h > 0 ? num_layers : 0) +
           (zoneout_c > 0 ? num_layers : 0);
  }
  std::size_t directions() const noexcept { return is_bidirectional ? 2 : 1; }
  std::size_t state_size() const noexcept { return proj_size > 0 ? proj_size : hidden_size; }
  const CellForm& form(std::size_t layer) const noexcept { return (*forms)[layer == 0 ? 0 : 1]; }
  /// Elements of c: of an LSTM, and of a custom cell's states that are not its output.
  std::size_t c_size() const noexcept {
    return kind == CellKind::kLstm ? hidden_size : kind == CellKind::kCustom ? form(0).c_size : 0;
  }
  /// Features that layer `layer` takes.
  std::size_t layer_input_size(std::size_t layer) const noexcept {
    return layer == 0 ? input_size : directions() * state_size();
  }
};

/// Const once made; any number of threads may run it at once.
template <class T>
class RecurrentNet {
 public:
  /// Throws Error for options that make no sense and for missing parameters, ShapeError for wrong ones.
  RecurrentNet(const RecurrentOptions& options, const StateDict<T>& weights, const std::string& prefix);

  /// LSTM::forward and its kin. `plan` overrides what plan_recurrent would choose (no more than a test needs:
  /// the result does not depend on it). `record` takes what the way back needs (RecurrentBackward), and says
  /// what is dropped; a call that drops or is to be recomputed goes layer by layer, each with a plan of its
  /// own.
  RecurrentOutput<T> forward(TensorView<const T> x, const RecurrentInput<T>& in, SequenceLayout layout,
                             const RecurrentPlan* plan = nullptr, RecurrentOutput<T>&& reuse = {},
                             RecurrentRecord<T>* record = nullptr) const;
  /// What a layer of a recorded call took, [T, B, F]: where something of it was dropped, made in `storage`.
  TensorView<const T> layer_input(std::size_t layer, const RecurrentRecord<T>& record, int threads,
                                  Tensor<T>& storage) const;
  /// The mask between two layers, below `layer`.
  DropoutMask mask_below(std::size_t layer, const RandomStream& first) const noexcept;
  /// What of its old states a layer of a recorded call kept.
  Zoneout<T> zoneout(std::size_t layer, const RecurrentRecord<T>& record, int threads) const;
  /// Runs a layer of a recorded call again, with the same bits, for what `record` did not keep. `x` is
  /// layer_input.
  void recompute(std::size_t layer, TensorView<const T> x, RecurrentRecord<T>& record, int threads) const;
  /// Module::run.
  SequenceOutput<T> run(const Sequence<T>& in, const RunOptions& options) const;
  /// Module::stepper. Throws Error for a bidirectional net, ShapeError for another input_size.
  std::unique_ptr<Stepper<T>> stepper(std::size_t batch, std::size_t input_size) const;
  std::vector<ParameterInfo> parameters() const;
  /// Features out; throws ShapeError unless `input_size` is the net's own.
  std::size_t output_size(std::size_t input_size) const;
  double flops_per_step() const noexcept;

  const RecurrentOptions& options() const noexcept { return options_; }
  const std::string& prefix() const noexcept { return prefix_; }
  /// For reports: the prefix, "rnn", or the type where there is none.
  std::string name() const;
  /// The parameters of one cell, in order: weight_ih, weight_hh, bias_ih and bias_hh, weight_hr; or a custom
  /// cell's.
  std::vector<ParameterInfo> cell_parameters(std::size_t layer, std::size_t direction) const;
  const PackedCell<T>& cell(std::size_t layer, std::size_t direction = 0) const noexcept {
    return cells_[layer * options_.directions() + direction];
  }
  /// The shape of a call, as the plan sees it.
  RecurrentShape shape(std::size_t steps, std::size_t batch) const noexcept;

 private:
  void start_record(TensorView<const T> x, const RecurrentInput<T>& in, RecurrentRecord<T>& record) const;
  void make_room(std::size_t layer, RecurrentRecord<T>& record) const;
  void run_layers(const RecurrentCall<T>& work, int threads) const;
  void run_layer(std::size_t layer, RecurrentCall<T> work, int threads) const;
  void run_cells(std::span<const PackedCell<T>> cells, const RecurrentCall<T>& work,
                 const RecurrentShape& sizes, RecurrentPlan plan) const;
  void check_input(std::string_view call, TensorView<const T> x, const RecurrentInput<T>& in,
                   std::size_t steps, std::size_t batch) const;

  RecurrentOptions options_;
  std::string prefix_;
  std::vector<PackedCell<T>> cells_;  // [layer][direction]
};

extern template class RecurrentNet<float>;
extern template class RecurrentNet<double>;

}  // namespace sluice
