// SPDX-License-Identifier: Apache-2.0
// Every cell of sluice/cells/.
#pragma once

#include <cstddef>
#include <string>

#include "sluice/cells/elementwise_kin.h"
#include "sluice/cells/gru_kin.h"
#include "sluice/cells/highway_kin.h"
#include "sluice/cells/lem.h"
#include "sluice/cells/lstm_kin.h"

namespace sluice::test {

struct NamedCell {
  std::string name;
  CustomCell (*make)(std::size_t input_size, std::size_t hidden_size);
};

// With the sizes and numbers that tests/golden/make_custom_cells_golden.py has besides.
inline const NamedCell kLibraryCells[] = {
    {"lstm", &cells::lstm},
    {"lstmp", [](std::size_t I, std::size_t H) { return cells::lstmp(I, H, 4); }},
    {"peephole_lstm", &cells::peephole_lstm},
    {"cifg", &cells::cifg},
    {"layer_norm_lstm", &cells::layer_norm_lstm},
    {"slstm", [](std::size_t I, std::size_t H) { return cells::slstm(I, H); }},
    {"slstm_exp_forget",
     [](std::size_t I, std::size_t H) { return cells::slstm(I, H, cells::ForgetGate::kExp); }},
    {"gru", &cells::gru},
    {"gru_reset_before", &cells::gru_reset_before},
    {"mgu", &cells::mgu},
    {"li_gru", &cells::li_gru},
    {"sru", [](std::size_t, std::size_t H) { return cells::sru(H, 1.5); }},
    {"qrnn_fo_pooling", [](std::size_t, std::size_t H) { return cells::qrnn_fo_pooling(H); }},
    {"indrnn", &cells::indrnn},
    {"min_gru", &cells::min_gru},
    {"min_lstm", &cells::min_lstm},
    {"highway", [](std::size_t, std::size_t H) { return cells::highway(H); }},
    {"recurrent_highway", [](std::size_t I, std::size_t H) { return cells::recurrent_highway(I, H, 3); }},
    {"lem", [](std::size_t I, std::size_t H) { return cells::lem(I, H, 0.5); }},
};

}  // namespace sluice::test
