// SPDX-License-Identifier: Apache-2.0
// sluice_bench: everything that is measured, or the shapes that --shape names. docs/benchmarks.md tells how
// to read it.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <exception>
#include <string_view>
#include <vector>

#include "benchmarks.h"
#include "sluice/error.h"
#include "sluice/target.h"

namespace {

void print_help() {
  std::puts(
      "sluice_bench [--shape NAME]... [options of Google Benchmark]\n"
      "\n"
      "  --shape NAME   run this shape in place of all that are built in; may be given several times\n"
      "                 {Lstm,Gru,Rnn}Forward/T:25/B:32/I:512/H:512/threads:2, /L: layers and /D: directions "
      "optional\n"
      "                 LstmProjectedForward: the same with /P:\n"
      "                 {Lstm,Gru,Rnn}Step/B:1/I:64/H:64, /L: optional\n"
      "                 {Lstm,Gru,Rnn}Train, {Lstm,Gru,Rnn}TrainStep: as Forward\n"
      "                 RestatedLstm{Forward,Step,Train,TrainStep}: cells::lstm in place of LSTM\n"
      "sluice_bench --cell-costs [CELL]...\n"
      "  what each step of the library's cells (all, or those named) costs, beside its bound\n");
  benchmark::PrintDefaultHelp();
}

// Takes --shape NAME and --shape=NAME out of the arguments.
std::vector<sluice::bench::RecurrentCase> take_shapes(std::vector<char*>& arguments) {
  std::vector<sluice::bench::RecurrentCase> shapes;
  std::vector<char*> rest;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    constexpr std::string_view kOption = "--shape";
    if (argument == kOption) {
      if (++i == arguments.size()) throw sluice::Error("--shape: the name of a shape is missing");
      shapes.push_back(sluice::bench::parse_case(arguments[i]));
    } else if (argument.starts_with(kOption) && argument.substr(kOption.size()).starts_with('=')) {
      shapes.push_back(sluice::bench::parse_case(argument.substr(kOption.size() + 1)));
    } else {
      rest.push_back(arguments[i]);
    }
  }
  arguments = rest;
  return shapes;
}

void register_all() {
  sluice::bench::register_gate_math();
  sluice::bench::register_activations();
  sluice::bench::register_gates();
  sluice::bench::register_cells();
  sluice::bench::register_recurrent();
  sluice::bench::register_host_threads();
  sluice::bench::register_loading();
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<char*> arguments(argv, argv + argc);
  try {
    if (argc > 1 && std::string_view(argv[1]) == "--cell-costs") {
      sluice::bench::print_cell_costs({argv + 2, argv + argc});
      return 0;
    }
    const auto shapes = take_shapes(arguments);
    for (const auto& shape : shapes) sluice::bench::register_case(shape);
    if (shapes.empty()) register_all();
  } catch (const sluice::Error& error) {
    std::fprintf(stderr, "sluice_bench: %s\n", error.what());
    return 2;
  }
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data(), print_help);
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  benchmark::AddCustomContext("sluice_target", sluice::active_target());
  try {
    benchmark::RunSpecifiedBenchmarks();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sluice_bench: %s\n", error.what());
    return 1;
  }
  benchmark::Shutdown();
  return 0;
}
