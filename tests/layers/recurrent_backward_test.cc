// SPDX-License-Identifier: Apache-2.0
// Gradients through time: against central differences in double, and the same bits in every way to call.
#include "layers/recurrent_backward.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "layers/dropout_mask.h"
#include "support/recurrent_cases.h"

namespace sluice {
namespace {

using test::describe;
using test::every_kind;
using test::options_of;
using test::RandomCall;

// A loss that is linear in all that a call gives, so that its gradients with respect to those are the
// factors.
template <class T>
struct Loss {
  Tensor<T> output, h_n, c_n, c_sequence;

  explicit Loss(const RecurrentOutput<T>& out)
      : output(factors(out.output, 1)),
        h_n(factors(out.h_n, 2)),
        c_n(factors(out.c_n, 3)),
        c_sequence(factors(out.c_sequence, 4)) {}

  static Tensor<T> factors(const Tensor<T>& values, std::uint64_t seed) {
    return values.is_null() ? Tensor<T>() : random_tensor<T>(values.shape(), -1, 1, seed);
  }
  static double dot(const Tensor<T>& a, const Tensor<T>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a.data()[i] * b.data()[i]);
    return sum;
  }
  double of(const RecurrentOutput<T>& out) const {
    return dot(out.output, output) + dot(out.h_n, h_n) + dot(out.c_n, c_n) + dot(out.c_sequence, c_sequence);
  }
  RecurrentOutputGradients<T> gradients() const { return {output, h_n, c_n, c_sequence}; }
};

// Everything that a network's way back gives.
template <class T>
struct Gradients {
  std::vector<Tensor<T>> parameters;
  RecurrentInputGradients<T> inputs;
};

// A record to call with, always of the same masks.
template <class T>
RecurrentRecord<T> new_record(const RecurrentOptions& options, bool recompute = false) {
  RecurrentRecord<T> record;
  record.recompute = recompute;
  if (options.masks() > 0) record.random = RandomStream(4, 2);
  return record;
}

template <class T>
Gradients<T> run_backward(const RecurrentOptions& options, const StateDict<T>& weights, TensorView<const T> x,
                          const RecurrentInput<T>& in, const Loss<T>* loss = nullptr, int threads = 1,
                          bool recompute = false) {
  const RecurrentNet<T> net(options, weights, "");
  const RecurrentBackward<T> backward(net, weights);
  RecurrentRecord<T> record = new_record<T>(options, recompute);
  const RecurrentOutput<T> out =
      net.forward(x, in, SequenceLayout::kTimeFirst, nullptr, RecurrentOutput<T>(), &record);
  const Loss<T> own(out);
  Gradients<T> grads;
  std::vector<TensorView<T>> views;
  for (const ParameterInfo& info : net.parameters()) grads.parameters.push_back(Tensor<T>(info.shape));
  for (Tensor<T>& grad : grads.parameters) views.push_back(grad.view());
  grads.inputs =
      backward.run(record, (loss != nullptr ? *loss : own).gradients(), views, /*wants_x=*/true, threads);
  return grads;
}

double loss_of(const RecurrentOptions& options, const StateDict<double>& weights, TensorView<const double> x,
               const RecurrentInput<double>& in) {
  const RecurrentNet<double> net(options, weights, "");
  RecurrentRecord<double> record = new_record<double>(options);
  const RecurrentOutput<double> out =
      net.forward(x, in, SequenceLayout::kTimeFirst, nullptr, RecurrentOutput<double>(),
                  options.masks() > 0 ? &record : nullptr);
  return Loss<double>(out).of(out);
}

// Each element of `values` moved both ways.
template <class Evaluate>
void expect_central_differences(Tensor<double>& values, const Tensor<double>& gradient,
                                const std::string& what, const Evaluate& evaluate) {
  ASSERT_EQ(values.shape().to_string(), gradient.shape().to_string()) << what;
  constexpr double kStep = 1e-5;
  double largest = 0;
  for (const double g : gradient.span()) largest = std::max(largest, std::abs(g));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double value = values.data()[i];
    values.data()[i] = value + kStep;
    const double above = evaluate();
    values.data()[i] = value - kStep;
    const double below = evaluate();
    values.data()[i] = value;
    // The differences' own error: kStep^2 times a third derivative, and a few roundings of the loss over
    // kStep.
    ASSERT_NEAR(gradient.data()[i], (above - below) / (2 * kStep), 1e-7 * (1 + largest))
        << what << " element " << i;
  }
}

