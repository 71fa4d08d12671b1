// SPDX-License-Identifier: Apache-2.0
#include "sluice/cell_text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "cells/cell_graph.h"
#include "core/json.h"
#include "sluice/error.h"
#include "support/files.h"
#include "support/library_cells.h"
#include "support/random_cell.h"
#include "support/well_formed.h"

namespace sluice {
namespace {

using testing::expect_contains;
using testing::message_of;

/// The same values in the same order, with the same names.
void expect_same_graph(const CellGraph& got, const CellGraph& want) {
  EXPECT_EQ(got.name, want.name);
  EXPECT_EQ(got.input_size, want.input_size);
  EXPECT_EQ(got.output, want.output);
  ASSERT_EQ(got.states.size(), want.states.size());
  for (std::size_t i = 0; i < want.states.size(); ++i) {
    EXPECT_EQ(got.states[i].name, want.states[i].name);
    EXPECT_EQ(got.states[i].size, want.states[i].size);
    EXPECT_EQ(got.states[i].node, want.states[i].node);
    EXPECT_EQ(got.states[i].next, want.states[i].next);
  }
  ASSERT_EQ(got.parameters.size(), want.parameters.size());
  for (std::size_t i = 0; i < want.parameters.size(); ++i) {
    EXPECT_EQ(got.parameters[i].name, want.parameters[i].name);
    EXPECT_EQ(got.parameters[i].shape, want.parameters[i].shape);
  }
  ASSERT_EQ(got.nodes.size(), want.nodes.size());
  for (std::size_t i = 0; i < want.nodes.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(got.nodes[i].op, want.nodes[i].op);
    EXPECT_EQ(got.nodes[i].size, want.nodes[i].size);
    EXPECT_EQ(got.nodes[i].args, want.nodes[i].args);
    EXPECT_EQ(got.nodes[i].index, want.nodes[i].index);
    EXPECT_EQ(got.nodes[i].first, want.nodes[i].first);
    EXPECT_EQ(got.nodes[i].value, want.nodes[i].value);
    EXPECT_EQ(got.nodes[i].name, want.nodes[i].name);
  }
}

void expect_round_trip(const CustomCell& cell) {
  const std::string text = cell_to_json(cell);
  const CustomCell again = cell_from_json(text);
  expect_same_graph(again.graph(), cell.graph());
  EXPECT_EQ(cell_to_json(again), text);
  EXPECT_EQ(cell_svg({&again, 1}), cell_svg({&cell, 1}));
}

// h' = tanh(w x + u h + b), its values from last to first.
constexpr const char* kPlain = R"({"name": "Plain", "input_size": 3,
  "states": [{"name": "h", "size": 4}],
  "values": [
    {"name": "h_new", "op": "tanh", "args": ["sum"]},
    {"name": "sum", "op": "add", "args": ["both", "b"]},
    {"name": "both", "op": "add", "args": ["wx", "uh"]},
    {"name": "uh", "op": "matrix", "parameter": "u", "rows": 4, "args": ["h"]},
    {"name": "wx", "op": "matrix", "parameter": "w", "rows": 4, "args": ["x"]},
    {"op": "vector", "parameter": "b", "size": 4}],
  "next": {"h": "h_new"}, "output": "h_new"})";

/// kPlain with something else in the place of `part`.
std::string plain_with(const std::string& part, const std::string& other) {
  std::string text = kPlain;
  const std::size_t at = text.find(part);
  EXPECT_NE(at, std::string::npos) << part;
  return text.replace(at, part.size(), other);
}

std::string refusal(const std::string& text) {
  return message_of<Error>([&] { cell_from_json(text); });
}
std::string refusal_with(const std::string& part, const std::string& other) {
  return refusal(plain_with(part, other));
}

/// A cell whose state is x + `values`, which end in "y".
std::string cell_of(const std::string& values) {
  return R"({"name": "C", "input_size": 4, "states": [{"name": "h", "size": 4}], "values": [)" + values +
         R"(], "next": {"h": "y"}, "output": "y"})";
}

