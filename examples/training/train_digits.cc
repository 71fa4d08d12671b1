// SPDX-License-Identifier: Apache-2.0
// Handwritten digits as sequences: an LSTM reads the 8 rows of an 8 x 8 image one after the other, and its
// last step says which digit it was: train_digits digits.csv
#include <algorithm>
#include <cstdio>
#include <exception>
#include <span>
#include <vector>

#include "sluice/sluice.h"
#include "training/data.h"

namespace {

constexpr std::size_t kSide = 8, kEpochs = 30, kBatch = 32;
constexpr double kRate = 5e-3;
constexpr const char* kArchitecture = R"([
  {"type": "LSTM", "prefix": "rnn", "input_size": 8, "hidden_size": 64},
  {"type": "LastStep"},
  {"type": "Linear", "prefix": "head", "in_features": 64, "out_features": 10}
])";

/// Images [8, B, 8]: time is the row of the image; and which digits they are [1, B].
struct Batch {
  sluice::Tensor<float> x;
  sluice::Tensor<std::int64_t> digit;
};

Batch make_batch(const training::Table& images, std::span<const std::size_t> rows) {
  Batch batch{sluice::Tensor<float>({kSide, rows.size(), kSide}),
              sluice::Tensor<std::int64_t>({1, rows.size()})};
  for (std::size_t b = 0; b < rows.size(); ++b) {
    const std::vector<double>& image = images[rows[b]];  // 64 numbers from 0 to 16, and the digit
    for (std::size_t i = 0; i < kSide * kSide; ++i) {
      batch.x(i / kSide, b, i % kSide) = static_cast<float>(image[i] / 16);
    }
    batch.digit(0, b) = static_cast<std::int64_t>(image[kSide * kSide]);
  }
  return batch;
}

/// The share of the images whose likeliest digit is the right one.
double share_right(const sluice::Model<float>& model, const Batch& batch) {
  const auto logits = model.modules().run({batch.x}, {}).y;  // [1, B, 10]
  std::size_t right = 0;
  for (std::size_t b = 0; b < logits.dim(1); ++b) {
    const float* row = &logits(0, b, 0);
    right += std::max_element(row, row + 10) - row == batch.digit(0, b) ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(logits.dim(1));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: train_digits digits.csv\n", stderr);
    return 2;
  }
  try {
    const training::Table images = training::read_csv(argv[1], 0, kSide * kSide + 1);
    std::vector<std::size_t> training_rows, held_out_rows;
    for (std::size_t i = 0; i < images.size(); ++i) (i % 5 == 4 ? held_out_rows : training_rows).push_back(i);
    const Batch held_out = make_batch(images, held_out_rows);

    auto trained = sluice::TrainableModel<float>::begin(kArchitecture, 1);
    const sluice::CrossEntropyLoss<float> cross_entropy;
    sluice::Adam<float> adam(trained.parameters(), {.lr = kRate});
    sluice::CosineAnnealingLR schedule(kRate, {.T_max = kEpochs});
    sluice::Tape tape;
    for (std::size_t epoch = 1; epoch <= kEpochs; ++epoch) {
      double sum = 0;
      std::vector<std::size_t> order;  // another one in each epoch, the same on every machine
      for (const std::size_t i :
           sluice::random_permutation(training_rows.size(), sluice::RandomStream(1, epoch))) {
        order.push_back(training_rows[i]);
      }
      for (std::size_t first = 0; first < order.size(); first += kBatch) {
        const auto rows = std::span(order).subspan(first, std::min(kBatch, order.size() - first));
        const Batch batch = make_batch(images, rows);
        const auto out = trained.record({batch.x}, tape);
        const auto loss = cross_entropy(out.y, batch.digit, {.with_grad = true});
        trained.parameters().zero_grad();
        trained.backward(loss.grad, tape);
        adam.step(trained.parameters());
        trained.update();
        sum += loss.value * static_cast<double>(rows.size());
      }
      adam.set_lr(schedule.step());
      if (epoch % 5 == 0)
        std::printf("epoch %2zu: loss %.5f\n", epoch, sum / static_cast<double>(order.size()));
    }
    const double share = share_right(trained.model(), held_out);
    std::printf("Held out: %.1f %% of %zu right\n", 100 * share, held_out_rows.size());
    return share >= 0.95 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
