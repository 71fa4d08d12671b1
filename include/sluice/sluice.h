// SPDX-License-Identifier: Apache-2.0
// Everything but eigen.h, which alone needs Eigen.
#pragma once

#include "sluice/activations.h"
#include "sluice/cells.h"
#include "sluice/error.h"
#include "sluice/gates.h"
#include "sluice/init.h"
#include "sluice/layers.h"
#include "sluice/model.h"
#include "sluice/module.h"
#include "sluice/npy.h"
#include "sluice/parameters.h"
#include "sluice/random.h"
#include "sluice/recurrent.h"
#include "sluice/safetensors.h"
#include "sluice/sigmoid.h"
#include "sluice/state_dict.h"
#include "sluice/stream.h"
#include "sluice/target.h"
#include "sluice/tensor.h"
