// SPDX-License-Identifier: Apache-2.0
// A language model of English words, character by character: train_words WORDS SAVE [EPOCHS [FOLDER]]
//
// Trains on nine tenths of the words of a list, saves the model (08_write_words writes words with it), and
// says how many bits a character of the other words takes. FOLDER gets the first values and the order of the
// words, with which train_words.py trains the same model in PyTorch.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <span>
#include <string>

#include "sluice/sluice.h"
#include "training/ngram.h"
#include "training/words.h"

namespace {

constexpr std::size_t kBatch = 64;
constexpr double kRate = 3e-3;
constexpr const char* kArchitecture = R"([
  {"type": "Embedding", "prefix": "emb", "num_embeddings": 27, "embedding_dim": 32},
  {"type": "GRU", "prefix": "rnn", "input_size": 32, "hidden_size": 256},
  {"type": "Linear", "prefix": "head", "in_features": 256, "out_features": 27}
])";

/// The order of the words in each epoch [epochs, words], the same on every machine.
sluice::Tensor<std::int64_t> make_order(std::size_t epochs, std::size_t words) {
  sluice::Tensor<std::int64_t> order({epochs, words});
  for (std::size_t epoch = 0; epoch < epochs; ++epoch) {
    const auto permutation = sluice::random_permutation(words, sluice::RandomStream(1, epoch));
    std::copy(permutation.begin(), permutation.end(), &order(epoch, 0));
  }
  return order;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 5) {
    std::fputs("usage: train_words WORDS SAVE [EPOCHS [FOLDER]]\n", stderr);
    return 2;
  }
  try {
    const training::SplitWords words = training::read_words(argv[1]);
    const std::size_t epochs = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 25;
    using training::NGram;
    const auto ngram = [&](std::size_t n, NGram::Smoothing smoothing) {
      return NGram(words.training, n, smoothing).bits_per_character(words.held_out);
    };
    const double five = ngram(5, NGram::Smoothing::kAdditive);
    std::printf("%zu words to train on, %zu held out; bits a character of those:\n", words.training.size(),
                words.held_out.size());
    std::printf("3-gram %.4f, 5-gram %.4f; smoothed by Witten and Bell: 5-gram %.4f, 6-gram %.4f\n",
                ngram(3, NGram::Smoothing::kAdditive), five, ngram(5, NGram::Smoothing::kWittenBell),
                ngram(6, NGram::Smoothing::kWittenBell));

    auto trained = sluice::TrainableModel<float>::begin(kArchitecture, 1);
    const auto order = make_order(epochs, words.training.size());
    if (argc > 4) {
      trained.save(std::string(argv[4]) + "/first.safetensors");
      sluice::save_npy(std::string(argv[4]) + "/order.npy", order);
    }
    const sluice::CrossEntropyLoss<float> cross_entropy;
    sluice::AdamW<float> adam(trained.parameters(), {.lr = kRate, .weight_decay = 0.1});
    sluice::CosineAnnealingLR schedule(kRate, {.T_max = epochs});
    sluice::Tape tape;
    double bits = 0;
    for (std::size_t epoch = 0; epoch < epochs; ++epoch) {
      for (std::size_t first = 0; first < words.training.size(); first += kBatch) {
        const std::size_t count = std::min(kBatch, words.training.size() - first);
        const auto batch = training::make_batch(words.training, std::span(&order(epoch, first), count));
        const auto out = trained.record({batch.x, batch.lengths}, tape);
        const auto loss = cross_entropy(out.y, batch.next, {.lengths = out.lengths, .with_grad = true});
        trained.parameters().zero_grad();
        trained.backward(loss.grad, tape);
        sluice::clip_grad_norm(trained.parameters(), 1.0);
        adam.step(trained.parameters());
        trained.update();
      }
      adam.set_lr(schedule.step());
      bits = training::bits_per_character(trained.model(), words.held_out);
      std::printf("epoch %zu: %.4f\n", epoch + 1, bits);
      std::fflush(stdout);
    }
    trained.save(argv[2]);
    return bits < five ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
