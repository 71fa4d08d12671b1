// SPDX-License-Identifier: Apache-2.0
// What every module's run() asks of a batch of sequences, and how it walks over one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/check.h"
#include "sluice/module.h"
#include "sluice/parameters.h"
#include "sluice/tape.h"
#include "sluice/tensor.h"

namespace sluice {

/// Throws ShapeError unless `features` is what `call`'s module takes.
inline void check_features(std::string_view call, std::size_t features, std::size_t expected) {
  if (features == expected) return;
  throw ShapeError(std::string(call) + ": the input has " + std::to_string(features) +
                   " features, expected " + std::to_string(expected));
}

/// Throws ShapeError unless x is [T, B, F] and lengths, if there are any, are B values from 0 to T.
template <class T>
void check_sequence(std::string_view call, const Sequence<T>& in) {
  if (in.x.rank() != 3) throw_shape_error(call, "x", in.x.shape(), "[T, B, F]");
  if (in.lengths.empty()) return;
  const std::size_t steps = in.x.dim(0);
  if (in.lengths.size() != in.x.dim(1)) {
    throw_shape_error(call, "lengths", Shape({in.lengths.size()}), Shape({in.x.dim(1)}).to_string());
  }
  for (std::size_t b = 0; b < in.lengths.size(); ++b) {
    if (in.lengths[b] < 0 || static_cast<std::uint64_t>(in.lengths[b]) > steps) {
      throw ShapeError(std::string(call) + ": lengths[" + std::to_string(b) + "] is " +
                       std::to_string(in.lengths[b]) + ", expected 0 to " + std::to_string(steps));
    }
  }
}

/// The same, and x has `features` features.
template <class T>
void check_sequence(std::string_view call, const Sequence<T>& in, std::size_t features) {
  if (in.x.rank() != 3 || in.x.dim(2) != features) {
    throw_shape_error(call, "x", in.x.shape(), "[T, B, " + std::to_string(features) + "]");
  }
  check_sequence(call, in);
}

/// Valid steps of row b.
template <class T>
std::size_t length_of(const Sequence<T>& in, std::size_t b) noexcept {
  return in.lengths.empty() ? in.x.dim(0) : static_cast<std::size_t>(in.lengths[b]);
}

/// What most modules keep of a recorded run: what came in (which lives until the way back), and perhaps a
/// tensor.
template <class T>
struct SequenceEntry final : Tape::Entry {
  TensorView<const T> x;
  std::vector<std::int64_t> lengths;
  Tensor<T> kept;

  explicit SequenceEntry(const Sequence<T>& in, Tensor<T> tensor = {})
      : x(in.x), lengths(in.lengths.begin(), in.lengths.end()), kept(std::move(tensor)) {}
  std::size_t bytes() const noexcept override { return kept.size() * sizeof(T); }
  /// Valid steps of row b.
  std::size_t length(std::size_t b) const noexcept {
    return lengths.empty() ? x.dim(0) : static_cast<std::size_t>(lengths[b]);
  }
};

/// Module::record of a module whose way back needs no more than what came in.
template <class T>
SequenceOutput<T> record_input(const Module<T>& module, const Sequence<T>& in, Tape& tape,
                               const RecordOptions& options) {
  SequenceOutput<T> out = module.run(in, options.run());
  tape.put(std::make_unique<SequenceEntry<T>>(in));
  return out;
}

/// Throws Error where a run is a window of a longer sequence, which this module cannot be given in windows.
inline void refuse_windows(std::string_view call, const RecordOptions& options, const std::string& why) {
  if (options.carried == nullptr) return;
  throw Error(std::string(call) + ": cannot run window by window: " + why);
}

/// Where a gradient goes; null for a frozen parameter.
template <class T>
TensorView<T> wanted_grad(Parameters<T>& parameters, const std::string& name) {
  const std::size_t i = parameters.index_of(name);
  return parameters.is_frozen(i) ? TensorView<T>() : parameters.grad(i);
}

/// The lengths for a module that keeps time as it is.
template <class T>
std::vector<std::int64_t> same_lengths(const Sequence<T>& in) {
  return {in.lengths.begin(), in.lengths.end()};
}

/// `view` row-major without gaps: itself where it is so already, else a copy that lives in `storage`.
template <class T>
TensorView<const T> contiguous(TensorView<const T> view, Tensor<T>& storage) {
  if (view.is_contiguous()) return view;
  storage = Tensor<T>(view);
  return storage.view();
}

/// The shape of `x` with the last dimension replaced by `features`.
inline Shape with_last_dim(const Shape& x, std::size_t features) {
  std::vector<std::size_t> dims(x.dims().begin(), x.dims().end());
  dims.back() = features;
  return Shape(std::span<const std::size_t>(dims));
}

}  // namespace sluice
