// SPDX-License-Identifier: Apache-2.0
#include "machine.h"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "kernels/machine_peak.h"
#include "median.h"

namespace sluice::bench {
namespace {

struct Free {
  void operator()(float* p) const noexcept { std::free(p); }
};
using Floats = std::unique_ptr<float[], Free>;

constexpr std::size_t kHugePage = std::size_t{2} << 20;

// n floats in as few pages as the system gives: a bound should not wait for page tables.
Floats make_floats(std::size_t n) {
  const std::size_t bytes = n * sizeof(float) / kHugePage * kHugePage + kHugePage;
  Floats floats(static_cast<float*>(std::aligned_alloc(kHugePage, bytes)));
  if (!floats) throw std::bad_alloc();
#if defined(__linux__)
  madvise(floats.get(), bytes, MADV_HUGEPAGE);
#endif
  std::fill_n(floats.get(), n, 0.0F);  // by the thread that uses it, so that it lies near
  return floats;
}

// The shortest of `runs` times of body() on `threads` threads at once, in ns. make_body() is called first, on
// each thread: what a thread works on is its own.
template <class MakeBody>
double best_ns(int runs, int threads, const MakeBody& make_body) {
  double best = 1e30;
#pragma omp parallel num_threads(threads)
  {
    const auto body = make_body();
    for (int i = 0; i < runs; ++i) {
#pragma omp barrier
      const auto start = std::chrono::steady_clock::now();
      body();
#pragma omp barrier
      const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
#pragma omp master
      best = std::min(best, took.count());
    }
  }
  return best;
}

// Passes over `bytes` bytes for about half a millisecond, so that the clock and the barriers cost nothing.
std::size_t passes_over(std::size_t bytes) {
  return std::max<std::size_t>((std::size_t{48} << 20) / std::max<std::size_t>(bytes, 1), 1);
}

// Many runs, spread over some 20 ms: another program that holds a processor for a time slice spoils some, not
// all.
int runs_for(std::size_t bytes) { return bytes > (std::size_t{64} << 20) ? 8 : 50; }

int usable(int threads) {
  return std::clamp(threads, 1, std::min(omp_get_num_procs(), omp_get_thread_limit()));
}

// The best of what is known and a fresh measurement, which is then known.
template <class Key, class Measure>
double best_known(std::map<Key, double>& known, const Key& key, const Measure& measure) {
  double& best = known[key];  // 0 at first
  best = std::max(best, measure());
  return best;
}

using BytesAndThreads = std::pair<std::size_t, int>;

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
  std::vector<Floats> arrays(static_cast<std::size_t>(threads));
#pragma omp parallel num_threads(threads)
  arrays[static_cast<std::size_t>(omp_get_thread_num())] = make_floats(places * stride);
  std::vector<double> rates;
  for (std::size_t place = 0; place < places; ++place) {
    const double ns = best_ns(runs_for(bytes) / static_cast<int>(places), threads, [&] {
      const float* data = arrays[static_cast<std::size_t>(omp_get_thread_num())].get() + place * stride;
      return [&peak, share, passes, data] {
        volatile float sink = 0;
        for (std::size_t i = 0; i < passes; ++i) sink = sink + peak.read(data, share);
      };
    });
    rates.push_back(static_cast<double>(share * sizeof(float) * passes) * threads / ns);
  }
  return median(rates);
}

// Of `copy_all`, which copies `share` floats a call; make_copy_all(share) is called on each thread.
template <class MakeCopyAll>
double measure_copies(std::size_t bytes, int threads, const MakeCopyAll& make_copy_all) {
  const std::size_t share = bytes / sizeof(float) / static_cast<std::size_t>(threads);
  const std::size_t passes = passes_over(share * sizeof(float));
  const double ns = best_ns(runs_for(bytes), threads, [&] {
    return [passes, copy_all = make_copy_all(share)] {
      for (std::size_t i = 0; i < passes; ++i) copy_all();
    };
  });
  return static_cast<double>(share * sizeof(float) * passes) * threads / ns;
}

// Every copy counts: the compiler must not see that the next one writes the same.
void keep(float* written) { asm volatile("" : : "r"(written) : "memory"); }

double measure_copy_rate(std::size_t bytes, int threads) {
  return measure_copies(bytes, threads, [](std::size_t share) {
    return [share, from = make_floats(share), to = make_floats(share)] {
      std::memcpy(to.get(), from.get(), share * sizeof(float));
      keep(to.get());
    };
  });
}

// As near to an array onto itself as the C library copies: from one cache line further on.
double measure_copy_in_place_rate(std::size_t bytes, int threads) {
  constexpr std::size_t kLine = 64 / sizeof(float);
  return measure_copies(bytes, threads, [](std::size_t share) {
    return [share, data = make_floats(share + kLine)] {
      std::memmove(data.get(), data.get() + kLine, share * sizeof(float));
      keep(data.get());
    };
  });
}

}  // namespace

double multiply_add_rate(int threads) {
  static std::map<int, double> known;
  threads = usable(threads);
  return best_known(known, threads, [&] { return measure_multiply_add_rate(threads); });
}

double read_rate(std::size_t bytes, int threads) {
  static std::map<BytesAndThreads, double> known;
  threads = usable(threads);
  return best_known(known, {bytes, threads}, [&] { return measure_read_rate(bytes, threads); });
}

double copy_rate(std::size_t bytes, int threads) {
  static std::map<BytesAndThreads, double> known;
  threads = usable(threads);
  return best_known(known, {bytes, threads}, [&] { return measure_copy_rate(bytes, threads); });
}

double copy_in_place_rate(std::size_t bytes, int threads) {
  static std::map<BytesAndThreads, double> known;
  threads = usable(threads);
  return best_known(known, {bytes, threads}, [&] { return measure_copy_in_place_rate(bytes, threads); });
}

}  // namespace sluice::bench
