// SPDX-License-Identifier: Apache-2.0
#include "sluice/init.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "sluice/error.h"
#include "sluice/layers.h"
#include "support/expect_same_bits.h"
#include "support/module_promises.h"

namespace sluice {
namespace {

using test::message_of;

template <class T>
std::vector<double> elements_of(TensorView<T> view) {
  return std::vector<double>(view.data(), view.data() + view.size());
}

double largest_of(const std::vector<double>& values) {
  double largest = 0;
  for (const double v : values) largest = std::max(largest, std::abs(v));
  return largest;
}

double mean_square_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v * v;
  return sum / static_cast<double>(values.size());
}

/// All within the bound, and spread over it: the mean square is bound^2 / 3, give or take five standard
/// deviations of its estimate (the square of a uniform number has variance 4/45).
void expect_uniform(const std::vector<double>& values, double bound) {
  ASSERT_FALSE(values.empty());
  EXPECT_LE(largest_of(values), bound * (1 + std::numeric_limits<float>::epsilon()));
  const double tolerance = 5 * std::sqrt(4.0 / 45 / static_cast<double>(values.size()));
  EXPECT_NEAR(mean_square_of(values) / (bound * bound), 1.0 / 3, tolerance);
}

TEST(Init, UniformAndNormalFillAnyNumberOfElements) {
  const RandomStream random(1, 2);
  for (const std::size_t n : {0, 1, 15, 16, 17, 255, 256, 257, 1000}) {
    Tensor<double> uniform({n}), normal({n});
    init::uniform(uniform.view(), 0.5, random);
    init::normal(normal.view(), 3, 2, random);
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_EQ(uniform(i), 0.5 * (2 * random.uniform(i) - 1));
      ASSERT_EQ(normal(i), 3 + 2 * random.normal(i));
    }
  }
}

TEST(Init, AFloatModelStartsWithADoubleModelsNumbers) {
  const RandomStream random(1, 2);
  Tensor<double> doubles({300});
  Tensor<float> floats({300});
  const auto expect_rounded = [&] {
    for (std::size_t i = 0; i < 300; ++i) ASSERT_EQ(floats(i), static_cast<float>(doubles(i)));
  };
  init::uniform(doubles.view(), 0.3, random);
  init::uniform(floats.view(), 0.3, random);
  expect_rounded();
  init::normal(doubles.view(), 0, 1, random);
  init::normal(floats.view(), 0, 1, random);
  expect_rounded();
}

TEST(Init, XavierTakesBothFans) {
  Tensor<float> matrix({40, 60}), kernel({20, 30, 5}), none({0, 3});
  init::xavier_uniform(matrix.view(), 2.0, RandomStream(1, 1));
  expect_uniform(elements_of(matrix.view()), 2 * std::sqrt(6.0 / 100));
  init::xavier_uniform(kernel.view(), 1.0, RandomStream(1, 1));
  expect_uniform(elements_of(kernel.view()), std::sqrt(6.0 / 250));
  init::xavier_uniform(none.view(), 1.0, RandomStream(1, 1));
}

/// Products of unit vectors in double, made orthogonal twice: a few roundings of a sum of n products, each
/// below 1 in all. Rounded to T: two half ULP of each factor, so at most 2 u in the product of unit vectors.
template <class T>
void expect_orthogonal(const Shape& shape, double gain) {
  SCOPED_TRACE(shape.to_string());
  Tensor<T> w(shape);
  init::orthogonal(w.view(), gain, RandomStream(9, 4));
  const std::size_t rows = shape[0], columns = shape.size() / rows;
  const bool is_wide = rows < columns;
  const std::size_t count = std::min(rows, columns), n = std::max(rows, columns);
  const auto at = [&](std::size_t vector, std::size_t i) {
    return static_cast<double>(w.data()[is_wide ? vector * columns + i : i * columns + vector]) / gain;
  };
  const double tolerance = std::is_same_v<T, double> ? 1e-14 : 2.4e-7;
  for (std::size_t a = 0; a < count; ++a) {
    for (std::size_t b = 0; b <= a; ++b) {
      double product = 0;
      for (std::size_t i = 0; i < n; ++i) product += at(a, i) * at(b, i);
      ASSERT_NEAR(product, a == b ? 1 : 0, tolerance) << a << " " << b;
    }
  }
}

