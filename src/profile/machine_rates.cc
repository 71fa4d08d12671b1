// SPDX-License-Identifier: Apache-2.0
#include "profile/machine_rates.h"

#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "kernels/gate_math.h"
#include "kernels/machine_peak.h"

namespace sluice {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

// Not in place, where each pass would see other values; those here are what gates see.
double measure_map_rate(kernels::GateMath<float>::Map map, int threads) {
  constexpr std::size_t kElements = 2048;  // with the results half of a first cache of 32 KiB
  const std::size_t passes = passes_over(8 * kElements * sizeof(float));
  const double ns = best_ns(runs_for(0), threads, [&] {
    FloatArray x = make_float_array(kElements);
    for (std::size_t i = 0; i < kElements; ++i) {
      x[i] = static_cast<float>(i * 37 % kElements) * (16.0F / kElements) - 8;
    }
    return [=, from = std::move(x), to = make_float_array(kElements)] {
      for (std::size_t i = 0; i < passes; ++i) map(from.get(), to.get(), kElements);
    };
  });
  return static_cast<double>(kElements * passes) * threads / ns;
}

}  // namespace

FloatArray make_float_array(std::size_t n) {
  const std::size_t bytes = n * sizeof(float) / kHugePage * kHugePage + kHugePage;
  FloatArray floats(static_cast<float*>(std::aligned_alloc(kHugePage, bytes)));
  if (!floats) throw std::bad_alloc();
#if defined(__linux__)
  madvise(floats.get(), bytes, MADV_HUGEPAGE);
#endif
  std::fill_n(floats.get(), n, 0.0F);
  return floats;
}

std::size_t passes_over(std::size_t bytes) noexcept {
  return std::max<std::size_t>((std::size_t{48} << 20) / std::max<std::size_t>(bytes, 1), 1);
}

int runs_for(std::size_t bytes) noexcept { return bytes > (std::size_t{64} << 20) ? 8 : 50; }

int usable_threads(int threads) noexcept {
  return std::clamp(threads, 1, std::min(omp_get_num_procs(), omp_get_thread_limit()));
}

double measure_multiply_add_rate(int threads) {
  const kernels::MachinePeak& peak = kernels::machine_peak();
  constexpr std::size_t kIterations = 100'000;
  const double operations = peak.multiply_add(1) * static_cast<double>(kIterations) * threads;
  return operations / best_ns(100, threads, [&] { return [&] { (void)peak.multiply_add(kIterations); }; });
}

// Where an array about as large as a cache lies decides how many of its lines fight for the same places
// there: 30 % of the speed. So of several arrays, the middle one: a program's weights are as lucky as that.
double measure_read_rate(std::size_t bytes, int threads) {
  const kernels::MachinePeak& peak = kernels::machine_peak();
  const std::size_t share = bytes / sizeof(float) / static_cast<std::size_t>(threads);
  const std::size_t passes = passes_over(share * sizeof(float));
  const std::size_t places = bytes <= (std::size_t{4} << 20) ? 5 : 1;
  const std::size_t page = kHugePage / sizeof(float);
  const std::size_t stride = (share / page + 1) * page;
  std::vector<FloatArray> arrays(static_cast<std::size_t>(threads));
#pragma omp parallel num_threads(threads)
  arrays[static_cast<std::size_t>(omp_get_thread_num())] = make_float_array(places * stride);
  std::vector<double> rates;
  for (std::size_t place = 0; place < places; ++place) {
    const double ns = best_ns(runs_for(bytes) / static_cast<int>(places), threads, [&] {
      const float* data = arrays[static_cast<std::size_t>(omp_get_thread_num())].get() + place * stride;
      return [&peak, share, passes, data] {
        volatile float sink = peak.read(data, share, passes);
        (void)sink;
      };
    });
    rates.push_back(static_cast<double>(share * sizeof(float) * passes) * threads / ns);
  }
  std::nth_element(rates.begin(), rates.begin() + static_cast<std::ptrdiff_t>(places / 2), rates.end());
  return rates[places / 2];
}

double measure_sigmoid_rate(int threads) {
  return measure_map_rate(kernels::gate_math<float>().sigmoid, threads);
}

double measure_tanh_rate(int threads) { return measure_map_rate(kernels::gate_math<float>().tanh, threads); }

}  // namespace sluice
