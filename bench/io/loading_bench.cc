// SPDX-License-Identifier: Apache-2.0
// From a file to a model that is packed and ready to run. The file is new, so it lies in the system's cache.
//   GB/s           bytes of the file
//   of_copy        share of the speed of memcpy of as many bytes on one thread, between the same two arrays
//   of_fresh_copy  the same into memory fresh from the system, such as a model needs, too
//   held           growth of the resident set by a loaded model, as a multiple of its weights (Linux)
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <string>
#include <vector>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "benchmarks.h"
#include "inputs.h"
#include "machine.h"
#include "measure.h"
#include "sluice/model.h"
#include "sluice/safetensors.h"

namespace sluice::bench {
namespace {

class TemporaryFolder {
 public:
  TemporaryFolder()
      : path_(std::filesystem::temp_directory_path() /
              ("sluice_bench." + std::to_string(std::random_device{}()))) {
    std::filesystem::create_directory(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string file(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// Bytes of memory that this process holds, where the system tells.
std::optional<double> resident_bytes() {
#if defined(__GLIBC__)
  malloc_trim(0);  // what was freed before does not count
#endif
  std::ifstream statm("/proc/self/statm");
  double pages = 0, resident = 0;
  if (!(statm >> pages >> resident)) return std::nullopt;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double fresh_copy_ns(std::size_t bytes) {
  const Tensor<float> from({bytes / sizeof(float)});
  std::vector<double> samples;
  for (int i = 0; i < 11; ++i) {
    void* to = nullptr;
    samples.push_back(time_ns([&] {
      to = std::malloc(bytes);
      std::memcpy(to, from.data(), bytes / sizeof(float) * sizeof(float));
      benchmark::DoNotOptimize(to);
    }));
    std::free(to);
  }
  return median(samples);
}

// An LSTM of two layers.
void run_load(benchmark::State& state, std::size_t hidden) {
  const TemporaryFolder folder;
  const std::string path = folder.file("model.safetensors");
  save_safetensors(path, random_weights(4, hidden, hidden, 2, 1));
  const auto bytes = static_cast<std::size_t>(std::filesystem::file_size(path));

  const std::optional<double> before = resident_bytes();
  {
    const Model<float> model = load(path);
    const std::optional<double> after = resident_bytes();
    if (before && after) state.counters["held"] = (*after - *before) / static_cast<double>(bytes);
  }
  std::vector<double> samples;
  const auto sample = [&] {
    std::optional<Model<float>> model;
    samples.push_back(time_ns([&] { model.emplace(load(path)); }));
  };  // that the model goes is not part of the time
  for (auto _ : state) sample();
  while (samples.size() < 5) sample();
  const double ns = median(samples);
  const auto size = static_cast<double>(bytes);
  state.counters["GB/s"] = size / ns;
  state.counters["of_copy"] = size / ns / copy_rate(bytes, 1);
  state.counters["of_fresh_copy"] = fresh_copy_ns(bytes) / ns;
}

}  // namespace

void register_loading() {
  for (const std::size_t hidden : {128, 1280}) {  // 1 MB, and 100
    const std::string name = "LoadLstm/I:" + std::to_string(hidden) + "/H:" + std::to_string(hidden) + "/L:2";
    benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
      run_load(state, hidden);
    })->Unit(benchmark::kMillisecond);
  }
}

}  // namespace sluice::bench
