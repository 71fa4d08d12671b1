# SPDX-License-Identifier: Apache-2.0
"""Golden vectors from PyTorch in float64 for every cell and layer option. See README.md for the command.

Each group is one safetensors file. Tensors of a case are named `case.name`; the metadata has one entry a
case, `key=value` pairs separated by spaces. What PyTorch has no module for (a GRU that resets before the
product, c of every step, the gate kernels) is written out here in torch operations, and the same written-out
functions are checked against PyTorch's modules where those exist.
"""

import math
import pathlib
import sys

import torch
from torch import nn

import safetensors_file

I, H, P, B, T = 4, 3, 2, 3, 5
LENGTHS = [3, 5, 2]  # not sorted
FOLDER = pathlib.Path(__file__).resolve().parent


def uniform(*shape, scale=1.0):
    return (torch.rand(*shape, dtype=torch.float64) * 2 - 1) * scale


def randomise(module):
    """Weights well away from PyTorch's small initial ones, so that gates differ from each other."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(uniform(*parameter.shape))
    return module


def close(a, b):
    """Equal but for the order of summation: a few dozen roundings of numbers near 1."""
    return a.shape == b.shape and bool(torch.all((a - b).abs() <= 1e-13 * (1 + b.abs())))


# --- The equations, written out -----------------------------------------------------------------------------


def lstm_gates(pre, c):
    i, f, g, o = pre.chunk(4, dim=-1)
    i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
    c = f * c + i * g
    return o * torch.tanh(c), c, torch.cat([i, f, g, o], dim=-1)


def gru_gates(pre_x, pre_h, h):
    xr, xz, xn = pre_x.chunk(3, dim=-1)
    hr, hz, hn = pre_h.chunk(3, dim=-1)
    r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
    n = torch.tanh(xn + r * hn)
    return (1 - z) * n + z * h, torch.cat([r, z, n], dim=-1)


def gru_reset_before(x, h, w_ih, w_hh, b_ih, b_hh):
    """Cho et al. 2014, with PyTorch's gate order and both biases: n = tanh(W x + b + U (r h) + c)."""
    size = h.shape[-1]
    pre = x @ w_ih.T + b_ih
    u = h @ w_hh[: 2 * size].T + b_hh[: 2 * size]
    r = torch.sigmoid(pre[:, :size] + u[:, :size])
    z = torch.sigmoid(pre[:, size : 2 * size] + u[:, size:])
    n = torch.tanh(pre[:, 2 * size :] + (r * h) @ w_hh[2 * size :].T + b_hh[2 * size :])
    return (1 - z) * n + z * h


def cell_step(kind, x, h, c, weights, suffix):
    w_ih, w_hh = weights["weight_ih" + suffix], weights["weight_hh" + suffix]
    zero = torch.zeros(w_ih.shape[0], dtype=torch.float64)
    b_ih, b_hh = weights.get("bias_ih" + suffix, zero), weights.get("bias_hh" + suffix, zero)
    if kind == "gru_before":
        return gru_reset_before(x, h, w_ih, w_hh, b_ih, b_hh), c
    pre_x, pre_h = x @ w_ih.T + b_ih, h @ w_hh.T + b_hh
    if kind == "lstm":
        h, c, _ = lstm_gates(pre_x + pre_h, c)
        if "weight_hr" + suffix in weights:
            h = h @ weights["weight_hr" + suffix].T
        return h, c
    if kind == "gru":
        return gru_gates(pre_x, pre_h, h)[0], c
    return (torch.tanh if kind == "rnn_tanh" else torch.relu)(pre_x + pre_h), c


def run_written_out(kind, weights, layers, directions, x, h0, c0, lengths):
    """x [T, B, I] -> y, h_n, c_n, c of every step of the last layer. Each row on its own, over its length."""
    h_n, c_n = h0.clone(), c0.clone()
    for layer in range(layers):
        sides, c_sides = [], []
        for direction in range(directions):
            k = layer * directions + direction
            suffix = f"_l{layer}" + ("_reverse" if direction else "")
            y = torch.zeros(x.shape[0], x.shape[1], h0.shape[2], dtype=torch.float64)
            c_all = torch.zeros(x.shape[0], x.shape[1], c0.shape[2], dtype=torch.float64)
            for row, length in enumerate(lengths):
                h, c = h0[k, row : row + 1], c0[k, row : row + 1]
                for t in reversed(range(length)) if direction else range(length):
                    h, c = cell_step(kind, x[t, row : row + 1], h, c, weights, suffix)
                    y[t, row], c_all[t, row] = h[0], c[0]
                h_n[k, row], c_n[k, row] = h[0], c[0]
            sides.append(y)
            c_sides.append(c_all)
        x = torch.cat(sides, dim=2)
    return x, h_n, c_n, torch.cat(c_sides, dim=2)


