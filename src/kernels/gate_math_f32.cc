// SPDX-License-Identifier: Apache-2.0
// Dispatch unit: the gates' elementwise functions on arrays of float.
#include "kernels/gate_math.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gate_math_f32.cc"
#include <hwy/foreach_target.h>
#include "kernels/gate_math_arrays-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels {
namespace HWY_NAMESPACE {
const GateMath<float>* GateMathF32Table() { return GateMathTable<float>(); }
}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice::kernels {
HWY_EXPORT(GateMathF32Table);
template <>
const GateMath<float>& gate_math<float>() {
  apply_target_choice();
  return *HWY_DYNAMIC_DISPATCH(GateMathF32Table)();
}
}  // namespace sluice::kernels
#endif
