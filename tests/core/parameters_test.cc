// SPDX-License-Identifier: Apache-2.0
#include "sluice/parameters.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>

#include "sluice/error.h"
#include "sluice/layers.h"
#include "support/expect_same_bits.h"
#include "support/module_promises.h"
#include "support/random.h"

namespace sluice {
namespace {

using test::message_of;

std::vector<ParameterInfo> some_infos() {
  return {{"rnn.weight_ih_l0", {17, 3}}, {"rnn.bias_ih_l0", {17}}, {"empty", {0, 4}},
          {"head.weight", {16}},         {"scalar", {}},           {"head.bias", {15}}};
}

template <class T>
void fill_in_order(Parameters<T>& parameters) {
  T next = 1;
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    for (std::size_t j = 0; j < parameters.value(i).size(); ++j) {
      parameters.value(i).data()[j] = next;
      parameters.grad(i).data()[j] = -next;
      next += 1;
    }
  }
}

/// The buffers must hold the tensors and zeros between them, and nothing else.
template <class T>
void expect_layout(const Parameters<T>& parameters, double sum) {
  double total = 0, grads = 0;
  std::size_t zeros = 0;
  for (const T v : parameters.values()) {
    total += static_cast<double>(v);
    zeros += v == 0 ? 1 : 0;
  }
  for (const T v : parameters.grads()) grads += static_cast<double>(v);
  EXPECT_EQ(total, sum);
  EXPECT_EQ(grads, -sum);
  EXPECT_EQ(zeros, parameters.values().size() - parameters.element_count());
}

template <class T>
void check_layout() {
  Parameters<T> parameters(some_infos());
  ASSERT_EQ(parameters.count(), 6u);
  EXPECT_EQ(parameters.element_count(), 51u + 17 + 0 + 16 + 1 + 15);
  EXPECT_EQ(parameters.values().size(), parameters.grads().size());
  for (std::size_t i = 0; i < parameters.count(); ++i) {
    const auto info = some_infos()[i];
    EXPECT_EQ(parameters.name(i), info.name);
    EXPECT_EQ(parameters.value(i).shape(), info.shape);
    EXPECT_EQ(parameters.grad(info.name).shape(), info.shape);
    EXPECT_EQ(parameters.value(i).data(), parameters.values().data() + parameters.offset(i));
    EXPECT_EQ(parameters.grad(i).data(), parameters.grads().data() + parameters.offset(i));
    EXPECT_EQ(parameters.value(info.name).data(), parameters.value(i).data());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(parameters.value(i).data()) % 64, 0u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(parameters.grad(i).data()) % 64, 0u);
  }
  fill_in_order(parameters);
  expect_layout(parameters, 100 * 101 / 2);
}

TEST(Parameters, EachTensorBeginsOnACacheLineAndZerosLieBetween) {
  check_layout<float>();
  check_layout<double>();
}

TEST(Parameters, StartsAtZero) {
  const Parameters<double> parameters(some_infos());
  for (const double v : parameters.values()) ASSERT_EQ(v, 0);
  for (const double v : parameters.grads()) ASSERT_EQ(v, 0);
}

TEST(Parameters, NoneAtAllIsAllowed) {
  Parameters<float> none;
  none.zero_grad();
  EXPECT_EQ(none.count(), 0u);
  EXPECT_EQ(none.state_dict().size(), 0u);
  Parameters<float> empty(std::vector<ParameterInfo>{});
  empty.zero_grad();
  EXPECT_EQ(empty.values().size(), 0u);
}

TEST(Parameters, ZeroGradLeavesTheValues) {
  for (const std::size_t size : {std::size_t{16}, std::size_t{300001}}) {
    Parameters<float> parameters({{"a", {size}}, {"b", {5}}});
    fill_in_order(parameters);
    const Tensor<float> values(parameters.value("a"));
    parameters.zero_grad({.threads = 2});
    for (const float v : parameters.grads()) ASSERT_EQ(v, 0);
    expect_same_bits<float>(parameters.value("a"), values.view());
  }
}

TEST(Parameters, ViewsStayValidWhenMoved) {
  Parameters<float> first(some_infos());
  fill_in_order(first);
  const TensorView<float> value = first.value("head.bias");
  const TensorView<float> grad = first.grad("head.bias");
  Parameters<float> second(std::move(first));
  Parameters<float> third;
  third = std::move(second);
  EXPECT_EQ(third.value("head.bias").data(), value.data());
  EXPECT_EQ(third.grad("head.bias").data(), grad.data());
  EXPECT_EQ(value(14), 100);
}

