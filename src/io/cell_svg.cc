// SPDX-License-Identifier: Apache-2.0
// A layered drawing, as Sugiyama et al. (1981) have it: each value in the layer below its arguments; an order
// within the layers that has few crossings; then places.
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
#include "sluice/cell_text.h"

namespace sluice {
namespace {

constexpr double kBoxHeight = 40, kLayerHeight = 78, kGap = 16, kMargin = 24;
constexpr double kHead = 66;      // above a graph
constexpr double kLegend = 44;    // below all
constexpr double kLineWidth = 8;  // that a passing line keeps free

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

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else if (c == '>') {
      result += "&gt;";
    } else if (c == '"') {
      result += "&quot;";
    } else {
      result += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
  }
  return result;
}

/// An upper bound of what a sans-serif font takes (those of DejaVu, which is a wide one), in pixels.
double width_of(const std::string& text, double size, bool is_bold = false) {
  double em = 0;
  for (const char c : text) {
    if (!begins_character(c)) continue;
    if (static_cast<unsigned char>(c) >= 0x80) {
      em += 1;
    } else if (std::string_view("ijl.,:;|'![]()tf ").find(c) != std::string_view::npos) {
      em += 0.42;
    } else if (std::string_view("mwMW@%").find(c) != std::string_view::npos) {
      em += 1;
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
  static const std::map<CellOp, const char*> kSigns{{CellOp::kAdd, "+"},      {CellOp::kSub, "\u2212"},
                                                    {CellOp::kMul, "\u00d7"}, {CellOp::kDiv, "/"},
                                                    {CellOp::kLess, "<"},     {CellOp::kLessEqual, "\u2264"}};
  static const std::map<CellOp, const char*> kNames{
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
  const auto sign = kSigns.find(node.op);
  if (sign != kSigns.end()) {
    return has_number ? args[0] + " " + sign->second + " " + args[1] : std::string(sign->second);
  }
  const std::string name = kNames.at(node.op);
  if (!has_number) return name;
  std::string list;
  for (const std::string& arg : args) list += (list.empty() ? "" : ", ") + arg;
  return name + "(" + list + ")";
}

/// A box, or a place where a line passes a layer.
struct Vertex {
  const Kind* kind = nullptr;  // null: a line passes
  std::string name{};
  std::string below{};  // the second line
  std::size_t layer = 0;
  double width = kLineWidth;
  std::size_t line = kNoNode;        // which, where one passes
  double x = 0;                      // of the middle
  std::vector<std::size_t> above{};  // neighbours; of a box one an argument, in their order
  std::vector<std::size_t> under{};
};

class Drawing {
 public:
  explicit Drawing(const CellGraph& graph) : graph_(graph), vertex_of_(graph.nodes.size(), kNoNode) {
    make_boxes();
    make_results();
    make_layers();
    order_layers();
    place();
  }

  /// Adds the kinds of boxes that there are.
  void add_kinds(std::set<const Kind*>& kinds) const {
    for (const Vertex& vertex : vertices_) {
      if (vertex.kind != nullptr) kinds.insert(vertex.kind);
    }
  }

  void move_right(double by) {
    for (Vertex& vertex : vertices_) vertex.x += by;
  }

  double width() const { return width_; }
  double height() const { return kHead + static_cast<double>(layers_.size()) * kLayerHeight; }

  void draw(std::ostream& svg, double top) const {
    svg << "  <text class=\"title\" x=\"" << kMargin << "\" y=\"" << top + 28 << "\">"
        << escaped(shortened(graph_.name, kMostTitle)) << "</text>\n  <text class=\"small\" x=\"" << kMargin
        << "\" y=\"" << top + 46 << "\">" << escaped(subtitle()) << "</text>\n";
    for (std::size_t i = 0; i < vertices_.size(); ++i) draw_ways(svg, i, top + kHead);
    for (const Vertex& vertex : vertices_) {
      if (vertex.kind != nullptr) draw_box(svg, vertex, top + kHead);
    }
  }

 private:
  static constexpr std::size_t kMostArgs = 3;
  static constexpr std::size_t kMostTitle = 60, kMostName = 26, kMostSubtitle = 90;

  // --- what there is to draw ---

  void add_box(std::size_t node, const Kind& kind, std::string name, std::string below) {
    if (node != kNoNode) vertex_of_[node] = vertices_.size();
    Vertex box{.kind = &kind, .name = shortened(name, kMostName), .below = shortened(below, kMostName)};
    box.width = std::max({width_of(box.name, 13), width_of(box.below, 11), 28.0}) + 16;
    vertices_.push_back(std::move(box));
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

  std::string label(const CellNode& node) const {
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
      const std::string what = label(node);
      if (node.name.empty()) {
        add_box(i, kind_of(node.op), what, size);
      } else {
        add_box(i, kind_of(node.op), node.name, what + ", " + size);
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
          names += ", " + name;
          return;
        }
      }
      results.emplace_back(node, name);
    };
    add(graph_.output, "output");
    for (const CellState& state : graph_.states) add(state.next, "next " + state.name);
    first_result_ = vertices_.size();
    for (const auto& [node, names] : results) {
      const CellNode& value = graph_.nodes[node];
      const bool is_number = value.op == CellOp::kConstant;
      add_box(kNoNode, kResult, names, is_number ? number(value.value) : std::to_string(value.size));
      if (!is_number) vertices_.back().above.push_back(vertex_of_[node]);
    }
  }

  // --- layers ---

  void make_layers() {
    std::size_t last = 0;
    std::vector<bool> needs_no_leaf(vertices_.size(), false);
    for (std::size_t i = 0; i < vertices_.size(); ++i) {
      Vertex& vertex = vertices_[i];
      needs_no_leaf[i] = vertex.kind != &kLeaf;
      for (const std::size_t arg : vertex.above) {
        vertex.layer = std::max(vertex.layer, vertices_[arg].layer + 1);
        needs_no_leaf[i] = needs_no_leaf[i] && needs_no_leaf[arg];
      }
      last = std::max(last, vertex.layer);
    }
    for (std::size_t i = first_result_; i < vertices_.size(); ++i) vertices_[i].layer = last;
    // What comes of parameters alone stands near where it is used.
    std::vector<std::size_t> least(vertices_.size(), last);
    for (std::size_t i = vertices_.size(); i-- > 0;) {
      Vertex& vertex = vertices_[i];
      if (needs_no_leaf[i] && i < first_result_) vertex.layer = least[i] - 1;
      for (const std::size_t arg : vertex.above) least[arg] = std::min(least[arg], vertex.layer);
    }
    layers_.resize(last + 1);
    for (std::size_t i = 0; i < vertices_.size(); ++i) layers_[vertices_[i].layer].push_back(i);
    const std::size_t boxes = vertices_.size();
    std::vector<std::vector<std::size_t>> passes(boxes);  // the places of each value's line, layer by layer
    for (std::size_t i = 0; i < boxes; ++i) {
      for (std::size_t k = 0; k < vertices_[i].above.size(); ++k) {
        const std::size_t from = passing(passes, vertices_[i].above[k], vertices_[i].layer);
        vertices_[i].above[k] = from;
        vertices_[from].under.push_back(i);
      }
    }
  }

  // Where the line of box `from` leaves the layer above `layer`. All boxes that take a value share its line.
  std::size_t passing(std::vector<std::vector<std::size_t>>& passes, std::size_t from, std::size_t layer) {
    const std::size_t between = layer - vertices_[from].layer - 1;
    while (passes[from].size() < between) {
      const std::size_t before = passes[from].empty() ? from : passes[from].back();
      passes[from].push_back(vertices_.size());
      vertices_[before].under.push_back(vertices_.size());
      const std::size_t at = vertices_[before].layer + 1;
      layers_[at].push_back(vertices_.size());
      vertices_.push_back({.layer = at, .line = from, .above = {before}});
    }
    return between == 0 ? from : passes[from][between - 1];
  }

  // --- the order within layers ---

  // Sorts layers by the mean place of their neighbours in the layer before, down and up again, and takes what
  // had the fewest crossings.
  void order_layers() {
    constexpr int kSweeps = 12;
    std::vector<std::size_t> place(vertices_.size());
    const auto number_layer = [&](const std::vector<std::size_t>& layer) {
      for (std::size_t k = 0; k < layer.size(); ++k) place[layer[k]] = k;
    };
    for (const auto& layer : layers_) number_layer(layer);
    std::vector<std::vector<std::size_t>> best = layers_;
    std::size_t fewest = crossings(place);
    const auto sort_layer = [&](std::size_t at, bool is_down) {
      std::map<std::size_t, double> mean;
      for (const std::size_t i : layers_[at]) {
        const std::vector<std::size_t>& near = is_down ? vertices_[i].above : vertices_[i].under;
        double sum = 0;
        for (const std::size_t k : near) {
          sum +=
              is_down ? static_cast<double>(place[k]) : static_cast<double>(entry(i, k, place)) / kMostArgs;
        }
        mean[i] = near.empty() ? static_cast<double>(place[i]) : sum / static_cast<double>(near.size());
      }
      std::stable_sort(layers_[at].begin(), layers_[at].end(),
                       [&](std::size_t a, std::size_t b) { return mean[a] < mean[b]; });
      number_layer(layers_[at]);
    };
    for (int sweep = 0; sweep < kSweeps && fewest > 0; ++sweep) {
      for (std::size_t k = 1; k < layers_.size(); ++k) {
        const bool is_down = sweep % 2 == 0;
        sort_layer(is_down ? k : layers_.size() - 1 - k, is_down);
      }
      const std::size_t now = crossings(place);
      if (now >= fewest) continue;
      fewest = now;
      best = layers_;
    }
    layers_ = std::move(best);
  }

  // Where the line from i enters k: arguments stand side by side.
  std::size_t entry(std::size_t i, std::size_t k, const std::vector<std::size_t>& place) const {
    const std::vector<std::size_t>& args = vertices_[k].above;
    return place[k] * kMostArgs +
           static_cast<std::size_t>(std::find(args.begin(), args.end(), i) - args.begin());
  }

  // Pairs of lines between two layers that cross: inversions, counted as they are merged.
  std::size_t crossings(const std::vector<std::size_t>& place) const {
    std::size_t count = 0;
    for (const auto& layer : layers_) {
      std::vector<std::size_t> ends(layer.size());
      for (const std::size_t i : layer) ends[place[i]] = i;
      std::vector<std::size_t> line;  // where lines end, in the order of where they begin
      for (const std::size_t i : ends) {
        std::vector<std::size_t> to;
        for (const std::size_t k : vertices_[i].under) to.push_back(entry(i, k, place));
        std::sort(to.begin(), to.end());
        line.insert(line.end(), to.begin(), to.end());
      }
      std::vector<std::size_t> merged(line.size());
      for (std::size_t half = 1; half < line.size(); half *= 2) {
        for (std::size_t begin = 0; begin < line.size(); begin += 2 * half) {
          const std::size_t middle = std::min(begin + half, line.size());
          const std::size_t end = std::min(begin + 2 * half, line.size());
          std::size_t a = begin, b = middle;
          for (std::size_t to = begin; to < end; ++to) {
            if (b == end || (a < middle && line[a] <= line[b])) {
              merged[to] = line[a++];
            } else {
              count += middle - a;
              merged[to] = line[b++];
            }
          }
        }
        line.swap(merged);
      }
    }
    return count;
  }

  // --- places ---

  // Pulls each layer towards its neighbours, down and up again.
  void place() {
    constexpr int kSweeps = 24;
    for (const auto& layer : layers_) pull(layer, false, false);
    for (int sweep = 0; sweep < kSweeps; ++sweep) {
      const bool is_down = sweep % 2 == 0, is_last = sweep + 4 >= kSweeps;
      find_lines();
      for (std::size_t k = 0; k < layers_.size(); ++k) {
        pull(layers_[is_down ? k : layers_.size() - 1 - k], is_down || is_last, !is_down || is_last);
      }
    }
    double left = HUGE_VAL, right = -HUGE_VAL;
    for (const Vertex& vertex : vertices_) {
      left = std::min(left, vertex.x - vertex.width / 2);
      right = std::max(right, vertex.x + vertex.width / 2);
    }
    const double title =
        std::max(width_of(shortened(graph_.name, kMostTitle), 15, true), width_of(subtitle(), 11));
    width_ = std::max(right - left, title) + 2 * kMargin;
    move_right((width_ - (right + left)) / 2);
  }

  void find_lines() {
    lines_.assign(vertices_.size(), {});
    for (const Vertex& vertex : vertices_) {
      if (vertex.kind != nullptr) continue;
      lines_[vertex.line].first += vertex.x;
      lines_[vertex.line].second += 1;
    }
  }

  // Places a layer in its order, without overlap, as near to where its neighbours are as can be, in the sense
  // of least squares: isotonic regression, by pooling those that push each other. A line that passes pulls
  // most, towards its own mean, so that it becomes straight.
  void pull(const std::vector<std::size_t>& layer, bool to_above, bool to_under) {
    struct Block {
      double sum, weight;
      std::size_t count;
      double mean() const { return sum / weight; }
    };
    std::vector<Block> blocks;
    std::vector<double> offsets;
    for (const std::size_t i : layer) {
      const Vertex& vertex = vertices_[i];
      double offset = 0;
      if (!offsets.empty()) {
        const Vertex& before = vertices_[layer[offsets.size() - 1]];
        offset = offsets.back() + (before.width + vertex.width) / 2 + kGap;
      }
      offsets.push_back(offset);
      double sum = 0, weight = 0;
      const auto add = [&](const std::vector<std::size_t>& near) {
        for (const std::size_t k : near) {
          if (vertex.kind == nullptr && vertices_[k].kind == nullptr) continue;
          sum += vertices_[k].x;
          weight += 1;
        }
      };
      if (vertex.kind == nullptr && !lines_.empty()) {
        constexpr double kPull = 16;
        const auto& [all, count] = lines_[vertex.line];
        sum = kPull * all / count;
        weight = kPull;
      }
      if (to_above) add(vertex.above);
      if (to_under) add(vertex.under);
      if (weight == 0) {
        sum = vertex.x;
        weight = 1;
      }
      blocks.push_back({sum - weight * offset, weight, 1});
      while (blocks.size() > 1 && blocks[blocks.size() - 2].mean() >= blocks.back().mean()) {
        const Block last = blocks.back();
        blocks.pop_back();
        blocks.back().sum += last.sum;
        blocks.back().weight += last.weight;
        blocks.back().count += last.count;
      }
    }
    std::size_t at = 0;
    for (const Block& block : blocks) {
      for (std::size_t k = 0; k < block.count; ++k, ++at) vertices_[layer[at]].x = block.mean() + offsets[at];
    }
  }

  // --- the page ---

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

  static double top_of(const Vertex& vertex, double top) {
    return top + static_cast<double>(vertex.layer) * kLayerHeight;
  }

  static void draw_box(std::ostream& svg, const Vertex& box, double top) {
    const double y = top_of(box, top);
    svg << "  <g class=\"box\"><rect class=\"" << box.kind->style << "\" x=\"" << box.x - box.width / 2
        << "\" y=\"" << y << "\" width=\"" << box.width << "\" height=\"" << kBoxHeight
        << "\" rx=\"6\"/><text x=\"" << box.x << "\" y=\"" << y + 17 << "\">" << escaped(box.name)
        << "</text><text class=\"small\" x=\"" << box.x << "\" y=\"" << y + 32 << "\">" << escaped(box.below)
        << "</text></g>\n";
  }

  // The lines from vertex i down to its neighbours, which enter a box side by side in the order of its
  // arguments.
  void draw_ways(std::ostream& svg, std::size_t i, double top) const {
    const Vertex& from = vertices_[i];
    const double y1 = top_of(from, top) + kBoxHeight, y2 = y1 + kLayerHeight - kBoxHeight;
    std::map<std::size_t, std::size_t> lines;  // to each neighbour, drawn so far
    if (from.kind == nullptr) {
      svg << "  <path class=\"way\" d=\"M" << from.x << ' ' << y1 - kBoxHeight << " V" << y1 << "\"/>\n";
    }
    for (const std::size_t k : from.under) {
      const Vertex& to = vertices_[k];
      double x2 = to.x;
      if (to.kind != nullptr) {
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
          << (to.kind != nullptr ? " marker-end=\"url(#head)\"" : "") << "/>\n";
    }
  }

  const CellGraph& graph_;
  std::vector<std::size_t> vertex_of_;  // [node]
  std::vector<Vertex> vertices_;        // boxes after those that they take, results, then lines
  std::size_t first_result_ = 0;
  std::vector<std::vector<std::size_t>> layers_;
  std::vector<std::pair<double, double>> lines_;  // [box]: the sum of places of its line, and how many
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
