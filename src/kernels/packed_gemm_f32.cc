// SPDX-License-Identifier: Apache-2.0
// Dispatch unit: the packed products and cells' steps in float.
#include "kernels/packed_gemm.h"
#include "kernels/target.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/packed_gemm_f32.cc"
#include <hwy/foreach_target.h>
#include "kernels/packed_gemm-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels {
namespace HWY_NAMESPACE {
const PackedGemm<float>* PackedGemmF32Table() { return Table<float>(); }
}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice::kernels {
HWY_EXPORT(PackedGemmF32Table);
template <>
const PackedGemm<float>& packed_gemm<float>() {
  apply_target_choice();
  return *HWY_DYNAMIC_DISPATCH(PackedGemmF32Table)();
}
}  // namespace sluice::kernels
#endif
