// SPDX-License-Identifier: Apache-2.0
// A recurrent benchmark's name and its shape are one: "LstmForward/T:25/B:32/I:512/H:512/threads:2".
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sluice::bench {

/// What a recurrent benchmark runs. Sizes as in the names of the library's options.
struct RecurrentCase {
  enum class Cell { kLstm, kGru, kRnn, kRestatedLstm };  ///< the last: cells::lstm
  enum class Work {
    kForward,
    kStep,       ///< one time step of a stepper; T and threads stay 1
    kTrain,      ///< forward, backward, gradients of weights and input
    kTrainStep,  ///< a step of training as a whole
  };
  Cell cell = Cell::kLstm;
  Work work = Work::kForward;
  std::size_t steps = 1;        ///< T
  std::size_t batch = 1;        ///< B
  std::size_t input_size = 1;   ///< I
  std::size_t hidden_size = 1;  ///< H
  std::size_t layers = 1;       ///< L
  std::size_t directions = 1;   ///< D: 1 or 2
  std::size_t proj_size = 0;    ///< P: 0 for none
  int threads = 1;
};

/// The name: T, B, I, H always, L and D where they are not 1, P where there is one, threads. A stepper's has
/// neither T nor threads.
std::string to_name(const RecurrentCase& shape);

/// The case of that name; its parts may come in any order. Throws Error that says what is wrong.
RecurrentCase parse_case(std::string_view name);

}  // namespace sluice::bench
