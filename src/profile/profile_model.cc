// SPDX-License-Identifier: Apache-2.0
// All that can be said of a model, put together.
#include <vector>

#include "profile/advice.h"
#include "profile/gate_reports.h"
#include "profile/set_bounds.h"
#include "sluice/profile.h"

namespace sluice {

template <class T>
ProfileReport profile_model(const Module<T>& module, TensorView<const T> x, const MeasureOptions& options) {
  ProfileReport report = measure_runs(module, x, options);
  const Sequence<T> in{x, options.lengths};
  set_bounds_here(report, bounds_of(module, in), options.fresh_limits);
  std::vector<Advice> notes;
  report.gates = gate_reports(module, in, options.threads, kKeptBytes, &notes);
  report.advice = advice_for(report);
  report.advice.insert(report.advice.begin(), notes.begin(), notes.end());
  return report;
}

template ProfileReport profile_model(const Module<float>&, TensorView<const float>, const MeasureOptions&);
template ProfileReport profile_model(const Module<double>&, TensorView<const double>, const MeasureOptions&);

}  // namespace sluice
