// SPDX-License-Identifier: Apache-2.0
#include "profile/machine_limits.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/atomic_file.h"
#include "core/json.h"
#include "profile/machine_rates.h"
#include "sluice/error.h"
#include "sluice/target.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// "AMD EPYC": what Linux says of the first processor.
std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(std::min(line.find(": ") + 2, line.size()));
  }
  return "unknown";
}

// How many processors "0-3,8" names.
std::size_t count_in_list(const std::string& list) {
  std::size_t count = 0;
  for (const char* p = list.c_str(); *p != '\0';) {
    char* end = nullptr;
    const unsigned long first = std::strtoul(p, &end, 10);
    unsigned long last = first;
    if (end == p) break;
    if (*end == '-') last = std::strtoul(end + 1, &end, 10);
    count += last - first + 1;
    p = *end == ',' ? end + 1 : end;
  }
  return std::max<std::size_t>(count, 1);
}

// The caches of the first processor as Linux lists them, and memory; `bytes` is the part of a thread where
// `threads` run, spread over as many caches as they can.
std::vector<MachineLimits::Level> find_levels(int threads) {
  std::vector<MachineLimits::Level> levels;
  const auto processors = static_cast<std::size_t>(std::max(omp_get_num_procs(), 1));
  for (int i = 0;; ++i) {
    const fs::path folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i);
    std::string size = first_line(folder / "size");
    if (size.empty()) break;
    if (first_line(folder / "type") == "Instruction") continue;
    const std::size_t unit = size.back() == 'K' ? 1 << 10 : size.back() == 'M' ? 1 << 20 : 1;
    const std::size_t sharing = std::min(count_in_list(first_line(folder / "shared_cpu_list")), processors);
    const std::size_t caches = processors / sharing;
    const std::size_t in_one = (static_cast<std::size_t>(threads) + caches - 1) / caches;
    const std::size_t bytes = std::strtoull(size.c_str(), nullptr, 10) * unit / in_one;
    if (bytes > 0) levels.push_back({std::string("L").append(first_line(folder / "level")), bytes});
  }
  // What nearly every machine has.
  if (levels.empty()) levels = {{"L1", std::size_t{32} << 10}, {"L2", std::size_t{512} << 10}};
  levels.push_back({"memory"});
  return levels;
}

MachineLimits measure(MachineLimits limits) {
  constexpr int kRounds = 6;  // other programs, and the clock's moods, come in spells
  constexpr double kNsPerSecond = 1e9;
  const auto keep_best = [](double& best, double rate) { best = std::max(best, rate * kNsPerSecond); };
  const auto threads = static_cast<std::size_t>(limits.threads);
  for (int round = 0; round < kRounds; ++round) {
    keep_best(limits.flops, measure_multiply_add_rate(limits.threads));
    keep_best(limits.sigmoid_per_second, measure_sigmoid_rate(limits.threads));
    keep_best(limits.tanh_per_second, measure_tanh_rate(limits.threads));
    std::size_t last = 0;
    for (MachineLimits::Level& level : limits.levels) {
      constexpr std::size_t kLeast = std::size_t{128} << 20, kMost = std::size_t{512} << 20;
      const std::size_t bytes =
          level.bytes > 0 ? level.bytes / 2 * threads : std::clamp(4 * last * threads, kLeast, kMost);
      keep_best(level.bytes_per_second, measure_read_rate(bytes, limits.threads));
      last = level.bytes;
    }
  }
  return limits;
}

fs::path cache_folder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path(value != nullptr ? value : "");
  };
  // The standard has relative paths ignored.
  if (const fs::path base = variable("XDG_CACHE_HOME"); base.is_absolute()) return base / "sluice";
  if (const fs::path home = variable("HOME"); home.is_absolute()) return home / ".cache" / "sluice";
  return {};
}

// What the file must say to be about this machine, this library and this many threads.
Json key_of(const MachineLimits& limits) {
  Json caches = Json::array();
  for (const MachineLimits::Level& level : limits.levels) caches.push_back({level.name, level.bytes});
  return {{"version", SLUICE_VERSION},
          {"cpu", cpu_model()},
          {"target", limits.target},
          {"threads", limits.threads},
          {"caches", std::move(caches)}};
}

Json to_json(const MachineLimits& limits) {
  Json bandwidths = Json::array();
  for (const MachineLimits::Level& level : limits.levels) bandwidths.push_back(level.bytes_per_second);
  return {{"key", key_of(limits)},
          {"flops", limits.flops},
          {"bytes_per_second", std::move(bandwidths)},
          {"sigmoid_per_second", limits.sigmoid_per_second},
          {"tanh_per_second", limits.tanh_per_second}};
}

// Fills `limits`, which has its key, from the file's text. Throws on anything that is not as to_json wrote
// it.
void from_json(const std::string& text, MachineLimits& limits) {
  const Json file = parse_json(text).value;
  const auto rate = [](const Json& value) {
    const double number = value.get<double>();
    if (!(number > 0) || !std::isfinite(number)) throw Error("not a rate");
    return number;
  };
  if (file.at("key") != key_of(limits)) throw Error("of another machine");
  const Json& bandwidths = file.at("bytes_per_second");
  for (std::size_t i = 0; i < limits.levels.size(); ++i) {
    limits.levels[i].bytes_per_second = rate(bandwidths.at(i));
  }
  limits.flops = rate(file.at("flops"));
  limits.sigmoid_per_second = rate(file.at("sigmoid_per_second"));
  limits.tanh_per_second = rate(file.at("tanh_per_second"));
}

// Whatever is wrong with the file, measuring anew mends it.
std::optional<MachineLimits> read_cache(const fs::path& path, MachineLimits limits) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  try {
    from_json({std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()}, limits);
    return limits;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

void write_cache(const fs::path& path, const MachineLimits& limits) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  try {
    replace_file(path.string(), to_json(limits).dump(2, ' ', true, Json::error_handler_t::replace) + "\n");
  } catch (const FileError&) {
    // Without a place for it the next call measures again.
  }
}

}  // namespace

MachineLimits cached_limits(const fs::path& folder, const MachineLimits& empty, bool fresh,
                            const std::function<MachineLimits(MachineLimits)>& measure) {
  if (folder.empty()) return measure(empty);
  const fs::path path = folder / ("machine_" + empty.target + "_" + std::to_string(empty.threads) + ".json");
  if (!fresh) {
    if (std::optional<MachineLimits> cached = read_cache(path, empty)) return *std::move(cached);
  }
  MachineLimits limits = measure(empty);
  write_cache(path, limits);
  return limits;
}

MachineLimits raised_limits(const MachineLimits& low) {
  return cached_limits(cache_folder(), low, true, measure);
}

MachineLimits machine_limits(int threads, bool fresh) {
  MachineLimits empty;
  empty.threads = usable_threads(threads > 0 ? threads : omp_get_max_threads());
  empty.target = active_target();
  empty.levels = find_levels(empty.threads);
  return cached_limits(cache_folder(), empty, fresh, measure);
}

}  // namespace sluice
