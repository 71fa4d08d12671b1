// SPDX-License-Identifier: Apache-2.0
#include "sluice/sigmoid.h"

#include <variant>

#include "cli/arrays.h"
#include "cli/commands.h"
#include "sluice/error.h"

namespace sluice::cli {

void sigmoid(const SigmoidArguments& arguments) {
  Outputs outputs;
  outputs.expect(arguments.output);
  NpyArray array = load_npy(arguments.input);
  const auto apply = [&](auto& x) {
    sluice::sigmoid(x.view(), x.view());
    const TensorView<const std::remove_pointer_t<decltype(x.data())>> y = x.view();
    if (arguments.output.empty()) print_summary("y", y);
    outputs.write(arguments.output, y);
  };
  if (auto* f32 = std::get_if<Tensor<float>>(&array)) {
    apply(*f32);
  } else if (auto* f64 = std::get_if<Tensor<double>>(&array)) {
    apply(*f64);
  } else {
    throw FileError(arguments.input + ": the array is int64, expected float32 or float64");
  }
  outputs.commit();
}

}  // namespace sluice::cli
