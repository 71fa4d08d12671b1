// SPDX-License-Identifier: Apache-2.0
// Dispatch unit: the machine's limits.
#include "kernels/machine_peak.h"

#include "kernels/target.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/machine_peak.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// Latency (4 to 5) x ports (2) chains keep the units busy, and 12 fit in 16 registers with their operands.
double MultiplyAdd(std::size_t iterations) {
  const hn::ScalableTag<float> d;
  // From memory, and each chain another, so that nothing is computed when compiling or done once for all.
  volatile float half = 0.5f;
  const auto b = hn::Set(d, half);
  const auto start = [&]() HWY_ATTR { return hn::Set(d, half); };
  auto a0 = start(), a1 = start(), a2 = start(), a3 = start(), a4 = start(), a5 = start();
  auto a6 = start(), a7 = start(), a8 = start(), a9 = start(), a10 = start(), a11 = start();
  for (std::size_t i = 0; i < iterations; ++i) {
    a0 = hn::MulAdd(a0, b, b);
    a1 = hn::MulAdd(a1, b, b);
    a2 = hn::MulAdd(a2, b, b);
    a3 = hn::MulAdd(a3, b, b);
    a4 = hn::MulAdd(a4, b, b);
    a5 = hn::MulAdd(a5, b, b);
    a6 = hn::MulAdd(a6, b, b);
    a7 = hn::MulAdd(a7, b, b);
    a8 = hn::MulAdd(a8, b, b);
    a9 = hn::MulAdd(a9, b, b);
    a10 = hn::MulAdd(a10, b, b);
    a11 = hn::MulAdd(a11, b, b);
  }
  a0 = hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), hn::Add(hn::Add(a4, a5), hn::Add(a6, a7)));
  a0 = hn::Add(a0, hn::Add(hn::Add(a8, a9), hn::Add(a10, a11)));
  volatile float sink = hn::GetLane(a0);
  (void)sink;
  return static_cast<double>(iterations) * 12 * 2 * static_cast<double>(hn::Lanes(d));
}

float Read(const float* data, std::size_t n, std::size_t passes) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t whole = n / (8 * lanes) * (8 * lanes);
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  float rest = 0;
  for (std::size_t pass = 0; pass < passes; ++pass) {
    for (std::size_t i = 0; i < whole; i += 8 * lanes) {
      s0 = hn::Add(s0, hn::Load(d, data + i));
      s1 = hn::Add(s1, hn::Load(d, data + i + lanes));
      s2 = hn::Add(s2, hn::Load(d, data + i + 2 * lanes));
      s3 = hn::Add(s3, hn::Load(d, data + i + 3 * lanes));
      s4 = hn::Add(s4, hn::Load(d, data + i + 4 * lanes));
      s5 = hn::Add(s5, hn::Load(d, data + i + 5 * lanes));
      s6 = hn::Add(s6, hn::Load(d, data + i + 6 * lanes));
      s7 = hn::Add(s7, hn::Load(d, data + i + 7 * lanes));
    }
    for (std::size_t i = whole; i < n; ++i) rest += data[i];
  }
  s0 = hn::Add(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)), hn::Add(hn::Add(s4, s5), hn::Add(s6, s7)));
  return hn::GetLane(hn::SumOfLanes(d, s0)) + rest;
}

}  // namespace

const MachinePeak* MachinePeakTable() {
  static const MachinePeak table{
      .target = target_name(HWY_TARGET), .multiply_add = &MultiplyAdd, .read = &Read};
  return &table;
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice::kernels {
HWY_EXPORT(MachinePeakTable);
const MachinePeak& machine_peak() {
  apply_target_choice();
  return *HWY_DYNAMIC_DISPATCH(MachinePeakTable)();
}
}  // namespace sluice::kernels
#endif
