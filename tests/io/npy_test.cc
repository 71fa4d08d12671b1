// SPDX-License-Identifier: Apache-2.0
#include "sluice/npy.h"

#include <gtest/gtest.h>

#include "io/npy_format.h"
#include "sluice/error.h"
#include "support/files.h"

namespace sluice {
namespace {

using testing::as_bytes;
using testing::expect_contains;
using testing::message_of;
using testing::npy;
using testing::raw;
using testing::TempFolder;

std::string refusal(const std::string& bytes) {
  const std::string message = message_of<FileError>([&] { parse_npy(as_bytes(bytes), "x.npy"); });
  EXPECT_TRUE(message.starts_with("x.npy: byte ")) << message;
  return message;
}

std::string dictionary(const std::string& descr, const std::string& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }\n";
}

template <class T>
Tensor<T> parsed(const std::string& bytes) {
  return std::get<Tensor<T>>(parse_npy(as_bytes(bytes), "x.npy"));
}

TEST(NpyRead, EveryVersionAndType) {
  for (const char major : {1, 2, 3}) {
    const Tensor<float> f = parsed<float>(npy(dictionary("<f4", "(2, 1)"), raw<float>({1.5f, -2}), major));
    EXPECT_EQ(f.shape(), (Shape{2, 1}));
    EXPECT_EQ(f(1, 0), -2.0f);
    EXPECT_EQ(parsed<double>(npy(dictionary("<f8", "(1,)"), raw<double>({0.1}), major))(0), 0.1);
    EXPECT_EQ(parsed<std::int64_t>(npy(dictionary("<i8", "(1,)"), raw<std::int64_t>({-3}), major))(0), -3);
  }
  EXPECT_EQ(parsed<float>(npy(dictionary("=f4", "(1,)"), raw<float>({2})))(0), 2.0f);
  EXPECT_EQ(parsed<float>(npy(dictionary("|f4", "(1,)"), raw<float>({2})))(0), 2.0f);
}

TEST(NpyRead, RankZeroAndEmptyArrays) {
  const Tensor<float> scalar = parsed<float>(npy(dictionary("<f4", "()"), raw<float>({4})));
  EXPECT_EQ(scalar.rank(), 0u);
  EXPECT_EQ(scalar.size(), 1u);
  EXPECT_EQ(scalar.data()[0], 4.0f);
  EXPECT_EQ(parsed<float>(npy(dictionary("<f4", "(0, 3)"), "")).shape(), (Shape{0, 3}));
}

TEST(NpyRead, OtherSpellingsOfTheDictionary) {
  const std::string data = raw<float>({1, 2});
  EXPECT_EQ(parsed<float>(npy("{\"shape\":(2L,),\"fortran_order\":False,\"descr\":\"<f4\"}", data)).size(),
            2u);
  // An array of one dimension lies the same in both orders.
  EXPECT_EQ(parsed<float>(npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2,)}  \n", data)).size(),
            2u);
}

TEST(NpyRefuses, WhatIsNoNpyFile) {
  expect_contains(refusal(""), "byte 0: no .npy file");
  expect_contains(refusal("PK\x03\x04"), "byte 0: no .npy file");
  expect_contains(refusal("\x93NUMPY"), "byte 6: the file ends before the version");
  expect_contains(refusal(npy(dictionary("<f4", "()"), raw<float>({1}), 4)), "byte 6: version 4.0");
  expect_contains(refusal(std::string("\x93NUMPY\x01\x00\xFF", 9)), "byte 8");
  expect_contains(refusal(std::string("\x93NUMPY\x01\x00\xFF\xFF{}", 12)), "header length 65535, but only 2");
  expect_contains(refusal(std::string("\x93NUMPY\x02\x00\xFF\xFF\xFF\xFF{}", 14)),
                  "header length 4294967295");
  expect_contains(refusal(npy("", "")), "byte 10: header: expected '{'");
}