TEST(Init, OrthogonalHasOrthonormalRowsOrColumns) {
  for (const auto& [rows, columns] : {std::pair(1, 1), std::pair(1, 7), std::pair(7, 1), std::pair(16, 16),
                                      std::pair(64, 17), std::pair(17, 64), std::pair(130, 130)}) {
    const Shape shape{static_cast<std::size_t>(rows), static_cast<std::size_t>(columns)};
    expect_orthogonal<double>(shape, 1.0);
    expect_orthogonal<float>(shape, 1.5);
  }
  expect_orthogonal<double>({6, 4, 3}, 1.0);
  Tensor<float> none({0, 3});
  init::orthogonal(none.view(), 1.0, RandomStream(1, 1));
}

// Uniform over the orthogonal matrices: the first entry of an n x n one has mean square 1/n, and either sign
// as often; a 1 x 1 one is 1 or -1. Five standard deviations of 4000 draws.
TEST(Init, OrthogonalMatricesAreAllAsLikely) {
  constexpr int kDraws = 4000;
  double signs = 0, corner = 0, trace = 0;
  for (int i = 0; i < kDraws; ++i) {
    Tensor<double> one({1, 1}), three({3, 3});
    init::orthogonal(one.view(), 1.0, RandomStream(3, static_cast<std::uint64_t>(i)));
    init::orthogonal(three.view(), 1.0, RandomStream(4, static_cast<std::uint64_t>(i)));
    signs += one(0, 0) / kDraws;
    corner += three(2, 2) * three(2, 2) / kDraws;
    trace += (three(0, 0) + three(1, 1) + three(2, 2)) / kDraws;
  }
  EXPECT_NEAR(signs, 0, 5 / std::sqrt(kDraws));
  EXPECT_NEAR(corner, 1.0 / 3, 5 * std::sqrt(0.09 / kDraws));  // E x^4 - 1/9 = 3/15 - 1/9 < 0.09
  EXPECT_NEAR(trace, 0, 5 / std::sqrt(kDraws));  // the trace of a random orthogonal matrix: 0, 1
}

TEST(Init, OrthogonalHasTheSameBitsOnAnyNumberOfThreads) {
  Tensor<double> want({300, 200});
  init::orthogonal(want.view(), 1.0, RandomStream(1, 1), {.threads = 1});
  for (const int threads : {2, 3, 0}) {
    Tensor<double> got({300, 200});
    init::orthogonal(got.view(), 1.0, RandomStream(1, 1), {.threads = threads});
    expect_same_bits(got, want);
  }
}

TEST(Init, FillsPartOfAParameter) {
  Parameters<float> parameters({{"weight_hh_l0", {64, 16}}});
  const TensorView<float> all = parameters.value(0);
  init::orthogonal(all.narrow(0, 16, 16), 1.0, RandomStream(1, 1));
  for (std::size_t row = 0; row < 64; ++row) {
    EXPECT_EQ(largest_of(elements_of(all.narrow(0, row, 1))) > 0, row >= 16 && row < 32);
  }
}

/// The values of a module's parameters after reset_parameters, among others that must stay as they are.
Parameters<float> reset(std::string_view type, const std::vector<ParameterInfo>& module) {
  std::vector<ParameterInfo> infos{{"other.weight", {3, 3}}};
  for (const ParameterInfo& info : module) infos.push_back({"m." + info.name, info.shape});
  infos.push_back({"m2.weight", {3, 3}});
  Parameters<float> parameters(infos);
  for (float& v : parameters.values()) v = 77;
  init::reset_parameters(parameters, type, "m.", 5);
  EXPECT_EQ(parameters.value("other.weight")(2, 2), 77);
  EXPECT_EQ(parameters.value("m2.weight")(2, 2), 77);
  return parameters;
}

