// SPDX-License-Identifier: Apache-2.0
// Binary classification, trained: Linear(30, 1) and a sigmoid tell benign tumours from malignant ones by 30
// measures of cell nuclei (Wolberg, Street and Mangasarian 1995): train_breast_cancer breast_cancer.csv
//
// Trained twice: with BCELoss on the probabilities, and with BCEWithLogitsLoss on what goes into the sigmoid.
// In exact arithmetic both have the same gradients, so both must give the same model.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>

#include "sluice/sluice.h"
#include "training/data.h"

namespace {

constexpr std::size_t kFeatures = 30, kEpochs = 300;
constexpr const char* kLinear =
    R"([{"type": "Linear", "prefix": "linear", "in_features": 30, "out_features": 1}])";
constexpr const char* kLinearAndSigmoid =
    R"([{"type": "Linear", "prefix": "linear", "in_features": 30, "out_features": 1}, {"type": "Sigmoid"}])";

/// Patients: x [1, B, 30], as a sequence of one step, and target [1, B, 1], 1 for benign.
struct Patients {
  sluice::Tensor<float> x, target;
};

struct Split {
  Patients training, held_out;
};

/// Every fifth row is held out.
Split split(const training::Table& table) {
  const std::size_t held_out = table.size() / 5;
  const auto make = [](std::size_t rows) {
    return Patients{sluice::Tensor<float>({1, rows, kFeatures}), sluice::Tensor<float>({1, rows, 1})};
  };
  Split parts{make(table.size() - held_out), make(held_out)};
  for (std::size_t k = 0; k <= kFeatures; ++k) {
    std::vector<double> known;
    for (std::size_t i = 0; i < table.size(); ++i) {
      if (i % 5 != 4) known.push_back(table[i][k]);
    }
    const training::Scale scale(known);
    for (std::size_t i = 0; i < table.size(); ++i) {
      Patients& part = i % 5 == 4 ? parts.held_out : parts.training;
      const std::size_t b = i % 5 == 4 ? i / 5 : i - i / 5;
      if (k < kFeatures) part.x(0, b, k) = scale(table[i][k]);
      if (k == kFeatures) part.target(0, b, 0) = static_cast<float>(table[i][k]);
    }
  }
  return parts;
}

/// Gradient descent with momentum, all patients at once.
template <class Loss>
sluice::TrainableModel<float> train(const char* architecture, const Loss& loss, const Patients& patients) {
  auto trained = sluice::TrainableModel<float>::begin(architecture, 1);
  sluice::SGD<float> sgd(trained.parameters(), {.lr = 0.1, .momentum = 0.9, .weight_decay = 1e-3});
  sluice::Tape tape;
  for (std::size_t epoch = 0; epoch < kEpochs; ++epoch) {
    const auto out = trained.record({patients.x}, tape);
    const auto result = loss(out.y, patients.target, {.with_grad = true});
    trained.parameters().zero_grad();
    trained.backward(result.grad, tape);
    sgd.step(trained.parameters());
    trained.update();
    if ((epoch + 1) % 100 == 0) std::printf("  epoch %zu: loss %.6f\n", epoch + 1, result.value);
  }
  return trained;
}

/// How many of the patients lie on the right side of `border`.
std::size_t count_right(const sluice::Model<float>& model, const Patients& patients, float border) {
  const auto y = model.modules().run({patients.x}, {}).y;
  std::size_t right = 0;
  for (std::size_t b = 0; b < y.dim(1); ++b) {
    right += (y(0, b, 0) >= border) == (patients.target(0, b, 0) == 1.0f) ? 1 : 0;
  }
  return right;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: train_breast_cancer breast_cancer.csv\n", stderr);
    return 2;
  }
  try {
    const Split patients = split(training::read_csv(argv[1], 1, kFeatures + 1));
    std::printf("Linear and Sigmoid, BCELoss\n");
    const auto from_probabilities = train(kLinearAndSigmoid, sluice::BCELoss<float>(), patients.training);
    std::printf("Linear, BCEWithLogitsLoss\n");
    const auto from_logits = train(kLinear, sluice::BCEWithLogitsLoss<float>(), patients.training);

    float largest = 0, difference = 0;
    for (std::size_t i = 0; i < from_logits.parameters().values().size(); ++i) {
      const float a = from_probabilities.parameters().values()[i], b = from_logits.parameters().values()[i];
      largest = std::max(largest, std::fabs(b));
      difference = std::max(difference, std::fabs(a - b));
    }
    // A logit of 0 is a probability of 0.5.
    const std::size_t right = count_right(from_probabilities.model(), patients.held_out, 0.5f);
    const std::size_t right_logits = count_right(from_logits.model(), patients.held_out, 0.0f);
    std::printf("The largest parameter is %.3f, the largest difference between the two models %.1e\n",
                largest, difference);
    std::printf("Held out: %zu and %zu of %zu right\n", right, right_logits, patients.held_out.x.dim(1));
    return difference < 1e-4f * largest && right >= 111 && right_logits >= 111 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