TEST(NpyRefuses, SizesThatTheFileDoesNotHave) {
  const auto with_shape = [](const std::string& shape) {
    return refusal(npy(dictionary("<f4", shape), raw<float>({1, 2})));
  };
  expect_contains(with_shape("(3,)"), "shape [3] of 4-byte elements, but 8 bytes of data");
  expect_contains(with_shape("(1,)"), "but 8 bytes of data");
  expect_contains(with_shape("(4611686018427387906,)"), "but 8 bytes of data");  // times 4 wraps round to 8
  expect_contains(with_shape("(4294967296, 4294967296)"), "does not fit in 63 bits");
  expect_contains(with_shape("(0, 9223372036854775808)"), "does not fit in 63 bits");
  expect_contains(with_shape("(99999999999999999999,)"), "too large");
  expect_contains(with_shape("(-2,)"), "expected a whole number");
  expect_contains(with_shape("(2)"), "expected (n,)");
  expect_contains(with_shape("(2 3,)"), "expected ',' or ')'");
  expect_contains(with_shape("(1,1,1,1,1,1,1,1,2)"), "more than 8 dimensions");
  expect_contains(with_shape("[2]"), "expected '('");
}

TEST(NpyRefuses, DictionariesThatAreWrong) {
  const std::string data = raw<float>({1, 2});
  expect_contains(refusal(npy("{'descr': '<f4', 'fortran_order': False}", data)), "are needed");
  expect_contains(
      refusal(npy("{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", data)),
      "unknown or repeated key 'descr'");
  expect_contains(refusal(npy("{'x': 1}", data)), "unknown or repeated key 'x'");
  expect_contains(refusal(npy(dictionary("<f4", "(2,)") + "import os", data)), "text after the dictionary");
  expect_contains(refusal(npy("{'descr': '<f4", data)), "a string without end");
  expect_contains(refusal(npy("{'descr': __import__('os')}", data)), "expected '''");
  expect_contains(refusal(npy("{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", data)), "True or False");
  expect_contains(refusal(npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", data)),
                  "expected");
}

TEST(NpyRefuses, OtherTypesAndOrders) {
  expect_contains(refusal(npy(dictionary(">f4", "(1,)"), raw<float>({1}))), "descr is '>f4'");
  expect_contains(refusal(npy(dictionary("<i4", "(1,)"), raw<float>({1}))), "descr is '<i4'");
  expect_contains(refusal(npy(dictionary("|O", "(1,)"), raw<float>({1}))), "descr is '|O'");
  expect_contains(
      refusal(npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 1)}", raw<float>({1, 2}))),
      "numpy.ascontiguousarray");
}

// The bytes of numpy.save (NumPy 1.24) for numpy.array([[1, 2, 3]], 'float32').
TEST(NpyWrite, GivesTheBytesOfNumpy) {
  TempFolder folder;
  const Tensor<float> array({1, 3}, {1, 2, 3});
  save_npy(folder / "x.npy", array.view());
  const std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }";
  const std::string padded = text + std::string(128 - 10 - 1 - text.size(), ' ') + "\n";
  EXPECT_EQ(testing::read_file(folder / "x.npy"), npy(padded, raw<float>({1, 2, 3})));
}

TEST(NpyWrite, ComesBackAsItWas) {
  TempFolder folder;
  const Tensor<double> matrix({2, 3}, {1, 2, 3, 4, 5, 6});
  save_npy(folder / "x.npy", matrix.view().transpose(0, 1));
  const auto back = std::get<Tensor<double>>(load_npy(folder / "x.npy"));
  EXPECT_EQ(back.shape(), (Shape{3, 2}));
  EXPECT_EQ(back(2, 1), 6.0);
  EXPECT_EQ(back(0, 1), 4.0);
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{0, 4}, Shape{2, 1, 2}}) {
    const Tensor<std::int64_t> array(shape);
    save_npy(folder / "x.npy", array.view());
    EXPECT_EQ(std::get<Tensor<std::int64_t>>(load_npy(folder / "x.npy")).shape(), shape);
  }
  EXPECT_EQ(folder.count(), 1u);
  EXPECT_THROW(save_npy(folder / "x.npy", TensorView<const float>()), Error);
}

}  // namespace
}  // namespace sluice
