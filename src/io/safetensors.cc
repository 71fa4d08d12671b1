// SPDX-License-Identifier: Apache-2.0
// The reader. A file is: 8 bytes N (little-endian), N bytes of JSON, the tensors' bytes without gaps.
#include "sluice/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "core/json.h"
#include "io/half.h"
#include "io/mapped_file.h"
#include "sluice/error.h"

namespace sluice {

static_assert(std::endian::native == std::endian::little, "files are little-endian and are used as they lie");

struct SafetensorsFile::Content {
  std::string path;
  std::shared_ptr<const MappedFile> file;  // null for bytes in the caller's memory
  std::map<std::string, std::string> metadata;
  std::vector<SafetensorsEntry> entries;
};

namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kMaxHeaderBytes = 100'000'000;  // the format's own limit

// Bytes of one element; 0 for a type that the format does not have.
std::size_t dtype_bytes(const std::string& dtype) {
  struct Type {
    const char* name;
    std::size_t bytes;
  };
  static constexpr std::array<Type, 16> kTypes{{{"F32", 4},
                                                {"F64", 8},
                                                {"F16", 2},
                                                {"BF16", 2},
                                                {"I64", 8},
                                                {"I32", 4},
                                                {"I16", 2},
                                                {"I8", 1},
                                                {"U64", 8},
                                                {"U32", 4},
                                                {"U16", 2},
                                                {"U8", 1},
                                                {"BOOL", 1},
                                                {"F8_E4M3", 1},
                                                {"F8_E5M2", 1},
                                                {"C64", 8}}};
  for (const Type& type : kTypes) {
    if (dtype == type.name) return type.bytes;
  }
  return 0;
}

// One file being read: its bytes, its name, and where an error is.
class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  void read(std::map<std::string, std::string>& metadata, std::vector<SafetensorsEntry>& entries) {
    const std::size_t header_bytes = header_length();
    data_ = bytes_.subspan(kLengthBytes + header_bytes);
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + kLengthBytes, header_bytes);
    if (text[0] != '{') fail(kLengthBytes, "the header begins with no '{'");
    const JsonDocument header = parse(text);
    for (const auto& [name, value] : header.value.items()) {
      at_ = header.key_ends.at(name);
      if (name == "__metadata__") {
        read_metadata(value, metadata);
      } else {
        entries.push_back(read_entry(name, value));
      }
    }
    check_layout(entries, header);
  }

 private:
  [[noreturn]] void fail(std::size_t at, const std::string& what) const {
    throw FileError(path_ + ": byte " + std::to_string(at) + ": " + what);
  }
  [[noreturn]] void fail_field(const std::string& name, const std::string& what) const {
    fail(at_, "tensor '" + name + "': " + what);
  }

  std::size_t header_length() const {
    if (bytes_.size() < kLengthBytes) {
      fail(0, "the file has " + std::to_string(bytes_.size()) +
                  " bytes, a safetensors file begins with 8 bytes of header length");
    }
    std::uint64_t length = 0;
    std::memcpy(&length, bytes_.data(), sizeof length);
    const std::size_t rest = bytes_.size() - kLengthBytes;
    if (length > rest) {
      fail(0, "header length " + std::to_string(length) + ", but only " + std::to_string(rest) +
                  " bytes follow; is this a safetensors file?");
    }
    if (length > kMaxHeaderBytes) {
      fail(0, "header length " + std::to_string(length) + ", at most " + std::to_string(kMaxHeaderBytes) +
                  " are allowed");
    }
    if (length < 2) fail(0, "header length " + std::to_string(length) + ", the shortest header is {}");
    return static_cast<std::size_t>(length);
  }

  JsonDocument parse(std::string_view text) const {
    try {
      return parse_json(text, kLengthBytes);
    } catch (const Error& error) {
      throw FileError(path_ + ": header, " + error.what());
    }
  }

  void read_metadata(const Json& value, std::map<std::string, std::string>& metadata) const {
    if (!value.is_object()) {
      fail(at_, "__metadata__ is " + json_excerpt(value) + ", expected an object of strings");
    }
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) {
        fail(at_, "__metadata__: '" + key + "' is " + json_excerpt(text) + ", expected a string");
      }
      metadata.emplace(key, text.get<std::string>());
    }
  }

  SafetensorsEntry read_entry(const std::string& name, const Json& value) const {
    if (!value.is_object()) fail_field(name, "is " + json_excerpt(value) + ", expected an object");
    for (const auto& [key, unused] : value.items()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets") {
        fail_field(name, "unknown field '" + key + "'");
      }
    }
    for (const char* field : {"dtype", "shape", "data_offsets"}) {
      if (!value.contains(field)) fail_field(name, std::string("field '") + field + "' is missing");
    }
    SafetensorsEntry entry;
    entry.name = name;
    if (!value["dtype"].is_string()) {
      fail_field(name, "dtype is " + json_excerpt(value["dtype"]) + ", expected a string");
    }
    entry.dtype = value["dtype"].get<std::string>();
    const std::size_t element = dtype_bytes(entry.dtype);
    if (element == 0) fail_field(name, "unknown dtype " + json_excerpt(value["dtype"]));
    entry.shape = read_shape(name, value["shape"]);
    const std::vector<std::size_t> offsets = read_sizes(name, "data_offsets", value["data_offsets"], 2);
    if (offsets.size() != 2) {
      fail_field(name, "data_offsets is " + json_excerpt(value["data_offsets"]) + ", expected [begin, end]");
    }
    if (offsets[0] > offsets[1] || offsets[1] > data_.size()) {
      fail_field(name, "data_offsets are [" + std::to_string(offsets[0]) + ", " + std::to_string(offsets[1]) +
                           "], but the file has " + std::to_string(data_.size()) + " bytes of data");
    }
    // Divided, not multiplied: the product of a file's numbers may not fit.
    const std::size_t bytes = offsets[1] - offsets[0];
    if (bytes % element != 0 || bytes / element != entry.shape.size()) {
      fail_field(name, "shape " + entry.shape.to_string() + " of " + entry.dtype +
                           " does not fill its data_offsets, which hold " + std::to_string(bytes) + " bytes");
    }
    entry.bytes = data_.subspan(offsets[0], bytes);
    return entry;
  }

  // A list of at most `most` sizes.
  std::vector<std::size_t> read_sizes(const std::string& name, const char* field, const Json& value,
                                      std::size_t most) const {
    if (!value.is_array() || value.size() > most) {
      fail_field(name, std::string(field) + " is " + json_excerpt(value) + ", expected a list of at most " +
                           std::to_string(most) + " sizes");
    }
    std::vector<std::size_t> sizes;
    for (const Json& size : value) {
      if (!size.is_number_unsigned()) {
        fail_field(name, std::string(field) + " has " + json_excerpt(size) + ", expected a whole number");
      }
      sizes.push_back(size.get<std::uint64_t>());
    }
    return sizes;
  }

  Shape read_shape(const std::string& name, const Json& value) const {
    const std::vector<std::size_t> dims = read_sizes(name, "shape", value, kMaxRank);
    try {
      return Shape(dims);
    } catch (const ShapeError& error) {
      fail_field(name, error.what());
    }
  }

  // Sorts the entries by place; together they must cover the data exactly once.
  void check_layout(std::vector<SafetensorsEntry>& entries, const JsonDocument& header) {
    std::sort(entries.begin(), entries.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
      if (a.bytes.data() != b.bytes.data()) return a.bytes.data() < b.bytes.data();
      return a.bytes.size() < b.bytes.size();
    });
    std::size_t end = 0;
    for (const SafetensorsEntry& entry : entries) {
      const std::size_t begin = static_cast<std::size_t>(entry.bytes.data() - data_.data());
      at_ = header.key_ends.at(entry.name);
      if (begin != end) {
        fail_field(entry.name,
                   "data_offsets begin at " + std::to_string(begin) +
                       (begin < end ? ", inside another tensor that ends at "
                                    : ", which leaves a gap after the tensor before it, that ends at ") +
                       std::to_string(end));
      }
      end += entry.bytes.size();
    }
    if (end != data_.size()) {
      fail(bytes_.size() - data_.size() + end,
           std::to_string(data_.size() - end) + " bytes after the last tensor");
    }
  }

  std::span<const std::byte> bytes_;
  std::span<const std::byte> data_;
  const std::string& path_;
  std::size_t at_ = 0;  // where the key in question ends
};

