// SPDX-License-Identifier: Apache-2.0
#include "core/json.h"

#include <cstddef>
#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include "sluice/error.h"

namespace sluice {
namespace {

constexpr std::size_t kMaxDepth = 32;  // a safetensors header needs 3, an architecture a few more

// Walks the text and tells the reader how far the parser has come.
class Cursor {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Cursor(const char* at, const char** furthest) : at_(at), furthest_(furthest) {}
  reference operator*() const { return *at_; }
  Cursor& operator++() {
    *furthest_ = ++at_;
    return *this;
  }
  Cursor operator++(int) {
    Cursor old = *this;
    ++*this;
    return old;
  }
  friend bool operator==(const Cursor& a, const Cursor& b) { return a.at_ == b.at_; }

 private:
  const char* at_;
  const char** furthest_;
};

// Checks what nlohmann's parser lets pass: it keeps the last of duplicate keys, and nests without bound.
class Checker : public nlohmann::json_sax<Json> {
 public:
  Checker(const char* begin, const char* const& furthest) : begin_(begin), furthest_(furthest) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return open(); }
  bool start_array(std::size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (!keys_.back().insert(name).second) return refuse(position(), "duplicate key '" + name + "'");
    if (keys_.size() == 1) key_ends.emplace(name, position());
    return true;
  }
  bool parse_error(std::size_t at, const std::string&, const nlohmann::detail::exception& error) override {
    // nlohmann's text is "[json.exception...] parse error at line 1, column 2: what"; only `what` helps here.
    const std::string text = error.what();
    const std::size_t colon = text.find(": ");
    return refuse(at > 0 ? at - 1 : 0,
                  "not valid JSON: " + (colon == std::string::npos ? text : text.substr(colon + 2)));
  }

  std::size_t error_at = 0;
  std::string error;
  std::map<std::string, std::size_t> key_ends;

 private:
  std::size_t position() const { return static_cast<std::size_t>(furthest_ - begin_); }
  bool refuse(std::size_t at, std::string what) {
    error_at = at;
    error = std::move(what);
    return false;
  }
  bool open() {
    if (keys_.size() == kMaxDepth) {
      return refuse(position(), "JSON nested deeper than " + std::to_string(kMaxDepth));
    }
    keys_.emplace_back();
    return true;
  }
  bool close() {
    keys_.pop_back();
    return true;
  }

  const char* begin_;
  const char* const& furthest_;
  std::vector<std::set<std::string>> keys_;  // of each open object; an array's stays empty
};

}  // namespace

JsonDocument parse_json(std::string_view text, std::size_t offset) {
  // nlohmann's parser takes a NUL for the end of the text and skips a byte order mark; JSON has neither.
  const std::size_t nul = text.find('\0');
  if (nul != std::string_view::npos) {
    throw Error("byte " + std::to_string(offset + nul) + ": not valid JSON: a NUL byte");
  }
  if (text.starts_with("\xEF\xBB\xBF")) {
    throw Error("byte " + std::to_string(offset) + ": not valid JSON: a byte order mark");
  }
  const char* begin = text.data();
  const char* furthest = begin;
  Checker checker(begin, furthest);
  if (!Json::sax_parse(Cursor(begin, &furthest), Cursor(begin + text.size(), &furthest), &checker)) {
    throw Error("byte " + std::to_string(offset + checker.error_at) + ": " + checker.error);
  }
  return {Json::parse(text.begin(), text.end()), std::move(checker.key_ends)};
}

std::string json_excerpt(const Json& value) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

}  // namespace sluice
