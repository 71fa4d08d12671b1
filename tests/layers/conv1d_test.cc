// SPDX-License-Identifier: Apache-2.0
#include "reference/conv1d.h"

#include <gtest/gtest.h>

#include "sluice/error.h"
#include "sluice/layers.h"
#include "support/expect_same_bits.h"
#include "support/module_promises.h"
#include "support/random.h"

namespace sluice {
namespace {

template <class T>
StateDict<T> conv_weights(const Conv1dOptions& options) {
  StateDict<T> weights;
  weights.set("weight", random_tensor<T>(
                            {options.out_channels, options.in_channels / options.groups, options.kernel_size},
                            -1, 1, options.kernel_size));
  weights.set("bias", random_tensor<T>({options.out_channels}, -1, 1, 11));
  return weights;
}

std::string describe(const Conv1dOptions& o, std::size_t length) {
  return "in " + std::to_string(o.in_channels) + " out " + std::to_string(o.out_channels) + " kernel " +
         std::to_string(o.kernel_size) + " stride " + std::to_string(o.stride) + " padding " +
         std::to_string(o.padding) + " dilation " + std::to_string(o.dilation) + " groups " +
         std::to_string(o.groups) + " length " + std::to_string(length);
}

// Random options that fit together, and a length that is long enough.
struct Draw {
  Conv1dOptions options;
  std::size_t length = 0;
};

Draw draw(Random& random) {
  const auto upto = [&](std::size_t most) { return 1 + random.below(most); };
  Draw d;
  d.options.groups = random.below(2) == 0 ? 1 : upto(4);
  d.options.in_channels = d.options.groups * upto(6);
  d.options.out_channels = d.options.groups * upto(20);
  d.options.kernel_size = upto(6);
  d.options.stride = upto(4);
  d.options.padding = random.below(2) == 0 ? 0 : upto(5);
  d.options.dilation = random.below(2) == 0 ? 1 : upto(4);
  d.options.bias = random.below(4) != 0;
  const std::size_t span = d.options.dilation * (d.options.kernel_size - 1) + 1;
  const std::size_t shortest = span > 2 * d.options.padding ? span - 2 * d.options.padding : 1;
  d.length = shortest + random.below(30);
  return d;
}

template <class T>
void expect_conv(const Conv1dOptions& options, std::size_t batch, std::size_t length) {
  SCOPED_TRACE(describe(options, length));
  const StateDict<T> weights = conv_weights<T>(options);
  const Conv1d<T> conv(options, weights);
  const Tensor<T> x = random_tensor<T>({batch, options.in_channels, length}, -1, 1, length);
  const Tensor<T> y = conv.forward(x);
  ASSERT_EQ(y.shape(), Shape({batch, options.out_channels, conv.output_length(length)}));
  const TensorView<const T> bias = options.bias ? weights.at("bias") : TensorView<const T>();
  const std::size_t terms = options.in_channels / options.groups * options.kernel_size + 1;
  for (std::size_t b = 0; b < batch; ++b) {
    for (std::size_t c = 0; c < options.out_channels; ++c) {
      for (std::size_t s = 0; s < y.dim(2); ++s) {
        const reference::Sum want =
            reference::conv1d<T>(options, weights.at("weight"), bias, x.view().select(0, b), c, s);
        reference::expect_sum(y(b, c, s), want, terms);
      }
    }
  }
}

TEST(Conv1d, MatchesTheFormulaForRandomOptions) {
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    const Draw d = draw(random);
    expect_conv<float>(d.options, static_cast<std::size_t>(i) % 4, d.length);
    expect_conv<double>(d.options, 2, d.length);
  }
}

TEST(Conv1d, MatchesTheFormulaAtTheSizesOfAVoiceActivityModel) {
  expect_conv<float>(
      {.in_channels = 1, .out_channels = 258, .kernel_size = 256, .stride = 128, .bias = false}, 1, 640);
  expect_conv<float>({.in_channels = 129, .out_channels = 128, .kernel_size = 3, .padding = 1}, 1, 4);
  expect_conv<float>({.in_channels = 128, .out_channels = 64, .kernel_size = 3, .stride = 2, .padding = 1}, 2,
                     4);
  expect_conv<float>({.in_channels = 64, .out_channels = 64, .kernel_size = 3, .stride = 2, .padding = 1}, 1,
                     2);
  expect_conv<float>({.in_channels = 64, .out_channels = 128, .kernel_size = 3, .padding = 1}, 3, 1);
}

TEST(Conv1d, DepthwiseAndPointwise) {
  expect_conv<float>({.in_channels = 33, .out_channels = 33, .kernel_size = 5, .padding = 2, .groups = 33}, 2,
                     17);
  expect_conv<float>({.in_channels = 12, .out_channels = 24, .kernel_size = 3, .dilation = 7, .groups = 12},
                     2, 40);
  expect_conv<float>({.in_channels = 17, .out_channels = 31, .kernel_size = 1, .dilation = 1000}, 2, 19);
  expect_conv<float>({.in_channels = 3, .out_channels = 2, .kernel_size = 2, .stride = 9, .padding = 4}, 2,
                     1);
}

// Padding gives the bits of an input that has the zeros written out: in all forms.
TEST(Conv1d, PaddingIsZerosToTheLastBit) {
  Random random(2);
  for (int i = 0; i < 100; ++i) {
    Draw d = draw(random);
    if (d.options.padding == 0) d.options.padding = 1 + random.below(5);
    SCOPED_TRACE(describe(d.options, d.length));
    const StateDict<float> weights = conv_weights<float>(d.options);
    const Conv1d<float> padded(d.options, weights);
    Conv1dOptions without = d.options;
    without.padding = 0;
    const Conv1d<float> plain(without, weights);
    const Tensor<float> x = random_tensor<float>({2, d.options.in_channels, d.length}, -1, 1, 3);
    Tensor<float> zeros({2, d.options.in_channels, d.length + 2 * d.options.padding});
    for (std::size_t b = 0; b < 2; ++b) {
      for (std::size_t c = 0; c < d.options.in_channels; ++c) {
        for (std::size_t t = 0; t < d.length; ++t) zeros(b, c, t + d.options.padding) = x(b, c, t);
      }
    }
    expect_same_bits<float>(padded.forward(x), plain.forward(zeros).view());
  }
}

TEST(Conv1d, ChannelsLastFormHasTheSameBitsAndTakesNoMemory) {
  Random random(3);
  for (int i = 0; i < 200; ++i) {
    const Draw d = draw(random);
    SCOPED_TRACE(describe(d.options, d.length));
    const Conv1d<float> conv(d.options, conv_weights<float>(d.options));
    const Tensor<float> x = random_tensor<float>({d.length, d.options.in_channels}, -1, 1, 4);
    const std::size_t steps = conv.output_length(d.length);
    // Guard values past the end, and NaN where scratch must be written before it is read.
    Tensor<float> y({steps + 1, d.options.out_channels});
    y(steps, 0) = 42;
    Tensor<float> scratch({conv.scratch_size(d.length) + 1});
    for (float& v : scratch.span()) v = std::numeric_limits<float>::quiet_NaN();
    scratch(conv.scratch_size(d.length)) = 43;
    const std::size_t calls = test::heap_calls_during(
        [&] { conv.forward_channels_last(d.length, x.data(), y.data(), scratch.data()); });
    EXPECT_EQ(calls, 0u);
    EXPECT_EQ(y(steps, 0), 42);
    EXPECT_EQ(scratch(conv.scratch_size(d.length)), 43);
    expect_same_bits<float>(y.view().narrow(0, 0, steps).transpose(0, 1),
                            conv.forward(x.view().transpose(0, 1)).view());
  }
}

TEST(Conv1d, TakesUnbatchedAndStridedInput) {
  const Conv1dOptions options{.in_channels = 4, .out_channels = 6, .kernel_size = 3, .padding = 1};
  const Conv1d<double> conv(options, conv_weights<double>(options));
  const Tensor<double> storage = random_tensor<double>({10, 3, 8}, -1, 1, 1);
  const TensorView<const double> x =
      storage.view().transpose(0, 1).transpose(1, 2).narrow(1, 2, 4);  // [3, 4, 10]
  const Tensor<double> y = conv.forward(x);
  expect_same_bits<double>(y, conv.forward(Tensor<double>(x)).view());
  for (std::size_t b = 0; b < 3; ++b) {
    expect_same_bits<double>(conv.forward(x.select(0, b)), y.view().select(0, b));
  }
}

TEST(Conv1d, ThreadsGiveTheSameBits) {
  const Conv1dOptions options{
      .in_channels = 24, .out_channels = 40, .kernel_size = 5, .stride = 2, .padding = 3};
  const Conv1d<float> conv(options, conv_weights<float>(options));
  const Tensor<float> x = random_tensor<float>({7, 24, 501}, -1, 1, 1);
  const Tensor<float> one = conv.forward(x, {.threads = 1});
  expect_same_bits<float>(conv.forward(x, {.threads = 2}), one.view());
  expect_same_bits<float>(conv.forward(x), one.view());
  test::expect_threads_agree<float>(conv, random_tensor<float>({301, 5, 24}, -1, 1, 1));
}

TEST(Conv1d, KeepsThePromisesOfAModuleForRandomOptions) {
  Random random(4);
  for (int i = 0; i < 60; ++i) {
    Draw d = draw(random);
    d.options.padding = 0;
    d.length += 12;
    SCOPED_TRACE(describe(d.options, d.length));
    const Conv1d<float> conv(d.options, conv_weights<float>(d.options));
    test::expect_module_promises<float>(
        conv, random_tensor<float>({d.length, i == 0 ? 33u : 3u, d.options.in_channels}, -1, 1, 5));
  }
}

// Channels lie in the vector lanes there; 35 of them are two blocks and a tail.
TEST(Conv1d, DepthwiseKeepsThePromisesOfAModule) {
  const Conv1dOptions options{
      .in_channels = 35, .out_channels = 35, .kernel_size = 4, .stride = 2, .dilation = 3, .groups = 35};
  const Conv1d<float> conv(options, conv_weights<float>(options));
  test::expect_module_promises<float>(conv, random_tensor<float>({25, 33, 35}, -1, 1, 5));
  test::expect_threads_agree<float>(conv, random_tensor<float>({501, 33, 35}, -1, 1, 5));
}

// More rows than one chunk of windows has, and steps that end in the middle of one.
TEST(Conv1d, ManyShortRowsAndOneLongRow) {
  const Conv1dOptions options{.in_channels = 3, .out_channels = 5, .kernel_size = 3, .padding = 1};
  expect_conv<float>(options, 211, 2);
  expect_conv<float>(options, 70, 3);
  expect_conv<float>(options, 1, 403);
  expect_conv<float>({.in_channels = 2, .out_channels = 3, .kernel_size = 3, .padding = 40, .dilation = 100},
                     2, 331);
}

// Other engines let a batch's padding into a row's result; here a row in a batch is that row alone.
TEST(Conv1d, ARowOfVariableLengthIsThatRowAlone) {
  Random random(6);
  for (int i = 0; i < 60; ++i) {
    const Draw d = draw(random);
    SCOPED_TRACE(describe(d.options, d.length));
    const Conv1d<float> conv(d.options, conv_weights<float>(d.options));
    const std::size_t steps = d.length + 9;
    Tensor<float> x = random_tensor<float>({steps, 4, d.options.in_channels}, -1, 1, 5);
    const std::vector<std::int64_t> lengths{static_cast<std::int64_t>(steps), 0,
                                            static_cast<std::int64_t>(d.length),
                                            static_cast<std::int64_t>(steps) - 1};
    for (std::size_t b = 0; b < 4; ++b) {
      for (std::size_t t = static_cast<std::size_t>(lengths[b]); t < steps; ++t) {
        x(t, b, 0) = std::numeric_limits<float>::quiet_NaN();
      }
    }
    const SequenceOutput<float> out = conv.run({x.view(), lengths}, {});
    for (const std::size_t b : {0, 2, 3}) {
      SCOPED_TRACE(b);
      const auto length = static_cast<std::size_t>(lengths[b]);
      const Tensor<float> alone = conv.run({x.view().narrow(1, b, 1).narrow(0, 0, length)}, {}).y;
      ASSERT_EQ(out.lengths[b], static_cast<std::int64_t>(alone.dim(0)));
      expect_same_bits<float>(out.y.view().narrow(1, b, 1).narrow(0, 0, alone.dim(0)), alone.view());
      for (std::size_t t = alone.dim(0); t < out.y.dim(0); ++t) EXPECT_EQ(out.y(t, b, 0), 0.0f);
    }
  }
}

TEST(Conv1d, ARowTooShortForTheKernelGetsLengthZero) {
  const Conv1dOptions options{.in_channels = 2, .out_channels = 3, .kernel_size = 4};
  const Conv1d<float> conv(options, conv_weights<float>(options));
  const Tensor<float> x = random_tensor<float>({6, 3, 2}, -1, 1, 1);
  const std::vector<std::int64_t> lengths{3, 4, 0};
  const SequenceOutput<float> out = conv.run({x.view(), lengths}, {});
  EXPECT_EQ(out.lengths, (std::vector<std::int64_t>{0, 1, 0}));
  for (std::size_t t = 0; t < 3; ++t) EXPECT_EQ(out.y(t, 0, 1), 0.0f);
  EXPECT_NE(out.y(0, 1, 1), 0.0f);
}

TEST(Conv1d, NamesItsParametersAndSizes) {
  const Conv1dOptions options{
      .in_channels = 6, .out_channels = 4, .kernel_size = 3, .groups = 2, .bias = false};
  const Conv1d<float> conv(options, conv_weights<float>(options));
  ASSERT_EQ(conv.parameters().size(), 1u);
  EXPECT_EQ(conv.parameters()[0].name, "weight");
  EXPECT_EQ(conv.parameters()[0].shape, Shape({4, 3, 3}));
  EXPECT_EQ(conv.output_size(6), 4u);
  EXPECT_EQ(conv.flops_per_step(6), 2.0 * 9 * 4);
}

TEST(Conv1d, ErrorsNameWhatWasExpectedAndWhatCame) {
  const Conv1dOptions options{.in_channels = 4, .out_channels = 2, .kernel_size = 5, .padding = 1};
  const StateDict<float> weights = conv_weights<float>(options);
  const Conv1d<float> conv(options, weights);
  using test::message_of;
  EXPECT_EQ(message_of<ShapeError>([&] {
              conv.forward(Tensor<float>({2, 3, 5}));
            }),
            "Conv1d::forward: x is [2, 3, 5], expected [B, 4, L]");
  EXPECT_EQ(message_of<ShapeError>([&] {
              conv.forward(Tensor<float>({3, 5}));
            }),
            "Conv1d::forward: x is [3, 5], expected [4, L]");
  EXPECT_EQ(message_of<ShapeError>([&] { conv.forward(Tensor<float>({5})); }),
            "Conv1d::forward: x is [5], expected [B, 4, L] or [4, L]");
  EXPECT_EQ(message_of<ShapeError>([&] {
              conv.forward(Tensor<float>({4, 2}));
            }),
            "Conv1d: an input of length 2 with padding 1 is shorter than the kernel, which spans 5");
  EXPECT_EQ(message_of<ShapeError>([&] {
              conv.run({Tensor<float>({5, 2, 3}).view()}, {});
            }),
            "Conv1d::run: x is [5, 2, 3], expected [T, B, 4]");
  EXPECT_EQ(
      message_of<Error>([&] { conv.stepper(1, 4); }),
      "Conv1d::stepper: padding is 1, expected 0: with padding an output needs steps that have not come yet");
  const auto made = [&](auto change) {
    Conv1dOptions changed = options;
    change(changed);
    return message_of<Error>([&] { Conv1d<float>(changed, weights); });
  };
  EXPECT_EQ(made([](Conv1dOptions& o) { o.stride = 0; }), "Conv1d: stride is 0, expected at least 1");
  EXPECT_EQ(made([](Conv1dOptions& o) { o.groups = 3; }),
            "Conv1d: groups is 3, expected a divisor of 4 in_channels and 2 out_channels");
  EXPECT_EQ(made([](Conv1dOptions& o) { o.dilation = std::size_t{1} << 62; }),
            "Conv1d: dilation is 4611686018427387904, too large for kernel_size 5");
  EXPECT_EQ(made([](Conv1dOptions& o) { o.kernel_size = 3; }),
            "tensor 'weight' is [2, 4, 5], expected [2, 4, 3]");
}

}  // namespace
}  // namespace sluice
