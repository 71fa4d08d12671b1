// SPDX-License-Identifier: Apache-2.0
#include "cli/arrays.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>

#include "cli/commands.h"
#include "io/mapped_file.h"
#include "io/npy_format.h"
#include "sluice/error.h"

namespace sluice::cli {

template <class T>
Tensor<T> to_floats(NpyArray array, const std::string& path) {
  if (auto* same = std::get_if<Tensor<T>>(&array)) return std::move(*same);
  using Other = std::conditional_t<std::is_same_v<T, float>, double, float>;
  const auto* other = std::get_if<Tensor<Other>>(&array);
  if (other == nullptr) throw FileError(path + ": the array is int64, expected float32 or float64");
  Tensor<T> converted(other->shape());
  std::transform(other->span().begin(), other->span().end(), converted.data(),
                 [](Other value) { return static_cast<T>(value); });
  return converted;
}

template <class T>
Tensor<T> load_floats(const std::string& path) {
  return to_floats<T>(load_npy(path), path);
}

std::vector<std::int64_t> load_lengths(const std::string& path, std::size_t rows, std::size_t steps) {
  const NpyArray array = load_npy(path);
  const auto* found = std::get_if<Tensor<std::int64_t>>(&array);
  if (found == nullptr) throw FileError(path + ": lengths are floats, expected int64");
  if (found->rank() != 1) {
    throw FileError(path + ": lengths are " + found->shape().to_string() + ", expected [B]");
  }
  std::vector<std::int64_t> lengths(found->span().begin(), found->span().end());
  if (lengths.size() != rows) {
    throw FileError(path + ": there are " + std::to_string(lengths.size()) + " lengths for " +
                    std::to_string(rows) + " rows");
  }
  for (const std::int64_t length : lengths) {
    if (length >= 0 && static_cast<std::uint64_t>(length) <= steps) continue;
    throw FileError(path + ": a length is " + std::to_string(length) + ", expected 0 to " +
                    std::to_string(steps));
  }
  return lengths;
}

std::string read_text(const std::string& path) {
  const MappedFile file(path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

template <class T>
void print_summary(const std::string& name, TensorView<const T> array) {
  const Tensor<T> values(array);
  std::cout << name << ": " << (std::is_same_v<T, float> ? "float32 " : "float64 ")
            << values.shape().to_string();
  if (values.size() > 0) {
    double sum = 0;
    for (const T value : values.span()) sum += static_cast<double>(value);
    const auto [least, most] = std::minmax_element(values.span().begin(), values.span().end());
    std::cout << ", least " << *least << ", largest " << *most << ", mean "
              << sum / static_cast<double>(values.size());
    const bool has_nan =
        std::any_of(values.span().begin(), values.span().end(), [](T value) { return std::isnan(value); });
    if (has_nan) std::cout << ", with NaN";
  }
  std::cout << '\n';
}

void Outputs::expect(const std::string& path) {
  if (path.empty()) return;
  std::error_code error;
  // Absolute first: of what is not there yet "a" would stay as it is, and "./a" become absolute.
  const std::string place =
      std::filesystem::weakly_canonical(std::filesystem::absolute(path, error), error).string();
  const bool is_device = std::filesystem::is_character_file(path, error);
  if (!is_device && std::find(paths_.begin(), paths_.end(), place) != paths_.end()) {
    throw UsageError(path + " is named for two outputs");
  }
  paths_.push_back(place);
  AtomicFile::check(path);
}

template <class T>
void Outputs::write(const std::string& path, TensorView<const T> array) {
  if (path.empty()) return;
  files_.push_back(std::make_unique<AtomicFile>(path));
  write_npy(*files_.back(), array);
}

void Outputs::write_text(const std::string& path, const std::string& text) {
  if (path.empty()) return;
  files_.push_back(std::make_unique<AtomicFile>(path));
  files_.back()->write(text);
}

void Outputs::commit() {
  for (const auto& file : files_) file->finish();
  try {
    for (const auto& file : files_) file->commit();
  } catch (const Error&) {
    for (const auto& file : files_) file->revert();
    throw;
  }
}

template Tensor<float> to_floats(NpyArray, const std::string&);
template Tensor<double> to_floats(NpyArray, const std::string&);
template Tensor<float> load_floats(const std::string&);
template Tensor<double> load_floats(const std::string&);
template void print_summary(const std::string&, TensorView<const float>);
template void print_summary(const std::string&, TensorView<const double>);
template void Outputs::write(const std::string&, TensorView<const float>);
template void Outputs::write(const std::string&, TensorView<const double>);

}  // namespace sluice::cli
