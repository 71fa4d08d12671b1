// SPDX-License-Identifier: Apache-2.0
// A cell's values as a layered drawing (layered_graph.h): each below its arguments.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iomanip>
#include <map>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "cells/cell_check.h"
#include "cells/cell_graph.h"
#include "io/layered_graph.h"
#include "sluice/cell_text.h"

namespace sluice {
namespace {

constexpr double kBoxHeight = 40, kLayerHeight = 78, kMargin = 24;
constexpr double kHead = 66;    // above a graph
constexpr double kLegend = 44;  // below all

constexpr const char* kStyle = R"(  <style>
    .paper { fill: #ffffff; stroke: #d0d7de }
    text { font: 13px -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; fill: #1f2328 }
    .box text { text-anchor: middle }
    .title { font-size: 15px; font-weight: 600 }
    .small { font-size: 11px; fill: #59636e }
    rect { stroke-width: 1.2 }
    .leaf { fill: #eaf2fb; stroke: #4a7fb5 } .parameter { fill: #fdf8e1; stroke: #a6841a }
    .product { fill: #fdefe4; stroke: #b4551d } .part { fill: #ffffff; stroke: #8c959f }
    .elementwise { fill: #f0f2f4; stroke: #6e7781 } .norm { fill: #f3ecfb; stroke: #7a55b5 }
    .result { fill: #e8f5ec; stroke: #3f8f5f }
    .way { fill: none; stroke: #6e7781; stroke-width: 1.2 } .head { fill: #6e7781 }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117; stroke: #30363d }
      text { fill: #e6edf3 }
      .small { fill: #9198a1 }
      .leaf { fill: #14263b; stroke: #5b94cf } .parameter { fill: #2b2611; stroke: #c9a63c }
      .product { fill: #33200f; stroke: #e08a4f } .part { fill: #0d1117; stroke: #6e7681 }
      .elementwise { fill: #1c2128; stroke: #8b949e } .norm { fill: #241a36; stroke: #a98be0 }
      .result { fill: #12291c; stroke: #4fa873 }
      .way { stroke: #8b949e } .head { fill: #8b949e }
    }
  </style>
  <defs>
    <marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
      <path class="head" d="M0 0 L8 4 L0 8 z"/>
    </marker>
  </defs>
)";

struct Kind {
  const char* style;
  const char* legend;
};
constexpr Kind kLeaf{"leaf", "input, old states"}, kParameter{"parameter", "parameter"},
    kProduct{"product", "matrix product"}, kPart{"part", "slice"}, kElementwise{"elementwise", "elementwise"},
    kNorm{"norm", "normalisation"}, kResult{"result", "output, next states"};

constexpr bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

/// No more than fits into a box: at most so many characters.
std::string shortened(const std::string& text, std::size_t most) {
  std::size_t characters = 0, cut = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!begins_character(text[i])) continue;
    if (++characters == most) cut = i;
  }
  return characters > most ? text.substr(0, cut) + "\u2026" : text;
}

/// As it stands in XML, in ASCII: other characters by their numbers; bytes that are none, and characters
/// beyond U+D7FF, as question marks.
std::string escaped(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0x80) {
      const std::size_t more = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : 1;
      unsigned code = byte & (0x3Fu >> more);
      std::size_t seen = 0;
      while (seen < more && i + 1 < text.size() && !begins_character(text[i + 1])) {
        code = code << 6 | (static_cast<unsigned char>(text[++i]) & 0x3Fu);
        ++seen;
      }
      result += seen == more && code >= 0xA0 && code < 0xD800 ? "&#" + std::to_string(code) + ';' : "?";
    } else if (byte == '&' || byte == '<' || byte == '>' || byte == '"') {
      result += "&#" + std::to_string(byte) + ';';
    } else {
      result += byte < ' ' ? ' ' : text[i];
    }
  }
  return result;
}

/// An upper bound of what a sans-serif font takes (those of DejaVu, which is a wide one), in pixels.
double width_of(const std::string& text, double size, bool is_bold = false) {
  double em = 0;
  for (const char c : text) {
    if (!begins_character(c)) continue;
    if (static_cast<unsigned char>(c) >= 0x80 ||
        std::string_view("mwMW@%").find(c) != std::string_view::npos) {
      em += 1;
    } else if (std::string_view("ijl.,:;|'![]()tf ").find(c) != std::string_view::npos) {
      em += 0.42;
    } else {
      em += c >= 'A' && c <= 'Z' ? 0.76 : 0.65;
    }
  }
  return em * size * (is_bold ? 1.1 : 1);
}

std::string number(double value) {
  std::ostringstream text;
  text << std::setprecision(6) << value;
  return text.str();
}

/// The operation in a few signs. Numbers among its arguments stand in it, a dot for each other one.
std::string operation_text(const CellGraph& graph, const CellNode& node) {
  static const std::map<CellOp, const char*> signs{{CellOp::kAdd, "+"},      {CellOp::kSub, "\u2212"},
                                                   {CellOp::kMul, "\u00d7"}, {CellOp::kDiv, "/"},
                                                   {CellOp::kLess, "<"},     {CellOp::kLessEqual, "\u2264"}};
  static const std::map<CellOp, const char*> names{
      {CellOp::kNeg, "\u2212"}, {CellOp::kMax, "max"},       {CellOp::kMin, "min"},
      {CellOp::kAbs, "abs"},    {CellOp::kExp, "exp"},       {CellOp::kLog, "log"},
      {CellOp::kSqrt, "sqrt"},  {CellOp::kTanh, "tanh"},     {CellOp::kSigmoid, "sigmoid"},
      {CellOp::kRelu, "relu"},  {CellOp::kSelect, "select"}, {CellOp::kLayerNorm, "layer_norm"}};
  if (node.op == CellOp::kSlice) {
    return "[" + std::to_string(node.first) + ":" + std::to_string(node.first + node.size) + "]";
  }
  std::vector<std::string> args;
  bool has_number = false;
  for (const std::size_t arg : node.args) {
    const bool is_number = graph.nodes[arg].op == CellOp::kConstant;
    args.push_back(is_number ? number(graph.nodes[arg].value) : "\u00b7");
    has_number = has_number || is_number;
  }
  const auto sign = signs.find(node.op);
  if (sign != signs.end()) {
    return has_number ? args[0] + " " + sign->second + " " + args[1] : std::string(sign->second);
  }
  std::string name = names.at(node.op);
  if (!has_number) return name;
  std::string list;
  for (const std::string& arg : args) list += (list.empty() ? "" : ", ") + arg;
  return name + "(" + list + ")";
}

/// What stands in a box.
struct Label {
  const Kind* kind;
  std::string name;
  std::string below;  // the second line
};

class Drawing {
 public:
  explicit Drawing(const CellGraph& graph) : graph_(graph), vertex_of_(graph.nodes.size(), kNoNode) {
    make_boxes();
    make_results();
    vertices_ = arrange_layers(std::move(vertices_));
    place();
  }

  /// Adds the kinds of boxes that there are.
  void add_kinds(std::set<const Kind*>& kinds) const {
    for (const Label& label : labels_) kinds.insert(label.kind);
  }

  void move_right(double by) {
    for (LayeredVertex& vertex : vertices_) vertex.x += by;
  }

  double width() const { return width_; }
  double height() const { return kHead + static_cast<double>(layers_) * kLayerHeight; }

  void draw(std::ostream& svg, double top) const {
    svg << "  <text class=\"title\" x=\"" << kMargin << "\" y=\"" << top + 28 << "\">"
        << escaped(shortened(graph_.name, kMostTitle)) << "</text>\n  <text class=\"small\" x=\"" << kMargin
        << "\" y=\"" << top + 46 << "\">" << escaped(subtitle()) << "</text>\n";
    for (std::size_t i = 0; i < vertices_.size(); ++i) draw_ways(svg, i, top + kHead);
    for (std::size_t i = 0; i < labels_.size(); ++i) draw_box(svg, labels_[i], vertices_[i], top + kHead);
  }

 private:
  static constexpr std::size_t kMostTitle = 60, kMostName = 26, kMostSubtitle = 90;

  // --- what there is to draw ---

  void add_box(std::size_t node, const Kind& kind, const std::string& name, const std::string& below) {
    using Role = LayeredVertex::Role;
    if (node != kNoNode) vertex_of_[node] = vertices_.size();
    Label label{&kind, shortened(name, kMostName), shortened(below, kMostName)};
    const double width = std::max({width_of(label.name, 13), width_of(label.below, 11), 28.0}) + 16;
    const Role role = &kind == &kLeaf ? Role::kTop : &kind == &kResult ? Role::kBottom : Role::kBetween;
    vertices_.push_back({.role = role, .width = width});
    labels_.push_back(std::move(label));
  }

  static const Kind& kind_of(CellOp op) {
    switch (op) {
      case CellOp::kInput:
      case CellOp::kState:
        return kLeaf;
      case CellOp::kVector:
      case CellOp::kScalar:
        return kParameter;
      case CellOp::kMatrix:
        return kProduct;
      case CellOp::kSlice:
        return kPart;
      case CellOp::kLayerNorm:
        return kNorm;
      default:
        return kElementwise;
    }
  }

  std::string text_of(const CellNode& node) const {
    switch (node.op) {
      case CellOp::kInput:
        return "x";
      case CellOp::kState:
        return graph_.states[node.index].name;
      case CellOp::kVector:
      case CellOp::kScalar:
      case CellOp::kMatrix:
        return graph_.parameters[node.index].name;
      default:
        return operation_text(graph_, node);
    }
  }

  // A box for each value but numbers, with its arguments above.
  void make_boxes() {
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      const CellNode& node = graph_.nodes[i];
      if (node.op == CellOp::kConstant) continue;
      std::string size = std::to_string(node.size);
      if (node.op == CellOp::kMatrix) {
        size += " \u00d7 " + std::to_string(graph_.nodes[node.args[0]].size);
      }
      std::string what = text_of(node);
      if (node.name.empty()) {
        add_box(i, kind_of(node.op), what, size);
      } else {
        add_box(i, kind_of(node.op), node.name, what.append(", ").append(size));
      }
      for (const std::size_t arg : node.args) {
        if (vertex_of_[arg] != kNoNode) vertices_.back().above.push_back(vertex_of_[arg]);
      }
    }
  }

  // Below, a box for each value that is the output or what states become.
  void make_results() {
    std::vector<std::pair<std::size_t, std::string>> results;
    const auto add = [&](std::size_t node, const std::string& name) {
      for (auto& [known, names] : results) {
        if (known == node) {
          names.append(", ").append(name);
          return;
        }
      }
      results.emplace_back(node, name);
    };
    add(graph_.output, "output");
    for (const CellState& state : graph_.states) add(state.next, "next " + state.name);
    for (const auto& [node, names] : results) {
      const CellNode& value = graph_.nodes[node];
      const bool is_number = value.op == CellOp::kConstant;
      add_box(kNoNode, kResult, names, is_number ? number(value.value) : std::to_string(value.size));
      if (!is_number) vertices_.back().above.push_back(vertex_of_[node]);
    }
  }

  // --- the page ---

  void place() {
    double left = HUGE_VAL, right = -HUGE_VAL;
    for (const LayeredVertex& vertex : vertices_) {
      layers_ = std::max(layers_, vertex.layer + 1);
      left = std::min(left, vertex.x - vertex.width / 2);
      right = std::max(right, vertex.x + vertex.width / 2);
    }
    const double title =
        std::max(width_of(shortened(graph_.name, kMostTitle), 15, true), width_of(subtitle(), 11));
    width_ = std::max(right - left, title) + 2 * kMargin;
    move_right((width_ - (right + left)) / 2);
  }

  std::string subtitle() const {
    std::size_t parameters = 0;
    for (const ParameterInfo& parameter : graph_.parameters) parameters += parameter.shape.size();
    return shortened("input " + std::to_string(graph_.input_size) + ", output " +
                         std::to_string(graph_.nodes[graph_.output].size) + ", " +
                         std::to_string(graph_.states.size()) +
                         (graph_.states.size() == 1 ? " state, " : " states, ") + std::to_string(parameters) +
                         " parameters",
                     kMostSubtitle);
  }

  static double top_of(const LayeredVertex& vertex, double top) {
    return top + static_cast<double>(vertex.layer) * kLayerHeight;
  }

  static void draw_box(std::ostream& svg, const Label& label, const LayeredVertex& box, double top) {
    const double y = top_of(box, top);
    svg << "  <g class=\"box\"><rect class=\"" << label.kind->style << "\" x=\"" << box.x - box.width / 2
        << "\" y=\"" << y << "\" width=\"" << box.width << "\" height=\"" << kBoxHeight
        << "\" rx=\"6\"/><text x=\"" << box.x << "\" y=\"" << y + 17 << "\">" << escaped(label.name)
        << "</text><text class=\"small\" x=\"" << box.x << "\" y=\"" << y + 32 << "\">"
        << escaped(label.below) << "</text></g>\n";
  }

  // The lines from vertex i down to its neighbours, which enter a box side by side in the order of its
  // arguments.
  void draw_ways(std::ostream& svg, std::size_t i, double top) const {
    const LayeredVertex& from = vertices_[i];
    const double y1 = top_of(from, top) + kBoxHeight, y2 = y1 + kLayerHeight - kBoxHeight;
    std::map<std::size_t, std::size_t> lines;  // to each neighbour, drawn so far
    if (!from.is_box()) {
      svg << "  <path class=\"way\" d=\"M" << from.x << ' ' << y1 - kBoxHeight << " V" << y1 << "\"/>\n";
    }
    for (const std::size_t k : from.under) {
      const LayeredVertex& to = vertices_[k];
      double x2 = to.x;
      if (to.is_box()) {
        // Its next argument that comes from here.
        std::size_t arg = 0;
        for (std::size_t skip = lines[k]++;; ++arg) {
          if (to.above[arg] == i && skip-- == 0) break;
        }
        const auto count = static_cast<double>(to.above.size());
        x2 += ((static_cast<double>(arg) + 0.5) / count - 0.5) * std::min(to.width - 12, 22 * count);
      }
      const double middle = (y1 + y2) / 2;
      svg << "  <path class=\"way\" d=\"M" << from.x << ' ' << y1 << " C" << from.x << ' ' << middle << ' '
          << x2 << ' ' << middle << ' ' << x2 << ' ' << y2 << '"'
          << (to.is_box() ? " marker-end=\"url(#head)\"" : "") << "/>\n";
    }
  }

  const CellGraph& graph_;
  std::vector<std::size_t> vertex_of_;   // [node]
  std::vector<Label> labels_;            // [box]
  std::vector<LayeredVertex> vertices_;  // boxes after those that they take, results, then lines
  std::size_t layers_ = 0;
  double width_ = 0;
};

}  // namespace

std::string cell_svg(std::span<const CustomCell> cells) {
  std::vector<Drawing> drawings;
  std::set<const Kind*> used;
  for (const CustomCell& cell : cells) {
    drawings.emplace_back(cell.graph());
    drawings.back().add_kinds(used);
  }
  std::vector<std::pair<double, const Kind*>> legend;
  double width = kMargin, height = kLegend;
  for (const Kind* kind : {&kLeaf, &kParameter, &kProduct, &kPart, &kElementwise, &kNorm, &kResult}) {
    if (!used.contains(kind)) continue;
    legend.emplace_back(width, kind);
    width += 32 + width_of(kind->legend, 11);
  }
  for (const Drawing& drawing : drawings) {
    width = std::max(width, drawing.width());
    height += drawing.height();
  }
  std::ostringstream svg;
  svg << std::fixed << std::setprecision(1) << R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 )"
      << width << ' ' << height << "\" width=\"" << width << "\" height=\"" << height
      << "\" role=\"img\" aria-label=\"The values of a recurrent cell, from its input to its output\">\n"
      << kStyle << "  <rect class=\"paper\" x=\"0.5\" y=\"0.5\" width=\"" << width - 1 << "\" height=\""
      << height - 1 << "\" rx=\"6\"/>\n";
  double top = 0;
  for (Drawing& drawing : drawings) {
    drawing.move_right((width - drawing.width()) / 2);
    drawing.draw(svg, top);
    top += drawing.height();
  }
  for (const auto& [x, kind] : legend) {
    svg << "  <rect class=\"" << kind->style << "\" x=\"" << x << "\" y=\"" << top + 12
        << "\" width=\"14\" height=\"14\" rx=\"3\"/><text class=\"small\" x=\"" << x + 20 << "\" y=\""
        << top + 23 << "\">" << kind->legend << "</text>\n";
  }
  svg << "</svg>\n";
  return svg.str();
}

}  // namespace sluice
