// SPDX-License-Identifier: Apache-2.0
#include "sluice/safetensors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>

#include "io/half.h"
#include "sluice/error.h"
#include "support/files.h"

namespace sluice {
namespace {

using testing::as_bytes;
using testing::expect_contains;
using testing::message_of;
using testing::raw;
using testing::safetensors;
using testing::TempFolder;

std::string refusal(const std::string& bytes) {
  const std::string message =
      message_of<FileError>([&] { SafetensorsFile::parse(as_bytes(bytes), "m.safetensors"); });
  EXPECT_TRUE(message.starts_with("m.safetensors: ")) << message;
  return message;
}

std::string refusal_of_header(const std::string& header, const std::string& data = "") {
  return refusal(safetensors(header, data));
}

TEST(SafetensorsRead, GivesNamesShapesAndValues) {
  const std::string bytes = safetensors(
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
      R"("b":{"dtype":"F64","shape":[],"data_offsets":[16,24]}}     )",
      raw<float>({1, 2, 3, 4}) + raw<double>({0.1}));
  const SafetensorsFile file = SafetensorsFile::parse(as_bytes(bytes), "m");
  EXPECT_EQ(file.metadata().at("format"), "pt");
  ASSERT_EQ(file.entries().size(), 2u);
  EXPECT_EQ(file.entries()[1].dtype, "F64");
  EXPECT_EQ(file.entries()[1].shape.rank(), 0u);
  const StateDict<double> f64 = file.state_dict<double>();
  EXPECT_EQ(f64.at("a", {2, 2})(1, 0), 3.0);
  EXPECT_EQ(f64.at("b")(), 0.1);
  EXPECT_EQ(file.state_dict<float>().at("b")(), 0.1f);  // F64 rounds to float
}

TEST(SafetensorsRead, BorrowsWhatLiesAligned) {
  TempFolder folder;
  testing::write_file(folder / "m", safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  )",
                                                raw<float>({5})));
  std::optional<SafetensorsFile> file = SafetensorsFile::open(folder / "m");
  const void* in_file = file->entries()[0].bytes.data();
  const StateDict<float> weights = file->state_dict<float>();
  EXPECT_EQ(weights.at("a").data(), in_file);
  file.reset();  // the mapping lives on with the dictionary
  EXPECT_EQ(weights.at("a")(0), 5.0f);
}

TEST(SafetensorsRead, CopiesWhatIsMisaligned) {
  for (const char* spaces : {"", " ", "  ", "   "}) {
    const std::string bytes =
        safetensors(std::string(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})") + spaces,
                    raw<float>({1.5f, -2}));
    const StateDict<float> weights = SafetensorsFile::parse(as_bytes(bytes), "m").state_dict<float>();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(weights.at("a").data()) % alignof(float), 0u);
    EXPECT_EQ(weights.at("a")(0), 1.5f);
    EXPECT_EQ(weights.at("a")(1), -2.0f);
  }
}

TEST(SafetensorsRead, WidensHalfPrecisionExactly) {
  const std::string bytes = safetensors(
      R"({"h":{"dtype":"F16","shape":[6],"data_offsets":[0,12]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[12,16]}})",
      raw<std::uint16_t>({0x3C00, 0xC000, 0x0001, 0x8000, 0x7BFF, 0xFC00, 0x3F80, 0xC0A0}));
  const StateDict<double> w = SafetensorsFile::parse(as_bytes(bytes), "m").state_dict<double>();
  const TensorView<const double> h = w.at("h");
  EXPECT_EQ(h(0), 1.0);
  EXPECT_EQ(h(1), -2.0);
  EXPECT_EQ(h(2), 0x1p-24);  // the smallest subnormal
  EXPECT_EQ(h(3), 0.0);
  EXPECT_TRUE(std::signbit(h(3)));
  EXPECT_EQ(h(4), 65504.0);
  EXPECT_EQ(h(5), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(w.at("b")(0), 1.0);
  EXPECT_EQ(w.at("b")(1), -5.0);
}

// All 65536: the definition (-1)^s 2^(e-15) (1 + f/1024), evaluated in double.
TEST(SafetensorsRead, EveryFloat16IsItsDefinition) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const int exponent = static_cast<int>((bits >> 10) & 31);
    const double fraction = static_cast<double>(bits & 1023) / 1024;
    const double sign = (bits & 0x8000) != 0 ? -1 : 1;
    const float got = float16_to_float(static_cast<std::uint16_t>(bits));
    if (exponent == 31) {
      ASSERT_EQ(std::isnan(got), fraction != 0) << bits;
      ASSERT_EQ(std::isinf(got), fraction == 0) << bits;
    } else {
      const double value =
          exponent == 0 ? std::ldexp(fraction, -14) : std::ldexp(1 + fraction, exponent - 15);
      ASSERT_EQ(got, sign * value) << bits;
    }
    ASSERT_EQ(std::signbit(got), sign < 0) << bits;
  }
}

