// SPDX-License-Identifier: Apache-2.0
// Each line of the command line's contract, on the built program.
#include <gtest/gtest.h>

#include "cli/program.h"
#include "core/json.h"
#include "sluice/layers.h"
#include "sluice/model.h"
#include "sluice/recurrent.h"
#include "sluice/sigmoid.h"

namespace sluice {
namespace {

using testing::Ended;
using testing::expect_contains;
using testing::expect_error;
using testing::expect_ok;
using testing::pattern;
using testing::Program;
using testing::read_file;
using testing::write_file;

constexpr std::size_t kSteps = 6;
constexpr std::size_t kBatch = 5;
constexpr std::size_t kInput = 3;
constexpr std::size_t kHidden = 19;  // more than one vector, and no whole number of them

// Parameters of `layers` layers with `gates` gates.
StateDict<float> recurrent_weights(std::size_t gates, std::size_t layers, bool is_bidirectional = false,
                                   const std::string& prefix = "") {
  StateDict<float> weights;
  std::size_t seed = 1;
  for (std::size_t k = 0; k < layers; ++k) {
    for (const std::string direction : {"", "_reverse"}) {
      if (direction == "_reverse" && !is_bidirectional) continue;
      const std::string suffix = "_l" + std::to_string(k) + direction;
      const std::size_t input = k == 0 ? kInput : kHidden * (is_bidirectional ? 2 : 1);
      weights.set(prefix + "weight_ih" + suffix, pattern<float>({gates * kHidden, input}, seed++));
      weights.set(prefix + "weight_hh" + suffix, pattern<float>({gates * kHidden, kHidden}, seed++));
      weights.set(prefix + "bias_ih" + suffix, pattern<float>({gates * kHidden}, seed++));
      weights.set(prefix + "bias_hh" + suffix, pattern<float>({gates * kHidden}, seed++));
    }
  }
  return weights;
}

class Run : public ::testing::Test {
 protected:
  Run() {
    save_safetensors(program.folder / "lstm.safetensors", recurrent_weights(4, 2));
    save_safetensors(program.folder / "gru.safetensors", recurrent_weights(3, 1, false, "enc."));
    save_safetensors(program.folder / "bi.safetensors", recurrent_weights(4, 1, true));
    save_npy(program.folder / "x.npy", pattern<float>({kSteps, kBatch, kInput}, 7).view());
    save_npy(program.folder / "h.npy", pattern<float>({2, kBatch, kHidden}, 8).view());
    save_npy(program.folder / "c.npy", pattern<float>({2, kBatch, kHidden}, 9).view());
    save_npy(program.folder / "lengths.npy", Tensor<std::int64_t>({kBatch}, {2, 6, 0, 4, 1}).view());
  }

  Tensor<float> array(const std::string& name) const {
    return std::get<Tensor<float>>(load_npy(program.folder / name));
  }
  void expect_same_file(const std::string& a, const std::string& b) const {
    const std::string bytes = read_file(program.folder / a);
    EXPECT_FALSE(bytes.empty()) << a;
    EXPECT_TRUE(bytes == read_file(program.folder / b)) << a << " and " << b << " differ";
  }
  void save_model(const std::string& name, const std::string& architecture, const StateDict<float>& weights) {
    save_safetensors(program.folder / name, weights, {{"sluice.architecture", architecture}});
  }