# --- Recurrent layers ---------------------------------------------------------------------------------------


def make_module(kind, i, h, layers, bias, bidirectional, proj, batch_first=False):
    options = dict(num_layers=layers, bias=bias, bidirectional=bidirectional, batch_first=batch_first)
    if kind == "lstm":
        module = nn.LSTM(i, h, proj_size=proj, **options)
    elif kind.startswith("gru"):
        module = nn.GRU(i, h, **options)
    else:
        module = nn.RNN(i, h, nonlinearity=kind.removeprefix("rnn_"), **options)
    return module.double()


def call_torch(module, kind, x, state, lengths):
    """PyTorch's own y, h_n, c_n, with PackedSequence where there are lengths."""
    if lengths is not None:
        x = nn.utils.rnn.pack_padded_sequence(
            x, lengths, batch_first=module.batch_first, enforce_sorted=False)
    if state is not None and kind != "lstm":
        state = state[0]
    y, out = module(x, state)
    if lengths is not None:
        y, _ = nn.utils.rnn.pad_packed_sequence(y, batch_first=module.batch_first, total_length=T)
    return (y, *out) if kind == "lstm" else (y, out, None)


def check_other_layouts(module, kind, sizes, x, state, lengths, want):
    """PyTorch's batch_first and unbatched results are the same numbers; so one copy of them is enough."""
    other = make_module(kind, *sizes, batch_first=True)
    other.load_state_dict(module.state_dict())
    y, h_n, _ = call_torch(other, kind, x.transpose(0, 1), state, lengths)
    assert close(y.transpose(0, 1), want[0]) and close(h_n, want[1])
    if lengths is None:
        row = None if state is None else tuple(s[:, 0] for s in state)
        y, h_n, _ = call_torch(module, kind, x[:, 0], row, None)
        assert close(y, want[0][:, 0]) and close(h_n, want[1][:, 0])


def recurrent_case(tensors, metadata, kind, name, sizes, rows, steps, lengths):
    i, h, layers, bias, bidirectional, proj = sizes
    module = randomise(make_module(kind, *sizes))
    directions = 2 if bidirectional else 1
    weights = {key: value.detach() for key, value in module.state_dict().items()}
    x = uniform(steps, rows, i, scale=1.5)
    h0 = uniform(layers * directions, rows, proj or h)
    c0 = uniform(layers * directions, rows, h)
    zero_state = torch.zeros_like(h0), torch.zeros_like(c0)

    for key, value in weights.items():
        tensors[f"{name}.{key}"] = value
    tensors[f"{name}.x"], tensors[f"{name}.h0"] = x, h0
    if kind == "lstm":
        tensors[f"{name}.c0"] = c0
    # All four ways to call one layer; where there is more to store only the extremes, for small files.
    short = layers > 1 or not bias
    for call in ("plain", "state_lengths") if short else ("plain", "state", "lengths", "state_lengths"):
        state = (h0, c0) if "state" in call else None
        given = lengths if "lengths" in call else None
        written = run_written_out(kind, weights, layers, directions, x, *(state or zero_state),
                                  given or [steps] * rows)
        want = written[:3]
        if kind != "gru_before":
            want = call_torch(module, kind, x, state, given)
            assert all(close(a, b) for a, b in zip(want, written[:3]) if a is not None)
            check_other_layouts(module, kind, sizes, x, state, given, want)
        if bidirectional:  # a test must be able to tell the halves apart
            size = proj or h
            assert (want[0][..., :size] - want[0][..., size:]).abs().max() > 0.05
        tensors[f"{name}.{call}.output"], tensors[f"{name}.{call}.h_n"] = want[0], want[1]
        if kind == "lstm":
            tensors[f"{name}.{call}.c_n"] = want[2]
            tensors[f"{name}.{call}.c_sequence"] = written[3]
    metadata[name] = (
        f"input_size={i} hidden_size={h} num_layers={layers} bias={int(bias)} "
        f"bidirectional={int(bidirectional)} proj_size={proj} kind={kind} "
        f"lengths={','.join(map(str, lengths))}")


def recurrent(kind):
    tensors, metadata = {}, {}
    for layers in (1, 3):
        for bidirectional in (False, True):
            for proj in (0, P) if kind == "lstm" else (0,):
                for bias in (True, False):
                    name = f"l{layers}" + ("_bidirectional" if bidirectional else "")
                    name += ("_proj" if proj else "") + ("" if bias else "_no_bias")
                    sizes = (I, H, layers, bias, bidirectional, proj)
                    recurrent_case(tensors, metadata, kind, name, sizes, B, T, LENGTHS)
    # More units than one vector holds and more rows than one tile, neither a multiple.
    sizes = (9, 19, 1, True, False, 0)
    recurrent_case(tensors, metadata, kind, "wide", sizes, 7, T, [5, 1, 4, 5, 2, 3, 1])
    return tensors, metadata


