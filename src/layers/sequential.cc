// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <utility>

#include "core/profiler.h"
#include "layers/sequence.h"
#include "sluice/carried_state.h"
#include "sluice/error.h"
#include "sluice/layers.h"
#include "sluice/random.h"

namespace sluice {
namespace {

// Calls body(); an error says at which module it came up: "Sequential: module 1 (Linear): ...".
template <class T, class Body>
auto at_module(std::size_t i, const Module<T>& module, const Body& body) {
  const auto place = [&] {
    return "Sequential: module " + std::to_string(i) + " (" + std::string(module.type()) + "): ";
  };
  try {
    return body();
  } catch (const ShapeError& error) {
    throw ShapeError(place() + error.what());
  } catch (const Error& error) {
    throw Error(place() + error.what());
  }
}

// True if the module gives what it takes but where it is recorded.
template <class T>
bool is_idle(const Module<T>& module) {
  return dynamic_cast<const Dropout<T>*>(&module) != nullptr;
}

// Of a Sequential within another, the modules count, not the whole.
template <class T>
bool counts_itself(const Module<T>& module) {
  return dynamic_cast<const Sequential<T>*>(&module) != nullptr;
}

// The outputs of all modules but the last: what the next ones took.
template <class T>
struct SequentialEntry final : Tape::Entry {
  std::vector<SequenceOutput<T>> outputs;
  std::size_t entries_below = 0;  // of the tape when the run began
  std::size_t bytes() const noexcept override {
    std::size_t elements = 0;
    for (const SequenceOutput<T>& output : outputs) elements += output.y.size();
    return elements * sizeof(T);
  }
};

// True if a parameter of the module is not frozen.
template <class T>
bool wants_any(const Module<T>& module, const Parameters<T>& parameters) {
  const std::vector<ParameterInfo> infos = module.parameters();
  return std::any_of(infos.begin(), infos.end(), [&](const ParameterInfo& info) {
    return !parameters.is_frozen(parameters.index_of(info.name));
  });
}

template <class T>
class SequentialStepper final : public Stepper<T> {
 public:
  struct Part {
    const Module<T>* module;
    std::unique_ptr<Stepper<T>> stepper;
    // Stands after a module that makes one value of the sequence: what it sees is always a sequence of one
    // step, and so it starts afresh each time.
    bool starts_afresh;
    ModuleCounter* counter = nullptr;  // where its time is counted
  };

  SequentialStepper(std::vector<Part> parts, std::size_t batch, std::size_t features)
      : parts_(std::move(parts)), y_(parts_.empty() ? Tensor<T>({batch, features}) : Tensor<T>()) {}

  const T* step(const T* x) noexcept override {
    if (state_ == nullptr) return step_all(x);
    if (is_outermost_ && !state_->begin_step()) return step_all(x);
    if (state_->weight == 0) return step_all(x);
    return step_timed(x);
  }

  void set_profiler(Profiler* profiler) override {
    detach();
    if (profiler == nullptr) return;
    Profiler::State& state = profiler->state();
    const bool is_outermost = !state.is_running;
    state.is_running = true;
    try {
      attach(*profiler);
    } catch (...) {
      detach();
      state.current = nullptr;
      state.is_running = !is_outermost;
      throw;
    }
    state.is_running = !is_outermost;
    is_outermost_ = is_outermost;
    state_ = &state;
  }

  void reset() noexcept override {
    for (const Part& part : parts_) part.stepper->reset();
  }

 private:
  void attach(Profiler& profiler) {
    Profiler::State& state = profiler.state();
    for (Part& part : parts_) {
      if (!counts_itself(*part.module)) {
        part.counter = &counter_of(state, *part.module, part.module->type());
        state.current = part.counter;
      }
      part.stepper->set_profiler(&profiler);
      state.current = nullptr;
    }
  }
  void detach() {
    state_ = nullptr;
    for (Part& part : parts_) {
      part.counter = nullptr;
      part.stepper->set_profiler(nullptr);
    }
  }

  const T* step_all(const T* x) noexcept {
    if (parts_.empty()) {
      std::copy_n(x, y_.size(), y_.data());
      return y_.data();
    }
    for (const Part& part : parts_) {
      if (part.starts_afresh) part.stepper->reset();
      x = part.stepper->step(x);
      if (x == nullptr) break;
    }
    return x;
  }

  const T* step_timed(const T* x) noexcept {
    if (parts_.empty()) x = step_all(x);
    std::uint64_t begin = is_outermost_ ? state_->step_begin : now_ticks();
    for (const Part& part : parts_) {
      if (part.starts_afresh) part.stepper->reset();
      x = part.stepper->step(x);
      const std::uint64_t end = now_ticks();
      if (part.counter != nullptr) state_->finish(*part.counter, begin, end - begin, state_->weight);
      begin = end;
      if (x == nullptr) break;
    }
    if (is_outermost_) state_->end_step(begin);
    return x;
  }

