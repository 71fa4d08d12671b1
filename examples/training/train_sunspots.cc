// SPDX-License-Identifier: Apache-2.0
// Forecasts the yearly number of sunspots: train_sunspots sunspots.csv
//
// A GRU reads the years from 1700 on, one by one, and after each says how the next will differ from it. The
// last 59 years are held out. How long to train is decided on the 50 years before those; then a second
// network is trained for so long on all years up to 1949. Beside it stand two forecasts that anyone would try
// first.
#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "sluice/sluice.h"
#include "training/data.h"

namespace {

using Years = std::vector<double>;
using Index = Eigen::Index;

constexpr std::size_t kHeldOut = 59, kValidation = 50, kMostEpochs = 300, kOrder = 9;
constexpr const char* kArchitecture = R"([
  {"type": "GRU", "prefix": "rnn", "input_size": 1, "hidden_size": 16},
  {"type": "Linear", "prefix": "head", "in_features": 16, "out_features": 1}
])";

/// The root of the mean squared error of years [begin, end).
double rmse(const Years& forecast, const Years& truth, std::size_t begin, std::size_t end) {
  double sum = 0;
  for (std::size_t t = begin; t < end; ++t) sum += (forecast[t] - truth[t]) * (forecast[t] - truth[t]);
  return std::sqrt(sum / static_cast<double>(end - begin));
}

class Forecaster {
 public:
  /// Of all years only the first `known` are looked at in training. The network works on square roots: where
  /// there are more sunspots, their number varies more, and the root evens that out.
  Forecaster(const Years& years, std::size_t known)
      : known_(known),
        scale_(roots(Years(years.begin(), years.begin() + static_cast<std::ptrdiff_t>(known)))),
        x_({years.size(), 1, 1}),
        change_({years.size() - 1, 1, 1}),
        trained_(sluice::TrainableModel<float>::begin(kArchitecture, 1)),
        adam_(trained_.parameters(), {.lr = 2e-3}) {
    for (std::size_t t = 0; t < years.size(); ++t) x_(t, 0, 0) = scale_(std::sqrt(years[t]));
    for (std::size_t t = 0; t + 1 < years.size(); ++t) change_(t, 0, 0) = x_(t + 1, 0, 0) - x_(t, 0, 0);
  }

  void train_epoch() {
    const auto x = x_.view().narrow(0, 0, known_ - 1);
    const auto out = trained_.record({x}, tape_);
    const auto loss =
        sluice::MSELoss<float>()(out.y, change_.view().narrow(0, 0, known_ - 1), {.with_grad = true});
    trained_.parameters().zero_grad();
    trained_.backward(loss.grad, tape_);
    sluice::clip_grad_norm(trained_.parameters(), 1.0);
    adam_.step(trained_.parameters());
    trained_.update();
  }

  /// Of each year, from those before it. For the first there is none: 0.
  Years forecast() const {
    const auto change = trained_.model().modules().run({x_}, {}).y;
    Years years(x_.dim(0));
    for (std::size_t t = 1; t < years.size(); ++t) {
      const double root =
          scale_.mean + scale_.deviation * static_cast<double>(x_(t - 1, 0, 0) + change(t - 1, 0, 0));
      years[t] = root > 0 ? root * root : 0;
    }
    return years;
  }

 private:
  static Years roots(Years years) {
    for (double& value : years) value = std::sqrt(value);
    return years;
  }

  std::size_t known_;
  training::Scale scale_;
  sluice::Tensor<float> x_, change_;  // [T, 1, 1], [T - 1, 1, 1]
  sluice::TrainableModel<float> trained_;
  sluice::Adam<float> adam_;
  sluice::Tape tape_;
};

/// AR(9), by least squares on the first `known` years: a number and shares of the nine years before.
Years autoregression(const Years& years, std::size_t known) {
  const auto inputs = [&](std::size_t t) {
    Eigen::RowVectorXd row(kOrder + 1);
    row(0) = 1;
    for (std::size_t k = 1; k <= kOrder; ++k) row(static_cast<Index>(k)) = years[t - k];
    return row;
  };
  Eigen::MatrixXd x(known - kOrder, kOrder + 1);
  Eigen::VectorXd y(known - kOrder);
  for (std::size_t t = kOrder; t < known; ++t) {
    x.row(static_cast<Index>(t - kOrder)) = inputs(t);
    y(static_cast<Index>(t - kOrder)) = years[t];
  }
  const Eigen::VectorXd shares = x.colPivHouseholderQr().solve(y);
  Years forecast(years.size());
  for (std::size_t t = kOrder; t < years.size(); ++t) forecast[t] = inputs(t) * shares;
  return forecast;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: train_sunspots sunspots.csv\n", stderr);
    return 2;
  }
  try {
    Years years, last_value{0};
    for (const auto& row : training::read_csv(argv[1], 1, 2)) years.push_back(row[1]);
    last_value.insert(last_value.end(), years.begin(), years.end() - 1);
    if (years.size() < 3 * kHeldOut) throw sluice::FileError(std::string(argv[1]) + ": has too few years");
    const std::size_t known = years.size() - kHeldOut, validation = known - kValidation;

    Forecaster first(years, validation);
    std::size_t epochs = 0;
    double least = INFINITY;
    for (std::size_t epoch = 1; epoch <= kMostEpochs; ++epoch) {
      first.train_epoch();
      const double error = rmse(first.forecast(), years, validation, known);
      if (error < least) {
        least = error;
        epochs = epoch;
      }
    }
    std::printf("On the validation years the error is least after %zu epochs: %.2f\n", epochs, least);

    Forecaster second(years, known);
    for (std::size_t epoch = 0; epoch < epochs; ++epoch) second.train_epoch();
    const double error = rmse(second.forecast(), years, known, years.size());
    std::printf("Root of the mean squared error, the last %zu years, one year ahead:\n", kHeldOut);
    std::printf("  the year before  %.2f\n", rmse(last_value, years, known, years.size()));
    std::printf("  AR(%zu)            %.2f\n", kOrder,
                rmse(autoregression(years, known), years, known, years.size()));
    std::printf("  GRU              %.2f\n", error);
    return error < 28 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
