// SPDX-License-Identifier: Apache-2.0
// Dispatch unit: the stages of cells of one's own in float.
#include "kernels/cell_stage.h"
#include "kernels/target.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cell_stage_f32.cc"
#include <hwy/foreach_target.h>
#include "kernels/cell_stage-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels {
namespace HWY_NAMESPACE {
const CellStages<float>* CellStagesF32Table() { return CellStageTable<float>(); }
}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice::kernels {
HWY_EXPORT(CellStagesF32Table);
template <>
const CellStages<float>& cell_stages<float>() {
  apply_target_choice();
  return *HWY_DYNAMIC_DISPATCH(CellStagesF32Table)();
}
}  // namespace sluice::kernels
#endif
