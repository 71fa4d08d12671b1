// SPDX-License-Identifier: Apache-2.0
// NEP 1: "\x93NUMPY", major, minor, header length (2 bytes in version 1, 4 in 2 and 3), a Python dictionary
//   {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
// padded with spaces, a newline, and the elements.
#include "sluice/npy.h"

#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <type_traits>
#include <vector>

#include "io/mapped_file.h"
#include "io/npy_format.h"
#include "sluice/error.h"

namespace sluice {

static_assert(std::endian::native == std::endian::little, "files are little-endian and are used as they lie");

namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);

struct Header {
  std::string descr;
  bool is_fortran = false;
  Shape shape;
};

// Reads the header's dictionary: exactly the three keys, in any order, as Python's literals.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, std::size_t offset, const std::string& path)
      : text_(text), offset_(offset), path_(path) {}

  Header parse() {
    std::optional<std::string> descr;
    std::optional<bool> is_fortran;
    std::optional<Shape> shape;
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr" && !descr) {
        descr = string();
      } else if (key == "fortran_order" && !is_fortran) {
        is_fortran = boolean();
      } else if (key == "shape" && !shape) {
        shape = tuple();
      } else {
        fail("unknown or repeated key '" + key + "'");
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (at_ != text_.size()) fail("text after the dictionary");
    if (!descr || !is_fortran || !shape) fail("'descr', 'fortran_order' and 'shape' are needed");
    return {*descr, *is_fortran, *shape};
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw FileError(path_ + ": byte " + std::to_string(offset_ + at_) + ": header: " + what);
  }

 private:
  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }
  bool accept(char c) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(std::string("expected '") + c + "'");
  }
  std::string string() {
    const char quote = accept('"') ? '"' : '\'';
    if (quote == '\'') expect('\'');
    const std::size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) fail("a string without end");
    std::string value(text_.substr(at_, end - at_));
    for (const char c : value) {
      if (c < ' ' || c > '~' || c == '\\') fail("a string with characters that are not expected here");
    }
    at_ = end + 1;
    return value;
  }
  bool boolean() {
    skip_space();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    }
    fail("fortran_order: expected True or False");
  }
  std::size_t number() {
    skip_space();
    std::size_t value = 0;
    const std::size_t begin = at_;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      const std::size_t digit = static_cast<std::size_t>(text_[at_] - '0');
      if (value > (std::numeric_limits<std::size_t>::max() - digit) / 10) fail("shape: a size is too large");
      value = 10 * value + digit;
    }
    if (at_ == begin) fail("shape: expected a whole number");
    accept('L');  // Python 2 wrote long integers so
    return value;
  }
  Shape tuple() {
    expect('(');
    std::vector<std::size_t> dims;
    bool has_comma = true;
    while (!accept(')')) {
      if (!has_comma) fail("shape: expected ',' or ')'");
      if (dims.size() == kMaxRank) {
        fail("shape: more than " + std::to_string(kMaxRank) + " dimensions are not supported");
      }
      dims.push_back(number());
      has_comma = accept(',');
    }
    if (dims.size() == 1 && !has_comma) fail("shape: (n) is no tuple in Python, expected (n,)");
    try {
      return Shape(dims);
    } catch (const ShapeError& error) {
      fail(std::string("shape: ") + error.what());
    }
  }

  std::string_view text_;
  std::size_t offset_;
  const std::string& path_;
  std::size_t at_ = 0;
};

template <class T>
Tensor<T> copy_elements(std::span<const std::byte> data, const Shape& shape, std::size_t offset,
                        const std::string& path) {
  // Divided, not multiplied: the product of a file's numbers may not fit.
  if (data.size() % sizeof(T) != 0 || data.size() / sizeof(T) != shape.size()) {
    throw FileError(path + ": byte " + std::to_string(offset) + ": shape " + shape.to_string() + " of " +
                    std::to_string(sizeof(T)) + "-byte elements, but " + std::to_string(data.size()) +
                    " bytes of data");
  }
  Tensor<T> array(shape);
  if (!data.empty()) std::memcpy(array.data(), data.data(), data.size());
  return array;
}

