// SPDX-License-Identifier: Apache-2.0
// Where a model's time goes, how near each part is to what this machine can do, and what the gates are doing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/module.h"
#include "sluice/tensor.h"

namespace sluice {

/// The parts of a recurrent layer's work. Modules that are no recurrent layers have all of theirs in kOther.
enum class Phase : std::uint8_t {
  kInput,      ///< products with the input
  kRecurrent,  ///< products with the state
  kGates,      ///< gates and states, elementwise
  kWaiting,    ///< for other threads
  kOther,      ///< everything else: pointers moved on, rows copied
};
inline constexpr std::size_t kPhases = 5;
std::string_view phase_name(Phase phase) noexcept;  ///< "input", "recurrent", "gates", "waiting", "other"

/// Seconds by Phase.
using PhaseSeconds = std::array<double, kPhases>;

/// One thread's part of one direction of one layer.
struct CellTimes {
  std::size_t layer = 0;
  std::size_t direction = 0;
  std::size_t thread = 0;
  std::uint64_t steps = 0;
  std::uint64_t activations = 0;  ///< sigmoids, tanhs and exponentials that it took
  PhaseSeconds seconds{};
};

struct ModuleTimes {
  std::string type;           ///< "LSTM"
  std::string prefix;         ///< of its parameters, without the dot at its end; may be empty
  double seconds = 0;         ///< of the call's own thread, from beginning to end
  double thread_seconds = 0;  ///< the same, of each thread that a call had
  /// Of recurrent layers. Their seconds add up to thread_seconds.
  std::vector<CellTimes> cells;
};

/// What a Profiler has seen so far.
struct ProfileTimes {
  std::uint64_t runs = 0;            ///< calls, or a stream's steps
  double seconds = 0;                ///< of all runs, whole
  std::vector<ModuleTimes> modules;  ///< in the model's order
};

struct TraceSpan {
  std::string name;  ///< "rnn l0 input"
  std::size_t thread = 0;
  double begin = 0, seconds = 0;
  std::size_t step = 0;
};

/// Counts the time of the calls or the stream that it is attached to (RunOptions::profiler,
/// Stream::set_profiler). Costs some 0.1 us a call, under 1 % from 20 us on, and nothing where there is none.
/// One call at a time may count into it; any thread may read it meanwhile. Modules are told apart by where
/// they lie: what it has counted should outlive it.
class Profiler {
 public:
  Profiler();
  ~Profiler();
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;

  ProfileTimes read() const;
  /// Back to nothing seen. Not while a call runs.
  void reset() noexcept;

  /// From now on keeps a span a thread, phase and step, up to `max_spans` of them, for which it takes the
  /// memory here; 0: no more. For looking at a run, not for timing it: a span costs 100 ns or so. Not while a
  /// call runs.
  void enable_trace(std::size_t max_spans);
  /// Those kept so far; `begin` counts from enable_trace().
  std::vector<TraceSpan> trace() const;

