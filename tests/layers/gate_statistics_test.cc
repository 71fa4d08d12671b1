// SPDX-License-Identifier: Apache-2.0
// What the way back measures on request: the gates' saturation and the gradients' norms by time, against
// plain loops, and as one knows them to be.
#include "sluice/gate_statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "layers/recurrent_tape.h"
#include "sluice/layers.h"
#include "sluice/random.h"
#include "support/recurrent_cases.h"

namespace sluice {
namespace {

using test::options_of;

// Large enough that gates reach both ends.
template <class T>
Parameters<T> random_parameters(const std::vector<ParameterInfo>& infos, double scale) {
  Parameters<T> parameters(infos);
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    const Tensor<double> drawn = random_tensor<double>(parameters.shape(i), -scale, scale, 10 + i);
    for (std::size_t k = 0; k < drawn.size(); ++k) {
      parameters.value(i).data()[k] = static_cast<T>(drawn.data()[k]);
    }
  }
  return parameters;
}

// One recorded run and its way back, with h_n and the outputs as their own gradients.
template <class T>
GateStatistics measure(const RecurrentNet<T>& net, Parameters<T>& parameters, TensorView<const T> x,
                       std::span<const std::int64_t> lengths, int threads = 1) {
  GateStatistics statistics;
  Tape tape;
  const auto out = record_call(net, x, {.lengths = lengths}, SequenceLayout::kTimeFirst, tape);
  backward_call<T>(net, {.output = out.output, .h_n = out.h_n}, tape, parameters,
                   {.wants_input = false, .threads = threads, .statistics = &statistics});
  return statistics;
}

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

// The activations of every gate of one layer and direction, in no order, from the equations alone.
std::vector<std::vector<double>> plain_gates(CellKind kind, const Parameters<double>& p,
                                             const Tensor<double>& x, std::span<const std::int64_t> lengths,
                                             std::size_t units) {
  const auto sum = [&](TensorView<const double> w, std::size_t row, const double* in) {
    double result = 0;
    for (std::size_t k = 0; k < w.dim(1); ++k) result += w(row, k) * in[k];
    return result;
  };
  std::vector<std::vector<double>> gates(gate_count(kind));
  for (std::size_t b = 0; b < x.dim(1); ++b) {
    std::vector<double> h(units), c(units);
    for (std::size_t t = 0; t < static_cast<std::size_t>(lengths[b]); ++t) {
      const auto of_x = [&](std::size_t row) {
        return sum(p.value("weight_ih_l0"), row, &x(t, b, 0)) + p.value("bias_ih_l0")(row);
      };
      const auto of_h = [&](std::size_t row, const std::vector<double>& state) {
        return sum(p.value("weight_hh_l0"), row, state.data()) + p.value("bias_hh_l0")(row);
      };
      std::vector<double> next(units), reset(units);
      if (kind == CellKind::kGruBefore) {
        for (std::size_t u = 0; u < units; ++u) reset[u] = sigmoid_of(of_x(u) + of_h(u, h)) * h[u];
      }
      for (std::size_t u = 0; u < units; ++u) {
        const auto pre = [&](std::size_t gate) { return of_x(gate * units + u) + of_h(gate * units + u, h); };
        std::vector<double> now;
        if (kind == CellKind::kLstm) {
          now = {sigmoid_of(pre(0)), sigmoid_of(pre(1)), std::tanh(pre(2)), sigmoid_of(pre(3))};
          c[u] = now[1] * c[u] + now[0] * now[2];
          next[u] = now[3] * std::tanh(c[u]);
        } else if (kind == CellKind::kRnnTanh) {
          now = {std::tanh(pre(0))};
          next[u] = now[0];
        } else {
          const double r = sigmoid_of(pre(0)), z = sigmoid_of(pre(1));
          const double n_h = kind == CellKind::kGru ? r * of_h(2 * units + u, h) : of_h(2 * units + u, reset);
          now = {r, z, std::tanh(of_x(2 * units + u) + n_h)};
          next[u] = (1 - z) * now[2] + z * h[u];
        }
        for (std::size_t gate = 0; gate < gates.size(); ++gate) gates[gate].push_back(now[gate]);
      }
      h = next;
    }
  }
  return gates;
}

TEST(GateStatistics, SharesAreThoseOfAPlainLoop) {
  const std::vector<std::int64_t> lengths{5, 9, 0, 3};
  const Tensor<double> x = random_tensor<double>({9, 4, 3}, -2, 2, 1);
  for (const CellKind kind : {CellKind::kLstm, CellKind::kGru, CellKind::kGruBefore, CellKind::kRnnTanh}) {
    for (const std::size_t units : {7, 8, 19}) {
      const RecurrentOptions options = options_of(kind, 3, units);
      SCOPED_TRACE(test::describe(options));
      Parameters<double> parameters = random_parameters<double>(test::parameters_of(options), 2);
      const RecurrentNet<double> net(options, parameters.state_dict(), "");
      const GateStatistics got = measure<double>(net, parameters, x, lengths);
      ASSERT_EQ(got.layers.size(), 1u);
      const std::vector<std::vector<double>> want = plain_gates(kind, parameters, x, lengths, units);
      ASSERT_EQ(got.layers[0].gates.size(), want.size());
      std::uint64_t all_low = 0, all_high = 0;
      for (std::size_t gate = 0; gate < want.size(); ++gate) {
        const SaturationCount& count = got.layers[0].gates[gate];
        const bool is_tanh = count.gate == "cell" || count.gate == "new" || count.gate == "hidden";
        std::uint64_t low = 0, high = 0;
        for (const double value : want[gate]) {
          low += value < (is_tanh ? -0.99 : 0.01) ? 1 : 0;
          high += value > 0.99 ? 1 : 0;
        }
        EXPECT_EQ(count.activations, 17 * units) << count.gate;
        EXPECT_EQ(count.low, low) << count.gate;
        EXPECT_EQ(count.high, high) << count.gate;
        EXPECT_EQ(count.below(), static_cast<double>(low) / static_cast<double>(17 * units));
        all_low += low;
        all_high += high;
      }
      EXPECT_GT(all_low, 0u);
      EXPECT_GT(all_high, 0u);
    }
  }
}

TEST(GateStatistics, GatesHaveTheirNames) {
  const auto names = [](CellKind kind) {
    const RecurrentOptions options = options_of(kind, 2, 3);
    Parameters<float> parameters = random_parameters<float>(test::parameters_of(options), 1);
    const RecurrentNet<float> net(options, parameters.state_dict(), "");
    const Tensor<float> x = random_tensor<float>({2, 1, 2}, -1, 1, 1);
    std::string text;
    const GateStatistics got = measure<float>(net, parameters, x, {});
    for (const SaturationCount& count : got.layers.at(0).gates) {
      text += std::string(count.gate) + " ";
    }
    return text;
  };
  EXPECT_EQ(names(CellKind::kLstm), "input forget cell output ");
  EXPECT_EQ(names(CellKind::kGru), "reset update new ");
  EXPECT_EQ(names(CellKind::kGruBefore), "reset update new ");
  EXPECT_EQ(names(CellKind::kRnnTanh), "hidden ");
  EXPECT_EQ(names(CellKind::kRnnRelu), "");
}

// A forget gate that is always open, and an output gate that is always shut.
TEST(GateStatistics, AHugeForgetBiasShows) {
  Parameters<float> parameters =
      random_parameters<float>(test::parameters_of(options_of(CellKind::kLstm, 3, 5)), 0.3);
  for (std::size_t unit = 0; unit < 5; ++unit) {
    parameters.value("bias_ih_l0")(5 + unit) = 50;
    parameters.value("bias_ih_l0")(15 + unit) = -50;
  }
  const RecurrentNet<float> net(options_of(CellKind::kLstm, 3, 5), parameters.state_dict(), "");
  const Tensor<float> x = random_tensor<float>({6, 2, 3}, -1, 1, 1);
  const std::vector<SaturationCount> gates = measure<float>(net, parameters, x, {}).layers.at(0).gates;
  EXPECT_EQ(gates[0].above(), 0);
  EXPECT_EQ(gates[0].below(), 0);
  EXPECT_EQ(gates[1].above(), 1);
  EXPECT_EQ(gates[1].below(), 0);
  EXPECT_EQ(gates[3].above(), 0);
  EXPECT_EQ(gates[3].below(), 1);
}

// The gradient of h of step t - 1 is, by its definition, that of the initial state of a call that begins at
// step t, and what the output of t - 1 itself adds.
TEST(GateStatistics, NormsAreThoseOfTheStatesGradients) {
  constexpr std::size_t kSteps = 6, kRows = 3;
  const Tensor<double> x = random_tensor<double>({kSteps, kRows, 3}, -1, 1, 1);
  for (const RecurrentOptions& options : test::every_kind(3, 11)) {
    SCOPED_TRACE(test::describe(options));
    Parameters<double> parameters = random_parameters<double>(test::parameters_of(options), 0.5);
    const RecurrentNet<double> net(options, parameters.state_dict(), "");
    const std::size_t H = options.state_size();
    const Tensor<double> grad = random_tensor<double>({kSteps, kRows, H}, -1, 1, 2);
    GateStatistics got;
    Tape tape;
    record_call(net, x.view(), {}, SequenceLayout::kTimeFirst, tape);
    backward_call<double>(net, {.output = grad}, tape, parameters, {.statistics = &got});
    const std::vector<GradientNorm>& norms = got.layers.at(0).gradients;
    ASSERT_EQ(norms.size(), kSteps);
    for (std::size_t t = 0; t < kSteps; ++t) {
      Tensor<double> of_h(grad.view().select(0, t));
      const std::size_t later = kSteps - t - 1;
      if (later > 0) {
        const auto first = net.forward(x.view().narrow(0, 0, t + 1), {}, SequenceLayout::kTimeFirst);
        record_call<double>(net, x.view().narrow(0, t + 1, later), {.h0 = first.h_n, .c0 = first.c_n},
                            SequenceLayout::kTimeFirst, tape);
        const auto rest =
            backward_call<double>(net, {.output = grad.view().narrow(0, t + 1, later)}, tape, parameters, {});
        for (std::size_t i = 0; i < of_h.size(); ++i) of_h.data()[i] += rest.h0.data()[i];
      }
      double squares = 0;
      for (const double g : of_h.span()) squares += g * g;
      // The same sums in another order.
      EXPECT_NEAR(norms[t].mean(), std::sqrt(squares), 1e-13 * std::sqrt(squares)) << t;
      EXPECT_EQ(norms[t].runs, 1u);
    }
  }
}

// Zoneout that always keeps the old h: what reaches h is what all later outputs say.
TEST(GateStatistics, NormsHaveWhatZoneoutBringsBack) {
  constexpr std::size_t kSteps = 4, kRows = 2;
  const Tensor<double> x = random_tensor<double>({kSteps, kRows, 3}, -1, 1, 1);
  for (const CellKind kind : {CellKind::kLstm, CellKind::kGru, CellKind::kGruBefore, CellKind::kRnnTanh}) {
    RecurrentOptions options = options_of(kind, 3, 5);
    options.zoneout_h = 1;
    Parameters<double> parameters = random_parameters<double>(test::parameters_of(options), 0.5);
    const RecurrentNet<double> net(options, parameters.state_dict(), "");
    const Tensor<double> grad = random_tensor<double>({kSteps, kRows, 5}, -1, 1, 2);
    RandomSource random;
    GateStatistics got;
    Tape tape;
    record_call(net, x.view(), {}, SequenceLayout::kTimeFirst, tape, {.random = &random});
    backward_call<double>(net, {.output = grad}, tape, parameters, {.statistics = &got});
    Tensor<double> sum({kRows, 5});
    for (std::size_t t = kSteps; t-- > 0;) {
      double squares = 0;
      for (std::size_t i = 0; i < sum.size(); ++i) {
        sum.data()[i] += grad.data()[t * sum.size() + i];
        squares += sum.data()[i] * sum.data()[i];
      }
      EXPECT_NEAR(got.layers.at(0).gradients.at(t).mean(), std::sqrt(squares), 1e-13) << t;
    }
  }
}

// Small recurrent weights: what the last output says hardly reaches the first steps.
TEST(GateStatistics, AVanishingGradientFallsWithTheDistanceFromTheEnd) {
  const RecurrentOptions options = options_of(CellKind::kRnnTanh, 3, 8);
  Parameters<double> parameters = random_parameters<double>(test::parameters_of(options), 0.1);
  const RecurrentNet<double> net(options, parameters.state_dict(), "");
  const Tensor<double> x = random_tensor<double>({10, 2, 3}, -1, 1, 1);
  GateStatistics got;
  Tape tape;
  const auto out = record_call(net, x.view(), {}, SequenceLayout::kTimeFirst, tape);
  backward_call<double>(net, {.h_n = out.h_n}, tape, parameters, {.statistics = &got});
  const std::vector<GradientNorm>& norms = got.layers.at(0).gradients;
  for (std::size_t t = 1; t < 10; ++t) EXPECT_LT(norms[t - 1].mean(), 0.6 * norms[t].mean()) << t;
  EXPECT_GT(norms[0].mean(), 0);
}

// Ragged rows, both directions: a step that no row has counts in no mean, and time is time.
TEST(GateStatistics, ShorterRowsEndEarlier) {
  const RecurrentOptions options = options_of(CellKind::kGru, 3, 5, 1, true);
  Parameters<double> parameters = random_parameters<double>(test::parameters_of(options), 0.5);
  const RecurrentNet<double> net(options, parameters.state_dict(), "");
  const Tensor<double> x = random_tensor<double>({6, 2, 3}, -1, 1, 1);
  const GateStatistics got = measure<double>(net, parameters, x, std::vector<std::int64_t>{4, 2});
  for (const RecurrentStatistics& layer : got.layers) {
    for (std::size_t t = 0; t < 6; ++t) {
      EXPECT_EQ(layer.gradients[t].runs, t < 4 ? 1u : 0u);
      EXPECT_EQ(layer.gradients[t].mean() > 0, t < 4);
    }
    EXPECT_EQ(layer.gates[0].activations, 6u * 5);
  }
  const GateStatistics shorter =
      measure<double>(net, parameters, x.view().narrow(0, 0, 4), std::vector<std::int64_t>{4, 2});
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t t = 0; t < 4; ++t) {
      EXPECT_EQ(shorter.layers[i].gradients[t].sum, got.layers[i].gradients[t].sum);
    }
  }
}

