// SPDX-License-Identifier: Apache-2.0
// First values of parameters: PyTorch's defaults for each kind of module, and torch.nn.init's by name.
// Numbers are drawn in double, so that a float model starts with a double model's numbers, rounded; they
// depend on seed and stream alone, not on threads. Random numbers are sluice's own (random.h), not PyTorch's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "sluice/custom_recurrent.h"
#include "sluice/module.h"
#include "sluice/parameters.h"
#include "sluice/random.h"
#include "sluice/tensor.h"

namespace sluice::init {

// Each of these fills a contiguous view, or a contiguous part of one (`view.narrow(0, ...)`: one gate's
// rows), and throws ShapeError for any other.

template <class T>
void constant(TensorView<T> values, double value);

/// Uniform in [-bound, bound), rounded to T.
template <class T>
void uniform(TensorView<T> values, double bound, const RandomStream& random);

template <class T>
void normal(TensorView<T> values, double mean, double deviation, const RandomStream& random);

/// Uniform within gain * sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010). A weight is [out, in, ...];
/// the fans are in and out times what the other dimensions hold. Throws ShapeError below two dimensions.
template <class T>
void xavier_uniform(TensorView<T> values, double gain, const RandomStream& random);

/// gain times a matrix with orthonormal columns or, where there are fewer rows than columns, rows; each such
/// matrix as likely as any other (Saxe et al. 2014; Mezzadri 2007). Dimensions from the second on count as
/// one. Throws ShapeError below two dimensions.
template <class T>
void orthogonal(TensorView<T> values, double gain, const RandomStream& random, const RunOptions& run = {});

/// What a fresh PyTorch module of that type has:
///   LSTM, GRU, RNN and their cells  uniform within 1 / sqrt(hidden_size), biases too
///   Linear, Conv1d                  uniform within 1 / sqrt(fan_in), biases too
///   Embedding                       normal
///   LayerNorm                       weight 1, bias 0
/// for all parameters whose names are `prefix` and one of that module's; sizes are taken from their shapes.
/// Parameter i of the list draws from stream kStreams + i. Throws Error for another type, or where the
/// parameters are missing.
template <class T>
void reset_parameters(Parameters<T>& parameters, std::string_view type, const std::string& prefix,
                      std::uint64_t seed);
inline constexpr std::uint64_t kStreams = std::uint64_t{1} << 63;

/// What a new Recurrent begins with: matrices and vectors uniform within 1 / sqrt(output size of the cell),
/// as a recurrent layer; scalars 1; where a vector, or a slice of one, is a weight of layer_norm 1 and where
/// it is a bias of it 0. Otherwise as above.
template <class T>
void reset_parameters(Parameters<T>& parameters, const RecurrentLayerOptions& options,
                      const std::string& prefix, std::uint64_t seed);

/// Sets the forget gate's share of every LSTM's biases: `value` in bias_ih, 0 in bias_hh, which are added
/// (Gers et al. 2000; Jozefowicz et al. 2015 recommend 1). Returns how many LSTM layers, directions or cells
/// there were; throws Error if none has biases.
template <class T>
std::size_t forget_gate_bias(Parameters<T>& parameters, double value);

extern template void constant(TensorView<float>, double);
extern template void constant(TensorView<double>, double);
extern template void uniform(TensorView<float>, double, const RandomStream&);
extern template void uniform(TensorView<double>, double, const RandomStream&);
extern template void normal(TensorView<float>, double, double, const RandomStream&);
extern template void normal(TensorView<double>, double, double, const RandomStream&);
extern template void xavier_uniform(TensorView<float>, double, const RandomStream&);
extern template void xavier_uniform(TensorView<double>, double, const RandomStream&);
extern template void orthogonal(TensorView<float>, double, const RandomStream&, const RunOptions&);
extern template void orthogonal(TensorView<double>, double, const RandomStream&, const RunOptions&);
extern template void reset_parameters(Parameters<float>&, std::string_view, const std::string&,
                                      std::uint64_t);
extern template void reset_parameters(Parameters<double>&, std::string_view, const std::string&,
                                      std::uint64_t);
extern template void reset_parameters(Parameters<float>&, const RecurrentLayerOptions&, const std::string&,
                                      std::uint64_t);
extern template void reset_parameters(Parameters<double>&, const RecurrentLayerOptions&, const std::string&,
                                      std::uint64_t);
extern template std::size_t forget_gate_bias(Parameters<float>&, double);
extern template std::size_t forget_gate_bias(Parameters<double>&, double);

}  // namespace sluice::init
