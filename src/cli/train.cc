// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cli/arrays.h"
#include "cli/commands.h"
#include "cli/run.h"
#include "io/atomic_file.h"
#include "sluice/clip_grad.h"
#include "sluice/error.h"
#include "sluice/loss.h"
#include "sluice/optim.h"
#include "sluice/random.h"
#include "sluice/schedule.h"
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

bool takes_classes(const std::string& loss) { return loss == "CrossEntropyLoss" || loss == "NLLLoss"; }

// All rows, rows first, as they come from the files.
template <class T>
struct Data {
  Tensor<T> x;                        // [B, T, I]
  Tensor<T> target;                   // [B, T, F], or [B, 1, F] for a model that gives one value
  Tensor<std::int64_t> classes;       // the same without the last dimension, where the loss takes classes
  std::vector<std::int64_t> lengths;  // [B], or empty
  std::size_t rows() const noexcept { return x.dim(0); }
};

// Some of the rows, time first, as a module takes them.
template <class T>
struct Batch {
  Tensor<T> x;
  Tensor<T> target;
  Tensor<std::int64_t> classes;
  std::vector<std::int64_t> lengths;
};

// `dims` of a file in the order [B, T, ...]: a model that is not batch first has [T, B, ...].
template <class U>
Tensor<U> rows_first(const Tensor<U>& array, bool batch_first) {
  return batch_first ? array : Tensor<U>(array.view().transpose(0, 1));
}

template <class T>
std::string expected_shape(const Model<T>& model, std::size_t rows, std::size_t steps, bool with_features) {
  const std::string features = with_features ? ", " + std::to_string(model.output_size()) : "";
  const std::string b = std::to_string(rows), t = std::to_string(steps);
  if (model.modules().ends_sequence()) return "[" + b + features + "]";
  return "[" + (model.batch_first() ? b + ", " + t : t + ", " + b) + features + "]";
}

template <class T>
Data<T> load_data(const TrainArguments& arguments, const Model<T>& model) {
  Data<T> data;
  const Tensor<T> x = model_input(model, load_npy(arguments.input), arguments.input);
  if (x.rank() != 3 || x.dim(2) != model.input_size()) {
    throw FileError(arguments.input + ": x is " + x.shape().to_string() + ", expected " +
                    (model.batch_first() ? "[B, T, " : "[T, B, ") + std::to_string(model.input_size()) + "]");
  }
  data.x = rows_first(x, model.batch_first());
  const std::size_t rows = data.rows(), steps = data.x.dim(1);
  if (rows == 0) throw FileError(arguments.input + ": there are no rows to train on");
  const bool has_classes = takes_classes(arguments.loss);
  const bool is_one_value = model.modules().ends_sequence();
  // Brings the target to [B, T, ...], with T = 1 for one value.
  const auto arrange = [&](const auto& array) {
    const std::size_t rank = array.rank() + (has_classes ? 1 : 0);
    const bool fits = is_one_value ? rank == 2 && array.dim(0) == rows
                                   : rank == 3 && array.dim(model.batch_first() ? 0 : 1) == rows;
    if (!fits || (!has_classes && array.dim(array.rank() - 1) != model.output_size())) {
      throw FileError(arguments.target + ": the target is " + array.shape().to_string() + ", expected " +
                      expected_shape(model, rows, steps, !has_classes));
    }
    auto arranged = is_one_value ? array : rows_first(array, model.batch_first());
    if (!is_one_value) return arranged;
    const Shape shape = has_classes ? Shape{rows, 1} : Shape{rows, 1, array.dim(1)};
    return std::move(arranged).reshaped(shape);
  };
  NpyArray target = load_npy(arguments.target);
  auto* classes = std::get_if<Tensor<std::int64_t>>(&target);
  if (has_classes != (classes != nullptr)) {
    throw FileError(arguments.target + ": the array is " + (classes != nullptr ? "int64" : "of floats") +
                    ", and " + arguments.loss + " takes " + (has_classes ? "classes as int64" : "floats"));
  }
  if (has_classes) {
    data.classes = arrange(*classes);
  } else {
    data.target = arrange(to_floats<T>(std::move(target), arguments.target));
  }
  if (arguments.lengths.empty()) return data;
  data.lengths = load_lengths(arguments.lengths, rows, steps);
  return data;
}

