// SPDX-License-Identifier: Apache-2.0
#include "sluice/clip_grad.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "sluice/error.h"
#include "train/chunks.h"
#include "train/options.h"
#include "train/sum_over.h"

namespace sluice {
namespace {

// The largest of two that are at least 0; NaN if either is.
double largest(double a, double b) noexcept { return b > a || std::isnan(b) ? b : a; }

// The sum of term(g), or what `fold` makes of two in its place. Each chunk by itself, then the chunks in
// order.
template <class T, class Term, class Fold = std::plus<>>
double sum_of(const Parameters<T>& parameters, const std::vector<Chunk>& chunks, int threads,
              const Term& term, const Fold& fold = {}) {
  std::vector<double> partial(chunks.size());
  for_each_chunk(chunks, threads, [&](std::size_t index, const Chunk& chunk) noexcept {
    const T* const grad = parameters.grad(chunk.parameter).data() + chunk.begin;
    partial[index] = sum_over(
        chunk.end - chunk.begin, [&](std::size_t i) { return term(static_cast<double>(grad[i])); }, fold);
  });
  double total = 0;
  for (const double value : partial) total = fold(total, value);
  return total;
}

template <class T>
double norm_of(const Parameters<T>& parameters, const std::vector<Chunk>& chunks, double p, int threads) {
  const auto absolute = [](double g) noexcept { return std::abs(g); };
  const auto square = [](double g) noexcept { return g * g; };
  const auto power = [p](double g) noexcept { return std::pow(std::abs(g), p); };
  if (std::isinf(p)) return sum_of(parameters, chunks, threads, absolute, largest);
  if (p == 1) return sum_of(parameters, chunks, threads, absolute);
  if (p == 2) return std::sqrt(sum_of(parameters, chunks, threads, square));
  return std::pow(sum_of(parameters, chunks, threads, power), 1 / p);
}

}  // namespace

template <class T>
double clip_grad_norm(Parameters<T>& parameters, double max_norm, const ClipGradNormOptions& options,
                      const RunOptions& run) {
  check_not_negative("clip_grad_norm", "max_norm", max_norm);
  check_option("clip_grad_norm", "norm_type", options.norm_type, options.norm_type > 0,
               "above 0, or infinity");
  const std::vector<Chunk> chunks = chunks_that_train(parameters);
  const double norm = norm_of(parameters, chunks, options.norm_type, run.threads);
  if (options.error_if_nonfinite && !std::isfinite(norm)) {
    throw Error("clip_grad_norm: the norm of the gradients is " + text_of(norm) + ", expected a finite one");
  }
  const double scale = max_norm / (norm + 1e-6);
  if (scale >= 1) return norm;
  for_each_chunk(chunks, run.threads, [&](std::size_t, const Chunk& chunk) noexcept {
    T* const grad = parameters.grad(chunk.parameter).data();
    for (std::size_t i = chunk.begin; i < chunk.end; ++i) grad[i] *= static_cast<T>(scale);
  });
  return norm;
}

template <class T>
void clip_grad_value(Parameters<T>& parameters, double clip_value, const RunOptions& run) {
  check_option("clip_grad_value", "clip_value", clip_value, clip_value >= 0, "at least 0");
  const T most = static_cast<T>(clip_value);
  for_each_chunk(chunks_that_train(parameters), run.threads, [&](std::size_t, const Chunk& chunk) noexcept {
    T* const grad = parameters.grad(chunk.parameter).data();
    for (std::size_t i = chunk.begin; i < chunk.end; ++i) grad[i] = std::clamp(grad[i], -most, most);
  });
}

template double clip_grad_norm(Parameters<float>&, double, const ClipGradNormOptions&, const RunOptions&);
template double clip_grad_norm(Parameters<double>&, double, const ClipGradNormOptions&, const RunOptions&);
template void clip_grad_value(Parameters<float>&, double, const RunOptions&);
template void clip_grad_value(Parameters<double>&, double, const RunOptions&);

}  // namespace sluice
