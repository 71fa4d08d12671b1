// SPDX-License-Identifier: Apache-2.0
// Writes words with a model that train_words trained: 08_write_words examples/models/words.safetensors
//
// The model gives, for each character, how likely each of the 27 symbols is to come next; one is drawn, and
// is the next step's input, until the word ends. Symbol 0 is the border of a word, 1 to 26 are a to z.
#include <cstdio>
#include <exception>
#include <string>

#include "sluice/sluice.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: 08_write_words MODEL.safetensors\n", stderr);
    return 2;
  }
  try {
    const auto model = sluice::load(argv[1]);
    auto stream = model.stream();
    for (std::uint64_t i = 0; i < 20; ++i) {
      const sluice::RandomStream random(1, i);
      std::string word;
      float symbol = 0;
      do {
        const auto probability = sluice::softmax(stream.step(&symbol));  // [1, 27]
        float left = random.uniform_float(word.size());
        std::size_t next = 0;
        while (next + 1 < probability.size() && left >= probability(0, next)) left -= probability(0, next++);
        symbol = static_cast<float>(next);
        if (next > 0) word += static_cast<char>('a' + next - 1);
      } while (symbol > 0 && word.size() < 30);
      stream.reset();
      std::printf("%s\n", word.c_str());
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
