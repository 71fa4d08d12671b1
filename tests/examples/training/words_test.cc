// SPDX-License-Identifier: Apache-2.0
// The model of words that is kept in the repository, and what it is measured against.
#include "training/words.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "training/ngram.h"

namespace training {
namespace {

const std::string kWords = SLUICE_SOURCE_DIR "/build/data/words.txt";
const std::string kModel = SLUICE_SOURCE_DIR "/examples/models/words.safetensors";

class WordsExample : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kWords))
      GTEST_SKIP() << kWords << " is not there; tools/get_data.sh gets it";
  }
};

TEST_F(WordsExample, EveryTenthWordIsHeldOut) {
  const SplitWords words = read_words(kWords);
  EXPECT_EQ(words.training.size(), 57250u);
  EXPECT_EQ(words.held_out.size(), 6362u);
  EXPECT_EQ(words.held_out[1], "abandoned");
}

TEST_F(WordsExample, CountsHaveTheirKnownBits) {
  // A Python script of dictionaries gave these figures.
  const SplitWords words = read_words(kWords);
  const auto bits = [&](std::size_t n, NGram::Smoothing smoothing) {
    return NGram(words.training, n, smoothing).bits_per_character(words.held_out);
  };
  EXPECT_NEAR(bits(3, NGram::Smoothing::kAdditive), 3.090079, 1e-6);
  EXPECT_NEAR(bits(5, NGram::Smoothing::kAdditive), 2.461633, 1e-6);
  EXPECT_NEAR(bits(5, NGram::Smoothing::kWittenBell), 2.363539, 1e-6);
}

TEST_F(WordsExample, TheKeptModelHasTheBitsThatAreStated) {
  // examples/README.md has four digits.
  const auto model = sluice::load(kModel);
  EXPECT_NEAR(bits_per_character(model, read_words(kWords).held_out), 2.2808, 5e-5);
}

TEST(WordBatches, AWordAndItsEndAreForetold) {
  const Words words{"so", "a"};
  const std::int64_t rows[] = {1, 0};
  const WordBatch batch = make_batch(words, rows);
  EXPECT_EQ(batch.lengths, (std::vector<std::int64_t>{2, 3}));
  ASSERT_EQ(batch.x.shape(), (sluice::Shape{3, 2, 1}));
  EXPECT_EQ(std::vector<float>(batch.x.span().begin(), batch.x.span().end()),
            (std::vector<float>{0, 0, 1, 19, 0, 15}));
  EXPECT_EQ(std::vector<std::int64_t>(batch.next.span().begin(), batch.next.span().end()),
            (std::vector<std::int64_t>{1, 19, 0, 15, 0, 0}));
}

}  // namespace
}  // namespace training