# --- Cells, gates, the other layers -------------------------------------------------------------------------


def cells():
    tensors, metadata = {}, {}
    makers = {
        "lstm": lambda bias: nn.LSTMCell(I, H, bias=bias),
        "gru": lambda bias: nn.GRUCell(I, H, bias=bias),
        "gru_before": lambda bias: nn.GRUCell(I, H, bias=bias),
        "rnn_tanh": lambda bias: nn.RNNCell(I, H, bias=bias, nonlinearity="tanh"),
        "rnn_relu": lambda bias: nn.RNNCell(I, H, bias=bias, nonlinearity="relu"),
    }
    for kind, make in makers.items():
        for bias in (True, False):
            name = kind + ("" if bias else "_no_bias")
            cell = randomise(make(bias).double())
            weights = {key: value.detach() for key, value in cell.state_dict().items()}
            x, h, c = uniform(B, I, scale=1.5), uniform(B, H), uniform(B, H)
            for key, value in weights.items():
                tensors[f"{name}.{key}"] = value
            tensors[f"{name}.x"], tensors[f"{name}.h"], tensors[f"{name}.c"] = x, h, c
            for call, h_in, c_in in (("state", h, c), ("plain", torch.zeros_like(h), torch.zeros_like(c))):
                want = cell_step(kind, x, h_in, c_in, weights, "")
                if kind != "gru_before":
                    given = {"plain": None, "state": (h, c) if kind == "lstm" else h}[call]
                    out = cell(x, given)
                    out = out if kind == "lstm" else (out, c_in)
                    assert close(out[0], want[0]) and close(out[1], want[1])
                    row = (h[0], c[0]) if kind == "lstm" else h[0]  # unbatched: the same numbers
                    alone = cell(x[0], None if given is None else row)
                    assert close(alone[0] if kind == "lstm" else alone, out[0][0])
                    want = out
                tensors[f"{name}.{call}.h"] = want[0]
                if kind == "lstm":
                    tensors[f"{name}.{call}.c"] = want[1]
            metadata[name] = f"kind={kind} input_size={I} hidden_size={H} bias={int(bias)}"
    return tensors, metadata


def gates():
    rows, size = 5, 19  # not a multiple of any vector's lanes
    t = {"lstm.pre": uniform(rows, 4 * size, scale=4), "lstm.c": uniform(rows, size, scale=2)}
    t["lstm.h_out"], t["lstm.c_out"], t["lstm.gates"] = lstm_gates(t["lstm.pre"], t["lstm.c"])
    t["gru.pre_x"], t["gru.pre_h"] = uniform(rows, 3 * size, scale=3), uniform(rows, 3 * size, scale=3)
    t["gru.h"] = uniform(rows, size)
    t["gru.h_out"], t["gru.gates"] = gru_gates(t["gru.pre_x"], t["gru.pre_h"], t["gru.h"])
    for name in ("pre", "candidate", "x"):
        t[f"highway.{name}"] = uniform(rows, size, scale=3)
    gate = torch.sigmoid(t["highway.pre"])
    t["highway.y"] = gate * t["highway.candidate"] + (1 - gate) * t["highway.x"]
    return t, {}


def linear_layers():
    tensors, metadata = {}, {}
    for inputs, outputs, bias, shape in ((4, 5, True, (3, 4)), (19, 35, True, (2, 4, 19)),
                                         (10, 1, True, (10,)), (7, 17, False, (7, 7))):
        name = f"linear_{inputs}_{outputs}" + ("" if bias else "_no_bias")
        module = randomise(nn.Linear(inputs, outputs, bias=bias).double())
        x = uniform(*shape, scale=2)
        tensors.update({f"{name}.{k}": v.detach() for k, v in module.state_dict().items()})
        tensors[f"{name}.x"], tensors[f"{name}.y"] = x, module(x)
        metadata[name] = f"type=linear in_features={inputs} out_features={outputs} bias={int(bias)}"

    module = randomise(nn.Embedding(11, 6).double())
    indices = torch.tensor([[0, 10, 3, 3], [7, 1, 9, 0], [5, 5, 10, 2]])
    tensors["embedding.weight"] = module.weight.detach()
    tensors["embedding.x"], tensors["embedding.y"] = indices.double(), module(indices)
    metadata["embedding"] = "type=embedding num_embeddings=11 embedding_dim=6"

    for affine, bias, eps in ((True, True, 1e-5), (True, False, 1e-5), (False, False, 1e-5),
                              (True, True, 0.1)):
        name = f"layer_norm_{int(affine)}{int(bias)}_{eps:g}"
        weight, shift = uniform(21) if affine else None, uniform(21) if bias else None
        x = uniform(2, 3, 21, scale=2) + 5
        tensors[f"{name}.x"] = x
        tensors[f"{name}.y"] = nn.functional.layer_norm(x, (21,), weight, shift, eps)
        if affine:
            tensors[f"{name}.weight"] = weight
        if bias:
            tensors[f"{name}.bias"] = shift
        metadata[name] = (f"type=layer_norm normalized_shape=21 elementwise_affine={int(affine)} "
                          f"bias={int(bias)} eps={eps:g}")
    return tensors, metadata


