// SPDX-License-Identifier: Apache-2.0
#include "profile/machine_limits.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "profile/machine_rates.h"
#include "sluice/target.h"
#include "support/files.h"

namespace sluice {
namespace {

using testing::read_file;
using testing::TempFolder;
using testing::write_file;

MachineLimits machine_without_rates() {
  MachineLimits machine;
  machine.target = "avx2";
  machine.threads = 3;
  machine.levels = {{"L1", 32768}, {"L2", 524288}, {"memory"}};
  return machine;
}

// A cache folder of the test's own, and a measurement that counts how often it is made.
class MachineLimitsCache : public ::testing::Test {
 protected:
  MachineLimits get(bool fresh = false) {
    return cached_limits(folder_.path() / "sluice", machine_without_rates(), fresh,
                         [&](MachineLimits machine) {
                           ++measured_;
                           machine.flops = 1e11 + measured_;
                           machine.sigmoid_per_second = 2.1e9;
                           machine.tanh_per_second = 2.3e9;
                           for (MachineLimits::Level& level : machine.levels) {
                             level.bytes_per_second = 1e10 / 3 + static_cast<double>(level.bytes);
                           }
                           return machine;
                         });
  }
  nlohmann::json file() const { return nlohmann::json::parse(read_file(path_)); }