  struct State;  ///< the library's own
  State& state() noexcept { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

/// What one thread, or all at once, can do; measured.
struct MachineLimits {
  std::string target;  ///< "avx512"
  int threads = 1;
  double flops = 0;  ///< float32 operations a second, fused multiply-adds
  struct Level {
    std::string name;       ///< "L1", "L2", "L3", "memory"
    std::size_t bytes = 0;  ///< what it holds for a thread; 0: memory
    double bytes_per_second = 0;
  };
  std::vector<Level> levels;
  double sigmoid_per_second = 0, tanh_per_second = 0;  ///< elements, stand-alone, in L1
};
/// Measures in a second or two, and keeps the result in a file for the next time (a cache folder of the
/// user's: XDG_CACHE_HOME/sluice, or ~/.cache/sluice; left out where there is none). `fresh` measures anew,
/// as does a file that cannot be read, or is of another machine or library. `threads` as in RunOptions, and
/// never more than there are processors; rates are those of all of them together.
MachineLimits machine_limits(int threads, bool fresh = false);

/// The least time that work can take.
struct Bound {
  double flops = 0;
  double bytes = 0;  ///< weights and states that must be read or written
  double seconds = 0;
  std::string by;  ///< "multiply-adds", "L2", "memory", ..., "gates"
};

/// A part of the model: a module, or one direction of one layer of one.
struct PartReport {
  std::string name;  ///< "rnn", "rnn l0", "rnn l0 reverse"
  std::string type;
  std::size_t threads = 0;                     ///< that a recurrent layer took; 0: not counted
  double seconds_min = 0, seconds_median = 0;  ///< of a run: its own least, and in the median run
  PhaseSeconds phases{};                       ///< in the median run, the mean of threads
  Bound bound;
  double share_of_bound = 0;  ///< bound.seconds / seconds_min
  double gates_per_second = 0, ns_per_gate = 0,
         elements_per_cycle = 0;  ///< activations; 0 where there are none
  std::vector<PartReport> parts;  ///< of a recurrent layer: its layers and directions
};

/// The activations of a gate in a run over data.
struct GateReport {
  std::string module;
  std::size_t layer = 0, direction = 0;
  std::string gate;
  bool is_tanh = false;  ///< values -1 to 1, not 0 to 1
  std::uint64_t activations = 0;
  std::uint64_t shut = 0;                ///< below 0.01, tanh: below -0.99
  std::uint64_t open = 0;                ///< above 0.99
  double mean = 0, mean_derivative = 0;  ///< the derivative: y (1 - y), or 1 - y^2
  /// The share of a unit's old state that is kept where the gate is 0, and where it is 1: 0 and 1 of an
  /// LSTM's forget gate and a GRU's update gate, 1 and 0 of an MGU's. Equal: the gate keeps nothing.
  double kept_shut = 0, kept_open = 0;
  /// 1 / (1 - the share that is kept at `mean`), at most 1e6; 0 of a gate that keeps nothing.
  double memory_steps = 0;
  /// The same by unit, at its own mean: what 10, 50 and 90 % of the units do not exceed.
  double memory_low = 0, memory_median = 0, memory_high = 0;
  std::vector<std::uint64_t> histogram;  ///< 20 bins of equal width from 0 (-1) to 1, which the last one has
  /// By unit: mean activation, standard deviation, share shut, share open.
  std::vector<float> unit_mean, unit_deviation, unit_shut, unit_open;
  /// Of at least 32 activations a unit: units that give 0 since the gate is always at one end: an LSTM's
  /// output or input gate that is shut, a GRU's update gate that is open.
  std::vector<std::size_t> dead_units;
  /// Others where the gate is a constant: always at one end, or of a deviation below 0.001. Always where it
  /// keeps the state is a long memory, and not here.
  std::vector<std::size_t> stuck_units;
  /// [units, times], both brought down to at most 128: each cell is the mean of all activations that fall
  /// into it. Times end with the longest row.
  Tensor<float> heat;
};

/// What would help, with the figure that says so; `measured` where --try has run it.
struct Advice {
  std::string where;   ///< the part's name
  std::string what;    ///< "use one thread"
  std::string figure;  ///< "two threads take 1.31 times as long as one"
  bool is_measured = false;
};

/// Hardware counters of a run (perf_event), where the machine allows them.
struct HardwareCounts {
  bool is_there = false;
  std::string why_not;
  double cycles = 0, instructions = 0, cache_misses = 0;
};

struct ProfileReport {
  std::string model;
  std::string dtype;
  std::size_t steps = 0, batch = 0, input_size = 0;
  std::size_t longest = 0;  ///< steps of the longest row
  double valid_share = 1;   ///< of steps x batch: what is left where rows have lengths
  int threads = 1;          ///< at most; parts say how many they took
  std::size_t repeat = 0;
  double load_seconds = 0;
  double seconds_min = 0, seconds_median = 0;  ///< of a run
  Bound bound;
  double share_of_bound = 0;
  MachineLimits machine;
  HardwareCounts hardware;
  std::vector<PartReport> parts;
  std::vector<GateReport> gates;  ///< of data given, or drawn at random
  bool is_random_data = false;
  std::vector<double> gradient_norms;  ///< by time step, where asked for; of the last recurrent layer
  std::vector<Advice> advice;
  std::vector<TraceSpan> trace;  ///< where asked for
};

struct MeasureOptions {
  std::size_t repeat = 10;                  ///< measurements: a run, or of short ones as many as 1 ms has
  int threads = 0;                          ///< as in RunOptions
  std::span<const std::int64_t> lengths{};  ///< [B] as in Sequence
  std::size_t trace_spans = 0;              ///< at most this many, of one more run
  bool counts_hardware = true;              ///< in one more run
  std::string model{};                      ///< its name in the report; empty: its type
  bool is_random_data = false;              ///< x was drawn at random, which the report should say
  bool fresh_limits = false;                ///< machine_limits() are measured anew
};
/// Runs `module` over x [T, B, I] again and again, after once to warm up, and reports times, hardware
/// counters, trace and shape; limits, bounds, gates and advice are left empty. Throws Error, ShapeError.
template <class T>
ProfileReport measure_runs(const Module<T>& module, TensorView<const T> x,
                           const MeasureOptions& options = {});
/// The same with limits, bounds, gates and advice: all that `sluice profile` shows, but for what training
/// would say (gradient_norms). Where a run was faster than the machine's limits allow, they were measured too
/// low, and are measured once more. Where the model gives NaN, its advice says so. Throws Error, ShapeError.
template <class T>
ProfileReport profile_model(const Module<T>& module, TensorView<const T> x,
                            const MeasureOptions& options = {});

/// In the terminal; as JSON (docs/profile.md has its schema); for Perfetto and Chrome; as one page of HTML.
std::string profile_table(const ProfileReport& report, bool with_color);
std::string profile_json(const ProfileReport& report);
std::string profile_trace_json(const ProfileReport& report);
std::string profile_html(const ProfileReport& report);
/// Reads profile_json's output. Throws Error.
ProfileReport profile_from_json(std::string_view json);
/// Two runs side by side; `slower` is by how much the second's seconds_min exceeds the first's: 0.05 for 5 %.
struct ProfileComparison {
  std::string table;
  double slower = 0;
};
ProfileComparison compare_profiles(const ProfileReport& before, const ProfileReport& after);

}  // namespace sluice