TEST(CellText, StatesACellInAnyOrder) {
  CellBuilder cell("Plain");
  const auto x = cell.input(3), h = cell.state("h", 4);
  const auto wx = cell.matrix("w", 4, x).named("wx"), uh = cell.matrix("u", 4, h).named("uh");
  const auto h_new = tanh(((wx + uh).named("both") + cell.vector("b", 4)).named("sum")).named("h_new");
  cell.next(h, h_new);
  expect_same_graph(cell_from_json(kPlain).graph(), cell.build(h_new).graph());
}

TEST(CellText, HasEveryOperation) {
  CellBuilder cell("All");
  const auto x = cell.input(4), h = cell.state("h", 4), c = cell.state("c", 1);
  const auto s = cell.scalar("s"), v = cell.vector("v", 4);
  const auto sum = ((x + h) - s) * 2 / v;
  const auto chosen = select(x < h, max(sum, -h), min(sum, abs(v)));
  const auto long_way = sqrt(exp(log(sigmoid(tanh(relu(chosen))))));
  const auto normal = layer_norm(long_way, v, 0.5, 1e-3);
  const auto y = select(h <= normal, slice(cell.matrix("w", 8, normal), 2, 4), -0.0);
  cell.next(h, y);
  cell.next(c, 0.1);
  const CustomCell all = cell.build(1.5);
  expect_round_trip(all);
  const std::string text = cell_to_json(all);
  for (const char* op : {"add",    "sub",    "mul",    "div",     "neg",   "max",       "min",  "abs",
                         "exp",    "log",    "sqrt",   "sigmoid", "tanh",  "relu",      "less", "less_equal",
                         "select", "matrix", "vector", "scalar",  "slice", "layer_norm"}) {
    expect_contains(text, "\"op\":\"" + std::string(op) + '"');
  }
  expect_contains(text, "-0.0");
}

TEST(CellText, WhatIsWrittenReadsTheSame) {
  for (const test::NamedCell& named : test::kLibraryCells) {
    SCOPED_TRACE(named.name);
    expect_round_trip(named.make(3, 5));
  }
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    expect_round_trip(test::random_cell(seed));
  }
}

