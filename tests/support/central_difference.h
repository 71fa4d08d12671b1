// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sluice::test {

/// The derivative of loss() with respect to `value`, which has its old value afterwards: off by 1.7e-11 times
/// a third derivative, and the roundings of the loss times 1e5.
template <class Loss>
double central_difference(double& value, const Loss& loss) {
  constexpr double kStep = 1e-5;
  const double before = value;
  value = before + kStep;
  const double above = loss();
  value = before - kStep;
  const double below = loss();
  value = before;
  return (above - below) / (2 * kStep);
}

}  // namespace sluice::test