template <class Stored, class T, class Widen>
Tensor<T> convert(const SafetensorsEntry& entry, const Widen& widen) {
  Tensor<T> tensor(entry.shape);
  const std::byte* from = entry.bytes.data();
  for (T& value : tensor.span()) {
    Stored stored;
    std::memcpy(&stored, from, sizeof stored);  // the file need not be aligned
    value = static_cast<T>(widen(stored));
    from += sizeof stored;
  }
  return tensor;
}

template <class T>
bool borrow_as_it_lies(StateDict<T>& weights, const SafetensorsEntry& entry,
                       const std::shared_ptr<const void>& owner) {
  if (entry.dtype != (std::is_same_v<T, float> ? "F32" : "F64")) return false;
  if (reinterpret_cast<std::uintptr_t>(entry.bytes.data()) % alignof(T) != 0) return false;
  const T* data = reinterpret_cast<const T*>(entry.bytes.data());
  weights.borrow(entry.name, TensorView<const T>(data, entry.shape), owner);
  return true;
}

}  // namespace

SafetensorsFile::SafetensorsFile(std::shared_ptr<const Content> content) : content_(std::move(content)) {}

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  if (path.ends_with(".onnx")) {
    throw FileError(path + ": ONNX files are not read by this version; export the weights as safetensors");
  }
  auto file = std::make_shared<const MappedFile>(path);
  auto content = std::make_shared<Content>();
  content->path = path;
  Reader(file->bytes(), path).read(content->metadata, content->entries);
  content->file = std::move(file);
  return SafetensorsFile(std::move(content));
}