template <class T>
std::string make_header(const Shape& shape) {
  constexpr const char* kDescr = std::is_same_v<T, float> ? "<f4" : std::is_same_v<T, double> ? "<f8" : "<i8";
  std::string text = std::string("{'descr': '") + kDescr + "', 'fortran_order': False, 'shape': (";
  for (std::size_t i = 0; i < shape.rank(); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  }
  text += shape.rank() == 1 ? ",), }" : "), }";
  // The data begin at a multiple of 64, after 10 bytes of preamble and a newline.
  while ((10 + text.size() + 1) % 64 != 0) text += ' ';
  text += '\n';
  std::string header(kMagic);
  header += {'\x01', '\x00', static_cast<char>(text.size() & 0xFF), static_cast<char>(text.size() >> 8)};
  return header + text;
}

template <class T>
void save(const std::string& path, TensorView<const T> array) {
  AtomicFile file(path);
  write_npy(file, array);
  file.commit();
}

}  // namespace

NpyArray parse_npy(std::span<const std::byte> bytes, const std::string& name) {
  const auto fail = [&](std::size_t at, const std::string& what) {
    throw FileError(name + ": byte " + std::to_string(at) + ": " + what);
  };
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with(kMagic)) fail(0, "no .npy file: it does not begin with \\x93NUMPY");
  if (bytes.size() < 8) fail(6, "the file ends before the version");
  const int major = std::to_integer<int>(bytes[6]);
  const int minor = std::to_integer<int>(bytes[7]);
  if (major < 1 || major > 3 || minor != 0) {
    fail(6, "version " + std::to_string(major) + "." + std::to_string(minor) + ", expected 1.0, 2.0 or 3.0");
  }
  const std::size_t length_bytes = major == 1 ? 2 : 4;
  const std::size_t header_at = 8 + length_bytes;
  if (bytes.size() < header_at) fail(8, "the file ends before the header length");
  std::uint32_t length = 0;
  std::memcpy(&length, bytes.data() + 8, length_bytes);
  if (length > bytes.size() - header_at) {
    fail(8, "header length " + std::to_string(length) + ", but only " +
                std::to_string(bytes.size() - header_at) + " bytes follow");
  }
  HeaderParser parser(text.substr(header_at, length), header_at, name);
  const Header header = parser.parse();
  if (header.is_fortran && header.shape.rank() > 1) {
    fail(header_at, "fortran_order is True, expected C order: save numpy.ascontiguousarray(x)");
  }
  const std::size_t data_at = header_at + length;
  const std::span<const std::byte> data = bytes.subspan(data_at);
  std::string type = header.descr;  // with or without a sign for the byte order of this machine
  if (!type.empty() && (type[0] == '<' || type[0] == '=' || type[0] == '|')) type.erase(0, 1);
  if (type == "f4") return copy_elements<float>(data, header.shape, data_at, name);
  if (type == "f8") return copy_elements<double>(data, header.shape, data_at, name);
  if (type != "i8") {
    parser.fail("descr is '" + header.descr +
                "', expected little-endian float32, float64 or int64 ('<f4', '<f8', '<i8')");
  }
  return copy_elements<std::int64_t>(data, header.shape, data_at, name);
}

template <class T>
void write_npy(AtomicFile& file, TensorView<const T> array) {
  if (array.is_null()) throw Error("save_npy: " + file.path() + ": the array is null");
  file.write(make_header<T>(array.shape()));
  if (array.is_contiguous()) {
    file.write(std::as_bytes(std::span(array.data(), array.size())));
  } else {
    file.write(std::as_bytes(Tensor<T>(array).span()));
  }
}

template void write_npy(AtomicFile&, TensorView<const float>);
template void write_npy(AtomicFile&, TensorView<const double>);
template void write_npy(AtomicFile&, TensorView<const std::int64_t>);

NpyArray load_npy(const std::string& path) { return parse_npy(MappedFile(path).bytes(), path); }

void save_npy(const std::string& path, TensorView<const float> array) { save(path, array); }
void save_npy(const std::string& path, TensorView<const double> array) { save(path, array); }
void save_npy(const std::string& path, TensorView<const std::int64_t> array) { save(path, array); }

}  // namespace sluice
