// SPDX-License-Identifier: Apache-2.0
#include "layers/custom_backward_programs.h"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

std::vector<std::size_t> carry_offsets_of(const CellForm& form) {
  std::vector<std::size_t> offsets{0};
  for (const CellState& state : form.lowered.states) offsets.push_back(offsets.back() + state.size);
  return offsets;
}

template <class T>
std::vector<std::size_t> list_offsets_of(const CellForm& form) {
  const std::size_t lanes = kernels::packed_gemm<T>().lanes;
  std::vector<std::size_t> offsets{0};
  for (const std::size_t node : form.backward->lists) {
    offsets.push_back(offsets.back() + (form.backward->nodes[node].size + lanes - 1) / lanes * lanes);
  }
  return offsets;
}

}  // namespace

template <class T>
CustomBackwardPrograms<T>::CustomBackwardPrograms(const CellForm& form,
                                                  std::span<const TensorView<const T>> parameters,
                                                  PackedCache<T>&& cache)
    : form(&form),
      carry_offsets(carry_offsets_of(form)),
      list_offsets(list_offsets_of<T>(form)),
      kept_offsets(saved_offsets(form.lowered, form.backward->saved)),
      step(make_step(parameters, cache)) {
  add_state_products(parameters, cache);
  add_input_products(parameters);
  for (const CellBackward::MatrixGradient& matrix : form.backward->matrices) {
    sums += (list_offsets[matrix.list + 1] - list_offsets[matrix.list]) * parameters[matrix.parameter].dim(1);
  }
  scratch_size = step.scratch_size();
  reduced_size = step.reduced_size();
  for (const StateProduct& product : state_products) {
    scratch_size = std::max(scratch_size, product.program.scratch_size());
  }
}

template <class T>
CellPlace CustomBackwardPrograms<T>::place(const CellNode& leaf) const {
  const auto state_in = [&](std::uint16_t h, std::uint16_t c) -> CellPlace {
    if (form->is_in_h(leaf.index)) return {h, leaf.first};
    return {c, form->c_offsets[leaf.index] + leaf.first};
  };
  switch (leaf.op) {
    case CellOp::kState:
      return state_in(kBackH, kBackC);
    case CellOp::kNextState:
      return state_in(kBackHOut, kBackCOut);
    case CellOp::kSaved:
      return {kBackKept, kept_offsets[leaf.index] + leaf.first};
    case CellOp::kGradOutput:
      return {kBackGradOutput, leaf.first};
    case CellOp::kGradNext:
      return {kBackCarry, carry_offsets[leaf.index] + leaf.first};
    case CellOp::kLater:
      return {kBackLater, list_offsets[leaf.index]};
    default:
      return {kBackX, leaf.first};
  }
}

template <class T>
CellProgramSource<T> CustomBackwardPrograms<T>::source(std::span<const CellNode> nodes,
                                                       std::span<const TensorView<const T>> parameters,
                                                       PackedCache<T>& cache) const {
  CellProgramSource<T> made;
  made.nodes = nodes;
  made.parameters = parameters;
  made.place = [this](const CellNode& leaf) { return place(leaf); };
  made.cache = &cache;
  made.scratch = kBackScratch;
  made.reduced = kBackReduced;
  return made;
}

// Nodes for a gradient of a state, as far as it is known, and what products with the later step's lists add.
namespace {
std::size_t push(std::vector<CellNode>& nodes, CellNode node) {
  nodes.push_back(std::move(node));
  return nodes.size() - 1;
}
std::size_t push_products(std::vector<CellNode>& nodes, const CellBackward& backward,
                          const std::vector<CellBackward::TransposedProduct>& products,
                          const std::vector<std::size_t>& list_offsets, std::size_t size) {
  CellNode sum{.op = CellOp::kProducts, .size = size};
  for (const CellBackward::TransposedProduct& product : products) {
    const std::size_t rows = backward.nodes[backward.lists[product.list]].size;
    // Neighbouring lists that go with neighbouring rows of a matrix are one operand.
    if (!sum.products.empty()) {
      const CellProduct& last = sum.products.back();
      CellNode& later = nodes[last.operand];
      if (last.parameter == product.parameter && last.first_row + later.size == product.first_row &&
          list_offsets[later.index] + later.size == list_offsets[product.list]) {
        later.size += rows;
        continue;
      }
    }
    CellNode later{.op = CellOp::kLater, .size = rows};
    later.index = product.list;
    sum.products.push_back({product.parameter, product.first_row, push(nodes, std::move(later)), true});
  }
  return push(nodes, std::move(sum));
}
}  // namespace

