// SPDX-License-Identifier: Apache-2.0
// Training curves as a picture.
#pragma once

#include <span>
#include <string>

#include "cli/training_log.h"

namespace sluice::cli {

/// An SVG file: the loss, and the validation loss where there is one, over the epochs. The losses' axis is
/// logarithmic where they span more than a factor of ten. A loss that is not finite is left out.
std::string plot_losses(std::span<const Epoch> epochs);

}  // namespace sluice::cli
