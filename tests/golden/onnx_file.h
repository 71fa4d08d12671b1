// SPDX-License-Identifier: Apache-2.0
// Just enough of ONNX's protocol buffers (onnx/onnx.proto) to read a one-node model and its test tensors.
// Trusts its input; for tests only.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/tensor.h"

namespace sluice::golden {

/// One field of a message: its number, and its value as a number or as bytes, by its wire type.
struct ProtoField {
  std::uint64_t number = 0;
  std::uint64_t value = 0;
  std::string_view bytes;
};

inline std::uint64_t read_varint(std::string_view& text) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64 && !text.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(text.front());
    text.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  throw std::runtime_error("protobuf: a number that does not end");
}

inline std::vector<ProtoField> read_message(std::string_view text) {
  std::vector<ProtoField> fields;
  while (!text.empty()) {
    const std::uint64_t tag = read_varint(text);
    ProtoField field{.number = tag >> 3, .value = 0, .bytes = {}};
    std::size_t bytes = 0;
    switch (tag & 7) {
      case 0:
        field.value = read_varint(text);
        break;
      case 1:
        bytes = 8;
        break;
      case 2:
        bytes = read_varint(text);
        break;
      case 5:
        bytes = 4;
        break;
      default:
        throw std::runtime_error("protobuf: unknown wire type");
    }
    if (bytes > text.size()) throw std::runtime_error("protobuf: field past the end");
    field.bytes = text.substr(0, bytes);
    text.remove_prefix(bytes);
    fields.push_back(field);
  }
  return fields;
}

inline std::string read_whole_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error(path + ": cannot be read");
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// A node with its attributes, and the order of the graph's inputs and outputs.
struct OnnxModel {
  std::string op;
  std::vector<std::string> node_inputs;  ///< an empty name: an optional input that is left out
  std::vector<std::string> node_outputs;
  std::vector<std::string> graph_inputs;
  std::vector<std::string> graph_outputs;
  std::map<std::string, std::int64_t> integers;
  std::map<std::string, float> floats;
  std::map<std::string, std::string> texts;
};

inline void read_attribute(std::string_view text, OnnxModel& model) {
  std::string name;
  for (const ProtoField& field : read_message(text)) {
    if (field.number == 1) name = field.bytes;
    if (field.number == 2) std::memcpy(&model.floats[name], field.bytes.data(), sizeof(float));
    if (field.number == 3) model.integers[name] = static_cast<std::int64_t>(field.value);
    if (field.number == 4) model.texts[name] = field.bytes;
  }
}

inline OnnxModel read_onnx_model(const std::string& path) {
  const std::string file = read_whole_file(path);
  OnnxModel model;
  const auto name_of = [](std::string_view value_info) {
    for (const ProtoField& field : read_message(value_info))
      if (field.number == 1) return std::string(field.bytes);
    return std::string();
  };
  for (const ProtoField& part : read_message(file)) {
    if (part.number != 7) continue;  // graph
    for (const ProtoField& field : read_message(part.bytes)) {
      if (field.number == 11) model.graph_inputs.push_back(name_of(field.bytes));
      if (field.number == 12) model.graph_outputs.push_back(name_of(field.bytes));
      if (field.number != 1) continue;  // node
      for (const ProtoField& entry : read_message(field.bytes)) {
        if (entry.number == 1) model.node_inputs.emplace_back(entry.bytes);
        if (entry.number == 2) model.node_outputs.emplace_back(entry.bytes);
        if (entry.number == 4) model.op = entry.bytes;
        if (entry.number == 5) read_attribute(entry.bytes, model);
      }
    }
  }
  return model;
}

/// A tensor of float32 or of integers (which become floats; the tests' lengths are small).
inline Tensor<float> read_onnx_tensor(const std::string& path) {
  const std::string file = read_whole_file(path);
  std::vector<std::size_t> dims;
  std::vector<float> values;
  std::uint64_t type = 0;
  std::string_view raw;
  const auto read_numbers = [](const ProtoField& field, auto&& add) {
    if (field.bytes.empty()) return add(field.value);
    for (std::string_view packed = field.bytes; !packed.empty();) add(read_varint(packed));
  };
  for (const ProtoField& field : read_message(file)) {
    if (field.number == 1) read_numbers(field, [&](std::uint64_t v) { dims.push_back(v); });
    if (field.number == 2) type = field.value;
    if (field.number == 4) raw = field.bytes;  // float_data, packed: the same bytes as raw_data
    if (field.number == 5 || field.number == 7)
      read_numbers(field, [&](std::uint64_t v) { values.push_back(static_cast<float>(v)); });
    if (field.number == 9) raw = field.bytes;
  }
  static_assert(std::endian::native == std::endian::little);
  const auto convert = [&](auto element) {
    for (std::size_t at = 0; at + sizeof(element) <= raw.size(); at += sizeof(element)) {
      std::memcpy(&element, raw.data() + at, sizeof(element));
      values.push_back(static_cast<float>(element));
    }
  };
  if (type == 1) convert(float());
  if (type == 6) convert(std::int32_t());
  if (type == 7) convert(std::int64_t());
  return Tensor<float>(Shape(dims), values);
}

}  // namespace sluice::golden
