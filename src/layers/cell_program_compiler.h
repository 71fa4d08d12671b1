// SPDX-License-Identifier: Apache-2.0
// How a CellProgram is made. For cell_program.cc.
//
// Each node has a stage: the first at which what it takes is there, whole rows of it where a product or a
// reduction needs them. Nodes of one stage and size are a part. What later stages need of a node is kept in
// the row's scratch; single numbers of a row are made again wherever they are needed.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>

#include "layers/cell_instructions.h"
#include "layers/cell_program.h"
#include "sluice/error.h"

namespace sluice {
namespace cell_program {

inline constexpr std::size_t kNone = static_cast<std::size_t>(-1);
inline constexpr std::size_t kAlign = 16;  // places in scratch begin at a multiple of so many elements

inline bool is_row_leaf(CellOp op) noexcept {
  switch (op) {
    case CellOp::kInput:
    case CellOp::kState:
    case CellOp::kSaved:
    case CellOp::kNextState:
    case CellOp::kGradOutput:
    case CellOp::kGradNext:
    case CellOp::kLater:
      return true;
    default:
      return false;
  }
}
inline bool is_parameter(CellOp op) noexcept {
  return op == CellOp::kVector || op == CellOp::kScalar || op == CellOp::kConstant;
}
inline bool is_reduction(CellOp op) noexcept {
  return op == CellOp::kSum || op == CellOp::kMean || op == CellOp::kVariance;
}
// Arithmetic on single numbers of a row is made again wherever it is needed.
inline bool is_repeated(const CellNode& node) noexcept {
  return node.size == 1 && !is_row_leaf(node.op) && !is_parameter(node.op) && !is_reduction(node.op) &&
         node.op != CellOp::kProducts;
}

}  // namespace cell_program

template <class T>
class CellProgram<T>::Compiler {
 public:
  Compiler(const CellProgramSource<T>& source, CellProgram& program)
      : source_(source), nodes_(source.nodes), program_(program), places_(nodes_.size(), kNowhere) {}

  void compile() {
    find_needed();
    find_levels();
    place_stores();
    find_materialized();
    make_stages();
  }

 private:
  static constexpr CellPlace kNowhere{0xffff, 0};
  struct Key {
    std::size_t level;
    std::size_t size;
    bool operator<(const Key& other) const noexcept {
      return level != other.level ? level < other.level : size < other.size;
    }
  };

  bool has_place(std::size_t node) const noexcept { return places_[node].area != kNowhere.area; }

  template <class Visit>
  void for_each_argument(const CellNode& node, const Visit& visit) const {
    for (const std::size_t arg : node.args) visit(arg);
    for (const CellProduct& product : node.products) visit(product.operand);
  }

  void find_needed() {
    needed_.assign(nodes_.size(), false);
    for (const CellStore& store : source_.stores) needed_[store.node] = true;
    for (std::size_t i = nodes_.size(); i-- > 0;) {
      if (!needed_[i]) continue;
      for_each_argument(nodes_[i], [&](std::size_t arg) { needed_[arg] = true; });
    }
  }

  // The first stage at which a whole row of a node is there.
  std::size_t whole_from(std::size_t node) const {
    return cell_program::is_row_leaf(nodes_[node].op) ? 0 : levels_[node] + 1;
  }
  // The stage that makes each node.
  void find_levels() {
    levels_.assign(nodes_.size(), 0);
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      const CellNode& node = nodes_[i];
      std::size_t& level = levels_[i];
      for (const CellProduct& product : node.products) level = std::max(level, whole_from(product.operand));
      for (const std::size_t arg : node.args) {
        // A single number that is a sum of products stands where one thread put it.
        const bool is_whole = cell_program::is_reduction(node.op) ||
                              (nodes_[arg].size == 1 && nodes_[arg].op == CellOp::kProducts);
        level = std::max(level, is_whole ? whole_from(arg) : levels_[arg]);
      }
      if (needed_[i]) last_level_ = std::max(last_level_, level);
    }
  }

