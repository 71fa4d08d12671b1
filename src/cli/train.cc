// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/arrays.h"
#include "cli/commands.h"
#include "cli/gate_log.h"
#include "cli/plot.h"
#include "cli/resume.h"
#include "cli/training_data.h"
#include "cli/training_log.h"
#include "core/atomic_file.h"
#include "sluice/carried_state.h"
#include "sluice/checkpoint.h"
#include "sluice/clip_grad.h"
#include "sluice/error.h"
#include "sluice/loss.h"
#include "sluice/optim.h"
#include "sluice/random.h"
#include "sluice/safetensors.h"
#include "sluice/schedule.h"
#include "sluice/tape.h"
#include "sluice/trainable.h"

namespace sluice::cli {
namespace {

// A name as a user writes it, "cross_entropy" or "CrossEntropyLoss", as one of `names`; throws UsageError.
std::string find_name(const std::string& option, const std::string& given, const std::string& ending,
                      const std::vector<std::string>& names) {
  const auto plain = [&](const std::string& name) {
    std::string text;
    for (const char c : name) {
      if (c != '_' && c != '-') text += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    if (text.size() > ending.size() && text.ends_with(ending)) text.resize(text.size() - ending.size());
    return text;
  };
  std::string message = option + " is " + given + ", expected one of";
  for (const std::string& name : names) {
    if (plain(name) == plain(given)) return name;
    message += (name == names.front() ? " " : ", ") + name;
  }
  throw UsageError(message);
}

// The arguments with the library's names.
TrainArguments with_names(TrainArguments a) {
  a.loss = find_name(
      "--loss", a.loss, "loss",
      {"BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "NLLLoss", "MSELoss", "L1Loss", "SmoothL1Loss"});
  a.optimizer = find_name("--optimizer", a.optimizer, "", {"SGD", "Adam", "AdamW", "RMSprop", "Adagrad"});
  if (!a.schedule.empty()) {
    a.schedule = find_name("--schedule", a.schedule, "lr", {"step", "cosine", "plateau", "warmup"});
  }
  return a;
}

template <class T>
LossOutput<T> loss_of(const std::string& name, const SequenceOutput<T>& out, const BatchView<T>& batch,
                      bool with_grad, int threads) {
  const LossRunOptions run{.lengths = out.lengths, .with_grad = with_grad, .threads = threads};
  const TensorView<const T> y = out.y.view();
  const TensorView<const T> target = batch.target;
  if (name == "BCELoss") return BCELoss<T>()(y, target, run);
  if (name == "BCEWithLogitsLoss") return BCEWithLogitsLoss<T>()(y, target, run);
  if (name == "CrossEntropyLoss") return CrossEntropyLoss<T>()(y, batch.classes, run);
  if (name == "NLLLoss") return NLLLoss<T>()(y, batch.classes, run);
  if (name == "MSELoss") return MSELoss<T>()(y, target, run);
  if (name == "L1Loss") return L1Loss<T>()(y, target, run);
  return SmoothL1Loss<T>()(y, target, run);
}

template <class T>
std::unique_ptr<Optimizer<T>> make_optimizer(const TrainArguments& a, const Parameters<T>& parameters) {
  if (a.momentum && a.optimizer != "SGD" && a.optimizer != "RMSprop") {
    throw UsageError("--momentum goes with SGD and RMSprop, not with " + a.optimizer);
  }
  if (a.optimizer == "SGD") {
    return std::make_unique<SGD<T>>(parameters, SGDOptions{.lr = a.lr,
                                                           .momentum = a.momentum.value_or(0),
                                                           .weight_decay = a.weight_decay.value_or(0)});
  }
  if (a.optimizer == "RMSprop") {
    return std::make_unique<RMSprop<T>>(parameters, RMSpropOptions{.lr = a.lr,
                                                                   .weight_decay = a.weight_decay.value_or(0),
                                                                   .momentum = a.momentum.value_or(0)});
  }
  if (a.optimizer == "Adagrad") {
    return std::make_unique<Adagrad<T>>(
        parameters, AdagradOptions{.lr = a.lr, .weight_decay = a.weight_decay.value_or(0)});
  }
  if (a.optimizer == "AdamW") {
    AdamWOptions options{.lr = a.lr};
    options.weight_decay = a.weight_decay.value_or(options.weight_decay);
    return std::make_unique<AdamW<T>>(parameters, options);
  }
  return std::make_unique<Adam<T>>(parameters,
                                   AdamOptions{.lr = a.lr, .weight_decay = a.weight_decay.value_or(0)});
}

std::unique_ptr<Schedule> make_schedule(const TrainArguments& a) {
  if (a.schedule == "cosine") {
    return std::make_unique<CosineAnnealingLR>(a.lr, CosineAnnealingLROptions{.T_max = a.epochs});
  }
  if (a.schedule == "step") {
    return std::make_unique<StepLR>(a.lr, StepLROptions{.step_size = (a.epochs + 2) / 3});
  }
  if (a.schedule == "warmup") return std::make_unique<LinearLR>(a.lr);
  if (a.schedule == "plateau") return std::make_unique<ReduceLROnPlateau>(a.lr);
  return nullptr;
}

template <class T>
TrainableModel<T> begin_model(const TrainArguments& arguments) {
  const std::string text = read_text(arguments.model);
  try {
    return TrainableModel<T>::begin(text, arguments.seed);
  } catch (const Error& error) {
    throw FileError(arguments.model + ": " + error.what());
  }
}

template <class T>
TrainableModel<T> load_trainable(const TrainArguments& arguments) {
  LoadOptions options;
  options.prefix = arguments.prefix.value_or("");
  options.batch_first = arguments.batch_first;
  if (arguments.nonlinearity == "relu") options.nonlinearity = Nonlinearity::kRelu;
  TrainableModel<T> trained = arguments.model.ends_with(".json")
                                  ? begin_model<T>(arguments)
                                  : TrainableModel<T>::load(arguments.model, options);
  if (const std::optional<BareLayer>& layer = trained.model().bare_layer()) {
    if (arguments.nonlinearity && layer->kind != BareLayer::Kind::kRNN) {
      throw UsageError("--nonlinearity goes with an RNN, and " + arguments.model + " is none");
    }
    return trained;
  }
  const std::string why =
      " goes with a bare recurrent layer, and " + arguments.model + " has an architecture";
  if (arguments.prefix) throw UsageError("--prefix" + why);
  if (arguments.nonlinearity) throw UsageError("--nonlinearity" + why);
  if (arguments.batch_first && !trained.model().batch_first()) {
    throw UsageError("--batch-first" + why + " that says otherwise");
  }
  return trained;
}

// The training of one model: one epoch after the other.
template <class T>
class Training {
 public:
  explicit Training(const TrainArguments& arguments)
      : arguments_(arguments),
        trained_(load_trainable<T>(arguments)),
        data_(load_data(arguments, trained_.model())),
        optimizer_(make_optimizer(arguments, trained_.parameters())),
        schedule_(make_schedule(arguments)),
        gate_log_(arguments.gates, arguments.gradients),
        random_{.seed = arguments.seed} {
    if (schedule_ != nullptr) optimizer_->set_lr(schedule_->lr());
    const auto held_out =
        static_cast<std::size_t>(std::floor(arguments.validation_split * static_cast<double>(data_.rows())));
    training_rows_ = data_.rows() - held_out;
    if (training_rows_ == 0) throw UsageError("--validation-split leaves no row to train on");
    if (arguments.truncate > 0 && arguments.truncate < data_.steps()) window_ = arguments.truncate;
    facts_ = facts_of(arguments, trained_.model().architecture(), data_.to_string());
  }

  void run() {
    const bool shows = arguments_.progress.value_or(isatty(STDERR_FILENO) == 1);
    if (!arguments_.resume.empty() && std::filesystem::exists(arguments_.resume)) {
      go_on();
      if (shows) std::fprintf(stderr, "%s has %zu epochs\n", arguments_.resume.c_str(), epochs_.size());
      write_results();  // a run that was killed may not have come to it
    }
    while (epochs_.size() < arguments_.epochs) {
      const auto start = std::chrono::steady_clock::now();
      const double loss = train_epoch(epochs_.size() + 1);
      const std::optional<double> validation = validation_loss();
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      if (schedule_ != nullptr) optimizer_->set_lr(schedule_->step(validation.value_or(loss)));
      epochs_.push_back({loss, validation, took.count()});
      gate_log_.end_epoch(epochs_.size());
      write_checkpoint();
      write_results();
      if (shows) {
        const double left = took.count() * static_cast<double>(arguments_.epochs - epochs_.size());
        std::fprintf(stderr, "epoch %zu/%zu: loss %.6g%s%s, %.0f sequences a second, %.0f s left\n",
                     epochs_.size(), arguments_.epochs, loss, validation ? ", validation " : "",
                     validation ? number(*validation).c_str() : "",
                     static_cast<double>(training_rows_) / took.count(), left);
      }
    }
  }

 private:
  void write_results() const {
    trained_.save(arguments_.save);
    if (!arguments_.log.empty()) replace_file(arguments_.log, write_log(epochs_));
    if (!arguments_.plot.empty()) replace_file(arguments_.plot, plot_losses(epochs_));
    gate_log_.write();
  }

  // The first file of an epoch: the results may replace the model that the training began with.
  void write_checkpoint() const {
    if (arguments_.resume.empty()) return;
    CheckpointFacts facts = facts_;
    facts["epoch"] = std::to_string(epochs_.size());
    facts["step"] = std::to_string(step_);
    facts["random"] = std::to_string(random_.next);
    facts["log"] = write_log(epochs_);
    if (schedule_ != nullptr) facts["schedule_state"] = schedule_->state();
    if (gate_log_.is_wanted()) {
      facts["gates"] = gate_log_.texts().gates;
      facts["gradients"] = gate_log_.texts().gradients;
    }
    save_checkpoint(arguments_.resume, trained_.parameters(), *optimizer_, facts);
  }

  // Random numbers are functions of the seed and a count, so nothing else has to be kept of them.
  void go_on() {
    const std::string& path = arguments_.resume;
    check_facts(path, SafetensorsFile::open(path).metadata(), facts_);
    const CheckpointFacts found = load_checkpoint(path, trained_.parameters(), *optimizer_);
    step_ = count_fact(path, found, "step");
    random_.next = count_fact(path, found, "random");
    if (found.contains("gates")) gate_log_.go_on({found.at("gates"), fact(path, found, "gradients")});
    try {
      if (schedule_ != nullptr) schedule_->load_state(fact(path, found, "schedule_state"));
      epochs_ = read_log(fact(path, found, "log"));
    } catch (const FileError&) {
      throw;
    } catch (const Error& error) {
      throw FileError(path + ": " + error.what());
    }
    if (epochs_.size() != count_fact(path, found, "epoch")) {
      throw FileError(path + ": the log has " + std::to_string(epochs_.size()) + " epochs, expected " +
                      fact(path, found, "epoch"));
    }
    if (epochs_.size() > arguments_.epochs) {
      throw UsageError("--epochs is " + std::to_string(arguments_.epochs) + ", and " + path + " has " +
                       std::to_string(epochs_.size()) + " already");
    }
    if (schedule_ != nullptr) optimizer_->set_lr(schedule_->lr());
    trained_.update();
  }

  [[noreturn]] void stop(std::size_t epoch, const std::string& place, const std::string& why) const {
    throw Error("epoch " + std::to_string(epoch) + ", " + place + ": " + why +
                (epoch > 1 ? "; " + arguments_.save + " has the model of the epoch before" : ""));
  }

  // The mean loss over the optimizer's steps.
  double train_epoch(std::size_t epoch) {
    std::vector<std::size_t> order(training_rows_);
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    if (arguments_.shuffle) order = random_permutation(order.size(), RandomStream(arguments_.seed, epoch));
    double sum = 0;
    std::size_t steps = 0;
    std::string place;
    for (std::size_t first = 0; first < order.size(); first += arguments_.batch_size) {
      const std::size_t count = std::min(arguments_.batch_size, order.size() - first);
      const Batch<T> batch = make_batch<T>(data_, std::span(order).subspan(first, count));
      const std::string name = "batch " + std::to_string(first / arguments_.batch_size + 1);
      CarriedState carried;
      const std::vector<BatchView<T>> windows = windows_of(batch, window_);
      for (std::size_t i = 0; i < windows.size(); ++i) {
        place = name + (window_ > 0 ? ", window " + std::to_string(i + 1) : "");
        const double loss = train_step(windows[i], window_ > 0 ? &carried : nullptr);
        if (!std::isfinite(loss)) stop(epoch, place, "the loss is " + number(loss));
        sum += loss;
        ++steps;
      }
    }
    if (steps == 0) stop(epoch, "all batches", "no row has a step");
    // The next epoch would stop at its loss; this one's model must not be saved either.
    const std::span<const T> values = trained_.parameters().values();
    if (!std::all_of(values.begin(), values.end(), [](T value) { return std::isfinite(value); })) {
      stop(epoch, place, "a parameter is no longer finite");
    }
    return sum / static_cast<double>(steps);
  }

  // One step of the optimizer, unless the loss that is returned is not finite.
  double train_step(const BatchView<T>& batch, CarriedState* carried) {
    Parameters<T>& parameters = trained_.parameters();
    const SequenceOutput<T> out =
        trained_.record({batch.x, batch.lengths}, tape_,
                        RecordOptions{.threads = arguments_.threads, .carried = carried, .random = &random_});
    const LossOutput<T> loss = loss_of(arguments_.loss, out, batch, true, arguments_.threads);
    if (!std::isfinite(loss.value)) return loss.value;
    parameters.zero_grad();
    trained_.backward(
        loss.grad.view(), tape_,
        {.wants_input = false, .threads = arguments_.threads, .statistics = gate_log_.statistics()});
    if (arguments_.clip_grad_norm) {
      clip_grad_norm(parameters, *arguments_.clip_grad_norm, {}, RunOptions{arguments_.threads});
    }
    optimizer_->step(parameters, RunOptions{arguments_.threads});
    ++step_;
    trained_.update();
    return loss.value;
  }

  // The mean loss over the batches of the rows that are held out.
  std::optional<double> validation_loss() {
    if (training_rows_ == data_.rows()) return std::nullopt;
    double sum = 0;
    std::size_t batches = 0;
    for (std::size_t first = training_rows_; first < data_.rows(); first += arguments_.batch_size) {
      std::vector<std::size_t> rows;
      for (std::size_t i = first; i < std::min(first + arguments_.batch_size, data_.rows()); ++i)
        rows.push_back(i);
      const Batch<T> batch = make_batch<T>(data_, rows);
      const SequenceOutput<T> out =
          trained_.model().modules().run({batch.x.view(), batch.lengths}, RunOptions{arguments_.threads});
      sum += loss_of(arguments_.loss, out, BatchView<T>(batch), false, arguments_.threads).value;
      ++batches;
    }
    return sum / static_cast<double>(batches);
  }

  const TrainArguments& arguments_;
  TrainableModel<T> trained_;
  Data<T> data_;
  std::unique_ptr<Optimizer<T>> optimizer_;
  std::unique_ptr<Schedule> schedule_;
  GateLog gate_log_;
  Tape tape_;
  RandomSource random_;  // for dropout; what it has given so far belongs to where the training stands
  std::size_t training_rows_ = 0;
  std::size_t window_ = 0;  // steps of a window, 0 if sequences are gone through whole
  CheckpointFacts facts_;
  std::vector<Epoch> epochs_;
  std::uint64_t step_ = 0;  // of the optimizer, over all epochs
};

}  // namespace

void train(const TrainArguments& given) {
  const TrainArguments arguments = with_names(given);
  // Asked before long work.
  Outputs outputs;
  outputs.expect(arguments.save);
  outputs.expect(arguments.log);
  outputs.expect(arguments.gates);
  outputs.expect(arguments.gradients);
  outputs.expect(arguments.plot);
  outputs.expect(arguments.resume);
  if (arguments.dtype == "float64") {
    Training<double>(arguments).run();
  } else {
    Training<float>(arguments).run();
  }
}

}  // namespace sluice::cli
