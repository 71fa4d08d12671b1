# SPDX-License-Identifier: Apache-2.0
"""What gates do over data, counted by NumPy on PyTorch's activations, float64: gate_reports.safetensors, which
gate_reports_test.cc reads.

    python3 tests/golden/make_gate_reports_golden.py [FOLDER]

Made with PyTorch 2.15.0 and NumPy 2.4.6 on Python 3.11; another version may differ in the last bits. Seeded: the
same bytes each time.

Two layers of LSTM, GRU and RNN in both directions over `x` [T, B, I] with lengths. PyTorch shows no gate: here each
cell's equations are written in its operations, and what comes out must be what its module gives. `KIND.NAME` are
weights, `KIND.LAYER.DIRECTION.GATE.NAME` what NumPy makes of the valid activations: `counts` (activations, shut,
open), `histogram`, `means` (of activations and of their derivatives), by unit `unit_mean`, `unit_deviation`,
`unit_shut` and `unit_open`, and `heat` [units, T], the mean over rows.
"""

import pathlib
import sys

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import safetensors_file

FOLDER = pathlib.Path(__file__).resolve().parent
T, B, I, H, L = 12, 5, 3, 6, 2
LENGTHS = [7, 12, 1, 10, 4]
GATES = {"LSTM": ["input", "forget", "cell", "output"], "GRU": ["reset", "update", "new"], "RNN": ["hidden"]}
TANHS = {"cell", "new", "hidden"}


def step(kind, x, h, c, w, u, b, d):
    """The gates of one row's step, in PyTorch's order, and the new h and c."""
    of_x, of_h = (w @ x + b).split(H), (u @ h + d).split(H)
    if kind == "LSTM":
        i, f, o = (torch.sigmoid(of_x[k] + of_h[k]) for k in (0, 1, 3))
        g = torch.tanh(of_x[2] + of_h[2])
        c = f * c + i * g
        return [i, f, g, o], o * torch.tanh(c), c
    if kind == "GRU":
        r, z = (torch.sigmoid(of_x[k] + of_h[k]) for k in (0, 1))
        n = torch.tanh(of_x[2] + r * of_h[2])
        return [r, z, n], (1 - z) * n + z * h, c
    h = torch.tanh(of_x[0] + of_h[0])
    return [h], h, c


def run(kind, weights, suffix, x):
    """Of one layer and direction: activations [gates, T, B, H], NaN past a row's length, and the output."""
    activations = torch.full((len(GATES[kind]), T, B, H), float("nan"), dtype=torch.float64)
    output = torch.zeros(T, B, H, dtype=torch.float64)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    parameters = [weights[name + suffix] for name in names]
    for row, length in enumerate(LENGTHS):
        h = c = torch.zeros(H, dtype=torch.float64)
        times = range(length)
        for t in reversed(times) if suffix.endswith("reverse") else times:
            gates, h, c = step(kind, x[t, row], h, c, *parameters)
            activations[:, t, row], output[t, row] = torch.stack(gates), h
    return activations.numpy(), output


def report(y, is_tanh):
    """y [T, B, H], NaN where nothing counts."""
    valid = y[~np.isnan(y)]
    low, begin = (-0.99, -1) if is_tanh else (0.01, 0)
    # No activation is so near to an edge that rounding could move it.
    edges = np.linspace(begin, 1, 21)
    assert min(np.abs(valid - edge).min() for edge in [*edges[1:-1], low, 0.99]) > 1e-9
    derivative = 1 - valid**2 if is_tanh else valid * (1 - valid)
    counts = np.array([valid.size, (valid < low).sum(), (valid > 0.99).sum()], dtype=float)
    rows = y.reshape(T * B, H)
    rows = rows[~np.isnan(rows[:, 0])]
    return {
        "counts": counts,
        "histogram": np.histogram(valid, bins=20, range=(begin, 1))[0].astype(float),
        "means": np.array([valid.mean(), derivative.mean()]),
        "unit_mean": rows.mean(0),
        "unit_deviation": rows.std(0),
        "unit_shut": (rows < low).mean(0),
        "unit_open": (rows > 0.99).mean(0),
        "heat": np.ascontiguousarray(np.nanmean(y, 1).T),
    }


def main():
    tensors, metadata, shut, opened = {}, {}, 0, 0
    torch.manual_seed(21)
    x = torch.rand(T, B, I, dtype=torch.float64) * 4 - 2
    tensors["x"] = x.numpy()
    for kind, gates in GATES.items():
        rnn = getattr(nn, kind)(I, H, L, bidirectional=True).double()
        with torch.no_grad():
            for value in rnn.parameters():
                value.uniform_(-2, 2)
        weights = {name: value.detach() for name, value in rnn.state_dict().items()}
        for name, value in weights.items():
            tensors[f"{kind}.{name}"] = value.numpy()
        above = x
        for layer in range(L):
            outputs = []
            for direction in range(2):
                activations, output = run(kind, weights, f"_l{layer}" + "_reverse" * direction, above)
                outputs.append(output)
                for gate, y in zip(gates, activations):
                    made = report(y, gate in TANHS)
                    shut, opened = shut + made["counts"][1], opened + made["counts"][2]
                    for name, value in made.items():
                        tensors[f"{kind}.{layer}.{direction}.{gate}.{name}"] = value
            above = torch.cat(outputs, 2)
        packed = pack_padded_sequence(x, torch.tensor(LENGTHS), enforce_sorted=False)
        with torch.no_grad():
            want = pad_packed_sequence(rnn(packed)[0])[0]
        assert (above - want).abs().max() < 1e-13, kind
        metadata[kind] = f"lengths={','.join(map(str, LENGTHS))}"
    assert shut > 100 and opened > 100
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    safetensors_file.save(folder / "gate_reports.safetensors", tensors, metadata)


main()
