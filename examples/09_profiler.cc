// SPDX-License-Identifier: Apache-2.0
// Where the time of a stream goes, while it runs: a Profiler counts its steps, and any thread may read it.
#include <cstdio>

#include "sluice/sluice.h"

int main(int argc, char** argv) try {
  const char* path = argc > 1 ? argv[1] : "examples/models/words.safetensors";
  const sluice::Model<float> model = sluice::load(path);
  sluice::Stream<float> stream = model.stream();
  sluice::Profiler profiler;
  stream.set_profiler(&profiler);
  const sluice::Tensor<float> x({1, model.input_size()});  // a step of zeros
  for (int step = 0; step < 2000; ++step) stream.step(x.data());

  const sluice::ProfileTimes times = profiler.read();
  const auto microseconds = [&](double seconds) { return 1e6 * seconds / static_cast<double>(times.runs); };
  std::printf("%llu steps of %.2f us\n", static_cast<unsigned long long>(times.runs),
              microseconds(times.seconds));
  for (const sluice::ModuleTimes& module : times.modules) {
    std::printf("  %-10s %-10s %8.2f us\n", module.prefix.c_str(), module.type.c_str(),
                microseconds(module.seconds));
    for (const sluice::CellTimes& cell : module.cells) {
      std::printf("    layer %zu:", cell.layer);
      for (std::size_t i = 0; i < sluice::kPhases; ++i) {
        const auto name = sluice::phase_name(static_cast<sluice::Phase>(i));
        std::printf(" %.*s %.2f us", static_cast<int>(name.size()), name.data(),
                    microseconds(cell.seconds[i]));
      }
      std::printf("\n");
    }
  }
} catch (const sluice::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
