// SPDX-License-Identifier: Apache-2.0
// What a profile looks like: table, JSON, trace, page, and two side by side.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "core/json.h"
#include "profile/pictures.h"
#include "sluice/error.h"
#include "sluice/profile.h"
#include "support/files.h"
#include "support/sample_profile.h"

namespace sluice {
namespace {

using testing::expect_contains;
using testing::message_of;
using testing::sample_profile;

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// Every element is closed in its order but for those of HTML that have no end, and every quote too.
void expect_well_formed(const std::string& markup) {
  std::vector<std::string> open;
  std::size_t at = markup.starts_with("<!DOCTYPE html>") ? 15 : 0;
  for (std::size_t begin = markup.find('<', at); begin != std::string::npos; begin = markup.find('<', at)) {
    const std::size_t end = markup.find('>', begin);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = markup.substr(begin + 1, end - begin - 1);
    ASSERT_EQ(std::count(tag.begin(), tag.end(), '"') % 2, 0) << tag;
    const std::string name = tag.substr(0, tag.find(' '));
    if (tag.starts_with("/")) {
      ASSERT_FALSE(open.empty()) << tag;
      ASSERT_EQ(open.back(), tag.substr(1));
      open.pop_back();
    } else if (!tag.ends_with("/") && name != "meta" && name != "link") {
      open.push_back(name);
    }
    at = end + 1;
  }
  EXPECT_TRUE(open.empty());
}

// The sample's JSON with one thing changed; `at` is a JSON pointer.
std::string json_with(const std::string& at, const Json& value) {
  Json json = Json::parse(profile_json(sample_profile()));
  json[Json::json_pointer(at)] = value;
  return json.dump();
}

std::string refusal(const std::string& json) {
  return message_of<Error>([&] { static_cast<void>(profile_from_json(json)); });
}

TEST(ProfileJson, ComesBackWithEveryFigure) {
  const std::string json = profile_json(sample_profile());
  const ProfileReport back = profile_from_json(json);
  EXPECT_EQ(profile_json(back), json);
  const ProfileReport report = sample_profile();
  EXPECT_EQ(back.model, "speech.safetensors");
  EXPECT_EQ(back.threads, 2);
  EXPECT_EQ(back.load_seconds, report.load_seconds);
  EXPECT_EQ(back.seconds_min, report.seconds_min);
  EXPECT_EQ(back.seconds_median, report.seconds_median);
  EXPECT_EQ(back.share_of_bound, report.share_of_bound);
  EXPECT_EQ(back.bound.by, "multiply-adds");
  EXPECT_EQ(back.bound.flops, report.bound.flops);
  EXPECT_EQ(back.bound.bytes, report.bound.bytes);
  ASSERT_EQ(back.machine.levels.size(), 4u);
  EXPECT_EQ(back.machine.levels[1].bytes, 1048576u);
  EXPECT_EQ(back.machine.levels[3].bytes_per_second, 38e9);
  EXPECT_EQ(back.machine.flops, 452e9);
  EXPECT_EQ(back.machine.tanh_per_second, 3.9e9);
  EXPECT_EQ(back.hardware.why_not, "perf_event_paranoid is 3");
  ASSERT_EQ(back.parts.size(), 4u);
  ASSERT_EQ(back.parts[1].parts.size(), 2u);
  EXPECT_EQ(back.parts[1].phases, report.parts[1].phases);
  EXPECT_EQ(back.parts[1].parts[1].name, "rnn l1");
  EXPECT_EQ(back.parts[1].threads, 2u);
  EXPECT_EQ(back.parts[1].ns_per_gate, 3.02);
  EXPECT_EQ(back.parts[1].elements_per_cycle, 0.09);
  ASSERT_EQ(back.gates.size(), 8u);
  const GateReport& gate = back.gates[2];
  const GateReport& want = report.gates[2];
  EXPECT_EQ(gate.gate, "cell");
  EXPECT_TRUE(gate.is_tanh);
  EXPECT_EQ(gate.shut, want.shut);
  EXPECT_EQ(gate.open, want.open);
  EXPECT_EQ(gate.mean_derivative, want.mean_derivative);
  EXPECT_EQ(gate.histogram, want.histogram);
  EXPECT_EQ(gate.unit_mean, want.unit_mean);
  EXPECT_EQ(gate.unit_deviation, want.unit_deviation);
  EXPECT_EQ(gate.unit_shut, want.unit_shut);
  EXPECT_EQ(gate.unit_open, want.unit_open);
  EXPECT_EQ(gate.stuck_units, (std::vector<std::size_t>{2, 19}));
  ASSERT_EQ(gate.heat.shape(), want.heat.shape());
  EXPECT_TRUE(std::equal(gate.heat.span().begin(), gate.heat.span().end(), want.heat.span().begin()));
  EXPECT_EQ(back.gates[1].memory_steps, report.gates[1].memory_steps);
  EXPECT_EQ(back.gradient_norms, report.gradient_norms);
  ASSERT_EQ(back.advice.size(), 3u);
  EXPECT_TRUE(back.advice[0].is_measured);
  EXPECT_EQ(back.advice[0].figure, report.advice[0].figure);
  ASSERT_EQ(back.trace.size(), report.trace.size());
  EXPECT_EQ(back.trace[7].begin, report.trace[7].begin);
}

// docs/profile.md promises these names.
TEST(ProfileJson, HasTheMembersOfItsSchema) {
  const Json json = Json::parse(profile_json(sample_profile()));
  EXPECT_EQ(json["schema"], 1);
  for (const Json& part : {json, json["modules"][1], json["modules"][1]["parts"][0]}) {
    EXPECT_GT(part.at("seconds_per_run").at("min"), 0);
    EXPECT_GT(part.at("seconds_per_run").at("median"), 0);
    EXPECT_GT(part.at("bound_seconds"), 0);
    EXPECT_EQ(part.at("bound_by"), "multiply-adds");
    EXPECT_GT(part.at("share_of_bound"), 0);
    EXPECT_GT(part.at("flops"), 0);
    EXPECT_GT(part.at("bytes"), 0);
  }
  for (const char* phase : {"input", "recurrent", "gates", "waiting", "other"}) {
    EXPECT_GT(json["modules"][1]["phases"].at(phase), 0) << phase;
  }
}

TEST(ProfileJson, WhatIsNotFiniteIsNull) {
  ProfileReport report = sample_profile();
  report.gates[0].mean = std::numeric_limits<double>::quiet_NaN();
  report.gates[0].heat(1, 2) = std::numeric_limits<float>::infinity();
  const Json json = Json::parse(profile_json(report));
  EXPECT_TRUE(json["gates"][0]["mean"].is_null());
  EXPECT_TRUE(json["gates"][0]["heat"][1][2].is_null());
  EXPECT_TRUE(std::isnan(profile_from_json(json.dump()).gates[0].mean));
}

TEST(ProfileJson, MembersOfALaterVersionAreLeftAlone) {
  EXPECT_EQ(profile_from_json(json_with("/later", {{"a", 1}})).model, "speech.safetensors");
}

TEST(ProfileJson, RefusesWhatIsNone) {
  expect_contains(refusal(""), "not valid JSON");
  expect_contains(refusal("{\"schema\": 1"), "not valid JSON");
  expect_contains(refusal("{\"schema\": 1, \"schema\": 1}"), "duplicate key");
  expect_contains(refusal("[]"), "profile is [], expected an object");
  expect_contains(refusal("{}"), "profile.schema is missing");
  expect_contains(refusal("{\"schema\": 2}"), "profile.schema is 2, expected 1");
  expect_contains(refusal("{\"schema\": 1}"), "profile.model is missing");
  expect_contains(refusal(json_with("/model", 3)), "profile.model is 3, expected a string");
  expect_contains(refusal(json_with("/steps", -1)), "profile.steps is -1, expected a whole number");
  expect_contains(refusal(json_with("/threads", 3000000000u)), "profile.threads is 3000000000");
  expect_contains(refusal(json_with("/seconds_per_run/min", -1)), "profile.seconds_per_run.min is -1");
  expect_contains(refusal(json_with("/seconds_per_run", 1)),
                  "profile.seconds_per_run is 1, expected an object");
  expect_contains(refusal(json_with("/modules", Json::object())), "profile.modules is {}, expected a list");
  expect_contains(refusal(json_with("/modules/1/parts/0/phases/gates", "x")),
                  "profile.modules[1].parts[0].phases.gates is \"x\", expected a number");
  expect_contains(refusal(json_with("/gates/0/heat/3", {0.5})), "profile.gates[0].heat");
  expect_contains(refusal(json_with("/gates/0/heat/3/0", 1e300)),
                  "expected a number in the range of float32");
  expect_contains(refusal(json_with("/gates/0/histogram/2", 0.5)), "profile.gates[0].histogram[2] is 0.5");
  expect_contains(refusal(json_with("/advice/0", nullptr)), "profile.advice[0] is null, expected an object");
  expect_contains(refusal(json_with("/trace/0/begin", true)), "profile.trace[0].begin is true");
  // Parts within parts, deeper than any file of ours.
  Json deep = Json::parse(profile_json(sample_profile()));
  for (int i = 0; i < 20; ++i) {
    Json inner = deep["modules"][0];
    deep["modules"][0]["parts"] = Json::array({inner});
  }
  expect_contains(refusal(deep.dump()), "nested deeper");
}

TEST(ProfileTrace, HasASpanAPhaseAndARowAThread) {
  const ProfileReport report = sample_profile();
  const Json json = Json::parse(profile_trace_json(report));
  std::vector<std::string> threads;
  std::vector<Json> spans;
  for (const Json& event : json.at("traceEvents")) {
    if (event.at("ph") == "X") spans.push_back(event);
    if (event.at("name") == "thread_name") threads.push_back(event.at("args").at("name"));
  }
  EXPECT_EQ(threads, (std::vector<std::string>{"thread 0", "thread 1"}));
  ASSERT_EQ(spans.size(), report.trace.size());
  EXPECT_EQ(spans[1].at("name"), "rnn l0 recurrent");
  EXPECT_EQ(spans[1].at("tid"), 0);
  EXPECT_EQ(spans[1].at("pid"), 1);
  EXPECT_DOUBLE_EQ(spans[1].at("ts"), 0.9);  // microseconds
  EXPECT_DOUBLE_EQ(spans[1].at("dur"), 4.7);
  EXPECT_EQ(spans[47].at("args").at("step"), 11);
  EXPECT_EQ(Json::parse(profile_trace_json({})).at("traceEvents").size(), 1u);
}

TEST(ProfileTable, NamesEveryPartWithItsFigures) {
  const std::string table = profile_table(sample_profile(), false);
  expect_contains(table,
                  "speech.safetensors: float32, 96 steps of 4 rows of 40 features, 2 threads, 30 runs\n");
  expect_contains(table, "1.42 ms a run (median 1.48 ms), 14.8 us a step; loaded in 12.3 ms\n");
  expect_contains(table, "64.4 % of the bound, 913 us by multiply-adds\n");
  expect_contains(table, "avx512, 2 threads: 452 GFLOP/s, L1 790 GB/s, L2 360 GB/s");
  expect_contains(table, "no hardware counters: perf_event_paranoid is 3\n");
  expect_contains(
      table, "  rnn          LSTM  1.34 ms  1.40 ms  94.8 %   210 us     905 us   118 us   146 us  21.0 us");
  expect_contains(table, "\n    rnn l0     LSTM");
  expect_contains(table, "\n  rnn l1 forget   4.2 %  46.4 %   0.913");
  expect_contains(table, "rnn: use one thread: two threads take 1.31 times as long as one (measured)\n");
  EXPECT_EQ(table.find("at random"), std::string::npos);
  EXPECT_EQ(table.find('\x1b'), std::string::npos);
  ProfileReport report = sample_profile();
  report.is_random_data = true;
  expect_contains(profile_table(report, true), "\x1b[1mWhat the gates do, on data drawn at random\x1b[0m");
  report.hardware = {true, "", 5e6, 1.2e7, 300};
  expect_contains(profile_table(report, false),
                  "5.00 M cycles, 12.0 M instructions (2.40 a cycle), 300  cache");
}

TEST(ProfileTable, SaysHowManyThreadsWereTaken) {
  ProfileReport report = sample_profile();
  expect_contains(profile_table(report, false), "\n  sigmoid by itself, 2 threads    4.20 G   0.238 ns");
  for (PartReport& part : report.parts) part.threads = std::min<std::size_t>(part.threads, 1);
  const std::string table = profile_table(report, false);
  expect_contains(table, " features, 1 of 2 threads in recurrent layers, 30 runs\n");
  // As many threads beside them.
  expect_contains(table, "\n  sigmoid by itself, 1 thread    2.10 G   0.476 ns");
  expect_contains(table, "\n  tanh by itself, 1 thread       1.95 G   0.513 ns");
}

// Limits are measured in float32, and half as fast in float64.
TEST(ProfileTable, AndPageHaveTheLimitsOfTheReportsType) {
  ProfileReport report = sample_profile();
  expect_contains(roofline_picture(report, 540), ">452 GFLOP/s<");
  report.dtype = "float64";
  const std::string table = profile_table(report, false);
  expect_contains(table, "avx512, 2 threads: 226 GFLOP/s, L1 790 GB/s");
  expect_contains(table, "\n  sigmoid by itself, 2 threads    2.10 G   0.476 ns");
  expect_contains(roofline_picture(report, 540), ">226 GFLOP/s<");
  const std::string page = profile_html(report);
  expect_contains(page, "<td>226 GFLOP/s</td>");
  expect_contains(page, "<td>2.10 G/s</td>");
  expect_contains(page, "<td>1.95 G/s</td>");
}

TEST(ProfileTable, AndPageSayThatTheMachineWasUnsteady) {
  const std::string warning = "unsteady: the median run took ";
  ProfileReport report = sample_profile();
  EXPECT_EQ(profile_table(report, false).find(warning), std::string::npos);
  EXPECT_EQ(profile_html(report).find(warning), std::string::npos);
  report.seconds_median = 1.6 * report.seconds_min;
  const std::string whole = warning + "1.6 times the least; other programs may be running";
  expect_contains(profile_table(report, false), "\n  " + whole + "\n");
  expect_contains(profile_html(report), "<p class=\"unsteady\">" + whole + "</p>");
}

TEST(ProfileTable, NamesFromFilesMoveNoCursor) {
  ProfileReport report = sample_profile();
  report.parts[0].name = "a\x1b[2Jb";
  expect_contains(profile_table(report, false), "a [2Jb");
}

TEST(ProfileHtml, IsWholeByItself) {
  const std::string html = profile_html(sample_profile());
  expect_well_formed(html);
  std::string rest = html;
  const std::string space_name = "xmlns=\"http://www.w3.org/2000/svg\"";
  for (std::size_t at = rest.find(space_name); at != std::string::npos; at = rest.find(space_name)) {
    rest.erase(at, space_name.size());
  }
  for (const char* elsewhere : {"http:", "https:", "//", "<script", "@import", "url(", "src="}) {
    EXPECT_EQ(rest.find(elsewhere), std::string::npos) << elsewhere;
  }
  EXPECT_LT(html.size(), 1000000u);
  for (const char* nowhere : {">nan", ">inf", "\"nan", "\"inf", " nan", " inf "}) {
    EXPECT_EQ(html.find(nowhere), std::string::npos) << nowhere;
  }
}

TEST(ProfileHtml, ShowsEachViewOnce) {
  const ProfileReport report = sample_profile();
  const std::string html = profile_html(report);
  expect_contains(html, "<meta name=\"viewport\"");
  expect_contains(html, "prefers-color-scheme: dark");
  EXPECT_EQ(count_of(html, "<title>Roofline"), 2u);  // wide and narrow
  EXPECT_EQ(count_of(html, "<title>Time of each part"), 2u);
  EXPECT_EQ(count_of(html, "<title>Steps as they went"), 2u);
  EXPECT_EQ(count_of(html, "<title>How far back"), 2u);
  EXPECT_EQ(count_of(html, "<title>Histogram of"), 8u);
  EXPECT_EQ(count_of(html, "<title>Heat map of"), 8u);
  EXPECT_EQ(count_of(html, "<svg"), count_of(html, "<desc>"));
  EXPECT_EQ(count_of(html, "<table>"), count_of(html, "<caption>"));
  // Advice comes before all pictures.
  EXPECT_LT(html.find("two threads take 1.31 times as long"), html.find("<svg"));
}

TEST(ProfileHtml, EscapesNames) {
  ProfileReport report = sample_profile();
  report.model = "<script>alert(\"1\")</script>";
  report.parts[1].name = report.gates[0].module = "a&<b>";
  const std::string html = profile_html(report);
  expect_well_formed(html);
  EXPECT_EQ(html.find("<script"), std::string::npos);
  expect_contains(html, "a&amp;&lt;b&gt;");
}

// The largest that a report can be: noise in every cell, no two of one colour side by side.
TEST(ProfileHtml, StaysBelowAMegabyte) {
  ProfileReport report = sample_profile();
  report.gates.clear();
  for (std::size_t i = 0; i < 64; ++i) {
    GateReport& gate = report.gates.emplace_back(testing::sample_gate(i / 4, "forget", false, 0));
    gate.heat = Tensor<float>({128, 128});
    for (std::size_t u = 0; u < 128; ++u) {
      for (std::size_t t = 0; t < 128; ++t) gate.heat(u, t) = t / 4 % 2 == 0 ? 0.05f : 0.95f;
    }
  }
  while (report.trace.size() < 5000) report.trace.push_back(report.trace[report.trace.size() % 96]);
  EXPECT_LT(profile_html(report).size(), 1000000u);
}

TEST(ProfileHtml, ShowsWhatThereIs) {
  ProfileReport report;
  report.model = "m";
  report.seconds_min = report.seconds_median = 1e-3;
  const std::string html = profile_html(report);
  expect_well_formed(html);
  EXPECT_EQ(html.find("<svg"), std::string::npos);
  EXPECT_EQ(html.find("gates do"), std::string::npos);
  EXPECT_EQ(roofline_svg(report), "");
}

TEST(ProfilePictures, TheRooflineHasEveryName) {
  ProfileReport report = sample_profile();
  const std::string beside = roofline_picture(report, 350);
  expect_contains(beside, ">rnn l0 64.8 %<");
  EXPECT_EQ(beside.find(">1: "), std::string::npos);
  // What has no room beside the plot stands below it.
  report.parts[1].parts[0].name = "encoder.rnn l0 reverse";
  const std::string below = roofline_picture(report, 350);
  expect_contains(below, ">3: 64.8 %<");
  expect_contains(below, ">3: encoder.rnn l0 reverse<");
  expect_contains(below, ">5: head<");
  expect_contains(below, "viewBox=\"0 0 350.0 405.0\"");  // five lines more
  report.parts[1].parts[0].name = std::string(100, 'a') + ".rnn l0 reverse";
  expect_contains(roofline_picture(report, 350), "a.rnn l0 reverse<");
}

// 300 spans of thread 1, a microsecond each, before the first of thread 0.
TEST(ProfilePictures, TheTimelineHasEveryThread) {
  ProfileReport report;
  for (const std::size_t thread : {1u, 0u}) {
    for (std::size_t i = 0; i < 300; ++i) {
      const double begin = 1e-6 * static_cast<double>(i + (thread == 0 ? 300 : 0));
      report.trace.push_back({"rnn l0 gates", thread, begin, 1e-6, i});
    }
  }
  // Thread 1 waits as long, which is told at the end of it.
  report.trace.push_back({"rnn l0 waiting", 1, 300e-6, 300e-6, 299});
  const std::string narrow = timeline_picture(report, 350);
  expect_contains(narrow, ">thread 0<");
  expect_contains(narrow, ">thread 1<");
  expect_contains(narrow, "rnn l0 gates, step 299: 1.00 us");  // of thread 1
  expect_contains(narrow, "rnn l0 gates, step 36: 1.00 us");   // of thread 0: half of its share
  EXPECT_EQ(count_of(narrow, "class=\"gates\""), 149u);
  expect_contains(narrow, "<rect class=\"waiting\" x=\"268.5\" y=\"34.0\" width=\"69.2\"");  // to the end
  expect_contains(narrow, "rnn l0 waiting, step 299: 300 us");
}

TEST(ProfilePictures, HeatIsTheMeanOfItsCells) {
  GateReport gate;
  gate.heat = Tensor<float>({2, 4}, {0.01f, 0.01f, 0.99f, 0.99f, 0.01f, 0.01f, 0.99f, 0.99f});
  const std::string whole = heat_picture(gate, 8);
  expect_contains(whole, "viewBox=\"0 0 4 2\"");
  expect_contains(whole, "fill=\"#00224e\" d=\"M0 0h2v1h-2zM0 1h2v1h-2z\"");
  expect_contains(whole, "fill=\"#fee838\" d=\"M2 0h2v1h-2zM2 1h2v1h-2z\"");
  const std::string fewer = heat_picture(gate, 2);
  expect_contains(fewer, "viewBox=\"0 0 2 1\"");
  expect_contains(fewer, "fill=\"#00224e\" d=\"M0 0h1v1h-1z\"");
}

TEST(ProfileCompare, SaysByHowMuchTheSecondIsSlower) {
  const ProfileReport before = sample_profile();
  ProfileReport after = before;
  after.seconds_min *= 1.25;
  after.threads = 1;
  after.parts[0].seconds_min *= 0.5;
  after.parts[3].name = "new";
  const ProfileComparison compared = compare_profiles(before, after);
  EXPECT_NEAR(compared.slower, 0.25, 1e-12);
  expect_contains(compared.table, "threads: 2 before, 1 after\n");
  expect_contains(compared.table, "a run     1.42 ms  1.77 ms  +25.0 %    64.4 %");
  expect_contains(compared.table, "front     58.6 us  29.3 us  -50.0 %");
  expect_contains(compared.table, "new             -  2.98 us        -");
  expect_contains(compared.table, "Softmax   2.98 us        -        -");
  EXPECT_EQ(compare_profiles(before, before).slower, 0);
  expect_contains(message_of<Error>([&] { static_cast<void>(compare_profiles({}, after)); }),
                  "the runs took 0 s");
}

TEST(ProfileCompare, SaysWhatElseChanged) {
  const ProfileReport before = sample_profile();
  const auto differences = [&](const ProfileReport& after) {
    const std::string table = compare_profiles(before, after).table;
    return table.substr(0, table.find("  before  "));
  };
  const std::string same = differences(before);
  EXPECT_EQ(same.find(':'), std::string::npos) << same;
  ProfileReport after = before;
  after.machine.flops *= 1.09;
  EXPECT_EQ(differences(after), same);
  after.machine.flops = before.machine.flops / 2;
  after.is_random_data = true;
  after.valid_share = 0.25;
  after.seconds_median = 2 * after.seconds_min;
  expect_contains(differences(after), "steps within lengths: 100.0 % before, 25.0 % after\n");
  expect_contains(differences(after), "data: given before, drawn at random after\n");
  expect_contains(differences(after), "machine's peak: 452 GFLOP/s before, 226 GFLOP/s after\n");
  expect_contains(differences(after), "  after, unsteady: the median run took 2.0 times the least");
  EXPECT_EQ(differences(after).find("before, unsteady"), std::string::npos);
}

}  // namespace
}  // namespace sluice