// Rows `order` of [B, T, ...] as [T, b, ...].
template <class U>
Tensor<U> gather(const Tensor<U>& all, std::span<const std::size_t> order) {
  if (all.is_null()) return {};
  std::vector<std::size_t> dims(all.shape().dims().begin(), all.shape().dims().end());
  const std::size_t steps = dims[1];
  dims[0] = steps;
  dims[1] = order.size();
  Tensor<U> some{Shape(std::span<const std::size_t>(dims))};
  const std::size_t frame = steps == 0 ? 0 : all.size() / all.dim(0) / steps;
  for (std::size_t t = 0; t < steps; ++t) {
    for (std::size_t b = 0; b < order.size(); ++b) {
      std::copy_n(all.data() + (order[b] * steps + t) * frame, frame,
                  some.data() + (t * order.size() + b) * frame);
    }
  }
  return some;
}

template <class T>
Batch<T> make_batch(const Data<T>& data, std::span<const std::size_t> order) {
  Batch<T> batch{gather(data.x, order), gather(data.target, order), gather(data.classes, order), {}};
  for (const std::size_t row : order) {
    if (!data.lengths.empty()) batch.lengths.push_back(data.lengths[row]);
  }
  return batch;
}

template <class T>
LossOutput<T> loss_of(const std::string& name, const SequenceOutput<T>& out, const Batch<T>& batch,
                      bool with_grad, int threads) {
  const LossRunOptions run{.lengths = out.lengths, .with_grad = with_grad, .threads = threads};
  const TensorView<const T> y = out.y.view();
  const TensorView<const T> target = batch.target.view();
  if (name == "BCELoss") return BCELoss<T>()(y, target, run);
  if (name == "BCEWithLogitsLoss") return BCEWithLogitsLoss<T>()(y, target, run);
  if (name == "CrossEntropyLoss") return CrossEntropyLoss<T>()(y, batch.classes.view(), run);
  if (name == "NLLLoss") return NLLLoss<T>()(y, batch.classes.view(), run);
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
  std::ifstream file(arguments.model, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.good() && !file.eof()) throw FileError(arguments.model + ": cannot be read");
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
  TrainableModel<T> trained = arguments.model.ends_with(".json")
                                  ? begin_model<T>(arguments)
                                  : TrainableModel<T>::load(arguments.model, options);
  if (trained.model().bare_layer()) return trained;
  const std::string why =
      " goes with a bare recurrent layer, and " + arguments.model + " has an architecture";
  if (arguments.prefix) throw UsageError("--prefix" + why);
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
        random_{.seed = arguments.seed} {
    if (schedule_ != nullptr) optimizer_->set_lr(schedule_->lr());
    const auto held_out =
        static_cast<std::size_t>(std::floor(arguments.validation_split * static_cast<double>(data_.rows())));
    training_rows_ = data_.rows() - held_out;
    if (training_rows_ == 0) throw UsageError("--validation-split leaves no row to train on");
  }

  void run() {
    std::string log = "epoch,loss,validation_loss,seconds\n";
    const bool shows = arguments_.progress.value_or(isatty(STDERR_FILENO) == 1);
    for (std::size_t epoch = 1; epoch <= arguments_.epochs; ++epoch) {
      const auto start = std::chrono::steady_clock::now();
      const double loss = train_epoch(epoch);
      const std::optional<double> validation = validation_loss();
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      if (schedule_ != nullptr) optimizer_->set_lr(schedule_->step(validation.value_or(loss)));
      trained_.save(arguments_.save);
      log += std::to_string(epoch) + "," + number(loss) + "," + (validation ? number(*validation) : "") +
             "," + number(took.count()) + "\n";
      if (!arguments_.log.empty()) {
        AtomicFile file(arguments_.log);
        file.write(log);
        file.commit();
      }
      if (shows) {
        const double left = took.count() * static_cast<double>(arguments_.epochs - epoch);
        std::fprintf(stderr, "epoch %zu/%zu: loss %.6g%s%s, %.0f sequences a second, %.0f s left\n", epoch,
                     arguments_.epochs, loss, validation ? ", validation " : "",
                     validation ? number(*validation).c_str() : "",
                     static_cast<double>(training_rows_) / took.count(), left);
      }
    }
  }

 private:
  // Enough digits to give the same double again.
  static std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.17g", value);
    return text;
  }

  [[noreturn]] void stop(std::size_t epoch, std::size_t batch, const std::string& why) const {
    throw Error("epoch " + std::to_string(epoch) + ", batch " + std::to_string(batch) + ": " + why +
                (epoch > 1 ? "; " + arguments_.save + " has the model of the epoch before" : ""));
  }

  double train_epoch(std::size_t epoch) {
    std::vector<std::size_t> order(training_rows_);
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    if (arguments_.shuffle) order = random_permutation(order.size(), RandomStream(arguments_.seed, epoch));
    double sum = 0;
    std::size_t batches = 0;
    for (std::size_t first = 0; first < order.size(); first += arguments_.batch_size) {
      const std::size_t count = std::min(arguments_.batch_size, order.size() - first);
      const double loss = train_batch(std::span(order).subspan(first, count));
      ++batches;
      if (!std::isfinite(loss)) stop(epoch, batches, "the loss is " + number(loss));
      sum += loss;
    }
    // The next epoch would stop at its loss; this one's model must not be saved either.
    const std::span<const T> values = trained_.parameters().values();
    if (!std::all_of(values.begin(), values.end(), [](T value) { return std::isfinite(value); })) {
      stop(epoch, batches, "a parameter is no longer finite");
    }
    return sum / static_cast<double>(batches);
  }

  double train_batch(std::span<const std::size_t> rows) {
    const Batch<T> batch = make_batch(data_, rows);
    Parameters<T>& parameters = trained_.parameters();
    const Sequential<T>& modules = trained_.model().modules();
    Tape tape;
    const SequenceOutput<T> out =
        modules.record({batch.x.view(), batch.lengths}, tape,
                       RecordOptions{.threads = arguments_.threads, .random = &random_});
    const LossOutput<T> loss = loss_of(arguments_.loss, out, batch, true, arguments_.threads);
    if (!std::isfinite(loss.value)) return loss.value;
    parameters.zero_grad();
    modules.backward(loss.grad.view(), tape, parameters,
                     {.wants_input = false, .threads = arguments_.threads});
    if (arguments_.clip_grad_norm) {
      clip_grad_norm(parameters, *arguments_.clip_grad_norm, {}, RunOptions{arguments_.threads});
    }
    optimizer_->step(parameters, RunOptions{arguments_.threads});
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
      sum += loss_of(arguments_.loss, out, batch, false, arguments_.threads).value;
      ++batches;
    }
    return sum / static_cast<double>(batches);
  }

  const TrainArguments& arguments_;
  TrainableModel<T> trained_;
  Data<T> data_;
  std::unique_ptr<Optimizer<T>> optimizer_;
  std::unique_ptr<Schedule> schedule_;
  RandomSource random_;  // for dropout; what it has given so far belongs to where the training stands
  std::size_t training_rows_ = 0;
};

}  // namespace

void train(const TrainArguments& given) {
  const TrainArguments arguments = with_names(given);
  // Asked before long work.
  Outputs outputs;
  outputs.expect(arguments.save);
  outputs.expect(arguments.log);
  if (arguments.dtype == "float64") {
    Training<double>(arguments).run();
  } else {
    Training<float>(arguments).run();
  }
}

}  // namespace sluice::cli
