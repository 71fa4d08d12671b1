// SPDX-License-Identifier: Apache-2.0
#include <iomanip>
#include <iostream>

#include "cli/commands.h"
#include "io/summary.h"

namespace sluice::cli {
namespace {

void print_counts(std::size_t parameters, std::size_t bytes, double flops) {
  std::cout << parameters << " parameters, " << bytes << " bytes, " << std::setprecision(12) << flops
            << " operations a step";
}

void print_text(const ModelSummary& summary) {
  std::cout << summary.path << ": ";
  if (summary.kind == "model") {
    std::cout << "a model of " << summary.modules.size() << " modules";
  } else {
    std::cout << "a bare " << summary.modules[0].type << (summary.kind == "cell" ? " (a cell)" : " layer");
  }
  std::cout << "\n  " << summary.input_size << " features in, " << summary.output_size << " out"
            << (summary.batch_first ? ", batch first" : "") << "\n  ";
  print_counts(summary.parameter_count, summary.bytes, summary.flops_per_step);
  std::cout << "\n";
  for (std::size_t i = 0; i < summary.modules.size(); ++i) {
    const ModuleSummary& module = summary.modules[i];
    std::cout << "\n[" << i << "] " << module.type << ": " << module.input_size << " -> "
              << module.output_size << "; ";
    print_counts(module.parameter_count(), module.bytes(), module.flops_per_step);
    std::cout << "\n";
    for (const ParameterSummary& parameter : module.parameters) {
      std::cout << "    " << parameter.name << "  " << parameter.dtype << " " << parameter.shape.to_string()
                << "\n";
    }
  }
}

}  // namespace

void inspect(const InspectArguments& arguments) {
  LoadOptions options;
  options.prefix = arguments.prefix.value_or("");
  const ModelSummary summary = summarize(arguments.model, options);
  if (arguments.prefix && summary.kind == "model") {
    throw UsageError("--prefix goes with a bare recurrent layer, and " + arguments.model +
                     " has an architecture");
  }
  if (arguments.json) {
    std::cout << to_json(summary) << "\n";
  } else {
    print_text(summary);
  }
}

}  // namespace sluice::cli
