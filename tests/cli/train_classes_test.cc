// SPDX-License-Identifier: Apache-2.0
// `sluice train` on targets that are classes.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/program.h"
#include "cli/training.h"

namespace sluice {
namespace {

using testing::architecture_of;
using testing::expect_error;
using testing::expect_ok;
using testing::kRows;
using testing::kSteps;
using testing::LogLine;
using testing::read_file;
using testing::Train;
using testing::write_file;

// The row's class: whether its first feature adds up to more than 0.
class TrainClasses : public Train {
 protected:
  TrainClasses() {
    Tensor<std::int64_t> classes({kRows}), each({kRows, kSteps});
    for (std::size_t row = 0; row < kRows; ++row) {
      double sum = 0;
      for (std::size_t t = 0; t < kSteps; ++t) {
        sum += golden.in("x")(row, t, 0);
        each(row, t) = sum > 0 ? 1 : 0;
      }
      classes(row) = sum > 0 ? 1 : 0;
    }
    save_npy(at("classes.npy"), classes.view());
    save_npy(at("each.npy"), each.view());
  }
  static constexpr const char* kOptions =
      " --input x.npy --loss CrossEntropyLoss --optimizer Adam --lr 0.05 --save out --log log.csv ";
};

TEST_F(TrainClasses, OneOfARow) {
  expect_ok(program("train last.json --target classes.npy --epochs 60" + std::string(kOptions)));
  const std::vector<LogLine> lines = log();
  EXPECT_NEAR(lines[0].loss, std::log(2.0), 0.4);
  EXPECT_LT(lines.back().loss, 0.1);
  expect_ok(program("run out --input x.npy --output y.npy"));
  const Tensor<float> y = array<float>("y.npy");
  const auto classes = array<std::int64_t>("classes.npy");
  ASSERT_EQ(y.shape(), (Shape{kRows, 2}));
  for (std::size_t row = 0; row < kRows; ++row) EXPECT_EQ(y(row, 1) > y(row, 0), classes(row) == 1) << row;
}

TEST_F(TrainClasses, OneOfEachStepInEitherOrderOfDimensions) {
  expect_ok(program("train new.json --target each.npy --epochs 60" + std::string(kOptions)));
  EXPECT_LT(log().back().loss, 0.2);
  std::string time_first = architecture_of("LSTM");
  time_first.replace(time_first.find("true"), 4, "false");
  write_file(at("time.json"), time_first);
  save_npy(at("x.npy"), golden.in("x").transpose(0, 1));
  save_npy(at("each.npy"),
           Tensor<std::int64_t>(array<std::int64_t>("each.npy").view().transpose(0, 1)).view());
  const std::vector<LogLine> want = log();
  expect_ok(program("train time.json --target each.npy --epochs 60" + std::string(kOptions)));
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_EQ(log()[i].loss, want[i].loss);
}

TEST_F(TrainClasses, IndicesInAndAWeightThatDoesNotCount) {
  write_file(at("words.json"),
             R"([{"type": "Embedding", "prefix": "emb", "num_embeddings": 4, "embedding_dim": 3},)" +
                 architecture_of("GRU").substr(1));
  Tensor<std::int64_t> words({kRows, kSteps});
  for (std::size_t i = 0; i < words.size(); ++i) words.data()[i] = static_cast<std::int64_t>(i * i % 4);
  save_npy(at("x.npy"), words.view());
  auto each = array<std::int64_t>("each.npy");
  expect_ok(program("train words.json --target each.npy --epochs 3" + std::string(kOptions)));
  EXPECT_LT(log()[2].loss, log()[0].loss);
  // -100 is PyTorch's "not to be counted"; where nothing counts there is no mean.
  for (std::int64_t& value : each.span()) value = -100;
  save_npy(at("none.npy"), each.view());
  const std::string before = read_file(at("out"));
  expect_error(program("train words.json --target none.npy" + std::string(kOptions)), 1, "epoch 1, batch 1");
  EXPECT_EQ(read_file(at("out")), before);
  words(2, 1) = 4;
  save_npy(at("x.npy"), words.view());
  expect_error(program("train words.json --target each.npy" + std::string(kOptions)), 1, "is 4");
}

TEST_F(TrainClasses, BadTargetsAreRefused) {
  const std::string head = "train last.json --input x.npy --loss CrossEntropyLoss --optimizer SGD --lr 0.1 ";
  expect_refused(head + "--save o --target target.npy", 1, "takes classes as int64");
  expect_refused(head + "--save o --target each.npy", 1, "each.npy: the target is [8, 6], expected [8]");
  auto classes = array<std::int64_t>("classes.npy");
  classes(5) = 2;
  save_npy(at("classes.npy"), classes.view());
  expect_refused(head + "--save o --target classes.npy", 1, "is 2");
  classes(5) = -1;
  save_npy(at("classes.npy"), classes.view());
  expect_refused(head + "--save o --target classes.npy", 1, "is -1");
  expect_refused(
      "train new.json --input x.npy --loss mse --optimizer SGD --lr 0.1 --save o --target each.npy", 1,
      "MSELoss takes floats");
}

}  // namespace
}  // namespace sluice