template <class T>
CellProgram<T> CustomBackwardPrograms<T>::make_step(std::span<const TensorView<const T>> parameters,
                                                    PackedCache<T>& cache) {
  const CellBackward& backward = *form->backward;
  // A state whose whole gradient is read, and made of products that give all of it, has them added there.
  is_fused.assign(backward.states.size(), true);
  for (const CellNode& node : backward.nodes) {
    if (node.op != CellOp::kGradNext) continue;
    const std::size_t size = form->lowered.states[node.index].size;
    bool fits = node.size == size;
    for (const CellBackward::TransposedProduct& product : backward.states[node.index].products) {
      fits = fits && product.first == 0 && parameters[product.parameter].dim(1) == size;
    }
    if (!fits) is_fused[node.index] = false;
  }
  std::vector<CellNode> nodes;
  std::vector<std::size_t> place_of;
  for (CellNode node : backward.nodes) {
    for (std::size_t& arg : node.args) arg = place_of[arg];
    for (CellProduct& product : node.products) product.operand = place_of[product.operand];
    const bool is_gradient = node.op == CellOp::kGradNext && is_fused[node.index];
    const std::size_t state = node.index, size = node.size;
    std::size_t made = push(nodes, std::move(node));
    if (is_gradient && !backward.states[state].products.empty()) {
      const std::size_t sum =
          push_products(nodes, backward, backward.states[state].products, list_offsets, size);
      CellNode both{.op = CellOp::kAdd, .size = size, .args = {sum, made}};
      made = push(nodes, std::move(both));
    }
    place_of.push_back(made);
  }
  CellProgramSource<T> made = source(nodes, parameters, cache);
  const auto store = [&](std::size_t node, CellPlace to) { made.stores.push_back({place_of[node], to}); };
  for (std::size_t i = 0; i < backward.lists.size(); ++i)
    store(backward.lists[i], {kBackList, list_offsets[i]});
  for (std::size_t s = 0; s < backward.states.size(); ++s) {
    for (const CellBackward::Part& part : backward.states[s].parts) {
      store(part.node, {kBackCarryOut, carry_offsets[s] + part.first});
    }
  }
  for (const CellBackward::Part& part : backward.input.parts) store(part.node, {kBackGradX, part.first});
  return CellProgram<T>(made);
}

template <class T>
void CustomBackwardPrograms<T>::add_state_products(std::span<const TensorView<const T>> parameters,
                                                   PackedCache<T>& cache) {
  const CellBackward& backward = *form->backward;
  for (std::size_t s = 0; s < backward.states.size(); ++s) {
    std::vector<CellBackward::TransposedProduct> rest = backward.states[s].products;
    while (!rest.empty()) {
      // All that go to the same elements.
      const std::size_t first = rest[0].first, size = parameters[rest[0].parameter].dim(1);
      const auto others = std::stable_partition(rest.begin(), rest.end(), [&](const auto& product) {
        return product.first == first && parameters[product.parameter].dim(1) == size;
      });
      std::vector<CellNode> nodes;
      const std::size_t sum = push_products(nodes, backward, {rest.begin(), others}, list_offsets, size);
      CellNode known{.op = CellOp::kGradNext, .size = size};
      known.index = s;
      known.first = first;
      CellNode both{.op = CellOp::kAdd, .size = size, .args = {sum, push(nodes, std::move(known))}};
      const std::size_t all = push(nodes, std::move(both));
      CellProgramSource<T> made = source(nodes, parameters, cache);
      made.stores.push_back({all, {kBackCarry, carry_offsets[s] + first}});
      made.replaced = {kBackCarry, kBackCarry};
      state_products.push_back({s, CellProgram<T>(made)});
      rest.erase(rest.begin(), others);
    }
  }
}

// The transposes of the products' matrices as one: its columns stand as the lists from `begin` to `end`.
template <class T>
PackedWeights<T> CustomBackwardPrograms<T>::pack_input(
    std::span<const CellBackward::TransposedProduct> products, std::size_t begin, std::size_t end,
    std::span<const TensorView<const T>> parameters) const {
  const auto rows_of = [&](const CellBackward::TransposedProduct& product) {
    return form->backward->nodes[form->backward->lists[product.list]].size;
  };
  std::vector<std::size_t> order(end - begin, kNoRow);
  const TensorView<const T> matrix = parameters[products[0].parameter];
  bool is_plain = matrix.stride(1) == 1;  // rows of one matrix, each list's once
  for (const CellBackward::TransposedProduct& product : products) {
    std::size_t* const to = &order[list_offsets[product.list] - begin];
    is_plain = is_plain && product.parameter == products[0].parameter && *to == kNoRow;
    for (std::size_t r = 0; r < rows_of(product); ++r) to[r] = product.first_row + r;
  }
  if (is_plain) return pack_transposed<T>(matrix, order);
  Tensor<T> rows({end - begin, matrix.dim(1)});
  for (const CellBackward::TransposedProduct& product : products) {
    for (std::size_t r = 0; r < rows_of(product); ++r) {
      T* const to = &rows(list_offsets[product.list] - begin + r, 0);
      for (std::size_t i = 0; i < rows.dim(1); ++i) {
        to[i] += parameters[product.parameter](product.first_row + r, i);
      }
    }
  }
  return pack_plain<T>(rows.view().transpose(0, 1), {}, {}, {});
}

template <class T>
void CustomBackwardPrograms<T>::add_input_products(std::span<const TensorView<const T>> parameters) {
  const CellBackward& backward = *form->backward;
  std::vector<CellBackward::TransposedProduct> rest = backward.input.products;
  while (!rest.empty()) {
    // All that go to the same elements; the columns of the one matrix stand as their lists do.
    const std::size_t first = rest[0].first, size = parameters[rest[0].parameter].dim(1);
    const auto others = std::stable_partition(rest.begin(), rest.end(), [&](const auto& product) {
      return product.first == first && parameters[product.parameter].dim(1) == size;
    });
    std::size_t begin = list_offsets.back(), end = 0;
    for (auto product = rest.begin(); product != others; ++product) {
      begin = std::min(begin, list_offsets[product->list]);
      end = std::max(end, list_offsets[product->list + 1]);
    }
    input_products.push_back(
        {first, begin, PackedLinear<T>(pack_input(std::span(rest.begin(), others), begin, end, parameters))});
    rest.erase(rest.begin(), others);
  }
}

template struct CustomBackwardPrograms<float>;
template struct CustomBackwardPrograms<double>;

}  // namespace sluice