TEST(Parameters, FreezesByName) {
  Parameters<float> parameters(some_infos());
  for (std::size_t i = 0; i < parameters.count(); ++i) EXPECT_FALSE(parameters.is_frozen(i));
  parameters.freeze("empty");
  parameters.freeze("head.bias");
  parameters.unfreeze("empty");
  for (std::size_t i = 0; i < parameters.count(); ++i) EXPECT_EQ(parameters.is_frozen(i), i == 5);
}

TEST(Parameters, StateDictBorrowsAndLoadCopies) {
  Parameters<float> from(some_infos());
  fill_in_order(from);
  StateDict<float> weights = from.state_dict();
  EXPECT_EQ(weights.size(), 6u);
  EXPECT_EQ(weights.at("head.weight").data(), from.value("head.weight").data());
  weights.set("not ours", Tensor<float>({2}));
  Parameters<float> to(some_infos());
  to.load(weights);
  for (std::size_t i = 0; i < to.count(); ++i) expect_same_bits<float>(to.value(i), from.value(i));
  for (const float v : to.grads()) ASSERT_EQ(v, 0);
  to.load(to.state_dict());
  for (std::size_t i = 0; i < to.count(); ++i) expect_same_bits<float>(to.value(i), from.value(i));
}

TEST(Parameters, LoadTakesAnyStrides) {
  Parameters<double> parameters({{"w", {4, 3}}});
  const Tensor<double> transposed = random_tensor<double>({3, 4}, -1, 1, 1);
  StateDict<double> weights;
  weights.borrow("w", transposed.view().transpose(0, 1), nullptr);
  parameters.load(weights);
  expect_same_bits<double>(parameters.value("w"), weights.at("w"));
}

TEST(Parameters, ALoadThatThrowsChangesNothing) {
  Parameters<float> parameters({{"a", {2}}, {"b", {3}}});
  StateDict<float> weights;
  weights.set("a", Tensor<float>({2}, {1, 2}));
  EXPECT_EQ(message_of<Error>([&] { parameters.load(weights); }), "no tensor named 'b'; there are 1: 'a'");
  weights.set("b", Tensor<float>({2}, {1, 2}));
  EXPECT_EQ(message_of<ShapeError>([&] { parameters.load(weights); }), "tensor 'b' is [2], expected [3]");
  for (const float v : parameters.values()) ASSERT_EQ(v, 0);
}

TEST(Parameters, RunTheModuleThatTheyWereMadeFor) {
  const LinearOptions options{.in_features = 3, .out_features = 2};
  Parameters<float> parameters({{"head.weight", {2, 3}}, {"head.bias", {2}}});
  fill_in_order(parameters);
  const Linear<float> linear(options, parameters.state_dict(), "head.");
  const Tensor<float> y = linear.forward(Tensor<float>({1, 3}, {1, 0, 0}));
  EXPECT_EQ(y(0, 0), 1 + 7);
  EXPECT_EQ(y(0, 1), 4 + 8);
  Parameters<float> again(linear.parameters());
  again.load(parameters.state_dict());
  expect_same_bits<float>(again.value("head.bias"), parameters.value("head.bias"));
}

TEST(Parameters, ErrorsNameWhatIsThere) {
  EXPECT_EQ(message_of<Error>([] {
              Parameters<float>({{"a", {1}}, {"b", {1}}, {"a", {2}}});
            }),
            "Parameters: there are two parameters named 'a'");
  Parameters<float> two({{"a", {1}}, {"b", {1}}});
  const std::string want = "no parameter named 'c'; there are 2: 'a', 'b'";
  EXPECT_EQ(message_of<Error>([&] { two.value("c"); }), want);
  EXPECT_EQ(message_of<Error>([&] { two.grad("c"); }), want);
  EXPECT_EQ(message_of<Error>([&] { two.freeze("c"); }), want);
  EXPECT_EQ(message_of<Error>([&] { two.unfreeze("c"); }), want);
  std::vector<ParameterInfo> many;
  for (const char* name : {"w0", "w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8"}) many.push_back({name, {1}});
  EXPECT_EQ(message_of<Error>([&] { Parameters<float>(many).index_of("x"); }),
            "no parameter named 'x'; there are 9: 'w0', 'w1', 'w2', 'w3', 'w4', 'w5', 'w6', 'w7', ...");
  EXPECT_EQ(message_of<Error>([] { Parameters<float>().index_of("x"); }),
            "no parameter named 'x'; there are 0");
  const std::size_t huge = std::size_t{1} << 60;
  EXPECT_EQ(message_of<ShapeError>([&] {
              Parameters<double>({{"a", {huge - 64}}, {"b", {huge}}});
            }),
            "Parameters: 'b', [1152921504606846976], does not fit in the address space");
}

}  // namespace
}  // namespace sluice
