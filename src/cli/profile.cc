// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/arrays.h"
#include "cli/commands.h"
#include "cli/live.h"
#include "cli/run.h"
#include "profile/figures.h"
#include "profile/gate_reports.h"
#include "profile/pictures.h"
#include "profile/try_advice.h"
#include "sluice/error.h"
#include "sluice/profile.h"
#include "sluice/random.h"
#include "sluice/safetensors.h"

namespace sluice::cli {
namespace {

constexpr std::size_t kRepeat = 20;
// A trace of so many spans is 3 MB of JSON.
constexpr std::size_t kSpans = 30000, kSpansOfPage = 2000;
constexpr std::size_t kMostArea = std::size_t{1} << 31;  // steps times rows of --shape

RunArguments run_arguments(const ProfileArguments& a) {
  RunArguments run;
  run.model = a.model;
  run.input = a.input;
  run.lengths = a.lengths;
  run.dtype = a.dtype;
  run.threads = a.threads;
  run.prefix = a.prefix;
  run.batch_first = a.batch_first;
  run.nonlinearity = a.nonlinearity;
  return run;
}

void check_usage(const ProfileArguments& a) {
  if (a.input.empty() == a.shape.empty()) throw UsageError("one of --input and --shape is required");
  if (!a.shape.empty() && !a.lengths.empty()) throw UsageError("--lengths goes with --input");
  if (!a.fail_slower.empty() && a.compare.empty()) throw UsageError("--fail-slower goes with --compare");
  if (!a.live) return;
  for (const std::string* path : {&a.json, &a.trace, &a.html, &a.plot, &a.compare}) {
    if (!path->empty()) throw UsageError("--live writes no file and compares none");
  }
  if (a.tries_advice || a.gradients) throw UsageError("--live does not go with --try or --gradients");
  if (isatty(STDOUT_FILENO) != 1) throw UsageError("--live needs a terminal");
}

// "5%" or "5" as 0.05.
double share_of(const std::string& text) {
  char* end = nullptr;
  const double percent = std::strtod(text.c_str(), &end);
  const std::string rest(end);
  if (end == text.c_str() || (!rest.empty() && rest != "%") || !std::isfinite(percent) || percent < 0) {
    throw UsageError("--fail-slower is " + text + ", expected a percentage such as 5%");
  }
  return percent / 100;
}

// "100,1" as steps and rows.
std::pair<std::size_t, std::size_t> steps_and_rows(const std::string& text) {
  const auto fail = [&]() { throw UsageError("--shape is " + text + ", expected T,B such as 100,1"); };
  const std::size_t comma = text.find(',');
  if (comma == std::string::npos) fail();
  const auto whole = [&](const std::string& digits) {
    if (digits.empty() || digits.size() > 9 || digits.find_first_not_of("0123456789") != std::string::npos)
      fail();
    const std::size_t n = std::stoul(digits);
    if (n == 0) fail();
    return n;
  };
  const std::pair<std::size_t, std::size_t> shape{whole(text.substr(0, comma)),
                                                  whole(text.substr(comma + 1))};
  if (shape.first * shape.second > kMostArea) fail();
  return shape;
}

ProfileReport load_report(const std::string& path) {
  const std::string text = read_text(path);
  try {
    ProfileReport report = profile_from_json(text);
    if (!(report.seconds_min > 0)) {
      throw Error("profile.seconds_per_run.min is null or 0, expected more than 0");
    }
    return report;
  } catch (const Error& error) {
    throw FileError(path + ": " + error.what());
  }
}

// [T, B, F]: normal, mean 0 and variance 1, as inputs often are made to be; or indices.
template <class T>
Tensor<T> random_input(const Model<T>& model, std::size_t steps, std::size_t rows) {
  const RandomStream random(0, 0);
  Tensor<T> x({steps, rows, model.input_size()});
  const Embedding<T>* embedding = first_embedding(model);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x.data()[i] = static_cast<T>(
        embedding == nullptr ? random.normal(i)
                             : static_cast<double>(random.below(embedding->options().num_embeddings, i)));
  }
  return x;
}

// What is measured: x as [T, B, F].
template <class T>
struct Work {
  Tensor<T> x;
  std::vector<std::int64_t> lengths;
  bool is_random = false;

