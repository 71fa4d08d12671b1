// SPDX-License-Identifier: Apache-2.0
#include <iomanip>
#include <iostream>
#include <vector>

#include "cli/commands.h"
#include "cli/run.h"
#include "core/atomic_file.h"
#include "io/summary.h"
#include "sluice/cell_text.h"

namespace sluice::cli {
namespace {

void print_counts(std::size_t parameters, std::size_t bytes, double flops) {
  std::cout << parameters << " parameters, " << bytes << " bytes, " << std::setprecision(12) << flops
            << " operations a step";
}

void print_cell(const RecurrentLayerOptions& options) {
  std::cout << " of " << options.cell.name() << " (";
  const char* between = "";
  for (const CustomCell::State& state : options.cell.states()) {
    std::cout << between << state.name << ' ' << state.size;
    between = ", ";
  }
  if (options.cell.states().empty()) std::cout << "no states";
  std::cout << "), " << options.num_layers << (options.num_layers == 1 ? " layer" : " layers")
            << (options.bidirectional ? ", both directions" : "");
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
    std::cout << "\n[" << i << "] " << module.type;
    if (module.custom) print_cell(*module.custom);
    std::cout << ": " << module.input_size << " -> " << module.output_size << "; ";
    print_counts(module.parameter_count(), module.bytes(), module.flops_per_step);
    std::cout << "\n";
    for (const ParameterSummary& parameter : module.parameters) {
      std::cout << "    " << parameter.name << "  " << parameter.dtype << " " << parameter.shape.to_string()
                << "\n";
    }
  }
}

void write_picture(const ModelSummary& summary, const InspectArguments& arguments) {
  std::vector<CustomCell> cells;
  for (const ModuleSummary& module : summary.modules) {
    if (module.custom) cells.push_back(module.custom->cell);
  }
  if (cells.empty()) {
    throw UsageError("--svg goes with a model that has a Recurrent, and " + arguments.model + " has none");
  }
  replace_file(arguments.svg, cell_svg(cells));
}

}  // namespace

void inspect(const InspectArguments& arguments) {
  LoadOptions options;
  options.prefix = arguments.prefix.value_or("");
  check_has_weights(arguments.model);
  const ModelSummary summary = summarize(arguments.model, options);
  if (arguments.prefix && summary.kind == "model") {
    throw UsageError("--prefix goes with a bare recurrent layer, and " + arguments.model +
                     " has an architecture");
  }
  if (!arguments.svg.empty()) write_picture(summary, arguments);
  if (arguments.json) {
    std::cout << to_json(summary) << "\n";
  } else {
    print_text(summary);
  }
}

}  // namespace sluice::cli