  Program program;
};

TEST_F(Run, GivesTheLayersOutputAndStates) {
  expect_ok(
      program("run lstm.safetensors --input x.npy --h0 h.npy --c0 c.npy --lengths lengths.npy "
              "--output y.npy --hn hn.npy --cn cn.npy"));
  const LSTM<float> layer({.input_size = kInput, .hidden_size = kHidden, .num_layers = 2},
                          recurrent_weights(4, 2));
  const std::int64_t lengths[] = {2, 6, 0, 4, 1};
  const Tensor<float> h0 = array("h.npy");
  const Tensor<float> c0 = array("c.npy");
  RecurrentInput<float> in;
  in.h0 = h0.view();
  in.c0 = c0.view();
  in.lengths = lengths;
  const RecurrentOutput<float> want = layer.forward(array("x.npy"), in);
  save_npy(program.folder / "y.want", want.output.view());
  save_npy(program.folder / "hn.want", want.h_n.view());
  save_npy(program.folder / "cn.want", want.c_n.view());
  expect_same_file("y.npy", "y.want");
  expect_same_file("hn.npy", "hn.want");
  expect_same_file("cn.npy", "cn.want");
}

TEST_F(Run, ThreadsStepsAndRowsGiveTheSameFile) {
  for (const std::string state : {"", " --h0 h.npy --c0 c.npy", " --lengths lengths.npy",
                                  " --lengths lengths.npy --h0 h.npy --c0 c.npy"}) {
    const std::string base = "run lstm.safetensors --input x.npy" + state;
    expect_ok(program(base + " --output a.npy --threads 1"));
    expect_ok(program(base + " --output b.npy --threads 2"));
    expect_ok(program(base + " --output c1.npy --step"));
    expect_ok(program(base + " --output d.npy --hn dh.npy --cn dc.npy"));
    expect_ok(program(base + " --output e.npy --hn eh.npy --cn ec.npy --step"));
    expect_same_file("a.npy", "b.npy");
    expect_same_file("a.npy", "c1.npy");
    expect_same_file("a.npy", "d.npy");
    expect_same_file("a.npy", "e.npy");
    expect_same_file("dh.npy", "eh.npy");
    expect_same_file("dc.npy", "ec.npy");
  }
}

TEST_F(Run, BatchFirstAndUnbatched) {
  const Tensor<float> x = array("x.npy");
  save_npy(program.folder / "bf.npy", x.view().transpose(0, 1));
  save_npy(program.folder / "row.npy", x.view().select(1, 3));
  save_npy(program.folder / "hrow.npy", array("h.npy").view().select(1, 3));
  save_npy(program.folder / "crow.npy", array("c.npy").view().select(1, 3));
  const std::string state = " --h0 h.npy --c0 c.npy";
  expect_ok(program("run lstm.safetensors --input x.npy --output y.npy --hn hn.npy" + state));
  const Tensor<float> y = array("y.npy");
  for (const std::string step : {"", " --step"}) {
    expect_ok(program("run lstm.safetensors --batch-first --input bf.npy --output ybf.npy" + state + step));
    save_npy(program.folder / "want.npy", y.view().transpose(0, 1));
    expect_same_file("ybf.npy", "want.npy");
    expect_ok(program(
        "run lstm.safetensors --input row.npy --output yrow.npy --hn hn1.npy --h0 hrow.npy --c0 crow.npy" +
        step));
    save_npy(program.folder / "want.npy", y.view().select(1, 3));
    expect_same_file("yrow.npy", "want.npy");
    save_npy(program.folder / "want.npy", array("hn.npy").view().select(1, 3));
    expect_same_file("hn1.npy", "want.npy");
  }
  expect_ok(program("run lstm.safetensors --input row.npy --output yrow.npy --step"));
  EXPECT_EQ(array("yrow.npy").shape(), (Shape{kSteps, kHidden}));
}

TEST_F(Run, PrefixAndFloat64) {
  expect_ok(program("run gru.safetensors --prefix enc. --input x.npy --output a.npy"));
  expect_ok(program("run gru.safetensors --prefix enc --input x.npy --output b.npy --dtype float32"));
  expect_same_file("a.npy", "b.npy");
  expect_ok(program("run gru.safetensors --prefix enc. --input x.npy --output d.npy --dtype float64"));
  const NpyArray wide = load_npy(program.folder / "d.npy");
  ASSERT_TRUE(std::holds_alternative<Tensor<double>>(wide));
  // float64 input in a float32 run is rounded: here nothing is lost.
  save_npy(program.folder / "x64.npy", Tensor<double>(Shape{kSteps, kBatch, kInput}).view());
  save_npy(program.folder / "x32.npy", Tensor<float>(Shape{kSteps, kBatch, kInput}).view());
  expect_ok(program("run gru.safetensors --prefix enc. --input x64.npy --output a.npy"));
  expect_ok(program("run gru.safetensors --prefix enc. --input x32.npy --output b.npy"));
  expect_same_file("a.npy", "b.npy");
  expect_error(program("run gru.safetensors --input x.npy"), 1, "under the prefix 'enc.'");
}

TEST_F(Run, NonlinearityOfAnRnn) {
  save_safetensors(program.folder / "rnn.safetensors", recurrent_weights(1, 1));
  expect_ok(program("run rnn.safetensors --input x.npy --output relu.npy --nonlinearity relu"));
  expect_ok(program("run rnn.safetensors --input x.npy --output tanh.npy"));
  EXPECT_NE(read_file(program.folder / "relu.npy"), read_file(program.folder / "tanh.npy"));
  const Tensor<float> relu = array("relu.npy");
  for (const float value : relu.span()) EXPECT_GE(value, 0.0f);
  expect_error(program("run lstm.safetensors --input x.npy --nonlinearity relu"), 2, "goes with an RNN");
}

TEST_F(Run, ACellRunsOverTime) {
  StateDict<float> cell;
  const StateDict<float> layer = recurrent_weights(3, 1);
  for (const std::string name : {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}) {
    cell.set(name, Tensor<float>(layer.at(name + "_l0")));
  }
  save_safetensors(program.folder / "cell.safetensors", cell);
  save_safetensors(program.folder / "layer.safetensors", layer);
  expect_ok(program("run cell.safetensors --input x.npy --output a.npy"));
  expect_ok(program("run layer.safetensors --input x.npy --output b.npy"));
  expect_same_file("a.npy", "b.npy");
  const Ended shown = program("inspect cell.safetensors");
  expect_ok(shown);
  expect_contains(shown.out, "a bare GRUCell (a cell)");
  expect_contains(shown.out, "weight_ih  F32 [57, 3]");
}

TEST_F(Run, WithoutOutputItPrintsShapeAndSummary) {
  const Ended ended = program("run lstm.safetensors --input x.npy");
  expect_ok(ended);
  expect_contains(ended.out, "y: float32 [6, 5, 19], least ");
}

TEST_F(Run, WholeModelsTakeLengthsAndSteps) {
  StateDict<float> weights = recurrent_weights(4, 1, false, "rnn.");
  weights.set("head.weight", pattern<float>({2, kHidden}, 11));
  weights.set("head.bias", pattern<float>({2}, 12));
  const std::string rnn = R"({"type": "LSTM", "prefix": "rnn", "input_size": 3, "hidden_size": 19})";
  const std::string head = R"({"type": "Linear", "prefix": "head", "in_features": 19, "out_features": 2})";
  save_model("all", "[" + rnn + ", " + head + ", {\"type\": \"Sigmoid\"}]", weights);
  save_model("last", "[" + rnn + ", {\"type\": \"LastStep\"}, " + head + "]", weights);
  save_model("mean", "[" + rnn + ", {\"type\": \"MeanOverTime\"}, " + head + "]", weights);
  for (const std::string model : {"all", "last", "mean"}) {
    for (const std::string lengths : {"", " --lengths lengths.npy"}) {
      expect_ok(program("run " + model + " --input x.npy --output a.npy --threads 1" + lengths));
      expect_ok(program("run " + model + " --input x.npy --output b.npy --step" + lengths));
      expect_same_file("a.npy", "b.npy");
    }
  }
  EXPECT_EQ(array("a.npy").shape(), (Shape{kBatch, 2}));
}

TEST_F(Run, ConvolutionsStepTheSameToo) {
  StateDict<float> weights;
  weights.set("weight", pattern<float>({4, kInput, 2}, 3));
  const std::string conv =
      R"([{"type": "Conv1d", "in_channels": 3, "out_channels": 4, "kernel_size": 2, "stride": 2, "bias": false)";
  save_model("conv", conv + "}]", weights);
  expect_ok(program("run conv --input x.npy --output a.npy"));
  expect_ok(program("run conv --input x.npy --output b.npy --step"));
  EXPECT_EQ(array("a.npy").shape(), (Shape{3, kBatch, 4}));
  expect_same_file("a.npy", "b.npy");
  save_model("padded", conv + R"(, "padding": 1}])", weights);
  expect_ok(program("run padded --input x.npy --output a.npy"));
  expect_error(program("run padded --input x.npy --output b.npy --step"), 2, "--step");
}

TEST_F(Run, RowsTooShortForAConvolutionHaveTheSameValueStepByStep) {
  StateDict<float> weights;
  weights.set("conv.weight", pattern<float>({4, kInput, 5}, 3));
  weights.set("head.weight", pattern<float>({2, 4}, 11));
  weights.set("head.bias", pattern<float>({2}, 12));
  const std::string conv =
      R"({"type": "Conv1d", "prefix": "conv", "in_channels": 3, "out_channels": 4, "bias": false, "kernel_size": 5})";
  const std::string head = R"({"type": "Linear", "prefix": "head", "in_features": 4, "out_features": 2})";
  for (const std::string pooling : {"LastStep", "MeanOverTime"}) {
    save_model("short", "[" + conv + R"(, {"type": ")" + pooling + "\"}, " + head + "]", weights);
    expect_ok(program("run short --input x.npy --lengths lengths.npy --output a.npy"));
    expect_ok(program("run short --input x.npy --lengths lengths.npy --output b.npy --step"));
    expect_same_file("a.npy", "b.npy");
  }
  save_npy(program.folder / "four.npy", Tensor<float>({4, 1, kInput}).view());
  for (const std::string step : {"", " --step"}) {
    expect_error(program("run short --input four.npy --output c.npy" + step), 1, "shorter than the kernel");
  }
  save_npy(program.folder / "none.npy", Tensor<float>({std::size_t{1} << 40, 0, kInput}).view());
  expect_ok(program("run lstm.safetensors --input none.npy --output n.npy --step"));
}

TEST_F(Run, IndicesGoToAnEmbedding) {
  StateDict<float> weights;
  weights.set("weight", pattern<float>({4, 3}, 3));
  save_model("emb", R"([{"type": "Embedding", "num_embeddings": 4, "embedding_dim": 3}])", weights);
  save_npy(program.folder / "i.npy", Tensor<std::int64_t>({2, 3}, {0, 1, 2, 3, 2, 1}).view());
  save_npy(program.folder / "bad.npy", Tensor<std::int64_t>({2, 3}, {0, 1, 2, 3, 4, 1}).view());
  expect_ok(program("run emb --input i.npy --output a.npy"));
  expect_ok(program("run emb --input i.npy --output b.npy --step"));
  expect_same_file("a.npy", "b.npy");
  EXPECT_EQ(array("a.npy").shape(), (Shape{2, 3, 3}));
  expect_error(program("run emb --input bad.npy --output e.npy"), 1,
               "is 4, expected a whole number in [0, 4)");
  expect_error(program("run emb --input bad.npy --output e.npy --step"), 1,
               "is 4, expected a whole number in [0, 4)");
  expect_error(program("run emb --input x.npy --output e.npy"), 1, "x.npy: the array is of floats");
  expect_error(program("run lstm.safetensors --input i.npy --output e.npy"), 1, "i.npy: the array is int64");
}

TEST_F(Run, BadDataOrFilesAreStatusOneAndLeaveNothing) {
  write_file(program.folder / "broken.npy", "no array");
  write_file(program.folder / "broken.safetensors", "no model");
  write_file(program.folder / "m.onnx", "x");
  save_npy(program.folder / "wide.npy", pattern<float>({kSteps, kBatch, kInput + 1}, 7).view());
  save_npy(program.folder / "short.npy", Tensor<std::int64_t>({2}, {1, 2}).view());
  save_npy(program.folder / "long.npy", Tensor<std::int64_t>({kBatch}, {1, 2, 3, 4, 7}).view());
  const std::size_t files = program.folder.count();
  const auto fails = [&](const std::string& arguments, const std::string& part) {
    expect_error(program("run " + arguments + " --output y.npy --hn hn.npy"), 1, part);
    EXPECT_EQ(program.folder.count(), files) << arguments;
  };
  fails("none.safetensors --input x.npy", "none.safetensors: cannot open: No such file");
  fails("broken.safetensors --input x.npy", "broken.safetensors: byte 0: header length");
  fails("m.onnx --input x.npy", "ONNX files are not read");
  fails("lstm.safetensors --input none.npy", "none.npy: cannot open");
  fails("lstm.safetensors --input broken.npy", "broken.npy: byte 0");
  fails("lstm.safetensors --input wide.npy", "wide.npy: x is [6, 5, 4], expected [T, B, 3] or [T, 3]");
  fails("lstm.safetensors --input x.npy --lengths short.npy", "short.npy: there are 2 lengths for 5 rows");
  fails("lstm.safetensors --input x.npy --lengths long.npy", "long.npy: a length is 7, expected 0 to 6");
  fails("lstm.safetensors --input x.npy --lengths x.npy", "x.npy: lengths are floats");
  fails("lstm.safetensors --input x.npy --h0 x.npy", "h0 is [6, 5, 3]");
  fails("lstm.safetensors --input x.npy --h0 x.npy --step", "h0 is [6, 5, 3]");
  fails("lstm.safetensors --input x.npy --cn none/cn.npy", "none/cn.npy: cannot make a file there");
  fails("lstm.safetensors --input x.npy --cn .", "is a folder");
}

TEST_F(Run, AnOutputThatFailsTakesTheOthersAway) {
  write_file(program.folder / "old.npy", "old");
  const std::size_t files = program.folder.count();
  // The disk is full for the second output only.
  expect_error(program("run lstm.safetensors --input x.npy --output y.npy --hn /dev/full"), 1,
               "/dev/full: cannot write: No space left");
  expect_error(program("run lstm.safetensors --input x.npy --output old.npy --hn /dev/full"), 1, "/dev/full");
  EXPECT_EQ(program.folder.count(), files);
  EXPECT_EQ(read_file(program.folder / "old.npy"), "old");
}

TEST_F(Run, WrongUsageIsStatusTwoAndLeavesNothing) {
  const std::size_t files = program.folder.count();
  const auto fails = [&](const std::string& arguments, const std::string& part) {
    expect_error(program(arguments), 2, part);
    EXPECT_EQ(program.folder.count(), files) << arguments;
  };
  fails("", "subcommand");
  fails("walk", "");
  fails("run", "");
  fails("run lstm.safetensors", "--input");
  fails("run lstm.safetensors --input x.npy --treads 2", "--treads");
  fails("run lstm.safetensors --input x.npy --threads 0", "--threads");
  fails("run lstm.safetensors --input x.npy --threads two", "--threads");
  fails("run lstm.safetensors --input x.npy --dtype float16", "--dtype");
  fails("run lstm.safetensors --input x.npy --nonlinearity gelu", "--nonlinearity");
  fails("run lstm.safetensors --input x.npy --output y.npy --hn y.npy", "y.npy is named for two outputs");
  fails("run gru.safetensors --prefix enc. --input x.npy --cn y.npy", "--cn goes with an LSTM");
  fails("run bi.safetensors --input x.npy --step --output y.npy",
        "--step does not go with a bidirectional layer");
  fails("run bi.safetensors --input x.npy --step --hn y.npy",
        "--step does not go with a bidirectional layer");
  fails("inspect", "MODEL");
  fails("sigmoid", "--input");
}

TEST_F(Run, OptionsOfABareLayerDoNotGoWithAnArchitecture) {
  StateDict<float> weights;
  weights.set("weight", pattern<float>({4, kInput}, 3));
  save_model("linear", R"([{"type": "Linear", "in_features": 3, "out_features": 4, "bias": false}])",
             weights);
  for (const std::string option : {"--prefix a", "--batch-first", "--h0 h.npy", "--c0 h.npy", "--hn o.npy",
                                   "--cn o.npy", "--nonlinearity relu"}) {
    expect_error(program("run linear --input x.npy " + option), 2, option.substr(0, option.find(' ')));
  }
  expect_ok(program("run linear --input x.npy"));
}

TEST_F(Run, ProgressGoesToStderrOnRequest) {
  const Ended ended = program("run lstm.safetensors --input x.npy --output y.npy --progress");
  EXPECT_EQ(ended.status, 0);
  expect_contains(ended.err, "sluice: running, ");
  const Ended steps = program("run lstm.safetensors --input x.npy --output y.npy --progress --step");
  expect_contains(steps.err, "sluice: step 6 of 6, ");
  const Ended silent = program("run lstm.safetensors --input x.npy --output y.npy --no-progress");
  expect_ok(silent);
}

TEST_F(Run, VerboseTellsEachCallInALine) {
  ASSERT_EQ(setenv("SLUICE_VERBOSE", "1", 1), 0);
  const Ended ended = program("run lstm.safetensors --input x.npy --output y.npy --no-progress");
  unsetenv("SLUICE_VERBOSE");
  EXPECT_EQ(ended.status, 0);
  EXPECT_TRUE(ended.err.starts_with("sluice: LSTM::")) << ended.err;
  EXPECT_EQ(ended.err.find('\n'), ended.err.size() - 1) << ended.err;
  expect_contains(ended.err, ": 1 thread, input in step, estimated ");
}

TEST_F(Run, WritesToAPipe) {
  expect_ok(program("run lstm.safetensors --input x.npy --output y.npy"));
  const Ended ended = program("run lstm.safetensors --input x.npy --output /dev/stdout");
  expect_ok(ended);
  EXPECT_EQ(ended.out, read_file(program.folder / "y.npy"));
}

TEST_F(Run, InspectSaysWhatIsInTheFile) {
  const Ended text = program("inspect lstm.safetensors");
  expect_ok(text);
  expect_contains(text.out, "lstm.safetensors: a bare LSTM layer");
  expect_contains(text.out, "weight_ih_l1  F32 [76, 19]");
  const Ended json = program("inspect lstm.safetensors --json");
  expect_ok(json);
  const Json value = parse_json(json.out).value;
  // 4H (I + H + 2) and 4H (H + H + 2) parameters.
  const std::size_t parameters = 76 * (3 + 19 + 2) + 76 * (19 + 19 + 2);
  EXPECT_EQ(value["kind"], "layer");
  EXPECT_EQ(value["parameter_count"], parameters);
  EXPECT_EQ(value["bytes"], 4 * parameters);
  EXPECT_EQ(value["input_size"], 3);
  EXPECT_EQ(value["output_size"], 19);
  EXPECT_EQ(value["modules"][0]["type"], "LSTM");
  EXPECT_EQ(value["modules"][0]["parameters"].size(), 8u);
  EXPECT_EQ(value["architecture"][0]["hidden_size"], 19);
  // At least the products: two operations a weight.
  EXPECT_GE(value["flops_per_step"].get<double>(), 2.0 * 76 * (3 + 19 + 19 + 19));
  expect_error(program("inspect x.npy"), 1, "x.npy: byte 0: header length");
}

TEST(Program, SaysItsVersionAndInstructionSet) {
  const Program program;
  const Ended ended = program("--version");
  expect_ok(ended);
  EXPECT_TRUE(ended.out.starts_with("sluice " SLUICE_VERSION " (")) << ended.out;
  expect_ok(program("--help"));
  expect_contains(program("run --help").out, "--lengths");
}

TEST(SigmoidCommand, GivesTheLibrarysBits) {
  const Program program;
  const Tensor<float> x = pattern<float>({3, 1, 7}, 1);
  const Tensor<double> x64({2}, {-745.0, 0.25});
  save_npy(program.folder / "x.npy", x.view());
  save_npy(program.folder / "x64.npy", x64.view());
  expect_ok(program("sigmoid --input x.npy --output y.npy"));
  expect_ok(program("sigmoid --input x64.npy --output y64.npy"));
  save_npy(program.folder / "want.npy", sigmoid(x).view());
  save_npy(program.folder / "want64.npy", sigmoid(x64).view());
  EXPECT_EQ(read_file(program.folder / "y.npy"), read_file(program.folder / "want.npy"));
  EXPECT_EQ(read_file(program.folder / "y64.npy"), read_file(program.folder / "want64.npy"));
  const Ended shown = program("sigmoid --input x.npy");
  expect_ok(shown);
  expect_contains(shown.out, "y: float32 [3, 1, 7]");
  save_npy(program.folder / "i.npy", Tensor<std::int64_t>(Shape{2}).view());
  expect_error(program("sigmoid --input i.npy --output z.npy"), 1, "i.npy: the array is int64");
  expect_error(program("sigmoid --input none.npy --output z.npy"), 1, "none.npy: cannot open");
  EXPECT_FALSE(std::filesystem::exists(program.folder / "z.npy"));
}

}  // namespace
}  // namespace sluice
