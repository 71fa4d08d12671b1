// SPDX-License-Identifier: Apache-2.0
// Dispatch unit: the gates' elementwise functions on arrays of double.
#include "kernels/gate_math.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gate_math_f64.cc"
#include <hwy/foreach_target.h>
#include "kernels/gate_math_arrays-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels {
namespace HWY_NAMESPACE {
const GateMath<double>* GateMathF64Table() { return GateMathTable<double>(); }
}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice::kernels {
HWY_EXPORT(GateMathF64Table);
template <>
const GateMath<double>& gate_math<double>() {
  apply_target_choice();
  return *HWY_DYNAMIC_DISPATCH(GateMathF64Table)();
}
}  // namespace sluice::kernels
#endif
