// SPDX-License-Identifier: Apache-2.0
// Gradients kept within bounds (torch.nn.utils.clip_grad_norm_ and clip_grad_value_). Frozen parameters do
// not take part.
#pragma once

#include "sluice/module.h"
#include "sluice/parameters.h"

namespace sluice {

struct ClipGradNormOptions {
  double norm_type = 2;             ///< p of the norm, above 0; infinity: the largest absolute value
  bool error_if_nonfinite = false;  ///< throw Error, and change nothing, where the norm is NaN or infinite
};

/// The norm of all gradients as one vector, which is then scaled by min(1, max_norm / (norm + 1e-6)). Summed
/// in double, in one order at any number of threads. A norm that is NaN makes every gradient NaN, an infinite
/// one makes them 0 (and NaN where they were infinite), as in PyTorch: look at what is returned. Throws Error
/// for a max_norm or norm_type out of range.
template <class T>
double clip_grad_norm(Parameters<T>& parameters, double max_norm, const ClipGradNormOptions& options = {},
                      const RunOptions& run = {});

/// Each element to [-clip_value, clip_value]; NaN stays. Throws Error unless clip_value is at least 0.
template <class T>
void clip_grad_value(Parameters<T>& parameters, double clip_value, const RunOptions& run = {});

extern template double clip_grad_norm(Parameters<float>&, double, const ClipGradNormOptions&,
                                      const RunOptions&);
extern template double clip_grad_norm(Parameters<double>&, double, const ClipGradNormOptions&,
                                      const RunOptions&);
extern template void clip_grad_value(Parameters<float>&, double, const RunOptions&);
extern template void clip_grad_value(Parameters<double>&, double, const RunOptions&);

}  // namespace sluice