TEST(SafetensorsRead, EmptyTensorsAndNoTensors) {
  EXPECT_TRUE(SafetensorsFile::parse(as_bytes(safetensors("{}")), "m").entries().empty());
  const std::string bytes = safetensors(
      R"({"z":{"dtype":"F32","shape":[0,3],"data_offsets":[4,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
      R"("y":{"dtype":"F32","shape":[5,0],"data_offsets":[0,0]}})",
      raw<float>({7}));
  const StateDict<float> weights = SafetensorsFile::parse(as_bytes(bytes), "m").state_dict<float>();
  EXPECT_EQ(weights.at("z").shape(), (Shape{0, 3}));
  EXPECT_EQ(weights.at("y").shape(), (Shape{5, 0}));
  EXPECT_EQ(weights.at("a")(0), 7.0f);
}

TEST(SafetensorsRefuses, LengthsPastTheEnd) {
  expect_contains(refusal(""), "byte 0: the file has 0 bytes");
  expect_contains(refusal("1234567"), "byte 0: the file has 7 bytes");
  expect_contains(refusal(raw<std::uint64_t>({0})), "header length 0");
  expect_contains(refusal(raw<std::uint64_t>({3}) + "{}"), "header length 3, but only 2 bytes follow");
  expect_contains(refusal(raw<std::uint64_t>({~0ull}) + "{}"), "header length 18446744073709551615");
  expect_contains(refusal(raw<std::uint64_t>({1ull << 63}) + "{}"), "header length 9223372036854775808");
}

TEST(SafetensorsRefuses, HeadersThatAreNotStrictJson) {
  expect_contains(refusal_of_header(" {}"), "byte 8: the header begins with no '{'");
  expect_contains(refusal_of_header("[]"), "byte 8: the header begins with no '{'");
  expect_contains(refusal_of_header("\xEF\xBB\xBF{}"), "byte 8");
  expect_contains(refusal_of_header(std::string("{}\0junk", 7)), "byte 10: not valid JSON: a NUL byte");
  expect_contains(refusal_of_header("{}x"), "header, byte 10: not valid JSON");
  expect_contains(refusal_of_header("{\"a\": NaN}"), "not valid JSON");
  expect_contains(refusal_of_header("{\"\xFF\": 1}"), "not valid JSON");
  expect_contains(refusal_of_header("{\"a\": 1e999}"), "not valid JSON");
}

TEST(SafetensorsRefuses, DuplicateKeys) {
  const std::string tensor = R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  expect_contains(refusal_of_header("{\"a\":" + tensor + ",\"a\":" + tensor + "}", raw<float>({1})),
                  "duplicate key 'a'");
  expect_contains(refusal_of_header(R"({"__metadata__":{"k":"1","k":"2"}})"), "duplicate key 'k'");
  expect_contains(refusal_of_header(R"({"__metadata__":{},"__metadata__":{}})"),
                  "duplicate key '__metadata__'");
  expect_contains(
      refusal_of_header(R"({"a":{"dtype":"F32","dtype":"F64","shape":[1],"data_offsets":[0,4]}})"),
      "duplicate key 'dtype'");
  // The same key, once escaped.
  expect_contains(refusal_of_header(R"({"__metadata__":{"k":"1","\u006b":"2"}})"), "duplicate key 'k'");
}

