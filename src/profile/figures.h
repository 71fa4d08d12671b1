// SPDX-License-Identifier: Apache-2.0
// Figures of a profile as a reader sees them: three digits and a unit.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/profile.h"

namespace sluice {

std::string seconds_text(double seconds);                       ///< "1.23 ms"
std::string rate_text(double per_second, std::string_view of);  ///< "228 GFLOP/s" of "FLOP/s"
std::string percent_text(double share);                         ///< "78.2 %"
std::string bytes_text(double bytes);                           ///< "1.5 MiB"

/// A name that may come from a file, for a terminal: control characters become spaces.
std::string plain_text(std::string_view text);

/// All parts with their depth, each before its own parts. A part that is its module's only one is left out:
/// its figures are the module's.
void for_each_part(const std::vector<PartReport>& parts,
                   const std::function<void(const PartReport&, std::size_t depth)>& visit);

/// "rnn l0 reverse forget"
std::string gate_name(const GateReport& gate);
/// "2 steps (1.5 to 12.3)": of the unit in the middle, and those that 10 and 90 % of the units do not exceed.
std::string memory_text(const GateReport& gate);
/// "2 rows".
std::string counted(std::size_t n, std::string_view what);
/// The most threads that a recurrent layer took, or all that there were where none was counted.
std::size_t threads_taken(const ProfileReport& report);
/// What its arithmetic and gates reach of a machine's limits, which are those of float32: vectors hold half
/// as many float64.
double share_of_limits(const ProfileReport& report);
/// "float32, 100 steps of 1 row of 64 features, 1 thread, 20 runs"; parts of a program have no shape. "1 of 2
/// threads in recurrent layers" where these took less than they could.
std::string conditions_text(const ProfileReport& report);
/// Whether a machine did so much else that the median of its runs is far from the least.
bool is_unsteady(double least, double median);
/// "unsteady: the median run took 1.6 times the least; other programs may be running", or nothing.
std::string unsteady_text(const ProfileReport& report);

/// Columns of text, as wide as they must be; all but the first are aligned to the right.
class Columns {
 public:
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  /// One line a row, `indent` spaces before each.
  std::string text(std::size_t indent) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace sluice
