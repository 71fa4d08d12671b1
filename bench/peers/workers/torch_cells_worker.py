# SPDX-License-Identifier: Apache-2.0
"""Custom cells (custom_cells.py) as a user of PyTorch writes them in Python, in one of three forms: eager, script or
compile. W x is one product for all steps before the loop."""

import ctypes
import os
import pathlib
import sys
from typing import List

import numpy as np
from safetensors.numpy import load_file

from worker import Unsupported, serve

# The package is one for CUDA; what it asks for and is not there, install.py has put here, empty. Functions of it are
# not looked up before they are called.
for library in sorted(pathlib.Path(__file__).parents[3].glob("build/peers/no_cuda/*")):
    ctypes.CDLL(str(library))
sys.setdlopenflags(os.RTLD_LAZY)

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn.functional import layer_norm, linear  # noqa: E402


STEPS_AT_ONCE = 5  # of the cases' 25, 100 and 150

# A step: W x with its biases (of_x), the states, U^T, the other parameters.


def peephole_lstm(of_x: Tensor, h: Tensor, c: Tensor, u_t: Tensor, p: List[Tensor]):
    i, f, g, o = torch.addmm(of_x, h, u_t).chunk(4, 1)
    p_i, p_f, p_o = p[0].chunk(3)
    c_new = torch.sigmoid(f + p_f * c) * c + torch.sigmoid(i + p_i * c) * torch.tanh(g)
    return torch.sigmoid(o + p_o * c_new) * torch.tanh(c_new), c_new


def layer_norm_lstm(of_x: Tensor, h: Tensor, c: Tensor, u_t: Tensor, p: List[Tensor]):
    gain_h, gain_c, bias_c = p[0], p[1], p[2]
    size = [c.size(1)]
    of_h = layer_norm(torch.mm(h, u_t).view(-1, 4, size[0]), size).view(-1, 4 * size[0])
    i, f, g, o = torch.addcmul(of_x, of_h, gain_h).chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(layer_norm(c, size, gain_c, bias_c)), c


def li_gru(of_x: Tensor, h: Tensor, c: Tensor, u_t: Tensor, p: List[Tensor]):
    z, n = torch.addmm(of_x, h, u_t).chunk(2, 1)
    return torch.lerp(torch.relu(n), h, torch.sigmoid(z)), c


# W x of all steps, and a step's other parameters, from the parameters in the order of cases.py.


def prepare_bias(x: Tensor, p: List[Tensor]):
    return linear(x, p[0], p[2]), p[3:]


def prepare_layer_norm(x: Tensor, p: List[Tensor]):
    gain_x, gain_h, bias = p[2], p[3], p[4]
    size = p[1].size(1)
    of_x = layer_norm(linear(x, p[0]).view(x.size(0), x.size(1), 4, size), [size])
    return torch.addcmul(bias, of_x.view(x.size(0), x.size(1), -1), gain_x), [gain_h, p[5], p[6]]


CELLS = {
    "peephole-lstm": (prepare_bias, peephole_lstm),
    "layer-norm-lstm": (prepare_layer_norm, layer_norm_lstm),
    "li-gru": (prepare_bias, li_gru),
}


def steps_of(step):
    """The loop over time, of_x [T, B, gates * H] -> y [T, B, H]: the form of PyTorch's own fastrnns."""

    def steps(of_x: Tensor, h: Tensor, c: Tensor, u_t: Tensor, p: List[Tensor]):
        y: List[Tensor] = []
        for of_x_t in of_x.unbind(0):
            h, c = step(of_x_t, h, c, u_t, p)
            y.append(h)
        return torch.stack(y), h, c

    return steps


def make_layer(form, cell):
    prepare, step = CELLS[cell]
    steps, at_once = steps_of(step), None
    if form == "script":
        prepare, steps = torch.jit.script(prepare), torch.jit.script(steps_of(torch.jit.script(step)))
    if form == "compile":  # the loop would be unrolled as a whole, and compiled for a minute and more
        prepare, steps, at_once = torch.compile(prepare), torch.compile(steps), STEPS_AT_ONCE

    def layer(x, p):
        of_x, others = prepare(x, p)
        u_t = p[1].t()
        h = torch.zeros(x.size(1), p[1].size(1))
        c = torch.zeros_like(h)
        y = []
        for part in of_x.split(at_once or x.size(0)):
            y_part, h, c = steps(part, h, c, u_t, others)
            y.append(y_part)
        return torch.cat(y)

    return layer


class Job:
    def __init__(self, form, case, folder, threads):
        if case["cell"] not in CELLS:
            raise Unsupported("compared with the built-in one alone")
        torch.set_num_threads(threads)
        torch.compiler.reset()
        self.trains = case["kind"] == "cell-train"
        names = ["x", *case["names"]]
        arrays = load_file(f"{folder}/model0.safetensors")
        arrays = [np.load(f"{folder}/x.npy"), *(arrays[name + "_l0"] for name in names[1:])]
        self.x, *self.parameters = (torch.from_numpy(a).requires_grad_(self.trains) for a in arrays)
        if self.trains:
            self.given = torch.from_numpy(np.load(f"{folder}/given.npy"))
        self.layer = make_layer(form, case["cell"])
        self.setting = "autograd" if self.trains else "inference mode"
        if form == "compile":
            self.setting += f", {STEPS_AT_ONCE} steps compiled as one"
        for _ in range(2):  # script compiles when it has seen a call
            self.run()

    def run(self):
        if not self.trains:
            with torch.inference_mode():
                self.parts = [self.layer(self.x, self.parameters)]
            return
        y = self.layer(self.x, self.parameters)
        self.parts = [y, *torch.autograd.grad([y], [self.x, *self.parameters], [self.given])]

    def result(self):
        if not self.trains:
            return self.parts[0].numpy()
        return torch.cat([part.detach().flatten() for part in self.parts]).numpy()


if __name__ == "__main__":
    FORM = sys.argv[1]
    serve(f"torch-{FORM}", torch.__version__, lambda *case: Job(FORM, *case))
