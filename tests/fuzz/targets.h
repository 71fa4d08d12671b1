// SPDX-License-Identifier: Apache-2.0
// What the fuzzers do with an input. A refusal (sluice::Error) is a right answer; all else that goes wrong
// is found by the sanitizers. The corpus runs through the same functions as an ordinary test.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "cells/cell_graph.h"
#include "io/architecture.h"
#include "io/bare_layer.h"
#include "io/npy_format.h"
#include "sluice/cell_text.h"
#include "sluice/error.h"
#include "sluice/model.h"
#include "sluice/profile.h"
#include "sluice/safetensors.h"

namespace sluice::fuzz {

/// Reads every byte of a dictionary's tensors, so that the sanitizers see them.
inline double sum_of(const StateDict<double>& weights) {
  double sum = 0;
  for (const std::string& name : weights.names()) {
    const Tensor<double> copy(weights.at(name));
    for (const double value : copy.span()) sum += value;
  }
  return sum;
}

/// Header, tensors, and the model that they are.
inline void safetensors(std::span<const std::byte> input) {
  try {
    const SafetensorsFile file = SafetensorsFile::parse(input, "input");
    const StateDict<double> weights = file.state_dict<double>();
    [[maybe_unused]] const volatile double sum = sum_of(weights);
    const auto architecture = file.metadata().find("sluice.architecture");
    if (architecture != file.metadata().end()) {
      Model<double>::from_architecture(architecture->second, weights);
    } else {
      build_architecture(bare_layer_architecture(find_bare_layer(weights, ""), {}), weights);
    }
  } catch (const Error&) {
  }
}

inline void npy(std::span<const std::byte> input) {
  try {
    const NpyArray array = parse_npy(input, "input");
    [[maybe_unused]] const volatile std::size_t size =
        std::visit([](const auto& tensor) { return Tensor(tensor).size(); }, array);
  } catch (const Error&) {
  }
}

/// The input is the JSON text; the weights are those of some small modules.
inline void architecture(std::span<const std::byte> input) {
  static const StateDict<float> weights = [] {
    StateDict<float> made;
    made.set("emb.weight", Tensor<float>({5, 2}));
    made.set("rnn.weight_ih_l0", Tensor<float>({12, 2}));
    made.set("rnn.weight_hh_l0", Tensor<float>({12, 3}));
    made.set("rnn.bias_ih_l0", Tensor<float>(Shape{12}));
    made.set("rnn.bias_hh_l0", Tensor<float>(Shape{12}));
    made.set("head.weight", Tensor<float>({1, 3}));
    made.set("head.bias", Tensor<float>(Shape{1}));
    return made;
  }();
  try {
    const std::string text(reinterpret_cast<const char*>(input.data()), input.size());
    static_cast<void>(Model<float>::from_architecture(text, weights).architecture());
  } catch (const Error&) {
  }
}

/// The input is the text form of a cell: what layers, pictures and files make of it, too.
inline void cell(std::span<const std::byte> input) {
  try {
    const CustomCell read =
        cell_from_json(std::string_view(reinterpret_cast<const char*>(input.data()), input.size()));
    const std::string text = cell_to_json(read);
    if (cell_to_json(cell_from_json(text)) != text) std::abort();
    [[maybe_unused]] const volatile std::size_t size = cell_svg({&read, 1}).size();
    derive_backward(lower_cell(read.graph()));
  } catch (const Error&) {
  }
}

/// A report of `sluice profile --json`, and all that is made of one.
inline void profile(std::span<const std::byte> input) {
  try {
    const ProfileReport report =
        profile_from_json(std::string_view(reinterpret_cast<const char*>(input.data()), input.size()));
    static_cast<void>(profile_table(report, true));
    static_cast<void>(profile_html(report));
    static_cast<void>(profile_trace_json(report));
    static_cast<void>(profile_from_json(profile_json(report)));
    static_cast<void>(compare_profiles(report, report));
  } catch (const Error&) {
  }
}

}  // namespace sluice::fuzz