  Sequence<T> sequence() const { return {x.view(), lengths}; }
};

template <class T>
Work<T> load_work(const ProfileArguments& a, const Model<T>& model) {
  if (!a.shape.empty()) {
    const auto [steps, rows] = steps_and_rows(a.shape);
    return {random_input(model, steps, rows), {}, true};
  }
  Inputs<T> inputs = load_inputs(run_arguments(a), model);
  Work<T> work{Tensor<T>(time_first(model, inputs.x)), std::move(inputs.lengths), false};
  if (work.x.dim(0) == 0 || work.x.dim(1) == 0) {
    throw FileError(a.input + ": x is " + inputs.x.shape().to_string() +
                    ", expected at least one step of a row");
  }
  return work;
}

template <class T>
void show_live(const ProfileArguments& a, const Model<T>& model, const Work<T>& work) {
  ProfileReport report;
  report.model = a.model;
  report.steps = work.x.dim(0);
  report.gates = gate_reports(model.modules(), work.sequence(), a.threads);
  Profiler profiler;
  run_live(report, profiler, a.repeat,
           [&] { model.modules().run(work.sequence(), {.threads = a.threads, .profiler = &profiler}); });
}

template <class T>
void profile_as(const ProfileArguments& a) {
  const double fail_slower = a.fail_slower.empty() ? HUGE_VAL : share_of(a.fail_slower);
  Outputs outputs;
  for (const std::string* path : {&a.json, &a.trace, &a.html, &a.plot}) outputs.expect(*path);
  std::optional<ProfileReport> before;
  if (!a.compare.empty()) before = load_report(a.compare);
  const auto start = std::chrono::steady_clock::now();
  const Model<T> model = load_model<T>(run_arguments(a));
  const std::chrono::duration<double> loading = std::chrono::steady_clock::now() - start;
  const Work<T> work = load_work(a, model);
  if (a.live) {
    show_live(a, model, work);
    return;
  }
  const std::size_t spans = !a.trace.empty() ? kSpans : !a.html.empty() || !a.json.empty() ? kSpansOfPage : 0;
  ProfileReport report = profile_model<T>(model.modules(), work.x.view(),
                                          {.repeat = a.repeat.value_or(kRepeat),
                                           .threads = a.threads,
                                           .lengths = work.lengths,
                                           .trace_spans = spans,
                                           .model = a.model,
                                           .is_random_data = work.is_random,
                                           .fresh_limits = a.fresh_limits});
  report.load_seconds = loading.count();
  if (a.gradients) {
    const StateDict<T> weights = SafetensorsFile::open(a.model).template state_dict<T>();
    report.gradient_norms =
        gradient_norms<T>(model.modules(), weights, work.sequence(), square_sum_gradient<T>, a.threads);
  }
  if (a.tries_advice) try_advice(report, model.modules(), work.sequence());

  if (!a.json.empty()) outputs.write_text(a.json, profile_json(report));
  if (!a.trace.empty()) outputs.write_text(a.trace, profile_trace_json(report));
  if (!a.html.empty()) outputs.write_text(a.html, profile_html(report));
  if (!a.plot.empty()) outputs.write_text(a.plot, roofline_svg(report));
  outputs.commit();
  if (!before) {
    const bool has_files = !(a.json.empty() && a.trace.empty() && a.html.empty() && a.plot.empty());
    if (!has_files) std::cout << profile_table(report, isatty(STDOUT_FILENO) == 1);
    return;
  }
  const ProfileComparison compared = compare_profiles(*before, report);
  std::cout << compared.table;
  if (compared.slower > fail_slower) {
    throw Error(a.model + " takes " + percent_text(compared.slower) + " longer than in " + a.compare +
                ", more than " + percent_text(fail_slower));
  }
}

}  // namespace

void profile(const ProfileArguments& arguments) {
  check_usage(arguments);
  if (arguments.dtype == "float64") {
    profile_as<double>(arguments);
  } else {
    profile_as<float>(arguments);
  }
}

}  // namespace sluice::cli
