// SPDX-License-Identifier: Apache-2.0
// The pictures of a profile, in SVG that its reader's page or kPictureStyle gives colours.
#pragma once

#include <string>

#include "sluice/profile.h"

namespace sluice {

/// The style of all of them, light and dark. The five phases have colours that colour-blind readers can tell
/// apart (Okabe and Ito, 2002).
extern const char* const kPictureStyle;

/// Each is one <svg> element of `width` units, which on a screen of that many pixels has letters of a
/// readable size; empty where the report has nothing to show.
std::string roofline_picture(const ProfileReport& report, double width);
std::string phases_picture(const ProfileReport& report, double width);
std::string timeline_picture(const ProfileReport& report, double width);
std::string gradients_picture(const ProfileReport& report, double width);
std::string histogram_picture(const GateReport& gate);
/// At most `most_cells` cells, means of neighbours where there are more.
std::string heat_picture(const GateReport& gate, std::size_t most_cells);
/// The colours of heat pictures, from least to largest.
std::string heat_scale(bool is_tanh);

/// The roofline as a file of its own.
std::string roofline_svg(const ProfileReport& report);

}  // namespace sluice