  TempFolder folder_;
  std::string path_ = folder_ / "sluice/machine_avx2_3.json";
  int measured_ = 0;
};

TEST_F(MachineLimitsCache, KeepsWhatWasMeasured) {
  const MachineLimits first = get(), again = get();
  EXPECT_EQ(measured_, 1);
  EXPECT_EQ(again.target, "avx2");
  EXPECT_EQ(again.threads, 3);
  EXPECT_EQ(again.flops, first.flops);
  EXPECT_EQ(again.sigmoid_per_second, first.sigmoid_per_second);
  EXPECT_EQ(again.tanh_per_second, first.tanh_per_second);
  ASSERT_EQ(again.levels.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(again.levels[i].name, first.levels[i].name);
    EXPECT_EQ(again.levels[i].bytes, first.levels[i].bytes);
    EXPECT_EQ(again.levels[i].bytes_per_second, first.levels[i].bytes_per_second);
  }
}

TEST_F(MachineLimitsCache, IsMeasuredAnewWhereAskedFor) {
  get();
  EXPECT_EQ(get(true).flops, 1e11 + 2);
  EXPECT_EQ(get().flops, 1e11 + 2);
}

TEST_F(MachineLimitsCache, OfAnotherMachineOrLibraryIsMeasuredAnew) {
  get();
  const nlohmann::json good = file();
  const auto expect_measured = [&](const std::string& key, const nlohmann::json& value) {
    nlohmann::json json = good;
    ASSERT_TRUE(json["key"].contains(key)) << key;
    json["key"][key] = value;
    write_file(path_, json.dump());
    const int before = measured_;
    get();
    EXPECT_EQ(measured_, before + 1) << key;
    EXPECT_EQ(file()["key"], good["key"]) << key;  // and the file mended
  };
  expect_measured("cpu", "Another");
  expect_measured("version", "0.0.0");
  expect_measured("target", "another");
  expect_measured("threads", 2);
  expect_measured("caches", nlohmann::json::array());
}

TEST_F(MachineLimitsCache, ThatCannotBeReadIsMeasuredAnew) {
  get();
  const std::string good = read_file(path_);
  nlohmann::json negative = file(), short_list = file(), text = file();
  negative["flops"] = -1;
  short_list["bytes_per_second"] = {1.0};
  text["tanh_per_second"] = "fast";
  for (const std::string& bad :
       {std::string(), std::string("{"), std::string("\0\xff", 2), good.substr(0, good.size() / 2),
        std::string("[]"), negative.dump(), short_list.dump(), text.dump()}) {
    write_file(path_, bad);
    const int before = measured_;
    EXPECT_EQ(get().flops, 1e11 + before + 1) << bad;
    EXPECT_EQ(file()["key"]["target"], "avx2") << bad;
  }
}

TEST_F(MachineLimitsCache, ThatCannotBeWrittenIsDoneWithout) {
  write_file(folder_ / "sluice", "a file where the folder should be");
  EXPECT_EQ(get().flops, 1e11 + 1);
  EXPECT_EQ(get().flops, 1e11 + 2);
  EXPECT_EQ(read_file(folder_ / "sluice"), "a file where the folder should be");
}

TEST(MachineLimits, AreThoseOfThisMachineAndInTheUsersCacheFolder) {
  const TempFolder folder;
  const char* before = std::getenv("XDG_CACHE_HOME");
  const std::string old = before != nullptr ? before : "";
  setenv("XDG_CACHE_HOME", folder.path().c_str(), 1);
  const MachineLimits limits = machine_limits(1);
  before != nullptr ? setenv("XDG_CACHE_HOME", old.c_str(), 1) : unsetenv("XDG_CACHE_HOME");
  EXPECT_TRUE(std::filesystem::exists(folder / ("sluice/machine_" + active_target() + "_1.json")));
  EXPECT_EQ(limits.target, active_target());
  EXPECT_EQ(limits.threads, 1);
  EXPECT_GT(limits.flops, 0);
  EXPECT_GT(limits.sigmoid_per_second, 0);
  EXPECT_GT(limits.tanh_per_second, 0);
  ASSERT_GE(limits.levels.size(), 2U);
  EXPECT_EQ(limits.levels.front().name, "L1");
  EXPECT_EQ(limits.levels.back().name, "memory");
  EXPECT_EQ(limits.levels.back().bytes, 0U);
  for (const MachineLimits::Level& level : limits.levels) EXPECT_GT(level.bytes_per_second, 0) << level.name;
}

#if defined(__GNUC__) && !defined(__clang__)
// Plain loops, measured another way. Only on a machine that does nothing else:
// SLUICE_TEST_PEAKS=1 profile_tests --gtest_filter='MachinePeaks*'
using Vector [[gnu::vector_size(64)]] = float;

#if defined(__x86_64__)
#define SLUICE_TEST_FMA [[gnu::target("avx512f,fma")]]
#else
#define SLUICE_TEST_FMA
#endif

template <class Body>
double best_seconds(int runs, const Body& body) {
  double best = 1e30;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

constexpr std::size_t kTestLanes = sizeof(Vector) / sizeof(float);

SLUICE_TEST_FMA [[gnu::optimize("fp-contract=fast")]] float multiply_adds(std::size_t iterations, float by) {
  constexpr std::size_t kChains = 16;
  const Vector factor = Vector{} + by;
  Vector sums[kChains];  // each chain another, or the compiler makes one of them
  for (std::size_t i = 0; i < kChains; ++i) sums[i] = factor * static_cast<float>(i);
  for (std::size_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 16
    for (Vector& sum : sums) sum = sum * factor + factor;
  }
  Vector all{};
  for (const Vector& sum : sums) all += sum;
  return all[0];
}

SLUICE_TEST_FMA float read_all(const Vector* data, std::size_t n, std::size_t passes) {
  Vector sums[8] = {};
  for (std::size_t pass = 0; pass < passes; ++pass) {
    for (std::size_t i = 0; i + 8 <= n; i += 8) {
#pragma GCC unroll 8
      for (std::size_t k = 0; k < 8; ++k) sums[k] += data[i + k];
    }
  }
  Vector all{};
  for (const Vector& sum : sums) all += sum;
  return all[0];
}

TEST(MachinePeaks, AreWithinTenPercentOfPlainLoops) {
  if (std::getenv("SLUICE_TEST_PEAKS") == nullptr) GTEST_SKIP() << "SLUICE_TEST_PEAKS is not set";
  if (active_target() != "avx512") GTEST_SKIP() << "the plain loops are written for vectors of 64 bytes";
  const MachineLimits limits = machine_limits(1, true);
  volatile float sink = 0.5F;
  constexpr std::size_t kIterations = 200'000;
  const double fma_seconds = best_seconds(200, [&] { sink = multiply_adds(kIterations, sink); });
  const double flops = static_cast<double>(kIterations) * 16 * kTestLanes * 2 / fma_seconds;
  EXPECT_NEAR(limits.flops / flops, 1, 0.1);
  for (const MachineLimits::Level& level : limits.levels) {
    const std::size_t bytes = level.bytes > 0 ? level.bytes / 2 : std::size_t{128} << 20;
    const std::size_t passes = std::max<std::size_t>((std::size_t{48} << 20) / bytes, 1);
    const FloatArray floats = make_float_array(bytes / sizeof(float));
    const auto* data = reinterpret_cast<const Vector*>(floats.get());
    const double seconds = best_seconds(100, [&] { sink = read_all(data, bytes / sizeof(Vector), passes); });
    EXPECT_NEAR(level.bytes_per_second * seconds / static_cast<double>(bytes * passes), 1, 0.1) << level.name;
  }
}
#endif

}  // namespace
}  // namespace sluice