void expect_gradients(const RecurrentOptions& options, std::size_t steps, std::size_t batch,
                      bool with_lengths) {
  SCOPED_TRACE(describe(options) + " T " + std::to_string(steps) + " B " + std::to_string(batch) +
               (with_lengths ? " ragged" : ""));
  const std::vector<ParameterInfo> names = test::parameters_of(options);
  StateDict<double> weights = test::random_weights<double>(options);
  RandomCall<double> call(options, steps, batch);
  const RecurrentInput<double> in = call.input(with_lengths);
  const Gradients<double> grads = run_backward<double>(options, weights, call.x, in);
  const auto evaluate = [&] { return loss_of(options, weights, call.x, in); };
  for (std::size_t p = 0; p < names.size(); ++p) {
    Tensor<double> values(weights.at(names[p].name));
    expect_central_differences(values, grads.parameters[p], names[p].name, [&] {
      weights.set(names[p].name, values);
      return evaluate();
    });
    weights.set(names[p].name, values);
  }
  expect_central_differences(call.x, grads.inputs.x, "x", evaluate);
  expect_central_differences(call.h0, grads.inputs.h0, "h0", evaluate);
  if (!call.c0.is_null()) expect_central_differences(call.c0, grads.inputs.c0, "c0", evaluate);
}

TEST(RecurrentBackward, EveryKindEqualsCentralDifferences) {
  for (const RecurrentOptions& options : every_kind(2, 3)) {
    for (const bool with_lengths : {false, true}) expect_gradients(options, 4, 3, with_lengths);
  }
}

TEST(RecurrentBackward, StacksBothWaysRaggedEqualCentralDifferences) {
  for (const RecurrentOptions& options : every_kind(2, 3, 3, true)) expect_gradients(options, 4, 4, true);
}

TEST(RecurrentBackward, MoreUnitsThanAVectorHasEqualCentralDifferences) {
  for (const std::size_t hidden : {8, 9, 17}) {
    for (const RecurrentOptions& options : every_kind(1, hidden)) expect_gradients(options, 2, 2, false);
  }
}

TEST(RecurrentBackward, WithoutBiasEqualsCentralDifferences) {
  expect_gradients(options_of(CellKind::kLstm, 2, 3, 1, false, 0, false), 3, 2, false);
  expect_gradients(options_of(CellKind::kGru, 2, 3, 1, true, 0, false), 3, 2, true);
}

TEST(RecurrentBackward, OneRowOneStepOneUnit) {
  for (const RecurrentOptions& options : every_kind(1, 1)) expect_gradients(options, 1, 1, false);
}

// What nobody hands in counts as zero.
TEST(RecurrentBackward, GradientsNotGivenAreZero) {
  const RecurrentOptions options = options_of(CellKind::kLstm, 3, 5, 2, true);
  const StateDict<double> weights = test::random_weights<double>(options);
  const RandomCall<double> call(options, 5, 4);
  const RecurrentNet<double> net(options, weights, "");
  Loss<double> loss(net.forward(call.x, call.input(), SequenceLayout::kTimeFirst));
  for (Tensor<double>* given : {&loss.output, &loss.h_n, &loss.c_n, &loss.c_sequence}) {
    Loss<double> zeros = loss, absent = loss;
    for (auto member :
         {&Loss<double>::output, &Loss<double>::h_n, &Loss<double>::c_n, &Loss<double>::c_sequence}) {
      if (&(loss.*member) == given) continue;
      (zeros.*member) = Tensor<double>((loss.*member).shape());
      (absent.*member) = Tensor<double>();
    }
    const Gradients<double> want = run_backward<double>(options, weights, call.x, call.input(), &zeros);
    const Gradients<double> got = run_backward<double>(options, weights, call.x, call.input(), &absent);
    for (std::size_t p = 0; p < want.parameters.size(); ++p) {
      for (std::size_t i = 0; i < want.parameters[p].size(); ++i) {
        ASSERT_EQ(got.parameters[p].data()[i], want.parameters[p].data()[i]);
      }
    }
  }
}