TEST(SafetensorsRefuses, DeepNesting) {
  expect_contains(refusal_of_header("{\"a\":" + std::string(2'000'000, '[')), "nested deeper than 32");
  std::string objects;
  for (int i = 0; i < 200'000; ++i) objects += "{\"a\":";
  expect_contains(refusal_of_header(objects), "nested deeper than 32");
}

TEST(SafetensorsRefuses, ShapesThatDoNotFillTheirBytes) {
  const auto with_shape = [](const std::string& shape) {
    return refusal_of_header(R"({"a":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":[0,8]}})",
                             raw<float>({1, 2}));
  };
  expect_contains(with_shape("[3]"), "tensor 'a': shape [3] of F32 does not fill its data_offsets");
  expect_contains(with_shape("[1]"), "does not fill");
  expect_contains(with_shape("[0]"), "does not fill");
  expect_contains(with_shape("[9223372036854775808]"), "does not fit in 63 bits");
  expect_contains(with_shape("[4611686018427387906]"), "does not fill");  // times 4 wraps round to 8
  expect_contains(with_shape("[4294967296,4294967296]"), "does not fit in 63 bits");
  expect_contains(with_shape("[0,9223372036854775808]"), "does not fit in 63 bits");
  expect_contains(with_shape("[18446744073709551616]"), "expected a whole number");
  expect_contains(with_shape("[-2]"), "expected a whole number");
  expect_contains(with_shape("[2.0]"), "expected a whole number");
  expect_contains(with_shape("[\"2\"]"), "expected a whole number");
  expect_contains(with_shape("2"), "expected a list");
  expect_contains(with_shape("[1,1,1,1,1,1,1,1,2]"), "at most 8 sizes");
}

TEST(SafetensorsRefuses, OffsetsThatAreReversedOrOutside) {
  const auto with_offsets = [](const std::string& offsets) {
    return refusal_of_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":)" + offsets + "}}",
                             raw<float>({1, 2}));
  };
  expect_contains(with_offsets("[8,0]"), "tensor 'a': data_offsets are [8, 0]");
  expect_contains(with_offsets("[0,12]"), "but the file has 8 bytes of data");
  expect_contains(with_offsets("[18446744073709551608,18446744073709551615]"), "8 bytes of data");
  expect_contains(with_offsets("[0]"), "expected [begin, end]");
  expect_contains(with_offsets("[0,4,8]"), "at most 2 sizes");
  expect_contains(with_offsets("[0,-8]"), "expected a whole number");
}

TEST(SafetensorsRefuses, OverlapsGapsAndTrailingBytes) {
  const auto two = [](const std::string& a, const std::string& b, std::size_t floats) {
    return refusal_of_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":)" + a +
                                 R"(},"b":{"dtype":"F32","shape":[2],"data_offsets":)" + b + "}}",
                             std::string(4 * floats, '\0'));
  };
  expect_contains(two("[0,8]", "[4,12]", 3), "tensor 'b': data_offsets begin at 4, inside another tensor");
  expect_contains(two("[0,8]", "[0,8]", 2), "inside another tensor");
  expect_contains(two("[0,8]", "[12,20]", 5), "tensor 'b': data_offsets begin at 12, which leaves a gap");
  expect_contains(two("[4,12]", "[12,20]", 5), "tensor 'a': data_offsets begin at 4, which leaves a gap");
  expect_contains(two("[0,8]", "[8,16]", 5), "4 bytes after the last tensor");
}

TEST(SafetensorsRefuses, FieldsThatAreWrong) {
  expect_contains(refusal_of_header(R"({"a":5})"), "tensor 'a': is 5, expected an object");
  expect_contains(refusal_of_header(R"({"a":{"dtype":"F32","shape":[0]}})"), "'data_offsets' is missing");
  expect_contains(refusal_of_header(R"({"a":{"dtype":"F33","shape":[0],"data_offsets":[0,0]}})"),
                  "unknown dtype \"F33\"");
  expect_contains(refusal_of_header(R"({"a":{"dtype":4,"shape":[0],"data_offsets":[0,0]}})"), "dtype is 4");
  expect_contains(refusal_of_header(R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0],"x":1}})"),
                  "unknown field 'x'");
  expect_contains(refusal_of_header(R"({"__metadata__":[]})"), "__metadata__ is []");
  expect_contains(refusal_of_header(R"({"__metadata__":{"k":1}})"), "'k' is 1, expected a string");
}

