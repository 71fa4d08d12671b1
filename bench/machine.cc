// SPDX-License-Identifier: Apache-2.0
#include "machine.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "profile/machine_rates.h"

namespace sluice::bench {
namespace {

// The best of what is known and a fresh measurement, which is then known.
template <class Key, class Measure>
double best_known(std::map<Key, double>& known, const Key& key, const Measure& measure) {
  double& best = known[key];  // 0 at first
  best = std::max(best, measure());
  return best;
}

using BytesAndThreads = std::pair<std::size_t, int>;

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
    return [share, from = make_float_array(share), to = make_float_array(share)] {
      std::memcpy(to.get(), from.get(), share * sizeof(float));
      keep(to.get());
    };
  });
}

// As near to an array onto itself as the C library copies: from one cache line further on.
double measure_copy_in_place_rate(std::size_t bytes, int threads) {
  constexpr std::size_t kLine = 64 / sizeof(float);
  return measure_copies(bytes, threads, [](std::size_t share) {
    return [share, data = make_float_array(share + kLine)] {
      std::memmove(data.get(), data.get() + kLine, share * sizeof(float));
      keep(data.get());
    };
  });
}

}  // namespace

double multiply_add_rate(int threads) {
  static std::map<int, double> known;
  threads = usable_threads(threads);
  return best_known(known, threads, [&] { return measure_multiply_add_rate(threads); });
}

double read_rate(std::size_t bytes, int threads) {
  static std::map<BytesAndThreads, double> known;
  threads = usable_threads(threads);
  return best_known(known, {bytes, threads}, [&] { return measure_read_rate(bytes, threads); });
}

double copy_rate(std::size_t bytes, int threads) {
  static std::map<BytesAndThreads, double> known;
  threads = usable_threads(threads);
  return best_known(known, {bytes, threads}, [&] { return measure_copy_rate(bytes, threads); });
}

double copy_in_place_rate(std::size_t bytes, int threads) {
  static std::map<BytesAndThreads, double> known;
  threads = usable_threads(threads);
  return best_known(known, {bytes, threads}, [&] { return measure_copy_in_place_rate(bytes, threads); });
}

}  // namespace sluice::bench
