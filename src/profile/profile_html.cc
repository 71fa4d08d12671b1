// SPDX-License-Identifier: Apache-2.0
// A profile as one page: no scripts, and nothing that is loaded from elsewhere.
#include <algorithm>
#include <string>
#include <vector>

#include "profile/figures.h"
#include "profile/pictures.h"
#include "profile/svg.h"
#include "sluice/profile.h"

namespace sluice {
namespace {

// Pictures are drawn twice, for wide screens and for phones, so that their letters have a readable size on
// both.
constexpr double kWide = 540, kWhole = 1080, kNarrow = 350;
// Of all heat maps together: with the most changeable gates they stay below 600 kB.
constexpr std::size_t kMostCells = 40000;
constexpr std::size_t kMostGates = 64;  // with pictures
constexpr std::size_t kMostUnits = 12;  // named in a row

constexpr const char* kPageStyle = R"(
:root { color-scheme: light dark }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 24px 20px 48px; max-width: 1120px; background: #ffffff; color: #1f2328;
  font: 15px/1.5 -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif }
h1 { font-size: 22px; margin: 0; overflow-wrap: anywhere } h2 { font-size: 17px; margin: 40px 0 12px }
h3 { font-size: 14px; margin: 24px 0 8px }
p { margin: 4px 0 } .quiet, figcaption, caption { color: #59636e; font-size: 13px }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 20px 0 0 }
.tile { border: 1px solid #d0d7de; border-radius: 8px; padding: 10px 14px }
.tile b { display: block; font-size: 20px; font-weight: 600 }
.tile span { color: #59636e; font-size: 13px }
.tiles ~ p { margin-top: 12px } .unsteady { color: #9a3f00 }
.advice { list-style: none; margin: 0; padding: 0; display: grid; gap: 10px }
.advice li { border-left: 3px solid #0072b2; background: #f6f8fa; border-radius: 0 6px 6px 0; padding: 8px 14px }
.mark { font-size: 12px; border: 1px solid currentColor; border-radius: 9px; padding: 0 7px; margin-left: 6px;
  color: #00724f; white-space: nowrap }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 32px; align-items: start }
figure { margin: 0; min-width: 0 } figure svg { display: block; width: 100%; height: auto }
.narrow { display: none }
.gates { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 18px 24px }
.gates svg { margin-top: 4px } .heat svg { height: 120px }
.scale { display: flex; flex-wrap: wrap; gap: 4px 24px; margin: 0 0 10px } .scale svg { width: 160px; height: 16px }
.scroll { overflow-x: auto; margin-top: 16px } .few { max-width: 560px }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums }
caption { text-align: left; padding-bottom: 6px }
th, td { padding: 5px 10px; text-align: right; white-space: nowrap; border-bottom: 1px solid #d0d7de }
th { font-weight: 600 } tbody th { font-weight: 400 } th:first-child { text-align: left; padding-left: 0 }
footer { margin-top: 48px }
@media (max-width: 1000px) { .pair { grid-template-columns: 1fr; max-width: 640px } }
@media (max-width: 700px) {
  body { padding: 16px 14px 40px } .wide { display: none } .narrow { display: block }
  .tiles { grid-template-columns: 1fr 1fr } .gates { grid-template-columns: 1fr 1fr; gap: 16px }
  .gates.heat { grid-template-columns: 1fr }
}
@media (prefers-color-scheme: dark) {
  body { background: #0d1117; color: #e6edf3 }
  .quiet, figcaption, caption, .tile span { color: #9198a1 }
  .tile, th, td { border-color: #30363d } .advice li { background: #161b22; border-color: #56b4e9 }
  .mark { color: #2fbf94 } .unsteady { color: #f0955a }
}
)";

std::string tile(const std::string& figure, const std::string& what) {
  return "<div class=\"tile\"><b>" + xml_text(figure) + "</b><span>" + xml_text(what) + "</span></div>\n";
}

using Row = std::vector<std::string>;

// The first cell of a row names it.
std::string table(const std::string& caption, const Row& head, const std::vector<Row>& rows) {
  std::string html = std::string("<div class=\"scroll") + (head.size() < 4 ? " few" : "") +
                     "\" tabindex=\"0\" role=\"region\" aria-label=\"" + xml_text(caption) +
                     "\"><table>\n<caption>" + xml_text(caption) + "</caption>\n<thead><tr>";
  for (const std::string& cell : head) html += "<th scope=\"col\">" + xml_text(cell) + "</th>";
  html += "</tr></thead>\n<tbody>\n";
  for (const Row& row : rows) {
    html += "<tr><th scope=\"row\">" + xml_text(row[0]) + "</th>";
    for (std::size_t i = 1; i < row.size(); ++i) html += "<td>" + xml_text(row[i]) + "</td>";
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

// A picture for wide screens and one for phones.
template <class Draw>
std::string figure(const ProfileReport& report, const Draw& draw, double wide, const std::string& caption) {
  const std::string picture = draw(report, wide);
  if (picture.empty()) return "";
  return "<figure><div class=\"wide\">" + picture + "</div><div class=\"narrow\">" + draw(report, kNarrow) +
         "</div><figcaption>" + xml_text(caption) + "</figcaption></figure>\n";
}

std::string head_of(const ProfileReport& report) {
  std::string conditions = conditions_text(report);
  if (!report.machine.target.empty()) conditions += ", " + report.machine.target;
  if (report.load_seconds > 0) conditions += "; loaded in " + seconds_text(report.load_seconds);
  std::string html = "<header>\n<h1>" + xml_text(report.model) + "</h1>\n<p class=\"quiet\">" +
                     xml_text(conditions) + "</p>\n<div class=\"tiles\">\n";
  html += tile(seconds_text(report.seconds_min), "a run, median " + seconds_text(report.seconds_median));
  if (report.steps > 1) {
    html += tile(seconds_text(report.seconds_min / static_cast<double>(report.steps)), "a time step");
  }
  if (report.bound.seconds > 0) {
    html += tile(percent_text(report.share_of_bound), "of the bound, " + seconds_text(report.bound.seconds));
    html += tile(report.bound.by, "is what bounds it");
    html += tile(rate_text(report.bound.flops / report.seconds_min, "FLOP/s"), "multiply-adds as they ran");
  }
  if (report.hardware.is_there && report.hardware.cycles > 0) {
    html += tile(text_of("%.2f", report.hardware.instructions / report.hardware.cycles),
                 "instructions a cycle, " + rate_text(report.hardware.cache_misses, " cache misses a run"));
  }
  html += "</div>\n";
  if (const std::string unsteady = unsteady_text(report); !unsteady.empty()) {
    html += "<p class=\"unsteady\">" + xml_text(unsteady) + "</p>\n";
  }
  if (!report.hardware.why_not.empty()) {
    html += "<p class=\"quiet\">No hardware counters: " + xml_text(report.hardware.why_not) + "</p>\n";
  }
  return html + "</header>\n";
}

std::string advice_of(const ProfileReport& report) {
  if (report.advice.empty()) return "";
  std::string html = "<section><h2>What would help</h2>\n<ul class=\"advice\">\n";
  for (const Advice& advice : report.advice) {
    html += "<li><b>" + xml_text(advice.where) + ": " + xml_text(advice.what) + "</b>" +
            (advice.is_measured ? "<span class=\"mark\">measured</span>" : "") + "<p>" +
            xml_text(advice.figure) + "</p></li>\n";
  }
  return html + "</ul></section>\n";
}

std::string times_of(const ProfileReport& report) {
  std::string html = "<section><h2>Where the time goes, and how near the limit</h2>\n<div class=\"pair\">\n";
  html += figure(report, phases_picture, kWide, "Each part's time by phase, and its share of a run.");
  html +=
      figure(report, roofline_picture, kWide,
             "The higher a part, the faster; lines are what this machine can do. Beside each its share of "
             "its own bound.");
  html += "</div>\n";
  std::vector<Row> rows;
  for_each_part(report.parts, [&](const PartReport& part, std::size_t) {
    const auto figure_or_dash = [](double value, const std::string& text) { return value > 0 ? text : "-"; };
    Row row{part.name, part.type, part.threads > 0 ? std::to_string(part.threads) : "-",
            seconds_text(part.seconds_min), seconds_text(part.seconds_median)};
    for (const double seconds : part.phases) row.push_back(figure_or_dash(seconds, seconds_text(seconds)));
    const double bound = part.bound.seconds;
    row.push_back(figure_or_dash(bound, seconds_text(bound)));
    row.push_back(bound > 0 ? part.bound.by : "-");
    row.push_back(figure_or_dash(bound, percent_text(part.share_of_bound)));
    row.push_back(figure_or_dash(part.gates_per_second, rate_text(part.gates_per_second, "/s")));
    row.push_back(figure_or_dash(part.gates_per_second, text_of("%.2f", part.elements_per_cycle)));
    rows.push_back(std::move(row));
  });
  html += table("A run by parts: threads, least and median time, phases, bound",
                {"part", "type", "threads", "least", "median", "input", "recurrent", "gates", "waiting",
                 "other", "bound", "by", "share", "activations", "a cycle"},
                rows);
  rows.clear();
  const MachineLimits& machine = report.machine;
  const double share = share_of_limits(report);
  for (const MachineLimits::Level& level : machine.levels) {
    rows.push_back({level.name, level.bytes == 0 ? "-" : bytes_text(static_cast<double>(level.bytes)),
                    rate_text(level.bytes_per_second, "B/s")});
  }
  if (machine.flops > 0) rows.push_back({"multiply-adds", "-", rate_text(share * machine.flops, "FLOP/s")});
  if (machine.sigmoid_per_second > 0) {
    rows.push_back({"sigmoid by itself", "-", rate_text(share * machine.sigmoid_per_second, "/s")});
    rows.push_back({"tanh by itself", "-", rate_text(share * machine.tanh_per_second, "/s")});
  }
  if (!rows.empty()) {
    html += table("What this machine can do, measured on " + std::to_string(machine.threads) +
                      (machine.threads == 1 ? " thread" : " threads"),
                  {"", "holds", "rate"}, rows);
  }
  return html + "</section>\n";
}

std::string timeline_of(const ProfileReport& report) {
  const std::string html =
      figure(report, timeline_picture, kWhole,
             "The colours are those of the phases above. sluice profile --trace has it all.");
  return html.empty() ? html : "<section><h2>Steps as they went</h2>\n" + html + "</section>\n";
}

std::string units_text(const std::vector<std::size_t>& units) {
  if (units.empty()) return "-";
  std::string text;
  for (std::size_t i = 0; i < std::min(units.size(), kMostUnits); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(units[i]);
  }
  if (units.size() > kMostUnits) text += " and " + std::to_string(units.size() - kMostUnits) + " more";
  return text;
}

std::string gates_of(const ProfileReport& report) {
  if (report.gates.empty()) return "";
  std::string html = "<section><h2>What the gates do</h2>\n";
  if (report.is_random_data) {
    html += "<p class=\"quiet\">The data were drawn at random: on yours gates may do otherwise.</p>\n";
  }
  const std::size_t drawn = std::min(report.gates.size(), kMostGates);
  html += "<h3>Values</h3>\n<div class=\"gates\">\n";
  std::vector<Row> rows;
  for (std::size_t i = 0; i < report.gates.size(); ++i) {
    const GateReport& gate = report.gates[i];
    const auto share = [&](std::uint64_t n) {
      return percent_text(static_cast<double>(n) /
                          static_cast<double>(std::max<std::uint64_t>(gate.activations, 1)));
    };
    rows.push_back({gate_name(gate), share(gate.shut), share(gate.open), text_of("%.3f", gate.mean),
                    text_of("%.3f", gate.mean_derivative), memory_text(gate), units_text(gate.dead_units),
                    units_text(gate.stuck_units)});
    if (i >= drawn) continue;
    html += "<figure><figcaption>" + xml_text(gate_name(gate)) + "</figcaption>" + histogram_picture(gate) +
            "<figcaption>" + share(gate.shut) + (gate.is_tanh ? " near -1, " : " shut, ") + share(gate.open) +
            (gate.is_tanh ? " near 1" : " open") + "</figcaption></figure>\n";
  }
  html +=
      "</div>\n<h3>By unit and time</h3>\n<p class=\"quiet\">Units from top to bottom, time from left to "
      "right; the mean over rows.</p>\n<div class=\"scale\">";
  for (const bool is_tanh : {false, true}) {
    const bool has_any = std::any_of(report.gates.begin(), report.gates.end(),
                                     [&](const GateReport& gate) { return gate.is_tanh == is_tanh; });
    if (has_any) html += heat_scale(is_tanh);
  }
  html += "</div>\n<div class=\"gates heat\">\n";
  for (std::size_t i = 0; i < drawn; ++i) {
    html += "<figure><figcaption>" + xml_text(gate_name(report.gates[i])) + "</figcaption>" +
            heat_picture(report.gates[i], kMostCells / drawn) + "</figure>\n";
  }
  html += "</div>\n" + table(
                           "Gates: shares below 0.01 (-0.99) and above 0.99, mean value and slope, memory of "
                           "gates that keep a state, units that are dead or stuck",
                           {"gate", "shut", "open", "mean", "slope", "memory", "dead units", "stuck units"},
                           rows);
  return html + "</section>\n";
}

std::string gradients_of(const ProfileReport& report) {
  const std::string html = figure(report, gradients_picture, kWhole,
                                  "Where the curve falls towards early steps, these learn little.");
  return html.empty() ? html : "<section><h2>How far back gradients reach</h2>\n" + html + "</section>\n";
}

}  // namespace

std::string profile_html(const ProfileReport& report) {
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<link rel=\"icon\" href=\"data:,\">\n<title>" +
         xml_text(report.model) + " - sluice profile</title>\n<style>" + kPageStyle + kPictureStyle +
         "</style>\n</head>\n<body>\n" + head_of(report) + "<main>\n" + advice_of(report) + times_of(report) +
         timeline_of(report) + gates_of(report) + gradients_of(report) +
         "</main>\n<footer class=\"quiet\">Made by sluice profile --html. Times are of the fastest and the "
         "median run; phases are those of the median run, the mean of its "
         "threads.</footer>\n</body>\n</html>\n";
}

}  // namespace sluice
