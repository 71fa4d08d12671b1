// SPDX-License-Identifier: Apache-2.0
// A cell of one's own (custom_cell.h) as text, for files, and as a picture.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "sluice/custom_cell.h"

namespace sluice {

/// The cell's arithmetic as JSON, a line a value, as docs/formats.md has it. Values without a name get one
/// for the text alone. Throws Error where cell_from_json would not take it: a parameter that nothing needs, a
/// name that is no text, more or larger values than a file may have.
std::string cell_to_json(const CustomCell& cell);

/// The cell that the text states. Throws Error, ShapeError, naming the value and what was expected of it.
CustomCell cell_from_json(std::string_view json);

/// An SVG file: the graph of each cell's values, one cell below the other, each from its input, states and
/// parameters down to its output and next states.
std::string cell_svg(std::span<const CustomCell> cells);

}  // namespace sluice