def convolutions():
    tensors, metadata = {}, {}
    cases = (  # in, out, kernel, stride, padding, dilation, groups, bias, length
        (3, 4, 3, 1, 0, 1, 1, True, 11), (3, 4, 3, 2, 1, 1, 1, True, 11), (4, 6, 3, 1, 2, 2, 2, True, 11),
        (4, 4, 5, 3, 4, 2, 4, True, 13), (4, 18, 1, 1, 0, 1, 1, True, 7), (6, 3, 4, 2, 3, 3, 3, False, 12),
        (5, 2, 3, 4, 5, 1, 1, True, 6), (2, 20, 4, 4, 0, 1, 2, False, 9), (3, 2, 5, 1, 0, 1, 1, True, 5))
    for k, (i, o, kernel, stride, padding, dilation, groups, bias, length) in enumerate(cases):
        name = f"conv{k}"
        module = nn.Conv1d(i, o, kernel, stride, padding, dilation, groups, bias).double()
        x = uniform(2, i, length, scale=2)
        randomise(module)
        tensors.update({f"{name}.{key}": v.detach() for key, v in module.state_dict().items()})
        tensors[f"{name}.x"], tensors[f"{name}.y"] = x, module(x)
        assert close(module(x[1]), module(x)[1])
        metadata[name] = (f"in_channels={i} out_channels={o} kernel_size={kernel} stride={stride} "
                          f"padding={padding} dilation={dilation} groups={groups} bias={int(bias)}")
    return tensors, metadata


def sigmoid(x):
    """PyTorch's exp(-x) overflows below -709, where the true value is subnormal and not yet 0."""
    e = torch.tensor([math.exp(-abs(value)) for value in x.tolist()], dtype=torch.float64)
    y = torch.where(x < 0, e, torch.ones_like(e)) / (1 + e)
    assert close(y, torch.sigmoid(x)) and bool(torch.all((y == 0) == (x < -745.2)))
    return y


def silu(x):
    """x * sigmoid(x), by way of numbers that are not subnormal before the result is."""
    half = torch.tensor([math.exp(-abs(value) / 2) for value in x.tolist()], dtype=torch.float64)
    y = torch.where(x < 0, x * half * half, x) / (1 + half * half)
    assert close(y, nn.functional.silu(x))
    return y


def activations():
    """Inputs are float32 numbers, so that float32 and float64 are asked for the same value."""
    points = [0.0, 1e-30, 1e-6, 0.001, 0.3, 0.5, 1.0, 1.7, 2.0, 2.5, 2.75, 3.0, 3.5, 5.0, 8.5, 9.1, 16.7,
              18.0, 18.25, 18.5625, 30.0, 87.0, 88.5, 90.0, 100.0, 103.9, 200.0, 700.0, 740.0, 1000.0,
              1662.7, 3212.5]
    x = torch.tensor([s * p for p in points for s in (1, -1)], dtype=torch.float32).double()
    t = {"x": x, "sigmoid": sigmoid(x), "tanh": torch.tanh(x), "relu": torch.relu(x),
         "log_sigmoid": nn.functional.logsigmoid(x), "hard_sigmoid": nn.functional.hardsigmoid(x),
         "hard_sigmoid_onnx": torch.clamp(0.2 * x + 0.5, 0, 1), "silu": silu(x)}
    t["softmax_x"] = torch.cat([uniform(3, 19, scale=6), 800 + uniform(1, 19, scale=60)]).float().double()
    t["softmax"] = torch.softmax(t["softmax_x"], dim=-1)
    return t, {}


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    groups = {
        "lstm": lambda: recurrent("lstm"), "gru": lambda: recurrent("gru"),
        "gru_before": lambda: recurrent("gru_before"), "rnn_tanh": lambda: recurrent("rnn_tanh"),
        "rnn_relu": lambda: recurrent("rnn_relu"), "cells": cells, "gates": gates, "layers": linear_layers,
        "conv1d": convolutions, "activations": activations,
    }
    for seed, (name, make) in enumerate(groups.items()):
        torch.manual_seed(1997 + seed)  # a group's numbers do not depend on the others
        tensors, metadata = make()
        path = folder / f"{name}.safetensors"
        safetensors_file.save(path, {key: value.numpy() for key, value in tensors.items()}, metadata)
        print(f"{path.name}: {len(metadata)} cases, {len(tensors)} tensors, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
