// SPDX-License-Identifier: Apache-2.0
// The trace event format that Perfetto and Chrome's about:tracing read: "X" is a span with its times in
// microseconds, "M" gives a thread its name.
#include <set>
#include <string>

#include "core/json.h"
#include "sluice/profile.h"

namespace sluice {

std::string profile_trace_json(const ProfileReport& report) {
  const auto line = [](const Json& event) {
    return event.dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  std::string text =
      "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n" +
      line({{"ph", "M"}, {"pid", 1}, {"name", "process_name"}, {"args", {{"name", report.model}}}});
  std::set<std::size_t> threads;
  for (const TraceSpan& span : report.trace) threads.insert(span.thread);
  for (const std::size_t thread : threads) {
    text += ",\n" + line({{"ph", "M"},
                          {"pid", 1},
                          {"tid", thread},
                          {"name", "thread_name"},
                          {"args", {{"name", "thread " + std::to_string(thread)}}}});
  }
  for (const TraceSpan& span : report.trace) {
    text += ",\n" + line({{"ph", "X"},
                          {"pid", 1},
                          {"tid", span.thread},
                          {"name", span.name},
                          {"ts", span.begin * 1e6},
                          {"dur", span.seconds * 1e6},
                          {"args", {{"step", span.step}}}});
  }
  return text + "\n]}\n";
}

}  // namespace sluice
