// SPDX-License-Identifier: Apache-2.0
// A model with a cell of its author's own, which Python lines wrote
// (tests/golden/make_custom_model_golden.py), in the program: no C++ anywhere.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <sstream>
#include <string>

#include "cli/training.h"
#include "core/json.h"
#include "support/well_formed.h"

namespace sluice::testing {
namespace {

class CustomModel : public ::testing::Test {
 protected:
  CustomModel() : golden_("custom_model_run") {
    std::filesystem::copy_file(SLUICE_SOURCE_DIR "/tests/golden/custom_model.safetensors", at("model"));
    save_npy(at("x.npy"), golden_.in("x"));
    save_npy(at("target.npy"), golden_.in("target"));
  }

  std::string at(const std::string& name) const { return program_.folder / name; }
  void expect_same_file(const std::string& a, const std::string& b) const {
    EXPECT_FALSE(read_file(at(a)).empty()) << a;
    EXPECT_TRUE(read_file(at(a)) == read_file(at(b))) << a << " and " << b << " differ";
  }
  Json architecture() const {
    return parse_json(SafetensorsFile::open(at("model")).metadata().at("sluice.architecture")).value;
  }
  // The same weights with another architecture.
  void save_with(const std::string& name, const Json& architecture) const {
    const SafetensorsFile file = SafetensorsFile::open(at("model"));
    save_safetensors(at(name), file.state_dict<float>(), {{"sluice.architecture", architecture.dump()}});
  }