template <class T>
void expect_same_gradients(const Gradients<T>& got, const Gradients<T>& want) {
  for (std::size_t p = 0; p < want.parameters.size(); ++p) {
    SCOPED_TRACE("parameter " + std::to_string(p));
    expect_same_bits<T>(got.parameters[p].view(), want.parameters[p].view());
  }
  expect_same_bits<T>(got.inputs.x.view(), want.inputs.x.view());
  expect_same_bits<T>(got.inputs.h0.view(), want.inputs.h0.view());
  if (want.inputs.c0.size() > 0) expect_same_bits<T>(got.inputs.c0.view(), want.inputs.c0.view());
}

TEST(RecurrentBackward, AnyNumberOfThreadsGivesTheSameBits) {
  for (const RecurrentOptions& options : every_kind(40, 70, 2, true)) {
    SCOPED_TRACE(describe(options));
    const StateDict<float> weights = test::random_weights<float>(options);
    const RandomCall<float> call(options, 9, 11);
    for (const bool with_lengths : {false, true}) {
      const RecurrentInput<float> in = call.input(with_lengths);
      const Gradients<float> want = run_backward<float>(options, weights, call.x, in, nullptr, 1);
      for (const int threads : {2, 3, 8}) {
        expect_same_gradients(run_backward<float>(options, weights, call.x, in, nullptr, threads), want);
      }
    }
  }
}

// What a user leaves past a row's end, NaN even, reaches no gradient.
TEST(RecurrentBackward, WhatStandsPastARowsEndCountsForNothing) {
  for (const RecurrentOptions& options : every_kind(3, 5, 1, true)) {
    SCOPED_TRACE(describe(options));
    const StateDict<float> weights = test::random_weights<float>(options);
    RandomCall<float> call(options, 6, 4);
    const RecurrentInput<float> in = call.input();
    const RecurrentNet<float> net(options, weights, "");
    Loss<float> loss(net.forward(call.x, in, SequenceLayout::kTimeFirst));
    const Gradients<float> want = run_backward<float>(options, weights, call.x, in, &loss);
    for (std::size_t b = 0; b < call.x.dim(1); ++b) {
      for (auto t = static_cast<std::size_t>(call.lengths[b]); t < call.x.dim(0); ++t) {
        for (std::size_t f = 0; f < call.x.dim(2); ++f) call.x(t, b, f) = NAN;
        for (std::size_t f = 0; f < loss.output.dim(2); ++f) loss.output(t, b, f) = NAN;
      }
    }
    expect_same_gradients(run_backward<float>(options, weights, call.x, in, &loss), want);
  }
}

// Many rows and steps are walked in several chunks, one row in one: rows' gradients of their inputs have the
// same bits, those of parameters add up.
TEST(RecurrentBackward, ChunksOfStepsComeToWhatRowsAloneComeTo) {
  constexpr std::size_t kSteps = 220, kRows = 24;
  for (const RecurrentOptions& options : every_kind(3, 17, 1, true)) {
    SCOPED_TRACE(describe(options));
    const StateDict<double> weights = test::random_weights<double>(options);
    const RandomCall<double> call(options, kSteps, kRows);
    for (const bool with_lengths : {false, true}) {
      const RecurrentInput<double> in = call.input(with_lengths);
      const RecurrentNet<double> net(options, weights, "");
      const Loss<double> loss(net.forward(call.x, in, SequenceLayout::kTimeFirst));
      const Gradients<double> all = run_backward<double>(options, weights, call.x, in, &loss, 2);
      std::vector<Tensor<double>> sums;
      for (const Tensor<double>& grad : all.parameters) sums.push_back(Tensor<double>(grad.shape()));
      for (std::size_t b = 0; b < kRows; ++b) {
        const auto row = [b](const Tensor<double>& of) {
          return of.is_null() ? Tensor<double>() : Tensor<double>(of.view().narrow(1, b, 1));
        };
        const Tensor<double> x = row(call.x), h0 = row(call.h0), c0 = row(call.c0);
        RecurrentInput<double> own = in;
        if (with_lengths) own.lengths = in.lengths.subspan(b, 1);
        own.h0 = h0.view();
        if (!c0.is_null()) own.c0 = c0.view();
        Loss<double> of_row = loss;
        for (Tensor<double>* part : {&of_row.output, &of_row.h_n, &of_row.c_n, &of_row.c_sequence}) {
          *part = row(*part);
        }
        const Gradients<double> alone = run_backward<double>(options, weights, x, own, &of_row);
        expect_same_bits<double>(alone.inputs.x.view(), row(all.inputs.x).view());
        expect_same_bits<double>(alone.inputs.h0.view(), row(all.inputs.h0).view());
        for (std::size_t p = 0; p < sums.size(); ++p) {
          for (std::size_t i = 0; i < sums[p].size(); ++i) {
            sums[p].data()[i] += alone.parameters[p].data()[i];
          }
        }
      }
      for (std::size_t p = 0; p < sums.size(); ++p) {
        for (std::size_t i = 0; i < sums[p].size(); ++i) {
          const double want = sums[p].data()[i];
          ASSERT_NEAR(all.parameters[p].data()[i], want, 1e-12 * (1 + std::abs(want))) << p << ", " << i;
        }
      }
    }
  }
}

