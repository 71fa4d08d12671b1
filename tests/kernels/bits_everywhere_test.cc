// SPDX-License-Identifier: Apache-2.0
// The promise that spans machines: every instruction set with FMA gives the same bits, so those of AVX-512,
// AVX2 and NEON all have the fingerprints below. A change of a kernel's arithmetic changes them: then, and
// only then, new ones are taken from the failure's message, and CHANGELOG.md says that results change.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/gate_math.h"
#include "kernels/packed_gemm.h"
#include "layers/packed_weights.h"
#include "sluice/target.h"

namespace sluice {
namespace {

// Multiples of 2^-20 in [-1, 1): exact in both types, and the same everywhere.
template <class T>
Tensor<T> pattern(const Shape& shape, std::uint64_t seed) {
  Tensor<T> tensor(shape);
  for (T& value : tensor.span()) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;  // Knuth's MMIX generator
    value = static_cast<T>(static_cast<std::int64_t>(seed >> 43) - (1 << 20)) / static_cast<T>(1 << 20);
  }
  return tensor;
}

// FNV-1a over the bytes, little-endian on all machines that there are kernels for.
class Fingerprint {
 public:
  template <class T>
  void add(std::span<const T> values) {
    for (const T value : values) {
      unsigned char bytes[sizeof(T)];
      std::memcpy(bytes, &value, sizeof(T));
      for (const unsigned char byte : bytes) hash_ = (hash_ ^ byte) * 1099511628211u;
    }
  }
  std::uint64_t value() const { return hash_; }

 private:
  std::uint64_t hash_ = 14695981039346656037u;
};

template <class T>
std::uint64_t of_functions() {
  Tensor<T> x = pattern<T>({4001}, 1);
  for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] *= static_cast<T>(i % 7 == 0 ? 200 : 12);
  Tensor<T> y({4001});
  Fingerprint fingerprint;
  const kernels::GateMath<T>& math = kernels::gate_math<T>();
  for (const auto map : {math.sigmoid, math.tanh, math.log_sigmoid, math.silu}) {
    map(x.data(), y.data(), x.size());
    fingerprint.add<T>(y.span());
  }
  math.softmax(x.data(), y.data(), 1000);
  fingerprint.add<T>(y.span());
  return fingerprint.value();
}

// Ten steps of 7 rows with 37 units.
template <class T>
std::uint64_t of_cells() {
  constexpr std::size_t kUnits = 37, kInputs = 21, kBatch = 7;
  Fingerprint fingerprint;
  for (const std::size_t gates : {4, 3}) {
    const PackedWeights<T> packed =
        pack_gates<T>(gates, pattern<T>({gates * kUnits, kInputs}, 2).view(),
                      pattern<T>({gates * kUnits, kUnits}, 3).view(), pattern<T>({gates * kUnits}, 4).view(),
                      pattern<T>({gates * kUnits}, 5).view(), gates == 3);
    const Tensor<T> x = pattern<T>({kBatch, kInputs}, 6);
    Tensor<T> h = pattern<T>({kBatch, kUnits}, 7), c = pattern<T>({kBatch, kUnits}, 8), h_next = h;
    for (int t = 0; t < 10; ++t) {
      std::vector<kernels::Row<T>> rows;
      for (std::size_t b = 0; b < kBatch; ++b)
        rows.push_back(
            {.x = &x(b, 0), .h = &h(b, 0), .c = &c(b, 0), .h_out = &h_next(b, 0), .c_out = &c(b, 0)});
      const auto step = gates == 4 ? packed.kernels->lstm_step : packed.kernels->gru_step;
      step(packed.matrix, rows.data(), kBatch, {0, packed.matrix.blocks});
      std::swap(h, h_next);
      fingerprint.add<T>(h.span());
    }
    fingerprint.add<T>(c.span());
  }
  return fingerprint.value();
}

TEST(BitsEverywhere, FunctionsAndCellsHaveTheSameFingerprintsOnEveryTargetWithFma) {
  bool any = false;
  for (const std::string& target : available_targets()) {
    set_target(target);
    if (!target_has_fma()) continue;
    any = true;
    EXPECT_EQ(of_functions<float>(), 10226957305006636698u) << target;
    EXPECT_EQ(of_functions<double>(), 6243981647816180060u) << target;
    EXPECT_EQ(of_cells<float>(), 9504261082456086717u) << target;
    EXPECT_EQ(of_cells<double>(), 18193278820579034794u) << target;
  }
  set_target("");
  if (!any) GTEST_SKIP() << "this machine has no instruction set with FMA";
}

}  // namespace
}  // namespace sluice