SafetensorsFile SafetensorsFile::parse(std::span<const std::byte> bytes, const std::string& name) {
  auto content = std::make_shared<Content>();
  content->path = name;
  Reader(bytes, name).read(content->metadata, content->entries);
  return SafetensorsFile(std::move(content));
}

const std::string& SafetensorsFile::path() const noexcept { return content_->path; }
const std::map<std::string, std::string>& SafetensorsFile::metadata() const noexcept {
  return content_->metadata;
}
const std::vector<SafetensorsEntry>& SafetensorsFile::entries() const noexcept { return content_->entries; }

template <class T>
StateDict<T> SafetensorsFile::state_dict() const {
  StateDict<T> weights;
  for (const SafetensorsEntry& entry : content_->entries) {
    if (borrow_as_it_lies(weights, entry, content_)) continue;
    if (entry.dtype == "F32") {
      weights.set(entry.name, convert<float, T>(entry, [](float x) { return x; }));
    } else if (entry.dtype == "F64") {
      weights.set(entry.name, convert<double, T>(entry, [](double x) { return x; }));
    } else if (entry.dtype == "F16") {
      weights.set(entry.name, convert<std::uint16_t, T>(entry, float16_to_float));
    } else if (entry.dtype == "BF16") {
      weights.set(entry.name, convert<std::uint16_t, T>(entry, bfloat16_to_float));
    } else {
      throw FileError(content_->path + ": tensor '" + entry.name + "': dtype " + entry.dtype +
                      ", expected F32, F64, F16 or BF16");
    }
  }
  return weights;
}

template StateDict<float> SafetensorsFile::state_dict<float>() const;
template StateDict<double> SafetensorsFile::state_dict<double>() const;

}  // namespace sluice
