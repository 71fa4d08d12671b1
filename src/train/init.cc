// SPDX-License-Identifier: Apache-2.0
#include "sluice/init.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "cells/cell_graph.h"
#include "core/check.h"
#include "core/threads.h"
#include "sluice/error.h"
#include "train/sum_over.h"

namespace sluice::init {
namespace {

// Numbers drawn at once: a piece on the stack.
constexpr std::size_t kPiece = 256;

// Multiplications of a projection that a thread must have before a second one is woken.
constexpr std::size_t kGrainProducts = std::size_t{1} << 15;

template <class T>
void check_contiguous(std::string_view call, const TensorView<T>& values) {
  if (values.is_contiguous()) return;
  throw ShapeError(std::string(call) + ": values, " + values.shape().to_string() +
                   ", is not contiguous, as it must be");
}

template <class T>
void check_matrix(std::string_view call, const TensorView<T>& values) {
  check_contiguous(call, values);
  if (values.rank() < 2) throw_shape_error(call, "values", values.shape(), "two dimensions or more");
}

template <class T>
std::size_t columns_of(const TensorView<T>& values) noexcept {
  std::size_t columns = 1;
  for (const std::size_t d : values.shape().dims().subspan(1)) columns *= d;
  return columns;
}

// values[i] = map(drawn number i), where fill(piece, first) draws.
template <class T, class Fill, class Map>
void draw(TensorView<T> values, const Fill& fill, const Map& map) {
  std::array<double, kPiece> piece{};
  for (std::size_t begin = 0; begin < values.size(); begin += kPiece) {
    const std::size_t n = std::min(kPiece, values.size() - begin);
    fill(std::span(piece).first(n), begin);
    for (std::size_t i = 0; i < n; ++i) values.data()[begin + i] = static_cast<T>(map(piece[i]));
  }
}

double dot(const double* a, const double* b, std::size_t n) noexcept {
  return sum_over(n, [=](std::size_t i) { return a[i] * b[i]; });
}

// Modified Gram-Schmidt on the rows of v. Each row's chain of projections is its own, so rows are shared
// among threads.
void orthonormalise_rows(Tensor<double>& v, int threads) {
  const std::size_t count = v.dim(0), n = v.dim(1);
  for (std::size_t k = 0; k < count; ++k) {
    double* const unit = v.data() + k * n;
    const double norm = std::sqrt(dot(unit, unit, n));
    for (std::size_t i = 0; i < n; ++i) unit[i] /= norm;
    const std::size_t later = count - k - 1;
    parallel_ranges(later, kGrainProducts / std::max<std::size_t>(n, 1) + 1, threads,
                    [&](std::size_t begin, std::size_t end) noexcept {
                      for (std::size_t r = begin; r < end; ++r) {
                        double* const row = unit + (r + 1) * n;
                        const double share = dot(unit, row, n);
                        for (std::size_t i = 0; i < n; ++i) row[i] -= share * unit[i];
                      }
                    });
  }
}

// The rest of `name` behind the prefix, or nothing.
std::optional<std::string_view> without_prefix(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  return name.substr(prefix.size());
}

// 0 for a type that is not recurrent.
std::size_t gates_of(std::string_view type) noexcept {
  if (type == "LSTM" || type == "LSTMCell") return 4;
  if (type == "GRU" || type == "GRUCell") return 3;
  if (type == "RNN" || type == "RNNCell") return 1;
  return 0;
}

bool is_recurrent_name(std::string_view name) noexcept {
  constexpr std::array<std::string_view, 5> kNames{"weight_ih", "weight_hh", "bias_ih", "bias_hh",
                                                   "weight_hr"};
  return std::any_of(kNames.begin(), kNames.end(), [name](std::string_view known) {
    return name == known || (name.starts_with(known) && name.substr(known.size()).starts_with("_l"));
  });
}

template <class T>
void uniform_parameter(Parameters<T>& parameters, std::size_t i, double bound, std::uint64_t seed) {
  uniform(parameters.value(i), bound, RandomStream(seed, kStreams + i));
}

template <class T>
void reset_recurrent(Parameters<T>& parameters, std::string_view type, const std::string& prefix,
                     std::uint64_t seed) {
  std::vector<std::size_t> ours;
  std::size_t hidden_size = 0;
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    const auto name = without_prefix(parameters.name(i), prefix);
    if (!name || !is_recurrent_name(*name)) continue;
    ours.push_back(i);
    if (name->starts_with("weight_hh")) hidden_size = parameters.shape(i)[0] / gates_of(type);
  }
  if (hidden_size == 0) {
    throw Error("init::reset_parameters: there is no '" + prefix + "weight_hh...' of the " +
                std::string(type));
  }
  const double bound = 1 / std::sqrt(static_cast<double>(hidden_size));
  for (const std::size_t i : ours) uniform_parameter(parameters, i, bound, seed);
}

template <class T>
void reset_affine(Parameters<T>& parameters, const std::string& prefix, std::uint64_t seed) {
  const std::size_t weight = parameters.index_of(prefix + "weight");
  if (parameters.shape(weight).rank() < 2) {
    throw_shape_error("init::reset_parameters", "'" + prefix + "weight'", parameters.shape(weight),
                      "[out, in, ...]");
  }
  const double fan_in = static_cast<double>(columns_of(parameters.value(weight)));
  const double bound = fan_in > 0 ? 1 / std::sqrt(fan_in) : 0;
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    const auto name = without_prefix(parameters.name(i), prefix);
    if (name == "weight" || name == "bias") uniform_parameter(parameters, i, bound, seed);
  }
}