TEST(RecurrentBackward, ParameterGradientsAddUp) {
  const RecurrentOptions options = options_of(CellKind::kGru, 3, 5);
  const StateDict<double> weights = test::random_weights<double>(options);
  const RandomCall<double> call(options, 4, 2);
  const RecurrentNet<double> net(options, weights, "");
  const RecurrentBackward<double> backward(net, weights);
  RecurrentRecord<double> record;
  const auto out = net.forward(call.x, call.input(), SequenceLayout::kTimeFirst, nullptr,
                               RecurrentOutput<double>(), &record);
  const Loss<double> loss(out);
  std::vector<Tensor<double>> grads;
  std::vector<TensorView<double>> views;
  for (const ParameterInfo& info : net.parameters()) grads.push_back(Tensor<double>(info.shape));
  for (Tensor<double>& grad : grads) views.push_back(grad.view());
  backward.run(record, loss.gradients(), views, false);
  const std::vector<Tensor<double>> once = grads;
  backward.run(record, loss.gradients(), views, false);
  for (std::size_t p = 0; p < grads.size(); ++p) {
    for (std::size_t i = 0; i < grads[p].size(); ++i) {
      ASSERT_NEAR(grads[p].data()[i], 2 * once[p].data()[i], 1e-13 * (1 + std::abs(once[p].data()[i])));
    }
  }
  // A parameter that is frozen is left out, and the others do not notice.
  std::vector<Tensor<double>> others = once;
  for (std::size_t p = 0; p < others.size(); ++p) {
    std::fill_n(others[p].data(), others[p].size(), 0.0);
    views[p] = p == 1 ? TensorView<double>() : others[p].view();
  }
  backward.run(record, loss.gradients(), views, false);
  for (std::size_t p = 0; p < grads.size(); ++p) {
    for (std::size_t i = 0; i < grads[p].size(); ++i) {
      ASSERT_EQ(others[p].data()[i], p == 1 ? 0.0 : once[p].data()[i]);
    }
  }
}

// Every kind, three layers that drop out between them.
std::vector<RecurrentOptions> every_dropping_kind(std::size_t input_size, std::size_t hidden_size) {
  std::vector<RecurrentOptions> all = every_kind(input_size, hidden_size, 3, true);
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].dropout = 0.4;
    all[i].has_variational_dropout = i % 2 == 1;
  }
  return all;
}

// Every kind, two layers that zone out; every other one drops out, too.
std::vector<RecurrentOptions> every_zoning_kind(std::size_t input_size, std::size_t hidden_size) {
  std::vector<RecurrentOptions> all = every_kind(input_size, hidden_size, 2, true);
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].zoneout_h = 0.3;
    if (all[i].kind == CellKind::kLstm) all[i].zoneout_c = 0.4;
    if (i % 2 == 0) all[i].dropout = 0.2;
  }
  RecurrentOptions only_c = options_of(CellKind::kLstm, input_size, hidden_size);
  only_c.zoneout_c = 0.5;
  all.push_back(only_c);
  return all;
}

TEST(RecurrentBackward, ZoneoutEqualsCentralDifferences) {
  for (const RecurrentOptions& options : every_zoning_kind(2, 5)) {
    for (const bool with_lengths : {false, true}) expect_gradients(options, 4, 4, with_lengths);
  }
  for (const RecurrentOptions& options : every_zoning_kind(1, 17)) expect_gradients(options, 3, 2, true);
}

TEST(RecurrentBackward, ZoneoutOnAnyNumberOfThreadsAndRecomputedGivesTheSameBits) {
  for (const RecurrentOptions& options : every_zoning_kind(40, 70)) {
    SCOPED_TRACE(describe(options));
    const StateDict<float> weights = test::random_weights<float>(options);
    const RandomCall<float> call(options, 9, 11);
    const RecurrentInput<float> in = call.input();
    const Gradients<float> want = run_backward<float>(options, weights, call.x, in, nullptr, 1);
    for (const int threads : {1, 2, 3}) {
      for (const bool recompute : {false, true}) {
        expect_same_gradients(run_backward<float>(options, weights, call.x, in, nullptr, threads, recompute),
                              want);
      }
    }
  }
}

