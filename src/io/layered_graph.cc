// SPDX-License-Identifier: Apache-2.0
#include "io/layered_graph.h"

#include <algorithm>
#include <map>
#include <utility>

namespace sluice {
namespace {

constexpr double kGap = 16;       // between neighbours
constexpr double kLineWidth = 8;  // that a passing line keeps free
constexpr std::size_t kMostArgs = 3;

using Vertex = LayeredVertex;

class Arrangement {
 public:
  explicit Arrangement(std::vector<Vertex> boxes) : vertices_(std::move(boxes)) {
    make_layers();
    order_layers();
    place();
  }

  std::vector<Vertex> vertices() && { return std::move(vertices_); }

 private:
  void make_layers() {
    std::size_t last = 0;
    std::vector<bool> is_free(vertices_.size(), false);
    for (std::size_t i = 0; i < vertices_.size(); ++i) {
      Vertex& vertex = vertices_[i];
      is_free[i] = vertex.role != Vertex::Role::kTop;
      for (const std::size_t arg : vertex.above) {
        vertex.layer = std::max(vertex.layer, vertices_[arg].layer + 1);
        is_free[i] = is_free[i] && is_free[arg];
      }
      last = std::max(last, vertex.layer);
    }
    const auto is_last = [](const Vertex& vertex) { return vertex.role == Vertex::Role::kBottom; };
    for (Vertex& vertex : vertices_) {
      if (is_last(vertex)) vertex.layer = last;
    }
    // What comes of nothing that stands at the top stands near where it is used.
    std::vector<std::size_t> least(vertices_.size(), last);
    for (std::size_t i = vertices_.size(); i-- > 0;) {
      Vertex& vertex = vertices_[i];
      if (is_free[i] && !is_last(vertex)) vertex.layer = least[i] - 1;
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
      vertices_.push_back({.width = kLineWidth, .above = {before}, .line = from, .layer = at});
    }
    return between == 0 ? from : passes[from][between - 1];
  }

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
  }

  void find_lines() {
    lines_.assign(vertices_.size(), {});
    for (const Vertex& vertex : vertices_) {
      if (vertex.is_box()) continue;
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
          if (!vertex.is_box() && !vertices_[k].is_box()) continue;
          sum += vertices_[k].x;
          weight += 1;
        }
      };
      if (!vertex.is_box() && !lines_.empty()) {
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

  std::vector<Vertex> vertices_;  // boxes after those that they take, then lines
  std::vector<std::vector<std::size_t>> layers_;
  std::vector<std::pair<double, double>> lines_;  // [box]: the sum of places of its line, and how many
};

}  // namespace

std::vector<LayeredVertex> arrange_layers(std::vector<LayeredVertex> boxes) {
  return Arrangement(std::move(boxes)).vertices();
}

}  // namespace sluice
