// SPDX-License-Identifier: Apache-2.0
// Zoneout against the paper's formula by hand: the cell's step, and then each state a mixture of old and new.
#include "layers/zoneout.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "sluice/layers.h"
#include "sluice/random.h"
#include "support/module_promises.h"
#include "support/recurrent_cases.h"

namespace sluice {
namespace {

using test::describe;
using test::every_kind;
using test::message_of;
using test::RandomCall;

// `old` and `made` [1, B, F] by the shares of one step.
Tensor<double> mixed(const Tensor<double>& old, const Tensor<double>& made, const ZoneoutShare<double>& share,
                     std::size_t time) {
  Tensor<double> mixture(made.shape());
  for (std::size_t b = 0; b < made.dim(1); ++b) {
    const auto d = share.at(time, b, 0);
    for (std::size_t f = 0; f < made.dim(2); ++f) {
      mixture(0, b, f) = d[f] * old(0, b, f) + (1 - d[f]) * made(0, b, f);
    }
  }
  return mixture;
}

// Runs a layer step by step without zoneout, and mixes after each.
void expect_mixed(const RecurrentOptions& options, const RecurrentOutput<double>& got,
                  const Zoneout<double>& shares, const RandomCall<double>& call) {
  RecurrentOptions plain = options;
  plain.zoneout_h = plain.zoneout_c = 0;
  const auto net = test::random_net<double>(plain);
  Tensor<double> h = call.h0, c = call.c0;
  for (std::size_t t = 0; t < call.x.dim(0); ++t) {
    RecurrentInput<double> in;
    in.h0 = h;
    if (!c.is_null()) in.c0 = c;
    const auto made = net.forward(call.x.view().narrow(0, t, 1), in, SequenceLayout::kTimeFirst);
    h = mixed(h, made.h_n, shares.h, t);
    if (!c.is_null()) c = mixed(c, made.c_n, shares.c, t);
    expect_same_bits<double>(got.output.view().narrow(0, t, 1), h.view());
    if (!got.c_sequence.is_null()) expect_same_bits<double>(got.c_sequence.view().narrow(0, t, 1), c.view());
  }
  expect_same_bits<double>(got.h_n.view(), h.view());
  if (!c.is_null()) expect_same_bits<double>(got.c_n.view(), c.view());
}

std::vector<RecurrentOptions> every_zoning_kind(std::size_t hidden_size) {
  std::vector<RecurrentOptions> all = every_kind(3, hidden_size);
  for (RecurrentOptions& options : all) {
    options.zoneout_h = 0.3;
    if (options.kind == CellKind::kLstm) options.zoneout_c = 0.6;
  }
  return all;
}

TEST(Zoneout, OfARecordedCallKeepsOldUnitsByItsMasks) {
  for (const RecurrentOptions& options : every_zoning_kind(20)) {
    SCOPED_TRACE(describe(options));
    const RandomCall<double> call(options, 8, 5);
    const auto net = test::random_net<double>(options);
    RecurrentRecord<double> record;
    record.random = RandomStream(6, 10);
    const auto got = net.forward(call.x, call.input(false), SequenceLayout::kTimeFirst, nullptr,
                                 RecurrentOutput<double>(), &record);
    const Shape h_shape{8, 5, options.state_size()};
    Zoneout<double> shares{ZoneoutShare<double>(0.3, RandomStream(6, 10), h_shape, 1),
                           ZoneoutShare<double>()};
    if (options.kind == CellKind::kLstm) {
      shares.c = ZoneoutShare<double>(0.6, RandomStream(6, 11), {8, 5, options.hidden_size}, 1);
    }
    expect_mixed(options, got, shares, call);
  }
}

TEST(Zoneout, OfARunIsTheMean) {
  for (const RecurrentOptions& options : every_zoning_kind(20)) {
    SCOPED_TRACE(describe(options));
    const RandomCall<double> call(options, 8, 5);
    const auto net = test::random_net<double>(options);
    const auto got = net.forward(call.x, call.input(false), SequenceLayout::kTimeFirst);
    expect_mixed(options, got, {ZoneoutShare<double>(0.3), ZoneoutShare<double>(options.zoneout_c)}, call);
    // c in place, where nobody asks for all of it.
    RecurrentInput<double> in = call.input(false);
    in.cell_sequence = false;
    expect_same_bits<double>(net.forward(call.x, in, SequenceLayout::kTimeFirst).output.view(),
                             got.output.view());
  }
}

TEST(Zoneout, SharesAreOldWithTheirProbability) {
  const ZoneoutShare<double> share(0.2, RandomStream(1, 1), {100, 100, 100}, 1);
  double sum = 0;
  for (std::size_t i = 0; i < 1000000; ++i) {
    const double d = share.at(0, 0, 0)[i];
    ASSERT_TRUE(d == 0 || d == 1);
    sum += d;
  }
  EXPECT_NEAR(sum / 1e6, 0.2, 5 * 0.4e-3);  // five standard deviations
}

TEST(Zoneout, LayersThatZoneOutKeepWhatModulesPromise) {
  for (const std::size_t hidden : {5, 40}) {
    const Tensor<float> x = test::uniform_tensor<float>({6, 3, 4}, 2);
    test::expect_module_promises<float>(
        LSTM<float>(
            {.input_size = 4, .hidden_size = hidden, .num_layers = 2, .zoneout_h = 0.1, .zoneout_c = 0.5},
            test::random_weights<float>(test::options_of(CellKind::kLstm, 4, hidden, 2))),
        x);
    test::expect_module_promises<float>(
        GRU<float>({.input_size = 4, .hidden_size = hidden, .zoneout_h = 0.1},
                   test::random_weights<float>(test::options_of(CellKind::kGru, 4, hidden))),
        x);
    test::expect_module_promises<float>(
        RNN<float>({.input_size = 4, .hidden_size = hidden, .num_layers = 2, .zoneout_h = 0.1},
                   test::random_weights<float>(test::options_of(CellKind::kRnnTanh, 4, hidden, 2))),
        x);
  }
}

TEST(Zoneout, TakesStreamsAndNeedsASource) {
  const LSTM<float> lstm({.input_size = 4,
                          .hidden_size = 5,
                          .num_layers = 2,
                          .dropout = 0.5,
                          .zoneout_h = 0.1,
                          .zoneout_c = 0.5},
                         test::random_weights<float>(test::options_of(CellKind::kLstm, 4, 5, 2)));
  const Tensor<float> x = test::uniform_tensor<float>({6, 3, 4}, 2);
  Tape tape;
  EXPECT_EQ(
      message_of<Error>([&] { lstm.record({x.view()}, tape, {}); }),
      "LSTM::record: it drops out or zones out, but RecordOptions::random is null; expected a RandomSource");
  RandomSource random;
  lstm.record({x.view()}, tape, {.random = &random});
  EXPECT_EQ(random.next, 5u);  // one between the layers, and two a layer
  EXPECT_EQ(message_of<Error>(
                [] { GRU<float>({.input_size = 1, .hidden_size = 1, .zoneout_h = 2}, StateDict<float>()); }),
            "GRU: zoneout_h is 2.000000, expected 0 to 1");
}

}  // namespace
}  // namespace sluice