template <class T>
void expect_same_statistics(const GateStatistics& got, const GateStatistics& want) {
  ASSERT_EQ(got.layers.size(), want.layers.size());
  for (std::size_t i = 0; i < want.layers.size(); ++i) {
    for (std::size_t gate = 0; gate < want.layers[i].gates.size(); ++gate) {
      EXPECT_EQ(got.layers[i].gates[gate].low, want.layers[i].gates[gate].low);
      EXPECT_EQ(got.layers[i].gates[gate].high, want.layers[i].gates[gate].high);
    }
    for (std::size_t t = 0; t < want.layers[i].gradients.size(); ++t) {
      EXPECT_EQ(got.layers[i].gradients[t].sum, want.layers[i].gradients[t].sum);
    }
  }
}

TEST(GateStatistics, AnyNumberOfThreadsGivesTheSameNumbersAndGradients) {
  for (const RecurrentOptions& options : test::every_kind(40, 70, 2, true)) {
    SCOPED_TRACE(test::describe(options));
    Parameters<float> parameters = random_parameters<float>(test::parameters_of(options), 0.3);
    const RecurrentNet<float> net(options, parameters.state_dict(), "");
    const Tensor<float> x = random_tensor<float>({7, 11, 40}, -1, 1, 1);
    const std::vector<std::int64_t> lengths{7, 3, 5, 0, 7, 1, 2, 6, 6, 4, 7};
    const GateStatistics want = measure<float>(net, parameters, x, lengths, 1);
    const std::vector<float> grads(parameters.grads().begin(), parameters.grads().end());
    for (const int threads : {2, 3}) {
      parameters.zero_grad();
      expect_same_statistics<float>(measure<float>(net, parameters, x, lengths, threads), want);
      expect_same_bits<float>(parameters.grads(), grads);
    }
    // Measuring changes no gradient.
    parameters.zero_grad();
    Tape tape;
    const auto out = record_call<float>(net, x, {.lengths = lengths}, SequenceLayout::kTimeFirst, tape);
    backward_call<float>(net, {.output = out.output, .h_n = out.h_n}, tape, parameters, {});
    expect_same_bits<float>(parameters.grads(), grads);
  }
}