TEST(RecurrentBackward, DropoutBetweenLayersEqualsCentralDifferences) {
  for (RecurrentOptions options : every_dropping_kind(2, 3)) {
    expect_gradients(options, 4, 3, true);
    options.is_bidirectional = false;
    options.has_variational_dropout = !options.has_variational_dropout;
    expect_gradients(options, 4, 3, false);
  }
}

TEST(RecurrentBackward, DropoutOnAnyNumberOfThreadsGivesTheSameBits) {
  for (const RecurrentOptions& options : every_dropping_kind(40, 70)) {
    SCOPED_TRACE(describe(options));
    const StateDict<float> weights = test::random_weights<float>(options);
    const RandomCall<float> call(options, 9, 11);
    const RecurrentInput<float> in = call.input();
    const Gradients<float> want = run_backward<float>(options, weights, call.x, in, nullptr, 1);
    for (const int threads : {2, 3}) {
      expect_same_gradients(run_backward<float>(options, weights, call.x, in, nullptr, threads), want);
    }
  }
}

// The layers one by one, with the masks between them by hand.
TEST(RecurrentBackward, DropoutBetweenLayersIsTheMaskBetweenTheLayers) {
  for (const RecurrentOptions& options : every_dropping_kind(5, 6)) {
    SCOPED_TRACE(describe(options));
    const StateDict<double> weights = test::random_weights<double>(options);
    const RandomCall<double> call(options, 7, 4);
    const RecurrentInput<double> in = call.input();
    const std::size_t directions = options.directions();
    const RecurrentNet<double> net(options, weights, "");
    RecurrentRecord<double> record = new_record<double>(options);
    const RecurrentOutput<double> out =
        net.forward(call.x, in, SequenceLayout::kTimeFirst, nullptr, RecurrentOutput<double>(), &record);
    const Loss<double> loss(out);
    const Gradients<double> got = run_backward<double>(options, weights, call.x, in, &loss);

    std::vector<RecurrentOptions> layers(options.num_layers, options);
    std::vector<StateDict<double>> parts(options.num_layers);
    std::vector<Tensor<double>> inputs{call.x}, masks;
    const auto of_layer = [&](const Tensor<double>& all, std::size_t layer) {
      return all.is_null() ? TensorView<const double>()
                           : TensorView<const double>(all.view().narrow(0, layer * directions, directions));
    };
    const auto call_of = [&](std::size_t layer) {
      RecurrentInput<double> one = in;
      one.h0 = of_layer(call.h0, layer);
      one.c0 = of_layer(call.c0, layer);
      one.cell_sequence = in.cell_sequence && layer + 1 == options.num_layers;
      return one;
    };
    for (std::size_t layer = 0; layer < options.num_layers; ++layer) {
      layers[layer].num_layers = 1;
      layers[layer].dropout = 0;
      layers[layer].input_size = options.layer_input_size(layer);
      for (std::size_t direction = 0; direction < directions; ++direction) {
        for (const ParameterInfo& info : net.cell_parameters(layer, direction)) {
          std::string name = info.name;
          name.replace(name.find("_l" + std::to_string(layer)), 3, "_l0");
          parts[layer].set(name, Tensor<double>(weights.at(info.name)));
        }
      }
      RecurrentOutput<double> made = RecurrentNet<double>(layers[layer], parts[layer], "")
                                         .forward(inputs[layer], call_of(layer), SequenceLayout::kTimeFirst);
      if (layer + 1 == options.num_layers) {
        expect_same_bits<double>(made.output.view(), out.output.view());
        break;
      }
      Tensor<double> mask(made.output.shape());
      std::fill_n(mask.data(), mask.size(), 1.0);
      DropoutMask(0.4, options.has_variational_dropout, RandomStream(4, 2 + layer)).apply(mask, 1);
      for (std::size_t i = 0; i < mask.size(); ++i) made.output.data()[i] *= mask.data()[i];
      inputs.push_back(std::move(made.output));
      masks.push_back(std::move(mask));
    }
    Loss<double> of_part = loss;
    std::size_t p = got.parameters.size();
    for (std::size_t layer = options.num_layers; layer-- > 0;) {
      of_part.h_n = Tensor<double>(of_layer(loss.h_n, layer));
      if (!loss.c_n.is_null()) of_part.c_n = Tensor<double>(of_layer(loss.c_n, layer));
      Gradients<double> want =
          run_backward<double>(layers[layer], parts[layer], inputs[layer], call_of(layer), &of_part);
      p -= want.parameters.size();
      for (std::size_t i = 0; i < want.parameters.size(); ++i) {
        expect_same_bits<double>(got.parameters[p + i].view(), want.parameters[i].view());
      }
      expect_same_bits<double>(got.inputs.h0.view().narrow(0, layer * directions, directions),
                               want.inputs.h0.view());
      if (layer == 0) {
        expect_same_bits<double>(got.inputs.x.view(), want.inputs.x.view());
        break;
      }
      of_part.output = std::move(want.inputs.x);
      of_part.c_sequence = Tensor<double>();
      for (std::size_t i = 0; i < of_part.output.size(); ++i) {
        of_part.output.data()[i] *= masks[layer - 1].data()[i];
      }
    }
    EXPECT_EQ(p, 0u);
  }
}