TEST(ResetParameters, RecurrentLayersTakeTheirHiddenSize) {
  const std::vector<std::pair<std::string, std::size_t>> gates{{"LSTM", 4}, {"GRU", 3}, {"RNN", 1}};
  for (const auto& [type, count] : gates) {
    SCOPED_TRACE(type);
    const std::size_t rows = count * 25;
    const Parameters<float> layer = reset(type, {{"weight_ih_l0", {rows, 8}},
                                                 {"weight_hh_l0", {rows, 25}},
                                                 {"bias_ih_l0", {rows}},
                                                 {"bias_hh_l0", {rows}},
                                                 {"weight_ih_l1_reverse", {rows, 50}},
                                                 {"weight_hh_l1_reverse", {rows, 25}}});
    for (std::size_t i = 1; i + 1 < layer.count(); ++i) expect_uniform(elements_of(layer.value(i)), 0.2);
    const Parameters<float> cell =
        reset(type + "Cell", {{"weight_ih", {rows, 8}}, {"weight_hh", {rows, 25}}});
    expect_uniform(elements_of(cell.value("m.weight_ih")), 0.2);
  }
  // Of a projected LSTM it is the size of c.
  const Parameters<float> projected =
      reset("LSTM", {{"weight_ih_l0", {100, 8}}, {"weight_hh_l0", {100, 5}}, {"weight_hr_l0", {5, 25}}});
  expect_uniform(elements_of(projected.value("m.weight_hh_l0")), 0.2);
  expect_uniform(elements_of(projected.value("m.weight_hr_l0")), 0.2);
}

TEST(ResetParameters, LinearAndConvolutionTakeTheirFanIn) {
  const Parameters<float> linear = reset("Linear", {{"weight", {50, 25}}, {"bias", {50}}});
  expect_uniform(elements_of(linear.value("m.weight")), 0.2);
  expect_uniform(elements_of(linear.value("m.bias")), 0.2);
  const Parameters<float> conv = reset("Conv1d", {{"weight", {64, 5, 5}}, {"bias", {64}}});
  expect_uniform(elements_of(conv.value("m.weight")), 0.2);
  expect_uniform(elements_of(conv.value("m.bias")), 0.2);
}

TEST(ResetParameters, EmbeddingIsNormalAndLayerNormIsNeutral) {
  const Parameters<float> embedding = reset("Embedding", {{"weight", {100, 50}}});
  const std::vector<double> values = elements_of(embedding.value("m.weight"));
  EXPECT_NEAR(mean_square_of(values), 1, 5 * std::sqrt(2.0 / 5000));
  EXPECT_GT(largest_of(values), 3);
  const Parameters<float> norm = reset("LayerNorm", {{"weight", {5}}, {"bias", {5}}});
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(norm.value("m.weight")(i), 1);
    EXPECT_EQ(norm.value("m.bias")(i), 0);
  }
}

TEST(ResetParameters, EveryParameterHasNumbersOfItsOwnAndEverySeedOthers) {
  Parameters<double> a({{"weight", {8, 8}}, {"bias", {8}}}), b({{"weight", {8, 8}}, {"bias", {8}}});
  init::reset_parameters(a, "Linear", "", 1);
  EXPECT_NE(a.value("weight")(0, 0), a.value("bias")(0));
  init::reset_parameters(b, "Linear", "", 2);
  EXPECT_NE(a.value("weight")(0, 0), b.value("weight")(0, 0));
  init::reset_parameters(b, "Linear", "", 1);
  expect_same_bits<double>(a.values(), b.values());
}

