# SPDX-License-Identifier: Apache-2.0
"""Golden gradients of cells and gates from PyTorch's autograd in float64: step_gradients.safetensors, which
step_gradients_test.cc reads.

    python3 tests/golden/make_step_gradients_golden.py [FOLDER]

Made with PyTorch 2.15.0 and NumPy 2.4.6 on Python 3.11; another version may differ in the last bits. Seeded: the
same bytes each time. Inputs and weights are float32 numbers, so that float32 and float64 are asked for the same.

A cell takes T steps in a loop from a given state, and the loss is the sum of h_t * grad.h[t] over all steps and of
the last c * grad.c. The gates and the sigmoid are one step of the elementwise functions; their loss is the sum of
each output * grad.OUTPUT. `case.of.NAME` is the loss's gradient with respect to NAME.
"""

import pathlib
import sys

import torch
from torch import nn

import safetensors_file

FOLDER = pathlib.Path(__file__).resolve().parent
I, H, B, T = 3, 5, 2, 4
CELLS = {
    "lstm": lambda: nn.LSTMCell(I, H),
    "gru": lambda: nn.GRUCell(I, H),
    "rnn_tanh": lambda: nn.RNNCell(I, H, nonlinearity="tanh"),
    "rnn_relu": lambda: nn.RNNCell(I, H, nonlinearity="relu"),
}
tensors, metadata = {}, {}


def uniform(*shape, scale=1):
    return (scale * (torch.rand(*shape, dtype=torch.float64) * 2 - 1)).float().double()


def keep(name, inputs, grads, loss):
    of = torch.autograd.grad(loss, list(inputs.values()))
    for key, value in inputs.items():
        tensors[f"{name}.{key}"] = value.detach().numpy()
    for key, value in zip(inputs, of):
        tensors[f"{name}.of.{key}"] = value.numpy()
    for key, value in grads.items():
        tensors[f"{name}.grad.{key}"] = value.numpy()
    metadata[name] = ""


for name, make in CELLS.items():
    torch.manual_seed(sum(name.encode()))
    cell = make().double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_(uniform(*parameter.shape))
    inputs = {"x": uniform(T, B, I), "h": uniform(B, H)}
    grads = {"h": uniform(T, B, H)}
    if name == "lstm":
        inputs["c"] = uniform(B, H)
        grads["c"] = uniform(B, H)
    for value in inputs.values():
        value.requires_grad_()
    h, c = inputs["h"], inputs.get("c")
    loss = 0
    for t in range(T):
        if name == "lstm":
            h, c = cell(inputs["x"][t], (h, c))
        else:
            h = cell(inputs["x"][t], h)
        loss = loss + (h * grads["h"][t]).sum()
    if name == "lstm":
        loss = loss + (c * grads["c"]).sum()
    keep(name, dict(cell.named_parameters()) | inputs, grads, loss)

torch.manual_seed(7)


def gates(name, inputs, function):
    for value in inputs.values():
        value.requires_grad_()
    results = function(**inputs)
    grads = {key: uniform(*value.shape) for key, value in results.items()}
    keep(name, inputs, grads, sum((results[key] * grads[key]).sum() for key in results))


def lstm_gates(pre, c):
    i, f, g, o = pre.chunk(4, 1)
    c_out = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return {"h_out": torch.sigmoid(o) * torch.tanh(c_out), "c_out": c_out}


def gru_gates(pre_x, pre_h, h):
    (r_x, z_x, n_x), (r_h, z_h, n_h) = pre_x.chunk(3, 1), pre_h.chunk(3, 1)
    z = torch.sigmoid(z_x + z_h)
    n = torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h)
    return {"h_out": (1 - z) * n + z * h}


def highway(pre, candidate, x):
    t = torch.sigmoid(pre)
    return {"y": t * candidate + (1 - t) * x}


gates("lstm_gates", {"pre": uniform(B, 4 * H, scale=4), "c": uniform(B, H, scale=2)}, lstm_gates)
gates(
    "gru_gates",
    {"pre_x": uniform(B, 3 * H, scale=2), "pre_h": uniform(B, 3 * H, scale=2), "h": uniform(B, H)},
    gru_gates,
)
gates("highway", {"pre": uniform(B, H, scale=4), "candidate": uniform(B, H), "x": uniform(B, H)}, highway)
gates("sigmoid", {"x": uniform(B, 17, scale=9)}, lambda x: {"y": torch.sigmoid(x)})
folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
safetensors_file.save(folder / "step_gradients.safetensors", tensors, metadata)
