// SPDX-License-Identifier: Apache-2.0
#include "sluice/optim.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/check.h"
#include "sluice/error.h"
#include "train/chunks.h"
#include "train/options.h"

namespace sluice {
namespace {

constexpr std::uint32_t kMostSteps = std::uint32_t{1} << 24;  // whole numbers up to here are exact in a float

}  // namespace

template <class T>
struct Optimizer<T>::Loaded {
  std::uint32_t steps = 0;
  std::array<Tensor<T>, kMostBuffers> state;
};

template <class T>
Optimizer<T>::Optimizer(std::string_view type, const Parameters<T>& parameters, double lr,
                        std::vector<std::string> buffers, double initial_value)
    : lr_(lr),
      initial_value_(initial_value),
      infos_(parameters.infos()),
      buffers_(std::move(buffers)),
      steps_(infos_.size(), 0),
      states_(infos_.size()) {
  SLUICE_DCHECK(buffers_.size() <= kMostBuffers);
  check_not_negative(type, "lr", lr);
}

template <class T>
void Optimizer<T>::set_lr(double lr) {
  check_not_negative(type(), "lr", lr);
  lr_ = lr;
}

template <class T>
void Optimizer<T>::check_same(const Parameters<T>& parameters) const {
  if (parameters.count() != infos_.size()) {
    throw Error(std::string(type()) + "::step: there are " + std::to_string(parameters.count()) +
                " parameters, expected " + std::to_string(infos_.size()));
  }
  for (std::size_t i = 0; i < infos_.size(); ++i) {
    const ParameterInfo& expected = infos_[i];
    if (parameters.name(i) == expected.name && parameters.shape(i) == expected.shape) continue;
    throw Error(std::string(type()) + "::step: parameter " + std::to_string(i) + " is '" +
                parameters.name(i) + "' " + parameters.shape(i).to_string() + ", expected '" + expected.name +
                "' " + expected.shape.to_string());
  }
}

template <class T>
void Optimizer<T>::step(Parameters<T>& parameters, const RunOptions& options) {
  check_same(parameters);
  const std::vector<Chunk> chunks = chunks_that_train(parameters);
  for (std::size_t i = 0; i < infos_.size(); ++i) {
    for (std::size_t b = 0; b < buffers_.size(); ++b) {
      if (parameters.is_frozen(i) || !states_[i][b].is_null()) continue;
      Tensor<T> state(infos_[i].shape);
      if (initial_value_ != 0) std::fill_n(state.data(), state.size(), static_cast<T>(initial_value_));
      states_[i][b] = std::move(state);
    }
  }
  for (std::size_t i = 0; i < infos_.size(); ++i) {
    if (!parameters.is_frozen(i)) steps_[i] = std::min(steps_[i] + 1, kMostSteps);
  }
  for_each_chunk(chunks, options.threads, [&](std::size_t, const Chunk& chunk) noexcept {
    const std::size_t i = chunk.parameter;
    const std::size_t begin = chunk.begin;
    Slice slice{chunk.end - begin,
                parameters.value(i).data() + begin,
                parameters.grad(i).data() + begin,
                {},
                static_cast<double>(steps_[i])};
    for (std::size_t b = 0; b < buffers_.size(); ++b) slice.state[b] = states_[i][b].data() + begin;
    update(slice);
  });
}

template <class T>
StateDict<T> Optimizer<T>::state_dict(const std::string& prefix) const {
  StateDict<T> state;
  for (std::size_t i = 0; i < infos_.size(); ++i) {
    if (steps_[i] == 0) continue;
    const std::string name = prefix + infos_[i].name + ".";
    state.set(name + "step", Tensor<T>({}, {static_cast<T>(steps_[i])}));
    for (std::size_t b = 0; b < buffers_.size(); ++b) {
      state.borrow(name + buffers_[b], states_[i][b].view(), nullptr);
    }
  }
  return state;
}

template <class T>
auto Optimizer<T>::read_parameter(const StateDict<T>& state, const std::string& prefix, std::size_t i) const
    -> Loaded {
  const std::string name = prefix + infos_[i].name + ".";
  const auto has = [&](const std::string& buffer) { return state.contains(name + buffer); };
  if (!has("step") && std::none_of(buffers_.begin(), buffers_.end(), has)) return {};
  Loaded loaded;
  const auto steps = static_cast<double>(*state.at(name + "step", Shape()).data());
  // Casting first would not do: the cast of a number out of range means nothing.
  const bool is_count = steps >= 1 && steps <= kMostSteps && steps == static_cast<std::uint32_t>(steps);
  check_option(std::string(type()) + "::load_state_dict", "'" + name + "step'", steps, is_count,
               "a whole number from 1 to 2^24");
  loaded.steps = static_cast<std::uint32_t>(steps);
  for (std::size_t b = 0; b < buffers_.size(); ++b) {
    loaded.state[b] = Tensor<T>(state.at(name + buffers_[b], infos_[i].shape));
  }
  return loaded;
}

template <class T>
void Optimizer<T>::load_state_dict(const StateDict<T>& state, const std::string& prefix) {
  std::set<std::string> known;
  for (const ParameterInfo& info : infos_) {
    const std::string name = prefix + info.name + ".";
    known.insert(name + "step");
    for (const std::string& buffer : buffers_) known.insert(name + buffer);
  }
  for (const std::string& name : state.names()) {
    if (name.starts_with(prefix) && !known.contains(name)) {
      throw Error(std::string(type()) + "::load_state_dict: '" + name + "' is no state of this optimizer");
    }
  }
  std::vector<Loaded> loaded;
  for (std::size_t i = 0; i < infos_.size(); ++i) loaded.push_back(read_parameter(state, prefix, i));
  for (std::size_t i = 0; i < infos_.size(); ++i) {
    steps_[i] = loaded[i].steps;
    states_[i] = std::move(loaded[i].state);
  }
}

template class Optimizer<float>;
template class Optimizer<double>;

}  // namespace sluice
