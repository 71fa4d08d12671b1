// SPDX-License-Identifier: Apache-2.0
// LSTM, GRU and RNN against PyTorch in float64: every option, every layout, every way to call.
#include "sluice/recurrent.h"

#include "golden/golden_file.h"

namespace sluice::golden {
namespace {

template <class T>
class RecurrentGolden : public ::testing::Test {
 public:
  static void SetUpTestSuite() { worst_difference<T> = 0; }
  static void TearDownTestSuite() { print_worst_difference<T>(); }
};
TYPED_TEST_SUITE(RecurrentGolden, ElementTypes);

template <class Options>
Options common_options(const CaseOptions& options, bool batch_first) {
  Options result;
  result.input_size = options.size("input_size");
  result.hidden_size = options.size("hidden_size");
  result.num_layers = options.size("num_layers");
  result.bias = options.flag("bias");
  result.bidirectional = options.flag("bidirectional");
  result.batch_first = batch_first;
  return result;
}

template <class T>
LSTM<T> make_lstm(const CaseOptions& options, bool batch_first, const StateDict<T>& weights,
                  const std::string& prefix) {
  auto lstm = common_options<LSTMOptions>(options, batch_first);
  lstm.proj_size = options.size("proj_size");
  return LSTM<T>(lstm, weights, prefix);
}

template <class T>
GRU<T> make_gru(const CaseOptions& options, bool batch_first, const StateDict<T>& weights,
                const std::string& prefix) {
  auto gru = common_options<GRUOptions>(options, batch_first);
  gru.reset = options.text("kind") == "gru_before" ? GRUReset::kBefore : GRUReset::kAfter;
  return GRU<T>(gru, weights, prefix);
}

template <class T>
RNN<T> make_rnn(const CaseOptions& options, bool batch_first, const StateDict<T>& weights,
                const std::string& prefix) {
  auto rnn = common_options<RNNOptions>(options, batch_first);
  rnn.nonlinearity = options.text("kind") == "rnn_relu" ? Nonlinearity::kRelu : Nonlinearity::kTanh;
  return RNN<T>(rnn, weights, prefix);
}

/// What one call takes: [T, B, I] first, cut down to one row for unbatched input.
template <class T>
struct Call {
  std::string name;
  TensorView<const T> x;
  RecurrentInput<T> in;
  std::vector<std::int64_t> lengths;
};

template <class T>
Call<T> make_call(const GoldenFile<T>& file, const std::string& name, const CaseOptions& options,
                  const std::string& way) {
  Call<T> call{name + "." + way, file.in(name + ".x"), {}, {}};
  if (way.find("state") != std::string::npos) {
    call.in.h0 = file.in(name + ".h0");
    if (file.contains(name + ".c0")) call.in.c0 = file.in(name + ".c0");
  }
  if (way.find("lengths") != std::string::npos) call.lengths = options.integers("lengths");
  return call;
}

template <class T>
void expect_results(const RecurrentOutput<T>& got, const GoldenFile<T>& file, const std::string& call,
                    bool batch_first) {
  // Batch-first results are compared through a transposed view of what is expected.
  const auto sequence = [&](const std::string& name) {
    const auto want = file.want(call + "." + name);
    return batch_first ? want.transpose(0, 1) : want;
  };
  expect_close<T>(got.output, sequence("output"), call + ".output");
  expect_close<T>(got.h_n, file.want(call + ".h_n"), call + ".h_n");
  if (!file.contains(call + ".c_n")) return;
  expect_close<T>(got.c_n, file.want(call + ".c_n"), call + ".c_n");
  expect_close<T>(got.c_sequence, sequence("c_sequence"), call + ".c_sequence");
}

/// Row `row` of the batch alone, as [T, I], over the whole sequence.
template <class Layer, class T>
void expect_unbatched(const Layer& layer, const GoldenFile<T>& file, const Call<T>& call, std::size_t row) {
  RecurrentInput<T> in = call.in;
  if (in.h0) in.h0 = in.h0.select(1, row);
  if (in.c0) in.c0 = in.c0.select(1, row);
  const RecurrentOutput<T> got = layer.forward(call.x.select(1, row), in);
  const auto want = [&](const std::string& name) { return file.want(call.name + "." + name).select(1, row); };
  expect_close<T>(got.output, want("output"), call.name + " unbatched output");
  expect_close<T>(got.h_n, want("h_n"), call.name + " unbatched h_n");
  if (!file.contains(call.name + ".c_n")) return;
  expect_close<T>(got.c_n, want("c_n"), call.name + " unbatched c_n");
  expect_close<T>(got.c_sequence, want("c_sequence"), call.name + " unbatched c_sequence");
}

/// Runs every case of a file in every layout; `make` makes the layer.
template <class T, class Make>
void expect_golden(const std::string& group, Make make) {
  const GoldenFile<T> file(group);
  std::size_t calls = 0;
  for (const auto& [name, options] : file.cases()) {
    const auto time_first = make(options, false, file.weights(), name + ".");
    const auto batch_first = make(options, true, file.weights(), name + ".");
    for (const char* way : {"plain", "state", "lengths", "state_lengths"}) {
      if (!file.contains(name + "." + way + ".output")) continue;
      Call<T> call = make_call(file, name, options, way);
      call.in.lengths = call.lengths;
      call.in.cell_sequence = file.contains(name + ".c0");
      expect_results(time_first.forward(call.x, call.in), file, call.name, false);
      expect_results(batch_first.forward(call.x.transpose(0, 1), call.in), file, call.name, true);
      const Tensor<T> packed(call.x.transpose(0, 1));
      expect_results(batch_first.forward(packed, call.in), file, call.name, true);
      calls += 3;
      for (std::size_t row = 0; call.lengths.empty() && row < call.x.dim(1); ++row, ++calls)
        expect_unbatched(time_first, file, call, row);
    }
  }
  EXPECT_GE(file.cases().size(), 9u);
  std::printf("[ %-8s ] %zu sets of options, %zu calls\n", group.c_str(), file.cases().size(), calls);
}

TYPED_TEST(RecurrentGolden, LstmMatchesPyTorchInEveryOption) {
  expect_golden<TypeParam>("lstm", &make_lstm<TypeParam>);
}

TYPED_TEST(RecurrentGolden, GruMatchesPyTorchInEveryOption) {
  expect_golden<TypeParam>("gru", &make_gru<TypeParam>);
}

TYPED_TEST(RecurrentGolden, GruThatResetsBeforeTheProductMatchesItsEquations) {
  expect_golden<TypeParam>("gru_before", &make_gru<TypeParam>);
}

TYPED_TEST(RecurrentGolden, TanhRnnMatchesPyTorchInEveryOption) {
  expect_golden<TypeParam>("rnn_tanh", &make_rnn<TypeParam>);
}

TYPED_TEST(RecurrentGolden, ReluRnnMatchesPyTorchInEveryOption) {
  expect_golden<TypeParam>("rnn_relu", &make_rnn<TypeParam>);
}

}  // namespace
}  // namespace sluice::golden