TEST(RecurrentBackward, RecomputingGivesTheSameBits) {
  std::vector<RecurrentOptions> all = every_dropping_kind(9, 20);
  for (const RecurrentOptions& options : every_kind(9, 20)) all.push_back(options);
  for (const RecurrentOptions& options : every_kind(9, 20, 2)) all.push_back(options);
  for (const RecurrentOptions& options : all) {
    SCOPED_TRACE(describe(options));
    const StateDict<float> weights = test::random_weights<float>(options);
    const RandomCall<float> call(options, 9, 11);
    for (const bool with_lengths : {false, true}) {
      const RecurrentInput<float> in = call.input(with_lengths);
      const Gradients<float> want = run_backward<float>(options, weights, call.x, in);
      for (const int threads : {1, 2, 3}) {
        expect_same_gradients(
            run_backward<float>(options, weights, call.x, in, nullptr, threads, /*recompute=*/true), want);
      }
    }
  }
}

// What docs/training.md says of it: initial states, and the outputs of all layers but the last.
TEST(RecurrentBackward, RecomputingKeepsOnlyWhatLayersTake) {
  const std::size_t steps = 9, batch = 11;
  for (const RecurrentOptions& options : every_dropping_kind(9, 20)) {
    SCOPED_TRACE(describe(options));
    const RandomCall<float> call(options, steps, batch);
    const RecurrentNet<float> net(options, test::random_weights<float>(options), "");
    const auto forward = [&](RecurrentRecord<float>& record) {
      return net.forward(call.x, call.input(), SequenceLayout::kTimeFirst, nullptr, RecurrentOutput<float>(),
                         &record);
    };
    RecurrentRecord<float> kept = new_record<float>(options), remade = new_record<float>(options, true);
    const RecurrentOutput<float> want = forward(kept), got = forward(remade);
    expect_same_bits<float>(got.output.view(), want.output.view());
    expect_same_bits<float>(got.h_n.view(), want.h_n.view());
    if (!want.c_sequence.is_null()) expect_same_bits<float>(got.c_sequence.view(), want.c_sequence.view());
    const std::size_t states =
        options.state_size() + (options.kind == CellKind::kLstm ? options.hidden_size : 0);
    const std::size_t outputs = (options.num_layers - 1) * steps * options.state_size();
    EXPECT_EQ(remade.bytes(), options.directions() * batch * (3 * states + outputs) * sizeof(float));
    EXPECT_GT(kept.bytes(), 1.4 * remade.bytes());
  }
}

TEST(RecurrentBackward, NoStepsAndNoRows) {
  for (const RecurrentOptions& options : every_kind(2, 3)) {
    const StateDict<double> weights = test::random_weights<double>(options);
    for (const auto& [steps, batch] : {std::pair<std::size_t, std::size_t>{0, 2}, {3, 0}}) {
      const RandomCall<double> call(options, steps, batch);
      const Gradients<double> grads = run_backward<double>(options, weights, call.x, call.input(false));
      for (const Tensor<double>& grad : grads.parameters) {
        for (const double g : grad.span()) ASSERT_EQ(g, 0.0);
      }
    }
  }
}

}  // namespace
}  // namespace sluice