  bool overlaps(const CellNode& leaf, const CellStore& store) const {
    const CellPlace from = source_.place(leaf);
    return from.area == source_.replaced->first && from.offset < store.to.offset + nodes_[store.node].size &&
           store.to.offset < from.offset + leaf.size;
  }
  // Whether a store would replace what is still to be read.
  bool is_too_early(const CellStore& store) const {
    if (!source_.replaced || store.to.area != source_.replaced->second) return false;
    const std::size_t stored_at = levels_[store.node];
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      const CellNode& node = nodes_[i];
      if (!needed_[i]) continue;
      const auto reads = [&](std::size_t arg) {
        return cell_program::is_row_leaf(nodes_[arg].op) && overlaps(nodes_[arg], store);
      };
      for (const CellProduct& product : node.products) {
        if (reads(product.operand) && levels_[i] >= stored_at) return true;
      }
      for (const std::size_t arg : node.args) {
        if (!reads(arg)) continue;
        // Units that stand in the same place are read by the thread that replaces them, before it does.
        const bool same_units =
            !cell_program::is_reduction(node.op) && nodes_[arg].size == nodes_[store.node].size &&
            node.size == nodes_[arg].size && source_.place(nodes_[arg]).offset == store.to.offset;
        if (levels_[i] > stored_at || (levels_[i] == stored_at && !same_units)) return true;
      }
    }
    // Other stores of what stands there.
    for (const CellStore& other : source_.stores) {
      if (!cell_program::is_row_leaf(nodes_[other.node].op) || !overlaps(nodes_[other.node], store)) continue;
      if (source_.place(nodes_[other.node]).offset != store.to.offset ||
          nodes_[other.node].size != nodes_[store.node].size || stored_at > 0) {
        return true;
      }
    }
    return false;
  }

  // Where a whole row of the node stands, or will.
  void materialize(std::size_t node) {
    if (!cell_program::is_row_leaf(nodes_[node].op) && !has_place(node)) keep_in_scratch(node);
  }
  void keep_in_scratch(std::size_t node) {
    places_[node] = {source_.scratch, program_.scratch_size_};
    program_.scratch_size_ +=
        (nodes_[node].size + cell_program::kAlign - 1) / cell_program::kAlign * cell_program::kAlign;
    stores_[{levels_[node], nodes_[node].size}].push_back({node, places_[node]});
  }

  void place_stores() {
    std::vector<CellStore> late;
    for (const CellStore& store : source_.stores) {
      if (is_too_early(store)) {
        late.push_back(store);
        continue;
      }
      stores_[{levels_[store.node], nodes_[store.node].size}].push_back(store);
      if (!has_place(store.node) && !cell_program::is_row_leaf(nodes_[store.node].op))
        places_[store.node] = store.to;
    }
    for (const CellStore& store : late) {
      // A leaf, too, may be replaced before its own store's turn.
      if (!has_place(store.node)) keep_in_scratch(store.node);
      commits_[{last_level_ + 1, nodes_[store.node].size}].push_back(store);
    }
  }

  void find_materialized() {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      const CellNode& node = nodes_[i];
      if (!needed_[i] || cell_program::is_row_leaf(node.op) || cell_program::is_parameter(node.op)) continue;
      for (const CellProduct& product : node.products) materialize(product.operand);
      find_materialized(i, levels_[i]);
      if (!cell_program::is_repeated(node) && !cell_program::is_reduction(node.op))
        keys_[{levels_[i], node.size}].push_back(i);
    }
    for (const auto& [key, stores] : stores_) {
      for (const CellStore& store : stores) {
        keys_[key];
        if (cell_program::is_repeated(nodes_[store.node])) find_materialized(store.node, key.level);
      }
    }
  }
  // What node i, made at `level`, takes from stages before.
  void find_materialized(std::size_t i, std::size_t level) {
    for (const std::size_t arg : nodes_[i].args) {
      const CellNode& from = nodes_[arg];
      if (cell_program::is_row_leaf(from.op)) continue;
      const bool is_reduced = cell_program::is_reduction(nodes_[i].op);
      if (!is_reduced && (cell_program::is_parameter(from.op) || cell_program::is_reduction(from.op)))
        continue;
      if (!is_reduced && cell_program::is_repeated(from)) {
        find_materialized(arg, level);
      } else if (is_reduced || levels_[arg] < level || (from.op == CellOp::kProducts && from.size == 1)) {
        materialize(arg);
      }
    }
  }

  void make_stages() {
    for (const auto& [key, stores] : commits_) keys_[key];
    std::size_t stages = keys_.empty() ? 0 : keys_.rbegin()->first.level + 1;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (needed_[i] && cell_program::is_reduction(nodes_[i].op)) stages = std::max(stages, levels_[i] + 1);
    }
    program_.stages_.resize(stages);
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (!needed_[i] || !cell_program::is_reduction(nodes_[i].op)) continue;
      const std::size_t arg = nodes_[i].args[0];
      program_.stages_[levels_[i]].reductions.push_back(
          {nodes_[i].op, row_place(arg), nodes_[arg].size, program_.reduced_size_});
      places_[i] = {source_.reduced, program_.reduced_size_++};
    }
    for (const auto& [key, nodes] : keys_) make_part(key, nodes);
    for (Stage& stage : program_.stages_) {
      for (Part& part : stage.parts) finish_part(part);
    }
  }

  CellPlace row_place(std::size_t node) const {
    return cell_program::is_row_leaf(nodes_[node].op) ? source_.place(nodes_[node]) : places_[node];
  }

  // A part's instructions, on values that stand once each; slots come at the end.
  struct Draft {
    Key key;
    Part part;
    std::map<std::size_t, std::uint16_t> values;  // of nodes
    std::uint16_t count = 0;
  };
  using Op = kernels::VectorOp;

  std::uint16_t emit(Draft& draft, kernels::Instruction<T> instruction) {
    instruction.to = draft.count;
    draft.part.instructions.push_back(instruction);
    return draft.count++;
  }

  std::uint16_t value(Draft& draft, std::size_t i) {
    const auto found = draft.values.find(i);
    if (found != draft.values.end()) return found->second;
    const std::uint16_t made = make_value(draft, i);
    draft.values.emplace(i, made);
    return made;
  }
  std::uint16_t load(Draft& draft, CellPlace from, std::size_t size) {
    const Op op = size == 1 && draft.key.size != 1 ? Op::kBroadcast : Op::kLoad;
    return emit(draft, {.op = op, .area = from.area, .offset = from.offset});
  }
  std::uint16_t constant(Draft& draft, T number) {
    return emit(draft, {.op = Op::kConstant, .value = number});
  }
  std::uint16_t make_value(Draft& draft, std::size_t i) {
    const CellNode& node = nodes_[i];
    if (node.op == CellOp::kConstant) return constant(draft, static_cast<T>(node.value));
    if (node.op == CellOp::kScalar) return constant(draft, source_.parameters[node.index](0));
    if (node.op == CellOp::kVector) {
      const TensorView<const T> vector = source_.parameters[node.index];
      if (node.size == 1) return constant(draft, vector(node.first));
      Tensor<T>& padded = draft.part.vectors.emplace_back(Shape{blocks(draft) * block_units(draft)});
      for (std::size_t u = 0; u < node.size; ++u) padded(u) = vector(node.first + u);
      return emit(draft, {.op = Op::kParameter, .data = padded.data()});
    }
    if (cell_program::is_row_leaf(node.op)) return load(draft, source_.place(node), node.size);
    if (cell_program::is_reduction(node.op)) {
      return emit(draft, {.op = Op::kBroadcast, .area = places_[i].area, .offset = places_[i].offset});
    }
    const bool is_here = levels_[i] == draft.key.level && node.size == draft.key.size;
    if (!cell_program::is_repeated(node) && (node.op == CellOp::kProducts || !is_here)) {
      return load(draft, places_[i], node.size);
    }
    return operate(draft, node);
  }
  std::uint16_t operate(Draft& draft, const CellNode& node) {
    std::array<std::uint16_t, 3> args{};
    for (std::size_t k = 0; k < node.args.size(); ++k) args[k] = value(draft, node.args[k]);
    return emit(draft, {.op = vector_op(node.op), .a = args[0], .b = args[1], .c = args[2]});
  }

  std::size_t block_units(const Draft& draft) const noexcept {
    return draft.part.stage.vectors * program_.kernels_->lanes;
  }
  std::size_t blocks(const Draft& draft) const noexcept {
    return (draft.key.size + block_units(draft) - 1) / block_units(draft);
  }

  // Products of the same operand, which are added at once.
  struct Group {
    std::size_t operand;
    std::vector<std::size_t> sums;             // nodes
    std::vector<const CellProduct*> products;  // of each
    bool is_first = true;                      // of all its sums
  };
  // Each sum's products in its order.
  std::vector<Group> group_products(const std::vector<std::size_t>& sums) const {
    std::vector<std::size_t> done(sums.size(), 0);
    std::vector<Group> groups;
    while (true) {
      std::size_t operand = cell_program::kNone;
      for (std::size_t s = 0; s < sums.size() && operand == cell_program::kNone; ++s) {
        const auto& products = nodes_[sums[s]].products;
        if (done[s] < products.size()) operand = products[done[s]].operand;
      }
      if (operand == cell_program::kNone) return groups;
      Group group{operand, {}, {}};
      for (std::size_t s = 0; s < sums.size(); ++s) {
        const auto& products = nodes_[sums[s]].products;
        if (done[s] == products.size() || products[done[s]].operand != operand) continue;
        group.sums.push_back(sums[s]);
        group.products.push_back(&products[done[s]]);
        group.is_first = group.is_first && done[s] == 0;
        ++done[s];
      }
      groups.push_back(std::move(group));
    }
  }
  // Sums in such an order that those of a group are neighbours, as far as that goes: those of the first group
  // alone, those that the second has, too, and the others.
  static void order_sums(std::vector<std::size_t>& sums, const std::vector<Group>& groups) {
    const auto in = [&](std::size_t group, std::size_t sum) {
      return group < groups.size() &&
             std::count(groups[group].sums.begin(), groups[group].sums.end(), sum) > 0;
    };
    const auto rank = [&](std::size_t sum) { return in(0, sum) ? (in(1, sum) ? 1 : 0) : in(1, sum) ? 2 : 3; };
    std::stable_sort(sums.begin(), sums.end(),
                     [&](std::size_t a, std::size_t b) { return rank(a) < rank(b); });
  }

  TensorView<const T> weights_of(const CellProduct& product, std::size_t units) const {
    const TensorView<const T> all = source_.parameters[product.parameter];
    return product.is_transposed
               ? all.narrow(0, product.first_row, nodes_[product.operand].size).transpose(0, 1)
               : all.narrow(0, product.first_row, units);
  }

  void make_part(Key key, const std::vector<std::size_t>& nodes) {
    Draft draft{.key = key, .part = {}, .values = {}};
    std::vector<std::size_t> sums;
    for (const std::size_t i : nodes) {
      if (nodes_[i].op == CellOp::kProducts) sums.push_back(i);
    }
    add_products(draft, sums);
    for (const std::size_t i : nodes) value(draft, i);
    // What replaces others comes last.
    std::vector<CellStore> stores = stores_[key];
    const auto commit = commits_.find(key);
    const auto replaces = [&](const CellStore& store) {
      return source_.replaced && store.to.area == source_.replaced->second;
    };
    std::stable_partition(stores.begin(), stores.end(),
                          [&](const CellStore& store) { return !replaces(store); });
    for (const CellStore& store : stores) value(draft, store.node);
    for (const CellStore& store : stores) emit_store(draft, value(draft, store.node), store.to);
    if (commit != commits_.end()) {
      for (const CellStore& store : commit->second) {
        emit_store(draft, load(draft, places_[store.node], key.size), store.to);
      }
    }
    draft.part.stage.slots = give_slots(draft.part.instructions, draft.count, sums.size());
    program_.stages_[key.level].parts.push_back(std::move(draft.part));
  }
  void emit_store(Draft& draft, std::uint16_t from, CellPlace to) {
    draft.part.instructions.push_back({.op = Op::kStore, .a = from, .area = to.area, .offset = to.offset});
  }

  void add_products(Draft& draft, std::vector<std::size_t>& sums) {
    const std::size_t lanes = program_.kernels_->lanes;
    kernels::CellStage<T>& stage = draft.part.stage;
    stage.units = draft.key.size;
    stage.sums = sums.size();
    const std::vector<Group> groups = group_products(sums);
    order_sums(sums, groups);
    std::size_t most = 0, depth = 0;
    for (const Group& group : groups) {
      most = std::max(most, group.sums.size());
      depth += nodes_[group.operand].size;
    }
    if (most == 1) stage.vectors = plain_vectors<T>(stage.units, depth, lanes);
    if (most == 2) stage.vectors = std::min<std::size_t>(2, (stage.units + lanes - 1) / lanes);
    stage.blocks = blocks(draft);
    draft.part.bias = Tensor<T>({stage.blocks, sums.size(), block_units(draft)});
    std::vector<Tensor<T>> biases;
    for (std::size_t s = 0; s < sums.size(); ++s) {
      draft.values.emplace(sums[s], draft.count++);
      const Tensor<T>& bias = biases.emplace_back(bias_of(sums[s]));
      for (std::size_t u = 0; u < stage.units; ++u) {
        draft.part.bias(u / block_units(draft), s, u % block_units(draft)) = bias(u);
      }
    }
    for (const Group& group : groups) add_group(draft, sums, biases, group);
    program_.sums_ += sums.size();
    program_.units_ = std::max(program_.units_, stage.units);
  }
  Tensor<T> bias_of(std::size_t i) const {
    Tensor<T> sum({nodes_[i].size});
    bool is_first = true;
    for (const CellBias& bias : nodes_[i].biases) {
      for (std::size_t u = 0; u < sum.size(); ++u) {
        const T term = source_.parameters[bias.parameter](bias.first + u);
        sum(u) = is_first ? term : sum(u) + term;
      }
      is_first = false;
    }
    return sum;
  }

  // Neighbouring sums that all have the group's operand, at most as many as a tile takes.
  void add_group(Draft& draft, const std::vector<std::size_t>& sums, const std::vector<Tensor<T>>& biases,
                 const Group& group) {
    const kernels::CellStage<T>& stage = draft.part.stage;
    const std::size_t most = 4 / stage.vectors;
    const auto product_of = [&](std::size_t s) -> const CellProduct* {
      const auto at = std::find(group.sums.begin(), group.sums.end(), sums[s]);
      return at == group.sums.end() ? nullptr
                                    : group.products[static_cast<std::size_t>(at - group.sums.begin())];
    };
    std::size_t first = 0;
    while (first < sums.size()) {
      if (product_of(first) == nullptr) {
        ++first;
        continue;
      }
      std::size_t run = first;
      while (run < sums.size() && product_of(run) != nullptr) ++run;
      const std::size_t pieces = std::max<std::size_t>((run - first + most - 1) / most, 1);
      std::vector<TensorView<const T>> weights, bias;
      const std::size_t last = first + (run - first + pieces - 1) / pieces;
      for (std::size_t s = first; s < last; ++s) {
        weights.push_back(weights_of(*product_of(s), stage.units));
        bias.push_back(biases[s].view());
      }
      add_product(draft, group, first, std::span(sums).subspan(first, last - first), weights, bias);
      first = last;
    }
  }
  // Of `sums`, the first of which is in slot `first`.
  void add_product(Draft& draft, const Group& group, std::size_t first, std::span<const std::size_t> sums,
                   const std::vector<TensorView<const T>>& weights,
                   const std::vector<TensorView<const T>>& bias) {
    const CellNode& operand = nodes_[group.operand];
    const kernels::CellStage<T>& stage = draft.part.stage;
    const PackedWeights<T>& packed =
        *draft.part.weights.emplace_back(pack(stage.vectors, sums, weights, bias));
    const CellPlace from = row_place(group.operand);
    kernels::StageProduct<T> product;
    product.matrix = packed.matrix;
    product.area = from.area;
    product.offset = from.offset;
    product.first_slot = static_cast<std::uint16_t>(first);
    if (source_.pre && group.is_first && operand.op == CellOp::kInput && operand.first == 0) {
      product.can_be_pre = true;
      product.pre_area = *source_.pre;
      product.pre_offset = program_.pre_size_;
      program_.pre_size_ += packed.matrix.blocks * packed.matrix.gates * program_.kernels_->lanes;
      program_.input_.push_back(&packed);
    }
    const std::size_t tile = kernels::packed_gemm<T>().tile_rows[packed.matrix.gates - 1];
    program_.tile_rows_ = program_.tile_rows_ == 1 ? tile : std::min(program_.tile_rows_, tile);
    program_.multiply_adds_ +=
        static_cast<double>(weights.size() * stage.units) * static_cast<double>(operand.size);
    draft.part.products.push_back(product);
  }

  // `sums` are the nodes of `weights` and `bias`.
  std::shared_ptr<const PackedWeights<T>> pack(std::size_t vectors, std::span<const std::size_t> sums,
                                               const std::vector<TensorView<const T>>& weights,
                                               const std::vector<TensorView<const T>>& bias) const {
    std::vector<std::uintptr_t> key{vectors, sums.size()};
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const TensorView<const T> w = weights[i];
      key.insert(key.end(), {reinterpret_cast<std::uintptr_t>(w.data()), w.dim(0), w.dim(1),
                             static_cast<std::uintptr_t>(w.stride(0)), nodes_[sums[i]].biases.size()});
      for (const CellBias& of : nodes_[sums[i]].biases) key.insert(key.end(), {of.parameter, of.first});
    }
    std::shared_ptr<const PackedWeights<T>>& packed = (*source_.cache)[key];
    if (packed == nullptr) {
      packed = std::make_shared<const PackedWeights<T>>(pack_sums<T>(vectors, weights, bias));
    }
    return packed;
  }

  void finish_part(Part& part) const {
    part.stage.bias = part.bias.data();
    part.stage.products = part.products.data();
    part.stage.product_count = part.products.size();
    part.stage.instructions = part.instructions.data();
    part.stage.instruction_count = part.instructions.size();
  }

  const CellProgramSource<T>& source_;
  std::span<const CellNode> nodes_;
  CellProgram& program_;
  std::vector<bool> needed_;
  std::vector<std::size_t> levels_;
  std::size_t last_level_ = 0;
  std::vector<CellPlace> places_;  // of whole rows
  std::map<Key, std::vector<CellStore>> stores_, commits_;
  std::map<Key, std::vector<std::size_t>> keys_;
};

}  // namespace sluice