// Fills what value `node` is of a vector, if it is that: all of it, or a slice.
template <class T>
void fill_vector(const CellGraph& graph, std::size_t node, std::size_t parameter, double value,
                 TensorView<T> values) {
  const std::size_t size = graph.nodes[node].size;
  std::size_t first = 0;
  while (graph.nodes[node].op == CellOp::kSlice) {
    first += graph.nodes[node].first;
    node = graph.nodes[node].args[0];
  }
  const CellNode& vector = graph.nodes[node];
  if (vector.op == CellOp::kVector && vector.index == parameter) {
    constant(values.narrow(0, first, size), value);
  }
}

// Names of parameters that differ in one word: "rnn.bias_ih_l0", "rnn.weight_hh_l0".
class Siblings {
 public:
  Siblings(std::string_view name, std::size_t at, std::string_view word)
      : prefix_(name.substr(0, at)), suffix_(name.substr(at + word.size())) {}
  std::string named(std::string_view word) const {
    std::string name = prefix_;
    return name.append(word).append(suffix_);
  }

 private:
  std::string prefix_;
  std::string suffix_;
};

// Of the recurrent weights that a bias belongs to: there is a projection, or they have four times as many
// rows as columns.
template <class T>
bool is_of_lstm(const Parameters<T>& parameters, const Siblings& siblings) {
  std::optional<Shape> weight_hh;
  for (const ParameterInfo& info : parameters.infos()) {
    if (info.name == siblings.named("weight_hr")) return true;
    if (info.name == siblings.named("weight_hh")) weight_hh = info.shape;
  }
  return weight_hh && weight_hh->rank() == 2 && (*weight_hh)[0] == 4 * (*weight_hh)[1];
}

}  // namespace

template <class T>
void constant(TensorView<T> values, double value) {
  check_contiguous("init::constant", values);
  std::fill_n(values.data(), values.size(), static_cast<T>(value));
}

template <class T>
void uniform(TensorView<T> values, double bound, const RandomStream& random) {
  check_contiguous("init::uniform", values);
  draw(
      values, [&](std::span<double> to, std::uint64_t first) { random.fill_uniform(to, first); },
      [bound](double u) { return bound * (2 * u - 1); });
}

template <class T>
void normal(TensorView<T> values, double mean, double deviation, const RandomStream& random) {
  check_contiguous("init::normal", values);
  draw(
      values, [&](std::span<double> to, std::uint64_t first) { random.fill_normal(to, first); },
      [=](double z) { return mean + deviation * z; });
}

template <class T>
void xavier_uniform(TensorView<T> values, double gain, const RandomStream& random) {
  check_matrix("init::xavier_uniform", values);
  if (values.size() == 0) return;
  const std::size_t fan_in = columns_of(values);
  const std::size_t fan_out = values.dim(0) * (fan_in / values.dim(1));
  uniform(values, gain * std::sqrt(6 / static_cast<double>(fan_in + fan_out)), random);
}

// The factor Q of a normal matrix, where R's diagonal is positive as Gram-Schmidt makes it, is uniform over
// the orthogonal matrices (Mezzadri 2007). A second pass takes away what rounding left of the first, in
// proportion to the matrix's condition ("twice is enough": Giraud et al. 2005).
template <class T>
void orthogonal(TensorView<T> values, double gain, const RandomStream& random, const RunOptions& run) {
  check_matrix("init::orthogonal", values);
  if (values.size() == 0) return;
  const std::size_t rows = values.dim(0), columns = columns_of(values);
  const bool is_wide = rows < columns;
  Tensor<double> vectors({std::min(rows, columns), std::max(rows, columns)});
  random.fill_normal(vectors.span());
  orthonormalise_rows(vectors, run.threads);
  orthonormalise_rows(vectors, run.threads);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      values.data()[r * columns + c] = static_cast<T>(gain * (is_wide ? vectors(r, c) : vectors(c, r)));
    }
  }
}