  Program program_;
  golden::GoldenFile<double> golden_;
};

TEST_F(CustomModel, RunsAsPyTorchRunsIt) {
  expect_ok(program_("run model --input x.npy --output y.npy --dtype float64"));
  const Tensor<double> got = std::get<Tensor<double>>(load_npy(at("y.npy")));
  const TensorView<const double> want = golden_.want("output");
  ASSERT_EQ(got.shape(), want.shape());
  // Numbers of about 1, after 6 steps of two layers, each some tens of roundings of 1e-16, which layer
  // normalisation may make ten times as much.
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got.data()[i], want.data()[i], 1e-13);
}

TEST_F(CustomModel, ItsBytesDependOnNeitherThreadsNorSteps) {
  expect_ok(program_("run model --input x.npy --output one.npy --threads 1"));
  expect_ok(program_("run model --input x.npy --output two.npy --threads 2"));
  expect_ok(program_("run model --input x.npy --output step.npy --step"));
  expect_same_file("one.npy", "two.npy");
  expect_same_file("one.npy", "step.npy");
}

TEST_F(CustomModel, TrainsAsPyTorchTrainsIt) {
  const std::string train =
      "train model --input x.npy --target target.npy --loss mse --optimizer SGD --lr 0.5 --dtype float64 ";
  expect_ok(program_(train + "--epochs 8 --save one --log log.csv --threads 1"));
  expect_ok(program_(train + "--epochs 8 --save two --threads 2"));
  expect_same_file("one", "two");
  std::istringstream lines(read_file(at("log.csv")));
  std::string line;
  std::getline(lines, line);
  const TensorView<const double> want = golden_.want("losses");
  for (std::size_t i = 0; i < want.size(); ++i) {
    ASSERT_TRUE(std::getline(lines, line));
    const double loss = std::stod(line.substr(line.find(',') + 1));
    // Each epoch hands on what the one before was off, a few times as much at this rate: 1e-15 times 4^7.
    EXPECT_NEAR(loss, want(i), 2e-11 * want(i)) << "epoch " << i + 1;
  }
  // What was trained is a model of the same architecture.
  EXPECT_EQ(parse_json(SafetensorsFile::open(at("one")).metadata().at("sluice.architecture")).value,
            architecture());
  expect_ok(program_("run one --input x.npy --output y.npy"));
}

TEST_F(CustomModel, AnArchitectureHasNoWeightsToRunWith) {
  write_file(at("new.json"), architecture().dump());
  for (const char* command :
       {"run new.json --input x.npy", "profile new.json --shape 3,1", "inspect new.json"}) {
    expect_error(program_(command), 1,
                 "new.json: expected a safetensors file with weights, which `sluice train` makes");
  }
}

TEST_F(CustomModel, BeginsFromItsArchitecture) {
  write_file(at("new.json"), architecture().dump());
  const std::string train =
      "train new.json --input x.npy --target target.npy --loss mse --optimizer Adam --lr 0.05 --epochs 5 ";
  expect_ok(program_(train + "--seed 1 --save one --log log.csv --threads 1"));
  expect_ok(program_(train + "--seed 1 --save two --threads 2"));
  expect_same_file("one", "two");
  expect_ok(
      program_("train new.json --input x.npy --target target.npy --loss mse --optimizer SGD --lr 0 --seed 1 "
               "--save begun"));
  const SafetensorsFile file = SafetensorsFile::open(at("begun"));
  const StateDict<float> begun = file.state_dict<float>();
  EXPECT_EQ(begun.at("rnn.gain_l1")(2), 1);
  EXPECT_LE(std::abs(begun.at("rnn.weight_hh_l1")(2, 3)), 0.5);
}

TEST_F(CustomModel, InspectShowsTheCell) {
  const Ended text = program_("inspect model");
  expect_ok(text);
  expect_contains(text.out,
                  "[0] Recurrent of LeakyGate (h 4, c 4), 2 layers: 3 -> 4; 222 parameters, 888 bytes, ");
  expect_contains(text.out, "rnn.peephole_l1  F32 [4]");
  const Json json = parse_json(program_("inspect model --json").out).value;
  EXPECT_EQ(json["modules"][0]["cell"], "LeakyGate");
  EXPECT_EQ(json["modules"][0]["states"],
            parse_json(R"([{"name": "h", "size": 4}, {"name": "c", "size": 4}])").value);
  EXPECT_FALSE(json["modules"][1].contains("cell"));
  EXPECT_EQ(json["architecture"], architecture());
}

TEST_F(CustomModel, InspectDrawsTheCell) {
  expect_ok(program_("inspect model --svg cell.svg"));
  const std::string svg = read_file(at("cell.svg"));
  test::expect_well_formed(svg);
  for (const char* text :
       {">LeakyGate<", ">c_new<", ">min(&#183;, 0.5), 4<", ">output, next h<", ">next c<"}) {
    expect_contains(svg, text);
  }
  write_file(at("plain.json"), architecture_of("LSTM"));
  expect_ok(program_(
      "train plain.json --input x.npy --target target.npy --loss mse --optimizer SGD --lr 0 --save plain"));
  expect_error(program_("inspect plain --svg none.svg"), 2,
               "--svg goes with a model that has a Recurrent, and plain has none");
  EXPECT_FALSE(std::filesystem::exists(at("none.svg")));
}

TEST_F(CustomModel, AMalformedGraphIsRefusedByTheNameOfItsValue) {
  const auto refusal = [&](const char* pointer, const Json& value) {
    Json changed = architecture();
    changed[Json::json_pointer(pointer)] = value;
    save_with("bad", changed);
    const Ended ended = program_("run bad --input x.npy --output y.npy");
    EXPECT_FALSE(std::filesystem::exists(at("y.npy")));
    expect_error(ended, 1, "bad: architecture[0] (Recurrent)");
    return ended.err;
  };
  expect_contains(refusal("/0/cell/values/1/op", "sigmoidal"),
                  ".cell.values[1] ('o'): option 'op' is \"sigmoidal\", expected one of add, sub, mul, ");
  expect_contains(refusal("/0/cell/values/1/args/0", "h_new"),
                  ": LeakyGate: a cycle: 'h_new' from 'o' from 'h_new' itself (value 'h_new')");
  expect_contains(
      refusal("/0/cell/values/13/size", 3),
      ": LeakyGate: layer_norm(pre_f, gain, 0): pre_f has size 3 and gain has size 4, expected equal sizes "
      "or a number (value 'normal_f')");
  expect_contains(refusal("/0/cell/values/23/parameter", "scales"),
                  "there is no value, state or input named 'scale'");
  expect_contains(refusal("/0/cell/values/22/parameter", "gains"),
                  "there is no value, state or input named 'gain'");
  expect_contains(refusal("/0/cell/values/19/parameter", "weight"), "rnn.weight_l0");
}

}  // namespace
}  // namespace sluice::testing
