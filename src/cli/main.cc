// SPDX-License-Identifier: Apache-2.0
// The `sluice` program: what stands on its command line, and how errors end it.
#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>
#include <new>
#include <string>

#include "cli/commands.h"
#include "sluice/error.h"
#include "sluice/target.h"

namespace sluice::cli {
namespace {

constexpr int kBadData = 1;
constexpr int kWrongUsage = 2;

// One line on stderr, whatever a file's names have in them.
int fail(int status, std::string message) {
  for (char& c : message) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  }
  std::cerr << "sluice: error: " << message << '\n';
  return status;
}

// Of every command that computes.
void add_how_to_compute(CLI::App& command, int& threads, std::string& dtype) {
  command.add_option("--threads", threads, "At most this many (default: OMP_NUM_THREADS)")
      ->check(CLI::Range(1, 1 << 20));
  command.add_option("--dtype", dtype, "What to compute in (default: float32)")
      ->check(CLI::IsMember({"float32", "float64"}));
}

void add_run(CLI::App& app, RunArguments& a) {
  CLI::App* run = app.add_subcommand("run", "Run a model over a sequence");
  run->add_option("MODEL", a.model, "Model file (safetensors)")->required();
  run->add_option("--input", a.input, "x.npy: [T, B, I], [B, T, I] if batch first, or [T, I]")->required();
  run->add_option("--output", a.output, "y.npy; without it a summary is printed");
  add_how_to_compute(*run, a.threads, a.dtype);
  run->add_option("--lengths", a.lengths, "lengths.npy: int64 [B], valid steps of each row");
  run->add_flag("--step", a.step, "One time step at a time, with the same bits");
  run->add_flag("--progress,!--no-progress", a.progress,
                "Say how far the work is (default: where stderr is a terminal and the work is long)");
  const char* bare = "A bare recurrent layer also takes";
  run->add_option("--prefix", a.prefix, "In front of the tensors' names: rnn.")->group(bare);
  run->add_flag("--batch-first", a.batch_first, "x is [B, T, I]")->group(bare);
  run->add_option("--h0", a.h0, "Initial state h.npy: [L*D, B, H]")->group(bare);
  run->add_option("--c0", a.c0, "Initial cell state c.npy (LSTM)")->group(bare);
  run->add_option("--hn", a.hn, "Where to write the last state")->group(bare);
  run->add_option("--cn", a.cn, "Where to write the last cell state (LSTM)")->group(bare);
  run->add_option("--nonlinearity", a.nonlinearity, "Of an RNN (default: tanh)")
      ->check(CLI::IsMember({"tanh", "relu"}))
      ->group(bare);
  run->callback([&a] { cli::run(a); });
}

void add_train(CLI::App& app, TrainArguments& a) {
  CLI::App* train = app.add_subcommand("train", "Train a model on sequences and targets");
  train->add_option("MODEL", a.model, "ARCHITECTURE.json for a new model, or MODEL.safetensors")->required();
  train->add_option("--input", a.input, "x.npy: [T, B, I], or [B, T, I] if batch first")->required();
  train
      ->add_option("--target", a.target,
                   "y.npy: as the model's output; classes int64 without its last dimension")
      ->required();
  train->add_option("--lengths", a.lengths, "lengths.npy: int64 [B], valid steps of each row");
  train
      ->add_option("--loss", a.loss,
                   "BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, NLLLoss, MSELoss, L1Loss, SmoothL1Loss")
      ->required();
  train->add_option("--optimizer", a.optimizer, "SGD, Adam, AdamW, RMSprop, Adagrad")->required();
  train->add_option("--lr", a.lr, "Learning rate")->required()->check(CLI::NonNegativeNumber);
  train->add_option("--momentum", a.momentum, "Of SGD and RMSprop")->check(CLI::NonNegativeNumber);
  train->add_option("--weight-decay", a.weight_decay, "As PyTorch's optimizers take it")
      ->check(CLI::NonNegativeNumber);
  train->add_option("--clip-grad-norm", a.clip_grad_norm, "Scale gradients down to this norm")
      ->check(CLI::NonNegativeNumber);
  train->add_option("--epochs", a.epochs, "How often all rows are gone through (default: 1)")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 40));
  train->add_option("--batch-size", a.batch_size, "Rows of a batch (default: 32)")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 40));
  train
      ->add_option("--truncate", a.truncate,
                   "A step of the optimizer each K steps of time, from the state where the last ones ended")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 40));
  train->add_flag("--shuffle", a.shuffle,
                  "Another order of the rows each epoch; without it that of the file");
  train->add_option("--seed", a.seed, "Of first values, --shuffle and dropout (default: 0)");
  train
      ->add_option("--validation-split", a.validation_split,
                   "This share of the rows, the last ones, is only measured")
      ->check(CLI::Range(0.0, 1.0));
  train->add_option("--schedule", a.schedule,
                    "step (a tenth every third of the epochs), cosine (to 0), plateau, warmup (5 epochs)");
  train->add_option("--save", a.save, "Where to write the model, after each epoch")->required();
  train->add_option("--log", a.log, "log.csv: epoch,loss,validation_loss,seconds");
  train->add_option("--gates", a.gates,
                    "gates.csv: the share of each gate's activations at either end, an epoch");
  train->add_option("--gradients", a.gradients,
                    "gradients.csv: the norm of the gradient of h at each step, an epoch");
  train->add_option("--plot", a.plot, "curve.svg: the losses over the epochs");
  train->add_option("--resume", a.resume,
                    "Checkpoint, written after each epoch; goes on from it where it is there");
  add_how_to_compute(*train, a.threads, a.dtype);
  train->add_flag("--progress,!--no-progress", a.progress,
                  "A line an epoch on stderr (default: where it is a terminal)");
  train->add_option("--prefix", a.prefix, "In front of a bare layer's tensors' names: rnn.");
  train->add_flag("--batch-first", a.batch_first, "A bare layer's x is [B, T, I]");
  train->add_option("--nonlinearity", a.nonlinearity, "Of a bare RNN (default: tanh)")
      ->check(CLI::IsMember({"tanh", "relu"}));
  train->callback([&a] { cli::train(a); });
}

