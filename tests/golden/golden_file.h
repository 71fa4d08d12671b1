// SPDX-License-Identifier: Apache-2.0
// Reads the files of make_golden.py and compares results with them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <map>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/safetensors.h"
#include "sluice/state_dict.h"
#include "sluice/tensor.h"

namespace sluice::golden {

/// The options of one case: "input_size=4 bias=1 lengths=3,5,2".
class CaseOptions {
 public:
  explicit CaseOptions(const std::string& text) {
    std::istringstream words(text);
    for (std::string word; words >> word;) {
      const std::size_t equals = word.find('=');
      values_[word.substr(0, equals)] = word.substr(equals + 1);
    }
  }
  const std::string& text(const std::string& key) const { return values_.at(key); }
  std::size_t size(const std::string& key) const { return std::stoul(values_.at(key)); }
  double number(const std::string& key) const { return std::stod(values_.at(key)); }
  bool flag(const std::string& key) const { return values_.at(key) == "1"; }
  std::vector<std::int64_t> integers(const std::string& key) const {
    std::vector<std::int64_t> result;
    std::istringstream items(values_.at(key));
    for (std::string item; std::getline(items, item, ',');) result.push_back(std::stoll(item));
    return result;
  }

 private:
  std::map<std::string, std::string> values_;
};

/// One file, with its tensors as T and, for what is expected, as double.
template <class T>
class GoldenFile {
 public:
  explicit GoldenFile(const std::string& group)
      : file_(SafetensorsFile::open(std::string(SLUICE_SOURCE_DIR) + "/tests/golden/" + group +
                                    ".safetensors")),
        values_(file_.state_dict<T>()),
        expected_(file_.state_dict<double>()) {}

  /// Every case's name and options.
  std::vector<std::pair<std::string, CaseOptions>> cases() const {
    std::vector<std::pair<std::string, CaseOptions>> result;
    for (const auto& [name, text] : file_.metadata()) result.emplace_back(name, CaseOptions(text));
    return result;
  }
  const StateDict<T>& weights() const { return values_; }
  bool contains(const std::string& name) const { return values_.contains(name); }
  TensorView<const T> in(const std::string& name) const { return values_.at(name); }
  TensorView<const double> want(const std::string& name) const { return expected_.at(name); }

 private:
  SafetensorsFile file_;
  StateDict<T> values_;
  StateDict<double> expected_;
};

/// Calls f(index) for every element of a shape, in row-major order.
template <class T, class F>
void for_each_element(TensorView<T> view, F f) {
  std::vector<std::size_t> index(view.rank(), 0);
  for (std::size_t n = view.size(); n > 0; --n) {
    std::ptrdiff_t offset = 0;
    for (std::size_t d = 0; d < index.size(); ++d)
      offset += static_cast<std::ptrdiff_t>(index[d]) * view.stride(d);
    f(view.data()[offset]);
    for (std::size_t d = index.size(); d-- > 0;) {
      if (++index[d] < view.dim(d)) break;
      index[d] = 0;
    }
  }
}

template <class T>
std::vector<double> elements(TensorView<const T> view) {
  std::vector<double> result;
  for_each_element(view, [&](const T& value) { result.push_back(static_cast<double>(value)); });
  return result;
}

/// Largest difference allowed, relative to the largest expected value of the tensor.
///
/// A step adds K <= 50 products of numbers below 2 and applies functions with slopes of at most 1, so it adds
/// at most about 2 K u (u = 2^-53 or 2^-24), and what came before is passed on through weights whose rows
/// sum to a few at most. Over 5 steps of 3 layers that is of the order of 1e3 to 1e4 u in the worst case and
/// 10 u in practice; PyTorch's own results have the same error in double. The bounds are the ones that the
/// library promises for sizes up to 256 and 100 steps.
template <class T>
inline constexpr double kTolerance = std::is_same_v<T, double> ? 1e-12 : 3e-6;

/// The largest relative difference met by each element type since it was last printed.
template <class T>
inline double worst_difference = 0;

template <class T>
void print_worst_difference() {
  std::printf("[ worst    ] %s: %.3g of the largest output\n",
              std::is_same_v<T, double> ? "float64" : "float32", worst_difference<T>);
  worst_difference<T> = 0;
}

/// Checks shape and values; `what` names the result in a failure.
template <class T>
void expect_close(TensorView<const T> got, TensorView<const double> want, const std::string& what) {
  ASSERT_EQ(got.shape().to_string(), want.shape().to_string()) << what;
  const std::vector<double> a = elements(got);
  const std::vector<double> b = elements(want);
  double largest = 0;
  for (const double value : b) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(a[i] - b[i]);
    ASSERT_TRUE(difference <= kTolerance<T> * largest)  // false for NaN too
        << what << " element " << i << ": got " << a[i] << ", want " << b[i] << ", largest " << largest;
    if (largest > 0) worst_difference<T> = std::max(worst_difference<T>, difference / largest);
  }
}

/// Relative to the largest gradient of the tensor. The way back multiplies by the same weights as the way
/// there.
template <class T>
inline constexpr double kGradientTolerance = std::is_same_v<T, double> ? 1e-12 : 1e-5;

template <class T>
void expect_gradient(TensorView<const T> got, TensorView<const double> want, const std::string& what) {
  ASSERT_EQ(got.shape().to_string(), want.shape().to_string()) << what;
  const std::vector<double> a = elements(got);
  const std::vector<double> b = elements(want);
  double largest = 0;
  for (const double value : b) largest = std::max(largest, std::abs(value));
  ASSERT_GT(largest, 0) << what;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(a[i] - b[i]);
    ASSERT_TRUE(difference <= kGradientTolerance<T> * largest)
        << what << " element " << i << ": got " << a[i] << ", want " << b[i];
    worst_difference<T> = std::max(worst_difference<T>, difference / largest);
  }
}

using ElementTypes = ::testing::Types<float, double>;

}  // namespace sluice::golden