TEST(ResetParameters, ErrorsNameWhatIsMissing) {
  Parameters<float> parameters({{"head.bias", {3}}, {"flat.weight", {3}}});
  const auto message = [&](std::string_view type, const std::string& prefix) {
    return message_of<Error>([&] { init::reset_parameters(parameters, type, prefix, 1); });
  };
  EXPECT_EQ(message("Linear", "head."),
            "no parameter named 'head.weight'; there are 2: 'head.bias', 'flat.weight'");
  EXPECT_EQ(message("Embedding", "e."),
            "no parameter named 'e.weight'; there are 2: 'head.bias', 'flat.weight'");
  EXPECT_EQ(message("Linear", "flat."),
            "init::reset_parameters: 'flat.weight' is [3], expected [out, in, ...]");
  EXPECT_EQ(message("GRU", "rnn."), "init::reset_parameters: there is no 'rnn.weight_hh...' of the GRU");
  EXPECT_EQ(message("Sigmoid", ""),
            "init::reset_parameters: type is 'Sigmoid', expected LSTM, GRU, RNN, one of their cells, Linear, "
            "Conv1d, Embedding or LayerNorm");
}

TEST(ForgetGateBias, SetsTheForgetGatesOfLstmsOnly) {
  Parameters<float> parameters({{"a.weight_hh_l0", {12, 3}},
                                {"a.bias_ih_l0", {12}},
                                {"a.bias_hh_l0", {12}},
                                {"a.weight_hh_l0_reverse", {12, 2}},
                                {"a.bias_ih_l0_reverse", {12}},
                                {"a.bias_hh_l0_reverse", {12}},
                                {"a.weight_hr_l0_reverse", {2, 3}},
                                {"gru.weight_hh_l0", {12, 4}},
                                {"gru.bias_ih_l0", {12}},
                                {"gru.bias_hh_l0", {12}},
                                {"cell.weight_hh", {12, 3}},
                                {"cell.bias_ih", {12}},
                                {"cell.bias_hh", {12}}});
  for (float& v : parameters.values()) v = 7;
  EXPECT_EQ(init::forget_gate_bias(parameters, 1.5), 3u);
  for (const std::string name : {"a.bias_ih_l0", "a.bias_ih_l0_reverse", "cell.bias_ih"}) {
    for (std::size_t i = 0; i < 12; ++i) {
      EXPECT_EQ(parameters.value(name)(i), i >= 3 && i < 6 ? 1.5F : 7);
    }
  }
  for (const std::string name : {"a.bias_hh_l0", "a.bias_hh_l0_reverse", "cell.bias_hh"}) {
    for (std::size_t i = 0; i < 12; ++i) EXPECT_EQ(parameters.value(name)(i), i >= 3 && i < 6 ? 0 : 7);
  }
  for (std::size_t i = 0; i < 12; ++i) EXPECT_EQ(parameters.value("gru.bias_ih_l0")(i), 7);
  Parameters<float> none({{"weight_hh_l0", {12, 3}}});
  EXPECT_EQ(message_of<Error>([&] { init::forget_gate_bias(none, 1); }),
            "init::forget_gate_bias: there is no LSTM with biases");
}

TEST(Init, WrongViewsAreRefused) {
  Tensor<float> w({4, 6});
  const RandomStream random(1, 1);
  const TensorView<float> part = w.view().narrow(1, 0, 3);
  EXPECT_EQ(message_of<ShapeError>([&] { init::uniform(part, 1, random); }),
            "init::uniform: values, [4, 3], is not contiguous, as it must be");
  EXPECT_EQ(message_of<ShapeError>([&] { init::normal(part, 0, 1, random); }),
            "init::normal: values, [4, 3], is not contiguous, as it must be");
  EXPECT_EQ(message_of<ShapeError>([&] { init::constant(part, 0); }),
            "init::constant: values, [4, 3], is not contiguous, as it must be");
  EXPECT_EQ(message_of<ShapeError>([&] { init::orthogonal(part, 1, random); }),
            "init::orthogonal: values, [4, 3], is not contiguous, as it must be");
  EXPECT_EQ(message_of<ShapeError>([&] { init::xavier_uniform(w.view().select(0, 0), 1, random); }),
            "init::xavier_uniform: values is [6], expected two dimensions or more");
  for (const float v : w.span()) EXPECT_EQ(v, 0);
}

}  // namespace
}  // namespace sluice