void add_profile(CLI::App& app, ProfileArguments& a) {
  CLI::App* profile =
      app.add_subcommand("profile", "Where a model's time goes, how near the limit, and what its gates do");
  profile->add_option("MODEL", a.model, "Model file (safetensors)")->required();
  profile->add_option("--input", a.input, "x.npy: [T, B, I], [B, T, I] if batch first, or [T, I]");
  profile->add_option("--lengths", a.lengths, "lengths.npy: int64 [B], valid steps of each row");
  profile->add_option("--shape", a.shape, "T,B: so many steps and rows, drawn at random, instead of --input");
  add_how_to_compute(*profile, a.threads, a.dtype);
  profile->add_option("--repeat", a.repeat, "Runs that are measured (default: 20)")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 40));
  profile->add_option("--json", a.json, "report.json, for programs and --compare");
  profile->add_option("--trace", a.trace, "trace.json, for Perfetto and chrome://tracing");
  profile->add_option("--html", a.html, "report.html: one page with everything");
  profile->add_option("--plot", a.plot, "roofline.svg");
  profile->add_option("--compare", a.compare, "before.json, an earlier --json: shows both side by side");
  profile->add_option("--fail-slower", a.fail_slower,
                      "5%: exit with 1 where the fastest run takes so much longer than that of --compare");
  profile->add_flag("--gradients", a.gradients,
                    "How far back gradients reach: those of the sum of the outputs' squares");
  profile->add_flag("--try", a.tries_advice, "Measure what other threads and more rows give");
  profile->add_flag("--live", a.live, "Gate levels and speed on the terminal, until Ctrl-C");
  profile->add_flag("--fresh-limits", a.fresh_limits, "Measure this machine's limits anew");
  const char* bare = "A bare recurrent layer also takes";
  profile->add_option("--prefix", a.prefix, "In front of the tensors' names: rnn.")->group(bare);
  profile->add_flag("--batch-first", a.batch_first, "x is [B, T, I]")->group(bare);
  profile->add_option("--nonlinearity", a.nonlinearity, "Of an RNN (default: tanh)")
      ->check(CLI::IsMember({"tanh", "relu"}))
      ->group(bare);
  profile->callback([&a] { cli::profile(a); });
}

void add_inspect(CLI::App& app, InspectArguments& a) {
  CLI::App* inspect =
      app.add_subcommand("inspect", "Show modules, shapes, parameters, bytes and operations a step");
  inspect->add_option("MODEL", a.model, "Model file (safetensors)")->required();
  inspect->add_option("--prefix", a.prefix, "In front of a bare layer's tensors' names: rnn.");
  inspect->add_flag("--json", a.json, "As one JSON object");
  inspect->add_option("--svg", a.svg, "cell.svg: the values of the model's custom cells as a picture");
  inspect->callback([&a] { cli::inspect(a); });
}

void add_sigmoid(CLI::App& app, SigmoidArguments& a) {
  CLI::App* sigmoid = app.add_subcommand("sigmoid", "1 / (1 + exp(-x)) of every element of an array");
  sigmoid->add_option("--input", a.input, "x.npy: float32 or float64, any shape")->required();
  sigmoid->add_option("--output", a.output, "y.npy; without it a summary is printed");
  sigmoid->callback([&a] { cli::sigmoid(a); });
}

int main_of(int argc, char** argv) {
  CLI::App app("Run and train recurrent networks (LSTM, GRU)");
  app.require_subcommand(1);
  // Asked for only where it is needed, since naming the instruction set may fail.
  app.add_flag_callback(
      "--version",
      [] {
        throw CLI::CallForVersion(std::string("sluice ") + SLUICE_VERSION + " (" + active_target() + ")", 0);
      },
      "The version and the instruction set in use");
  RunArguments run;
  TrainArguments train;
  ProfileArguments profile;
  InspectArguments inspect;
  SigmoidArguments sigmoid;
  add_run(app, run);
  add_train(app, train);
  add_profile(app, profile);
  add_inspect(app, inspect);
  add_sigmoid(app, sigmoid);
  try {
    app.parse(argc, argv);
    if (!std::cout.flush()) return fail(kBadData, "standard output cannot be written");
    return 0;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return fail(kWrongUsage, std::string(error.what()) + " (see sluice --help)");
  } catch (const UsageError& error) {
    return fail(kWrongUsage, error.what());
  } catch (const std::bad_alloc&) {
    return fail(kBadData, "not enough memory");
  } catch (const std::exception& error) {
    return fail(kBadData, error.what());
  }
}

}  // namespace
}  // namespace sluice::cli

int main(int argc, char** argv) { return sluice::cli::main_of(argc, argv); }