TEST(CellText, NamesAreTheAuthorsOrMadeUp) {
  CellBuilder cell("C");
  const auto u = cell.input(4).named("u"), x = cell.state("x", 4);
  const auto b = cell.vector("b", 4);
  const auto tanh_of = tanh(u + cell.vector("b", 4)).named("add");  // its sum has no name
  cell.next(x, tanh_of * b);
  const CustomCell made = cell.build(tanh_of);
  expect_round_trip(made);
  const std::string text = cell_to_json(made);
  expect_contains(text, R"("input": "u")");
  expect_contains(text, R"({"op":"vector","parameter":"b","size":4})");
  expect_contains(text, R"({"name":"#b","op":"vector","parameter":"b","size":4})");
  expect_contains(text, R"({"name":"#add","op":"add","args":["u","b"]})");
  expect_contains(text, R"({"name":"add","op":"tanh","args":["#add"]})");
  // Without a name the input is x, unless something else is.
  CellBuilder other("C");
  const auto in = other.input(4), state = other.state("x", 4);
  other.next(state, in);
  expect_round_trip(other.build(state));
}

TEST(CellText, WhatCannotBeReadAgainIsNotWritten) {
  CellBuilder cell("C");
  const auto x = cell.input(4), unused = cell.scalar("unused");
  EXPECT_EQ(message_of<Error>([&] { cell_to_json(cell.build(x)); }),
            "C: nothing needs parameter 'unused', so the text form cannot have it");
  EXPECT_EQ(unused.size(), 1u);
  CellBuilder bad("C");
  const auto in = bad.input(4);
  EXPECT_EQ(message_of<Error>([&] { cell_to_json(bad.build((in + bad.scalar("\xff")))); }),
            "C: a name is not UTF-8, so the text form cannot have it");
  CellBuilder large("C");
  expect_contains(message_of<Error>([&] { cell_to_json(large.build(large.input((1 << 20) + 1))); }),
                  "cell: option 'input_size' is 1048577, expected at most 1048576");
}

TEST(CellText, ShapesAreCheckedAsTheBuilders) {
  EXPECT_EQ(refusal_with(R"("u", "rows": 4)", R"("u", "rows": 5)"),
            "Plain: wx + uh: wx has size 4 and uh has size 5, expected equal sizes or 1 (value 'both')");
  EXPECT_EQ(refusal_with(R"("next": {"h": "h_new"})", R"("next": {"h": "x"})"),
            "Plain: next(h): h has size 4 and x has size 3, expected equal sizes (next of 'h')");
  EXPECT_EQ(refusal_with(R"("parameter": "u")", R"("parameter": "w")"),
            "Plain: parameter 'w' is [4, 4], but [4, 3] where it was first used (value 'uh')");
  EXPECT_EQ(refusal(cell_of(R"({"name": "y", "op": "slice", "args": ["x"], "first": 2, "size": 3})")),
            "C: slice(x, 2, 3): x has size 4, expected elements within it, at least one (value 'y')");
  EXPECT_EQ(refusal(cell_of(R"({"op": "vector", "parameter": "v", "size": 3},
                               {"name": "y", "op": "layer_norm", "args": ["x", "v", 0]})")),
            "C: layer_norm(x, v, 0): x has size 4 and v has size 3, expected equal sizes or a number "
            "(value 'y')");
}

TEST(CellText, NamesThatDoNotFitAreRefused) {
  EXPECT_EQ(refusal_with(R"(["both", "b"])", R"(["both", "bias"])"),
            "Plain: there is no value, state or input named 'bias' (value 'sum')");
  EXPECT_EQ(refusal_with(R"("name": "sum")", R"("name": "h_new")"),
            "Plain: there are two values named 'h_new' (value 'h_new')");
  EXPECT_EQ(refusal_with(R"("name": "sum")", R"("name": "x")"),
            "Plain: there are two values named 'x' (value 'x')");
  EXPECT_EQ(refusal_with(R"([{"name": "h", "size": 4}])",
                         R"([{"name": "h", "size": 4}, {"name": "h", "size": 4}])"),
            "Plain: there are two values named 'h' (state 'h')");
  // A parameter's name is its own, too.
  EXPECT_EQ(refusal_with(R"("parameter": "b")", R"("name": "b", "parameter": "sum")"),
            "Plain: there are two values named 'sum' (value 'sum')");
  EXPECT_EQ(refusal_with(R"("output": "h_new")", R"("output": "g")"),
            "Plain: there is no value, state or input named 'g' (the output)");
  EXPECT_EQ(refusal_with(R"("name": "sum", )", ""),
            "cell.values[1]: option 'name' is missing, expected a string");
  EXPECT_EQ(refusal_with(R"("name": "sum")", R"("name": "")"),
            "cell.values[1]: option 'name' is \"\", expected a name, without control characters");
  EXPECT_EQ(
      refusal_with(R"("parameter": "b")", R"("parameter": "b\u0000")"),
      "cell.values[5]: option 'parameter' is \"b\\u0000\", expected a name, without control characters");
  EXPECT_EQ(refusal_with(R"("parameter": "u", )", ""),
            "cell.values[3] ('uh'): option 'parameter' is missing, expected a string");
}

TEST(CellText, ACycleIsNamed) {
  EXPECT_EQ(refusal_with(R"(["wx", "uh"])", R"(["wx", "h_new"])"),
            "Plain: a cycle: 'h_new' from 'sum' from 'both' from 'h_new' itself (value 'h_new')");
  EXPECT_EQ(refusal(cell_of(R"({"name": "y", "op": "add", "args": ["x", "y"]})")),
            "C: a cycle: 'y' from 'y' itself (value 'y')");
  // One that nothing else needs, and a long one.
  EXPECT_EQ(refusal(cell_of(R"({"name": "y", "op": "tanh", "args": ["x"]},
                               {"name": "a", "op": "tanh", "args": ["b"]},
                               {"name": "b", "op": "tanh", "args": ["a"]})")),
            "C: a cycle: 'a' from 'b' from 'a' itself (value 'a')");
  std::string chain = R"({"name": "y", "op": "tanh", "args": ["v0"]})";
  for (int i = 0; i < 400; ++i) {
    chain += R"(, {"name": "v)" + std::to_string(i) + R"(", "op": "tanh", "args": ["v)" +
             std::to_string((i + 1) % 400) + "\"]}";
  }
  EXPECT_EQ(
      refusal(cell_of(chain)),
      "C: a cycle: 'v0' from 'v1' from 'v2' from 'v3' from 'v4' from 'v5' from 'v6' from 'v7' from 'v8' "
      "from 'v9' from ... from 'v0' itself (value 'v0')");
}

TEST(CellText, OptionsAreCheckedByName) {
  const std::string operations =
      "one of add, sub, mul, div, neg, max, min, abs, exp, log, sqrt, sigmoid, tanh, relu, less, less_equal, "
      "select, matrix, vector, scalar, slice, layer_norm";
  EXPECT_EQ(refusal_with(R"("op": "tanh")", R"("op": "softmax")"),
            "cell.values[0] ('h_new'): option 'op' is \"softmax\", expected " + operations);
  EXPECT_EQ(refusal_with(R"("args": ["sum"])", R"("args": ["sum", "b"])"),
            "cell.values[0] ('h_new'): option 'args' is [\"sum\",\"b\"], expected a list of 1 value's name");
  EXPECT_EQ(refusal_with(R"(["both", "b"])", R"(["both", null])"),
            "cell.values[1] ('sum'): option 'args' is [\"both\",null], expected a list of 2 values' names or "
            "numbers");
  EXPECT_EQ(refusal_with(R"(["both", "b"])", "[1, 2]"),
            "cell.values[1] ('sum'): option 'args' is [1,2], expected a value's name among them");
  EXPECT_EQ(refusal_with(R"("op": "tanh", )", R"("op": "tanh", "rows": 4, )"),
            "cell.values[0] ('h_new'): unknown option 'rows'");
  EXPECT_EQ(refusal_with(R"("size": 4}])", R"("size": 4, "init": 1}])"),
            "cell.states[0]: unknown option 'init'");
  EXPECT_EQ(refusal_with(R"("output")", R"("outputs": 1, "output")"), "cell: unknown option 'outputs'");
  EXPECT_EQ(refusal_with(R"("next": {"h": "h_new"})", R"("next": {"h": "h_new", "c": "h_new"})"),
            "cell.next: unknown option 'c'");
  EXPECT_EQ(refusal_with(R"("next": {"h": "h_new"})", R"("next": {})"),
            "cell.next: option 'h' is missing, expected what the state becomes: a value's name or a number");
  EXPECT_EQ(refusal_with(R"("next": {"h": "h_new"}, )", ""),
            "cell: option 'next' is missing, expected what each state becomes");
  EXPECT_EQ(refusal_with(R"(, "output": "h_new")", ""),
            "cell: option 'output' is missing, expected the output: a value's name or a number");
  EXPECT_EQ(
      refusal_with(R"({"op": "vector", "parameter": "b", "size": 4})", "3"),
      R"(cell.values[5] is 3, expected an object such as {"name": "f", "op": "sigmoid", "args": ["pre_f"]})");
  EXPECT_EQ(refusal("[]"), R"(cell is [], expected an object such as {"name": "LSTM", ...})");
  EXPECT_EQ(refusal("{"),
            "cell: byte 1: not valid JSON: syntax error while parsing object key - unexpected "
            "end of input; expected string literal");
}

TEST(CellText, SizesAreNeitherZeroNorAbsurd) {
  const std::string whole = "expected a whole number, at least 1 and below 2^31";
  EXPECT_EQ(refusal_with(R"("input_size": 3)", R"("input_size": 0)"),
            "cell: option 'input_size' is 0, " + whole);
  EXPECT_EQ(refusal_with(R"("rows": 4)", R"("rows": -4)"),
            "cell.values[3] ('uh'): option 'rows' is -4, " + whole);
  EXPECT_EQ(refusal_with(R"("rows": 4)", R"("rows": 1048577)"),
            "cell.values[3] ('uh'): option 'rows' is 1048577, expected at most 1048576");
  EXPECT_EQ(refusal_with(R"("size": 4}])", R"("size": 1e30}])"),
            "cell.states[0]: option 'size' is 1e+30, " + whole);
  EXPECT_EQ(refusal_with(R"("b", "size": 4)", R"("b", "size": 18446744073709551615)"),
            "cell.values[5]: option 'size' is 18446744073709551615, " + whole);
  std::string values;
  for (int i = 0; i < 501; ++i) values += (i > 0 ? ", " : "") + std::string("1");
  EXPECT_EQ(refusal(cell_of(values)), "cell: option 'values' has 501 entries, expected at most 500");
}

TEST(CellText, ValuesThatNothingNeedsAreRefused) {
  EXPECT_EQ(refusal_with(R"("args": ["sum"])", R"("args": ["both"])"),
            "Plain: neither the output nor a next state needs 'sum' (value 'sum')");
  // But not every cell needs its input, nor its state's old value.
  const CustomCell cell =
      cell_from_json(cell_of(R"({"op": "vector", "name": "y", "parameter": "b", "size": 4})"));
  EXPECT_EQ(cell.parameters().size(), 1u);
}

// As many values as there may be, each made of the one before: no recursion, and no work that doubles.
TEST(CellText, TakesTheLongestChain) {
  std::string values = R"({"name": "y", "op": "tanh", "args": ["v498"]})";
  for (int i = 498; i > 0; --i) {
    const std::string before = i > 1 ? 'v' + std::to_string(i - 1) : "x";
    values += R"(, {"name": "v)" + std::to_string(i) + R"(", "op": "add", "args": [")" + before + R"(", ")" +
              before + "\"]}";
  }
  const CustomCell cell = cell_from_json(cell_of(values));
  EXPECT_EQ(cell.graph().nodes.size(), 501u);
  EXPECT_EQ(lower_cell(cell.graph()).nodes.size(), 500u);  // nothing needs h
  EXPECT_GT(cell_svg({&cell, 1}).size(), 50000u);
}

struct Rect {
  double x, y, width, height;
};

double number_after(const std::string& text, std::size_t from, const std::string& attribute) {
  return std::stod(text.substr(text.find(attribute + "=\"", from) + attribute.size() + 2));
}

/// The boxes of the values.
std::vector<Rect> boxes_of(const std::string& svg) {
  const std::string start = "<g class=\"box\"><rect";
  std::vector<Rect> boxes;
  for (std::size_t at = svg.find(start); at != std::string::npos; at = svg.find(start, at + 1)) {
    boxes.push_back({number_after(svg, at, " x"), number_after(svg, at, " y"),
                     number_after(svg, at, " width"), number_after(svg, at, " height")});
  }
  return boxes;
}

void expect_boxes_apart(const std::string& svg, std::size_t count) {
  test::expect_well_formed(svg);
  const double width = number_after(svg, 0, " width"), height = number_after(svg, 0, " height");
  const std::vector<Rect> boxes = boxes_of(svg);
  EXPECT_EQ(boxes.size(), count);
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    const Rect& a = boxes[i];
    EXPECT_TRUE(a.x > 0 && a.y > 0 && a.x + a.width < width && a.y + a.height < height) << i;
    for (std::size_t k = 0; k < i; ++k) {
      const Rect& b = boxes[k];
      const bool is_beside = a.x + a.width < b.x || b.x + b.width < a.x;
      const bool is_above = a.y + a.height < b.y || b.y + b.height < a.y;
      EXPECT_TRUE(is_beside || is_above) << i << " " << k;
    }
  }
}

/// One for each value but numbers, and for each result.
std::size_t count_boxes(const CellGraph& graph) {
  std::vector<std::size_t> results{graph.output};
  for (const CellState& state : graph.states) results.push_back(state.next);
  std::sort(results.begin(), results.end());
  const auto different = std::unique(results.begin(), results.end()) - results.begin();
  const auto values = std::count_if(graph.nodes.begin(), graph.nodes.end(),
                                    [](const CellNode& node) { return node.op != CellOp::kConstant; });
  return static_cast<std::size_t>(values + different);
}

TEST(CellSvg, BoxesStandApartOnThePage) {
  for (const test::NamedCell& named : test::kLibraryCells) {
    SCOPED_TRACE(named.name);
    const CustomCell cell = named.make(32, 64);
    expect_boxes_apart(cell_svg({&cell, 1}), count_boxes(cell.graph()));
  }
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    const CustomCell cell = test::random_cell(seed);
    expect_boxes_apart(cell_svg({&cell, 1}), count_boxes(cell.graph()));
  }
}

TEST(CellSvg, ValuesStandBelowTheirArguments) {
  const CustomCell cell = cell_from_json(kPlain);
  const std::vector<Rect> boxes = boxes_of(cell_svg({&cell, 1}));
  ASSERT_EQ(boxes.size(), 9u);  // x, h, wx, uh, both, b, sum, h_new, and the result
  EXPECT_EQ(boxes[0].y, boxes[1].y);
  for (const std::size_t i : {2u, 3u}) EXPECT_EQ(boxes[i].y, boxes[i - 2].y + 78);
  EXPECT_EQ(boxes[4].y, boxes[2].y + 78);
  EXPECT_EQ(boxes[5].y, boxes[4].y);  // b, just above where it is added
  EXPECT_EQ(boxes[6].y, boxes[4].y + 78);
  EXPECT_EQ(boxes[7].y, boxes[6].y + 78);
  EXPECT_EQ(boxes[8].y, boxes[7].y + 78);
}

TEST(CellSvg, SaysWhatEachValueIs) {
  CellBuilder builder("A & <B> \u00e9\u4e2d\xff.\xe4\xb8.");
  const auto x = builder.input(4), h = builder.state("h", 4);
  const auto w = builder.matrix("weight", 8, x).named("w");
  const std::string longest(200, 'n');
  const auto z = sigmoid(slice(w, 4, 4)).named(longest);
  builder.next(h, (1 - z) * h);
  const CustomCell cell = builder.build(0.5);
  const std::string svg = cell_svg({&cell, 1});
  test::expect_well_formed(svg);
  for (const char* text : {">A &#38; &#60;B&#62; &#233;&#20013;?.?.<", ">w<", ">weight, 8 &#215; 4<",
                           ">[4:8]<", ">1 &#8722; &#183;<", ">&#215;<", ">next h<", ">output<", ">0.5<",
                           ">sigmoid, 4<", ">input 4, output 1, 1 state, 32 parameters<"}) {
    expect_contains(svg, text);
  }
  expect_contains(svg, '>' + std::string(25, 'n') + "&#8230;<");
}

TEST(CellSvg, DrawsThePictureOfTheGuide) {
  const CustomCell lstm = cells::lstm(32, 64);
  EXPECT_TRUE(cell_svg({&lstm, 1}) == testing::read_file(SLUICE_SOURCE_DIR "/docs/images/lstm_cell.svg"));
}

TEST(CellSvg, CellsStandOneBelowTheOther) {
  const std::vector<CustomCell> cells{cells::lstm(3, 4), cells::gru(3, 4)};
  const std::string svg = cell_svg(cells);
  expect_boxes_apart(svg, count_boxes(cells[0].graph()) + count_boxes(cells[1].graph()));
  const std::vector<Rect> boxes = boxes_of(svg);
  const auto lowest = [&](std::size_t first, std::size_t last) {
    double y = 0;
    for (std::size_t i = first; i < last; ++i) y = std::max(y, boxes[i].y);
    return y;
  };
  const std::size_t of_first = count_boxes(cells[0].graph());
  for (std::size_t i = of_first; i < boxes.size(); ++i) EXPECT_GT(boxes[i].y, lowest(0, of_first));
}

}  // namespace
}  // namespace sluice