template <class T>
void reset_parameters(Parameters<T>& parameters, std::string_view type, const std::string& prefix,
                      std::uint64_t seed) {
  if (gates_of(type) > 0) return reset_recurrent(parameters, type, prefix, seed);
  if (type == "Linear" || type == "Conv1d") return reset_affine(parameters, prefix, seed);
  if (type == "Embedding") {
    const std::size_t i = parameters.index_of(prefix + "weight");
    return normal(parameters.value(i), 0, 1, RandomStream(seed, kStreams + i));
  }
  if (type != "LayerNorm") {
    throw Error("init::reset_parameters: type is '" + std::string(type) +
                "', expected LSTM, GRU, RNN, one of their cells, Linear, Conv1d, Embedding or LayerNorm");
  }
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    const auto name = without_prefix(parameters.name(i), prefix);
    if (name == "weight") constant(parameters.value(i), 1);
    if (name == "bias") constant(parameters.value(i), 0);
  }
}

template <class T>
void reset_parameters(Parameters<T>& parameters, const RecurrentLayerOptions& options,
                      const std::string& prefix, std::uint64_t seed) {
  const CellGraph& graph = options.cell.graph();
  const double bound = 1 / std::sqrt(static_cast<double>(options.cell.output_size()));
  const auto reset = [&](std::size_t parameter, std::size_t i) {
    const TensorView<T> values = parameters.value(i);
    const auto is_scalar = [&](const CellNode& node) {
      return node.op == CellOp::kScalar && node.index == parameter;
    };
    if (std::any_of(graph.nodes.begin(), graph.nodes.end(), is_scalar)) return constant(values, 1);
    uniform_parameter(parameters, i, bound, seed);
    for (const CellNode& node : graph.nodes) {
      if (node.op != CellOp::kLayerNorm) continue;
      fill_vector(graph, node.args[1], parameter, 1, values);
      fill_vector(graph, node.args[2], parameter, 0, values);
    }
  };
  for (std::size_t layer = 0; layer < options.num_layers; ++layer) {
    for (const char* const direction : {"", "_reverse"}) {
      if (*direction != 0 && !options.bidirectional) continue;
      for (std::size_t k = 0; k < graph.parameters.size(); ++k) {
        const std::string name = graph.parameters[k].name + "_l" + std::to_string(layer) + direction;
        reset(k, parameters.index_of(prefix + name));
      }
    }
  }
}

template <class T>
std::size_t forget_gate_bias(Parameters<T>& parameters, double value) {
  std::size_t found = 0;
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    constexpr std::string_view kWord = "bias_ih";
    const std::string& name = parameters.name(i);
    const std::size_t at = name.rfind(kWord);
    if (at == std::string::npos) continue;
    const Siblings siblings(name, at, kWord);
    if (!is_of_lstm(parameters, siblings)) continue;
    const std::size_t other = parameters.index_of(siblings.named("bias_hh"));
    const std::size_t units = parameters.shape(i)[0] / 4;
    constant(parameters.value(i).narrow(0, units, units), value);
    constant(parameters.value(other).narrow(0, units, units), 0);
    ++found;
  }
  if (found == 0) throw Error("init::forget_gate_bias: there is no LSTM with biases");
  return found;
}

template void constant(TensorView<float>, double);
template void constant(TensorView<double>, double);
template void uniform(TensorView<float>, double, const RandomStream&);
template void uniform(TensorView<double>, double, const RandomStream&);
template void normal(TensorView<float>, double, double, const RandomStream&);
template void normal(TensorView<double>, double, double, const RandomStream&);
template void xavier_uniform(TensorView<float>, double, const RandomStream&);
template void xavier_uniform(TensorView<double>, double, const RandomStream&);
template void orthogonal(TensorView<float>, double, const RandomStream&, const RunOptions&);
template void orthogonal(TensorView<double>, double, const RandomStream&, const RunOptions&);
template void reset_parameters(Parameters<float>&, std::string_view, const std::string&, std::uint64_t);
template void reset_parameters(Parameters<double>&, std::string_view, const std::string&, std::uint64_t);
template void reset_parameters(Parameters<float>&, const RecurrentLayerOptions&, const std::string&,
                               std::uint64_t);
template void reset_parameters(Parameters<double>&, const RecurrentLayerOptions&, const std::string&,
                               std::uint64_t);
template std::size_t forget_gate_bias(Parameters<float>&, double);
template std::size_t forget_gate_bias(Parameters<double>&, double);

}  // namespace sluice::init