TEST(SafetensorsRefuses, TensorsThatAreNoFloats) {
  const std::string bytes =
      safetensors(R"({"n":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}})", raw<std::int64_t>({1}));
  const SafetensorsFile file = SafetensorsFile::parse(as_bytes(bytes), "m");
  expect_contains(message_of<FileError>([&] { file.state_dict<float>(); }), "tensor 'n': dtype I64");
}

TEST(SafetensorsRefuses, MissingFilesAndFolders) {
  TempFolder folder;
  expect_contains(message_of<FileError>([&] { SafetensorsFile::open(folder / "none"); }), "No such file");
  expect_contains(message_of<FileError>([&] { SafetensorsFile::open(folder / ""); }), "is a folder");
}

TEST(SafetensorsWrite, GivesTheBytesOfTheFormat) {
  TempFolder folder;
  StateDict<float> weights;
  weights.set("b", Tensor<float>({2}, {1, 2}));
  weights.set("a", Tensor<float>({1, 1}, {3}));
  save_safetensors(folder / "m", weights, {{"k", "v"}});
  const std::string header =
      R"({"__metadata__":{"k":"v"},"a":{"data_offsets":[0,4],"dtype":"F32","shape":[1,1]},)"
      R"("b":{"data_offsets":[4,12],"dtype":"F32","shape":[2]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(testing::read_file(folder / "m"), safetensors(padded, raw<float>({3, 1, 2})));
  EXPECT_EQ(folder.count(), 1u);
}

TEST(SafetensorsWrite, ComesBackAsItWas) {
  TempFolder folder;
  StateDict<double> weights;
  const Tensor<double> values({2, 3}, {1, 2, 3, 4, 5, 6});
  weights.borrow("transposed", values.view().transpose(0, 1), nullptr);
  weights.borrow("alias", values.view(), nullptr);  // two names for the same memory
  weights.set("scalar", Tensor<double>(Shape{}, {0.1}));
  weights.set("empty", Tensor<double>(Shape{0, 2}));
  weights.set("quote\" \xC3\xA9\n", Tensor<double>(Shape{1}, {1e-320}));
  save_safetensors(folder / "m", weights, {{"text", "line\n\"two\""}});
  const SafetensorsFile file = SafetensorsFile::open(folder / "m");
  EXPECT_EQ(file.metadata().at("text"), "line\n\"two\"");
  const StateDict<double> back = file.state_dict<double>();
  EXPECT_EQ(back.size(), 5u);
  EXPECT_EQ(back.at("transposed", {3, 2})(2, 0), 3.0);
  EXPECT_EQ(back.at("transposed", {3, 2})(0, 1), 4.0);
  EXPECT_EQ(back.at("alias", {2, 3})(1, 2), 6.0);
  EXPECT_EQ(back.at("scalar", Shape{})(), 0.1);
  EXPECT_EQ(back.at("empty", {0, 2}).size(), 0u);
  EXPECT_EQ(back.at("quote\" \xC3\xA9\n")(0), 1e-320);
}

TEST(SafetensorsWrite, RefusesWhatTheFormatCannotHold) {
  TempFolder folder;
  StateDict<float> reserved;
  reserved.set("__metadata__", Tensor<float>(Shape{1}));
  EXPECT_THROW(save_safetensors(folder / "m", reserved), FileError);
  StateDict<float> not_utf8;
  not_utf8.set("\xFF", Tensor<float>(Shape{1}));
  EXPECT_THROW(save_safetensors(folder / "m", not_utf8), FileError);
  EXPECT_EQ(folder.count(), 0u);
}

}  // namespace
}  // namespace sluice
