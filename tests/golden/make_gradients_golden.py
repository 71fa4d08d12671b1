# SPDX-License-Identifier: Apache-2.0
"""Golden gradients from PyTorch's autograd in float64: gradients.safetensors, which gradients_test.cc reads.

    python3 tests/golden/make_gradients_golden.py [FOLDER]

Made with PyTorch 2.15.0 and NumPy 2.4.6 on Python 3.11; another version may differ in the last bits. Seeded: the
same bytes each time. Inputs and weights are float32 numbers, so that float32 and float64 are asked for the same.

A case is an LSTM, GRU or RNN of three layers, both ways, with initial states and rows of different lengths. The loss
is linear: the sum of output * grad.output + h_n * grad.h_n + c_n * grad.c_n. `case.of.NAME` is its gradient with
respect to NAME: every parameter, x, h0, c0.
"""

import pathlib
import sys

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import safetensors_file

FOLDER = pathlib.Path(__file__).resolve().parent
I, H, P, B, T, L = 3, 4, 2, 3, 5, 3
LENGTHS = [3, 5, 2]  # not sorted
CASES = {
    "lstm": (nn.LSTM, {}),
    "lstm_proj": (nn.LSTM, {"proj_size": P}),
    "lstm_no_bias": (nn.LSTM, {"bias": False}),
    "gru": (nn.GRU, {}),
    "rnn_tanh": (nn.RNN, {"nonlinearity": "tanh"}),
    "rnn_relu": (nn.RNN, {"nonlinearity": "relu"}),
}
tensors, metadata = {}, {}


def uniform(*shape):
    return (torch.rand(*shape, dtype=torch.float64) * 2 - 1).float().double()


for name, (make, options) in CASES.items():
    torch.manual_seed(sum(name.encode()))
    layer = make(I, H, num_layers=L, bidirectional=True, **options).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(uniform(*parameter.shape))
    out_size = options.get("proj_size", H)
    inputs = {"x": uniform(T, B, I), "h0": uniform(2 * L, B, out_size)}
    if make is nn.LSTM:
        inputs["c0"] = uniform(2 * L, B, H)
    for value in inputs.values():
        value.requires_grad_()
    packed = pack_padded_sequence(inputs["x"], LENGTHS, enforce_sorted=False)
    state = (inputs["h0"], inputs["c0"]) if "c0" in inputs else inputs["h0"]
    packed, final = layer(packed, state)
    results = {"output": pad_packed_sequence(packed, total_length=T)[0]}
    results |= {"h_n": final[0], "c_n": final[1]} if "c0" in inputs else {"h_n": final}
    grads = {key: uniform(*value.shape) for key, value in results.items()}
    loss = sum((results[key] * grads[key]).sum() for key in results)
    named = dict(layer.named_parameters()) | inputs
    of = torch.autograd.grad(loss, list(named.values()))
    for key, value in named.items():
        tensors[f"{name}.{key}"] = value.detach().numpy()
    for key, value in zip(named, of):
        tensors[f"{name}.of.{key}"] = value.numpy()
    for key, value in grads.items():
        tensors[f"{name}.grad.{key}"] = value.numpy()
    metadata[name] = (
        f"kind={name.split('_')[0]} relu={int(name == 'rnn_relu')} bias={int('bias' not in options)} proj={options.get('proj_size', 0)} "
        f"lengths={','.join(map(str, LENGTHS))}"
    )

folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
safetensors_file.save(folder / "gradients.safetensors", tensors, metadata)