// A model of two recurrent modules, run twice: layers in the order of the model, sums over both runs.
TEST(GateStatistics, AModelsRunsAddUp) {
  const auto parameters_for = [](const RecurrentOptions& options, const std::string& prefix) {
    std::vector<ParameterInfo> infos = test::parameters_of(options);
    for (ParameterInfo& info : infos) info.name = prefix + info.name;
    return infos;
  };
  std::vector<ParameterInfo> infos = parameters_for(options_of(CellKind::kGru, 3, 4, 2, true), "enc.");
  for (const ParameterInfo& info : parameters_for(options_of(CellKind::kLstm, 8, 5), ""))
    infos.push_back(info);
  Parameters<double> parameters = random_parameters<double>(infos, 0.5);
  Sequential<double> model;
  model.add(GRU<double>({.input_size = 3, .hidden_size = 4, .num_layers = 2, .bidirectional = true},
                        parameters.state_dict(), "enc."));
  model.add(LSTM<double>({.input_size = 8, .hidden_size = 5}, parameters.state_dict()));
  const Tensor<double> x = random_tensor<double>({4, 2, 3}, -1, 1, 1);
  GateStatistics got;
  Tape tape;
  for (int run = 0; run < 2; ++run) {
    const auto out = model.record({x.view()}, tape, {});
    model.backward(out.y, tape, parameters, {.wants_input = false, .statistics = &got});
  }
  std::string order;
  for (const RecurrentStatistics& layer : got.layers) {
    order += layer.module + std::to_string(layer.layer) + std::to_string(layer.direction) + " ";
    EXPECT_EQ(layer.gradients.at(0).runs, 2u);
    EXPECT_EQ(layer.gates.at(0).activations, 2u * 8 * (layer.module == "enc" ? 4 : 5));
  }
  EXPECT_EQ(order, "enc00 enc01 enc10 enc11 LSTM00 ");
}

}  // namespace
}  // namespace sluice