  std::vector<Part> parts_;
  Profiler::State* state_ = nullptr;
  bool is_outermost_ = false;
  Tensor<T> y_;  // where there is no module that has one
};

}  // namespace

template <class T>
Sequential<T>& Sequential<T>::add(std::unique_ptr<Module<T>> module) {
  if (module == nullptr) throw Error("Sequential::add: module is null");
  modules_.push_back(std::move(module));
  return *this;
}

template <class T>
std::vector<ParameterInfo> Sequential<T>::parameters() const {
  std::vector<ParameterInfo> all;
  for (const auto& module : modules_) {
    for (ParameterInfo& parameter : module->parameters()) all.push_back(std::move(parameter));
  }
  return all;
}

template <class T>
std::size_t Sequential<T>::output_size(std::size_t input_size) const {
  for (std::size_t i = 0; i < size(); ++i) {
    input_size = at_module(i, *modules_[i], [&] { return modules_[i]->output_size(input_size); });
  }
  return input_size;
}

template <class T>
double Sequential<T>::flops_per_step(std::size_t input_size) const {
  double sum = 0;
  for (const auto& module : modules_) {
    sum += module->flops_per_step(input_size);
    input_size = module->output_size(input_size);
  }
  return sum;
}

template <class T>
bool Sequential<T>::ends_sequence() const noexcept {
  return std::any_of(modules_.begin(), modules_.end(), [](const auto& m) { return m->ends_sequence(); });
}

template <class T>
SequenceOutput<T> Sequential<T>::run(const Sequence<T>& in, const RunOptions& options) const {
  check_sequence("Sequential::run", in);
  output_size(in.x.dim(2));  // throws before any work
  const RunClock clock(options.profiler);
  SequenceOutput<T> out;
  Sequence<T> next = in;
  for (std::size_t i = 0; i < size(); ++i) {
    const Module<T>& module = *modules_[i];
    if (is_idle(module)) continue;
    out = at_module(i, module, [&] {
      const ModuleClock module_clock(counts_itself(module) ? nullptr : options.profiler, module,
                                     module.type());
      return module.run(next, options);
    });
    next = {out.y.view(), out.lengths};
  }
  if (out.y.is_null()) return {Tensor<T>(in.x), same_lengths(in)};  // no module did anything
  return out;
}

template <class T>
std::unique_ptr<Stepper<T>> Sequential<T>::stepper(std::size_t batch, std::size_t input_size) const {
  using Part = typename SequentialStepper<T>::Part;
  output_size(input_size);  // throws before any memory is taken
  std::vector<Part> parts;
  bool ended = false;
  std::size_t features = input_size;
  for (std::size_t i = 0; i < size(); ++i) {
    const Module<T>& module = *modules_[i];
    if (is_idle(module)) continue;
    parts.push_back(
        Part{&module, at_module(i, module, [&] { return module.stepper(batch, features); }), ended});
    features = module.output_size(features);
    ended = ended || module.ends_sequence();
  }
  return std::make_unique<SequentialStepper<T>>(std::move(parts), batch, input_size);
}

template <class T>
SequenceOutput<T> Sequential<T>::record(const Sequence<T>& in, Tape& tape,
                                        const RecordOptions& options) const {
  check_sequence("Sequential::record", in);
  const Tape::Step step(tape);
  output_size(in.x.dim(2));
  auto entry = std::make_unique<SequentialEntry<T>>();
  entry->entries_below = tape.size();
  const RandomSource random = options.random != nullptr ? *options.random : RandomSource();
  SequenceOutput<T> out{modules_.empty() ? Tensor<T>(in.x) : Tensor<T>(), same_lengths(in)};
  Sequence<T> next = in;
  const CarriedState carried = options.carried != nullptr ? *options.carried : CarriedState();
  try {
    for (std::size_t i = 0; i < size(); ++i) {
      SequenceOutput<T> made =
          at_module(i, *modules_[i], [&] { return modules_[i]->record(next, tape, options); });
      if (i + 1 == size()) {
        out = std::move(made);
      } else {
        const SequenceOutput<T>& kept = entry->outputs.emplace_back(std::move(made));
        next = {kept.y.view(), kept.lengths};
      }
    }
  } catch (...) {
    // Of a run that failed nothing stays.
    tape.shrink(entry->entries_below);
    if (options.carried != nullptr) *options.carried = carried;
    if (options.random != nullptr) *options.random = random;
    throw;
  }
  tape.put(std::move(entry));
  return out;
}

template <class T>
Tensor<T> Sequential<T>::backward(TensorView<const T> grad, Tape& tape, Parameters<T>& parameters,
                                  const BackwardOptions& options) const {
  const Tape::Step step(tape);
  const auto entry = tape.take<SequentialEntry<T>>();
  // The way back ends at the first module that has something to learn.
  std::size_t first = size();
  for (std::size_t i = size(); i-- > 0;) {
    if (options.wants_input || wants_any(*modules_[i], parameters)) first = i;
  }
  Tensor<T> owned = size() == 0 && options.wants_input ? Tensor<T>(grad) : Tensor<T>();
  for (std::size_t i = size(); i-- > first;) {
    BackwardOptions of_module = options;
    of_module.wants_input = i > first || options.wants_input;
    owned =
        at_module(i, *modules_[i], [&] { return modules_[i]->backward(grad, tape, parameters, of_module); });
    grad = owned.view();
  }
  tape.shrink(entry->entries_below);
  return owned;
}

template <class T>
void Sequential<T>::load(const StateDict<T>& weights) {
  for (std::size_t i = 0; i < size(); ++i) at_module(i, *modules_[i], [&] { modules_[i]->load(weights); });
}

template class Sequential<float>;
template class Sequential<double>;

}  // namespace sluice
