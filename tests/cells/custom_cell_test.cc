// SPDX-License-Identifier: Apache-2.0
#include "sluice/custom_cell.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "sluice/error.h"
#include "support/module_promises.h"

namespace sluice {
namespace {

using test::message_of;

/// That `body` throws `message`, and a line of the call of this function, which takes up to four.
template <class E, class Body>
void expect_error(const std::string& message, const Body& body, SourceLine here = SourceLine::current()) {
  const std::string got = message_of<E>(body);
  const std::string before = message + " (custom_cell_test.cc:";
  ASSERT_EQ(got.substr(0, before.size()), before) << got << " at line " << here.line;
  const int line = std::stoi(got.substr(before.size()));
  EXPECT_TRUE(line >= here.line && line < here.line + 4) << got << " at line " << here.line;
}

TEST(CustomCell, KnowsWhatItIs) {
  CellBuilder cell("LSTM");
  const auto x = cell.input(3), h = cell.state("h", 2), c = cell.state("c", 2);
  const auto gates = cell.matrix("weight_ih", 8, x) + cell.vector("bias", 8) + cell.matrix("weight_hh", 8, h);
  EXPECT_EQ(gates.size(), 8u);
  const auto [i, f, g, o] = split<4>(gates);
  EXPECT_EQ(o.size(), 2u);
  const auto c_new = sigmoid(f) * c + sigmoid(i) * tanh(g) * cell.scalar("scale");
  const auto h_new = sigmoid(o) * tanh(c_new);
  cell.next(c, c_new);
  cell.next(h, h_new);
  const CustomCell lstm = cell.build(slice(h_new, 1, 1));
  EXPECT_EQ(lstm.name(), "LSTM");
  EXPECT_EQ(lstm.input_size(), 3u);
  EXPECT_EQ(lstm.output_size(), 1u);
  ASSERT_EQ(lstm.states().size(), 2u);
  EXPECT_EQ(lstm.states()[0].name, "h");
  EXPECT_EQ(lstm.states()[1].name, "c");
  EXPECT_EQ(lstm.states()[1].size, 2u);
  const std::vector<ParameterInfo> parameters = lstm.parameters();
  ASSERT_EQ(parameters.size(), 4u);
  EXPECT_EQ(parameters[0].name, "weight_ih");
  EXPECT_EQ(parameters[0].shape, Shape({8, 3}));
  EXPECT_EQ(parameters[1].name, "bias");
  EXPECT_EQ(parameters[1].shape, Shape({8}));
  EXPECT_EQ(parameters[2].name, "weight_hh");
  EXPECT_EQ(parameters[2].shape, Shape({8, 2}));
  EXPECT_EQ(parameters[3].name, "scale");
  EXPECT_EQ(parameters[3].shape, Shape({1}));
}

TEST(CustomCell, AParameterOfTheSameNameIsTheSame) {
  CellBuilder cell("C");
  const auto x = cell.input(4), h = cell.state("h", 4);
  cell.next(h, cell.matrix("w", 4, x) + cell.matrix("w", 4, h) + cell.vector("b", 4) * cell.vector("b", 4));
  EXPECT_EQ(cell.build(h).parameters().size(), 2u);
}

TEST(CustomCell, ParametersStandInTheOrderOfTheNextValues) {
  CellBuilder cell("C");
  const auto x = cell.input(4), b = cell.vector("b", 4), unused = cell.scalar("unused");
  const auto h = cell.state("h", 4), c = cell.state("c", 4);
  cell.next(c, cell.matrix("second", 4, cell.matrix("first", 2, x)) * cell.vector("third", 4));
  cell.next(h, cell.vector("zeroth", 4) + x);
  const CustomCell made = cell.build(b * cell.vector("zeroth", 4));
  std::string names;
  for (const ParameterInfo& parameter : made.parameters()) names += parameter.name + " ";
  EXPECT_EQ(names, "zeroth first second third b unused ");
  EXPECT_EQ(unused.size(), 1u);
}

TEST(CustomCell, OutlivesItsBuilder) {
  const auto make = [] {
    CellBuilder cell("C");
    return cell.build(cell.input(4) + 1);
  };
  EXPECT_EQ(make().output_size(), 4u);
}

TEST(CustomCell, SizesThatDoNotFitNameBothValuesAndTheLine) {
  CellBuilder cell("LSTM");
  const auto x = cell.input(3), h = cell.state("h", 4), f = cell.vector("f", 4);
  const auto wx = cell.matrix("weight_ih", 4, x), one = cell.scalar("one");
  expect_error<ShapeError>("LSTM: x + h: x has size 3 and h has size 4, expected equal sizes or 1",
                           [&] { x + h; });
  expect_error<ShapeError>("LSTM: h - x: h has size 4 and x has size 3, expected equal sizes or 1",
                           [&] { h - x; });
  expect_error<ShapeError>("LSTM: h * x: h has size 4 and x has size 3, expected equal sizes or 1",
                           [&] { h* x; });
  expect_error<ShapeError>("LSTM: h / x: h has size 4 and x has size 3, expected equal sizes or 1",
                           [&] { h / x; });
  expect_error<ShapeError>("LSTM: h < x: h has size 4 and x has size 3, expected equal sizes or 1",
                           [&] { return h < x; });
  expect_error<ShapeError>("LSTM: h <= x: h has size 4 and x has size 3, expected equal sizes or 1",
                           [&] { return h <= x; });
  expect_error<ShapeError>("LSTM: x < h: x has size 3 and h has size 4, expected equal sizes or 1",
                           [&] { return h > x; });
  expect_error<ShapeError>("LSTM: x <= h: x has size 3 and h has size 4, expected equal sizes or 1",
                           [&] { return h >= x; });
  expect_error<ShapeError>("LSTM: max(h, x): h has size 4 and x has size 3, expected equal sizes or 1",
                           [&] { max(h, x); });
  expect_error<ShapeError>("LSTM: min(h, x): h has size 4 and x has size 3, expected equal sizes or 1",
                           [&] { min(h, x); });
  expect_error<ShapeError>(
      "LSTM: select(one, h, x): h has size 4 and x has size 3, expected equal sizes or 1",
      [&] { select(one, h, x); });
  // Short expressions for what has no name.
  expect_error<ShapeError>(
      "LSTM: -... * x: -sigmoid(f) has size 4 and x has size 3, expected equal sizes or 1",
      [&] { -sigmoid(f) * x; });
  expect_error<ShapeError>(
      "LSTM: x + (weight_ih x): x has size 3 and weight_ih x has size 4, expected equal sizes or 1",
      [&] { x + wx; });
  expect_error<ShapeError>(
      "LSTM: (... + f) + x: (... * h) + f has size 4 and x has size 3, expected equal sizes or 1",
      [&] { wx * 2 * h + f + x; });
  expect_error<ShapeError>(
      "LSTM: slice(h, 0, 2) + x: slice(h, 0, 2) has size 2 and x has size 3, expected equal sizes or 1",
      [&] { slice(h, 0, 2) + x; });
  const auto gate = sigmoid(wx).named("gate");
  expect_error<ShapeError>("LSTM: gate + x: gate has size 4 and x has size 3, expected equal sizes or 1",
                           [&] { gate + x; });
  // One element counts for all.
  EXPECT_EQ((one + h).size(), 4u);
  EXPECT_EQ((1 - h).size(), 4u);
  EXPECT_EQ(select(h < 0.5, one, 2).size(), 4u);
}

TEST(CustomCell, SlicesLieWithinTheirValue) {
  CellBuilder cell("C");
  const auto x = cell.input(6);
  EXPECT_EQ(slice(x, 4, 2).size(), 2u);
  expect_error<ShapeError>("C: slice(x, 5, 2): x has size 6, expected elements within it, at least one",
                           [&] { slice(x, 5, 2); });
  expect_error<ShapeError>("C: slice(x, 7, 1): x has size 6, expected elements within it, at least one",
                           [&] { slice(x, 7, 1); });
  expect_error<ShapeError>("C: slice(x, 2, 0): x has size 6, expected elements within it, at least one",
                           [&] { slice(x, 2, 0); });
  expect_error<ShapeError>(
      "C: slice(x, 2, 18446744073709551615): x has size 6, expected elements within it, at least one",
      [&] { slice(x, 2, std::numeric_limits<std::size_t>::max()); });
  expect_error<ShapeError>("C: split<4>: x has size 6, expected a multiple of 4", [&] { split<4>(x); });
  expect_error<Error>("split of numbers alone, expected a cell's value", [&] { split<1>(2.0); });
}

TEST(CustomCell, LayerNormTakesVectorsOrNumbers) {
  CellBuilder cell("C");
  const auto x = cell.input(6), w = cell.vector("w", 6), b = cell.vector("b", 5);
  EXPECT_EQ(layer_norm(x, w, 0).size(), 6u);
  EXPECT_EQ(layer_norm(x, 1, cell.scalar("s")).size(), 6u);
  expect_error<ShapeError>(
      "C: layer_norm(x, w, b): x has size 6 and b has size 5, expected equal sizes or a number",
      [&] { layer_norm(x, w, b); });
  expect_error<ShapeError>(
      "C: layer_norm(2, w, 0): 2 has size 1 and w has size 6, expected equal sizes or a number",
      [&] { layer_norm(2, w, 0); });
  expect_error<Error>("C: layer_norm: eps is -1.000000, expected a finite number, at least 0",
                      [&] { layer_norm(x, w, 0, -1); });
}

TEST(CustomCell, NamesAreGivenOnce) {
  CellBuilder cell("C");
  const auto x = cell.input(6), w = cell.matrix("w", 4, x);
  cell.state("h", 4);
  const auto gate = sigmoid(w).named("gate");
  expect_error<Error>("C: there are two inputs, expected one", [&] { cell.input(6); });
  expect_error<Error>("C: there are two values named 'h'", [&] { cell.state("h", 4); });
  expect_error<Error>("C: there are two values named 'w'", [&] { cell.state("w", 4); });
  expect_error<Error>("C: there are two values named 'gate'", [&] { cell.state("gate", 4); });
  expect_error<Error>("C: there are two values named 'h'", [&] { cell.vector("h", 4); });
  expect_error<Error>("C: there are two values named 'gate'", [&] { cell.matrix("gate", 4, x); });
  expect_error<Error>("C: there are two values named 'gate'", [&] { tanh(w).named("gate"); });
  expect_error<Error>("C: there are two values named 'w'", [&] { w.named("w"); });
  expect_error<Error>("C: 'gate' is named again, 'i'", [&] { gate.named("i"); });
  expect_error<Error>("C: a name is empty", [&] { w.named(""); });
  expect_error<Error>("C: a name is empty", [&] { cell.state("", 4); });
  expect_error<Error>("C: a name is empty", [&] { cell.scalar(""); });
  EXPECT_EQ(message_of<Error>([] { CellBuilder(""); }), "CellBuilder: the cell's name is empty");
}

TEST(CustomCell, AParameterHasOneShape) {
  CellBuilder cell("C");
  const auto x = cell.input(6), h = cell.state("h", 4);
  cell.matrix("w", 4, x);
  cell.vector("b", 4);
  expect_error<ShapeError>("C: parameter 'w' is [4, 4], but [4, 6] where it was first used",
                           [&] { cell.matrix("w", 4, h); });
  expect_error<ShapeError>("C: parameter 'w' is [5, 6], but [4, 6] where it was first used",
                           [&] { cell.matrix("w", 5, x); });
  expect_error<ShapeError>("C: parameter 'b' is [5], but [4] where it was first used",
                           [&] { cell.vector("b", 5); });
  expect_error<ShapeError>("C: parameter 'b' is [1], but [4] where it was first used",
                           [&] { cell.scalar("b"); });
}

TEST(CustomCell, SizesAreAtLeastOne) {
  CellBuilder cell("C");
  expect_error<ShapeError>("C: the input has size 0, expected at least 1", [&] { cell.input(0); });
  expect_error<ShapeError>("C: state 'h' has size 0, expected at least 1", [&] { cell.state("h", 0); });
  expect_error<ShapeError>("C: parameter 'b' has size 0, expected at least 1", [&] { cell.vector("b", 0); });
  const auto x = cell.input(2);
  expect_error<ShapeError>("C: parameter 'w' has size 0, expected at least 1",
                           [&] { cell.matrix("w", 0, x); });
}

TEST(CustomCell, ValuesAreOfOneBuilderAndNotAllNumbers) {
  CellBuilder cell("C"), other("Other");
  const auto x = cell.input(6), h = cell.state("h", 6), y = other.state("y", 6);
  expect_error<Error>("C: * of tanh(y), a value of another builder (of 'Other')", [&] { x* tanh(y); });
  expect_error<Error>("C: matrix 'w' of y, a value of another builder (of 'Other')",
                      [&] { cell.matrix("w", 4, y); });
  expect_error<Error>("C: next of y, a value of another builder (of 'Other')", [&] { cell.next(y, x); });
  expect_error<Error>("C: next of y, a value of another builder (of 'Other')", [&] { cell.next(h, y); });
  expect_error<Error>("max of numbers alone, expected a cell's value", [&] { max(1.0, 2.0); });
  expect_error<Error>("C: + of the number inf, expected a finite one",
                      [&] { x + std::numeric_limits<double>::infinity(); });
}

TEST(CustomCell, StatesHaveOneNextValue) {
  CellBuilder cell("C");
  const auto x = cell.input(6);
  const int line = __LINE__ + 1;
  const auto h = cell.state("h", 6), c = cell.state("c", 2);
  expect_error<Error>("C: next(tanh(h)), expected a state", [&] { cell.next(tanh(h), x); });
  expect_error<ShapeError>("C: next(c): c has size 2 and tanh(x) has size 6, expected equal sizes",
                           [&] { cell.next(c, tanh(x)); });
  expect_error<ShapeError>("C: next(c): c has size 2 and 0 has size 1, expected equal sizes",
                           [&] { cell.next(c, 0); });
  cell.next(h, x);
  expect_error<Error>("C: state 'h' has two next values", [&] { cell.next(h, h); });
  expect_error<Error>("C: state 'c', of custom_cell_test.cc:" + std::to_string(line) +
                          ", has no next value, expected next(c, ...) before build",
                      [&] { cell.build(x); });
  cell.next(c, c);
  EXPECT_EQ(cell.build(x).states().size(), 2u);
}

TEST(CustomCell, HasAnInput) {
  CellBuilder cell("C");
  const auto h = cell.state("h", 6);
  cell.next(h, h + 1);
  expect_error<Error>("C: there is no input, expected input(size)", [&] { cell.build(h); });
  cell.input(3);
  EXPECT_EQ(cell.build(h).input_size(), 3u);
}

TEST(CustomCell, MatricesFollowTheInputsSize) {
  CellBuilder cell("C");
  const auto x = cell.input(6), h = cell.state("h", 6);
  cell.next(h, cell.matrix("w", 6, x) + cell.matrix("u", 6, tanh(x) * 2) +
                   cell.matrix("v", 6, slice(x, 1, 2)) + cell.matrix("r", 6, h));
  const CustomCell narrow = cell.build(h), wide = narrow.with_input_size(9);
  EXPECT_EQ(wide.input_size(), 9u);
  EXPECT_EQ(wide.output_size(), 6u);
  EXPECT_EQ(wide.name(), "C");
  const std::vector<ParameterInfo> parameters = wide.parameters();
  EXPECT_EQ(parameters[0].shape, Shape({6, 9}));
  EXPECT_EQ(parameters[1].shape, Shape({6, 9}));
  EXPECT_EQ(parameters[2].shape, Shape({6, 2}));
  EXPECT_EQ(parameters[3].shape, Shape({6, 6}));
  EXPECT_EQ(narrow.parameters()[0].shape, Shape({6, 6}));
  EXPECT_EQ(wide.with_input_size(6).parameters()[1].shape, Shape({6, 6}));
}

TEST(CustomCell, AnotherInputSizeFitsEverywhereOrNowhere) {
  const auto message = [](const auto& next_of, std::size_t size = 9) {
    CellBuilder cell("C");
    const auto x = cell.input(6), h = cell.state("h", 6);
    cell.next(h, next_of(cell, x, h));
    const CustomCell made = cell.build(h);
    const std::string what = message_of<ShapeError>([&] { made.with_input_size(size); });
    return what.substr(0, what.rfind(':'));
  };
  using Cell = CellBuilder&;
  using Value = const CellValue&;
  EXPECT_EQ(message([](Cell, Value x, Value h) { return x * h; }),
            "C with an input of size 9: x * h: x has size 9 and h has size 6, expected equal sizes or 1 "
            "(custom_cell_test.cc");
  EXPECT_EQ(message([](Cell, Value x, Value) { return x; }),
            "C with an input of size 9: next(h): h has size 6 and x has size 9, expected equal sizes "
            "(custom_cell_test.cc");
  EXPECT_EQ(
      message([](Cell cell, Value x, Value h) { return cell.matrix("w", 6, x) + cell.matrix("w", 6, h); }),
      "C with an input of size 9: w h: w is [6, 9] and h has size 6, expected as many columns "
      "(custom_cell_test.cc");
  EXPECT_EQ(
      message([](Cell cell, Value x, Value h) { return cell.matrix("w", 6, h) + cell.matrix("w", 6, x); }),
      "C with an input of size 9: w h: w is [6, 9] and h has size 6, expected as many columns "
      "(custom_cell_test.cc");
  EXPECT_EQ(
      message([](Cell cell, Value x, Value) { return cell.matrix("w", 6, slice(x, 2, 4)); }, 5),
      "C with an input of size 5: slice(x, 2, 4): x has size 5, expected elements within it, at least one "
      "(custom_cell_test.cc");
  EXPECT_EQ(message([](Cell cell, Value x, Value) { return cell.matrix("w", 6, x); }, 0),
            "C::with_input_size");
}

}  // namespace
}  // namespace sluice
